//! The scenarios by which the original is tested, as far as they need no HTTP API, at the level of
//! the library. The numbers are those of its list; 7, 11, 14, 24, 25, 28 and 29 are the server's.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use jackfield::ReportedState::{Active, Connecting, Errored, Inactive, Restarting};
use jackfield::wire::methods::{
    Access, AccessGet, Config, Configure, GetConfig, GetConfigParams, RobotOutput, RobotRun,
    RobotRunParams, RobotRunResult,
};
use jackfield::{
    ActiveState, Call, CallOptions, HostBuilder, InstallationId, LoadError, LogQuery, Manifest,
    Policy, RuntimeProvider, Session, Spec, Token,
};
use jackfield_testkit::{
    Dial, Program, Rig, TestHost, bench_host, environment, manifest, quick, states, until,
    until_file, until_state, within,
};
use serde_json::{Map, Value, json};

const RIG: &str = env!("CARGO_BIN_EXE_rig");

/// The original's tests: one restart, at most 100 ms of delay.
fn as_theirs(builder: HostBuilder) -> HostBuilder {
    builder.policy(Policy {
        restarts: 1,
        ..quick()
    })
}

async fn wish(session: &Session, state: ActiveState) {
    within(session.set_active_state(state)).await.unwrap();
}

async fn state_folder(session: &Session) -> String {
    let status = until(session, |status| status.pid.is_some()).await;
    environment(status.pid.unwrap()).await["JACKFIELD_STATE_DIR"].clone()
}

fn consumer() -> Value {
    manifest(json!({"events_consumed": ["EventThreadPublished"]}))
}

/// 1 TestPluginLifecycle
#[tokio::test]
async fn s01_lifecycle() {
    let host = bench_host(as_theirs).await;
    let session = host.install(Rig::new("").package(RIG));
    assert_eq!(session.status().borrow().state, Inactive);
    wish(&session, ActiveState::Active).await;
    within(session.ready()).await.unwrap();
    wish(&session, ActiveState::Inactive).await;
    assert_eq!(session.status().borrow().state, Inactive);
    within(host.uninstall(session.id())).await.unwrap();
    assert!(host.session(session.id()).is_none());
}

/// 2 TestPluginErrorStates: it exits with 42 at an event, and recovers by itself.
#[tokio::test]
async fn s02_a_crash_at_an_event() {
    let host = bench_host(as_theirs).await;
    let package = Rig::new("--crash-on-event 42")
        .manifest(json!({"events_consumed": ["EventThreadPublished"]}))
        .package(RIG);
    let session = host.run(package).await;
    let before = session.status().borrow().started_at.unwrap();
    host.publish("EventThreadPublished", json!({"id": "x"}))
        .unwrap();
    let down = until(&session, |status| status.state == Restarting).await;
    let error = down.error.unwrap();
    assert!(error.message.contains("exit status"), "{error}");
    let back = until(&session, |status| {
        status.state == Errored
            || status.state == Active && status.started_at.is_some_and(|at| at > before)
    })
    .await;
    assert_eq!(back.state, Active, "one event takes it down once");
    within(session.call_raw("echo", None, CallOptions::default()))
        .await
        .unwrap();
}

/// 3 TestPluginEventSubscription
#[tokio::test]
async fn s03_an_event_reaches_a_process() {
    let host = bench_host(as_theirs).await;
    let package = Rig::new("")
        .manifest(json!({"events_consumed": ["EventThreadPublished"]}))
        .package(RIG);
    let session = host.run(package).await;
    let folder = state_folder(&session).await;
    host.publish(
        "EventThreadPublished",
        json!({"id": "c0thread0000000000g0"}),
    )
    .unwrap();
    let event = until_file(format!("{folder}/events.log")).await;
    let event: Value = serde_json::from_str(event.trim()).unwrap();
    assert_eq!(event["id"], "c0thread0000000000g0");
    wish(&session, ActiveState::Inactive).await;
}

