//! Plugins as other people write them: in Python, Node and Go, with the library that their author
//! would take and with nothing of ours, once as packages that the host runs and once as programs
//! that dial in. One table of scenarios for all of them.

#![expect(clippy::unwrap_used, reason = "tests may")]

#[path = "peers/bench.rs"]
mod bench;
#[path = "peers/cable.rs"]
mod cable;

use std::fs;
use std::time::Duration;

use jackfield::rpc::CallError as RpcError;
use jackfield::wire::methods::{Configure, Ping, RobotToolCall, ToolCallParams};
use jackfield::{ActiveState, CallError, CallOptions, Mode, ReportedState};
use jackfield_testkit::peers::Language;
use jackfield_testkit::{alive, alive_with, end, eventually, until, until_state};
use serde_json::value::to_raw_value;
use serde_json::{Map, Value, json};
use tokio::task::JoinSet;

use crate::bench::{Bench, echo};
use crate::cable::Cable;

const PATIENCE: Duration = Duration::from_secs(60);
const NOTHING: [u32; 0] = [];

macro_rules! table {
    ($scenarios:tt) => {
        table!(@ python Python $scenarios);
        table!(@ node Node $scenarios);
        table!(@ go Go $scenarios);
    };
    (@ $language:ident $name:ident $scenarios:tt) => {
        mod $language {
            table!(@@ supervised Supervised $name $scenarios);
            table!(@@ external External $name $scenarios);
        }
    };
    (@@ $module:ident $mode:ident $language:ident { $($scenario:ident)* }) => {
        mod $module {
            use jackfield::Mode;
            use jackfield_testkit::peers::Language;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $scenario() {
                    crate::$scenario(Language::$language, Mode::$mode).await;
                }
            )*
        }
    };
}

table!({
    becomes_active_and_answers_a_ping
    answers_calls_beside_each_other
    takes_a_configuration_and_refuses_another
    asks_back_while_it_is_being_configured
    takes_events_in_order
    runs_a_tool
    says_what_it_does_not_know_and_is_told_so
    takes_and_gives_big_messages
    comes_back_after_kill
    obeys_when_the_host_closes
    gets_over_a_cut_line
    leaves_nothing_when_stopped_in_the_middle_of_a_call
});

async fn becomes_active_and_answers_a_ping(language: Language, mode: Mode) {
    let bench = Bench::start(language, mode).await;
    let pong = bench.session.call::<Ping>(&None).await.unwrap();
    assert!(pong.pong);
    assert_eq!(pong.status.as_deref(), Some("healthy"));
    assert!(pong.uptime_seconds.is_some_and(|up| up > 0.0));
    let seen: Vec<_> = bench.session.history().iter().map(|t| t.state).collect();
    let supervised = [
        ReportedState::Starting,
        ReportedState::Connecting,
        ReportedState::Active,
    ];
    match mode {
        Mode::Supervised => assert_eq!(seen, supervised),
        Mode::External => assert_eq!(seen, supervised[1..]),
    }
    bench.finish().await;
}

async fn answers_calls_beside_each_other(language: Language, mode: Mode) {
    let bench = Bench::start(language, mode).await;
    // One that is not answered today holds up none of the others.
    let today = Duration::from_secs(24 * 3600);
    let ms = today.as_millis();
    let long = to_raw_value(&json!({ "ms": u64::try_from(ms).unwrap() })).unwrap();
    let options = CallOptions {
        deadline: Some(today),
        ..CallOptions::default()
    };
    let long = bench.session.call_raw("echo", Some(&long), options);
    let others = async {
        eventually(PATIENCE, "an open call", || {
            bench.session.open_calls().0 == 1
        })
        .await;
        let mut calls = JoinSet::new();
        for n in 0..50 {
            let session = bench.session.clone();
            let given = json!({
                "n": n, "ms": 20 * (n % 2),
                "text": format!("{n} \u{0}\u{1f9f6}é\"\\\n"),
                "deep": [[{"a": [null, -1.5e300, true]}]],
            });
            calls.spawn(async move { (echo(&session, &given).await, given) });
        }
        while let Some(done) = calls.join_next().await {
            let (echoed, given) = done.unwrap();
            assert_eq!(echoed, given);
        }
    };
    tokio::select! {
        answer = long => panic!("{answer:?}"),
        () = others => {}
    }
    // Nobody waits for the long one any more.
    assert_eq!(bench.session.open_calls(), (0, 0));
    bench.finish().await;
}

