//! What only a remote place can do wrong.

#![expect(clippy::unwrap_used, reason = "tests may")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jackfield::ReportedState::{Active, Connecting, Errored, Restarting, Starting};
use jackfield::package::Package;
use jackfield::{ActiveState, CallOptions, Host, InstallationId, LogQuery, Policy, Session, Spec};
use jackfield_sprites::SpritesRuntime;
use jackfield_testkit::sprites::{Break, Fault, Op, Service};
use jackfield_testkit::{
    Again, Rig, alive, alive_with, as_program, eventually, host_in, manifest, package, quick,
    shell, states, tell, until, until_state, within,
};
use serde_json::{Value, json};

use crate::bed::{Bed, RIG, remote, runtime};

const SOON: Duration = Duration::from_secs(20);

impl Bed {
    fn service(&self) -> &Service {
        self.service.as_ref().expect("it is remote")
    }

    fn sprites(&self) -> &SpritesRuntime {
        self.runtime.as_deref().expect("it is remote")
    }
}

async fn pid(session: &Session) -> u64 {
    let answer = session.call_raw("pid", None, CallOptions::default());
    let answer: Value = serde_json::from_str(within(answer).await.unwrap().get()).unwrap();
    answer["pid"].as_u64().expect("a pid")
}

/// Where a crash would be the end.
async fn unforgiving() -> Bed {
    remote(Policy {
        restarts: 0,
        ..quick()
    })
    .await
}

/// Whatever becomes of the connection, the process is the same afterwards, and there is one.
#[tokio::test]
async fn a_broken_connection_is_mended_without_a_second_process() {
    for how in [Break::Close, Break::Reset, Break::Silent] {
        let bed = unforgiving().await;
        let session = bed
            .host
            .run(Rig::new("--redials --stay").package(RIG))
            .await;
        let before = pid(&session).await;
        let sprite = bed.sprites().sprite_name(session.id());
        assert!(bed.service().break_lines(&sprite, how) > 0);
        let again = |requests: &[jackfield_testkit::sprites::Request]| {
            requests.iter().filter(|it| it.op == Op::Sessions).count() >= 2
        };
        bed.service().until("it is looked for", again).await;
        eventually(SOON, "one process", || {
            bed.service().pids(&sprite).len() == 1
        })
        .await;
        within(session.ready()).await.unwrap();
        assert_eq!(pid(&session).await, before, "{how:?}");
        within(session.set_active_state(ActiveState::Inactive))
            .await
            .unwrap();
        bed.nothing_runs(&session).await;
    }
}

#[tokio::test]
async fn what_it_writes_while_the_connection_is_down_is_not_lost() {
    let bed = unforgiving().await;
    let script =
        "n=0; while [ $n -lt 300 ]; do n=$((n+1)); echo line $n; sleep 0.005; done; exit 5";
    let session = bed.host.start(shell(script)).await;
    let sprite = bed.sprites().sprite_name(session.id());
    until_state(&session, Connecting).await;
    bed.service().break_lines(&sprite, Break::Reset);
    let status = until_state(&session, Errored).await;
    assert_eq!(status.error.unwrap().details.exit_code, Some(5));
    let mut logs = session.logs(LogQuery::default()).unwrap();
    let mut seen = Vec::new();
    while let Some(record) = within(logs.next()).await {
        seen.push(record.text);
    }
    let all: Vec<_> = (1..=300).map(|n| format!("line {n}")).collect();
    assert_eq!(seen, all);
}

/// The message of the end is lost: it is asked for.
#[tokio::test]
async fn an_end_that_nobody_told_is_noticed() {
    let bed = unforgiving().await;
    bed.service().next(Op::Start, Fault::NoExit(Break::Close));
    let session = bed.host.start(shell("sleep 0.2; exit 4")).await;
    until(&session, |status| {
        matches!(status.state, Restarting | Errored) && status.error.is_some()
    })
    .await;
}

