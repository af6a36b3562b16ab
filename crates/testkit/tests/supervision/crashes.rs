//! Crashes, clean ends, back-off, and what can never work.

use std::time::Duration;

use jackfield::ReportedState::{Active, Connecting, Errored, Restarting, Starting};
use jackfield::package::{Limits, Package};
use jackfield::{ActiveState, CallOptions, Failure, Policy, Session, Stage};
use jackfield_testkit::{
    Rig, alive, bench_host, end, eventually, manifest, package, packed, parent_of, quick, shell,
    states, states_of_crashes, until, until_state, within,
};
use serde_json::{json, value::RawValue};
use std::sync::Arc;

use crate::RIG;

fn exit_with(code: i32) -> Box<RawValue> {
    serde_json::value::to_raw_value(&json!({"code": code})).unwrap()
}

/// Has the plugin end with this code, and waits until the end is noticed.
async fn exit(session: &Session, code: i32) {
    let pid = session.status().borrow().pid;
    let params = exit_with(code);
    let gone = session.call_raw("exit", Some(&params), CallOptions::default());
    within(gone).await.expect_err("it ends before it answers");
    until(session, |status| status.pid != pid).await;
}

/// Three restarts in a row, then given up, with everything that is known.
#[tokio::test]
async fn a_plugin_that_crashes_on_boot_is_given_up() {
    let host = bench_host(|builder| builder).await;
    let orders = "--say-out first-words --say last-words --exit 42";
    let session = host.start(Rig::new(orders).package(RIG)).await;
    let status = until_state(&session, Errored).await;
    assert_eq!(status.restarts, 3);
    assert_eq!(status.pid, None);
    let failure = status.error.unwrap();
    assert_eq!(failure.message, "exit status 42");
    assert_eq!(failure.details.exit_code, Some(42));
    assert_eq!(failure.details.signal, None);
    assert_eq!(failure.details.stage, Stage::Exit);
    let mut lines = failure.details.last_lines.clone();
    lines.sort();
    assert_eq!(lines, ["first-words", "last-words"]);
    let mut details = serde_json::to_value(&failure.details).unwrap();
    details.as_object_mut().unwrap().remove("last_lines");
    assert_eq!(
        details,
        json!({"runtime_provider": "local", "stage": "exit", "error": "exit status 42", "exit_code": 42})
    );
    let runs = states(&session).iter().filter(|s| **s == Starting).count();
    assert_eq!(runs, 4);
    for change in session.history() {
        if change.state == Restarting {
            assert_eq!(change.error.unwrap().message, "exit status 42");
        }
    }
}

/// Of much that was written, the last 20 lines are told, in order.
#[tokio::test]
async fn the_last_lines_are_told() {
    let host = bench_host(|builder| {
        builder.policy(Policy {
            restarts: 0,
            ..quick()
        })
    })
    .await;
    let session = host.start(shell("seq 1 5000; exit 7")).await;
    let failure = until_state(&session, Errored).await.error.unwrap();
    let expected: Vec<String> = (4981..=5000).map(|n| n.to_string()).collect();
    assert_eq!(failure.details.last_lines, expected);
    assert!(failure.to_string().contains("5000"), "{failure}");
}

#[tokio::test]
async fn a_signal_is_told_by_name() {
    let host = bench_host(|builder| {
        builder.policy(Policy {
            restarts: 0,
            ..quick()
        })
    })
    .await;
    for (orders, name, number) in [("kill -9 $$", "killed", 9), ("kill -11 $$", "seg", 11)] {
        let session = host.start(shell(orders)).await;
        let failure = until_state(&session, Errored).await.error.unwrap();
        assert!(failure.message.contains("signal: "), "{failure}");
        assert!(failure.message.contains(name), "{failure}");
        assert_eq!(failure.details.signal, Some(number));
        assert_eq!(failure.details.exit_code, None);
        assert!(failure.details.hint.is_some());
    }
}

/// Delays below a second are kept, double, and are capped; the original cut them to none at all
/// and ran hot.
#[tokio::test]
async fn back_off_really_waits() {
    let host = bench_host(|builder| {
        builder.policy(Policy {
            delay: Duration::from_millis(150),
            delay_cap: Duration::from_millis(400),
            restarts: 4,
            ..quick()
        })
    })
    .await;
    let session = host.start(shell("exit 1")).await;
    let due = until_state(&session, Restarting).await;
    let due = due
        .next_attempt_at
        .expect("it is known when")
        .duration_since(due.since);
    assert!(due.unwrap() <= Duration::from_millis(150));
    until_state(&session, Errored).await;
    let history = session.history();
    let delays: Vec<Duration> = history
        .windows(2)
        .filter(|pair| pair[0].state == Restarting)
        .map(|pair| pair[1].at.duration_since(pair[0].at).unwrap())
        .collect();
    assert_eq!(delays.len(), 4);
    for (delay, least) in delays.iter().zip([150, 300, 400, 400]) {
        // The wall clock may be adjusted a little while we watch.
        let least = Duration::from_millis(least - 5);
        assert!(
            *delay >= least && *delay < least + Duration::from_secs(3),
            "{delays:?}"
        );
    }
}

