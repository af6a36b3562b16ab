//! A trace crosses lines whose ends both know of it, and stays out of all others.
#![expect(clippy::disallowed_methods, reason = "the tests wait for them")]

use crate::common::*;
use jackfield_rpc::{
    Call, CallOptions, Duplex, DuplexReceiver, DuplexSender, Methods, Options, Received, memory,
    trace,
};
use jackfield_wire::{CloseCause, Traceparent};
use serde_json::{Value, json};

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const OTHER: &str = "00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-bbbbbbbbbbbbbbbb-00";

fn parent(text: &str) -> Traceparent {
    text.parse().unwrap()
}

fn traced(text: &str) -> CallOptions {
    CallOptions {
        traceparent: Some(parent(text)),
        ..CallOptions::default()
    }
}

/// What its calls belong to, as they say and as their task does.
fn telling() -> Methods<()> {
    Methods::new().raw("told", async |call: Call<()>, _params| {
        let shown = |trace: Option<Traceparent>| trace.map(|trace| trace.to_string());
        Ok(raw(&json!([
            shown(call.traceparent()),
            shown(trace::current())
        ])))
    })
}

/// Asks back before it answers: what the other side was told of that.
fn asking_back() -> Methods<()> {
    Methods::new()
        .raw("ask_back", async |call: Call<()>, _params| {
            let options = CallOptions::default();
            Ok(call.peer.call_raw("told", None, options).await?)
        })
        .raw("ask_back_with_another", async |call: Call<()>, _params| {
            Ok(call.peer.call_raw("told", None, traced(OTHER)).await?)
        })
        .raw(
            "ask_back_from_elsewhere",
            async |call: Call<()>, _params| {
                let peer = call.peer.clone();
                let asking =
                    async move { peer.call_raw("told", None, CallOptions::default()).await };
                Ok(tokio::spawn(asking).await.unwrap()?)
            },
        )
}

async fn ask(
    options: &Options,
    method: &str,
    call: CallOptions,
) -> Result<Value, jackfield_rpc::CallError> {
    let pair = peers(telling(), asking_back(), options);
    let answer = pair.one.call_raw(method, None, call).await;
    pair.one.close(CloseCause::closed());
    all_gone(&pair.tasks).await;
    Ok(serde_json::from_str(answer?.get()).unwrap())
}

#[tokio::test]
async fn a_handlers_calls_belong_to_the_trace_of_the_call_that_it_answers() {
    for (method, trace) in [
        ("ask_back", json!([TRACE, TRACE])),
        ("ask_back_with_another", json!([OTHER, OTHER])),
        // A task of its own is nobody's, unless it says so.
        ("ask_back_from_elsewhere", json!([null, null])),
    ] {
        let told = ask(&v1(), method, traced(TRACE)).await.unwrap();
        assert_eq!(told, trace, "{method}");
    }
}

#[tokio::test]
async fn without_one_there_is_none() {
    let options = CallOptions::default();
    let told = ask(&v1(), "ask_back", options).await.unwrap();
    assert_eq!(told, json!([null, null]));
}

#[tokio::test]
async fn what_runs_within_a_trace_needs_not_say_so() {
    let pair = peers(methods(), telling(), &v1());
    let told = || pair.one.call_raw("told", None, CallOptions::default());
    let inside = trace::within(Some(parent(TRACE)), async {
        let nothing = trace::within(None, told()).await.unwrap();
        (told().await.unwrap(), nothing, told().await.unwrap())
    });
    let (first, nothing, last) = inside.await;
    let all = [TRACE, TRACE];
    assert_eq!(first.get(), json!(all).to_string());
    assert_eq!(nothing.get(), "[null,null]");
    assert_eq!(last.get(), first.get());
    assert_eq!(told().await.unwrap().get(), "[null,null]");
    assert_eq!(trace::current(), None);
    pair.one.close(CloseCause::closed());
    all_gone(&pair.tasks).await;
}

/// The calls of one method that are handled in their order each keep their own.
#[tokio::test]
async fn calls_that_wait_for_their_turn_keep_theirs() {
    let pair = peers(methods(), telling().in_order("told"), &v1());
    let (first, second, third) = tokio::join!(
        pair.one.call_raw("told", None, traced(TRACE)),
        pair.one.call_raw("told", None, CallOptions::default()),
        pair.one.call_raw("told", None, traced(OTHER)),
    );
    assert_eq!(first.unwrap().get(), json!([TRACE, TRACE]).to_string());
    assert_eq!(second.unwrap().get(), "[null,null]");
    assert_eq!(third.unwrap().get(), json!([OTHER, OTHER]).to_string());
    pair.one.close(CloseCause::closed());
    all_gone(&pair.tasks).await;
}

/// To the byte: strict readers refuse members that they do not know.
#[tokio::test]
async fn others_are_not_told() {
    for (options, told) in [(quiet(), None), (v1(), Some(TRACE))] {
        let (first, second, _cut) = memory::pair();
        let greets = options.client.speaks_v1;
        let (peer, tasks) = open_with(first, telling(), options);
        let (mut sender, mut receiver) = second.split();
        let calls = peer.clone();
        let asking = tokio::spawn(async move {
            let inside = calls.call_raw("m", None, traced(TRACE));
            inside.await.unwrap()
        });
        let mut hear = async || loop {
            if let Received::Text(text) = soon(receiver.recv()).await.unwrap() {
                return serde_json::from_str::<Value>(&text).unwrap();
            }
        };
        if greets {
            assert_eq!(hear().await["method"], "$/hello");
        }
        let asked = hear().await;
        let members: Vec<_> = asked.as_object().unwrap().keys().cloned().collect();
        match told {
            Some(trace) => assert_eq!(asked["traceparent"], trace),
            None => assert_eq!(members, ["id", "jsonrpc", "method"]),
        }
        sender
            .send(json!({"id": asked["id"], "result": 1}).to_string().into())
            .await
            .unwrap();
        assert_eq!(asking.await.unwrap().get(), "1");
        // What is none is not taken for one, and the call goes on.
        for (given, taken) in [
            (json!(TRACE), json!([TRACE, TRACE])),
            (json!("00-nonsense"), json!([null, null])),
            (json!({"a": 1}), json!([null, null])),
            (json!(null), json!([null, null])),
        ] {
            let call = json!({"id": 1, "method": "told", "traceparent": given});
            sender.send(call.to_string().into()).await.unwrap();
            assert_eq!(hear().await["result"], taken, "{given}");
        }
        peer.close(CloseCause::closed());
        drop((sender, receiver));
        all_gone(&tasks).await;
    }
}