#[tokio::test]
async fn a_wrong_key_is_errored_at_once_in_the_services_words() {
    let bed = remote(quick()).await;
    bed.service().always(Op::Get, Fault::status(401));
    let session = bed.host.start(shell("true")).await;
    let failure = until_state(&session, Errored).await.error.unwrap();
    assert_eq!(states(&session), [Starting, Errored]);
    let text = format!("{failure:?} {failure}");
    assert!(!text.contains(bed.service().api_key()), "{text}");
    assert!(
        failure.message.to_lowercase().contains("unauthorized") || failure.message.contains("401"),
        "{failure}"
    );
}

#[tokio::test]
async fn a_full_quota_is_errored_at_once() {
    let bed = remote(quick()).await;
    bed.service().next(Op::Create, Fault::quota());
    let session = bed.host.start(shell("true")).await;
    let failure = until_state(&session, Errored).await.error.unwrap();
    assert!(
        failure.message.contains("concurrent") || failure.message.contains("limit"),
        "{failure}"
    );
}

#[tokio::test]
async fn a_rate_limit_is_waited_for() {
    let bed = unforgiving().await;
    bed.service().next(Op::Create, Fault::rate_limited(2));
    let session = bed.host.start(Rig::new("").package(RIG)).await;
    let status = until_state(&session, Restarting).await;
    let wait = status
        .next_attempt_at
        .unwrap()
        .duration_since(SystemTime::now());
    assert!(
        wait.unwrap_or_default() > Duration::from_millis(1500),
        "{status:?}"
    );
    within(session.ready()).await.unwrap();
}

/// A service that is down is no crash of the plugin, however long.
#[tokio::test]
async fn an_outage_is_outlasted() {
    let bed = unforgiving().await;
    bed.service().times(Op::Get, 3, Fault::status(503));
    bed.service().times(Op::Control, 2, Fault::status(502));
    let session = bed.host.start(Rig::new("").package(RIG)).await;
    within(session.ready()).await.unwrap();
    let restarting = states(&session)
        .iter()
        .filter(|it| **it == Restarting)
        .count();
    assert!(restarting >= 3, "{:?}", states(&session));
    assert_eq!(states(&session).last(), Some(&Active));
}

fn many_files() -> Arc<Package> {
    let names: Vec<_> = (0..60).map(|n| format!("files/{n:02}.txt")).collect();
    let content = vec![b'x'; 4096];
    let files: Vec<_> = names.iter().map(|name| (&**name, &*content)).collect();
    package(
        &manifest(json!({"command": "sh", "args": ["-c", "ls files | wc -l; sleep 1000"]})),
        &files,
    )
}

#[tokio::test]
async fn an_upload_that_broke_goes_on_where_it_was_and_the_marker_comes_last() {
    let bed = unforgiving().await;
    bed.service().slow(Duration::from_millis(20));
    bed.service().nth(Op::Write, 30, Fault::Cut(1000));
    let session = bed.host.start(many_files()).await;
    until_state(&session, Connecting).await;
    let sprite = bed.sprites().sprite_name(session.id());
    let uploads = bed.service().uploads(&sprite);
    assert!(uploads.last().unwrap().ends_with(".ok"), "{uploads:?}");
    let files: Vec<_> = uploads
        .iter()
        .filter(|path| path.contains("/files/"))
        .collect();
    let once: BTreeSet<_> = files.iter().collect();
    assert_eq!(once.len(), 60);
    assert!(files.len() < 80, "most are there once: {}", files.len());
    let at_once = bed.service().most_at_once(Op::Write);
    assert!((2..=8).contains(&at_once), "{at_once}");

    // What is there is not brought again.
    within(session.set_active_state(ActiveState::Inactive))
        .await
        .unwrap();
    session.set_active_state(ActiveState::Active).await.unwrap();
    until_state(&session, Connecting).await;
    assert_eq!(bed.service().uploads(&sprite).len(), uploads.len());
    within(bed.host.unload(session.id())).await;
}

#[tokio::test]
async fn without_a_control_channel_and_without_signals_it_works_as_well() {
    let bed = unforgiving().await;
    bed.service().always(Op::Control, Fault::status(404));
    bed.service().set_signals(false);
    let session = bed.host.run(Rig::new("").package(RIG)).await;
    pid(&session).await;
    within(session.set_active_state(ActiveState::Inactive))
        .await
        .unwrap();
    bed.nothing_runs(&session).await;
    assert!(!bed.service().key_in_url());
}

