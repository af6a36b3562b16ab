//! Many plugins at once: what a call costs, what a session costs, one event to all.

use crate::driver::Driver;
use crate::lab::Lab;
use crate::protocol::{Answer, Command, Failure, Load};
use crate::results::{Role, Row};

/// Events of one round of one driver.
const EVENTS: u64 = 5;

pub(super) const NAME: &str = "crowds";

const FANOUT: &str = "Jackfield";
const BARE: &str = "bare WebSocket";

pub(super) async fn run(lab: &Lab) -> Result<Vec<Row>, Failure> {
    Ok(vec![
        cpu(lab).await?,
        memory(lab).await?,
        events(lab).await?,
    ])
}

/// Ours, and the floor, with so many connections.
async fn pair(lab: &Lab, count: usize) -> Result<[(Driver, Role); 2], Failure> {
    let count = count.to_string();
    let bare = lab
        .driver(&label(BARE, &count), &["bare-crowd", &count])
        .await?;
    let ours = lab
        .driver(&label(FANOUT, &count), &["crowd", &count])
        .await?;
    Ok([(bare, Role::Floor), (ours, Role::Ours)])
}

fn label(who: &str, count: &str) -> String {
    format!("{who}, {count}")
}

fn figure(answer: &Answer, name: &str) -> Result<f64, Failure> {
    let found = answer.figures.get(name).copied();
    found.ok_or_else(|| format!("no figure {name}").into())
}

async fn cpu(lab: &Lab) -> Result<Row, Failure> {
    let counts: &[usize] = match lab.quick {
        true => &[1, 10, 40],
        false => &[1, 10, 100, 1000, 10_000],
    };
    let mut field = Vec::new();
    for count in counts {
        for (driver, role) in pair(lab, *count).await? {
            field.push((driver, role, Vec::new()));
        }
    }
    let load = Load {
        per_second: 5000,
        count: lab.least(10_000, 200) as u64,
        bytes: 200,
    };
    for round in 0..lab.rounds(7) + 1 {
        for (driver, _, rounds) in &mut field {
            let answer = driver.tell(Command::Load(load)).await?;
            if round > 0 {
                rounds.push(figure(&answer, "cpu_ns_per_call")? / 1e3);
            }
        }
    }
    let mut row = Row::new(
        NAME,
        "many-cpu",
        "Processor time of a call, host's side, at 5,000 calls a second in all",
        "µs",
    );
    for (driver, role, rounds) in field {
        row.add(&driver.label, role, rounds);
        driver.end().await?;
    }
    let most = counts.last().map_or_else(String::new, ToString::to_string);
    Ok(row.target(&label(FANOUT, &most), &label(FANOUT, "10"), 1.3))
}

async fn memory(lab: &Lab) -> Result<Row, Failure> {
    let count = lab.least(10_000, 40);
    let (mut bare, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..lab.rounds(3) {
        for (mut driver, role) in pair(lab, count).await? {
            // Every connection has carried a message each way.
            driver.tell(Command::Times { count: 1 }).await?;
            let answer = driver.tell(Command::Look).await?;
            let each = figure(&answer, "kib_per_connection")?;
            match role {
                Role::Ours => ours.push(each),
                Role::Floor | Role::Peer => bare.push(each),
            }
            driver.end().await?;
        }
    }
    let what = format!("Memory of a connected idle session, of {count}");
    let mut row = Row::new(NAME, "idle-memory", &what, "KiB");
    row.add(BARE, Role::Floor, bare);
    row.add(FANOUT, Role::Ours, ours);
    Ok(row.target_plus(FANOUT, BARE, 1.0, 12.0))
}

async fn events(lab: &Lab) -> Result<Row, Failure> {
    let count = lab.least(1000, 40);
    let mut field = pair(lab, count)
        .await?
        .map(|(driver, role)| (driver, role, Vec::new()));
    for round in 0..lab.rounds(31) + 2 {
        for (driver, _, rounds) in &mut field {
            // One takes some twenty milliseconds, and a third more or less by chance.
            let answer = driver.tell(Command::Times { count: EVENTS }).await?;
            let took: u64 = answer.each_ns.iter().sum();
            if round > 1 {
                let deliveries = count * answer.each_ns.len();
                rounds.push(deliveries as f64 / (took as f64 / 1e9));
            }
        }
    }
    let what = format!("One event to {count} sessions, until the last acknowledgement");
    let mut row = Row::new(NAME, "event", &what, "deliveries/s").more_is_better();
    for (driver, role, rounds) in field {
        let name = if role == Role::Ours { FANOUT } else { BARE };
        row.add(name, role, rounds);
        driver.end().await?;
    }
    Ok(row.target(FANOUT, BARE, 0.8))
}
