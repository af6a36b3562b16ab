//! A plugin's life over HTTP.

use reqwest::Method;
use serde_json::{Value, json};

use crate::rig::{Rig, problem, script_package};

#[tokio::test]
async fn a_package_comes_and_goes_byte_for_byte() {
    let rig = Rig::start().await;
    let archive = script_package("exit 0");
    let answer = rig
        .ask(Method::POST, "/api/plugins")
        .header("content-type", "application/zip")
        .body(archive.clone())
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    let location = answer.headers()["location"].to_str().unwrap().to_owned();
    let plugin: Value = answer.json().await.unwrap();
    assert_eq!(plugin["status"]["active_state"], "inactive");
    assert_eq!(plugin["connection"], json!({"mode": "supervised"}));
    assert_eq!(plugin["package"]["version"], 1);
    assert_eq!(plugin["added_by"], "administrator");
    let shown: Value = rig.get(&location).await.json().await.unwrap();
    assert_eq!(shown, plugin);

    let path = format!("{location}/package");
    let download = rig.get(&path).await;
    assert_eq!(download.headers()["content-type"], "application/zip");
    assert_eq!(
        download.headers()["content-length"],
        archive.len().to_string()
    );
    assert_eq!(
        download.headers()["content-disposition"],
        "attachment; filename=rig.zip"
    );
    let etag = download.headers()["etag"].clone();
    assert_eq!(download.bytes().await.unwrap(), archive);
    let again = rig
        .ask(Method::GET, &path)
        .header("if-none-match", etag)
        .send();
    assert_eq!(again.await.unwrap().status(), 304);

    let gone = rig.ask(Method::DELETE, &location).send().await.unwrap();
    assert_eq!(gone.status(), 204);
    assert_eq!(rig.get(&location).await.status(), 404);
    rig.ended().await;
}

#[tokio::test]
async fn a_plugin_that_fails_is_told_in_full_at_once_and_by_a_job() {
    let rig = Rig::start().await;
    let id = rig.install("echo last words; exit 42").await;
    let path = format!("/api/plugins/{id}/active");
    let activate = || {
        rig.ask(Method::PATCH, &path)
            .json(&json!({"active": "active"}))
    };
    let answer = activate().send().await.unwrap();
    assert_eq!(answer.status(), 502);
    let failed = problem(answer).await;
    assert!(
        failed["detail"]
            .as_str()
            .unwrap()
            .contains("exit status 42"),
        "{failed}"
    );
    assert_eq!(
        failed["failure"]["details"]["last_lines"],
        json!(["last words"])
    );

    let answer = activate()
        .header("prefer", "respond-async")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 202);
    assert_eq!(answer.headers()["preference-applied"], "respond-async");
    let location = answer.headers()["location"].to_str().unwrap().to_owned();
    let job: Value = rig
        .get(&format!("{location}?wait=30"))
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(job["state"], "failed", "{job}");
    assert_eq!(job["problem"]["type"], failed["type"]);

    let wrong = rig
        .ask(Method::PATCH, &path)
        .json(&json!({"active": "perhaps"}));
    assert_eq!(wrong.send().await.unwrap().status(), 400);
    rig.ended().await;
}

#[tokio::test]
async fn an_external_plugin_is_told_its_token_once() {
    let rig = Rig::start().await;
    let manifest = json!({"id": "dialer", "author": "tests", "name": "Dialer", "description": "",
        "version": "1.0.0", "access": {"handle": "dialer", "name": "Dialer",
        "permissions": ["read", "CREATE_POST", "admin"]}});
    let body = json!({"mode": "external", "manifest": manifest});
    let added = rig
        .ask(Method::POST, "/api/plugins?grant=requested")
        .json(&body)
        .send();
    let added: Value = added.await.unwrap().json().await.unwrap();
    let token = added["connection"]["token"].as_str().unwrap();
    assert!(token.starts_with("sdprt_"));
    assert_eq!(added["status"]["active_state"], "connecting");

    let path = format!("/api/plugins/{}", added["id"].as_str().unwrap());
    let shown: Value = rig.get(&path).await.json().await.unwrap();
    assert!(!shown.to_string().contains(token), "{shown}");
    let prefix = shown["connection"]["token_prefix"].as_str().unwrap();
    assert!(token.starts_with(prefix) && prefix.len() < 20);
    let as_plugin = rig.plain(Method::GET, "/api/whoami").bearer_auth(token);
    assert_eq!(as_plugin.send().await.unwrap().status(), 401);

    for (method, place) in [
        (Method::GET, "logs"),
        (Method::GET, "package"),
        (Method::POST, "start"),
    ] {
        let refused = rig
            .ask(method, &format!("{path}/{place}"))
            .send()
            .await
            .unwrap();
        assert_eq!(refused.status(), 400, "{place}");
        problem(refused).await;
    }
    let access = format!("{path}/access");
    let granted: Value = rig.get(&access).await.json().await.unwrap();
    assert_eq!(granted["granted"], json!(["read", "CREATE_POST", "admin"]));
    let fewer = rig
        .ask(Method::PUT, &access)
        .json(&json!({"granted": ["read", "more"]}));
    let fewer: Value = fewer.send().await.unwrap().json().await.unwrap();
    assert_eq!(fewer["granted"], json!(["read"]));

    let installer = rig.token_for(&["install"]).await;
    let granting = rig.plain(Method::POST, "/api/plugins?grant=requested");
    let granting = granting
        .bearer_auth(installer)
        .json(&body)
        .send()
        .await
        .unwrap();
    assert_eq!(granting.status(), 403);
    rig.ended().await;
}