/// Exit 0 is a request to be started again: it comes back however often, and no crash is counted.
#[tokio::test]
async fn exit_zero_is_no_crash() {
    let host = bench_host(|builder| {
        builder.policy(Policy {
            restarts: 1,
            ..quick()
        })
    })
    .await;
    let session = host.run(Rig::new("").package(RIG)).await;
    for _ in 0..5 {
        exit(&session, 0).await;
        within(session.ready()).await.expect("it comes back");
    }
    let restarting = session.history();
    let clean = restarting.iter().find(|change| change.state == Restarting);
    let clean = clean.expect("it was restarted").error.clone().unwrap();
    assert!(clean.message.contains("exited cleanly"), "{clean}");
    assert_eq!(clean.details.exit_code, Some(0));
    // Its one restart is still there.
    exit(&session, 3).await;
    within(session.ready()).await.expect("the first crash");
    exit(&session, 3).await;
    until_state(&session, Errored).await;
}

/// One that does nothing but end well is not started a thousand times a second.
#[tokio::test]
async fn exit_zero_is_no_hot_loop() {
    let host = bench_host(|builder| {
        builder.policy(Policy {
            delay: Duration::from_millis(200),
            delay_cap: Duration::from_secs(1),
            ..quick()
        })
    })
    .await;
    let session = host.start(shell("exit 0")).await;
    until(&session, |status| status.restarts >= 3).await;
    let history = session.history();
    let span = history
        .last()
        .unwrap()
        .at
        .duration_since(history[0].at)
        .unwrap();
    assert!(span >= Duration::from_millis(590), "{span:?}");
    session
        .set_active_state(ActiveState::Inactive)
        .await
        .unwrap();
}

/// Crashes are forgotten once a line has lasted; the original counted for ever, so that a plugin
/// which crashed once a week was given up within the month.
#[tokio::test]
async fn crashes_are_forgotten_after_a_while() {
    let settle = Duration::from_millis(200);
    let host = bench_host(|builder| {
        builder.policy(Policy {
            restarts: 1,
            settle,
            ..quick()
        })
    })
    .await;
    let session = host.run(Rig::new("").package(RIG)).await;
    for _ in 0..4 {
        // Time itself is what counts here.
        tokio::time::sleep(settle * 3).await;
        end(session.status().borrow().pid.unwrap());
        until(&session, |status| status.state != Active).await;
        within(session.ready()).await.expect("it comes back");
    }
}

/// A short line is no excuse: what crashes whenever it has connected is given up.
#[tokio::test]
async fn crashes_behind_a_short_line_are_not_forgotten() {
    let host = bench_host(|builder| builder).await;
    let session = host
        .start(Rig::new("--crash-on-connect 42").package(RIG))
        .await;
    let status = until_state(&session, Errored).await;
    assert_eq!(status.restarts, 3);
    assert_eq!(status.error.unwrap().message, "exit status 42");
}

/// A new start by hand begins with all restarts left.
#[tokio::test]
async fn a_start_by_hand_counts_anew() {
    let host = bench_host(|builder| builder).await;
    let session = host.start(shell("exit 1")).await;
    for _ in 0..2 {
        let status = until_state(&session, Errored).await;
        assert_eq!(status.restarts, 3);
        session.set_active_state(ActiveState::Active).await.unwrap();
        let status = session.status().borrow().clone();
        assert_eq!((status.restarts, status.error), (0, None));
    }
}

async fn hopeless(package: Arc<Package>) -> Failure {
    let host = bench_host(|builder| builder).await;
    let session = host.start(package).await;
    let status = until_state(&session, Errored).await;
    assert_eq!(status.restarts, 0, "{status:?}");
    assert!(!states(&session).contains(&Restarting));
    assert!(!states(&session).contains(&Active));
    let failure = status.error.unwrap();
    assert_eq!(failure.details.stage, Stage::Start, "{failure}");
    assert!(failure.details.hint.is_some(), "{failure}");
    failure
}

fn command(command: &str) -> Arc<Package> {
    package(&manifest(json!({"command": command})), &[])
}

