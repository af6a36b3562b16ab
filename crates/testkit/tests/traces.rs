//! A trace from the application through a plugin and back, and further on to another plugin.
#![expect(clippy::disallowed_methods, reason = "the test waits for it")]

use std::sync::{Arc, OnceLock};

use jackfield::rpc::trace;
use jackfield::wire::Traceparent;
use jackfield::{Call, CallOptions, Session};
use jackfield_plugin::{Method, Plugin};
use jackfield_testkit::{Program, bench_host, manifest, until_state, within};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// A method of the plugin's, which asks the application.
struct Outer;
impl Method for Outer {
    const NAME: &'static str = "outer";
    type Params = Value;
    type Output = Value;
}

/// A method of the application's.
struct Inner;
impl Method for Inner {
    const NAME: &'static str = "inner";
    type Params = Value;
    type Output = Value;
}

#[tokio::test]
async fn a_trace_goes_through_a_plugin_and_on() {
    let (tell, mut told) = mpsc::channel(10);
    let other: Arc<OnceLock<Session>> = Arc::default();
    let asks = Arc::clone(&other);
    let host = bench_host(|builder| {
        builder.method::<Inner>(move |call: Call<Session>, _params| {
            let (tell, other) = (tell.clone(), Arc::clone(&asks));
            async move {
                let seen = (call.traceparent(), trace::current());
                tell.send(seen).await.unwrap();
                // A plugin of the original contract: called, and told nothing of it.
                let other = other.get().unwrap();
                let ping = other.call_raw("echo", None, CallOptions::default());
                ping.await.unwrap();
                Ok(json!(call.traceparent().map(|trace| trace.to_string())))
            }
        })
    })
    .await;
    let (session, token) = host.expect(&manifest(json!({}))).await;
    let (strict, strict_token) = host.expect(&manifest(json!({}))).await;
    let _program = Program::dial(&host, &strict_token).await;
    within(strict.ready()).await.unwrap();
    other.set(strict).unwrap();

    let url = format!("{}?token={}", host.rpc_url(), token.reveal());
    let (stop, stopped) = oneshot::channel::<()>();
    let plugin = Plugin::new(url)
        .on_event(
            "Happened",
            async |host: jackfield_plugin::Host, _payload: Value| {
                host.call::<Inner>(&json!({})).await?;
                Ok(())
            },
        )
        .method::<Outer, _>(async |call: jackfield_plugin::Call, params| {
            assert_eq!(call.traceparent(), jackfield_plugin::trace::current());
            call.host.call::<Inner>(&params).await.map_err(Into::into)
        });
    let running = tokio::spawn(plugin.run_until(async {
        let _ = stopped.await;
    }));
    within(session.ready()).await.unwrap();

    let parent: Traceparent = TRACE.parse().unwrap();
    let traced = CallOptions {
        traceparent: Some(parent),
        ..CallOptions::default()
    };
    let answer = within(session.call_with::<Outer>(&json!({}), traced.clone())).await;
    assert_eq!(answer.unwrap(), TRACE);
    assert_eq!(told.recv().await.unwrap(), (Some(parent), Some(parent)));
    // The application's own handlers may run within one, too.
    let nothing = json!({});
    let inside = trace::within(Some(parent), session.call::<Outer>(&nothing));
    assert_eq!(within(inside).await.unwrap(), TRACE);
    assert_eq!(told.recv().await.unwrap().0, Some(parent));
    // Events are calls.
    let happened = serde_json::value::to_raw_value(&json!({"event": "Happened"})).unwrap();
    let acknowledged = session.call_raw("event", Some(&happened), traced).await;
    assert!(acknowledged.unwrap().get().contains("true"));
    assert_eq!(told.recv().await.unwrap().0, Some(parent));
    // And without one there is none.
    let answer = within(session.call::<Outer>(&json!({}))).await.unwrap();
    assert_eq!(answer, Value::Null);
    assert_eq!(told.recv().await.unwrap(), (None, None));

    stop.send(()).unwrap();
    within(running).await.unwrap().unwrap();
    until_state(&session, jackfield::ReportedState::Connecting).await;
}
