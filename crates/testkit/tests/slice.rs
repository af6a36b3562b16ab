//! The whole flow, thinly: package, child, dial, call, stop.

use std::time::Duration;

use jackfield::wire::methods::Ping;
use jackfield::{ActiveState, CallOptions, InstallationId, ReportedState, Spec};
use jackfield_testkit::{Rig, alive, bench_host};

const RIG: &str = env!("CARGO_BIN_EXE_rig");

#[tokio::test]
async fn a_package_becomes_a_session() {
    let host = bench_host(|builder| builder).await;
    let package = Rig::new("--say hello").package(RIG);
    let session = host
        .load(Spec::supervised(InstallationId::new(), package))
        .unwrap();
    let wanted = |state| session.set_active_state(state);
    wanted(ActiveState::Active).await.unwrap();
    session.ready().await.unwrap();
    assert!(session.call::<Ping>(&None).await.unwrap().pong);
    let pid = session.status().borrow().pid.unwrap();
    assert!(alive(pid));
    let echoed = session.call_raw("echo", None, CallOptions::default());
    assert_eq!(
        echoed.await.unwrap().get(),
        r#"{"method":"echo","params":{}}"#
    );
    wanted(ActiveState::Inactive).await.unwrap();
    assert_eq!(session.status().borrow().state, ReportedState::Inactive);
    assert!(!alive(pid));
    let states: Vec<_> = session.history().iter().map(|t| t.state).collect();
    assert_eq!(
        states,
        [
            ReportedState::Starting,
            ReportedState::Connecting,
            ReportedState::Active,
            ReportedState::Stopping,
            ReportedState::Inactive,
        ]
    );
    let left = host.shutdown(Duration::from_secs(5)).await;
    assert!(left.killed.is_empty());
}
