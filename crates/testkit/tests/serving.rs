//! Packages whose manifest says `transport: grpc`: the same lifecycle, the same session, and a channel that survives
//! restarts.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jackfield::package::Package;
use jackfield::wire::methods::Ping;
use jackfield::{
    ActiveState, CallError, InstallationId, LoadError, LogQuery, Manifest, NotReady, Policy,
    ReportedState, Session, SessionChannel, Spec, Stage, Token,
};
use jackfield_testkit::tonic_kv::kv_service_client::KvServiceClient;
use jackfield_testkit::tonic_kv::{Entry, GetRequest, ListRequest, PutRequest};
use jackfield_testkit::{
    Rig, TestHost, alive, alive_with, bench_host, manifest, quick, states, until, until_file,
    until_state, within,
};
use serde_json::json;
use tonic::{Code, Request, Status};

use ReportedState::{Active, Connecting, Errored, Inactive, Restarting, Starting, Stopping};

type Kv = KvServiceClient<SessionChannel>;

fn package(orders: &str) -> Arc<Package> {
    named("kv.v1.KvService", orders)
}

fn named(service: &str, orders: &str) -> Arc<Package> {
    Rig::new(orders)
        .manifest(json!({"transport": "grpc", "service": service}))
        .package(env!("CARGO_BIN_EXE_grpc_rig"))
}

async fn host(policy: Policy) -> TestHost {
    bench_host(|builder| builder.policy(policy)).await
}

fn client(session: &Session) -> Kv {
    KvServiceClient::new(session.grpc_channel().expect("it serves gRPC"))
}

async fn get(kv: &Kv, key: &str) -> Result<String, Status> {
    let request = GetRequest {
        key: key.to_owned(),
    };
    let answer = within(kv.clone().get(request)).await?.into_inner();
    Ok(String::from_utf8(answer.value).expect("text"))
}

async fn pid(kv: &Kv) -> u32 {
    get(kv, "pid")
        .await
        .expect("it answers")
        .parse()
        .expect("a number")
}

#[tokio::test]
async fn it_is_a_session_like_any_other() {
    let host = host(quick()).await;
    let born = host.folder().join("born.json");
    let orders = format!("--birth {} --say hello", born.display());
    let session = host.run(package(&orders)).await;
    assert_eq!(states(&session), [Starting, Connecting, Active]);
    let mut kv = client(&session);
    let pid = pid(&kv).await;
    assert_eq!(session.status().borrow().pid, Some(pid));

    let entry = Entry {
        key: "a".to_owned(),
        value: b"1".to_vec(),
    };
    let put = PutRequest { entry: Some(entry) };
    assert!(!within(kv.put(put)).await.unwrap().into_inner().replaced);
    let list = ListRequest {
        prefix: "count:3".to_owned(),
    };
    let mut stream = within(kv.list(list)).await.unwrap().into_inner();
    let mut entries = 0;
    while within(stream.message()).await.unwrap().is_some() {
        entries += 1;
    }
    assert_eq!(entries, 3);

    within(session.set_active_state(ActiveState::Inactive))
        .await
        .unwrap();
    assert_eq!(
        states(&session),
        [Starting, Connecting, Active, Stopping, Inactive]
    );
    assert!(!alive(pid));
    let mut logs = session.logs(LogQuery::default()).unwrap();
    let first = within(logs.next()).await.unwrap();
    assert_eq!(first.text, "hello");

    let born: serde_json::Value = serde_json::from_slice(&std::fs::read(born).unwrap()).unwrap();
    let text = |name: &str| born["environment"][name].as_str().map(str::to_owned);
    assert!(text("FTL_BIND").unwrap().starts_with("http://127.0.0.1:"));
    assert_eq!(text("FTL_WORKING_DIR"), text("JACKFIELD_STATE_DIR"));
    assert!(Path::new(&text("FTL_WORKING_DIR").unwrap()).is_dir());
    assert_eq!(text("JACKFIELD_RPC_URL"), None, "it has nothing to dial");
    assert!(text("JACKFIELD_LAUNCH").is_some());
}