/// 4 TestPluginCrashOnInit, 5 TestPluginCrashOnConnect
#[tokio::test]
async fn s04_s05_crashes_at_the_start() {
    let host = bench_host(as_theirs).await;
    for orders in ["--exit 42", "--crash-on-connect 42"] {
        let session = host.start(Rig::new(orders).package(RIG)).await;
        let failed = until_state(&session, Errored).await.error.unwrap();
        assert_eq!(failed.message, "exit status 42");
        let told = within(session.ready()).await.unwrap_err().to_string();
        assert!(told.contains("exit status 42"), "{told}");
        assert!(states(&session).contains(&Restarting));
    }
}

/// 6 TestDeleteRunningExternalPluginDisconnectsSession
#[tokio::test]
async fn s06_an_unload_disconnects_a_program() {
    let host = bench_host(as_theirs).await;
    let (session, token) = host.expect(&consumer()).await;
    let program = Program::dial(&host, &token).await;
    within(session.ready()).await.unwrap();
    let end = tokio::time::timeout(Duration::from_secs(2), program.end());
    let (end, ()) = tokio::join!(end, host.unload(session.id()));
    assert_eq!(end.expect("within two seconds").unwrap().0, 1000);
    assert!(host.session(session.id()).is_none());
}

/// 8 TestPluginsDisabledWhenProviderNone
#[tokio::test]
async fn s08_no_plugins_without_a_runtime() {
    let provider: RuntimeProvider = " NONE ".parse().unwrap();
    let host = bench_host(|builder| builder.runtime_provider(provider)).await;
    let spec = Spec::supervised(InstallationId::new(), Rig::new("").package(RIG));
    assert!(matches!(host.load(spec), Err(LoadError::PluginsDisabled)));
    assert!(host.sessions().is_empty());
}

/// 9 TestExternalPluginEventSubscription
#[tokio::test]
async fn s09_an_event_reaches_a_program() {
    let host = bench_host(as_theirs).await;
    let (session, token) = host.expect(&consumer()).await;
    assert!(token.reveal().starts_with("sdprt_") && token.reveal().len() == 38);
    assert_eq!(session.status().borrow().state, Connecting);
    let mut program = Program::dial(&host, &token).await;
    until_state(&session, Active).await;
    host.publish("EventThreadPublished", json!({"id": "x"}))
        .unwrap();
    assert_eq!(
        program.events(1).await,
        [json!({"event": "EventThreadPublished", "id": "x"})]
    );
}

/// 10 TestExternalPluginDisconnectReconnect
#[tokio::test]
async fn s10_a_program_comes_back_with_its_token() {
    let host = bench_host(as_theirs).await;
    let (session, token) = host.expect(&consumer()).await;
    for _ in 0..3 {
        let program = Program::dial(&host, &token).await;
        until_state(&session, Active).await;
        drop(program);
        until_state(&session, Connecting).await;
    }
}

/// 12 TestExternalPluginGetLogsRejected
#[tokio::test]
async fn s12_a_program_has_no_logs_here() {
    let host = bench_host(as_theirs).await;
    let (session, _) = host.expect(&consumer()).await;
    session.logs(LogQuery::default()).unwrap_err();
}

/// Another manifest or token for an installation: unloaded and loaded, as the server does it.
async fn reload(host: &TestHost, id: InstallationId, manifest: &Value, token: &Token) -> Session {
    host.unload(id).await;
    let manifest = Manifest::check_value(manifest).into_result().unwrap();
    let session = host
        .load(Spec::external(id, manifest, token.hash()))
        .unwrap();
    wish(&session, ActiveState::Active).await;
    session
}

/// 13 TestExternalPluginManifestUpdateReconnectsWithNewSubscriptions
#[tokio::test]
async fn s13_a_new_manifest_brings_new_subscriptions() {
    let host = bench_host(as_theirs).await;
    let (session, token) = host.expect(&consumer()).await;
    let program = Program::dial(&host, &token).await;
    within(session.ready()).await.unwrap();
    let new = manifest(json!({"events_consumed": ["EventPostLiked"]}));
    let (end, session) =
        within(async { tokio::join!(program.end(), reload(&host, session.id(), &new, &token)) })
            .await;
    assert_eq!(end.unwrap().0, 1000);
    assert_eq!(session.status().borrow().state, Connecting);
    let mut program = Program::dial(&host, &token).await;
    within(session.ready()).await.unwrap();
    assert!(
        host.publish("EventThreadPublished", json!({}))
            .unwrap()
            .queued
            .is_empty()
    );
    host.publish("EventPostLiked", json!({"n": 1})).unwrap();
    assert_eq!(
        program.events(1).await,
        [json!({"event": "EventPostLiked", "n": 1})]
    );
}

