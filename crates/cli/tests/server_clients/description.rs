//! The description of the API: that it is one, and that the server does as it says.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use jackfield_testkit::peers::{prepared, sources};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::packages::{manifest, ordered, schema, version};
use crate::plugin::Orders;
use crate::rig::{Database, Options, Rig, id_of};

/// Requests for each operation in each phase, where nobody asks for more.
const EXAMPLES: &str = "10";
/// So many are there to be removed.
const SPARE: usize = 150;
const PARKED: usize = 40;
/// Longer than it takes with as many requests as anybody asks for.
const LONG: Duration = Duration::from_secs(1500);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_openapi_3_1() {
    let rig = Rig::start(Database::Sqlite).await;
    let description = rig.get("/openapi.json").await;
    let file = rig.folder.path().join("openapi.json");
    fs::write(&file, &description.body).unwrap();
    let mut validator = Command::new(prepared("server-api/bin").join("openapi-spec-validator"));
    validator.args(["--schema", "3.1", "--validation-errors", "all"]);
    validator.arg(&file);
    let ended = validator.output().await.unwrap();
    let told = String::from_utf8_lossy(&ended.stdout);
    assert!(
        ended.status.success(),
        "{told}\n{}",
        String::from_utf8_lossy(&ended.stderr)
    );
    assert!(told.trim_end().ends_with(": OK"), "{told}");
}

/// Everything that schemathesis checks, with all sorts of right and wrong requests; always the same ones, by seed.
/// What is not asked of the server stands in `schemathesis.toml`, each with its reason.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_does_as_it_says() {
    let options = Options::quick()
        .with("--event-park-after", "1")
        .with("--event-retry-delay", "1ms");
    let rig = Rig::start_with(Database::Sqlite, options).await;
    let folder = rig.folder.path().join("examined");
    fs::create_dir(&folder).unwrap();
    furnish(&rig, &folder).await;
    let api = sources().join("server-api");
    for file in ["schemathesis.toml", "hooks.py"] {
        fs::copy(api.join(file), folder.join(file)).unwrap();
    }
    let examples = std::env::var("JACKFIELD_SCHEMATHESIS_EXAMPLES");
    let seed = std::env::var("JACKFIELD_SCHEMATHESIS_SEED");
    let mut examiner = Command::new(prepared("server-api/bin").join("schemathesis"));
    examiner
        .args(["--config-file", "schemathesis.toml", "run"])
        .arg(format!("{}/api/openapi.json", rig.url()))
        .args(["--max-examples", examples.as_deref().unwrap_or(EXAMPLES)])
        .args(["--seed", seed.as_deref().unwrap_or("1")])
        .current_dir(&folder)
        .env("JACKFIELD_TOKEN", &rig.token)
        .env("NO_COLOR", "1")
        .env("no_proxy", "*")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let ended = tokio::time::timeout(LONG, examiner.output()).await;
    let ended = ended.expect("it ends in time").unwrap();
    let told = String::from_utf8_lossy(&ended.stdout);
    let errors = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{told}\n{errors}");
    // Every operation was.
    let description = rig.get("/openapi.json").await.expect(200);
    let paths = description["paths"].as_object().unwrap().values();
    let count: usize = paths.map(|path| path.as_object().unwrap().len()).sum();
    assert!(
        told.contains(&format!("Selected: {count}/{count}")),
        "{told}"
    );
    assert!(told.contains(&format!("Tested: {count}")), "{told}");
    assert!(!rig.written().contains("panicked"), "{}", rig.written());
}

/// Installs what requests are about, and writes down how it is called.
async fn furnish(rig: &Rig, folder: &Path) {
    let configurable = |id: &str| manifest(json!({"id": id, "configuration_schema": schema()}));
    let first = id_of(&rig.install(ordered("1.0.0", Orders::default())).await);
    rig.activate(&first).await;
    rig.upgrade(&first, version("1.0.1")).await.expect(200);
    let second = id_of(&rig.install(version("1.0.0")).await);
    let mut external = Vec::new();
    for id in ["external-1", "external-2"] {
        external.push(id_of(&rig.install_external(configurable(id)).await.0));
    }
    let mut spare = Vec::new();
    let mut tokens = Vec::new();
    for _ in 0..SPARE {
        spare.push(id_of(&rig.install_external(configurable("spare")).await.0));
        // A whole number, as some write it.
        let token = json!({"name": "spare", "permissions": ["read"], "expires_in_seconds": 3600.0});
        let token = rig.post("/tokens", token).await.expect(200);
        tokens.push(id_of(&token));
    }
    let job = rig
        .post(&format!("/plugins/{first}/restart"), Value::Null)
        .await;
    let job = id_of(&job.expect(202));
    rig.until_get(&format!("/jobs/{job}"), "done", |job| {
        job["state"] != "running"
    })
    .await;
    for n in 0..PARKED {
        let payload = json!({"id": format!("bad-{n}")});
        rig.publish("EventThreadPublished", payload).await;
    }
    let parked = format!("/plugins/{first}/events/parked");
    let is_parked = |list: &Value| list["parked"].as_array().unwrap().len() == PARKED;
    let parked = rig.until_get(&parked, "whole", is_parked).await;
    let parked = parked["parked"].as_array().unwrap().iter().map(id_of);

    let supervised = vec![first, second];
    let any = [supervised.clone(), external.clone()].concat();
    for (name, ids) in [
        ("any", any),
        ("supervised", supervised),
        ("external", external),
        ("spare", spare),
        ("tokens", tokens),
        ("jobs", vec![job]),
        ("parked", parked.collect()),
    ] {
        let lines: String = ids.iter().map(|id| format!("\"{id}\"\n")).collect();
        fs::write(folder.join(format!("{name}.txt")), lines).unwrap();
    }
}
