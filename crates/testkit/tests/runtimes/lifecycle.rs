//! What must be so wherever a plugin lives.

#![expect(clippy::unwrap_used, reason = "tests may")]

use std::time::Duration;

use jackfield::ReportedState::{
    Active, Connecting, Errored, Inactive, Restarting, Starting, Stopping,
};
use jackfield::{ActiveState, CallOptions, LogQuery, Policy, Session, Spec};
use jackfield_testkit::peers::Language;
use jackfield_testkit::{
    Rig, alive_with, eventually, manifest, package, peers, shell, states, states_of_crashes, until,
    until_state, within,
};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::bed::{Bed, Place, RIG};

async fn call(session: &Session, method: &str, params: Value) -> Value {
    let params: Box<RawValue> = serde_json::value::to_raw_value(&params).unwrap();
    let answer = session.call_raw(method, Some(&params), CallOptions::default());
    serde_json::from_str(within(answer).await.unwrap().get()).unwrap()
}

async fn stop(session: &Session) {
    let stopped = session.set_active_state(ActiveState::Inactive);
    within(stopped).await.unwrap();
}

async fn lines(session: &Session) -> Vec<String> {
    let mut logs = session.logs(LogQuery::default()).unwrap();
    let mut lines = Vec::new();
    while let Some(record) = within(logs.next()).await {
        lines.push(record.text);
    }
    lines
}

pub(crate) async fn starts_answers_and_stops(place: Place) {
    let bed = place.bed().await;
    let session = bed.host.run(Rig::new("").package(RIG)).await;
    assert_eq!(states(&session), [Starting, Connecting, Active]);
    let answer = call(&session, "echo", json!({"a": 1})).await;
    assert_eq!(answer["params"]["a"], 1, "{answer}");
    stop(&session).await;
    assert_eq!(
        states(&session),
        [Starting, Connecting, Active, Stopping, Inactive]
    );
    bed.nothing_runs(&session).await;
    // And it is as good as new.
    session.set_active_state(ActiveState::Active).await.unwrap();
    within(session.ready()).await.unwrap();
    stop(&session).await;
}

pub(crate) async fn is_started_again_after_a_crash(place: Place) {
    let bed = place.bed().await;
    let session = bed.host.run(Rig::new("").package(RIG)).await;
    let params = serde_json::value::to_raw_value(&json!({"code": 7})).unwrap();
    let crash = session.call_raw("exit", Some(&params), CallOptions::default());
    assert!(within(crash).await.is_err());
    until(&session, |status| {
        status.state == Active && status.restarts == 1
    })
    .await;
    let failures: Vec<_> = session
        .history()
        .into_iter()
        .filter_map(|change| change.error)
        .collect();
    assert_eq!(failures[0].details.exit_code, Some(7), "{failures:?}");
    assert_eq!(
        states_of_crashes(&session),
        [
            Starting, Connecting, Active, Restarting, Starting, Connecting, Active
        ]
    );
}

pub(crate) async fn is_given_up_after_three_restarts(place: Place) {
    let bed = place.bed().await;
    let session = bed.host.start(shell("echo last words; exit 3")).await;
    let status = until_state(&session, Errored).await;
    let failure = status.error.expect("a reason");
    assert_eq!(failure.details.exit_code, Some(3));
    assert_eq!(failure.details.last_lines, ["last words"]);
    assert_eq!(status.restarts, 3);
    assert_eq!(lines(&session).await, ["last words"; 4]);
}

pub(crate) async fn exit_0_is_no_crash(place: Place) {
    let bed = place
        .bed_with(|policy| Policy {
            restarts: 0,
            ..policy
        })
        .await;
    let session = bed.host.start(shell("exit 0")).await;
    until(&session, |status| status.restarts >= 3).await;
    stop(&session).await;
}

pub(crate) async fn a_program_that_is_not_there(place: Place) {
    let bed = place.bed().await;
    let none = package(&manifest(json!({"command": "no-such-program"})), &[]);
    let session = bed.host.start(none).await;
    let status = until_state(&session, Errored).await;
    let failure = status.error.expect("a reason");
    assert!(failure.to_string().contains("no-such-program"), "{failure}");
}

