//! Who may do what.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::packages::{manifest, version};
use crate::rig::{Database, Rig, id_of};

on_both! {
    async fn nobody_gets_in_without_a_token(database) {
        let rig = Rig::start(database).await;
        for path in ["/api/plugins", "/api/info", "/api/whoami", "/api/tokens", "/api/audit", "/api/jobs", "/api/methods"] {
            let request = || rig.plain(Method::GET, path);
            let wrong = [
                request(), request().token("jfa_unknown"), request().token(""),
                request().header("authorization", "Basic YTpi"), request().header("authorization", &rig.token),
                request().token(&format!("{}x", rig.token)), request().token(&rig.token[..rig.token.len() - 1]),
            ];
            for request in wrong {
                let answer = request.send().await;
                answer.problem(401);
                let challenge = answer.header("www-authenticate").unwrap_or_default().to_owned();
                assert!(challenge.starts_with("Bearer"), "{answer:?}");
            }
        }
        // Not in the query: it would be in somebody's log.
        let path = format!("/api/plugins?token={}&access_token={}", rig.token, rig.token);
        rig.plain(Method::GET, &path).send().await.problem(401);
        for (path, status) in [("/health", 200), ("/ready", 200), ("/metrics", 200), ("/api/openapi.json", 200)] {
            let answer = rig.plain(Method::GET, path).send().await;
            assert_eq!(answer.status, status, "{answer:?}");
        }
        assert_eq!(rig.plain(Method::GET, "/health").send().await.json(), json!({"status": "ok"}));
        let docs = rig.plain(Method::GET, "/docs/").send().await;
        assert_eq!(docs.status, 200, "{docs:?}");
        // Upper or lower case, as RFC 9110 has it.
        let lower = rig.plain(Method::GET, "/api/whoami").header("authorization", &format!("bearer {}", rig.token));
        assert_eq!(lower.send().await.status, 200);
    }

    async fn each_permission_is_for_its_operations(database) {
        let rig = Rig::start(database).await;
        let id = id_of(&rig.install(version("1.0.0")).await);
        let (external, _) = rig.install_external(manifest(json!({}))).await;
        let external = id_of(&external);
        let plugin = format!("/plugins/{id}");
        let event = json!({"event": "EventThreadPublished", "payload": {"id": "x"}});
        // One operation of each kind; what is wrong with the request shows only to who may.
        let operations: Vec<(&str, Method, String, Value)> = vec![
            ("read", Method::GET, "/plugins".into(), Value::Null), ("read", Method::GET, plugin.clone(), Value::Null),
            ("read", Method::GET, format!("{plugin}/logs?follow=false"), Value::Null), ("read", Method::GET, format!("{plugin}/package"), Value::Null),
            ("read", Method::GET, format!("{plugin}/configuration"), Value::Null), ("read", Method::GET, format!("{plugin}/configuration-schema"), Value::Null),
            ("read", Method::GET, format!("{plugin}/versions"), Value::Null), ("read", Method::GET, format!("{plugin}/facts"), Value::Null),
            ("read", Method::GET, format!("{plugin}/access"), Value::Null), ("read", Method::GET, format!("{plugin}/events/parked"), Value::Null),
            ("read", Method::GET, "/jobs".into(), Value::Null), ("read", Method::POST, "/tokens/introspect".into(), json!({"token": "x"})),
            ("operate", Method::PATCH, format!("{plugin}/active"), json!({"active": "x"})), ("operate", Method::PATCH, format!("{plugin}/configuration"), json!({})),
            ("operate", Method::POST, format!("{plugin}/stop"), Value::Null), ("operate", Method::POST, format!("{plugin}/call"), json!({"method": "x"})),
            ("operate", Method::POST, format!("{plugin}/events/parked/replay"), Value::Null), ("operate", Method::DELETE, format!("{plugin}/events/parked/7"), Value::Null),
            ("install", Method::POST, "/plugins".into(), json!({"mode": "x"})), ("install", Method::POST, format!("/plugins/{external}/token"), Value::Null),
            ("install", Method::PATCH, format!("/plugins/{external}/manifest"), json!({})), ("install", Method::PATCH, format!("{plugin}/package"), json!({})),
            ("install", Method::POST, format!("{plugin}/rollback"), json!({"version": 77})), ("install", Method::DELETE, "/plugins/c5r3k2f3q1g5s8b2n3og".into(), Value::Null),
            ("publish", Method::POST, "/events".into(), event),
            ("admin", Method::GET, "/tokens".into(), Value::Null), ("admin", Method::POST, "/tokens".into(), json!({})), ("admin", Method::DELETE, "/tokens/none".into(), Value::Null),
            ("admin", Method::GET, "/methods".into(), Value::Null), ("admin", Method::PUT, "/methods/x".into(), json!({})), ("admin", Method::DELETE, "/methods/x".into(), Value::Null),
            ("admin", Method::GET, "/audit".into(), Value::Null), ("admin", Method::PUT, format!("{plugin}/access"), json!({"granted": []})),
            ("admin", Method::POST, format!("{plugin}/access/rotate"), Value::Null),
        ];
        for permission in ["read", "operate", "install", "publish"] {
            let token = rig.make_token(&[permission]).await;
            for (needed, method, path, body) in &operations {
                let request = rig.plain(method.clone(), &format!("/api{path}")).token(&token);
                let request = if body.is_null() { request } else { request.json(body.clone()) };
                let answer = request.send().await;
                if *needed == permission {
                    assert!(answer.status != 401 && answer.status != 403, "{permission}: {answer:?}");
                } else {
                    assert_eq!(answer.status, 403, "{permission}: {answer:?}");
                    answer.problem(403);
                }
            }
            let own = rig.plain(Method::GET, "/api/whoami").token(&token).send().await.expect(200);
            assert_eq!(own["permissions"], json!([permission]), "{own:#}");
            rig.plain(Method::GET, "/api/info").token(&token).send().await.expect(200);
        }
        // To grant what a manifest asks for is more than to install it.
        let install = rig.make_token(&["install"]).await;
        let body = json!({"mode": "external", "manifest": manifest(json!({}))});
        let grant = rig.plain(Method::POST, "/api/plugins?grant=requested").token(&install).json(body.clone());
        grant.send().await.problem(403);
        rig.plain(Method::POST, "/api/plugins").token(&install).json(body).send().await.expect(200);
    }

    async fn tokens_are_shown_once_expire_and_are_revoked(database) {
        let mut rig = Rig::start(database).await;
        let made = rig.post("/tokens", json!({"name": "deploy", "permissions": ["read", "install"]})).await.json();
        let token = made["token"].as_str().unwrap().to_owned();
        assert!(token.starts_with("jfa_") && token.len() == 47, "{token}");
        let list = rig.get("/tokens").await;
        assert!(!list.text().contains(&token) && !list.text().contains(&rig.token), "{list:?}");
        let list = list.expect(200);
        let names: Vec<_> = list["tokens"].as_array().unwrap().iter().map(|t| t["name"].as_str().unwrap().to_owned()).collect();
        assert!(names.contains(&"deploy".to_owned()) && names.contains(&"administrator".to_owned()), "{list:#}");
        let whoami = async |rig: &Rig, token: &str| rig.plain(Method::GET, "/api/whoami").token(token).send().await;
        assert_eq!(whoami(&rig, &token).await.expect(200)["name"], "deploy");

        let short = json!({"name": "short", "permissions": ["read"], "expires_in_seconds": 2});
        let short = rig.post("/tokens", short).await.json()["token"].as_str().unwrap().to_owned();
        let mut answer = whoami(&rig, &short).await;
        assert_eq!(answer.status, 200);
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        while answer.status == 200 {
            assert!(tokio::time::Instant::now() < deadline, "it never expires");
            tokio::time::sleep(Duration::from_millis(100)).await;
            answer = whoami(&rig, &short).await;
        }
        answer.problem(401);
        let introspected = rig.post("/tokens/introspect", json!({"token": short})).await.expect(200);
        assert_eq!(introspected, json!({"active": false}));

        rig.restart().await;
        whoami(&rig, &token).await.expect(200);
        let id = made["id"].as_str().unwrap();
        assert_eq!(rig.delete(&format!("/tokens/{id}")).await.status, 204);
        whoami(&rig, &token).await.problem(401);
        rig.delete(&format!("/tokens/{id}")).await.problem(404);
        for wrong in [
            json!({"name": "x", "permissions": ["everything"]}), json!({"name": "x"}), json!({"permissions": ["read"]}), json!({"name": "", "permissions": ["read"]}),
            json!({"name": "x", "permissions": ["read"], "expires_in_seconds": -1}), json!({"name": "x", "permissions": ["read"], "expires_in_seconds": "soon"}),
            json!({"name": "x", "permissions": "read"}), json!({"name": "x".repeat(100_000), "permissions": ["read"]}),
        ] {
            rig.post("/tokens", wrong).await.problem(400);
        }
    }

    /// The first start tells a token; later ones do not, unless they are asked to.
    async fn an_administrator_can_get_in_again(database) {
        let mut rig = Rig::start(database).await;
        let first = rig.token.clone();
        assert!(first.starts_with("jfa_"), "{first}");
        rig.restart().await;
        assert_eq!(rig.token, first);
        assert_eq!(rig.written().matches("\"administrator\"").count(), 1, "{}", rig.written());
        rig.options = rig.options.clone().flag("--new-admin-token");
        rig.token.clear();
        rig.restart().await;
        assert_ne!(rig.token, first);
        rig.get("/tokens").await.expect(200);
        rig.plain(Method::GET, "/api/whoami").token(&first).send().await.expect(200);
    }

    async fn what_was_done_is_known(database) {
        let rig = Rig::start(database).await;
        let token = rig.make_token(&["install", "operate", "read"]).await;
        let by = |method: Method, path: &str| rig.plain(method, &format!("/api{path}")).token(&token);
        let id = id_of(&by(Method::POST, "/plugins").zip(version("1.0.0")).send().await.expect(200));
        by(Method::PATCH, &format!("/plugins/{id}/active")).json(json!({"active": "active"})).send().await.expect(200);
        by(Method::PATCH, &format!("/plugins/{id}/package")).zip(b"no zip".to_vec()).send().await.problem(400);
        by(Method::DELETE, &format!("/plugins/{id}")).send().await;
        let audit = rig.get(&format!("/audit?target={id}")).await.expect(200);
        let entries = audit["entries"].as_array().unwrap();
        assert!(entries.len() >= 3, "{audit:#}");
        assert!(entries.iter().all(|entry| entry["target"] == json!(id)), "{audit:#}");
        assert!(entries.iter().all(|entry| entry["actor"].as_str().unwrap().contains("install-operate-read")), "{audit:#}");
        assert!(entries.iter().any(|entry| entry["done"] == false), "{audit:#}");
        assert!(!audit.to_string().contains(&token));
        // A page after the other.
        let all = rig.get("/audit?limit=1000").await.expect(200)["entries"].as_array().unwrap().clone();
        let mut paged = Vec::new();
        let mut path = "/audit?limit=2".to_owned();
        loop {
            let page = rig.get(&path).await.expect(200);
            assert!(page["entries"].as_array().unwrap().len() <= 2, "{page:#}");
            paged.extend(page["entries"].as_array().unwrap().clone());
            let Some(next) = page.get("next").filter(|next| !next.is_null()) else { break };
            path = format!("/audit?limit=2&before={}", next.to_string().trim_matches('"'));
        }
        assert_eq!(paged, all);
    }
}
