//! Settings, names and embedders at the edge.

use std::sync::Arc;
use std::time::Duration;

use jackfield::ReportedState::{Active, Connecting, Errored, Inactive};
use jackfield::package::Package;
use jackfield::runtime::{BoxFuture, Deployment, Launch, Running, Runtime};
use jackfield::{
    ActiveState, CallOptions, Failure, InstallationId, LogLimits, LogQuery, Policy,
    RuntimeProvider, Session, Spec,
};
use jackfield_testkit::{
    Dial, Rig, alive_with, bench_host, end, host_in, manifest, package, quick, shell, states,
    until, until_state, within,
};
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;

use crate::RIG;

/// "For ever" is a duration like any other.
#[tokio::test]
async fn durations_may_be_endless() {
    let endless = Policy {
        settle: Duration::MAX,
        launch_deadline: Duration::MAX,
        dial_deadline: Duration::MAX,
        stop_grace: Duration::MAX,
        call_deadline: Duration::MAX,
        heartbeat: Duration::MAX,
        dead_after: Duration::MAX,
        ..quick()
    };
    let host = bench_host(|builder| builder.policy(endless)).await;
    let session = host.run(Rig::new("").package(RIG)).await;
    let echoed = session.call_raw("echo", None, CallOptions::default());
    within(echoed).await.unwrap();
    let options = CallOptions {
        deadline: Some(Duration::MAX),
        ..CallOptions::default()
    };
    within(session.call_raw("echo", None, options))
        .await
        .unwrap();
    within(session.set_active_state(ActiveState::Inactive))
        .await
        .unwrap();
    host.run(Rig::new("").package(RIG)).await;
    let left = within(host.shutdown(Duration::MAX)).await;
    assert!(left.killed.is_empty());
}

/// A delay without end: it waits, says so, and can be stopped and started.
#[tokio::test]
async fn a_delay_may_be_endless() {
    let endless = Policy {
        delay: Duration::MAX,
        delay_cap: Duration::MAX,
        ..quick()
    };
    let host = bench_host(|builder| builder.policy(endless)).await;
    let session = host.start(shell("exit 1")).await;
    until_state(&session, jackfield::ReportedState::Restarting).await;
    within(session.set_active_state(ActiveState::Active))
        .await
        .unwrap();
    within(session.set_active_state(ActiveState::Inactive))
        .await
        .unwrap();
}

/// No patience at all.
#[tokio::test]
async fn durations_may_be_zero() {
    let none = Policy {
        delay: Duration::ZERO,
        delay_cap: Duration::ZERO,
        settle: Duration::ZERO,
        stop_grace: Duration::ZERO,
        probe: Duration::ZERO,
        restarts: 2,
        event_queue: 0,
        inbound_calls: 0,
        keep_packages: 0,
        ..quick()
    };
    let host = bench_host(|builder| builder.policy(none)).await;
    let session = host.run(Rig::new("--deaf --stay").package(RIG)).await;
    let params = serde_json::value::to_raw_value(&json!({"method": "x"})).unwrap();
    let call = session.call_raw("host", Some(&params), CallOptions::default());
    let answer: Value = serde_json::from_str(within(call).await.unwrap().get()).unwrap();
    assert!(answer["answer"]["error"]["code"].is_i64(), "{answer}");
    let began = Instant::now();
    within(session.set_active_state(ActiveState::Inactive))
        .await
        .unwrap();
    assert!(began.elapsed() < Duration::from_secs(3));
    let broken = host.start(shell("exit 1")).await;
    until_state(&broken, Errored).await;
    let left = within(host.shutdown(Duration::ZERO)).await;
    drop(left);
    assert!(alive_with(&host.mark()).is_empty());
}

/// A dial deadline that nobody can keep: given up, and nothing is left.
#[tokio::test]
async fn a_deadline_that_nobody_keeps() {
    let hasty = Policy {
        dial_deadline: Duration::ZERO,
        launch_deadline: Duration::ZERO,
        restarts: 1,
        ..quick()
    };
    let host = bench_host(|builder| builder.policy(hasty)).await;
    let session = host.start(Rig::new("").package(RIG)).await;
    until(&session, |status| matches!(status.state, Errored | Active)).await;
    within(session.set_active_state(ActiveState::Inactive))
        .await
        .unwrap();
    assert!(alive_with(&host.mark()).is_empty());
}

