//! Configurations reach plugins.

use jackfield::{ActiveState, InstallationId, ReportedState};
use jackfield_testkit::{Dial, manifest, within};
use serde_json::{Map, Value, json};

use super::fixture::{Bench, by};
use crate::registry::{Configuration, ConfigureError, Progress};

fn schema() -> Value {
    json!({
        "events_consumed": ["EventThreadPublished"],
        "access": {"handle": "h", "name": "n", "permissions": ["READ"]},
        "configuration_schema": {"fields": [
            {"type": "string", "id": "name", "label": "", "description": ""},
            {"type": "number", "id": "size", "label": "", "description": "", "default": 3},
            {"type": "string", "id": "key", "label": "", "description": "", "secret": true},
        ]},
    })
}

fn map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        other => panic!("{other} is no object"),
    }
}

async fn configure(
    bench: &Bench,
    id: InstallationId,
    config: Value,
) -> Result<Configuration, ConfigureError> {
    within(bench.registry.configure(id, map(config), false, "bob")).await
}

async fn run(bench: &Bench, orders: &[&str]) -> InstallationId {
    let upload = bench.upload("1", orders, schema());
    let id = bench
        .registry
        .install(upload, by("ann"))
        .await
        .unwrap()
        .record
        .id;
    let start = bench
        .registry
        .set_active_state(id, ActiveState::Active, "bob", Progress::none());
    within(start).await.unwrap();
    id
}

#[tokio::test]
async fn what_is_set_is_delivered_and_stored_and_delivered_again_on_the_next_line() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::open(folder.path()).await;
    let registry = &bench.registry;
    let id = run(&bench, &[]).await;
    let set = configure(&bench, id, json!({"name": "n", "key": "hidden", "own": 1}));
    let set = set.await.unwrap();
    assert_eq!(set.values, map(json!({"name": "n", "own": 1})));
    assert_eq!(set.secrets, ["key"]);
    let told = json!({"name": "n", "key": "hidden", "own": 1, "size": 3});
    assert_eq!(bench.seen(id).await["seen"], json!([{"configure": told}]));
    assert_eq!(registry.configuration(id).await.unwrap().unwrap(), set);
    let stored = json!(bench.get(id).await.record.config).to_string();
    assert!(
        !stored.contains("hidden") && !stored.contains("size"),
        "{stored}"
    );
    assert!(
        bench
            .audit(id)
            .await
            .iter()
            .all(|entry| !entry.detail.contains("hidden"))
    );

    // The secret stays while it is left out.
    configure(&bench, id, json!({"name": "m"})).await.unwrap();
    within(registry.restart(id, "bob", Progress::none()))
        .await
        .unwrap();
    let told = json!({"name": "m", "key": "hidden", "size": 3});
    bench.configured(id).await;
    let seen = bench.seen(id).await["seen"].clone();
    assert_eq!(seen, json!([{"configure": told}]));
    let set = configure(&bench, id, json!({"key": null})).await.unwrap();
    assert_eq!((set.values.len(), set.secrets.len()), (0, 0));
    bench.close().await;
}

#[tokio::test]
async fn what_does_not_fit_or_is_refused_is_not_stored() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::open(folder.path()).await;
    let id = run(&bench, &[]).await;
    let invalid = configure(&bench, id, json!({"name": 1, "size": "x"})).await;
    let Err(error @ ConfigureError::Invalid(_)) = invalid else {
        panic!("{invalid:?}");
    };
    assert_eq!(
        error.to_string(),
        "Field \"name\" must be a string value.\nField \"size\" must be a number value."
    );
    let refused = configure(&bench, id, json!({"refuse": true})).await;
    assert!(
        matches!(refused, Err(ConfigureError::Refused(_))),
        "{refused:?}"
    );
    assert!(bench.get(id).await.record.config.is_empty());
    let unknown = configure(&bench, InstallationId::new(), json!({})).await;
    assert!(
        matches!(unknown, Err(ConfigureError::NotFound(_))),
        "{unknown:?}"
    );
    bench.close().await;
}

#[tokio::test]
async fn one_that_is_down_is_configured_all_the_same_unless_it_has_to_be_connected() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::open(folder.path()).await;
    let upload = bench.upload("1", &[], schema());
    let id = bench
        .registry
        .install(upload, by("ann"))
        .await
        .unwrap()
        .record
        .id;
    let down = bench
        .registry
        .configure(id, map(json!({"name": "n"})), true, "bob")
        .await;
    assert!(
        matches!(down, Err(ConfigureError::NotConnected)),
        "{down:?}"
    );
    assert!(bench.get(id).await.record.config.is_empty());
    configure(&bench, id, json!({"name": "n"})).await.unwrap();
    assert_eq!(bench.get(id).await.record.config, map(json!({"name": "n"})));
    bench.close().await;
}

#[tokio::test]
async fn a_plugin_may_ask_for_its_access_while_it_is_configured() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::open(folder.path()).await;
    let id = run(&bench, &[]).await;
    configure(&bench, id, json!({"ask": "access_get"}))
        .await
        .unwrap();
    let seen = bench.seen(id).await["seen"].to_string();
    assert!(seen.contains("sdbak_"), "{seen}");
    bench.close().await;
}

/// Some plugins take a configuration by being started again with it: once is enough.
#[tokio::test]
async fn a_plugin_that_ends_at_its_configuration_is_not_told_again_when_it_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::open(folder.path()).await;
    let id = run(&bench, &["--begin-anew"]).await;
    let before = bench.seen(id).await["pid"].clone();
    configure(&bench, id, json!({"name": "n"})).await.unwrap();
    let session = bench.registry.parts().host.session(id).unwrap();
    jackfield_testkit::until(&session, |now| {
        now.restarts > 0 && now.state == ReportedState::Active
    })
    .await;
    bench.configured(id).await;
    let seen = bench.seen(id).await;
    assert_ne!(seen["pid"], before);
    assert_eq!(seen["seen"], json!([]));
    assert_eq!(session.status().borrow().restarts, 1);
    bench.close().await;
}

/// Events wait for the configuration; one that is refused holds up none.
#[tokio::test]
async fn the_configuration_comes_before_the_first_event() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::open(folder.path()).await;
    let parts = bench.registry.parts();
    let installed = bench
        .registry
        .install_external(&manifest(schema()), by("ann"))
        .await;
    let (installed, token) = installed.unwrap();
    let id = installed.record.id;
    for config in [json!({"name": "n"}), json!({"name": "refuse"})] {
        configure(&bench, id, config).await.unwrap();
        parts
            .store
            .publish("EventThreadPublished", "{\"id\":\"1\"}", "app", None)
            .await
            .unwrap();
        parts.deliveries.wake();
        let mut line = Dial::external(&parts.host, &token).open().await;
        let mut methods = Vec::new();
        while methods.len() < 2 {
            let frame = within(line.json()).await;
            let method = frame["method"].as_str().unwrap().to_owned();
            let ok = frame["params"]["name"] != "refuse";
            let answer = json!({"id": frame["id"], "jsonrpc": "2.0",
                "result": {"method": method, "ok": ok}});
            line.send(answer.to_string()).await;
            methods.push(method);
        }
        assert_eq!(methods, ["configure", "event"]);
        drop(line);
        bench.until(id, ReportedState::Connecting).await;
    }
    bench.close().await;
}