/// 15 TestExternalPluginCycleTokenInvalidatesConnectedSession
#[tokio::test]
async fn s15_a_new_token_ends_the_old_one() {
    let host = bench_host(as_theirs).await;
    let (session, old) = host.expect(&consumer()).await;
    let program = Program::dial(&host, &old).await;
    within(session.ready()).await.unwrap();
    let new = Token::external();
    assert_ne!(old, new);
    let same = consumer();
    let (end, session) =
        within(async { tokio::join!(program.end(), reload(&host, session.id(), &same, &new)) })
            .await;
    assert_eq!(end.unwrap().0, 1000);
    assert_eq!(session.status().borrow().state, Connecting);
    assert_eq!(Dial::external(&host, &old).send().await.status, 401);
    let _program = Program::dial(&host, &new).await;
    within(session.ready()).await.unwrap();
}

/// 16 TestExternalPluginManifestValidation
#[test]
fn s16_manifests_are_checked() {
    let check = |change: Value| Manifest::check_value(&manifest(change)).into_result();
    check(json!({})).unwrap();
    let mut nameless = manifest(json!({}));
    nameless.as_object_mut().unwrap().remove("name");
    Manifest::check_value(&nameless).into_result().unwrap_err();
    for change in [
        json!({"id": "with spaces"}),
        json!({"author": "with spaces"}),
        json!({"name": ""}),
    ] {
        let error = check(change.clone()).unwrap_err().to_string();
        let (key, _) = change.as_object().unwrap().iter().next().unwrap();
        assert!(error.contains(key.as_str()), "{error}");
    }
}

/// An application that keeps configurations, as theirs does.
type Kept = Arc<Mutex<Map<String, Value>>>;

fn keeps_config(kept: &Kept) -> impl FnOnce(HostBuilder) -> HostBuilder + use<> {
    let kept = Arc::clone(kept);
    move |builder| {
        as_theirs(builder)
            .method::<GetConfig>(move |_call: Call<Session>, params: GetConfigParams| {
                let mut config = kept.lock().unwrap().clone();
                config.retain(|key, _| params.keys.is_empty() || params.keys.contains(key));
                async move { Ok(Config { config }) }
            })
            .method::<AccessGet>(async |call: Call<Session>, _params| {
                Ok(Access {
                    access_key: format!("sdbak_{}", call.context.id()),
                    api_base_url: "http://localhost:8000".to_owned(),
                })
            })
    }
}

