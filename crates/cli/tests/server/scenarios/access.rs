//! What plugins may do at the API, and with the application.

use reqwest::Method;
use serde_json::{Value, json};

use crate::packages::manifest;
use crate::plugin::External;
use crate::rig::{Database, Rig, id_of};

fn asking(permissions: &[&str]) -> Value {
    manifest(
        json!({"access": {"handle": "helper-bot", "name": "Helper", "permissions": permissions}}),
    )
}

async fn introspect(rig: &Rig, token: &str) -> Value {
    rig.post("/tokens/introspect", json!({"token": token}))
        .await
        .expect(200)
}

fn words(scope: &Value) -> Vec<&str> {
    let mut words: Vec<&str> = scope.as_str().unwrap().split(' ').collect();
    words.sort_unstable();
    words
}

on_both! {
    async fn key_works(database) {
        let rig = Rig::start(database).await;
        let (plugin, token) = rig.install_external(asking(&["read", "CREATE_POST"])).await;
        let id = id_of(&plugin);
        let program = External::dial(&rig.door(&token)).await;
        rig.until_state(&id, "active").await;
        let access = program.access().await;
        let key = access["access_key"].as_str().unwrap_or_else(|| panic!("{access:#}")).to_owned();
        assert!(key.starts_with("sdbak_"), "{key}");
        // What a client is built of: the address and the key.
        let base = &access["api_base_url"];
        let base = format!("{}://{}{}", base["Scheme"].as_str().unwrap(), base["Host"].as_str().unwrap(), base["Path"].as_str().unwrap());
        assert_eq!(base.trim_end_matches('/'), rig.url());
        let own = rig.plain(Method::GET, "/api/whoami").token(&key).send().await.expect(200);
        assert_eq!(own["installation"], json!(id), "{own:#}");
        assert_eq!(own["permissions"], json!(["read"]), "{own:#}");
        rig.plain(Method::GET, &format!("/api/plugins/{id}")).token(&key).send().await.expect(200);
        let publish = json!({"event": "EventThreadPublished", "payload": {"id": "x"}});
        let publish = rig.plain(Method::POST, "/api/events").token(&key).json(publish);
        publish.send().await.problem(403);
        rig.plain(Method::DELETE, &format!("/api/plugins/{id}")).token(&key).send().await.problem(403);

        let told = rig.get(&format!("/plugins/{id}/access")).await.expect(200);
        assert!(told["handle"].as_str().unwrap().contains("helper-bot"), "{told:#}");
        assert!(!told.to_string().contains(&key), "{told:#}");
        // The same one for every connection, until it is rotated.
        program.hang_up(1000).await;
        let program = External::come_back(&rig.door(&token)).await;
        assert_eq!(program.access().await["access_key"], json!(key));
        assert_eq!(rig.post(&format!("/plugins/{id}/access/rotate"), Value::Null).await.status, 204);
        rig.plain(Method::GET, "/api/whoami").token(&key).send().await.problem(401);
        let new = program.access().await["access_key"].as_str().unwrap().to_owned();
        assert_ne!(new, key);
        rig.plain(Method::GET, "/api/whoami").token(&new).send().await.expect(200);
        // It dies with the installation.
        assert_eq!(rig.delete(&format!("/plugins/{id}")).await.status, 204);
        rig.plain(Method::GET, "/api/whoami").token(&new).send().await.problem(401);
        assert_eq!(introspect(&rig, &new).await, json!({"active": false}));
    }

    async fn application_is_told_who_asks(database) {
        let rig = Rig::start(database).await;
        let (plugin, token) = rig.install_external(asking(&["SUBMIT_LIBRARY_NODE", "CREATE_POST"])).await;
        let id = id_of(&plugin);
        let program = External::dial(&rig.door(&token)).await;
        rig.until_state(&id, "active").await;
        let key = program.access().await["access_key"].as_str().unwrap().to_owned();
        let told = introspect(&rig, &key).await;
        assert_eq!(told["active"], true, "{told:#}");
        assert_eq!(told["sub"], json!(id), "{told:#}");
        assert_eq!(told["client_id"], "rig", "{told:#}");
        assert!(told["username"].as_str().unwrap().contains("helper-bot"), "{told:#}");
        assert_eq!(words(&told["scope"]), ["CREATE_POST", "SUBMIT_LIBRARY_NODE"]);
        // As the RFC has it: a form.
        let form = format!("token={key}");
        let form = rig.request(Method::POST, "/tokens/introspect").body("application/x-www-form-urlencoded", form);
        assert_eq!(form.send().await.expect(200), told);
        assert_eq!(introspect(&rig, "sdbak_unknown").await, json!({"active": false}));
        let ours = introspect(&rig, &rig.token).await;
        assert_eq!(ours["active"], true, "{ours:#}");
        assert!(ours["sub"].as_str().unwrap().starts_with("token:"), "{ours:#}");
        // The token with which it dials is none of these.
        assert_eq!(introspect(&rig, &token).await["active"], false);
        rig.plain(Method::GET, "/api/whoami").token(&token).send().await.problem(401);
    }

    async fn permissions_follow_the_manifest(database) {
        let rig = Rig::start(database).await;
        let (plugin, token) = rig.install_external(asking(&["CREATE_POST"])).await;
        let id = id_of(&plugin);
        let mut program = External::dial(&rig.door(&token)).await;
        rig.until_state(&id, "active").await;
        let key = program.access().await["access_key"].as_str().unwrap().to_owned();
        assert_eq!(words(&introspect(&rig, &key).await["scope"]), ["CREATE_POST"]);

        let path = format!("/plugins/{id}/manifest");
        rig.patch(&path, asking(&["CREATE_POST", "MANAGE_POSTS"])).await.expect(200);
        program.end().await;
        // Asked for, and not granted by that.
        let access = rig.get(&format!("/plugins/{id}/access")).await.expect(200);
        assert_eq!(access["requested"], json!(["CREATE_POST", "MANAGE_POSTS"]), "{access:#}");
        assert_eq!(access["granted"], json!(["CREATE_POST"]), "{access:#}");
        assert_eq!(words(&introspect(&rig, &key).await["scope"]), ["CREATE_POST"]);
        let both = json!({"granted": ["CREATE_POST", "MANAGE_POSTS"]});
        rig.put(&format!("/plugins/{id}/access"), both).await.expect(200);
        assert_eq!(words(&introspect(&rig, &key).await["scope"]), ["CREATE_POST", "MANAGE_POSTS"]);

        program = External::come_back(&rig.door(&token)).await;
        rig.until_state(&id, "active").await;
        assert_eq!(program.access().await["access_key"], json!(key));
        rig.patch(&path, asking(&["MANAGE_POSTS"])).await.expect(200);
        program.end().await;
        // What is no longer asked for is no longer had.
        assert_eq!(words(&introspect(&rig, &key).await["scope"]), ["MANAGE_POSTS"]);
    }
}
