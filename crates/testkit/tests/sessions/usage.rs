//! What plugins take of the machine.

use std::time::Duration;

use jackfield::ActiveState;
use jackfield::wire::methods::Ping;
use jackfield_testkit::{
    Program, Rig, bench_host, end, eventually, manifest, until_file, until_state, within,
};
use serde_json::json;

use crate::RIG;

#[tokio::test]
async fn a_plugin_is_weighed_with_all_that_it_started() {
    let host = bench_host(|builder| builder).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pid");
    let orders = format!("--grandchild {}", file.display());
    let session = host.install(Rig::new(&orders).package(RIG));
    assert_eq!(session.usage(), None);
    session.set_active_state(ActiveState::Active).await.unwrap();
    within(session.ready()).await.unwrap();
    let grandchild = until_file(&file).await;
    let usage = session.usage().unwrap();
    assert_eq!(usage.processes, 2);
    assert!(usage.memory_bytes > 100_000, "{usage:?}");
    end(grandchild.trim().parse().unwrap());
    eventually(Duration::from_secs(10), "the grandchild is gone", || {
        session.usage().is_some_and(|usage| usage.processes == 1)
    })
    .await;
    assert!(session.call::<Ping>(&None).await.unwrap().pong);
    let stopped = session.set_active_state(ActiveState::Inactive);
    within(stopped).await.unwrap();
    assert_eq!(session.usage(), None);
}

#[tokio::test]
async fn what_somebody_else_runs_is_not() {
    let host = bench_host(|builder| builder).await;
    let (session, token) = host.expect(&manifest(json!({}))).await;
    let _program = Program::dial(&host, &token).await;
    until_state(&session, jackfield::ReportedState::Active).await;
    assert_eq!(session.usage(), None);
}
