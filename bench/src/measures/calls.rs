//! Calls from the host to a plugin: one at a time, and 64 at a time.

use crate::driver::Driver;
use crate::lab::Lab;
use crate::place::{Place, place};
use crate::protocol::Failure;
use crate::results::{Role, Row};
use crate::stats::quantile;

pub(super) const NAME: &str = "calls";

const BYTES: usize = 200;
const IN_FLIGHT: u64 = 64;
/// About so long does one round of one driver take, in seconds.
const SLICE: f64 = 0.25;

const WS: &str = "Jackfield, WebSocket";
const BARE_WS: &str = "bare WebSocket";
const BARE_TASKS: &str = "bare WebSocket, tasks";
const LOCAL: &str = "Jackfield, local socket";
const BARE_FRAMES: &str = "bare frames";
const SPAWN: &str = "Jackfield, gRPC by Spawn";
const CHANNEL: &str = "Jackfield, gRPC session";
const BARE_GRPC: &str = "bare gRPC";
const STORYDEN: &str = "Storyden's loop";
const GO_PLUGIN: &str = "go-plugin";
const GO_PLUGIN_TLS: &str = "go-plugin, AutoMTLS";
const FTL: &str = "FTL's loop";

struct Runner {
    driver: Driver,
    role: Role,
    one: u64,
    many: u64,
    p50: Vec<f64>,
    p99: Vec<f64>,
    apart: Vec<f64>,
    together: Vec<f64>,
    rate: Vec<f64>,
}

pub(super) async fn run(lab: &Lab) -> Result<Vec<Row>, Failure> {
    let mut field = Vec::new();
    for (label, driver, role) in [
        (BARE_WS, "bare-ws", Role::Floor),
        (BARE_TASKS, "bare-tasks", Role::Floor),
        (WS, "ws", Role::Ours),
        (BARE_FRAMES, "bare-frames", Role::Floor),
        (LOCAL, "local", Role::Ours),
        (BARE_GRPC, "bare-grpc", Role::Floor),
        (SPAWN, "spawn", Role::Ours),
        (CHANNEL, "channel", Role::Ours),
    ] {
        field.push((lab.driver(label, &[driver]).await?, role));
    }
    for (label, peer, args) in [
        (STORYDEN, "storyden", &[][..]),
        (GO_PLUGIN, "goplugin", &[][..]),
        (GO_PLUGIN_TLS, "goplugin", &["-mtls"][..]),
        (FTL, "ftl", &[][..]),
    ] {
        if let Some(driver) = lab.peer(label, peer, args).await? {
            field.push((driver, Role::Peer));
        }
    }
    let mut runners = Vec::new();
    for (mut driver, role) in field {
        // The first calls are for the caches, and to know how many make a slice.
        let first = driver.latencies(lab.least(400, 20) as u64, BYTES).await?;
        let mean = first.iter().sum::<f64>() / first.len() as f64;
        let rate = driver
            .rate(lab.least(4000, 128) as u64, IN_FLIGHT, BYTES)
            .await?;
        let slice = if lab.quick { 0.001 } else { SLICE };
        runners.push(Runner {
            driver,
            role,
            one: (slice / mean).clamp(10.0, 20_000.0) as u64,
            many: (slice * rate).clamp(64.0, 200_000.0) as u64,
            p50: Vec::new(),
            p99: Vec::new(),
            apart: Vec::new(),
            together: Vec::new(),
            rate: Vec::new(),
        });
    }
    for _ in 0..lab.rounds(31) {
        for runner in &mut runners {
            let each = runner.driver.latencies(runner.one, BYTES).await?;
            runner.p50.push(quantile(&each, 0.5) * 1e6);
            runner.p99.push(quantile(&each, 0.99) * 1e6);
        }
        for runner in &mut runners {
            for at in [Place::Apart, Place::Together] {
                place(&runner.driver, at)?;
                let each = runner.driver.latencies(runner.one / 2, BYTES).await?;
                let figures = match at {
                    Place::Together => &mut runner.together,
                    Place::Apart | Place::Anywhere => &mut runner.apart,
                };
                figures.push(quantile(&each, 0.5) * 1e6);
            }
            place(&runner.driver, Place::Anywhere)?;
        }
        for runner in &mut runners {
            let rate = runner.driver.rate(runner.many, IN_FLIGHT, BYTES).await?;
            runner.rate.push(rate);
        }
    }
    let mut p50 = Row::new(NAME, "call-one-p50", "One call in flight, median", "µs");
    let mut p99 = Row::new(NAME, "call-one-p99", "One call in flight, 99 of 100", "µs");
    let mut apart = Row::new(
        NAME,
        "call-one-apart",
        "One call in flight, median, each end on a processor of its own",
        "µs",
    );
    let mut together = Row::new(
        NAME,
        "call-one-together",
        "One call in flight, median, both ends on one processor",
        "µs",
    );
    let mut rate = Row::new(NAME, "call-many", "64 calls in flight", "calls/s").more_is_better();
    for runner in runners {
        let Runner { driver, role, .. } = runner;
        p50.add(&driver.label, role, runner.p50);
        p99.add(&driver.label, role, runner.p99);
        apart.add(&driver.label, role, runner.apart);
        together.add(&driver.label, role, runner.together);
        rate.add(&driver.label, role, runner.rate);
        driver.end().await?;
    }
    let p50 = p50
        .note("200 bytes of parameters and as many of answer, two processes, nothing pinned to a processor.")
        .target(WS, BARE_WS, 1.2)
        .target(WS, GO_PLUGIN, 0.75)
        .target(WS, STORYDEN, 0.75)
        .target(LOCAL, BARE_FRAMES, 1.2)
        .target(SPAWN, BARE_GRPC, 1.1)
        .target(SPAWN, GO_PLUGIN, 1.0)
        .target(SPAWN, FTL, 1.0)
        .target(CHANNEL, BARE_GRPC, 1.1)
        .target(CHANNEL, GO_PLUGIN, 1.0)
        .target(CHANNEL, FTL, 1.0);
    let p99 = p99.target(WS, BARE_WS, 1.5);
    let apart = apart
        .note("The driver with all its threads is pinned to one processor, all that it has started to another one.")
        .target(WS, BARE_WS, 1.2)
        .target(WS, GO_PLUGIN, 0.75)
        .target(WS, STORYDEN, 0.75)
        .target(LOCAL, BARE_FRAMES, 1.2);
    let together = together.note("Both are pinned to the same processor. What is left is what is computed, and four system calls.");
    let rate = rate
        .note(
            "Over the WebSocket there are two floors. In one a single task writes up to 64 messages together, reads whatever is there and \
             counts: nobody waits for an answer of his own. In the other 64 tasks do, as callers have to.",
        )
        .target(WS, BARE_TASKS, 0.7)
        .target(WS, GO_PLUGIN, 4.0)
        .target(WS, STORYDEN, 3.0)
        .target(SPAWN, BARE_GRPC, 1.0 / 1.1)
        .target(SPAWN, GO_PLUGIN, 1.0)
        .target(SPAWN, FTL, 1.0)
        .target(CHANNEL, BARE_GRPC, 1.0 / 1.1)
        .target(CHANNEL, GO_PLUGIN, 1.0)
        .target(CHANNEL, FTL, 1.0);
    Ok(vec![p50, apart, together, p99, rate])
}
