//! Events: to those that consume them, in order, nobody waiting for another.

use std::time::Duration;

use jackfield::ReportedState::{Active, Connecting};
use jackfield::{ActiveState, Policy};
use jackfield_testkit::{
    Dial, Program, Rig, bench_host, end, environment, eventually, manifest, quick, until,
    until_state, within,
};

use crate::RIG;
use serde_json::{Value, json};

fn consumer() -> Value {
    manifest(json!({"events_consumed": ["EventThreadPublished", "EventPostLiked"]}))
}

fn numbers(events: &[Value]) -> Vec<u64> {
    events.iter().map(|e| e["n"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn events_come_in_order_to_those_that_consume_them() {
    let host = bench_host(|builder| builder).await;
    let (one, token_one) = host.expect(&consumer()).await;
    let (two, token_two) = host.expect(&consumer()).await;
    let (deaf, token_deaf) = host.expect(&manifest(json!({}))).await;
    let mut first = Program::dial(&host, &token_one).await;
    let mut second = Program::dial(&host, &token_two).await;
    let third = Program::dial(&host, &token_deaf).await;
    for session in [&one, &two, &deaf] {
        within(session.ready()).await.unwrap();
    }
    for n in 0..500 {
        let name = ["EventThreadPublished", "EventPostLiked"][n % 2];
        let published = host.publish(name, json!({"n": n, "id": "x"})).unwrap();
        assert_eq!(published.queued, [one.id(), two.id()]);
        assert!(published.dropped.is_empty());
    }
    for program in [&mut first, &mut second] {
        let events = program.events(500).await;
        assert_eq!(numbers(&events), (0..500).collect::<Vec<_>>());
        assert_eq!(
            events[1],
            json!({"event": "EventPostLiked", "id": "x", "n": 1})
        );
    }
    assert!(third.taken().is_empty());
    // Nobody consumes it.
    let nobody = host.publish("EventNodeDeleted", json!({})).unwrap();
    assert_eq!(nobody, jackfield::Published::default());
    // What is no object is refused; no payload at all is one without fields.
    assert!(host.publish("EventPostLiked", json!([1])).is_err());
    host.publish("EventPostLiked", json!(null)).unwrap();
    let events = first.events(501).await;
    assert_eq!(events[500], json!({"event": "EventPostLiked"}));
}

/// One that never answers, and one that never reads, hold up nobody else.
#[tokio::test]
async fn a_silent_plugin_delays_no_other() {
    let host = bench_host(|builder| {
        builder.policy(Policy {
            event_queue: 8,
            ..quick()
        })
    })
    .await;
    let (silent, token) = host.expect(&consumer()).await;
    let line = Dial::external(&host, &token).open().await;
    within(silent.ready()).await.unwrap();
    let (well, token) = host.expect(&consumer()).await;
    let mut program = Program::dial(&host, &token).await;
    within(well.ready()).await.unwrap();
    let mut dropped = 0;
    for n in 0..50 {
        let published = host.publish("EventPostLiked", json!({"n": n})).unwrap();
        assert!(!published.dropped.contains(&well.id()));
        dropped += published.dropped.len();
        program.events(n + 1).await;
    }
    // And what waits for the silent one is bounded, and said.
    assert!((40..=42).contains(&dropped), "{dropped}");
    drop(line);
}

/// Events wait for a line that is lost, and for one that was never there; what is not wanted gets
/// none. The original dropped all that came while a plugin was away.
#[tokio::test]
async fn events_wait_for_the_line() {
    let host = bench_host(|builder| builder).await;
    let (session, token) = host.expect(&consumer()).await;
    let publish = |n: usize| host.publish("EventPostLiked", json!({"n": n})).unwrap();
    assert_eq!(publish(0).queued, [session.id()]);
    publish(1);
    let mut program = Program::dial(&host, &token).await;
    assert_eq!(numbers(&program.events(2).await), [0, 1]);
    drop(program);
    until_state(&session, Connecting).await;
    publish(2);
    publish(3);
    let mut program = Program::dial(&host, &token).await;
    assert_eq!(numbers(&program.events(2).await), [2, 3]);
    // Not wanted: nothing is kept.
    session
        .set_active_state(ActiveState::Inactive)
        .await
        .unwrap();
    assert!(publish(4).queued.is_empty());
    session.set_active_state(ActiveState::Active).await.unwrap();
    let mut program = Program::dial(&host, &token).await;
    publish(5);
    assert_eq!(numbers(&program.events(1).await), [5]);
}

/// What was still waiting when it was stopped does not come after the next start.
#[tokio::test]
async fn a_stop_drops_what_waits() {
    let host = bench_host(|builder| builder).await;
    let (session, token) = host.expect(&consumer()).await;
    for n in 0..10 {
        host.publish("EventPostLiked", json!({"n": n})).unwrap();
    }
    session
        .set_active_state(ActiveState::Inactive)
        .await
        .unwrap();
    session.set_active_state(ActiveState::Active).await.unwrap();
    let mut program = Program::dial(&host, &token).await;
    within(session.ready()).await.unwrap();
    host.publish("EventPostLiked", json!({"n": 10})).unwrap();
    assert_eq!(numbers(&program.events(1).await), [10]);
}

/// The line breaks under an event that was sent and not acknowledged: it is handed on once more,
/// and those behind it keep their order.
#[tokio::test]
async fn an_event_that_was_not_acknowledged_comes_again() {
    let host = bench_host(|builder| builder).await;
    let (session, token) = host.expect(&consumer()).await;
    let mut line = Dial::external(&host, &token).open().await;
    within(session.ready()).await.unwrap();
    for n in 0..3 {
        host.publish("EventPostLiked", json!({"n": n})).unwrap();
    }
    let first = line.json().await;
    assert_eq!(first["params"]["n"], 0);
    drop(line);
    until_state(&session, Connecting).await;
    let mut program = Program::dial(&host, &token).await;
    assert_eq!(numbers(&program.events(3).await), [0, 1, 2]);
}

/// One that refuses an event, or answers nonsense, gets the next one all the same.
#[tokio::test]
async fn a_refused_event_is_not_repeated() {
    let host = bench_host(|builder| builder).await;
    let (session, token) = host.expect(&consumer()).await;
    let mut line = Dial::external(&host, &token).open().await;
    within(session.ready()).await.unwrap();
    for n in 0..4 {
        host.publish("EventPostLiked", json!({"n": n})).unwrap();
    }
    let answers = [
        json!({"result": {"method": "event", "ok": false}}),
        json!({"error": {"code": -32000, "message": "handler error: no"}}),
        json!({"result": 7}),
        json!({"result": {"ok": true}}),
    ];
    for (n, mut answer) in answers.into_iter().enumerate() {
        let event = line.json().await;
        assert_eq!(event["params"]["n"], n);
        answer["id"] = event["id"].clone();
        answer["jsonrpc"] = json!("2.0");
        line.send(answer.to_string()).await;
    }
    eventually(Duration::from_secs(5), "all are answered", || {
        session.open_calls() == (0, 0)
    })
    .await;
    assert_eq!(session.status().borrow().state, Active);
}

/// One that is silent about an event has had its time, and gets the next; late words change nothing.
#[tokio::test]
async fn an_event_that_is_not_acknowledged_in_time_is_not_repeated() {
    let host = bench_host(|builder| {
        builder.policy(Policy {
            call_deadline: Duration::from_millis(200),
            ..quick()
        })
    })
    .await;
    let (session, token) = host.expect(&consumer()).await;
    let mut line = Dial::external(&host, &token).open().await;
    within(session.ready()).await.unwrap();
    let start = tokio::time::Instant::now();
    for n in 0..3 {
        host.publish("EventPostLiked", json!({"n": n})).unwrap();
    }
    let mut ids = Vec::new();
    for n in 0..3 {
        let event = line.json().await;
        assert_eq!(event["params"]["n"], n);
        assert!(start.elapsed() >= Duration::from_millis(200) * n);
        ids.push(event["id"].clone());
    }
    assert_eq!(session.open_calls(), (1, 0));
    for id in ids {
        let answer = json!({"jsonrpc": "2.0", "id": id, "result": {"ok": true}});
        line.send(answer.to_string()).await;
    }
    eventually(Duration::from_secs(5), "the last is answered", || {
        session.open_calls() == (0, 0)
    })
    .await;
    // And the next has its own time.
    host.publish("EventPostLiked", json!({"n": 3})).unwrap();
    assert_eq!(line.json().await["params"]["n"], 3);
    assert_eq!(session.status().borrow().state, Active);
}

/// The text of an event is the same for all, and so is its id: an answer of one is none of another.
#[tokio::test]
async fn the_answer_of_one_plugin_is_none_of_another() {
    let host = bench_host(|builder| builder).await;
    let mut lines = Vec::new();
    for _ in 0..3 {
        let (session, token) = host.expect(&consumer()).await;
        let line = Dial::external(&host, &token).open().await;
        within(session.ready()).await.unwrap();
        lines.push((session, line));
    }
    host.publish("EventPostLiked", json!({"n": 0})).unwrap();
    let mut events = Vec::new();
    for (_, line) in &mut lines {
        events.push(line.json().await);
    }
    assert!(events.iter().all(|event| *event == events[0]));
    let answer = json!({"jsonrpc": "2.0", "id": events[0]["id"], "result": {"ok": true}});
    lines[1].1.send(answer.to_string()).await;
    eventually(Duration::from_secs(5), "one is answered", || {
        lines[1].0.open_calls() == (0, 0)
    })
    .await;
    assert_eq!(lines[0].0.open_calls(), (1, 0));
    assert_eq!(lines[2].0.open_calls(), (1, 0));
}

/// A plugin that is killed again and again gets every event but those that it died at.
#[tokio::test]
async fn a_crash_costs_at_most_the_event_it_came_at() {
    let host = bench_host(|builder| builder).await;
    let package = Rig::new("")
        .manifest(json!({"events_consumed": ["EventPostLiked"]}))
        .package(RIG);
    let session = host.run(package).await;
    let pid = session.status().borrow().pid.unwrap();
    let log = environment(pid).await["JACKFIELD_STATE_DIR"].clone() + "/events.log";
    let seen = || -> Vec<u64> {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        text.lines()
            .map(|line| {
                serde_json::from_str::<Value>(line).unwrap()["n"]
                    .as_u64()
                    .unwrap()
            })
            .collect()
    };
    let kills = 3;
    for round in 0..kills {
        for n in 0..100 {
            host.publish("EventPostLiked", json!({"n": round * 100 + n}))
                .unwrap();
        }
        eventually(Duration::from_secs(30), "some of them came", || {
            seen().last().is_some_and(|last| *last >= round * 100 + 5)
        })
        .await;
        let pid = session.status().borrow().pid.unwrap();
        end(pid);
        until(&session, |status| {
            status.state == Active && status.pid != Some(pid)
        })
        .await;
    }
    host.publish("EventPostLiked", json!({"n": 1000})).unwrap();
    eventually(Duration::from_secs(30), "the last one came", || {
        seen().last() == Some(&1000)
    })
    .await;
    let seen = seen();
    assert!(
        seen.windows(2).all(|pair| pair[0] < pair[1]),
        "in order, once: {seen:?}"
    );
    let missing = usize::try_from(kills * 100 + 1).unwrap() - seen.len();
    assert!(
        missing <= usize::try_from(kills).unwrap(),
        "{missing} are missing: {seen:?}"
    );
}