#[tokio::test]
async fn it_is_active_when_it_says_so_and_not_before() {
    let host = host(quick()).await;
    let go = host.folder().join("go");
    let pinged = host.folder().join("pinged");
    let orders = format!(
        "--not-ready reading --ready-when {} --pinged {}",
        go.display(),
        pinged.display()
    );
    let session = host.start(package(&orders)).await;
    within(until_file(&pinged)).await;
    assert_eq!(states(&session), [Starting, Connecting]);
    std::fs::write(&go, "").unwrap();
    within(session.ready()).await.unwrap();
    assert_eq!(states(&session), [Starting, Connecting, Active]);
}

/// Without a `service` in the manifest, the health service is asked; who has none and answers is taken.
#[tokio::test]
async fn a_manifest_need_not_name_the_service() {
    let host = host(quick()).await;
    let plain = Rig::new("")
        .manifest(json!({"transport": "grpc"}))
        .package(env!("CARGO_BIN_EXE_grpc_rig"));
    let session = host.run(plain).await;
    pid(&client(&session)).await;
}

#[tokio::test]
async fn a_client_is_made_once_and_outlives_crashes() {
    let host = host(quick()).await;
    let session = host.run(package("")).await;
    let kv = client(&session);
    let before = pid(&kv).await;
    let crashed = get(&kv, "exit:7").await.unwrap_err();
    assert_eq!(crashed.code(), Code::Unavailable, "{crashed}");
    // Right behind the crash: it waits for the next process.
    let after = pid(&kv).await;
    assert_ne!(before, after);
    let mut seen = states(&session);
    // The connection is gone a moment before its process is.
    seen.dedup_by(|next, before| {
        (*before, *next) == (Connecting, Restarting) && {
            *before = Restarting;
            true
        }
    });
    assert_eq!(
        seen,
        [
            Starting, Connecting, Active, Restarting, Starting, Connecting, Active
        ]
    );
    let history = session.history();
    let failed = history
        .iter()
        .find_map(|change| change.error.clone())
        .unwrap();
    assert_eq!(failed.details.exit_code, Some(7));
}

#[tokio::test]
async fn while_it_is_down_a_call_waits_or_fails_as_the_caller_chose() {
    let host = host(quick()).await;
    let session = host.install(package(""));
    let waiting = client(&session);
    let quick = session.grpc_channel().unwrap().fail_fast();
    let quick: Kv = KvServiceClient::new(quick);

    let refused = get(&quick, "pid").await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert_eq!(
        refused.message(),
        "the plugin is not running (state: inactive)"
    );
    let mut request = Request::new(GetRequest {
        key: "pid".to_owned(),
    });
    request.set_timeout(Duration::from_millis(50));
    let late = within(waiting.clone().get(request)).await.unwrap_err();
    assert_eq!(late.code(), Code::DeadlineExceeded, "{late}");

    let (answer, started) = tokio::join!(
        get(&waiting, "identity"),
        session.set_active_state(ActiveState::Active)
    );
    started.unwrap();
    answer.unwrap();
    get(&quick, "pid").await.unwrap();
}

#[tokio::test]
async fn calls_that_wait_end_with_the_session() {
    let host = host(quick()).await;
    let session = host.install(package(""));
    let kv = client(&session);
    let id = session.id();
    let (answer, ()) = tokio::join!(get(&kv, "pid"), host.unload(id));
    let refused = answer.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(refused.message().contains("has ended"), "{refused}");
}

