//! Spans and figures at a collector, and what is in none of them. One process, one test: logging is
//! the whole process's.
#![expect(
    clippy::disallowed_methods,
    reason = "the test waits for it, or its runtime ends it"
)]
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]
#![cfg(feature = "otel")]

#[path = "observe/bench.rs"]
#[expect(dead_code, reason = "it uses a part of it")]
mod bench;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use bench::{Bench, PATIENCE};
use jackfield_plugin::{Method, Plugin};
use jackfield_server::{LogFormat, Logging};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use serde_json::{Value, json};

/// A method that asks for the configuration.
struct Look;

impl Method for Look {
    const NAME: &'static str = "look";
    type Params = Value;
    type Output = Value;
}

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

/// What a collector took.
#[derive(Clone, Default)]
struct Collected(Arc<Mutex<Taken>>);

#[derive(Default)]
struct Taken {
    spans: Vec<Span>,
    resources: BTreeSet<String>,
    figures: BTreeSet<String>,
    bodies: Vec<Bytes>,
}

async fn collector() -> (String, Collected) {
    let collected = Collected::default();
    let router = Router::new()
        .route("/v1/traces", post(spans))
        .route("/v1/metrics", post(figures))
        .with_state(collected.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, collected)
}

async fn spans(State(collected): State<Collected>, body: Bytes) {
    let request = ExportTraceServiceRequest::decode(body.clone()).unwrap();
    let mut taken = collected.0.lock().unwrap();
    taken.bodies.push(body);
    for resource in request.resource_spans {
        taken.resources.insert(format!("{:?}", resource.resource));
        let scopes = resource.scope_spans.into_iter();
        taken.spans.extend(scopes.flat_map(|scope| scope.spans));
    }
}

async fn figures(State(collected): State<Collected>, body: Bytes) {
    let request = ExportMetricsServiceRequest::decode(body.clone()).unwrap();
    let mut taken = collected.0.lock().unwrap();
    taken.bodies.push(body);
    let scopes = request.resource_metrics.into_iter();
    let metrics = scopes
        .flat_map(|resource| resource.scope_metrics)
        .flat_map(|scope| scope.metrics);
    taken.figures.extend(metrics.map(|metric| metric.name));
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_is_told_of_requests_and_calls_and_of_no_secret() {
    let (url, collected) = collector().await;
    let logging = Logging {
        format: LogFormat::Json,
        filter: "info".to_owned(),
        colour: false,
        otlp: Some(url),
    };
    let telemetry = logging.start().unwrap();
    assert!(logging.start().is_err(), "twice");
    let bench = Bench::start().await;
    let plugin = bench
        .install(&json!({"mode": "external", "manifest": bench::manifest()}))
        .await;
    let id = plugin["id"].as_str().unwrap().to_owned();
    let seen: Arc<Mutex<Option<String>>> = Arc::default();
    let tell = Arc::clone(&seen);
    let dialed = Plugin::new(bench.dial_url(&plugin));
    let host = dialed.host();
    let dialed = dialed.method::<Look, _>(move |_call, _params| {
        let trace = jackfield_plugin::trace::current();
        *tell.lock().unwrap() = trace.map(|trace| trace.to_string());
        let host = host.clone();
        async move {
            let config = host.get_config::<Value>(&[]).await;
            Ok(json!({"ok": config.is_ok()}))
        }
    });
    let running = tokio::spawn(dialed.run_until(bench.stopped()));
    bench.until_active(&id).await;
    let call = bench
        .request("POST", &format!("/api/plugins/{id}/call?hunter2=hunter3"))
        .header("traceparent", format!("00-{TRACE}-{CALLER}-01"))
        .json(&json!({"method": "look", "params": {"hunter2": 1}}));
    let answer = bench.json(call).await;
    assert_eq!(answer["result"]["ok"], true);
    let token = bench.token().to_owned();
    bench.end().await;
    let ended = tokio::time::timeout(PATIENCE, running).await;
    ended.unwrap().unwrap().unwrap();
    telemetry.end(PATIENCE).await;

    let taken = collected.0.lock().unwrap();
    let resources = format!("{:?}", taken.resources);
    assert!(resources.contains("jackfield"), "{resources}");
    let ours: BTreeMap<&str, &Span> = taken
        .spans
        .iter()
        .filter(|span| hex(&span.trace_id) == TRACE)
        .map(|span| (span.name.as_str(), span))
        .collect();
    let names: Vec<_> = ours.keys().copied().collect();
    assert_eq!(names, ["call_plugin", "plugin_call", "request"]);
    let parent = |name: &str| hex(&ours[name].parent_span_id);
    let own = |name: &str| hex(&ours[name].span_id);
    assert_eq!(parent("request"), CALLER);
    assert_eq!(parent("call_plugin"), own("request"));
    assert_eq!(parent("plugin_call"), own("call_plugin"));
    let told = format!("00-{TRACE}-{}-01", own("call_plugin"));
    assert_eq!(*seen.lock().unwrap(), Some(told));
    for figure in [
        "jackfield_build_info",
        "jackfield_plugins",
        "jackfield_calls_total",
        "jackfield_call_duration_seconds",
        "jackfield_http_requests_total",
    ] {
        assert!(
            taken.figures.contains(figure),
            "{figure} {:?}",
            taken.figures
        );
    }
    let secret = plugin["connection"]["token"].as_str().unwrap();
    for body in &taken.bodies {
        for secret in [secret, &token, "hunter"] {
            let found = body
                .windows(secret.len())
                .any(|part| part == secret.as_bytes());
            assert!(!found, "{secret} is told");
        }
    }
}