async fn takes_a_configuration_and_refuses_another(language: Language, mode: Mode) {
    let bench = Bench::start(language, mode).await;
    let configure = async |config: Value| {
        let Value::Object(config) = config else {
            unreachable!("an object");
        };
        let taken = bench.session.call::<Configure>(&config).await;
        taken.unwrap().ok
    };
    assert!(configure(json!({})).await);
    assert!(!configure(json!({"refuse": true})).await);
    assert!(configure(json!({"colour": "red", "size": 3})).await);
    bench.finish().await;
}

async fn asks_back_while_it_is_being_configured(language: Language, mode: Mode) {
    let bench = Bench::start(language, mode).await;
    let config = json!({"colour": "red", "size": 9, "of_nobody": 1});
    let config: Map<String, Value> = serde_json::from_value(config).unwrap();
    let taken = bench.session.call::<Configure>(&config).await.unwrap();
    assert!(taken.ok);
    let told = bench.call("seen", json!({})).await;
    assert_eq!(
        told["seen"],
        json!({
            "config": {"colour": "blue", "size": 3},
            "key": format!("sdbak_{}", bench.session.id()),
            "url": "http://localhost:8000",
        })
    );
    bench.finish().await;
}

async fn takes_events_in_order(language: Language, mode: Mode) {
    let bench = Bench::start(language, mode).await;
    for n in 0..100 {
        let event = json!({"id": format!("thread-{n}")});
        let published = bench.host.publish("EventThreadPublished", event).unwrap();
        assert_eq!(published.queued, [bench.session.id()]);
        assert!(published.dropped.is_empty());
        // None of its business.
        let other = bench.host.publish("EventPostLiked", json!({})).unwrap();
        assert!(other.queued.is_empty());
    }
    let log = bench.state.join("events.log");
    let read = || fs::read_to_string(&log).unwrap_or_default();
    eventually(PATIENCE, "a hundred events", || {
        read().lines().count() == 100
    })
    .await;
    for (n, line) in read().lines().enumerate() {
        let event: Value = serde_json::from_str(line).unwrap();
        let expected = json!({"event": "EventThreadPublished", "id": format!("thread-{n}")});
        assert_eq!(event, expected);
    }
    bench.finish().await;
}

async fn runs_a_tool(language: Language, mode: Mode) {
    let bench = Bench::start(language, mode).await;
    let run = async |tool: &str, arguments: Value| {
        let params = ToolCallParams {
            account_id: "an account".to_owned(),
            arguments: serde_json::from_value(arguments).unwrap(),
            call_id: "a call".to_owned(),
            provider_id: "tools".to_owned(),
            robot_id: None,
            session_id: "a session".to_owned(),
            tool_id: tool.to_owned(),
        };
        bench.session.call::<RobotToolCall>(&params).await.unwrap()
    };
    let done = run("hammer", json!({"nails": [1, 2]})).await;
    let output = json!({"tool": "hammer", "arguments": {"nails": [1, 2]}});
    assert_eq!((done.output, done.error), (Some(output), None));
    // Without arguments there is an empty object: strict programs take nothing else.
    let done = run("hammer", json!({})).await;
    assert_eq!(
        done.output,
        Some(json!({"tool": "hammer", "arguments": {}}))
    );
    let broken = run("broken", json!({})).await;
    assert_eq!(broken.error.as_deref(), Some("the tool is broken"));
    bench.finish().await;
}

async fn says_what_it_does_not_know_and_is_told_so(language: Language, mode: Mode) {
    let bench = Bench::start(language, mode).await;
    let unknown = bench
        .session
        .call_raw("no_such_method", None, CallOptions::default());
    let code = match unknown.await.unwrap_err() {
        CallError::Call(RpcError::Refused(fault)) => fault.code,
        other => panic!("{other}"),
    };
    assert_eq!(code, -32601);
    for (asked, code) in [
        (json!({"method": "no_such_method"}), -32601),
        (
            json!({"method": "get_config", "params": {"keys": 5}}),
            -32602,
        ),
    ] {
        let answer = bench.call("ask", asked.clone()).await;
        assert_eq!(answer["refused"]["code"], code, "{asked}: {answer}");
    }
    let answer = bench.call("ask", json!({"method": "get_config"})).await;
    assert_eq!(answer["answer"]["config"]["colour"], "blue", "{answer}");
    bench.finish().await;
}

