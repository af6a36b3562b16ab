//! From nothing to the first answer of a plugin that is ready at once.

use crate::lab::Lab;
use crate::protocol::Failure;
use crate::results::{Role, Row};

pub(super) const NAME: &str = "spawns";

const GO_PLUGIN: &str = "go-plugin";
const FTL: &str = "FTL's loop";

pub(super) async fn run(lab: &Lab) -> Result<Vec<Row>, Failure> {
    let kinds = [
        ("WebSocket", "ws", "bare-spawn-ws"),
        ("local socket", "local", "bare-spawn-local"),
        ("gRPC", "spawn", "bare-spawn-grpc"),
        ("gRPC, only FTL_BIND", "spawn-bind", "bare-spawn-bind"),
    ];
    let ours = |kind: &str| format!("Jackfield, {kind}");
    let bare = |kind: &str| format!("bare, {kind}");
    let mut field = Vec::new();
    for (kind, driver, floor) in kinds {
        field.push((lab.driver(&bare(kind), &[floor]).await?, Role::Floor));
        field.push((lab.driver(&ours(kind), &[driver]).await?, Role::Ours));
    }
    for (label, peer, args) in [
        ("Storyden's loop", "storyden", &[][..]),
        (GO_PLUGIN, "goplugin", &[][..]),
        ("go-plugin, AutoMTLS", "goplugin", &["-mtls"][..]),
        (FTL, "ftl", &[][..]),
    ] {
        if let Some(driver) = lab.peer(label, peer, args).await? {
            field.push((driver, Role::Peer));
        }
    }
    let mut field: Vec<_> = field
        .into_iter()
        .map(|(driver, role)| (driver, role, Vec::new()))
        .collect();
    for round in 0..lab.rounds(100) + 1 {
        for (driver, _, rounds) in &mut field {
            let took = driver.spawns(1).await?;
            if round > 0 {
                rounds.extend(took.iter().map(|seconds| seconds * 1e3));
            }
        }
    }
    let mut row = Row::new(NAME, "spawn", "Spawn to first answer", "ms");
    for (driver, role, rounds) in field {
        row.add(&driver.label, role, rounds);
        driver.end().await?;
    }
    for (kind, ..) in kinds {
        row = row
            .target(&ours(kind), &bare(kind), 1.5)
            .target(&ours(kind), GO_PLUGIN, 1.0)
            .target(&ours(kind), FTL, 1.0);
    }
    let row = row.note(
        "The same executable with and without Jackfield around it. Without: fork, exec, connect in a busy loop, one answer.",
    );
    Ok(vec![row, large(lab).await?])
}

/// The same by a host that has much memory of its own.
async fn large(lab: &Lab) -> Result<Row, Failure> {
    let (small, large) = ("a small host", "a host of 1 GiB");
    let mebibytes = lab.least(1024, 64).to_string();
    let mut field = [
        (lab.driver(small, &["local"]).await?, Vec::new()),
        (
            lab.driver(large, &["--ballast", &mebibytes, "local"])
                .await?,
            Vec::new(),
        ),
    ];
    for round in 0..lab.rounds(50) + 1 {
        for (driver, rounds) in &mut field {
            let took = driver.spawns(1).await?;
            if round > 0 {
                rounds.extend(took.iter().map(|seconds| seconds * 1e3));
            }
        }
    }
    let mut row = Row::new(NAME, "spawn-large", "Spawn by a large host", "ms");
    for (driver, rounds) in field {
        row.add(&driver.label, Role::Ours, rounds);
        driver.end().await?;
    }
    Ok(row.note("To the first answer of a plugin that takes the socket. To fork a process is to copy the table of all its memory."))
}
