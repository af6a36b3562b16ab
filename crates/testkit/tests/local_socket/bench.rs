//! Hosts and plugins for these tests.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jackfield::package::Package;
use jackfield::{CallOptions, Fault, HostBuilder, LogQuery, Policy, RawJson, Session};
use jackfield_testkit::{TestHost, bench_host, eventually, manifest, package, quick, within};
use serde_json::value::to_raw_value;
use serde_json::{Value, json};

pub(crate) const RIG: &str = env!("CARGO_BIN_EXE_rig");
pub(crate) const SDK: &str = env!("CARGO_BIN_EXE_sdk_rig");

/// A host that nobody can dial: there is no door.
pub(crate) async fn without_door() -> TestHost {
    bench_host(doorless).await
}

/// Nobody listens where plugins are told to dial.
pub(crate) fn doorless(builder: HostBuilder) -> HostBuilder {
    methods(builder).public_url("http://127.0.0.1:1")
}

/// What the plugin made with the SDK calls.
pub(crate) fn methods(builder: HostBuilder) -> HostBuilder {
    builder.methods(|methods| {
        methods.raw("double", |_call, params| async move {
            let params: Value = params
                .and_then(|params| serde_json::from_str(params.get()).ok())
                .unwrap_or_default();
            let doubled = json!({"doubled": params["number"].as_u64().unwrap_or_default() * 2});
            RawJson::of(&doubled).map_err(|error| Fault::server(error.to_string()))
        })
    })
}

/// No more than one life, and not much time to dial.
pub(crate) fn impatient() -> Policy {
    Policy {
        restarts: 0,
        dial_deadline: Duration::from_secs(2),
        ..quick()
    }
}

/// The plugin made with the SDK.
pub(crate) fn sdk() -> Arc<Package> {
    package(
        &manifest(json!({"command": SDK, "events_consumed": ["noted"]})),
        &[],
    )
}

/// The plugin that does it by hand.
pub(crate) fn by_hand(order: &str) -> Arc<Package> {
    let source = include_bytes!("../../peers/local-socket/plugin.py");
    let command = json!({"command": "python3", "args": ["plugin.py", order]});
    package(&manifest(command), &[("plugin.py", source)])
}

pub(crate) async fn call(session: &Session, method: &str, params: Value) -> Value {
    let params = to_raw_value(&params).unwrap();
    let answer = within(session.call_raw(method, Some(&params), CallOptions::default())).await;
    serde_json::from_str(answer.unwrap().get()).unwrap()
}

/// The plugin's own folder.
pub(crate) fn state(host: &TestHost, session: &Session) -> PathBuf {
    let id = session.id().to_string();
    host.folder().join("plugins").join(id).join("state")
}

/// All that the plugin printed up to now.
pub(crate) async fn printed(session: &Session) -> String {
    let mut logs = session.logs(LogQuery::default()).unwrap();
    let mut text = String::new();
    while let Some(record) = within(logs.next()).await {
        text = format!("{text}{}\n", record.text);
    }
    text
}

/// Whether the host's end of the socket of this launch is there; `url` is what the plugin was to dial.
pub(crate) fn is_held(url: &str) -> bool {
    let (_, token) = url.split_once("&token=").unwrap();
    let name = format!("@jackfield-rpc/{}", &token[..20]);
    std::fs::read_to_string("/proc/net/unix")
        .unwrap()
        .contains(&name)
}

pub(crate) async fn until_let_go(url: &str) {
    eventually(
        Duration::from_secs(20),
        "the host lets go of the socket",
        || !is_held(url),
    )
    .await;
}
