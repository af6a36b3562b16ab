//! Upgrades that fail, and ways back.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::answer::Answer;

use crate::packages::{ordered, package, schema, version};
use crate::plugin::Orders;
use crate::rig::{Database, Options, Rig, eventually, id_of, state_of};

async fn versions(rig: &Rig, id: &str) -> Vec<Value> {
    let found = rig
        .get(&format!("/plugins/{id}/versions"))
        .await
        .expect(200);
    found["versions"].as_array().unwrap().clone()
}

/// The versions' own numbers, the current one in brackets.
async fn kept(rig: &Rig, id: &str) -> Vec<String> {
    let name = |version: &Value| {
        let name = version["version"].as_str().unwrap();
        if version["current"] == true {
            format!("[{name}]")
        } else {
            name.to_owned()
        }
    };
    versions(rig, id).await.iter().map(name).collect()
}

async fn runs(rig: &Rig, id: &str, version: &str) {
    let plugin = rig.plugin(id).await;
    assert_eq!(
        (state_of(&plugin).as_str(), &plugin["version"]),
        ("active", &json!(version)),
        "{plugin:#}"
    );
    assert_eq!(rig.call(id, "version", json!({})).await["version"], version);
}

on_both! {
    /// Crashes at boot, crashes when connected, never connects, does not answer: the old one is back each time.
    async fn a_new_version_that_does_not_run_changes_nothing(database) {
        let options = Options::quick().with("--dial-deadline", "1s");
        let mut rig = Rig::start_with(database, options).await;
        let extra = json!({"configuration_schema": schema(), "access": {"handle": "rig", "name": "Rig", "permissions": ["read"]}});
        let first = package(&Orders { version: "1.0.0".into(), ..Orders::default() }, extra);
        let id = id_of(&rig.install(first).await);
        rig.patch(&format!("/plugins/{id}/configuration"), json!({"greeting": "hi"})).await.expect(200);
        rig.activate(&id).await;
        let key = rig.call(&id, "host", json!({"method": "access_get"})).await;
        let bad = [
            Orders { exit: Some(42), ..Orders::default() }, Orders { exit_connected: Some(43), ..Orders::default() },
            Orders { never_dial: true, ..Orders::default() }, Orders { no_ping: true, ..Orders::default() },
        ];
        for orders in bad {
            let problem = rig.upgrade(&id, ordered("2.0.0", orders.clone())).await.problem(502);
            assert!(problem["detail"].as_str().unwrap().len() > 10, "{problem:#}");
            runs(&rig, &id, "1.0.0").await;
            assert_eq!(kept(&rig, &id).await, ["[1.0.0]"], "{orders:?}");
        }
        assert_eq!(rig.call(&id, "host", json!({"method": "access_get"})).await["answer"]["result"], key["answer"]["result"]);
        assert_eq!(rig.get(&format!("/plugins/{id}/configuration")).await.expect(200), json!({"greeting": "hi"}));
        // Nothing but the sound one is left on disk and after a restart.
        rig.restart().await;
        rig.ready().await;
        rig.until_state(&id, "active").await;
        runs(&rig, &id, "1.0.0").await;
        // What is not a program at all.
        let none = package(&Orders::default(), json!({"command": "no-such-program-anywhere", "version": "2.0.0"}));
        rig.upgrade(&id, none).await.problem(502);
        runs(&rig, &id, "1.0.0").await;
    }

    async fn rollback_is_one_call(database) {
        let rig = Rig::start_with(database, Options::quick().with("--keep-versions", "3")).await;
        let id = id_of(&rig.install(version("1.0.0")).await);
        let path = format!("/plugins/{id}/rollback");
        let nowhere = rig.post(&path, json!({})).await;
        assert!([400, 404, 409].contains(&nowhere.status), "{nowhere:?}");
        nowhere.problem(nowhere.status);
        rig.activate(&id).await;
        rig.upgrade(&id, version("2.0.0")).await.expect(200);
        let plugin = rig.post(&path, json!({})).await.expect(200);
        assert_eq!(plugin["version"], "1.0.0", "{plugin:#}");
        runs(&rig, &id, "1.0.0").await;
        assert_eq!(kept(&rig, &id).await, ["[1.0.0]", "2.0.0"]);
        let plugin = rig.post(&path, json!({"version": 2})).await.expect(200);
        assert_eq!(plugin["package"]["version"], 2, "{plugin:#}");
        runs(&rig, &id, "2.0.0").await;
        for wrong in [json!({"version": 99}), json!({"version": "x"}), json!({"version": -1})] {
            let refused = rig.post(&path, wrong).await;
            assert!([400, 404, 409].contains(&refused.status), "{refused:?}");
            refused.problem(refused.status);
        }
        runs(&rig, &id, "2.0.0").await;
        // Only so many are kept, and the one that counts is one of them.
        for n in 3..6 {
            rig.upgrade(&id, version(&format!("{n}.0.0"))).await.expect(200);
        }
        assert_eq!(kept(&rig, &id).await, ["3.0.0", "4.0.0", "[5.0.0]"]);
        rig.post(&path, json!({"version": 1})).await.problem(404);
        let all = versions(&rig, &id).await;
        for version in &all {
            assert_eq!(version["digest"].as_str().unwrap().len(), 64, "{version:#}");
            assert!(version["size"].as_u64().unwrap() > 100, "{version:#}");
            assert!(version["added_at"].is_string() && version["added_by"].is_string(), "{version:#}");
        }
        // Inactive: only the pointer moves.
        rig.set_active(&id, "inactive").await.expect(200);
        let plugin = rig.post(&path, json!({"version": 3})).await.expect(200);
        assert_eq!((state_of(&plugin).as_str(), &plugin["version"]), ("inactive", &json!("3.0.0")), "{plugin:#}");
    }

    async fn upgrades_from_a_url_and_as_jobs(database) {
        let rig = Rig::start_with(database, Options::quick().flag("--allow-private-downloads")).await;
        let id = id_of(&rig.install(version("1.0.0")).await);
        rig.activate(&id).await;
        let web = crate::web::Web::start(vec![("/2.zip", crate::web::ok(&version("2.0.0"))), ("/moved", crate::web::redirect("/2.zip"))]).await;
        let path = format!("/plugins/{id}/package");
        let wrong = json!({"url": web.url("/2.zip"), "checksum": "0".repeat(64)});
        let refused = rig.patch(&path, wrong).await;
        assert!([400, 409].contains(&refused.status), "{refused:?}");
        runs(&rig, &id, "1.0.0").await;
        rig.patch(&path, json!({"url": web.url("/moved")})).await.expect(200);
        runs(&rig, &id, "2.0.0").await;
        let request = rig.request(Method::PATCH, &path).header("prefer", "respond-async");
        let job = request.zip(version("3.0.0")).send().await.expect(202);
        let job = rig.get(&format!("/jobs/{}?wait=30", job["id"].as_str().unwrap())).await.expect(200);
        assert_eq!((&job["kind"], &job["state"]), (&json!("upgrade"), &json!("done")), "{job:#}");
        runs(&rig, &id, "3.0.0").await;
        let request = rig.request(Method::PATCH, &path).header("prefer", "respond-async");
        let crash = Orders { exit: Some(42), ..Orders::default() };
        let job = request.zip(ordered("4.0.0", crash)).send().await.expect(202);
        let job = rig.get(&format!("/jobs/{}?wait=30", job["id"].as_str().unwrap())).await.expect(200);
        assert_eq!((&job["state"], &job["problem"]["status"]), (&json!("failed"), &json!(502)), "{job:#}");
        runs(&rig, &id, "3.0.0").await;
    }

    /// Two upgrades, a rollback and a stop at once: whatever comes of it, what is shown is what runs.
    async fn operations_at_once_do_not_mix(database) {
        let rig = Rig::start(database).await;
        let id = id_of(&rig.install(version("1.0.0")).await);
        rig.activate(&id).await;
        let rollback = format!("/plugins/{id}/rollback");
        let answers = tokio::join!(
            rig.upgrade(&id, version("2.0.0")), rig.upgrade(&id, version("3.0.0")),
            rig.post(&rollback, json!({})), rig.set_active(&id, "inactive"),
            rig.set_active(&id, "active"),
        );
        for answer in [answers.0, answers.1, answers.2, answers.3, answers.4] {
            assert!([200, 400, 404, 409].contains(&answer.status), "{answer:?}");
        }
        let active = rig.set_active(&id, "active").await.expect(200);
        let shown = active["version"].as_str().unwrap().to_owned();
        runs(&rig, &id, &shown).await;
        let current = kept(&rig, &id).await.into_iter().filter(|v| v.starts_with('[')).collect::<Vec<_>>();
        assert_eq!(current, [format!("[{shown}]")]);
    }

    /// Killed at each step of an upgrade: the old one runs until the new one counted.
    async fn a_kill_at_any_step_leaves_one_version(database) {
        let mut rig = Rig::start_with(database, Options::quick().with("--stop-grace", "700ms")).await;
        // Slow to stop and slow to start, so that there are steps to be killed at.
        let deaf = Orders { deaf: true, ..Orders::default() };
        let id = id_of(&rig.install(ordered("1.0.0", deaf)).await);
        rig.activate(&id).await;
        let mut counts = "1.0.0".to_owned();
        for (n, after) in [0_u64, 30, 80, 200, 500, 800, 1000, 1200, 1500].into_iter().enumerate() {
            let next = format!("2.0.{n}");
            let orders = Orders { deaf: true, dial_after_ms: 300, ..Orders::default() };
            let request = rig.request(Method::PATCH, &format!("/plugins/{id}/package")).zip(ordered(&next, orders));
            let upgrade = begin(request.try_send());
            tokio::time::sleep(Duration::from_millis(after)).await;
            rig.kill().await;
            let acknowledged = ended(upgrade)
                .await
                .is_ok_and(|answer| answer.status == 200);
            rig.start_again().await;
            rig.ready().await;
            let plugin = rig.until_state(&id, "active").await;
            let shown = plugin["version"].as_str().unwrap().to_owned();
            assert!(shown == counts || shown == next, "{plugin:#}");
            assert!(!acknowledged || shown == next, "it was acknowledged: {plugin:#}");
            runs(&rig, &id, &shown).await;
            // One process of it, and no other.
            let alive = jackfield_testkit::alive_with(&format!("/plugins/{id}/"));
            assert_eq!(alive.len(), 1, "{alive:?}");
            counts = shown;
        }
        // And after all of that it can be upgraded, by hand of nobody.
        rig.upgrade(&id, version("3.0.0")).await.expect(200);
        runs(&rig, &id, "3.0.0").await;
    }

    /// Killed while it is installed or removed: it is there, whole, or not at all.
    async fn a_kill_while_installing_or_removing_leaves_nothing_half(database) {
        let mut rig = Rig::start(database).await;
        for after in [0_u64, 2, 5, 10, 20, 40] {
            let request = rig.request(Method::POST, "/plugins").zip(version("1.0.0"));
            let install = begin(request.try_send());
            tokio::time::sleep(Duration::from_millis(after)).await;
            rig.kill().await;
            let answer = ended(install).await;
            rig.start_again().await;
            rig.ready().await;
            let list = rig.get("/plugins").await.expect(200);
            assert_eq!(list["unreadable"], json!([]), "{list:#}");
            let plugins = list["plugins"].as_array().unwrap().clone();
            if let Ok(answer) = answer {
                assert!(plugins.iter().any(|plugin| plugin["id"] == answer.json()["id"]), "{answer:?}");
            }
            for plugin in plugins {
                let id = id_of(&plugin);
                rig.activate(&id).await;
                let pid = rig.call(&id, "pid", json!({})).await["pid"].as_u64().unwrap();
                let request = rig.request(Method::DELETE, &format!("/plugins/{id}"));
                let delete = begin(request.try_send());
                tokio::time::sleep(Duration::from_millis(after)).await;
                rig.kill().await;
                let gone = ended(delete)
                .await
                .is_ok_and(|answer| answer.status == 204);
                rig.start_again().await;
                rig.ready().await;
                eventually("the old process is gone", || !jackfield_testkit::alive(pid.try_into().unwrap())).await;
                let answer = rig.get(&format!("/plugins/{id}")).await;
                if gone || answer.status == 404 {
                    answer.problem(404);
                } else {
                    rig.until_state(&id, "active").await;
                    assert_eq!(rig.delete(&format!("/plugins/{id}")).await.status, 204);
                }
                let data = rig.data();
                eventually("nothing of it is left", || crate::database::paths_with(&data, &id).is_empty()).await;
            }
        }
        let packages = crate::database::paths_with(&rig.data(), ".zip");
        assert!(packages.len() <= 1, "archives that nobody uses: {packages:#?}");
    }
}

/// Sends a request while the test goes on.
fn begin(request: impl Future<Output = Sent> + Send + 'static) -> JoinSet<Sent> {
    let mut tasks = JoinSet::new();
    tasks.spawn(request);
    tasks
}

async fn ended(mut tasks: JoinSet<Sent>) -> Sent {
    tasks.join_next().await.unwrap().unwrap()
}

type Sent = Result<Answer, reqwest::Error>;