fn object(value: &Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

/// 17, 18, 19: configurations reach a program, need a line, and may be refused.
#[tokio::test]
async fn s17_s18_s19_configurations_of_a_program() {
    let host = bench_host(as_theirs).await;
    let (session, token) = host.expect(&consumer()).await;
    let config = object(&json!({"text": "x", "number": 1.5, "flag": true, "extra": [1]}));
    session.call::<Configure>(&config).await.unwrap_err();
    let mut line = Dial::external(&host, &token).open().await;
    within(session.ready()).await.unwrap();
    for (answer, taken) in [
        (
            json!({"result": {"method": "configure", "ok": true}}),
            Some(true),
        ),
        (
            json!({"result": {"method": "configure", "ok": false}}),
            Some(false),
        ),
        (
            json!({"error": {"code": -32000, "message": "handler error: no"}}),
            None,
        ),
    ] {
        let plugin = async {
            let request = line.json().await;
            assert_eq!(request["params"], Value::Object(config.clone()));
            let mut answer = answer;
            answer["id"] = request["id"].clone();
            line.send(answer.to_string()).await;
        };
        let (answered, ()) =
            within(async { tokio::join!(session.call::<Configure>(&config), plugin) }).await;
        assert_eq!(answered.ok().map(|taken| taken.ok), taken);
    }
}

/// 20 ConfigureHandlerCanCallAccessGet, 21 GetConfigRPCReadsPersistedConfiguration, 22
/// TestSupervisedPluginConfigurationLifecycle: out of a process, in the middle of being configured.
#[tokio::test]
async fn s20_s21_s22_configurations_of_a_process() {
    let kept = Kept::default();
    *kept.lock().unwrap() = object(&json!({"a": 1, "b": "x"}));
    let host = bench_host(keeps_config(&kept)).await;
    let session = host.run(Rig::new("").package(RIG)).await;
    let file = state_folder(&session).await + "/configured.json";
    for (call, pointer, expected) in [
        (
            "access_get",
            "/answer/result/result/access_key",
            format!("sdbak_{}", session.id()),
        ),
        ("get_config", "/answer/result/config/b", "x".to_owned()),
    ] {
        let config = object(&json!({"call": call, "value": 7}));
        assert!(within(session.call::<Configure>(&config)).await.unwrap().ok);
        let taken: Value = serde_json::from_str(&until_file(&file).await).unwrap();
        assert_eq!(taken["params"], Value::Object(config));
        assert_eq!(taken.pointer(pointer), Some(&json!(expected)), "{taken}");
    }
    kept.lock().unwrap().insert("b".to_owned(), json!("y"));
    let config = object(&json!({"call": "get_config"}));
    session.call::<Configure>(&config).await.unwrap();
    let taken: Value = serde_json::from_str(&until_file(&file).await).unwrap();
    assert_eq!(taken.pointer("/answer/result/config/b"), Some(&json!("y")));
}

/// 23 TestExternalPluginAccessKeyAndClientBuilder, as far as the library goes: a key, and where it
/// is good.
#[tokio::test]
async fn s23_access_for_a_program() {
    let host = bench_host(keeps_config(&Kept::default())).await;
    let (session, token) = host.expect(&consumer()).await;
    let dial = Dial::external(&host, &token).header("User-Agent", "Go-http-client/1.1");
    let mut line = dial.open().await;
    within(session.ready()).await.unwrap();
    let answer = line.ask(r#"{"id":"c0000000000000000000","jsonrpc":"2.0","method":"access_get"}"#);
    let answer = answer.await;
    let inner = &answer["result"]["result"];
    assert_eq!(inner["access_key"], format!("sdbak_{}", session.id()));
    assert_eq!(inner["api_base_url"]["Host"], "localhost:8000");
}

/// 26 UpdatePackageRunningRestartsProcess, 27 UpdatePackageInactiveKeepsInactive
#[tokio::test]
async fn s26_s27_a_new_package() {
    let host = bench_host(as_theirs).await;
    let id = InstallationId::new();
    let version = |version: &str| {
        let package = Rig::new("")
            .manifest(json!({"version": version}))
            .package(RIG);
        host.load(Spec::supervised(id, package)).unwrap()
    };
    let old = version("1.0.0");
    wish(&old, ActiveState::Active).await;
    within(old.ready()).await.unwrap();
    let before = old.status().borrow().started_at;
    host.unload(id).await;
    let new = version("1.0.1");
    assert_eq!(new.manifest().version, "1.0.1");
    assert_eq!(
        new.status().borrow().state,
        Inactive,
        "a load starts nothing"
    );
    wish(&new, ActiveState::Active).await;
    within(new.ready()).await.unwrap();
    assert!(new.status().borrow().started_at > before);
}

/// 30 robot_run
#[tokio::test]
async fn s30_a_plugin_runs_a_robot() {
    let host = bench_host(|builder| {
        builder.method::<RobotRun>(async |_call: Call<Session>, params: RobotRunParams| {
            Ok(RobotRunResult {
                output: Some(RobotOutput {
                    status: "completed".to_owned(),
                    summary: params.message,
                    attention: None,
                }),
                session_id: params.session_id.unwrap_or_default(),
                error: None,
            })
        })
    })
    .await;
    let session = host.run(Rig::new("").package(RIG)).await;
    let run = json!({"method": "robot_run", "params": {
        "message": "m", "robot_id": "r", "session_id": "s",
        "workspace": {"workspace_id": "w"}}});
    let run = serde_json::value::to_raw_value(&run).unwrap();
    let answer = within(session.call_raw("host", Some(&run), CallOptions::default())).await;
    let answer: Value = serde_json::from_str(answer.unwrap().get()).unwrap();
    assert_eq!(
        answer["answer"]["result"],
        json!({"method": "robot_run", "session_id": "s",
               "output": {"status": "completed", "summary": "m"}})
    );
}