async fn takes_and_gives_big_messages(language: Language, mode: Mode) {
    let bench = Bench::start(language, mode).await;
    let text = "0123456789abcdef".repeat(900 * 1024 / 16);
    let given = json!({"text": text});
    assert_eq!(echo(&bench.session, &given).await, given);
    // The line is as good as before.
    assert!(bench.session.call::<Ping>(&None).await.unwrap().pong);
    bench.finish().await;
}

async fn comes_back_after_kill(language: Language, mode: Mode) {
    let mut bench = Bench::start(language, mode).await;
    let before = bench.pid();
    end(before);
    match mode {
        Mode::Supervised => {
            let status = until(&bench.session, |now| {
                now.state == ReportedState::Active && now.pid != Some(before)
            })
            .await;
            assert_eq!(status.restarts, 1);
        }
        // Somebody else starts it again.
        Mode::External => {
            until_state(&bench.session, ReportedState::Connecting).await;
            bench.program = Some(bench.run());
            until_state(&bench.session, ReportedState::Active).await;
        }
    }
    assert_ne!(bench.pid(), before);
    assert!(!alive(before));
    let given = json!({"still": "here"});
    assert_eq!(echo(&bench.session, &given).await, given);
    bench.finish().await;
}

async fn obeys_when_the_host_closes(language: Language, mode: Mode) {
    let bench = Bench::start(language, mode).await;
    let before = bench.pid();
    bench.set(ActiveState::Inactive).await;
    assert_eq!(
        bench.session.status().borrow().state,
        ReportedState::Inactive
    );
    let refused = bench.session.call::<Ping>(&None).await;
    assert!(matches!(refused, Err(CallError::NotActive(_))));
    match mode {
        Mode::Supervised => assert!(!alive(before)),
        Mode::External => assert!(alive(before), "it is not ours to end"),
    }
    bench.set(ActiveState::Active).await;
    bench.session.ready().await.unwrap();
    assert!(bench.session.call::<Ping>(&None).await.unwrap().pong);
    match mode {
        Mode::Supervised => assert_ne!(bench.pid(), before),
        Mode::External => assert_eq!(bench.pid(), before),
    }
    bench.finish().await;
}

async fn gets_over_a_cut_line(language: Language, mode: Mode) {
    let cable = Cable::lay().await;
    let bench = Bench::over(Some(&cable), language, mode).await;
    for _ in 0..3 {
        let before = bench.session.status().borrow().started_at;
        cable.cut();
        // What the host runs ends with its line and is started again, without that counting as a
        // crash; what somebody else runs dials again.
        until(&bench.session, |now| {
            now.state == ReportedState::Active && now.started_at != before
        })
        .await;
        assert!(bench.session.call::<Ping>(&None).await.unwrap().pong);
    }
    bench.finish().await;
}

async fn leaves_nothing_when_stopped_in_the_middle_of_a_call(language: Language, mode: Mode) {
    let bench = Bench::start(language, mode).await;
    let session = bench.session.clone();
    let mut call = JoinSet::new();
    call.spawn(async move {
        let long = to_raw_value(&json!({"ms": 3_600_000})).unwrap();
        let options = CallOptions::default();
        session.call_raw("echo", Some(&long), options).await
    });
    eventually(PATIENCE, "an open call", || {
        bench.session.open_calls().0 == 1
    })
    .await;
    // It came after the long call, so that one is under way too.
    assert!(bench.session.call::<Ping>(&None).await.unwrap().pong);
    let pid = bench.pid();
    bench.set(ActiveState::Inactive).await;
    let error = call.join_next().await.unwrap().unwrap().unwrap_err();
    assert!(
        matches!(error, CallError::Call(RpcError::Closed(_))),
        "{error}"
    );
    assert_eq!(bench.session.open_calls(), (0, 0));
    if mode == Mode::Supervised {
        assert!(!alive(pid));
        assert_eq!(alive_with(&bench.mark), NOTHING);
    }
    bench.finish().await;
}