/// A program that serves something else never becomes the right one: no restart.
#[tokio::test]
async fn a_wrong_service_is_errored_at_once() {
    let host = host(quick()).await;
    let session = host.start(named("kv.v1.NoSuchService", "")).await;
    let Err(NotReady::Errored(failure)) = within(session.ready()).await else {
        panic!("it cannot become ready");
    };
    assert!(failure.message.contains("kv.v1.NoSuchService"), "{failure}");
    assert_eq!(failure.details.stage, Stage::Dial);
    assert!(failure.details.hint.is_some());
    assert_eq!(states(&session), [Starting, Connecting, Stopping, Errored]);
}

#[tokio::test]
async fn one_that_is_never_ready_says_why() {
    let policy = Policy {
        dial_deadline: Duration::from_secs(1),
        restarts: 0,
        ..quick()
    };
    let host = host(policy).await;
    let session = host
        .start(package("--not-ready no-licence --say words"))
        .await;
    let Err(NotReady::Errored(failure)) = within(session.ready()).await else {
        panic!("it cannot become ready");
    };
    assert!(failure.message.contains("no-licence"), "{failure}");
    assert_eq!(failure.details.last_lines[0], "words");
}

#[tokio::test]
async fn a_connection_that_breaks_is_made_again_without_a_restart() {
    let host = host(quick()).await;
    let session = host.run(package("")).await;
    let kv = client(&session);
    let before = pid(&kv).await;
    let _ = get(&kv, "cut").await;
    until(&session, |status| status.state == Active).await;
    assert_eq!(pid(&kv).await, before);
    within(async {
        while states(&session).len() < 5 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(
        states(&session),
        [Starting, Connecting, Active, Connecting, Active]
    );
}

/// A process that is paused keeps its sockets open for ever.
#[tokio::test]
async fn one_that_does_not_run_is_found_and_started_again() {
    let policy = Policy {
        heartbeat: Duration::from_millis(100),
        dead_after: Duration::from_millis(400),
        dial_deadline: Duration::from_secs(2),
        ..quick()
    };
    let host = host(policy).await;
    let marker = host.folder().join("once");
    let session = host
        .run(package(&format!("--touch {}", marker.display())))
        .await;
    let kv = client(&session);
    let before = pid(&kv).await;
    let stopped = get(&kv, "stop").await.unwrap_err();
    assert_eq!(stopped.code(), Code::Unavailable, "{stopped}");
    assert_ne!(pid(&kv).await, before);
    assert!(states(&session).contains(&Restarting));
}

#[tokio::test]
async fn what_it_started_goes_with_it() {
    let host = host(quick()).await;
    let grandchild = host.folder().join("grandchild");
    let orders = format!("--grandchild-session {}", grandchild.display());
    let session = host.run(package(&orders)).await;
    let left: u32 = std::fs::read_to_string(&grandchild)
        .unwrap()
        .parse()
        .unwrap();
    assert!(alive(left));
    within(host.shutdown(Duration::from_secs(10))).await;
    assert_eq!(session.status().borrow().state, Inactive);
    assert!(!alive(left));
    assert!(alive_with(&host.mark()).is_empty());
}

#[tokio::test]
async fn what_it_cannot_do_is_said() {
    let host = host(quick()).await;
    let session = host
        .run(
            Rig::new("")
                .manifest(json!({"transport": "grpc", "events_consumed": ["Something"]}))
                .package(env!("CARGO_BIN_EXE_grpc_rig")),
        )
        .await;
    let refused = session.call::<Ping>(&None).await.unwrap_err();
    assert!(matches!(refused, CallError::Grpc), "{refused}");
    assert!(
        host.publish("Something", json!({}))
            .unwrap()
            .queued
            .is_empty()
    );

    let external = manifest(json!({"transport": "grpc"}));
    let external = Manifest::check_value(&external).into_result().unwrap();
    let spec = Spec::external(InstallationId::new(), external, Token::external().hash());
    assert!(matches!(host.load(spec), Err(LoadError::NothingToSpawn)));

    let other = host.install(Rig::new("").package("false"));
    assert!(other.grpc_channel().is_none());
    until_state(&other, Inactive).await;
}
