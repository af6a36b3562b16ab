//! What operators set, and how it reaches the plugin.

use serde_json::{Value, json};

use crate::packages::{manifest, package, schema};
use crate::plugin::{External, Orders};
use crate::rig::{Database, Rig, eventually, id_of};

fn configurable(extra: &Value) -> Value {
    let mut manifest = manifest(json!({"configuration_schema": schema()}));
    let extra = extra.as_object().cloned().unwrap_or_default();
    manifest.as_object_mut().unwrap().extend(extra);
    manifest
}

on_both! {
    async fn lifecycle(database) {
        let rig = Rig::start(database).await;
        let (plugin, token) = rig.install_external(configurable(&json!({}))).await;
        let path = format!("/plugins/{}/configuration", id_of(&plugin));
        let fields = rig.get(&format!("{path}-schema")).await.expect(200);
        assert_eq!(fields["fields"].as_array().unwrap().len(), 3, "{fields:#}");
        assert_eq!(fields["fields"][0]["id"], "greeting");
        assert_eq!(rig.get(&path).await.expect(200), json!({}));

        let program = External::dial(&rig.door(&token)).await;
        rig.until_state(&id_of(&plugin), "active").await;
        let config = json!({"greeting": "hi", "count": 3, "loud": true, "extra": {"a": [1]}});
        assert_eq!(rig.patch(&path, config.clone()).await.expect(200), config);
        assert_eq!(program.configurations(1).await[0]["params"], config);
        assert_eq!(rig.get(&path).await.expect(200), config);
        // All of it is replaced, and not merged.
        let less = json!({"greeting": "ho"});
        assert_eq!(rig.patch(&path, less.clone()).await.expect(200), less);
        assert_eq!(program.configurations(2).await[1]["params"], less);
        assert_eq!(rig.get(&path).await.expect(200), less);
    }

    async fn validated_and_connected(database) {
        let rig = Rig::start(database).await;
        let (plugin, token) = rig.install_external(configurable(&json!({}))).await;
        let path = format!("/plugins/{}/configuration", id_of(&plugin));
        rig.patch(&format!("{path}?connected=required"), json!({"greeting": "hi"})).await.problem(400);
        assert_eq!(rig.get(&path).await.expect(200), json!({}));

        let _program = External::dial(&rig.door(&token)).await;
        rig.until_state(&id_of(&plugin), "active").await;
        let wrong = json!({"greeting": 1, "count": "x", "loud": null});
        let problem = rig.patch(&path, wrong).await.problem(400);
        for words in [
            r#"Field "greeting" must be a string value."#,
            r#"Field "count" must be a number value."#,
            r#"Field "loud" must be a boolean value."#,
        ] {
            let said = format!("{} {} {}", problem["title"], problem["detail"], problem["problems"]);
            assert!(said.replace("\\\"", "\"").contains(words), "{words}: {problem:#}");
        }
        for wrong in [json!([]), json!("x"), json!(1), Value::Null] {
            rig.patch(&path, wrong).await.problem(400);
        }
        assert_eq!(rig.get(&path).await.expect(200), json!({}));
    }

    async fn refused(database) {
        let rig = Rig::start(database).await;
        let (plugin, token) = rig.install_external(configurable(&json!({}))).await;
        let path = format!("/plugins/{}/configuration", id_of(&plugin));
        let orders = Orders { refuse_configuration: true, ..Orders::default() };
        let program = External::with(&rig.door(&token), orders).await;
        rig.until_state(&id_of(&plugin), "active").await;
        rig.patch(&path, json!({"greeting": "hi"})).await.problem(400);
        assert_eq!(program.configurations(1).await.len(), 1);
        assert_eq!(rig.get(&path).await.expect(200), json!({}));
    }

    async fn access_from_the_handler(database) {
        let rig = Rig::start(database).await;
        let access = json!({"handle": "rig", "name": "Rig", "permissions": ["read"]});
        let (plugin, token) = rig.install_external(configurable(&json!({"access": access}))).await;
        let path = format!("/plugins/{}/configuration", id_of(&plugin));
        let orders = Orders { access_in_configure: true, ..Orders::default() };
        let program = External::with(&rig.door(&token), orders).await;
        rig.until_state(&id_of(&plugin), "active").await;
        rig.patch(&path, json!({"greeting": "hi"})).await.expect(200);
        let told = &program.configurations(1).await[0]["access"]["result"]["result"];
        let key = told["access_key"].as_str().unwrap_or_else(|| panic!("{told:#}"));
        assert!(key.starts_with("sdbak_"), "{key}");
    }

    async fn read_by_the_plugin(database) {
        let rig = Rig::start(database).await;
        let (plugin, token) = rig.install_external(configurable(&json!({}))).await;
        let path = format!("/plugins/{}/configuration", id_of(&plugin));
        let program = External::dial(&rig.door(&token)).await;
        rig.until_state(&id_of(&plugin), "active").await;
        let nothing = program.ask("get_config", json!({"keys": ["greeting"]})).await;
        assert_eq!(nothing["result"], json!({"method": "get_config", "config": {}}));
        rig.patch(&path, json!({"greeting": "hi", "count": 2.5})).await.expect(200);
        let one = program.ask("get_config", json!({"keys": ["greeting", "none"]})).await;
        assert_eq!(one["result"], json!({"method": "get_config", "config": {"greeting": "hi"}}));
        for all in [Value::Null, json!({}), json!({"keys": []})] {
            let all = program.ask("get_config", all).await;
            assert_eq!(all["result"]["config"], json!({"greeting": "hi", "count": 2.5}), "{all:#}");
        }
    }

    async fn reaches_the_process(database) {
        let rig = Rig::start(database).await;
        let extra = json!({"configuration_schema": schema()});
        let id = id_of(&rig.install(package(&Orders::default(), extra)).await);
        rig.activate(&id).await;
        let config = json!({"greeting": "hi", "count": 3, "loud": false});
        rig.patch(&format!("/plugins/{id}/configuration"), config.clone()).await.expect(200);
        let file = rig.state_folder(&id).join("configured.json");
        eventually("the process writes it down", || file.exists()).await;
        let told: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        assert_eq!(told["params"], config);
    }
}
