//! A hundred plugins that are stopped at once, beside one.

use crate::lab::Lab;
use crate::protocol::{Command, Failure};
use crate::results::{Role, Row};

pub(super) const NAME: &str = "stops";

pub(super) async fn run(lab: &Lab) -> Result<Vec<Row>, Failure> {
    let count = lab.least(100, 4).to_string();
    let mut rows = Vec::new();
    for (id, driver, what, note) in [
        ("stop-obedient", "stops", "Plugins that obey at once", ""),
        (
            "stop-deaf",
            "deaf-stops",
            "Plugins that ignore the interrupt",
            "They are killed after a grace of a second, which is in both figures.",
        ),
    ] {
        let mut driver = lab.driver("Jackfield", &[driver, &count]).await?;
        let (mut one, mut all) = (Vec::new(), Vec::new());
        for _ in 0..lab.rounds(7) {
            let answer = driver.tell(Command::Times { count: 1 }).await?;
            let millis = |name: &str| answer.figures.get(name).map_or(f64::NAN, |ns| ns / 1e6);
            one.push(millis("one_ns"));
            all.push(millis("all_ns"));
        }
        driver.end().await?;
        let many = format!("{count} at once");
        let mut row = Row::new(NAME, id, what, "ms").note(note);
        row.add("one", Role::Floor, one);
        row.add(&many, Role::Ours, all);
        rows.push(row.target_plus(&many, "one", 1.0, 100.0));
    }
    Ok(rows)
}
