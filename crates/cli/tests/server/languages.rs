//! Plugins in Python, Node and Go, written with a WebSocket library and the wire contract: packages that the server
//! runs, and programs that somebody else runs.

use jackfield_package::{PackOptions, pack};
use jackfield_testkit::peers::{self, Language};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::peers::Peer;
use crate::rig::{Database, Rig, eventually, id_of};

const ALL: [Language; 3] = [Language::Python, Language::Node, Language::Go];

fn packed(language: Language) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    language.install(folder.path());
    let manifest = folder.path().join("manifest.json");
    std::fs::write(manifest, language.manifest().to_string()).unwrap();
    pack(folder.path(), &PackOptions::default())
        .unwrap()
        .bytes
        .to_vec()
}

/// What the plugin says that it was told when it was configured; it asks for its access meanwhile.
async fn is_configured(rig: &Rig, id: &str, language: Language) -> String {
    let config = json!({"colour": "green"});
    // What it asks for while it is being configured is what was before: nothing is stored until it agrees.
    for _ in 0..2 {
        let path = format!("/plugins/{id}/configuration");
        rig.patch(&path, config.clone()).await.expect(200);
    }
    let seen = rig.call(id, "seen", json!({})).await["seen"].clone();
    assert_eq!(seen["config"], config, "{language:?}: {seen:#}");
    assert_eq!(
        seen["url"].as_str().unwrap().trim_end_matches('/'),
        rig.url(),
        "{language:?}: {seen:#}"
    );
    seen["key"].as_str().unwrap().to_owned()
}

async fn works(rig: &Rig, id: &str, language: Language) {
    let call = json!({"account_id": "a", "call_id": "c", "provider_id": "tools", "session_id": "s", "tool_id": "hammer", "arguments": {"n": 1}});
    let tool = rig.call(id, "robot_tool_call", call).await;
    assert_eq!(tool["output"]["tool"], "hammer", "{language:?}: {tool:#}");
    let asked = rig
        .call(id, "ask", json!({"method": "no.such.method"}))
        .await;
    assert_eq!(asked["refused"]["code"], -32601, "{language:?}: {asked:#}");
}

on_both! {
    async fn as_packages(database) {
        let mut rig = Rig::start(database).await;
        let mut ids = Vec::new();
        for language in ALL {
            let id = id_of(&rig.install(packed(language)).await);
            rig.activate(&id).await;
            let key = is_configured(&rig, &id, language).await;
            let own = rig.post("/tokens/introspect", json!({"token": key})).await.expect(200);
            assert_eq!((&own["sub"], &own["scope"]), (&json!(id), &json!("CREATE_POST")), "{language:?}: {own:#}");
            works(&rig, &id, language).await;
            ids.push(id);
        }
        rig.publish("EventThreadPublished", json!({"id": "one"})).await;
        rig.restart().await;
        rig.publish("EventThreadPublished", json!({"id": "two"})).await;
        for id in &ids {
            let log = rig.state_folder(id).join("events.log");
            let path = format!("/plugins/{id}/facts");
            rig.until_get(&path, "none waiting", |facts| facts["events"]["waiting"] == 0)
                .await;
            eventually("both events", || {
                let log = std::fs::read_to_string(&log).unwrap_or_default();
                log.contains("\"one\"") && log.contains("\"two\"")
            }).await;
            let seen = rig.call(id, "seen", json!({})).await["seen"].clone();
            assert_eq!(seen["config"], json!({"colour": "green"}), "{seen:#}");
        }
    }

    async fn as_programs_of_their_own(database) {
        let mut rig = Rig::start(database).await;
        let mut programs = Vec::new();
        for language in ALL {
            let mut manifest = language.manifest();
            manifest["name"] = json!(format!("{language:?}"));
            let (plugin, token) = rig.install_external(manifest).await;
            let folder = tempfile::tempdir().unwrap();
            language.install(folder.path());
            let (program, arguments) = language.command();
            let mut command = Command::new(program);
            command.args(arguments).current_dir(folder.path());
            command.env("PATH", peers::path()).env("STORYDEN_RPC_URL", rig.door(&token));
            command.env("JACKFIELD_STATE_DIR", folder.path());
            programs.push((id_of(&plugin), Peer::start(command), folder, language));
        }
        for (id, _, _, language) in &programs {
            rig.until_state(id, "active").await;
            is_configured(&rig, id, *language).await;
            works(&rig, id, *language).await;
        }
        rig.publish("EventThreadPublished", json!({"id": "one"})).await;
        // A server that ends in order, and one that does not: all come back to the next by themselves.
        rig.restart().await;
        rig.publish("EventThreadPublished", json!({"id": "two"})).await;
        for (id, ..) in &programs {
            rig.until_state(id, "active").await;
        }
        rig.kill().await;
        rig.start_again().await;
        rig.publish("EventThreadPublished", json!({"id": "three"})).await;
        for (id, program, folder, language) in programs {
            rig.until_state(&id, "active").await;
            works(&rig, &id, language).await;
            let log = folder.path().join("events.log");
            let path = format!("/plugins/{id}/facts");
            rig.until_get(&path, "none waiting", |facts| facts["events"]["waiting"] == 0)
                .await;
            eventually("all three events", || {
                let log = std::fs::read_to_string(&log).unwrap_or_default();
                let mut events = Vec::new();
                for line in log.lines() {
                    // After the kill some may come again, in their order.
                    let event: Value = serde_json::from_str(line).unwrap();
                    if !events.contains(&event["id"]) {
                        events.push(event["id"].clone());
                    }
                }
                events == ["one", "two", "three"]
            }).await;
            // A rotated token ends it for good.
            rig.post(&format!("/plugins/{id}/token"), Value::Null).await.expect(200);
            rig.until_state(&id, "connecting").await;
            let _ended = program.end().await;
        }
    }
}
