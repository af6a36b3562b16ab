//! What is wrong is told in one shape.

use std::collections::HashSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::rig::{Rig, problem};

#[tokio::test]
async fn everything_that_is_wrong_is_a_problem() {
    let rig = Rig::start().await;
    let nobody = "/api/plugins/d4g1m2k3l4m5n6o7p8q0";
    for (method, path, status, kind) in [
        (Method::GET, "/api/nothing", 404, "no-such-path"),
        (Method::GET, "/nothing", 404, "no-such-path"),
        (Method::GET, nobody, 404, "no-such-plugin"),
        (Method::GET, "/api/plugins/short", 404, "no-such-plugin"),
        (Method::PUT, "/api/plugins", 405, "method-not-allowed"),
        (Method::GET, "/api/plugins?mode=odd", 400, "invalid-query"),
        (Method::GET, "/api/audit?limit=0", 400, "invalid-query"),
        (Method::POST, "/api/tokens", 415, "unsupported-media-type"),
        (Method::POST, "/api/plugins", 415, "unsupported-media-type"),
        (Method::GET, "/api/jobs/none", 404, "no-such-job"),
    ] {
        let answer = rig.ask(method.clone(), path).send().await.unwrap();
        assert_eq!(answer.status(), status, "{method} {path}");
        if status == 405 {
            let allow = answer.headers()["allow"].to_str().unwrap();
            assert!(allow.contains("GET") && allow.contains("POST"), "{allow}");
        }
        let problem = problem(answer).await;
        let expected = format!("urn:jackfield:problem:{kind}");
        assert_eq!(problem["type"], expected, "{method} {path}");
        assert_eq!(problem["instance"], path.split('?').next().unwrap());
    }
    let body = json!({"name": 1});
    let answer = rig.ask(Method::POST, "/api/tokens").json(&body).send();
    assert_eq!(problem(answer.await.unwrap()).await["status"], 400);
    rig.ended().await;
}

#[tokio::test]
async fn a_trace_is_taken_and_told() {
    let rig = Rig::start().await;
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let answer = rig
        .ask(Method::GET, "/api/nothing")
        .header("traceparent", parent)
        .header("x-request-id", "mine")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.headers()["x-request-id"], "mine");
    assert_eq!(answer.headers()["traceparent"], parent);
    let problem = problem(answer).await;
    assert_eq!(problem["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    rig.ended().await;
}

#[tokio::test]
async fn the_documentation_needs_nothing_from_elsewhere() {
    let rig = Rig::start().await;
    let page = rig.plain(Method::GET, "/docs").send().await.unwrap();
    assert_eq!(page.url().path(), "/docs/");
    let text = page.text().await.unwrap();
    assert!(
        text.contains("swagger-ui") && !text.contains("//cdn"),
        "{text}"
    );
    let path = "/docs/swagger-initializer.js";
    let script = rig.plain(Method::GET, path).send().await.unwrap();
    let script = script.text().await.unwrap();
    assert!(script.contains("/api/openapi.json"), "{script}");
    rig.ended().await;
}

/// Every text under `$ref`, and every operation's id.
fn collect(value: &Value, refs: &mut HashSet<String>, ids: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                match (name.as_str(), value.as_str()) {
                    ("$ref", Some(to)) => drop(refs.insert(to.to_owned())),
                    ("operationId", Some(id)) => ids.push(id.to_owned()),
                    _ => collect(value, refs, ids),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, refs, ids)),
        _ => {}
    }
}

#[tokio::test]
async fn the_description_is_whole() {
    let rig = Rig::start().await;
    let openapi = rig
        .plain(Method::GET, "/api/openapi.json")
        .send()
        .await
        .unwrap();
    let openapi: Value = openapi.json().await.unwrap();
    assert_eq!(openapi["openapi"], "3.1.0");
    let (mut refs, mut ids) = (HashSet::new(), Vec::new());
    collect(&openapi, &mut refs, &mut ids);
    for to in &refs {
        let pointer = to.strip_prefix('#').unwrap();
        assert!(openapi.pointer(pointer).is_some(), "{to} leads nowhere");
    }
    let unique: HashSet<_> = ids.iter().collect();
    assert_eq!(unique.len(), ids.len());
    for id in [
        "PluginList",
        "PluginAdd",
        "PluginGetLogs",
        "EventPublish",
        "WhoAmI",
    ] {
        assert!(ids.iter().any(|other| other == id), "{id}");
    }
    rig.ended().await;
}

#[tokio::test]
async fn events_and_configurations_are_not_slipped_in_as_calls() {
    let rig = Rig::start().await;
    let id = rig.install("exit 1").await;
    for method in ["event", "configure"] {
        let call = rig.ask(Method::POST, &format!("/api/plugins/{id}/call"));
        let call = call.json(&json!({"method": method, "params": {}})).send();
        let refused = problem(call.await.unwrap()).await;
        assert_eq!(refused["type"], "urn:jackfield:problem:not-called");
    }
    rig.ended().await;
}
