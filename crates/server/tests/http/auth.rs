//! Who may do what.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Value, json};

use crate::rig::{Rig, problem};

const NAMES: [&str; 4] = ["read", "operate", "install", "publish"];

/// Every operation that needs a token, as the description of the API has it: method, path with
/// something in its places, permission (`None`: any).
fn guarded(openapi: &Value) -> Vec<(Method, String, Option<String>)> {
    let mut found = Vec::new();
    for (path, item) in openapi["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let Some(security) = operation["security"][0]["token"].as_array() else {
                assert!(
                    ["/health", "/ready", "/metrics"].contains(&path.as_str()),
                    "{path}"
                );
                continue;
            };
            let path = path
                .replace("{id}", "d4g1m2k3l4m5n6o7p8q0")
                .replace("{name}", "some_method")
                .replace("{job}", "some")
                .replace("{seq}", "1");
            let method = method.to_uppercase().parse().unwrap();
            let permission = security.first().map(|p| p.as_str().unwrap().to_owned());
            found.push((method, path, permission));
        }
    }
    found
}

#[tokio::test]
async fn every_operation_asks_for_a_token_and_for_its_permission() {
    let rig = Rig::start().await;
    let openapi = rig
        .plain(Method::GET, "/api/openapi.json")
        .send()
        .await
        .unwrap();
    let operations = guarded(&openapi.json().await.unwrap());
    assert!(operations.len() > 35, "{}", operations.len());

    let mut without = BTreeMap::new();
    for lacking in NAMES {
        let others: Vec<_> = NAMES.into_iter().filter(|name| *name != lacking).collect();
        without.insert(lacking.to_owned(), rig.token_for(&others).await);
    }
    without.insert("admin".to_owned(), rig.token_for(&NAMES).await);

    for (method, path, permission) in operations {
        let answer = rig.plain(method.clone(), &path).send().await.unwrap();
        assert_eq!(answer.status(), 401, "{method} {path}");
        assert_eq!(answer.headers()["www-authenticate"], "Bearer");
        problem(answer).await;
        let unknown = rig.plain(method.clone(), &path).bearer_auth("jfa_unknown");
        assert_eq!(
            unknown.send().await.unwrap().status(),
            401,
            "{method} {path}"
        );

        let Some(permission) = permission else {
            continue;
        };
        let token = &without[&permission];
        let answer = rig.plain(method.clone(), &path).bearer_auth(token);
        let answer = answer.send().await.unwrap();
        assert_eq!(answer.status(), 403, "{method} {path} without {permission}");
        problem(answer).await;
        let allowed = rig.ask(method.clone(), &path).send().await.unwrap();
        assert!(
            ![401, 403].contains(&allowed.status().as_u16()),
            "{method} {path}"
        );
    }
    rig.ended().await;
}

#[tokio::test]
async fn a_token_that_is_deleted_is_worthless_at_once() {
    let rig = Rig::start().await;
    let body = json!({"name": "ci", "permissions": ["read"]});
    let made = rig
        .ask(Method::POST, "/api/tokens")
        .json(&body)
        .send()
        .await
        .unwrap();
    assert_eq!(made.headers()["cache-control"], "no-store");
    let made: Value = made.json().await.unwrap();
    let (id, token) = (
        made["id"].as_str().unwrap(),
        made["token"].as_str().unwrap(),
    );

    let whoami = || {
        rig.plain(Method::GET, "/api/whoami")
            .bearer_auth(token)
            .send()
    };
    let who: Value = whoami().await.unwrap().json().await.unwrap();
    assert_eq!(who, json!({"name": "ci", "permissions": ["read"]}));
    let deleted = rig.ask(Method::DELETE, &format!("/api/tokens/{id}")).send();
    assert_eq!(deleted.await.unwrap().status(), 204);
    assert_eq!(whoami().await.unwrap().status(), 401);

    let audit: Value = rig.get("/api/audit").await.json().await.unwrap();
    let actions: Vec<_> = audit["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| &e["action"])
        .collect();
    assert_eq!(actions, ["token.delete", "token.create", "token.create"]);
    assert!(!audit.to_string().contains(token));
    rig.ended().await;
}