#[tokio::test]
async fn a_log_may_have_no_room() {
    let host = bench_host(|builder| {
        builder
            .log_limits(LogLimits { file: 0, total: 0 })
            .policy(Policy {
                restarts: 0,
                ..quick()
            })
    })
    .await;
    let session = host.start(shell("seq 1 5000; exit 1")).await;
    until_state(&session, Errored).await;
    let mut logs = session.logs(LogQuery::default()).unwrap();
    let mut last = 0;
    while let Some(record) = within(logs.next()).await {
        assert!(record.seq > last);
        last = record.seq;
    }
}

/// What cannot be an environment is said, once, and hurts nobody.
#[tokio::test]
async fn variables_that_cannot_be() {
    let host = bench_host(|builder| builder).await;
    for (key, value) in [("A\0B", "x"), ("A", "x\0y"), ("", "x"), ("A=B", "x")] {
        let spec = Spec::supervised(InstallationId::new(), Rig::new("").package(RIG));
        let session = host.load(spec.env(key, value)).unwrap();
        session.set_active_state(ActiveState::Active).await.unwrap();
        let status = until(&session, |status| matches!(status.state, Errored | Active)).await;
        if status.state == Errored {
            assert_eq!(status.restarts, 0, "{key:?}={value:?}: {status:?}");
            let failure = status.error.unwrap();
            assert!(
                failure.details.hint.is_some()
                    || failure.message.contains("variable")
                    || failure.message.contains("environment"),
                "{failure}"
            );
        }
        host.unload(session.id()).await;
    }
}

/// Arguments beyond what the system takes: an error that says so, without attempts.
#[tokio::test]
async fn arguments_that_are_too_long() {
    let host = bench_host(|builder| builder).await;
    let long = "x".repeat(200_000);
    let manifest = manifest(json!({"command": "sh", "args": ["-c", "exit 0", long]}));
    let session = host.start(package(&manifest, &[])).await;
    let status = until_state(&session, Errored).await;
    assert_eq!(status.restarts, 0, "{status:?}");
    let message = status.error.unwrap().message;
    assert!(message.len() < 1000, "{} bytes", message.len());
}

/// A data folder with a name that nobody would choose.
#[tokio::test]
async fn a_folder_with_a_strange_name() {
    let folder = tempfile::tempdir().unwrap();
    for name in [
        "with space",
        "ünïcode ☃",
        "new\nline",
        "per%20cent &=?#",
        "-dash",
        "q'u\"o$te",
    ] {
        let data = folder.path().join(name);
        let host = host_in(&data, |builder| builder).await;
        let manifest = manifest(json!({"command": "./run.sh"}));
        let script = format!("#!/bin/sh\nexec {RIG}\n");
        let package = package(&manifest, &[("run.sh", script.as_bytes())]);
        let session = host
            .load(Spec::supervised(InstallationId::new(), package))
            .unwrap();
        session.set_active_state(ActiveState::Active).await.unwrap();
        within(session.ready())
            .await
            .unwrap_or_else(|error| panic!("{name:?}: {error}"));
        within(host.shutdown(Duration::from_secs(5))).await;
    }
}

/// One that closes its outputs is not taken for one that has ended.
#[tokio::test]
async fn outputs_may_be_closed() {
    let host = bench_host(|builder| builder).await;
    let script = format!("exec >&- 2>&- <&-; exec {RIG} --stay");
    let session = host.run(shell(&script)).await;
    for _ in 0..3 {
        within(session.call_raw("echo", None, CallOptions::default()))
            .await
            .unwrap();
    }
    assert_eq!(session.status().borrow().state, Active);
    end(session.status().borrow().pid.unwrap());
    until(&session, |status| status.state != Active).await;
    within(session.ready()).await.unwrap();
}

