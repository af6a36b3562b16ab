//! From the death of a plugin to the first answer of the next one.

use crate::lab::Lab;
use crate::protocol::{Command, Failure};
use crate::results::{Role, Row};

pub(super) const NAME: &str = "crashes";

pub(super) async fn run(lab: &Lab) -> Result<Vec<Row>, Failure> {
    let mut rows = Vec::new();
    for (kind, driver) in [
        ("WebSocket", "restart-ws"),
        ("local socket", "restart-local"),
    ] {
        let mut driver = lab.driver("Jackfield", &[driver]).await?;
        let (mut spawns, mut crashes) = (Vec::new(), Vec::new());
        for round in 0..lab.rounds(60) + 1 {
            let spawn = driver.spawns(1).await?;
            let crash = driver.tell(Command::Times { count: 1 }).await?.each_ns;
            if round > 0 {
                spawns.extend(spawn.iter().map(|seconds| seconds * 1e3));
                crashes.extend(crash.iter().map(|ns| *ns as f64 / 1e6));
            }
        }
        driver.end().await?;
        let id = format!(
            "crash-{}",
            kind.split(' ').next().unwrap_or(kind).to_lowercase()
        );
        let what = format!("SIGKILL to the next process's first answer, {kind}");
        let mut row = Row::new(NAME, &id, &what, "ms");
        row.add("spawn", Role::Floor, spawns);
        row.add("crash", Role::Ours, crashes);
        rows.push(
            row.target_plus("crash", "spawn", 1.0, 5.0)
                .note("The first retry comes without delay."),
        );
    }
    Ok(rows)
}
