//! Calls to a plugin: how they end, and that nothing is left of them.

use std::time::Duration;

use jackfield::ReportedState::{self, Active};
use jackfield::rpc::CallError as RpcError;
use jackfield::wire::methods::{Configure, Ping};
use jackfield::{ActiveState, CallError, CallOptions, Policy, Session};
use jackfield_testkit::{Rig, bench_host, end, eventually, quick, until, until_state, within};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::RIG;

fn raw(value: &Value) -> Box<RawValue> {
    to_raw_value(value).unwrap()
}

async fn ask(session: &Session, method: &str, params: Value) -> Result<Value, CallError> {
    let params = raw(&params);
    let answer = session.call_raw(method, Some(&params), CallOptions::default());
    Ok(serde_json::from_str(within(answer).await?.get()).unwrap())
}

async fn nothing_left(session: &Session) {
    eventually(Duration::from_secs(5), "no call is left", || {
        session.open_calls() == (0, 0)
    })
    .await;
}

#[tokio::test]
async fn a_call_needs_a_line() {
    let host = bench_host(|builder| {
        builder.policy(Policy {
            restarts: 0,
            ..quick()
        })
    })
    .await;
    let session = host.install(Rig::new("--never-dial").package(RIG));
    let refused = |session: Session| async move {
        match session.call::<Ping>(&None).await {
            Err(CallError::NotActive(state)) => state,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(refused(session.clone()).await, ReportedState::Inactive);
    session.set_active_state(ActiveState::Active).await.unwrap();
    until_state(&session, ReportedState::Connecting).await;
    assert_eq!(refused(session.clone()).await, ReportedState::Connecting);
    end(session.status().borrow().pid.unwrap());
    until_state(&session, ReportedState::Errored).await;
    assert_eq!(refused(session.clone()).await, ReportedState::Errored);
    let error = session.call::<Ping>(&None).await.unwrap_err().to_string();
    assert_eq!(error, "the plugin is not running (state: errored)");
    host.unload(session.id()).await;
    session.call::<Ping>(&None).await.unwrap_err();
}

#[tokio::test]
async fn typed_and_raw_calls() {
    let host = bench_host(|builder| builder).await;
    let session = host.run(Rig::new("").package(RIG)).await;
    assert!(session.call::<Ping>(&None).await.unwrap().pong);
    let config = json!({"a": 1}).as_object().unwrap().clone();
    assert!(session.call::<Configure>(&config).await.unwrap().ok);
    let config = json!({"refuse": true}).as_object().unwrap().clone();
    assert!(!session.call::<Configure>(&config).await.unwrap().ok);
    let echoed = ask(&session, "echo", json!({"deep": [1, {"x": null}]})).await;
    assert_eq!(echoed.unwrap()["params"], json!({"deep": [1, {"x": null}]}));
    match ask(&session, "nonsense", json!({})).await {
        Err(CallError::Call(RpcError::Refused(fault))) => assert_eq!(fault.code, -32601),
        other => panic!("{other:?}"),
    }
    let error = ask(&session, "nonsense", json!({})).await.unwrap_err();
    assert!(error.to_string().starts_with("RPC error: "), "{error}");
    nothing_left(&session).await;
}

/// A deadline ends a call, the policy's where none is given; a late answer hurts nobody.
#[tokio::test]
async fn a_call_ends_at_its_deadline() {
    let host = bench_host(|builder| {
        builder.policy(Policy {
            call_deadline: Duration::from_millis(200),
            ..quick()
        })
    })
    .await;
    let session = host.run(Rig::new("").package(RIG)).await;
    let began = Instant::now();
    let error = ask(&session, "silent", json!({})).await.unwrap_err();
    assert!(matches!(
        error,
        CallError::Call(RpcError::Deadline { ref method, .. }) if method == "silent"
    ));
    assert!(began.elapsed() >= Duration::from_millis(200));
    assert!(began.elapsed() < Duration::from_secs(5));
    let options = CallOptions {
        deadline: Some(Duration::from_millis(20)),
        ..CallOptions::default()
    };
    let late = raw(&json!({"ms": 300}));
    let call = session.call_raw("slow", Some(&late), options);
    within(call).await.unwrap_err();
    assert_eq!(session.open_calls(), (0, 0));
    let options = CallOptions {
        deadline: Some(Duration::from_secs(20)),
        ..CallOptions::default()
    };
    let slow = raw(&json!({"ms": 500}));
    // The answer that came too late was passed over meanwhile.
    within(session.call_raw("slow", Some(&slow), options))
        .await
        .unwrap();
    assert_eq!(session.status().borrow().state, Active);
}

/// Calls that are dropped are taken back: nothing of them waits any more.
#[tokio::test]
async fn a_dropped_call_leaves_nothing() {
    let host = bench_host(|builder| builder).await;
    let session = host.run(Rig::new("").package(RIG)).await;
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let session = session.clone();
        calls.spawn(async move {
            session
                .call_raw("silent", None, CallOptions::default())
                .await
        });
    }
    eventually(Duration::from_secs(10), "all are sent", || {
        session.open_calls().0 == 100
    })
    .await;
    calls.abort_all();
    while calls.join_next().await.is_some() {}
    assert_eq!(session.open_calls(), (0, 0));
    assert!(session.call::<Ping>(&None).await.unwrap().pong);
}

/// Answers come in the order in which the plugin is ready, not in that of the calls.
#[tokio::test]
async fn calls_run_beside_each_other() {
    let host = bench_host(|builder| builder).await;
    let session = host.run(Rig::new("").package(RIG)).await;
    let slow = ask(&session, "slow", json!({"ms": 3000}));
    let many = async {
        let began = Instant::now();
        for n in 0..200 {
            let echoed = ask(&session, "echo", json!({"n": n})).await.unwrap();
            assert_eq!(echoed["params"]["n"], n);
        }
        began.elapsed()
    };
    let (slow, took) = tokio::join!(slow, many);
    assert_eq!(slow.unwrap()["slept"], 3000);
    assert!(took < Duration::from_millis(2900), "{took:?}");
}

/// All that wait end at once when the process is killed, hangs up, or is stopped.
#[tokio::test]
async fn calls_end_with_the_line() {
    let host = bench_host(|builder| builder).await;
    for way in ["kill", "hang_up", "cut", "stop", "unload"] {
        let session = host.run(Rig::new("").package(RIG)).await;
        let pid = session.status().borrow().pid.unwrap();
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let session = session.clone();
            calls.spawn(async move {
                session
                    .call_raw("silent", None, CallOptions::default())
                    .await
            });
        }
        eventually(Duration::from_secs(10), "all are sent", || {
            session.open_calls().0 == 20
        })
        .await;
        let began = Instant::now();
        match way {
            "kill" => end(pid),
            "stop" => session
                .set_active_state(ActiveState::Inactive)
                .await
                .unwrap(),
            "unload" => host.unload(session.id()).await,
            method => drop(ask(&session, method, json!({})).await),
        }
        while let Some(call) = within(calls.join_next()).await {
            let error = call.unwrap().unwrap_err();
            assert!(
                matches!(error, CallError::Call(RpcError::Closed(_))),
                "{way}: {error}"
            );
        }
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "{way}: {:?}",
            began.elapsed()
        );
        assert_eq!(session.open_calls(), (0, 0), "{way}");
        host.unload(session.id()).await;
    }
}

