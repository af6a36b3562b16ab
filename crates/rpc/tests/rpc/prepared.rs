//! One request over many lines.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use jackfield_rpc::{CallError, CallOptions, Limits, Options, Peer, Prepared, Receipt};
use jackfield_wire::{CloseCause, Traceparent};
use serde_json::value::to_raw_value;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::common::{Bare, all_gone, methods, peers, quiet, soon, v1};

type News = (Result<(), CallError>, bool);

/// Passes on what it is told, and whether the line was open then.
struct Tell {
    tell: mpsc::Sender<News>,
    peer: Mutex<Option<Peer>>,
}

fn receipt(peer: &Peer) -> (Arc<Tell>, mpsc::Receiver<News>) {
    let (tell, told) = mpsc::channel(8);
    let peer = Mutex::new(Some(peer.uncounted()));
    (Arc::new(Tell { tell, peer }), told)
}

impl Receipt for Tell {
    fn came(self: Arc<Self>, outcome: Result<(), CallError>) {
        let open = self.peer.lock().unwrap().as_ref().unwrap().is_open();
        self.tell.try_send((outcome, open)).unwrap();
    }
}

fn prepared(method: &str) -> Prepared {
    Prepared::new(method, Some(to_raw_value(&json!({"number": 4})).unwrap()))
}

#[tokio::test]
async fn the_same_text_goes_over_every_line() {
    let prepared = prepared("double");
    let mut texts = Vec::new();
    for _ in 0..3 {
        let mut far = Bare::new(methods(), quiet());
        let (tell, mut told) = receipt(&far.peer);
        assert!(far.peer.post(&prepared, tell));
        let text = far.hear_text().await;
        let id = serde_json::from_str::<Value>(&text).unwrap()["id"].clone();
        far.say(json!({"id": id, "result": 8})).await;
        assert!(matches!(soon(told.recv()).await, Some((Ok(()), true))));
        assert_eq!(far.peer.open_calls(), 0);
        texts.push(text);
        far.end().await;
    }
    assert!(texts.iter().all(|text| *text == texts[0]));
}

#[tokio::test]
async fn it_is_answered_and_refused_as_any_call() {
    let pair = peers(methods(), methods(), &quiet());
    for _ in 0..3 {
        let double = prepared("double");
        let answer = pair.one.call_prepared(&double, CallOptions::default());
        assert_eq!(soon(answer).await.unwrap().get(), "8");
    }
    let (tell, mut told) = receipt(&pair.one);
    assert!(pair.one.post(&prepared("refuse"), tell));
    let (outcome, _) = soon(told.recv()).await.unwrap();
    assert!(matches!(outcome, Err(CallError::Refused(fault)) if fault.message == "not today"));
    pair.one.close(CloseCause::closed());
    all_gone(&pair.tasks).await;
}

/// One that is under way already keeps its answer to itself.
#[tokio::test]
async fn one_that_is_under_way_is_rendered_anew() {
    let pair = peers(methods(), methods(), &quiet());
    let hangs = prepared("hang");
    let (tell, mut told) = receipt(&pair.one);
    assert!(pair.one.post(&hangs, Arc::clone(&tell) as Arc<dyn Receipt>));
    assert!(!pair.one.post(&hangs, Arc::clone(&tell) as Arc<dyn Receipt>));
    let options = CallOptions {
        deadline: Some(Duration::from_millis(50)),
        ..CallOptions::default()
    };
    let again = pair.one.call_prepared(&hangs, options).await;
    assert!(matches!(again, Err(CallError::Deadline { .. })));
    assert_eq!(pair.one.open_calls(), 1);
    assert!(pair.one.take_back(&hangs) && !pair.one.take_back(&hangs));
    assert_eq!(pair.one.open_calls(), 0);
    pair.one.close(CloseCause::closed());
    all_gone(&pair.tasks).await;
    assert!(told.try_recv().is_err(), "it was taken back");
}

/// Whoever was told that the line had ended could still find it open, and called over it once more.
#[tokio::test]
async fn whoever_is_told_of_the_end_finds_the_line_closed() {
    let pair = peers(methods(), methods(), &quiet());
    let hangs = prepared("hang");
    let (tell, mut told) = receipt(&pair.one);
    assert!(pair.one.post(&hangs, Arc::clone(&tell) as Arc<dyn Receipt>));
    pair.one.close(CloseCause::failed("cut"));
    let (outcome, open) = soon(told.recv()).await.unwrap();
    assert!(matches!(outcome, Err(CallError::Closed(cause)) if cause.reason == "cut"));
    assert!(!open);
    assert!(!pair.one.post(&prepared("double"), tell));
    all_gone(&pair.tasks).await;
    assert!(told.try_recv().is_err());
}

#[tokio::test]
async fn one_that_is_too_large_is_not_posted_and_a_full_queue_takes_none() {
    let mut options = quiet();
    options.limits = Limits {
        queue: 1,
        max_out: 200,
        ..Limits::default()
    };
    // On one thread, and without a wait: the writer takes nothing meanwhile.
    let pair = peers(methods(), methods(), &options);
    let (tell, mut told) = receipt(&pair.one);
    let large = Prepared::new("double", Some(to_raw_value(&"x".repeat(200)).unwrap()));
    assert!(!pair.one.post(&large, Arc::clone(&tell) as Arc<dyn Receipt>));
    let error = pair.one.call_prepared(&large, CallOptions::default()).await;
    assert!(matches!(error, Err(CallError::TooLarge { .. })));
    assert!(
        pair.one
            .post(&prepared("double"), Arc::clone(&tell) as Arc<dyn Receipt>)
    );
    assert!(!pair.one.post(&prepared("double"), tell));
    assert_eq!(pair.one.open_calls(), 1);
    assert!(soon(told.recv()).await.unwrap().0.is_ok());
    pair.one.close(CloseCause::closed());
    all_gone(&pair.tasks).await;
}

/// The trace is that of one call, and of peers that know of traces.
#[tokio::test]
async fn a_trace_is_told_to_those_that_know_of_traces() {
    let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let traceparent: Traceparent = text.parse().unwrap();
    for (options, told) in [(quiet(), false), (v1(), true)] {
        let options = Options {
            heartbeat: None,
            ..options
        };
        let mut far = Bare::new(methods(), options);
        if told {
            assert_eq!(far.hear().await["method"], "$/hello");
        }
        let peer = far.peer.clone();
        let options = CallOptions {
            traceparent: Some(traceparent),
            ..CallOptions::default()
        };
        let prepared = prepared("double");
        let call = peer.call_prepared(&prepared, options);
        let answer = async {
            let sent = far.hear().await;
            assert_eq!(sent.get("traceparent").is_some(), told);
            assert_eq!(sent["params"], json!({"number": 4}));
            far.say(json!({"id": sent["id"], "result": 8})).await;
        };
        let (answer, ()) = tokio::join!(call, answer);
        assert_eq!(answer.unwrap().get(), "8");
        far.end().await;
    }
}
