//! Nothing outlives the host, however it ends.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use jackfield_grpc::Spawn;
use jackfield_testkit::grpc::{Bed, KvClient, get, pid_in};
use jackfield_testkit::{Again, alive, as_program, eventually, tell, within};
use serde_json::json;
use tokio::time::Instant;

use crate::RIG;

/// Not a test of its own: a host with plugins of all kinds, until it is killed, or ends by itself.
#[tokio::test]
async fn host_to_be_killed() {
    let Some(folder) = as_program() else { return };
    let path = |name: &str| folder.join(name).display().to_string();
    let spawn = |orders: String| {
        let orders: Vec<_> = orders.split_whitespace().map(ToOwned::to_owned).collect();
        Spawn::new("rig", RIG).folder(&folder).args(orders)
    };
    let family = format!(
        "--grandchild {} --grandchild-session {}",
        path("one"),
        path("two")
    );
    let first = within(spawn(format!("--deaf {family}")).spawn::<KvClient>())
        .await
        .unwrap();
    let script = format!("#!/bin/bash\ntrap '' INT TERM HUP\n{RIG} --deaf\n:\n");
    std::fs::write(path("launch"), script).unwrap();
    std::fs::set_permissions(path("launch"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let second = Spawn::new("rig", "./launch").folder(&folder);
    let second = within(second.spawn::<KvClient>()).await.unwrap();
    let inner: u32 = get(&second.client, "pid").await.unwrap().parse().unwrap();
    let starting = spawn(format!("--touch {} --not-ready never", path("starting")));
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move { drop(starting.spawn::<KvClient>().await) });
    jackfield_testkit::until_file(folder.join("starting")).await;
    tell(&json!({"pids": [first.child.pid(), second.child.pid(), inner]}));
    if folder.join("leave").exists() {
        std::mem::forget((first, second));
        #[expect(
            clippy::exit,
            reason = "an end without any destructor is what this is about"
        )]
        std::process::exit(0);
    }
    std::future::pending::<()>().await;
}

/// Killed without a word: plugins, their families, those behind scripts and those that were starting are gone, most
/// within a tenth of a second.
#[tokio::test]
async fn killed() {
    let mut best = Duration::MAX;
    for round in 0..5 {
        let bed = Bed::default();
        let mut host = Again::run("death::host_to_be_killed", bed.path(), |_| {});
        let told = host.told().await;
        let mut pids: Vec<u32> = serde_json::from_value(told["pids"].clone()).unwrap();
        for file in ["one", "two"] {
            pids.push(pid_in(&bed.file(file)).await);
        }
        assert!(pids.iter().all(|pid| alive(*pid)));
        let began = Instant::now();
        host.kill().await;
        while pids.iter().any(|pid| alive(*pid)) || !bed.alive().is_empty() {
            assert!(
                began.elapsed() < Duration::from_secs(1),
                "alive: {:?}",
                bed.alive()
            );
            tokio::task::yield_now().await;
        }
        best = best.min(began.elapsed());
        if round > 0 && best < Duration::from_millis(100) {
            break;
        }
    }
    assert!(best < Duration::from_millis(100), "{best:?}");
}

/// It ends by itself, without a destructor having run.
#[tokio::test]
async fn exits() {
    let bed = Bed::default();
    let _ = bed.with("leave", "");
    let mut host = Again::run("death::host_to_be_killed", bed.path(), |_| {});
    let told = host.told().await;
    let pids: Vec<u32> = serde_json::from_value(told["pids"].clone()).unwrap();
    assert!(host.ended_well().await);
    eventually(Duration::from_secs(1), "all are gone", || {
        bed.alive().is_empty() && !pids.iter().any(|pid| alive(*pid))
    })
    .await;
}

/// Its runtime ends, with the handle still there.
#[test]
fn a_runtime_that_ends() {
    let bed = Bed::default();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let plugin = runtime.block_on(async {
        let spawn = bed
            .spawn(RIG, "--deaf --grandchild-session @/two")
            .spawn::<KvClient>();
        within(spawn).await.unwrap()
    });
    drop(runtime);
    let deadline = std::time::SystemTime::now() + Duration::from_secs(10);
    while !bed.alive().is_empty() {
        assert!(std::time::SystemTime::now() < deadline, "{:?}", bed.alive());
        std::thread::sleep(Duration::from_millis(5));
    }
    // What asks on another runtime is answered.
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        within(plugin.child.exited()).await;
        assert!(within(get(&plugin.client, "identity")).await.is_err());
    });
}