#[tokio::test]
async fn a_sprite_that_cannot_be_deleted_is_not_forgotten() {
    let bed = remote(quick()).await;
    let session = bed.host.run(Rig::new("").package(RIG)).await;
    bed.service().always(Op::Delete, Fault::status(500));
    let failed = within(bed.host.uninstall(session.id())).await;
    assert!(failed.is_err(), "it is said");
    let pending = bed.sprites().pending().await;
    assert_eq!(pending.len(), 1, "{pending:?}");
    assert_eq!(pending[0].sprite, bed.sprites().sprite_name(session.id()));
    bed.service().clear(Op::Delete);
    eventually(Duration::from_secs(60), "it is deleted", || {
        bed.service().sprites().is_empty()
    })
    .await;
}

#[tokio::test]
async fn unloading_gives_the_sprite_back_and_a_shutdown_does_not() {
    let bed = remote(quick()).await;
    let session = bed.host.run(Rig::new("").package(RIG)).await;
    within(bed.host.unload(session.id())).await;
    assert!(bed.service().sprites().is_empty());
    let session = bed.host.run(Rig::new("").package(RIG)).await;
    within(bed.host.shutdown(SOON)).await;
    assert_eq!(bed.service().sprites().len(), 1);
    bed.nothing_runs(&session).await;
    assert!(!bed.service().key_in_url());
}

#[tokio::test]
async fn a_plugin_that_serves_grpc_is_refused() {
    let bed = remote(quick()).await;
    let grpc = package(
        &manifest(json!({"command": "true", "transport": "grpc"})),
        &[],
    );
    let session = bed.host.start(grpc).await;
    let failure = until_state(&session, Errored).await.error.unwrap();
    assert!(failure.message.contains("gRPC"), "{failure}");
    assert_eq!(states(&session)[0], Starting);
}

const ID: &str = "JACKFIELD_TEST_ID";
const URL: &str = "JACKFIELD_TEST_URL";
const KEY: &str = "JACKFIELD_TEST_KEY";

async fn host_over(folder: &std::path::Path, runtime: Arc<SpritesRuntime>) -> Host {
    host_in(folder, |builder| builder.runtime(runtime as _)).await
}

/// Not a test: the host that is killed below.
#[tokio::test]
async fn a_host() {
    let Some(folder) = as_program() else { return };
    let var = |name: &str| std::env::var(name).expect("it was given");
    let runtime = SpritesRuntime::builder(var(KEY))
        .base_url(var(URL))
        .env("PATH", var("PATH"))
        .build();
    let host = host_over(&folder, Arc::new(runtime.unwrap())).await;
    let id: InstallationId = var(ID).parse().unwrap();
    // One that does not care whether anybody is there to be dialed.
    let session = host
        .load(Spec::supervised(id, shell("exec sleep 1000")))
        .unwrap();
    session.set_active_state(ActiveState::Active).await.unwrap();
    until_state(&session, Connecting).await;
    tell(&json!("it runs"));
    std::future::pending::<()>().await;
}

/// The host is killed while its plugin runs elsewhere, where nothing tells it. The next host finds that process and
/// ends it before it starts another.
#[tokio::test]
async fn a_host_that_was_killed_leaves_no_second_process() {
    let service = Service::start().await;
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let id = InstallationId::new();
    let mut host = Again::run("remote::a_host", first.path(), |command| {
        command
            .env(ID, id.to_string())
            .env(URL, service.base_url())
            .env(KEY, service.api_key());
    });
    host.told().await;
    let old = service.pids(&runtime(&service).sprite_name(id))[0];
    host.kill().await;
    assert!(alive(old), "it runs on, elsewhere");

    let next = host_over(second.path(), runtime(&service)).await;
    let spec = Spec::supervised(id, Rig::new("").package(RIG));
    let session = next.load(spec).unwrap();
    session.set_active_state(ActiveState::Active).await.unwrap();
    within(session.ready()).await.unwrap();
    assert!(!alive(old));
    let sprite = runtime(&service).sprite_name(id);
    assert_eq!(service.pids(&sprite).len(), 1);
    within(next.unload(id)).await;
    assert!(alive_with(&id.to_string()).is_empty());
}
