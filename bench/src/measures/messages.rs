//! Messages of 1 MiB and 16 MiB, there and back.

use crate::lab::Lab;
use crate::protocol::Failure;
use crate::results::{Role, Row};

pub(super) const NAME: &str = "messages";

const MIB: usize = 1 << 20;
/// What stands around the parameters of a call, and in the answer around its result; a plugin takes messages of
/// 16 MiB in all.
const ENVELOPE: usize = 1 << 10;

const WS: &str = "Jackfield, WebSocket";
const BARE_WS: &str = "bare WebSocket";
const LOCAL: &str = "Jackfield, local socket";
const BARE_FRAMES: &str = "bare frames";

pub(super) async fn run(lab: &Lab) -> Result<Vec<Row>, Failure> {
    let mut rows = Vec::new();
    let mut drivers = Vec::new();
    for (label, driver, role) in [
        (BARE_WS, "bare-ws", Role::Floor),
        (WS, "ws", Role::Ours),
        (BARE_FRAMES, "bare-frames", Role::Floor),
        (LOCAL, "local", Role::Ours),
    ] {
        drivers.push((lab.driver(label, &[driver]).await?, role, Vec::new()));
    }
    for (id, what, bytes, count) in [
        ("message-1", "Messages of 1 MiB", MIB, lab.least(60, 2)),
        (
            "message-16",
            "Messages of 16 MiB",
            16 * MIB - ENVELOPE,
            lab.least(5, 1),
        ),
    ] {
        for round in 0..lab.rounds(21) + 1 {
            for (driver, _, rounds) in &mut drivers {
                let rate = driver.rate(count as u64, 1, bytes).await?;
                // The first one is for the buffers.
                if round > 0 {
                    rounds.push(rate * bytes as f64 / MIB as f64);
                }
            }
        }
        let mut row = Row::new(NAME, id, what, "MiB/s").more_is_better();
        for (driver, role, rounds) in &mut drivers {
            row.add(&driver.label, *role, std::mem::take(rounds));
        }
        rows.push(
            row.note("One at a time, of parameters; the answer is as large.")
                .target(WS, BARE_WS, 0.8)
                .target(LOCAL, BARE_WS, 0.8),
        );
    }
    for (driver, ..) in drivers {
        driver.end().await?;
    }
    Ok(rows)
}
