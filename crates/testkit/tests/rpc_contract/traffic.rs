//! Much, large and slow: calls beside each other, bounds and their errors.

use std::sync::Arc;
use std::time::Duration;

use jackfield::wire::method::SUBPROTOCOL;
use jackfield::wire::methods::Ping;
use jackfield::{CallError, CallOptions, Fault, HostBuilder, RawJson, Session};
use jackfield_testkit::{
    Again, Dial, RawLine, Rig, TestHost, as_program, bench_host, eventually, host_in, manifest,
    tell, within,
};
use serde_json::value::to_raw_value;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio_tungstenite::tungstenite::Message;

use crate::RIG;

/// An application whose `slow` ends when it is told to, whose `ask_back` calls the caller, and
/// that can give large answers.
fn application(gate: Arc<Notify>) -> impl FnOnce(HostBuilder) -> HostBuilder {
    move |builder| {
        builder.methods(|methods| {
            methods
                .raw("slow", move |_call, _params| {
                    let gate = Arc::clone(&gate);
                    async move {
                        gate.notified().await;
                        Ok(RawJson::of(&json!({"slow": true})).unwrap())
                    }
                })
                .raw("fast", |_call, _params| async {
                    Ok(RawJson::of(&json!({"fast": true})).unwrap())
                })
                .raw("ask_back", |call, _params| async move {
                    let session: Session = call.context;
                    let echoed = session.call_raw("echo", None, CallOptions::default()).await;
                    let echoed = echoed.map_err(|error| Fault::server(error.to_string()))?;
                    Ok(RawJson::of(&json!({"echoed": echoed})).unwrap())
                })
                .raw("large", |_call, params| async move {
                    let params: Value = serde_json::from_str(params.unwrap().get()).unwrap();
                    let bytes = params["bytes"].as_u64().unwrap() as usize;
                    Ok(RawJson::of(&json!({"x": "x".repeat(bytes)})).unwrap())
                })
                .raw("length", |_call, params| async move {
                    let length = params.map_or(0, |params| params.get().len());
                    Ok(RawJson::of(&json!({"length": length})).unwrap())
                })
        })
    }
}

async fn connected(host: &TestHost) -> (Session, RawLine) {
    let (session, token) = host.expect(&manifest(json!({}))).await;
    let line = Dial::external(host, &token).open().await;
    within(session.ready()).await.unwrap();
    (session, line)
}

