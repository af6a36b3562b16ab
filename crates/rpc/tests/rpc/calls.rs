//! Calls beside each other, in both directions.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::common::*;
use futures_util::future::join_all;
use jackfield_rpc::{
    Call, CallError, CallOptions, Duplex, DuplexReceiver, DuplexSender, Limits, Methods, Options,
    RawJson, Received, memory,
};
use jackfield_wire::{CloseCause, Fault};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;

async fn end(pair: Pair) {
    assert_eq!(pair.one.open_calls(), 0);
    assert_eq!(pair.two.open_calls(), 0);
    pair.one.close(CloseCause::closed());
    soon(pair.two.closed()).await;
    all_gone(&pair.tasks).await;
}

#[tokio::test]
async fn a_thousand_calls_both_ways_at_once() {
    let options = small(Limits {
        inbound_calls: 1000,
        ..Limits::default()
    });
    let pair = peers(methods(), methods(), &options);
    let calls = (0..1000u64).flat_map(|number| {
        let there = async move |peer: &jackfield_rpc::Peer| {
            let params = DoubleParams { number };
            assert_eq!(peer.call::<Double>(&params).await.unwrap(), number * 2);
        };
        let (one, two) = (pair.one.clone(), pair.two.clone());
        [
            Box::pin(async move { there(&one).await })
                as std::pin::Pin<Box<dyn Future<Output = ()>>>,
            Box::pin(async move { there(&two).await }),
        ]
    });
    soon(join_all(calls)).await;
    end(pair).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_calls_both_ways_over_tcp_with_more_than_one_thread() {
    let options = small(Limits {
        inbound_calls: 1000,
        ..Limits::default()
    });
    let (client, server, tasks) =
        over_tcp((methods(), options.clone()), (methods(), options)).await;
    let callers: Vec<_> = (0..8u64)
        .map(|caller| {
            let peer = if caller % 2 == 0 {
                client.clone()
            } else {
                server.clone()
            };
            tasks.spawn(async move {
                let calls = (0..250u64).map(|number| {
                    let peer = &peer;
                    async move {
                        let params = DoubleParams { number };
                        assert_eq!(peer.call::<Double>(&params).await.unwrap(), number * 2);
                    }
                });
                join_all(calls).await;
            })
        })
        .collect();
    for caller in callers {
        soon(caller).await.unwrap();
    }
    assert_eq!((client.open_calls(), server.open_calls()), (0, 0));
    server.close(CloseCause::closed());
    soon(client.closed()).await;
    all_gone(&tasks).await;
}

/// The original ran inbound calls in its read loop: a slow one held up every answer, for minutes.
#[tokio::test]
async fn a_slow_call_delays_no_other() {
    let gate = Arc::new(Semaphore::new(0));
    let slow = {
        let gate = Arc::clone(&gate);
        methods().raw("slow", move |_call, _params| {
            let gate = Arc::clone(&gate);
            async move {
                let _open = gate.acquire().await.unwrap();
                Ok(raw(&json!({"slow": true})))
            }
        })
    };
    let pair = peers(methods(), slow, &quiet());
    let mut waiting = Box::pin(pair.one.call_raw("slow", None, CallOptions::default()));
    for number in 0..100 {
        let params = DoubleParams { number };
        tokio::select! {
            biased;
            answer = &mut waiting => panic!("{answer:?}"),
            answer = pair.one.call::<Double>(&params) => assert_eq!(answer.unwrap(), number * 2),
        }
        // And the other way round, while that side still works for us.
        assert_eq!(echo(&pair.two, json!(number)).await.unwrap(), number);
    }
    gate.add_permits(1);
    assert!(soon(waiting).await.unwrap().get().contains("slow"));
    end(pair).await;
}

/// A plugin that called the host, whose answer needed the same plugin, waited for itself.
#[tokio::test]
async fn calls_that_call_back_ten_deep_do_not_deadlock() {
    fn deep() -> Methods<()> {
        Methods::new().raw("deep", async |call: Call<()>, params| {
            let depth: u64 = serde_json::from_str(params.unwrap().get()).unwrap();
            if depth == 10 {
                return Ok(raw(&json!([depth])));
            }
            let params = raw(&(depth + 1));
            let answer = call
                .peer
                .call_raw("deep", Some(&params), CallOptions::default())
                .await
                .map_err(|error| Fault::server(error.to_string()))?;
            let mut path: Vec<u64> = serde_json::from_str(answer.get()).unwrap();
            path.push(depth);
            Ok(raw(&path))
        })
    }
    let pair = peers(deep(), deep(), &quiet());
    let zero = raw(&0);
    let call = pair
        .one
        .call_raw("deep", Some(&zero), CallOptions::default());
    let path = soon(call).await.unwrap();
    assert_eq!(path.get(), "[10,9,8,7,6,5,4,3,2,1,0]");
    end(pair).await;
}

#[tokio::test]
async fn a_panic_is_an_error_of_one_call() {
    let pair = peers(methods(), methods(), &quiet());
    for _ in 0..100 {
        let error = pair
            .one
            .call_raw("panic", None, CallOptions::default())
            .await;
        assert!(matches!(
            error,
            Err(CallError::Refused(Fault { code: -32603, message, .. })) if message.contains("panic")
        ));
    }
    assert_eq!(
        echo(&pair.one, json!("still here")).await.unwrap(),
        "still here"
    );
    assert_eq!(pair.two.inbound_calls(), 0);
    end(pair).await;
}

#[tokio::test]
async fn one_call_too_many_is_refused_at_once_and_the_rest_go_on() {
    let gate = Arc::new(Semaphore::new(0));
    let begun = Arc::new(AtomicUsize::new(0));
    let slow = {
        let (gate, begun) = (Arc::clone(&gate), Arc::clone(&begun));
        Methods::new().raw("slow", move |_call, _params| {
            let (gate, begun) = (Arc::clone(&gate), Arc::clone(&begun));
            async move {
                begun.fetch_add(1, Ordering::SeqCst);
                let _open = gate.acquire().await.unwrap();
                Ok(raw(&json!({})))
            }
        })
    };
    let options = small(Limits {
        inbound_calls: 4,
        ..Limits::default()
    });
    let pair = peers(methods(), slow, &options);
    let (tell, mut busy) = mpsc::channel(10);
    let calls = (0..10).map(|_| {
        let (peer, tell) = (&pair.one, tell.clone());
        async move {
            match peer.call_raw("slow", None, CallOptions::default()).await {
                Ok(_) => true,
                Err(CallError::Refused(fault)) => {
                    assert_eq!(fault.code, Fault::BUSY);
                    assert!(fault.message.contains("4 calls"), "{fault}");
                    tell.send(()).await.unwrap();
                    false
                }
                Err(error) => panic!("{error}"),
            }
        }
    });
    let opener = async {
        for _ in 0..6 {
            busy.recv().await.unwrap();
        }
        assert_eq!(pair.two.inbound_calls(), 4);
        assert_eq!(begun.load(Ordering::SeqCst), 4);
        gate.add_permits(4);
    };
    let (answers, ()) = soon(async { tokio::join!(join_all(calls), opener) }).await;
    assert_eq!(answers.iter().filter(|done| **done).count(), 4);
    end(pair).await;
}

#[tokio::test(start_paused = true)]
async fn a_call_ends_at_its_deadline_and_leaves_nothing() {
    let pair = peers(methods(), methods(), &quiet());
    let start = Instant::now();
    let error = pair
        .one
        .call_raw("hang", None, CallOptions::default())
        .await;
    assert!(
        matches!(error, Err(CallError::Deadline { after, .. }) if after == Duration::from_secs(30))
    );
    assert_eq!(start.elapsed().as_secs(), 30);
    assert_eq!(pair.one.open_calls(), 0);

    let options = CallOptions {
        deadline: Some(Duration::from_millis(250)),
        ..CallOptions::default()
    };
    let error = pair.one.call_raw("hang", None, options).await.unwrap_err();
    assert_eq!(error.to_string(), "`hang` was not answered within 250ms");
    assert_eq!(start.elapsed().as_millis(), 30_250);
    end(pair).await;
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_for_its_place_within_its_deadline() {
    let options = Options {
        limits: Limits {
            queue: 1,
            ..Limits::default()
        },
        ..quiet()
    };
    // The other end takes nothing at all: its half is held and never read.
    let (first, second, _cut) = memory::pair();
    let (peer, tasks) = open_with(first, methods(), options);
    let calls = (0..200).map(|number| {
        let (peer, params) = (&peer, raw(&number));
        let options = CallOptions {
            deadline: Some(Duration::from_secs(5)),
            ..CallOptions::default()
        };
        async move { peer.call_raw("echo", Some(&params), options).await }
    });
    let start = Instant::now();
    for answer in join_all(calls).await {
        assert!(matches!(answer, Err(CallError::Deadline { .. })));
    }
    assert_eq!(start.elapsed().as_secs(), 5);
    assert_eq!(peer.open_calls(), 0);
    drop(second);
    soon(peer.closed()).await;
    all_gone(&tasks).await;
}

#[tokio::test]
async fn a_call_that_is_dropped_is_forgotten() {
    let pair = peers(methods(), methods(), &quiet());
    for _ in 0..60 {
        let call = pair.one.call_raw("hang", None, CallOptions::default());
        tokio::select! {
            biased;
            answer = call => panic!("{answer:?}"),
            // Not before the other side has been asked.
            answer = echo(&pair.one, json!(1)) => assert_eq!(answer.unwrap(), 1),
        }
        assert_eq!(pair.one.open_calls(), 0);
    }
    end(pair).await;
}

#[tokio::test]
async fn draining_finishes_what_runs_and_refuses_what_comes() {
    let gate = Arc::new(Semaphore::new(0));
    let slow = {
        let gate = Arc::clone(&gate);
        methods().raw("slow", move |_call, _params| {
            let gate = Arc::clone(&gate);
            async move {
                let _open = gate.acquire().await.unwrap();
                Ok(raw(&json!({"done": true})))
            }
        })
    };
    let pair = peers(methods(), slow, &quiet());
    let caller = async {
        pair.one
            .call_raw("slow", None, CallOptions::default())
            .await
    };
    let ender = async {
        echo(&pair.one, json!(1)).await.unwrap();
        assert!(!pair.two.drain(Duration::from_millis(1)).await);
        let refused = echo(&pair.one, json!(2)).await.unwrap_err();
        assert!(
            matches!(&refused, CallError::Refused(fault) if fault.code == Fault::BUSY),
            "{refused}"
        );
        gate.add_permits(1);
        assert!(pair.two.drain(Duration::from_secs(10)).await);
        pair.two.close(CloseCause::closed());
    };
    let (answer, ()) = soon(async { tokio::join!(caller, ender) }).await;
    assert_eq!(answer.unwrap().get(), r#"{"method":"slow","done":true}"#);
    soon(pair.one.closed()).await;
    end(pair).await;
}

#[tokio::test]
async fn the_fallback_takes_what_no_method_takes() {
    let other =
        methods().fallback(async |call: Call<()>, params| Ok(raw(&json!([&*call.method, params]))));
    assert_eq!(other.names(), ["double", "echo", "hang", "panic", "refuse"]);
    let pair = peers(methods(), other, &quiet());
    let seven = raw(&7);
    let answer = pair
        .one
        .call_raw("any", Some(&seven), CallOptions::default())
        .await;
    assert_eq!(answer.unwrap().get(), r#"["any",7]"#);
    let answer = pair
        .one
        .call_raw("double", Some(&seven), CallOptions::default())
        .await;
    assert!(matches!(answer, Err(CallError::Refused(fault)) if fault.code == -32602));
    let none: Value = echo(&pair.one, Value::Null).await.unwrap();
    assert_eq!(none, Value::Null);
    end(pair).await;
}

/// Handlers run on many threads; what happened first is told first all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn calls_in_order_are_handled_one_at_a_time_as_they_came() {
    let (tell, mut told) = mpsc::channel(2000);
    let running = Arc::new(AtomicUsize::new(0));
    let ordered = methods()
        .raw("happened", move |_call, params: Option<RawJson>| {
            let (tell, running) = (tell.clone(), Arc::clone(&running));
            async move {
                assert_eq!(running.fetch_add(1, Ordering::SeqCst), 0, "one at a time");
                let number: u64 = serde_json::from_str(params.unwrap().get()).unwrap();
                tokio::task::yield_now().await;
                tell.send(number).await.unwrap();
                running.fetch_sub(1, Ordering::SeqCst);
                Ok(raw(&json!({})))
            }
        })
        .in_order("happened");
    let options = small(Limits {
        inbound_calls: 1000,
        ..Limits::default()
    });
    let (first, second, _cut) = memory::pair();
    let (peer, tasks) = open_with(first, ordered, options);
    let (mut sender, mut receiver) = second.split();
    let asking = async {
        for number in 0..500 {
            let frame = json!({"id": number, "method": "happened", "params": number});
            sender.send(frame.to_string().into()).await.unwrap();
        }
    };
    let listening = async {
        for number in 0..500 {
            assert!(matches!(receiver.recv().await, Ok(Received::Text(_))));
            assert_eq!(told.recv().await, Some(number));
        }
    };
    soon(async { tokio::join!(asking, listening) }).await;
    drop((sender, receiver));
    soon(peer.closed()).await;
    all_gone(&tasks).await;
}

/// A call that is taken back while it waits for its turn lets nobody pass.
#[tokio::test]
async fn a_cancelled_turn_keeps_the_order() {
    let gate = Arc::new(Semaphore::new(0));
    let (tell, mut told) = mpsc::channel(10);
    let ordered = {
        let gate = Arc::clone(&gate);
        methods()
            .raw("happened", move |_call, params: Option<RawJson>| {
                let (gate, tell) = (Arc::clone(&gate), tell.clone());
                async move {
                    let number: u64 = serde_json::from_str(params.unwrap().get()).unwrap();
                    tell.send((number, "begins")).await.unwrap();
                    gate.acquire().await.unwrap().forget();
                    tell.send((number, "ends")).await.unwrap();
                    Ok(raw(&json!({})))
                }
            })
            .in_order("happened")
    };
    let pair = peers(methods(), ordered, &v1());
    let call = |number: u64| {
        let peer = pair.one.clone();
        async move {
            let params = raw(&number);
            peer.call_raw("happened", Some(&params), CallOptions::default())
                .await
        }
    };
    let mut first = Box::pin(call(1));
    let mut second = Box::pin(call(2));
    let mut third = Box::pin(call(3));
    for call in [&mut first, &mut second, &mut third] {
        assert!(futures_util::poll!(call.as_mut()).is_pending());
    }
    echo(&pair.one, json!("all three are there")).await.unwrap();
    drop(second);
    echo(&pair.one, json!("and one is gone")).await.unwrap();
    while pair.two.inbound_calls() > 2 {
        tokio::task::yield_now().await;
    }
    gate.add_permits(2);
    soon(first).await.unwrap();
    soon(third).await.unwrap();
    for expected in [(1, "begins"), (1, "ends"), (3, "begins"), (3, "ends")] {
        assert_eq!(told.recv().await, Some(expected));
    }
    pair.one.close(CloseCause::closed());
    all_gone(&pair.tasks).await;
}

/// Of large messages nothing is copied; they are found to be what they are all the same.
#[tokio::test]
async fn large_messages_are_passed_on_as_they_are() {
    let methods = || {
        methods()
            .raw("back", async |_call: Call<()>, params: Option<RawJson>| {
                params.ok_or_else(|| Fault::invalid_params("nothing"))
            })
            .raw("fail", async |_call: Call<()>, params: Option<RawJson>| {
                let mut fault = Fault::server("on purpose");
                fault.data = params.and_then(|params| serde_json::from_str(params.get()).ok());
                Err(fault)
            })
    };
    let pair = peers(methods(), methods(), &quiet());
    let large = raw(&json!({"a": "é\"\n".repeat(30_000), "b": [1, null]}));
    let call = async |name: &str| {
        let call = pair
            .one
            .call_raw(name, Some(&large), CallOptions::default());
        call.await
    };
    let mut expected: Value = serde_json::from_str(large.get()).unwrap();
    expected["method"] = json!("back");
    for _ in 0..3 {
        let back = call("back").await.unwrap();
        let boxed: Box<serde_json::value::RawValue> = back.clone().into();
        drop(back);
        assert_eq!(
            serde_json::from_str::<Value>(boxed.get()).unwrap(),
            expected
        );
    }
    let Err(CallError::Refused(fault)) = call("fail").await else {
        panic!("it fails");
    };
    assert_eq!(fault.message, "on purpose");
    assert!(fault.data.unwrap()["a"].is_string());
    let Err(CallError::Refused(fault)) = call("unheard of").await else {
        panic!("there is none of this name");
    };
    assert_eq!(fault.code, Fault::METHOD_NOT_FOUND);
    pair.one.close(CloseCause::closed());
    all_gone(&pair.tasks).await;
}

/// Long strings are passed over when a large message is sorted. Wherever they stand it is sorted as any other, what is
/// handed on is what came, byte for byte, and what is no JSON is refused.
#[tokio::test]
async fn long_strings_in_a_message_change_nothing() {
    let back = methods().raw("back", async |_call: Call<()>, params: Option<RawJson>| {
        params.ok_or_else(|| Fault::invalid_params("nothing"))
    });
    let mut bare = Bare::new(back, quiet());
    let long = "long ".repeat(20_000);
    for params in [
        format!(r#"[ "{long}","\u00e9{long}\n" , "é{long}" ]"#),
        format!(r#"{{"{long}": {{"b":"{long}"}} , "method":"{long}"}}"#),
        format!(r#""{long}""#),
    ] {
        // In and out of what is handed on.
        for beside in ["", &format!(r#""{long}":"{long}","#)] {
            let text = format!(r#"{{{beside}"id":1,"method":"back","params":{params}}}"#);
            bare.sender.send(text.into()).await.unwrap();
            let answer = bare.hear_text().await;
            let result = answer.split_once(r#""result":"#).unwrap().1;
            assert_eq!(result, format!("{params}}}"));
        }
    }
    for (text, code) in [
        (
            format!("{{\"id\":1,\"method\":\"back\",\"params\":\"{long}\n{long}\"}}"),
            Fault::PARSE_ERROR,
        ),
        (
            format!(r#"{{"id":1,"method":"{long}","params":"{long}"}}"#),
            Fault::METHOD_NOT_FOUND,
        ),
        (
            format!(r#"{{"id":"{long}","method":"back","params":"{long}"}}"#),
            Fault::INVALID_REQUEST,
        ),
    ] {
        bare.sender.send(text.into()).await.unwrap();
        assert_eq!(bare.hear().await["error"]["code"], code);
    }
    bare.end().await;
}
