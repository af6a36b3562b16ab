//! Clients that know the published contract of Storyden, and nothing of this server.

use std::fs;
use std::process::Stdio;

use jackfield_testkit::peers::{prepared, sources};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use crate::packages::{package, schema};
use crate::plugin::Orders;
use crate::rig::{Database, PATIENCE, Rig};

/// What a client tells on its way.
const STEPS: [&str; 35] = [
    "upload",
    "garbage is refused",
    "activate",
    "list",
    "get",
    "logs",
    "configuration schema",
    "configuration of a wrong type is refused",
    "configuration is refused by the plugin",
    "configuration",
    "download package",
    "update package",
    "another plugin's package is refused",
    "what external plugins have is refused",
    "deactivate",
    "an unknown state is refused",
    "delete",
    "logs end",
    "a crash at the start is told",
    "external: create",
    "external: a wrong manifest is refused",
    "external: a wrong token is refused",
    CONNECTED,
    "external: event",
    "external: configure",
    "external: configure refused",
    "external: get_config",
    "external: access_get",
    "external: manifest update disconnects",
    "external: token cycle disconnects",
    "external: deactivate is refused",
    "external: logs are refused",
    "external: packages are refused",
    "external: delete",
    "nobody without a token",
];

/// From here on the plugin waits for an event.
const CONNECTED: &str = "external: connect";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python_on_sqlite() {
    tour(Database::Sqlite, python()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python_on_postgres() {
    tour(Database::Postgres, python()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node() {
    tour(Database::Sqlite, javascript()).await;
}

fn python() -> Command {
    let mut client = Command::new(prepared("server-python/bin").join("python3"));
    client.arg(sources().join("server-python/tour.py"));
    client
}

fn javascript() -> Command {
    let mut client = Command::new("node");
    client.arg(prepared("server-node").join("tour.mjs"));
    client
}

async fn tour(database: Database, mut client: Command) {
    let rig = Rig::start(database).await;
    client
        .arg(rig.url())
        .arg(&rig.token)
        .arg(packages(&rig))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut client = client.spawn().unwrap();
    let mut lines = BufReader::new(client.stdout.take().unwrap()).lines();
    let mut steps = Vec::new();
    loop {
        let line = tokio::time::timeout(PATIENCE * 2, lines.next_line()).await;
        let line = line.unwrap_or_else(|_| panic!("nothing comes after {:?}", steps.last()));
        let Some(line) = line.unwrap() else { break };
        if line == format!("ok {CONNECTED}") {
            let payload = json!({"id": "d4g1m2k3l4m5n6o7p8q0"});
            rig.publish("EventThreadPublished", payload).await;
        }
        steps.push(line);
    }
    let ended = client.wait_with_output().await.unwrap();
    let stderr = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{steps:#?}\n{stderr}");
    assert_eq!(steps, STEPS.map(|step| format!("ok {step}")), "{stderr}");
}

/// A folder with the packages that the client uploads.
fn packages(rig: &Rig) -> std::path::PathBuf {
    let speaks = || Orders {
        // The first line begins with words of what runs tests.
        say: vec![String::new(), "hello from the plugin".to_owned()],
        ..Orders::default()
    };
    let crashes = Orders {
        exit: Some(42),
        ..Orders::default()
    };
    let configurable = json!({"configuration_schema": schema()});
    let with = |key: &str, value: &str| {
        let mut extra = configurable.clone();
        extra[key] = json!(value);
        extra
    };
    let folder = rig.folder.path().join("packages");
    fs::create_dir(&folder).unwrap();
    for (name, package) in [
        ("first", package(&speaks(), with("version", "1.0.0"))),
        ("second", package(&speaks(), with("version", "1.0.1"))),
        ("other", package(&speaks(), with("id", "other"))),
        ("crash", package(&crashes, json!({}))),
    ] {
        fs::write(folder.join(format!("{name}.zip")), package).unwrap();
    }
    folder
}