pub(crate) async fn stops_before_the_process_exists(place: Place) {
    let bed = place.bed().await;
    for _ in 0..5 {
        let session = bed.host.start(Rig::new("").package(RIG)).await;
        stop(&session).await;
        assert_eq!(session.status().borrow().state, Inactive);
        bed.nothing_runs(&session).await;
        session.set_active_state(ActiveState::Active).await.unwrap();
        within(session.ready()).await.unwrap();
        bed.host.unload(session.id()).await;
    }
}

pub(crate) async fn stops_while_connecting(place: Place) {
    let bed = place.bed().await;
    let session = bed.host.start(Rig::new("--never-dial").package(RIG)).await;
    until_state(&session, Connecting).await;
    stop(&session).await;
    assert_eq!(states(&session), [Starting, Connecting, Stopping, Inactive]);
    bed.nothing_runs(&session).await;
}

pub(crate) async fn stops_during_back_off(place: Place) {
    let patient = |policy| Policy {
        delay: Duration::from_secs(60),
        delay_cap: Duration::from_secs(60),
        ..policy
    };
    let bed = place.bed_with(patient).await;
    let session = bed.host.start(Rig::new("--exit 42").package(RIG)).await;
    until_state(&session, Restarting).await;
    stop(&session).await;
    assert_eq!(session.status().borrow().state, Inactive);
    bed.nothing_runs(&session).await;
}

pub(crate) async fn stops_while_active(place: Place) {
    let bed = place.bed().await;
    let session = bed.host.run(Rig::new("").package(RIG)).await;
    assert!(!alive_with(&session.id().to_string()).is_empty());
    stop(&session).await;
    bed.nothing_runs(&session).await;
}

pub(crate) async fn stops_while_errored(place: Place) {
    let bed = place
        .bed_with(|policy| Policy {
            restarts: 0,
            ..policy
        })
        .await;
    let session = bed.host.start(shell("exit 1")).await;
    until_state(&session, Errored).await;
    stop(&session).await;
    assert_eq!(session.status().borrow().state, Inactive);
}

pub(crate) async fn is_killed_after_the_grace(place: Place) {
    let bed = place.bed().await;
    let session = bed.host.run(Rig::new("--deaf --stay").package(RIG)).await;
    stop(&session).await;
    bed.nothing_runs(&session).await;
}

pub(crate) async fn many_stops_are_all_answered(place: Place) {
    let bed = place.bed().await;
    let session = bed.host.run(Rig::new("").package(RIG)).await;
    let (a, b, c) = tokio::join!(stop(&session), stop(&session), stop(&session));
    let ((), (), ()) = (a, b, c);
    assert_eq!(session.status().borrow().state, Inactive);
}

pub(crate) async fn a_start_while_stopping(place: Place) {
    let bed = place.bed().await;
    let session = bed.host.run(Rig::new("--deaf --stay").package(RIG)).await;
    let started = async {
        until_state(&session, Stopping).await;
        session.set_active_state(ActiveState::Active).await.unwrap();
    };
    tokio::join!(stop(&session), started);
    within(session.ready()).await.unwrap();
    bed.host.unload(session.id()).await;
    bed.nothing_runs(&session).await;
}

pub(crate) async fn start_and_stop_race(place: Place) {
    let bed = place.bed().await;
    let session = bed.host.install(Rig::new("").package(RIG));
    for _ in 0..5 {
        let (started, ()) = tokio::join!(
            session.set_active_state(ActiveState::Active),
            stop(&session)
        );
        started.unwrap();
    }
    stop(&session).await;
    bed.nothing_runs(&session).await;
}

pub(crate) async fn state_survives_an_upgrade(place: Place) {
    let bed = place.bed().await;
    let script = "cat version >> \"$JACKFIELD_STATE_DIR/runs\"; sleep 1000";
    let version = |text: &str| {
        package(
            &manifest(json!({"command": "sh", "args": ["-c", script], "version": text})),
            &[("version", format!("version {text}\n").as_bytes())],
        )
    };
    let session = bed.host.start(version("1")).await;
    let id = session.id();
    let written = |count: usize| {
        let runs = bed.state(&session, "runs").unwrap_or_default();
        runs.lines().count() >= count && !alive_with(&id.to_string()).is_empty()
    };
    eventually(Duration::from_secs(20), "it wrote", || written(1)).await;
    stop(&session).await;
    // What was written stays.
    let upgraded = bed.host.upgrade(Spec::supervised(id, version("2"))).await;
    let second = upgraded.expect("it is upgraded");
    second.set_active_state(ActiveState::Active).await.unwrap();
    eventually(Duration::from_secs(20), "it wrote again", || written(2)).await;
    let runs = bed.state(&second, "runs");
    assert_eq!(runs.as_deref(), Some("version 1\nversion 2\n"));
    bed.host.unload(id).await;
}

