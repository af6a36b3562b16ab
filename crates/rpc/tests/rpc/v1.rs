//! What peers that took `jackfield.v1` may do more, and that nobody else ever sees any of it.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use crate::common::*;
use jackfield_rpc::{Call, CallError, CallOptions, Limits, Methods, Options, memory, open};
use jackfield_wire::{CloseCause, Fault};
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc};
use tokio_util::task::TaskTracker;

/// Says when it began, and when it was dropped.
pub(crate) fn hanging() -> (Methods<()>, Arc<Notify>, Arc<Notify>) {
    let (begun, dropped) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let methods = {
        let (begun, dropped) = (Arc::clone(&begun), Arc::clone(&dropped));
        methods().raw("watched", move |_call, _params| {
            let (begun, bell) = (Arc::clone(&begun), Bell(Arc::clone(&dropped)));
            async move {
                let _bell = bell;
                begun.notify_one();
                pending().await
            }
        })
    };
    (methods, begun, dropped)
}

struct Bell(Arc<Notify>);
impl Drop for Bell {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

#[tokio::test]
async fn both_sides_say_what_they_take() {
    let options = Options {
        limits: Limits {
            max_in: 3 << 20,
            ..Limits::default()
        },
        ..v1()
    };
    let pair = peers(methods(), methods(), &options);
    let big = json!("x".repeat(2 << 20));
    // The greeting of the other side was on its way before our first answer was.
    echo(&pair.one, json!(1)).await.unwrap();
    assert_eq!(pair.one.max_out(), 3 << 20);
    assert_eq!(echo(&pair.one, big.clone()).await.unwrap(), big);
    assert_eq!(echo(&pair.two, big.clone()).await.unwrap(), big);
    let bigger = json!("x".repeat(4 << 20));
    let error = echo(&pair.one, bigger).await.unwrap_err();
    assert!(matches!(error, CallError::TooLarge { limit, .. } if limit == 3 << 20));
    pair.one.close(CloseCause::closed());
    all_gone(&pair.tasks).await;
}

#[tokio::test]
async fn greetings_are_the_first_thing_said_and_are_capped() {
    let mut bare = Bare::new(methods(), v1());
    assert_eq!(
        bare.hear().await,
        json!({"jsonrpc": "2.0", "method": "$/hello", "params": {"max_message": 16 << 20}})
    );
    for (says, takes) in [
        (json!({"max_message": 2 << 20}), 2 << 20),
        (json!({"max_message": 1u64 << 60}), 64 << 20),
        (json!({"max_message": "many"}), 64 << 20),
        (json!(null), 64 << 20),
    ] {
        bare.say(json!({"method": "$/hello", "params": says})).await;
        // Never answered: the next thing heard is this answer.
        bare.say(json!({"id": 1, "method": "double", "params": {"number": 4}}))
            .await;
        assert_eq!(bare.hear().await["result"], 8);
        assert_eq!(bare.peer.max_out(), takes);
    }
    bare.say(json!({"method": "$/of-a-later-version", "params": {}}))
        .await;
    bare.say(json!({"method": "$/cancel", "params": {"id": "unknown"}}))
        .await;
    bare.say(json!({"method": "$/cancel"})).await;
    bare.say(json!({"method": "$/progress", "params": {"id": 1, "value": 2}}))
        .await;
    bare.say(json!({"id": 2, "method": "$/cancel", "params": {"id": 1}}))
        .await;
    let refused = bare.hear().await;
    assert_eq!(refused["id"], 2, "with an id it is a call like any other");
    assert_eq!(refused["error"]["code"], Fault::METHOD_NOT_FOUND);
    bare.end().await;
}

#[tokio::test]
async fn a_call_that_is_dropped_is_cancelled_at_the_other_side() {
    let (watched, begun, dropped) = hanging();
    let pair = peers(methods(), watched, &v1());
    {
        let call = pair.one.call_raw("watched", None, CallOptions::default());
        tokio::select! {
            answer = call => panic!("{answer:?}"),
            () = begun.notified() => {}
        }
    }
    soon(dropped.notified()).await;
    let deadline = CallOptions {
        deadline: Some(Duration::from_millis(50)),
        ..CallOptions::default()
    };
    let error = pair
        .one
        .call_raw("watched", None, deadline)
        .await
        .unwrap_err();
    assert!(matches!(error, CallError::Deadline { .. }));
    soon(dropped.notified()).await;
    echo(&pair.one, json!(1)).await.unwrap();
    assert_eq!(pair.two.inbound_calls(), 0);
    pair.one.close(CloseCause::closed());
    all_gone(&pair.tasks).await;
}

#[tokio::test]
async fn a_cancelled_call_is_answered_once_as_cancelled() {
    let (watched, begun, dropped) = hanging();
    let mut bare = Bare::new(watched, v1());
    bare.hear().await;
    for id in [json!(7), json!("seven")] {
        bare.say(json!({"id": id, "method": "watched"})).await;
        begun.notified().await;
        bare.say(json!({"method": "$/cancel", "params": {"id": id}}))
            .await;
        let answer = bare.hear().await;
        assert_eq!(answer["id"], id);
        assert_eq!(answer["error"]["code"], Fault::CANCELLED);
        dropped.notified().await;
    }
    bare.end().await;
}

/// A call and its being taken back may come in one piece. The reader found nothing to take back
/// then: calls were known only once their own tasks had begun to run.
#[tokio::test]
async fn a_call_can_be_taken_back_before_it_began() {
    let (watched, _begun, _dropped) = hanging();
    let mut bare = Bare::new(watched.in_order("watched"), v1());
    bare.hear().await;
    for id in [json!(7), json!("seven")] {
        bare.say(json!({"id": id, "method": "watched"})).await;
        bare.say(json!({"method": "$/cancel", "params": {"id": id}}))
            .await;
        let answer = soon(bare.hear()).await;
        assert_eq!(answer["id"], id);
        assert_eq!(answer["error"]["code"], Fault::CANCELLED);
    }
    bare.end().await;
}

#[tokio::test]
async fn a_call_that_never_left_is_not_cancelled() {
    let mut bare = Bare::new(methods(), v1());
    bare.hear().await;
    {
        let call = bare.peer.call_raw("echo", None, CallOptions::default());
        tokio::pin!(call);
        // Queued, but the writer has not run since.
        assert!(futures_util::poll!(call.as_mut()).is_pending());
    }
    bare.say(json!({"id": 1, "method": "double", "params": {"number": 1}}))
        .await;
    assert_eq!(
        bare.hear().await["id"],
        1,
        "neither the call nor its cancellation"
    );
    bare.end().await;
}

#[tokio::test]
async fn progress_reaches_who_asked_for_it() {
    let reporting = Methods::new().raw("work", async |call: Call<()>, _params| {
        for step in 1..=3 {
            call.progress(&json!({ "step": step }));
        }
        Ok(raw(&json!("done")))
    });
    let pair = peers(methods(), reporting, &v1());
    let (reports, mut seen) = mpsc::channel(10);
    let options = CallOptions {
        progress: Some(reports),
        ..CallOptions::default()
    };
    let answer = pair.one.call_raw("work", None, options).await.unwrap();
    assert_eq!(answer.get(), r#""done""#);
    let mut steps = Vec::new();
    while let Some(report) = seen.recv().await {
        steps.push(report);
    }
    assert_eq!(
        steps,
        [json!({"step": 1}), json!({"step": 2}), json!({"step": 3})]
    );
    pair.one.close(CloseCause::closed());
    all_gone(&pair.tasks).await;
}

#[tokio::test]
async fn a_legacy_peer_never_sees_any_of_it() {
    let (watched, begun, _dropped) = hanging();
    let watched = watched.raw("work", async |call: Call<()>, _params| {
        call.progress(&json!(1));
        Ok(raw(&json!({})))
    });
    let mut bare = Bare::new(watched, quiet());
    {
        let call = bare.peer.clone();
        let call = call.call_raw("hang", None, CallOptions::default());
        tokio::select! {
            answer = call => panic!("{answer:?}"),
            asked = bare.hear() => assert_eq!(asked["method"], "hang"),
        }
    }
    bare.say(json!({"id": 1, "method": "work"})).await;
    assert_eq!(
        bare.hear().await,
        json!({"id": 1, "jsonrpc": "2.0", "result": {"method": "work"}})
    );
    // Nor does it get to use it.
    bare.say(json!({"id": 2, "method": "watched"})).await;
    begun.notified().await;
    bare.say(json!({"method": "$/cancel", "params": {"id": 2}}))
        .await;
    let refused = bare.hear().await;
    assert_eq!(refused["id"], Value::Null);
    assert_eq!(refused["error"]["code"], Fault::METHOD_NOT_FOUND);
    assert_eq!(bare.peer.inbound_calls(), 1);
    let limit = bare.peer.max_out();
    bare.say(json!({"method": "$/hello", "params": {"max_message": 9_000_000}}))
        .await;
    bare.hear().await;
    assert_eq!(bare.peer.max_out(), limit);
    bare.end().await;
}

/// One side asked for it and the other did not take it: that is not to happen, and does no harm.
#[tokio::test]
async fn a_side_that_expects_too_much_gets_errors_it_ignores() {
    let tasks = TaskTracker::new();
    let (first, second, _cut) = memory::pair();
    let one = open(first, Arc::new(methods()), (), v1(), &tasks);
    let two = open(second, Arc::new(methods()), (), quiet(), &tasks);
    assert_eq!(echo(&one, json!(1)).await.unwrap(), 1);
    assert_eq!(echo(&two, json!(2)).await.unwrap(), 2);
    one.close(CloseCause::closed());
    all_gone(&tasks).await;
}