/// One that ends well whenever its line is lost, as supervised SDKs do: no crash is counted.
#[tokio::test]
async fn ending_well_with_the_line_is_no_crash() {
    let host = bench_host(|builder| {
        builder.policy(Policy {
            restarts: 0,
            ..quick()
        })
    })
    .await;
    let session = host.run(Rig::new("").package(RIG)).await;
    for _ in 0..4 {
        let before = session.status().borrow().started_at;
        let call = session.call_raw("hang_up", None, CallOptions::default());
        within(call).await.unwrap_err();
        let back = until(&session, |status| {
            status.state == Errored || status.state == Active && status.started_at > before
        });
        assert_eq!(back.await.state, Active);
    }
}

/// Anything that comes is a sign of life, also from one that never answers a ping.
#[tokio::test]
async fn one_that_only_speaks_is_alive() {
    let host = bench_host(|builder| {
        builder.policy(Policy {
            heartbeat: Duration::from_millis(100),
            dead_after: Duration::from_secs(1),
            ..quick()
        })
    })
    .await;
    let (session, token) = host.expect(&manifest(json!({}))).await;
    let mut line = Dial::external(&host, &token).open().await;
    until_state(&session, Active).await;
    let until = Instant::now() + Duration::from_millis(2500);
    let mut tick = tokio::time::interval(Duration::from_millis(100));
    while Instant::now() < until {
        tick.tick().await;
        // Never read, so never a pong.
        let note = Message::text(r#"{"id":"nobody","result":{}}"#);
        line.send_message(note).await.unwrap();
    }
    assert_eq!(states(&session), [Connecting, Active]);
}

/// A method that stops or unloads the plugin that calls it.
#[tokio::test]
async fn a_plugin_may_ask_for_its_own_end() {
    let host = bench_host(|builder| {
        builder.methods(|methods| {
            methods.raw("stop_me", |call, _params| async move {
                let session: Session = call.context;
                let _ = session.set_active_state(ActiveState::Inactive).await;
                Ok(jackfield::RawJson::of(&json!({})).unwrap())
            })
        })
    })
    .await;
    let session = host.run(Rig::new("--stay").package(RIG)).await;
    let params = serde_json::value::to_raw_value(&json!({"method": "stop_me"})).unwrap();
    let call = session.call_raw("host", Some(&params), CallOptions::default());
    within(call).await.unwrap_err();
    until_state(&session, Inactive).await;
    assert!(alive_with(&host.mark()).is_empty());
    assert_eq!(session.open_calls(), (0, 0));
}

/// A runtime of somebody else's that panics: its plugin fails, or its session ends; nobody waits
/// for ever, and no other plugin notices.
#[derive(Debug)]
struct Panics;

impl Runtime for Panics {
    fn provider(&self) -> RuntimeProvider {
        RuntimeProvider::Local
    }

    fn deploy(
        &self,
        _: InstallationId,
        _: Arc<Package>,
    ) -> BoxFuture<'_, Result<Deployment, Failure>> {
        Box::pin(async { panic!("as written") })
    }

    fn launch(
        &self,
        _: InstallationId,
        _: &Deployment,
        _: Launch,
    ) -> BoxFuture<'_, Result<Box<dyn Running>, Failure>> {
        unreachable!()
    }

    fn remove(&self, _: InstallationId) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async { Ok(()) })
    }
}

#[tokio::test]
async fn a_runtime_that_panics() {
    let host = bench_host(|builder| builder.runtime(Arc::new(Panics)).policy(quick())).await;
    let (other, token) = host.expect(&manifest(json!({}))).await;
    let session = host.start(Rig::new("").package(RIG)).await;
    within(session.ready()).await.unwrap_err();
    let _ = within(session.set_active_state(ActiveState::Inactive)).await;
    assert_ne!(session.status().borrow().state, Active);
    within(host.unload(session.id())).await;
    let _program = jackfield_testkit::Program::dial(&host, &token).await;
    within(other.ready()).await.unwrap();
    within(host.shutdown(Duration::from_secs(5))).await;
}
