//! Programs that dial in.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::packages::manifest;
use crate::plugin::{External, refused};
use crate::rig::{Database, Rig, id_of, state_of};

on_both! {
    async fn removed_while_connected(database) {
        let rig = Rig::start(database).await;
        let (plugin, token) = rig.install_external(manifest(json!({}))).await;
        let id = id_of(&plugin);
        let program = External::dial(&rig.door(&token)).await;
        rig.until_state(&id, "active").await;
        let began = Instant::now();
        assert_eq!(rig.delete(&format!("/plugins/{id}")).await.status, 204);
        program.end().await;
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        rig.get(&format!("/plugins/{id}")).await.problem(404);
        assert_eq!(refused(&rig.door(&token)).await, 401);
    }

    async fn events_and_token(database) {
        let rig = Rig::start(database).await;
        let (plugin, token) = rig.install_external(manifest(json!({}))).await;
        let id = id_of(&plugin);
        assert_eq!(state_of(&plugin), "connecting", "{plugin:#}");
        assert!(plugin["status"]["connecting_at"].is_string(), "{plugin:#}");
        assert!(token.starts_with("sdprt_") && token.len() == 38, "{token}");
        assert_eq!(plugin["connection"]["mode"], "external");

        let program = External::dial(&rig.door(&token)).await;
        let plugin = rig.until_state(&id, "active").await;
        assert_eq!(plugin["connection"]["connected"], true, "{plugin:#}");
        let began = Instant::now();
        rig.publish("EventThreadPublished", json!({"id": "one"})).await;
        let events = program.events(1).await;
        assert!(began.elapsed() < Duration::from_secs(5));
        assert_eq!(events, [json!({"event": "EventThreadPublished", "id": "one"})]);

        // Shown once: what follows shows the beginning.
        let shown = rig.plugin(&id).await;
        assert!(shown["connection"].get("token").is_none(), "{shown:#}");
        let prefix = shown["connection"]["token_prefix"].as_str().unwrap();
        assert!(token.starts_with(prefix) && prefix.len() < 20, "{prefix}");
        for path in ["/plugins".to_owned(), format!("/plugins/{id}"), "/audit".to_owned(), format!("/plugins/{id}/access")] {
            let answer = rig.get(&path).await;
            assert!(!answer.text().contains(&token), "{answer:?}");
        }
    }

    async fn comes_back(database) {
        let rig = Rig::start(database).await;
        let (plugin, token) = rig.install_external(manifest(json!({}))).await;
        let id = id_of(&plugin);
        let program = External::dial(&rig.door(&token)).await;
        rig.until_state(&id, "active").await;
        program.hang_up(1000).await;
        rig.until_state(&id, "connecting").await;
        let _program = External::dial(&rig.door(&token)).await;
        rig.until_state(&id, "active").await;
    }

    async fn is_not_started_from_here(database) {
        let rig = Rig::start(database).await;
        let (plugin, _) = rig.install_external(manifest(json!({}))).await;
        let id = id_of(&plugin);
        for wanted in ["active", "inactive"] {
            rig.set_active(&id, wanted).await.problem(400);
            assert_eq!(rig.state(&id).await, "connecting");
        }
    }

    async fn has_no_log(database) {
        let rig = Rig::start(database).await;
        let (plugin, _) = rig.install_external(manifest(json!({}))).await;
        let id = id_of(&plugin);
        rig.get(&format!("/plugins/{id}/logs")).await.problem(400);
        rig.get(&format!("/plugins/{id}/package")).await.problem(400);
    }

    async fn new_manifest_new_subscriptions(database) {
        let rig = Rig::start(database).await;
        let (plugin, token) = rig.install_external(manifest(json!({}))).await;
        let id = id_of(&plugin);
        let program = External::dial(&rig.door(&token)).await;
        rig.until_state(&id, "active").await;

        let update = manifest(json!({"version": "2.0.0", "events_consumed": ["EventThreadUpdated"]}));
        let began = Instant::now();
        let updated = rig.patch(&format!("/plugins/{id}/manifest"), update).await.expect(200);
        assert_eq!(updated["version"], "2.0.0");
        assert!(updated["connection"].get("token").is_none(), "{updated:#}");
        program.end().await;
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
        rig.until_state(&id, "connecting").await;

        let program = External::dial(&rig.door(&token)).await;
        rig.until_state(&id, "active").await;
        let published = rig.publish("EventThreadPublished", json!({"id": "one"})).await;
        assert_eq!(published["consumers"], json!([]), "{published:#}");
        rig.publish("EventThreadUpdated", json!({"id": "two"})).await;
        // In order: had the first been meant for it, it would have come before.
        let events = program.events(1).await;
        assert_eq!(events, [json!({"event": "EventThreadUpdated", "id": "two"})]);
    }

    async fn token_rotated(database) {
        let rig = Rig::start(database).await;
        let (plugin, old) = rig.install_external(manifest(json!({}))).await;
        let id = id_of(&plugin);
        let program = External::dial(&rig.door(&old)).await;
        rig.until_state(&id, "active").await;
        let began = Instant::now();
        let new = rig.post(&format!("/plugins/{id}/token"), Value::Null).await.expect(200);
        let new = new["token"].as_str().unwrap().to_owned();
        assert_ne!(new, old);
        assert!(new.starts_with("sdprt_") && new.len() == 38, "{new}");
        program.end().await;
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
        rig.until_state(&id, "connecting").await;
        assert_eq!(refused(&rig.door(&old)).await, 401);
        let _program = External::dial(&rig.door(&new)).await;
        rig.until_state(&id, "active").await;
    }

    async fn manifests_are_validated(database) {
        let rig = Rig::start(database).await;
        let install = |manifest: Value| {
            let body = json!({"mode": "external", "manifest": manifest});
            rig.post("/plugins", body)
        };
        install(manifest(json!({}))).await.expect(200);
        let mut nameless = manifest(json!({}));
        nameless.as_object_mut().unwrap().remove("name");
        install(nameless).await.problem_says(400, "name");
        install(manifest(json!({"id": "has spaces"}))).await.problem_says(400, "id");
        install(manifest(json!({"author": "has spaces"}))).await.problem_says(400, "author");
        install(manifest(json!({"name": ""}))).await.problem_says(400, "name");
        install(Value::Null).await.problem(400);
        install(json!("text")).await.problem(400);
        rig.post("/plugins", json!({"mode": "external"})).await.problem(400);
        rig.post("/plugins", json!({"mode": "other", "manifest": {}})).await.problem(400);
        rig.post("/plugins", json!({"mode": "supervised"})).await.problem(400);
        assert_eq!(rig.get("/plugins").await.expect(200)["plugins"].as_array().unwrap().len(), 1);
    }
}
