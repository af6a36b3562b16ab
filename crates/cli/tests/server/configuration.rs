//! Configurations over the life of a plugin, and their secrets.

use serde_json::{Value, json};

use crate::database::{Look, files_with};
use crate::packages::{manifest, package, schema};
use crate::plugin::{External, Orders};
use crate::rig::{Database, Options, Rig, id_of, state_of};

fn with_secret() -> Value {
    json!({"fields": [
        {"type": "string", "id": "key", "label": "Key", "description": "", "secret": true},
        {"type": "string", "id": "colour", "label": "Colour", "description": "", "default": "red"},
    ]})
}

on_both! {
    async fn secrets_are_sealed_where_they_rest(database) {
        let mut rig = Rig::start(database).await;
        let (plugin, token) = rig.install_external(manifest(json!({"configuration_schema": with_secret()}))).await;
        let path = format!("/plugins/{}/configuration", id_of(&plugin));
        let secret = "correct-horse-battery-staple";
        rig.patch(&path, json!({"key": secret, "colour": "blue"})).await.expect(200);
        let look = |everything: Vec<String>| {
            let found: Vec<_> = everything.into_iter().filter(|row| row.contains(secret)).collect();
            assert!(found.is_empty(), "{found:#?}");
        };
        look(Look::at(&rig).await.everything().await);
        assert_eq!(files_with(&rig.data(), &[secret]), Vec::<String>::new());
        for path in [path.clone(), "/audit".to_owned(), "/plugins".to_owned()] {
            let answer = rig.get(&path).await;
            assert!(!answer.text().contains(secret), "{answer:?}");
        }
        // It survives a restart, and the plugin gets it as it was.
        rig.restart().await;
        let program = External::come_back(&rig.door(&token)).await;
        assert_eq!(program.configurations(1).await[0]["params"], json!({"key": secret, "colour": "blue"}));
        assert!(!rig.written().contains(secret));
        // Who only saw what is shown, and sends that back, does not lose it.
        let shown = rig.patch(&path, json!({"colour": "green"})).await;
        assert_eq!(shown.header("jackfield-secrets-set"), Some("key"), "{shown:?}");
        let told = json!({"key": secret, "colour": "green"});
        assert_eq!(program.configurations(2).await[1]["params"], told);
        let none = rig.patch(&path, json!({"key": null, "colour": "green"})).await;
        assert_eq!(none.header("jackfield-secrets-set").unwrap_or_default(), "", "{none:?}");
        assert_eq!(program.configurations(3).await[2]["params"], json!({"colour": "green"}));
        // Nor is a value taken for sealed that somebody sends.
        for posing in [json!({"$sealed": "AAAA"}), json!({"$secret": true})] {
            rig.patch(&path, json!({"key": posing})).await.problem(400);
        }
        rig.patch(&path, json!({"other": {"$sealed": "AAAA"}})).await.problem(400);
    }

    async fn waits_for_a_plugin_that_is_down(database) {
        let mut rig = Rig::start(database).await;
        let (plugin, token) = rig.install_external(manifest(json!({"configuration_schema": schema()}))).await;
        let path = format!("/plugins/{}/configuration", id_of(&plugin));
        // Nothing is stored, and nothing is delivered.
        let program = External::dial(&rig.door(&token)).await;
        rig.until_state(&id_of(&plugin), "active").await;
        rig.publish("EventThreadPublished", json!({"id": "x"})).await;
        program.events(1).await;
        assert_eq!(program.configurations_now(), Vec::<Value>::new());
        program.hang_up(1000).await;
        rig.until_state(&id_of(&plugin), "connecting").await;
        rig.patch(&path, json!({"count": 1})).await.expect(200);
        rig.patch(&path, json!({"count": 2})).await.expect(200);
        rig.kill().await;
        rig.start_again().await;
        assert_eq!(rig.get(&path).await.expect(200), json!({"count": 2}));
        let program = External::come_back(&rig.door(&token)).await;
        assert_eq!(program.configurations(1).await[0]["params"], json!({"count": 2}));
    }

    async fn no_answer_stores_nothing(database) {
        let options = Options::quick().with("--call-deadline", "500ms");
        let rig = Rig::start_with(database, options).await;
        let (plugin, token) = rig.install_external(manifest(json!({"configuration_schema": schema()}))).await;
        let path = format!("/plugins/{}/configuration", id_of(&plugin));
        let orders = Orders { silent_configuration: true, ..Orders::default() };
        let program = External::with(&rig.door(&token), orders).await;
        rig.until_state(&id_of(&plugin), "active").await;
        let refused = rig.patch(&path, json!({"count": 1})).await;
        assert!([400, 504].contains(&refused.status), "{refused:?}");
        refused.problem(refused.status);
        assert_eq!(rig.get(&path).await.expect(200), json!({}));
        assert!(program.is_open());
        assert_eq!(state_of(&rig.plugin(&id_of(&plugin)).await), "active");
    }

    async fn many_at_once_leave_one_of_them(database) {
        let rig = Rig::start(database).await;
        let (plugin, token) = rig.install_external(manifest(json!({"configuration_schema": schema()}))).await;
        let path = format!("/plugins/{}/configuration", id_of(&plugin));
        let program = External::dial(&rig.door(&token)).await;
        rig.until_state(&id_of(&plugin), "active").await;
        let all = (0..20).map(|n| rig.patch(&path, json!({"count": n, "greeting": format!("g{n}")})));
        for answer in futures_util::future::join_all(all).await {
            answer.expect(200);
        }
        let stored = rig.get(&path).await.expect(200);
        let told = program.configurations(20).await;
        // What the plugin was told last is what is kept.
        assert_eq!(told[19]["params"], stored);
        assert_eq!(stored["greeting"], json!(format!("g{}", stored["count"])));
    }

    /// A refusal when the plugin connects is no reason not to let it work.
    async fn a_stored_one_that_is_refused_later_does_not_stop_the_plugin(database) {
        let rig = Rig::start(database).await;
        let (plugin, token) = rig.install_external(manifest(json!({"configuration_schema": schema()}))).await;
        let id = id_of(&plugin);
        rig.patch(&format!("/plugins/{id}/configuration"), json!({"count": 1})).await.expect(200);
        let orders = Orders { refuse_configuration: true, ..Orders::default() };
        let program = External::with(&rig.door(&token), orders).await;
        rig.publish("EventThreadPublished", json!({"id": "x"})).await;
        assert_eq!(program.events(1).await.len(), 1);
        assert_eq!(program.configurations(1).await.len(), 1);
    }

    async fn belongs_to_the_installation_and_not_to_the_manifest(database) {
        let rig = Rig::start(database).await;
        let install = || rig.install(package(&Orders::default(), json!({"configuration_schema": schema()})));
        let (one, other) = (id_of(&install().await), id_of(&install().await));
        assert_ne!(one, other);
        rig.patch(&format!("/plugins/{one}/configuration"), json!({"count": 1})).await.expect(200);
        assert_eq!(rig.get(&format!("/plugins/{other}/configuration")).await.expect(200), json!({}));
        let next = package(&Orders::default(), json!({"configuration_schema": with_secret(), "version": "2.0.0"}));
        rig.upgrade(&one, next).await.expect(200);
        assert_eq!(rig.get(&format!("/plugins/{one}/configuration")).await.expect(200), json!({"count": 1}));
    }
}
