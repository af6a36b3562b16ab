//! What is measured, from outside: a server, a plugin of each kind, and who reads the figures.
#![expect(
    clippy::disallowed_methods,
    reason = "the test waits for it, or its runtime ends it"
)]
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

#[path = "observe/bench.rs"]
mod bench;

use std::time::Duration;

use bench::{Bench, PATIENCE};
use jackfield_plugin::{Host, Plugin};
use reqwest::StatusCode;
use serde_json::{Value, json};

/// The value of the first row that begins so.
fn value(text: &str, row: &str) -> Option<f64> {
    let row = text.lines().find(|line| line.starts_with(row))?;
    row.rsplit(' ').next()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn figures_say_what_is_and_what_was() {
    let bench = Bench::start().await;
    let plugin = bench
        .install(&json!({"mode": "external", "manifest": bench::manifest()}))
        .await;
    let supervised = bench.install_sleeper().await;
    let url = bench.dial_url(&plugin);
    let running = tokio::spawn(
        Plugin::new(url)
            .on_event("Happened", async |host: Host, _payload: Value| {
                host.get_config::<Value>(&[]).await?;
                Ok(())
            })
            .run_until(bench.stopped()),
    );
    let id = plugin["id"].as_str().unwrap();
    bench.until_active(id).await;
    let answer = bench
        .post(
            &format!("/api/plugins/{id}/call"),
            &json!({"method": "ping"}),
        )
        .await;
    assert_eq!(answer["result"]["pong"], true);
    let refused = bench
        .request("POST", &format!("/api/plugins/{id}/call"))
        .json(&json!({"method": "nobody_knows"}))
        .send()
        .await
        .unwrap();
    assert_eq!(refused.status(), StatusCode::NOT_FOUND);
    bench
        .post("/api/events", &json!({"event": "Happened", "payload": {}}))
        .await;
    let text = bench
        .figures_until(|text| value(text, "jackfield_events_delivered_total") == Some(1.0))
        .await;
    for (row, expected) in [
        ("jackfield_build_info{version=", 1.0),
        ("jackfield_plugins{state=\"active\",mode=\"external\"}", 1.0),
        (
            "jackfield_plugins{state=\"connecting\",mode=\"supervised\"}",
            1.0,
        ),
        (
            "jackfield_plugins{state=\"errored\",mode=\"external\"}",
            0.0,
        ),
        (
            &format!("jackfield_plugin_processes{{plugin=\"{supervised}\""),
            1.0,
        ),
        (
            &format!("jackfield_plugin_restarts_total{{plugin=\"{id}\",name=\"observed\"}}"),
            0.0,
        ),
        (&format!("jackfield_events_waiting{{plugin=\"{id}\""), 0.0),
        (&format!("jackfield_events_parked{{plugin=\"{id}\""), 0.0),
        ("jackfield_events_published_total", 1.0),
        (
            "jackfield_calls_total{direction=\"to_plugin\",outcome=\"fault\"}",
            1.0,
        ),
        (
            "jackfield_calls_total{direction=\"to_plugin\",outcome=\"ok\"}",
            2.0,
        ),
        (
            "jackfield_calls_total{direction=\"from_plugin\",outcome=\"ok\"}",
            1.0,
        ),
        (
            "jackfield_call_duration_seconds_count{direction=\"to_plugin\"}",
            3.0,
        ),
        (
            "jackfield_http_requests_total{method=\"POST\",route=\"/api/plugins/{id}/call\",status=\"404\"}",
            1.0,
        ),
        (
            "jackfield_http_request_duration_seconds_count{method=\"POST\",route=\"/api/events\"}",
            1.0,
        ),
    ] {
        assert_eq!(value(&text, row), Some(expected), "{row}\n{text}");
    }
    for row in [
        &format!("jackfield_plugin_memory_bytes{{plugin=\"{supervised}\""),
        &format!("jackfield_plugin_cpu_seconds_total{{plugin=\"{supervised}\""),
    ] {
        assert!(value(&text, row).is_some(), "{row}\n{text}");
    }
    // Every figure is described once, and none twice.
    let mut types: Vec<_> = text.lines().filter(|l| l.starts_with("# TYPE")).collect();
    let all = types.len();
    types.sort_unstable();
    types.dedup();
    assert_eq!(types.len(), all, "{types:#?}");
    bench.end().await;
    tokio::time::timeout(PATIENCE, running)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
}

/// From this machine they are open; who speaks for somebody else needs a token that may read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn figures_are_not_for_everybody() {
    let bench = Bench::start().await;
    let client = reqwest::Client::new();
    let at = |proxied: bool, token: Option<&str>| {
        let mut request = client.get(format!("{}/metrics", bench.url()));
        if proxied {
            request = request.header("x-forwarded-for", "192.0.2.1");
        }
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        async move {
            request
                .timeout(Duration::from_secs(30))
                .send()
                .await
                .unwrap()
        }
    };
    let publisher = json!({"name": "publisher", "permissions": ["publish"]});
    let publisher = bench.post("/api/tokens", &publisher).await;
    let publisher = publisher["token"].as_str().unwrap();
    let open = at(false, None).await;
    assert_eq!(open.status(), StatusCode::OK);
    let content_type = &open.headers()["content-type"];
    assert_eq!(content_type, "text/plain; version=0.0.4; charset=utf-8");
    assert_eq!(at(true, None).await.status(), StatusCode::UNAUTHORIZED);
    let refused = at(true, Some(publisher)).await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    let allowed = at(true, Some(bench.token())).await;
    assert_eq!(allowed.status(), StatusCode::OK);
    bench.end().await;
}
