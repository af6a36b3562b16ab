//! What is reported, and in which order.

use std::time::Duration;

use jackfield::ReportedState::{
    Active, Connecting, Errored, Inactive, Restarting, Starting, Stopping,
};
use jackfield::{ActiveState, CallOptions, Policy, Stage};
use jackfield_testkit::{
    Rig, alive, bench_host, end, quick, states, states_of_crashes, until, until_state, within,
};
use serde_json::json;

use crate::RIG;

/// One story through all seven states.
#[tokio::test]
async fn all_seven_states_are_reported_in_order() {
    let host = bench_host(|builder| {
        builder.policy(Policy {
            restarts: 1,
            ..quick()
        })
    })
    .await;
    let marker = host.folder().join("marker");
    let orders = format!("--once {} --exit 42", marker.display());
    let session = host.install(Rig::new(&orders).package(RIG));
    assert_eq!(session.status().borrow().state, Inactive);
    assert_eq!(session.status().borrow().started_at, None);
    let wanted = |state| session.set_active_state(state);
    // It crashes, comes back, is killed, and has no restart left.
    wanted(ActiveState::Active).await.unwrap();
    let status = until_state(&session, Active).await;
    assert!(status.error.is_none() && status.started_at.is_some());
    assert_eq!(status.restarts, 1);
    end(status.pid.unwrap());
    let status = until_state(&session, Errored).await;
    assert!(status.error.is_some() && status.pid.is_none());
    // It is started by hand, and stopped.
    wanted(ActiveState::Active).await.unwrap();
    let pid = until_state(&session, Active).await.pid.unwrap();
    wanted(ActiveState::Inactive).await.unwrap();
    assert!(!alive(pid));
    assert_eq!(
        states_of_crashes(&session),
        [
            Starting, Connecting, Restarting, Starting, Connecting, Active, Errored, Starting,
            Connecting, Active, Stopping, Inactive,
        ]
    );
    let history = session.history();
    assert!(history.windows(2).all(|pair| pair[0].at <= pair[1].at));
    for change in history {
        let is_failure = matches!(change.state, Restarting | Errored);
        assert_eq!(change.error.is_some(), is_failure, "{change:?}");
    }
}

/// The watch shows what the history shows; what is skipped is only what was overtaken.
#[tokio::test]
async fn status_is_one_consistent_value() {
    let host = bench_host(|builder| builder).await;
    let session = host.run(Rig::new("").package(RIG)).await;
    let status = session.status().borrow().clone();
    assert!(alive(status.pid.unwrap()));
    assert_eq!(status.restarts, 0);
    assert_eq!(status.next_attempt_at, None);
    let json = serde_json::to_value(&status).unwrap();
    assert_eq!(json["state"], json!("active"));
    assert!(json.get("error").is_none(), "{json}");
    // A second start is no second process.
    session.set_active_state(ActiveState::Active).await.unwrap();
    let echoed = session.call_raw("pid", None, CallOptions::default());
    let answer: serde_json::Value = serde_json::from_str(echoed.await.unwrap().get()).unwrap();
    assert_eq!(answer["pid"], json!(status.pid));
    assert_eq!(states(&session), [Starting, Connecting, Active]);
}

/// The original kept showing the old error until the new process had dialed, and its API answered
/// 502 with it although the plugin came up.
#[tokio::test]
async fn no_error_outlives_a_new_start() {
    let host = bench_host(|builder| {
        builder.policy(Policy {
            restarts: 0,
            ..quick()
        })
    })
    .await;
    let marker = host.folder().join("marker");
    let orders = format!("--once {} --exit 42", marker.display());
    let session = host.start(Rig::new(&orders).package(RIG)).await;
    until_state(&session, Errored).await;
    let mut watch = session.status();
    watch.mark_unchanged();
    session.supervised().unwrap().start().await.unwrap();
    assert!(watch.borrow().error.is_none());
    assert_ne!(watch.borrow().state, Errored);
    within(session.ready()).await.unwrap();
    let states = states(&session);
    assert_eq!(states[3..], [Starting, Connecting, Active]);
}

/// `ready` tells why not.
#[tokio::test]
async fn ready_says_why_not() {
    let host = bench_host(|builder| {
        builder.policy(Policy {
            restarts: 0,
            ..quick()
        })
    })
    .await;
    let broken = host.start(Rig::new("--exit 42").package(RIG)).await;
    let error = within(broken.ready()).await.unwrap_err().to_string();
    assert!(error.contains("exit status 42"), "{error}");
    let waiting = host.start(Rig::new("--never-dial").package(RIG)).await;
    let ready = {
        let waiting = waiting.clone();
        async move { waiting.ready().await }
    };
    let stop = async {
        until_state(&waiting, Connecting).await;
        waiting.set_active_state(ActiveState::Inactive).await
    };
    let (ready, stopped) = within(async { tokio::join!(ready, stop) }).await;
    stopped.unwrap();
    assert!(ready.unwrap_err().to_string().contains("stopped"));
    // And it does not wait for what nobody asked for.
    assert!(within(waiting.ready()).await.is_err());
}

/// Never dials: put down, tried again, given up; nothing is left of the attempts.
#[tokio::test]
async fn a_child_that_never_dials_is_put_down() {
    let host = bench_host(|builder| {
        builder.policy(Policy {
            restarts: 1,
            dial_deadline: Duration::from_secs(1),
            ..quick()
        })
    })
    .await;
    let package = Rig::new("--say here-i-am --never-dial").package(RIG);
    let session = host.start(package).await;
    let first = until(&session, |status| status.pid.is_some()).await;
    let status = until_state(&session, Errored).await;
    assert!(!alive(first.pid.unwrap()));
    let failure = status.error.unwrap();
    assert_eq!(failure.details.stage, Stage::Dial);
    assert!(failure.message.contains("dial"), "{failure}");
    assert!(failure.details.hint.is_some());
    assert_eq!(failure.details.last_lines, ["here-i-am"]);
    assert_eq!(status.restarts, 1);
    assert_eq!(
        states_of_crashes(&session),
        [
            Starting, Connecting, Restarting, Starting, Connecting, Stopping, Errored
        ]
    );
    assert!(jackfield_testkit::alive_with(&host.mark()).is_empty());
}

/// Whoever waits for it is told the last lines, also of one that was put down.
#[tokio::test]
async fn ready_tells_the_last_lines() {
    let host = bench_host(|builder| {
        builder.policy(Policy {
            restarts: 1,
            dial_deadline: Duration::from_secs(1),
            ..quick()
        })
    })
    .await;
    let session = host
        .start(Rig::new("--say no-license --never-dial").package(RIG))
        .await;
    let error = within(session.ready()).await.unwrap_err().to_string();
    assert!(error.contains("no-license"), "{error}");
    for change in session.history() {
        if let Some(failure) = change.error {
            assert_eq!(
                failure.details.last_lines,
                ["no-license"],
                "{:?}",
                change.state
            );
        }
    }
}