/// While one call into the host takes its time, pings are answered, others calls pass, and so do
/// the host's own. In the original the reader ran the call itself, and all of that stood still.
#[tokio::test]
async fn a_slow_call_delays_nothing() {
    let gate = Arc::new(Notify::new());
    let host = bench_host(application(Arc::clone(&gate))).await;
    let (session, mut line) = connected(&host).await;
    line.send(r#"{"id":"slow","method":"slow"}"#).await;
    line.send_message(Message::Ping("now".into()))
        .await
        .unwrap();
    assert_eq!(line.message().await, Some(Message::Pong("now".into())));
    let fast = line.ask(r#"{"id":"fast","method":"fast"}"#).await;
    assert_eq!(fast["id"], "fast");
    let call = session.call::<Ping>(&None);
    let plugin = async {
        let ping = line.json().await;
        let answer = json!({"id": ping["id"], "result": {"pong": true}});
        line.send(answer.to_string()).await;
    };
    let (pong, ()) = within(async { tokio::join!(call, plugin) }).await;
    assert!(pong.unwrap().pong);
    assert_eq!(session.open_calls(), (0, 1));
    gate.notify_one();
    assert_eq!(line.json().await["id"], "slow");
    assert_eq!(session.open_calls(), (0, 0));
}

/// A plugin's call into the host that calls back into the same plugin: the original waited for
/// itself until somebody gave up.
#[tokio::test]
async fn calls_may_be_reentrant() {
    let host = bench_host(application(Arc::default())).await;
    let session = host.run(Rig::new("").package(RIG)).await;
    let params = to_raw_value(&json!({"method": "ask_back"})).unwrap();
    for _ in 0..10 {
        let call = session.call_raw("host", Some(&params), CallOptions::default());
        let answer: Value = serde_json::from_str(within(call).await.unwrap().get()).unwrap();
        let echoed = &answer["answer"]["result"]["echoed"];
        assert_eq!(echoed["method"], "echo", "{answer}");
    }
    assert_eq!(session.open_calls(), (0, 0));
}

/// 64 calls of one plugin at once; one more is refused, with an error and not with a disconnect,
/// and when there is room again it is taken.
#[tokio::test]
async fn the_65th_call_is_refused() {
    let gate = Arc::new(Notify::new());
    let host = bench_host(application(Arc::clone(&gate))).await;
    let (session, mut line) = connected(&host).await;
    for n in 0..64 {
        line.send(format!(r#"{{"id":{n},"method":"slow"}}"#)).await;
    }
    eventually(Duration::from_secs(10), "64 calls run", || {
        session.open_calls().1 == 64
    })
    .await;
    for n in 64..70 {
        let busy = line.ask(format!(r#"{{"id":{n},"method":"slow"}}"#)).await;
        assert_eq!(busy["id"], n);
        assert_eq!(busy["error"]["code"], Fault::BUSY, "{busy}");
    }
    assert_eq!(session.open_calls(), (0, 64));
    gate.notify_one();
    assert_eq!(line.json().await["result"]["slow"], true);
    let fast = line.ask(r#"{"id":"fast","method":"fast"}"#).await;
    assert_eq!(fast["result"]["fast"], true, "{fast}");
    gate.notify_waiters();
    for _ in 0..63 {
        assert_eq!(line.json().await["result"]["slow"], true);
    }
    assert_eq!(session.open_calls(), (0, 0));
}

/// Messages of up to 16 MiB come in; a larger one is an error with its id and not the end of the
/// line. The original closed the line at 32 KiB.
#[tokio::test]
async fn large_messages_come_in() {
    let host = bench_host(application(Arc::default())).await;
    let (session, mut line) = connected(&host).await;
    for size in [33_000, 2 << 20, (16 << 20) - 100] {
        let text = "x".repeat(size);
        let request = format!(r#"{{"id":"large","method":"length","params":["{text}"]}}"#);
        let answer = line.ask(request).await;
        assert_eq!(answer["result"]["length"], size + 4, "{answer}");
    }
    let text = "x".repeat(17 << 20);
    let request = format!(r#"{{"id":"too large","method":"length","params":["{text}"]}}"#);
    let answer = line.ask(request).await;
    assert!(answer["error"]["code"].is_i64(), "{answer}");
    assert_eq!(answer["id"], "too large");
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(message.contains("16777216"), "which limit? {message}");
    assert_eq!(line.ask(r#"{"id":1,"method":"fast"}"#).await["id"], 1);
    within(session.ready()).await.unwrap();
}

/// What no limit covers ends the line with the code for it, and nothing else.
#[tokio::test]
async fn a_message_beyond_all_bounds_ends_the_line() {
    let host = bench_host(application(Arc::default())).await;
    let (session, mut line) = connected(&host).await;
    line.send("x".repeat((64 << 20) + 1)).await;
    let end = line.end().await;
    assert!(
        end.as_ref().is_none_or(|(code, _)| *code == 1009),
        "{end:?}"
    );
    jackfield_testkit::until_state(&session, jackfield::ReportedState::Connecting).await;
}

/// An answer larger than others take (1 MiB for Python's library) becomes a clear error.
#[tokio::test]
async fn an_answer_that_is_too_large_is_an_error() {
    let host = bench_host(application(Arc::default())).await;
    let (_session, mut line) = connected(&host).await;
    let ask = |bytes: usize| json!({"id": "x", "method": "large", "params": {"bytes": bytes}});
    let fits = line.ask(ask((1 << 20) - 200)).await;
    assert_eq!(fits["result"]["x"].as_str().unwrap().len(), (1 << 20) - 200);
    let large = line.ask(ask(1 << 20)).await;
    assert_eq!(large["id"], "x");
    assert!(large["error"]["code"].is_i64(), "{large}");
    let message = large["error"]["message"].as_str().unwrap();
    assert!(message.contains("1048576"), "which limit? {message}");
    assert_eq!(line.ask(r#"{"id":1,"method":"fast"}"#).await["id"], 1);
}

/// Requests in a burst, far more than may be in flight: each gets an answer, one or the other.
#[tokio::test]
async fn a_burst_is_answered() {
    let host = bench_host(application(Arc::default())).await;
    let (_session, mut line) = connected(&host).await;
    let mut open = std::collections::BTreeSet::new();
    for n in 0..2_000u64 {
        line.send(format!(r#"{{"id":{n},"method":"fast"}}"#)).await;
        open.insert(n);
    }
    while !open.is_empty() {
        let answer = line.json().await;
        assert!(open.remove(&answer["id"].as_u64().unwrap()), "{answer}");
        let busy = answer["error"]["code"] == Fault::BUSY;
        assert!(busy || answer["result"]["fast"] == true, "{answer}");
    }
}

/// One that asks and asks and never reads the answers grows nothing: it is cut off, others go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_never_reads_its_answers_is_cut_off() {
    let host = bench_host(|builder| {
        application(Arc::default())(builder.policy(jackfield::Policy {
            heartbeat: Duration::from_millis(200),
            dead_after: Duration::from_secs(4),
            ..jackfield_testkit::quick()
        }))
    })
    .await;
    let (greedy, mut line) = connected(&host).await;
    let (well, token) = host.expect(&manifest(json!({}))).await;
    let _program = jackfield_testkit::Program::dial(&host, &token).await;
    within(well.ready()).await.unwrap();
    let ask = r#"{"id":"x","method":"large","params":{"bytes":300000}}"#;
    let asking = async {
        // Ends when the host does not take any more, or has hung up.
        for _ in 0..2_000 {
            if line.send_message(Message::text(ask)).await.is_err() {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(3), asking).await;
    within(well.call_raw("echo", None, CallOptions::default()))
        .await
        .unwrap();
    let stop = greedy.set_active_state(jackfield::ActiveState::Inactive);
    tokio::time::timeout(Duration::from_secs(5), stop)
        .await
        .expect("answered")
        .unwrap();
    assert_eq!(greedy.open_calls(), (0, 0));
}

/// Garbage by a real plugin, from a file of texts: all are answered, and the session goes on.
#[tokio::test]
async fn a_plugin_that_sends_garbage_is_told() {
    let host = bench_host(|builder| builder).await;
    let session = host.run(Rig::new("").package(RIG)).await;
    let frames = json!({"frames": ["{", "[]", "{}", r#"{"id":5,"method":"x"}"#]});
    let params = to_raw_value(&frames).unwrap();
    let call = session.call_raw("frames", Some(&params), CallOptions::default());
    let answer: Value = serde_json::from_str(within(call).await.unwrap().get()).unwrap();
    let codes: Vec<i64> = answer["answers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|answer| answer["error"]["code"].as_i64().unwrap())
        .collect();
    assert_eq!(codes, [-32700, -32600, -32600, -32601]);
    assert!(matches!(
        session.call_raw("nope", None, CallOptions::default()).await,
        Err(CallError::Call(_))
    ));
}

/// A call into the host and its being taken back, in one breath: it is taken back.
#[tokio::test]
async fn a_call_into_the_host_is_taken_back() {
    let host = bench_host(application(Arc::default())).await;
    let (session, token) = host.expect(&manifest(json!({}))).await;
    let dial = Dial::external(&host, &token).header("Sec-WebSocket-Protocol", SUBPROTOCOL);
    let mut line = dial.open().await;
    within(session.ready()).await.unwrap();
    assert_eq!(line.json().await["method"], "$/hello");
    for n in 0..20 {
        let call = format!(r#"{{"id":{n},"jsonrpc":"2.0","method":"slow"}}"#);
        let cancel = format!(r#"{{"jsonrpc":"2.0","method":"$/cancel","params":{{"id":{n}}}}}"#);
        line.send_at_once(&[&call, &cancel]).await;
        let answer = line.json().await;
        assert_eq!(
            (&answer["id"], &answer["error"]["code"]),
            (&json!(n), &json!(-32800))
        );
    }
    assert_eq!(session.open_calls(), (0, 0));
}

/// A frame made to cost many times its size in memory is refused for little more than its size.
#[tokio::test]
async fn a_frame_that_would_grow_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let mut program = Again::run("traffic::host_of_hostile_frames", folder.path(), |_| {});
    let told = program.told().await;
    let (frame, grown) = (
        told["frame"].as_u64().unwrap(),
        told["grown"].as_u64().unwrap(),
    );
    // Read, kept whole and looked at: some copies, not a tree of values.
    assert!(grown < 8 * frame, "{told}");
    assert!(program.ended_well().await);
}

/// Not a test of its own: the host of the one above, which measures itself.
#[tokio::test]
async fn host_of_hostile_frames() {
    let Some(folder) = as_program() else { return };
    let host = host_in(&folder, |builder| builder).await;
    let manifest = jackfield::Manifest::check_value(&manifest(json!({})))
        .into_result()
        .unwrap();
    let token = jackfield::Token::external();
    let spec = jackfield::Spec::external(jackfield::InstallationId::new(), manifest, token.hash());
    let session = host.load(spec).unwrap();
    session
        .set_active_state(jackfield::ActiveState::Active)
        .await
        .unwrap();
    let mut line = Dial::external(&host, &token).open().await;
    let many = "[],".repeat(2_600_000);
    let frames = [
        format!(r#"{{"id":1,"id":1,"x":[{many}0]}}"#),
        format!(r#"{{"id":"x","error":{{"code":1,"message":"","data":[{many}0]}}}}"#),
        format!(r#"{{"id":[{many}0],"method":"x"}}"#),
        format!(r#"{{"id":1,"method":[{many}0]}}"#),
    ];
    let before = peak();
    let size = frames[0].len();
    for frame in frames {
        line.send(frame).await;
        // Strays are not answered: this is.
        line.send(r#"{"id":"next","method":"nope"}"#).await;
        while line.json().await["id"] != "next" {}
    }
    tell(&json!({"frame": size, "grown": peak() - before}));
    within(host.shutdown(Duration::from_secs(5))).await;
}

fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib << 10
}