pub(crate) async fn every_line_is_in_the_log(place: Place) {
    let bed = place
        .bed_with(|policy| Policy {
            restarts: 0,
            ..policy
        })
        .await;
    let session = bed
        .host
        .start(Rig::new("--flood 2000 --exit 9").package(RIG))
        .await;
    until_state(&session, Errored).await;
    let lines = lines(&session).await;
    assert_eq!(lines.len(), 2000);
    assert!(
        lines[1999].contains("1999") || lines[1999].contains("2000"),
        "{}",
        lines[1999]
    );
}

pub(crate) async fn knows_its_environment(place: Place) {
    let bed = place.bed().await;
    let package = Rig::new("").package(RIG);
    let id = jackfield::InstallationId::new();
    let spec = Spec::supervised(id, package).env("MINE", "yes");
    let session = bed.host.load(spec).unwrap();
    session.set_active_state(ActiveState::Active).await.unwrap();
    within(session.ready()).await.unwrap();
    let answer = call(&session, "env", json!({})).await;
    let env = &answer["env"];
    let has = |name: &str| {
        env.get(name)
            .and_then(Value::as_str)
            .is_some_and(|it| !it.is_empty())
    };
    for name in [
        "PATH",
        "HOME",
        "JACKFIELD_RPC_URL",
        "STORYDEN_RPC_URL",
        "JACKFIELD_STATE_DIR",
    ] {
        assert!(has(name), "{name} in {env}");
    }
    assert_eq!(env["MINE"], "yes");
    assert!(!has("CARGO"), "nothing of the host's: {env}");
}

/// The host is gone without a word; the next one over the same installation starts the plugin once.
pub(crate) async fn a_new_host_finds_nothing_running(place: Place) {
    let bed = place.bed().await;
    let package = Rig::new("--redials").package(RIG);
    let session = bed.host.run(package.clone()).await;
    let before = alive_with(&session.id().to_string());
    assert!(!before.is_empty());
    bed.host.shutdown(Duration::from_secs(5)).await;
    bed.nothing_runs(&session).await;
    let id = session.id();
    let next = next_host(&bed).await;
    let session = next.load(Spec::supervised(id, package)).unwrap();
    session.set_active_state(ActiveState::Active).await.unwrap();
    within(session.ready()).await.unwrap();
    next.shutdown(Duration::from_secs(5)).await;
    bed.nothing_runs(&session).await;
}

async fn next_host(bed: &Bed) -> jackfield::Host {
    let folder = tempfile::tempdir().unwrap().keep();
    jackfield_testkit::host_in(&folder, |builder| match &bed.service {
        Some(service) => builder.runtime(crate::bed::runtime(service) as _),
        None => builder,
    })
    .await
}

pub(crate) async fn is_gone_when_it_is_uninstalled(place: Place) {
    let bed = place.bed().await;
    let session = bed.host.run(Rig::new("").package(RIG)).await;
    let id = session.id();
    within(bed.host.uninstall(id)).await.unwrap();
    bed.nothing_runs(&session).await;
    assert!(!bed.state_folder(id).exists());
    if let Some(service) = &bed.service {
        assert!(service.sprites().is_empty(), "it would cost money");
    }
}

pub(crate) async fn runs_a_plugin_in_python(place: Place) {
    let bed = place.bed().await;
    let id = jackfield::InstallationId::new();
    let spec = Spec::supervised(id, Language::Python.package()).env("PATH", peers::path());
    let session = bed.host.load(spec).unwrap();
    session.set_active_state(ActiveState::Active).await.unwrap();
    within(session.ready()).await.unwrap();
    let answer = call(&session, "ping", json!(null)).await;
    assert!(answer.is_object(), "{answer}");
    stop(&session).await;
    bed.nothing_runs(&session).await;
}