/// The original retried all of these like crashes.
#[tokio::test]
async fn what_can_never_work_is_not_retried() {
    let failure = hopeless(command("no-such-command-anywhere")).await;
    assert!(
        failure.message.contains("no-such-command-anywhere"),
        "{failure}"
    );
    // Not executable, and not a file at all.
    let failure = hopeless(command("/etc/passwd")).await;
    assert!(failure.to_string().contains("executable"), "{failure}");
    hopeless(command("/etc")).await;
    hopeless(command("/no/such/file")).await;
}

#[tokio::test]
async fn a_script_with_a_bad_interpreter_says_so() {
    let script: &[u8] = b"#!/no/such/interpreter\nexit 0\n";
    let manifest = manifest(json!({"command": "./run.sh"}));
    let failure = hopeless(package(&manifest, &[("run.sh", script)])).await;
    assert!(
        failure.to_string().contains("/no/such/interpreter"),
        "{failure}"
    );
    // A line end from another system is part of the name.
    let script: &[u8] = b"#!/bin/sh\r\nexit 0\r\n";
    let failure = hopeless(package(&manifest, &[("run.sh", script)])).await;
    assert!(failure.to_string().contains("/bin/sh"), "{failure}");
}

#[tokio::test]
async fn a_program_for_another_machine_says_so() {
    let manifest = manifest(json!({"command": "./program"}));
    for bytes in [
        &b"\x7fELF\x02\x01\x01 for something else"[..],
        b"\0\0\0\0",
        b"",
    ] {
        let package = package(&manifest, &[("program", bytes)]);
        let host = bench_host(|builder| builder).await;
        let session = host.start(package).await;
        let status = until_state(&session, Errored).await;
        assert_eq!(status.restarts, 0, "{bytes:?} {status:?}");
    }
}

/// A relative command is looked up in the package, not in the host's working folder.
#[tokio::test]
async fn a_command_of_the_package_is_found() {
    let script: &[u8] = b"#!/bin/sh\npwd > \"$JACKFIELD_STATE_DIR/where\"\nexec sleep 1000\n";
    let host = bench_host(|builder| builder).await;
    let manifest = manifest(json!({"command": "bin/run.sh"}));
    let session = host
        .start(package(&manifest, &[("bin/run.sh", script)]))
        .await;
    let pid = until(&session, |status| status.pid.is_some()).await.pid;
    let folder = jackfield_testkit::environment(pid.unwrap()).await["JACKFIELD_STATE_DIR"].clone();
    let place = jackfield_testkit::until_file(format!("{folder}/where"));
    assert!(place.await.contains(&session.id().to_string()));
    session
        .set_active_state(ActiveState::Inactive)
        .await
        .unwrap();
}

/// Somebody kills what stands between host and plugin: the plugin goes with it, and comes back.
#[tokio::test]
async fn the_death_of_the_parent_is_a_crash() {
    let host = bench_host(|builder| builder).await;
    let session = host.run(Rig::new("").package(RIG)).await;
    let pid = session.status().borrow().pid.unwrap();
    let parent = parent_of(pid).unwrap();
    assert_ne!(parent, std::process::id(), "nothing stands between");
    end(parent);
    until(&session, |status| status.pid != Some(pid)).await;
    eventually(Duration::from_secs(5), "the old one is gone", || {
        !alive(pid)
    })
    .await;
    within(session.ready()).await.unwrap();
    assert_eq!(
        states_of_crashes(&session),
        [
            Starting, Connecting, Active, Restarting, Starting, Connecting, Active
        ]
    );
}

/// A package whose archive is gone, or is another one by now, is not asked for again.
#[tokio::test]
async fn a_package_that_went_away_is_not_retried() {
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("package.zip");
    let other = packed(&manifest(json!({"command": "false"})), &[("other", b"x")]);
    for replaced in [false, true] {
        let packed = packed(&manifest(json!({"command": "true"})), &[]);
        std::fs::write(&archive, &packed.bytes).unwrap();
        let package = Package::open(&archive, &Limits::default()).unwrap();
        std::fs::remove_file(&archive).unwrap();
        if replaced {
            std::fs::write(&archive, &other.bytes).unwrap();
        }
        let host = bench_host(|builder| builder).await;
        let session = host.start(Arc::new(package)).await;
        let status = until_state(&session, Errored).await;
        assert_eq!(status.restarts, 0, "{status:?}");
        let failure = status.error.unwrap();
        assert_eq!(failure.details.stage, Stage::Deploy);
        assert!(failure.details.hint.is_some(), "{failure}");
    }
}