/// A call into the host that is being answered while the plugin dies ends with it.
#[tokio::test]
async fn inbound_calls_end_with_the_line() {
    let host = bench_host(|builder| {
        builder.methods(|methods| {
            methods.raw("wait", |_call, _params| async {
                std::future::pending::<()>().await;
                unreachable!()
            })
        })
    })
    .await;
    let session = host.run(Rig::new("").package(RIG)).await;
    let first = session.status().borrow().pid;
    let call = {
        let session = session.clone();
        async move { ask(&session, "host", json!({"method": "wait"})).await }
    };
    let kill = async {
        eventually(Duration::from_secs(10), "both wait", || {
            session.open_calls() == (1, 1)
        })
        .await;
        end(first.unwrap());
    };
    let (call, ()) = tokio::join!(call, kill);
    call.unwrap_err();
    until(&session, |status| {
        status.state == Active && status.pid != first
    })
    .await;
    assert_eq!(session.open_calls(), (0, 0));
}

/// A request that the other side would not take is an error of that call alone.
#[tokio::test]
async fn a_request_that_is_too_large_is_not_sent() {
    let host = bench_host(|builder| builder).await;
    let session = host.run(Rig::new("").package(RIG)).await;
    let error = ask(&session, "echo", json!({"x": "x".repeat(2 << 20)})).await;
    match error {
        Err(CallError::Call(RpcError::TooLarge { size, limit })) => {
            assert!(size > 2 << 20);
            assert_eq!(limit, 1 << 20);
        }
        other => panic!("{other:?}"),
    }
    // Just below goes through, and 10 MiB come back.
    let fits = ask(&session, "echo", json!({"x": "x".repeat((1 << 20) - 500)})).await;
    fits.unwrap();
    let big = ask(&session, "big", json!({"bytes": 10 << 20}))
        .await
        .unwrap();
    assert_eq!(big["big"].as_str().unwrap().len(), 10 << 20);
    // What is larger than what is taken is an error, and the line stays.
    let error = ask(&session, "big", json!({"bytes": 17 << 20})).await;
    assert!(matches!(
        error,
        Err(CallError::Call(RpcError::AnswerTooLarge { .. }))
    ));
    assert!(session.call::<Ping>(&None).await.unwrap().pong);
    nothing_left(&session).await;
}
