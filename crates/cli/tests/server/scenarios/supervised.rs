//! Plugins whose process is ours.

use serde_json::json;

use crate::packages::{manifest, package, version, zip};
use crate::plugin::Orders;
use crate::rig::{Database, Options, Rig, eventually, id_of, state_of};

on_both! {
    async fn lifecycle(database) {
        let rig = Rig::start(database).await;
        let plugin = rig.install(version("1.0.0")).await;
        let id = id_of(&plugin);
        assert_eq!(state_of(&plugin), "inactive", "{plugin:#}");
        assert_eq!(plugin["connection"], json!({"mode": "supervised"}));
        assert_eq!(plugin["version"], "1.0.0");
        assert_eq!(rig.get("/plugins").await.expect(200)["plugins"][0]["id"], json!(id));

        let plugin = rig.activate(&id).await;
        assert_eq!(state_of(&plugin), "active", "{plugin:#}");
        assert!(plugin["status"]["activated_at"].is_string(), "{plugin:#}");
        assert_eq!(rig.call(&id, "version", json!({})).await["version"], "1.0.0");

        let pid = rig.call(&id, "pid", json!({})).await["pid"].as_u64().unwrap();
        let plugin = rig.set_active(&id, "inactive").await.expect(200);
        assert_eq!(state_of(&plugin), "inactive", "{plugin:#}");
        assert!(plugin["status"]["deactivated_at"].is_string(), "{plugin:#}");
        assert!(!jackfield_testkit::alive(pid.try_into().unwrap()));
        rig.try_call(&id, "version", json!({})).await.problem(409);

        let deleted = rig.delete(&format!("/plugins/{id}")).await;
        assert_eq!((deleted.status, deleted.body.len()), (204, 0), "{deleted:?}");
        rig.get(&format!("/plugins/{id}")).await.problem(404);
        assert_eq!(rig.get("/plugins").await.expect(200)["plugins"], json!([]));
    }

    async fn recovers_from_a_crash_at_an_event(database) {
        let rig = Rig::start(database).await;
        let orders = Orders { exit_on_first_event: Some(42), ..Orders::default() };
        let id = id_of(&rig.install(package(&orders, json!({}))).await);
        let before = rig.activate(&id).await["status"]["activated_at"].clone();
        rig.publish("EventThreadPublished", json!({"id": "one"})).await;
        let plugin = rig.until(&id, "active again", |plugin| {
            let state = state_of(plugin);
            assert!(["active", "restarting", "starting", "connecting"].contains(&state.as_str()), "{plugin:#}");
            state == "active" && plugin["status"]["activated_at"] != before
        }).await;
        assert!(plugin["status"]["activated_at"].as_str() > before.as_str(), "{plugin:#} {before}");
        let facts = rig.get(&format!("/plugins/{id}/facts")).await.expect(200);
        assert!(facts["history"].to_string().contains("exit status 42"), "{facts:#}");
        assert!(facts["history"].to_string().contains("restarting"), "{facts:#}");
        // Beyond the original: the event is not lost with the process that it killed.
        let log = rig.state_folder(&id).join("events.log");
        eventually("the event comes again", || {
            std::fs::read_to_string(&log).is_ok_and(|log| log.contains("\"one\""))
        }).await;
    }

    async fn events_reach_the_process(database) {
        let rig = Rig::start(database).await;
        let id = id_of(&rig.install(version("1.0.0")).await);
        rig.activate(&id).await;
        let published = rig.publish("EventThreadPublished", json!({"id": "c5r3k2f3q1g5s8b2n3og"})).await;
        assert_eq!(published["consumers"], json!([id]), "{published:#}");
        let log = rig.state_folder(&id).join("events.log");
        eventually("the event is written down", || log.exists()).await;
        let written: serde_json::Value = serde_json::from_slice(&std::fs::read(&log).unwrap()).unwrap();
        assert_eq!(written, json!({"event": "EventThreadPublished", "id": "c5r3k2f3q1g5s8b2n3og"}));
        rig.set_active(&id, "inactive").await.expect(200);
    }

    async fn crash_at_boot(database) {
        let rig = Rig::start(database).await;
        let orders = Orders { say: vec!["no licence found".into()], exit: Some(42), ..Orders::default() };
        let id = id_of(&rig.install(package(&orders, json!({}))).await);
        let problem = rig.set_active(&id, "active").await.problem(502);
        assert!(problem["detail"].as_str().unwrap().contains("exit status 42"), "{problem:#}");
        let plugin = rig.plugin(&id).await;
        assert_eq!(state_of(&plugin), "error", "{plugin:#}");
        assert!(plugin["status"]["message"].as_str().unwrap().contains("exit status"), "{plugin:#}");
        assert!(plugin["status"]["details"].is_object(), "{plugin:#}");
    }

    async fn crash_when_connected(database) {
        let rig = Rig::start(database).await;
        let orders = Orders { exit_connected: Some(42), ..Orders::default() };
        let id = id_of(&rig.install(package(&orders, json!({}))).await);
        // It is connected for a moment: the answer may have seen that, and nothing else.
        let answer = rig.set_active(&id, "active").await;
        if answer.status != 200 {
            let problem = answer.problem(502);
            assert!(problem["detail"].as_str().unwrap().contains("exit status 42"), "{problem:#}");
        }
        let plugin = rig.until_state(&id, "error").await;
        assert!(plugin["status"]["message"].as_str().unwrap().contains("exit status"), "{plugin:#}");
    }

    async fn removed_without_having_run(database) {
        let mut rig = Rig::start(database).await;
        let id = id_of(&rig.install(version("1.0.0")).await);
        rig.restart().await;
        assert_eq!(rig.delete(&format!("/plugins/{id}")).await.status, 204);
        rig.get(&format!("/plugins/{id}")).await.problem(404);
        rig.delete(&format!("/plugins/{id}")).await.problem(404);
    }

    async fn provider_none(database) {
        let rig = Rig::start_with(database, Options::quick().with("--runtime", "none")).await;
        let info = rig.get("/info").await.expect(200);
        assert!(!info["capabilities"].to_string().contains("plugins"), "{info:#}");
        rig.get("/plugins").await.problem(403);
        let add = rig.request(reqwest::Method::POST, "/plugins").zip(version("1.0.0"));
        add.send().await.problem(403);
        // External plugins need nobody to run them.
        let body = json!({"mode": "external", "manifest": manifest(json!({}))});
        rig.post("/plugins", body).await.expect(200);
    }

    async fn manifest_is_its_packages(database) {
        let rig = Rig::start(database).await;
        let id = id_of(&rig.install(version("1.0.0")).await);
        let update = manifest(json!({"version": "9.9.9"}));
        rig.patch(&format!("/plugins/{id}/manifest"), update).await.problem(400);
        assert_eq!(rig.plugin(&id).await["version"], "1.0.0");
    }

    /// The fixtures of uploads that are refused, and what else is no package.
    async fn uploads_that_are_no_packages(database) {
        let rig = Rig::start(database).await;
        let sound = manifest(json!({"command": "./run"})).to_string();
        let uploads: [(&str, Vec<u8>); 6] = [
            ("nothing", Vec::new()),
            ("garbage", b"this is no archive".to_vec()),
            ("no manifest", zip(&[("readme", b"x")])),
            ("malformed manifest", zip(&[("manifest.json", b"{\"id\": ")])),
            ("manifest with a hole", zip(&[("manifest.json", b"{\"id\": \"x\"}")])),
            ("a way out", zip(&[("manifest.json", sound.as_bytes()), ("../../out", b"x")])),
        ];
        for (what, bytes) in uploads {
            let request = rig.request(reqwest::Method::POST, "/plugins").zip(bytes);
            let answer = request.send().await;
            assert_eq!(answer.status, 400, "{what}: {answer:?}");
            answer.problem(400);
        }
        assert_eq!(rig.get("/plugins").await.expect(200)["plugins"], json!([]));
    }
}
