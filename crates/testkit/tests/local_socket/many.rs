//! Many at once, and again and again.

use std::time::Duration;

use jackfield::{ActiveState, InstallationId, Spec};
use jackfield_testkit::{
    Again, Rig, as_program, children, eventually, host_in, open_files, tell, within,
};
use serde_json::json;
use tokio::task::JoinSet;

use crate::bench::{RIG, call, doorless, methods, sdk, without_door};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_are_started_at_once() {
    let host = without_door().await;
    let package = sdk();
    let sessions: Vec<_> = (0..50).map(|_| host.install(package.clone())).collect();
    let mut tasks = JoinSet::new();
    for (n, session) in sessions.into_iter().enumerate() {
        tasks.spawn(async move {
            session.set_active_state(ActiveState::Active).await.unwrap();
            within(session.ready()).await.unwrap();
            let status = session.status().borrow().clone();
            let me = call(&session, "me", json!({})).await;
            assert_eq!(me["pid"].as_u64(), status.pid.map(u64::from));
            assert_eq!(call(&session, "echo", json!(n)).await["params"], n);
            assert_eq!(status.restarts, 0);
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let shutdown = within(host.shutdown(Duration::from_secs(30))).await;
    assert_eq!(shutdown.killed, []);
}

/// Not a test of its own: nobody else opens files in this process.
#[tokio::test]
async fn host_that_counts() {
    let Some(folder) = as_program() else { return };
    let quiet = host_in(&folder.join("quiet"), doorless).await;
    let door = host_in(&folder.join("door"), methods).await;
    // Those that greet, those that dial, and those that do neither and end.
    let spec = |package| Spec::supervised(InstallationId::new(), package);
    let greets = quiet.load(spec(sdk())).unwrap();
    let dials = door.load(spec(Rig::new("").package(RIG))).unwrap();
    let neither = door
        .load(spec(Rig::new("--never-dial").package(RIG)))
        .unwrap();
    let mut before = 0;
    for round in 0..51 {
        for session in [&greets, &dials, &neither] {
            session.set_active_state(ActiveState::Active).await.unwrap();
            if session.id() != neither.id() {
                within(session.ready()).await.unwrap();
            }
            let stop = session.set_active_state(ActiveState::Inactive);
            within(stop).await.unwrap();
        }
        if round == 0 {
            // What forks, and the init for the next launch, which is there a moment later: it was
            // counted at the end alone where the first round was quick.
            let helpers = || children().len() == 2;
            eventually(Duration::from_secs(20), "they are there", helpers).await;
            before = open_files();
        }
    }
    eventually(Duration::from_secs(20), "no file is left open", || {
        open_files() <= before
    })
    .await;
    tell(&json!({"before": before, "after": open_files()}));
}

#[tokio::test]
async fn no_descriptor_is_left_after_fifty_starts() {
    let folder = tempfile::tempdir().unwrap();
    let mut program = Again::run("many::host_that_counts", folder.path(), |_| {});
    let told = program.told().await;
    assert!(program.ended_well().await, "{told}");
}
