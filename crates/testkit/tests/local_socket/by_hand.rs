//! A plugin in another language that speaks on the socket by hand.

use jackfield::ReportedState::{Active, Connecting, Errored, Inactive};
use std::time::Duration;

use jackfield::{ActiveState, CallOptions, LogQuery, Policy, Session};
use jackfield_testkit::{
    bench_host, environment, eventually, manifest, package, states, until, until_state, within,
};
use serde_json::json;

use crate::bench::{
    by_hand, call, doorless, impatient, methods, printed, state, until_let_go, without_door,
};

#[tokio::test]
async fn it_greets_and_is_active() {
    let host = without_door().await;
    let session = host.run(by_hand("")).await;
    let said = json!({"text": "aé€😀", "more": "x".repeat(500_000)});
    assert_eq!(call(&session, "echo", said.clone()).await["params"], said);
    let pid = session.status().borrow().pid.unwrap();
    assert_eq!(environment(pid).await["JACKFIELD_RPC_FD"], "3");
    within(session.set_active_state(ActiveState::Inactive))
        .await
        .unwrap();
}

/// What the description shows works as it stands there.
#[tokio::test]
async fn the_example_of_the_description_works() {
    let description = include_str!("../../../../docs/local-socket.md");
    let (_, example) = description.split_once("```python\n").unwrap();
    let (example, _) = example.split_once("```").unwrap();
    let handle = "def handle(message):\n    return {\"heard\": message[\"params\"]}\n\n";
    let command = json!({"command": "python3", "args": ["example.py"]});
    let plugin = package(
        &manifest(command),
        &[("example.py", format!("{handle}{example}").as_bytes())],
    );
    let host = without_door().await;
    let session = host.run(plugin).await;
    for n in 0..3 {
        assert_eq!(call(&session, "echo", json!(n)).await["heard"], n);
    }
    within(session.set_active_state(ActiveState::Inactive))
        .await
        .unwrap();
}

/// It has a line; whoever dials with the same token is told what it is told today.
#[tokio::test]
async fn a_dial_beside_it_is_refused() {
    let host = bench_host(methods).await;
    let session = host.run(by_hand("dial")).await;
    let door = call(&session, "dial", json!({})).await;
    assert_eq!(door["door"], "HTTP/1.1 503 Service Unavailable");
    assert_eq!(call(&session, "echo", json!(1)).await["params"], 1);
}

/// The other way around: the door was first, and what is said on the socket is refused.
#[tokio::test]
async fn a_greeting_beside_a_dial_is_refused() {
    let host = bench_host(methods).await;
    let session = host.run(by_hand("dial-first")).await;
    std::fs::write(state(&host, &session).join("go"), "").unwrap();
    eventually_printed(&session, "close: 1013 already connected").await;
    assert!(
        printed(&session)
            .await
            .contains("the door: HTTP/1.1 101 Switching Protocols")
    );
    assert_eq!(session.status().borrow().state, Active);
}

/// Waits until it has printed this.
async fn eventually_printed(session: &Session, what: &str) {
    let mut logs = session.logs(LogQuery::default().follow()).unwrap();
    let mut heard = Vec::new();
    let found = async {
        while let Some(record) = logs.next().await {
            heard.push(record.text);
            if heard.last().is_some_and(|text| text.contains(what)) {
                return true;
            }
        }
        false
    };
    let found = tokio::time::timeout(Duration::from_secs(30), found).await;
    assert_eq!(found, Ok(true), "{heard:#?}\n{:#?}", session.history());
}

/// Garbage later on ends the line, and the plugin may dial again; it does not.
#[tokio::test]
async fn garbage_after_its_greeting_ends_the_line() {
    // It is Python, which takes its time to begin where others have the processors.
    let policy = Policy {
        dial_deadline: Duration::from_secs(10),
        ..impatient()
    };
    let host = bench_host(|builder| doorless(builder).policy(policy)).await;
    let session = host.run(by_hand("")).await;
    let pid = session.status().borrow().pid.unwrap();
    let url = environment(pid).await["JACKFIELD_RPC_URL"].clone();
    let error = within(session.call_raw("garbage", None, CallOptions::default())).await;
    let error = error.unwrap_err().to_string();
    assert!(
        error.contains("a frame that begins with ffffffff"),
        "{error}"
    );
    let status = until_state(&session, Errored).await;
    assert!(status.error.is_some());
    assert!(
        states(&session).contains(&Connecting),
        "{:?}",
        states(&session)
    );
    assert!(printed(&session).await.contains("close: 1002 against"));
    until_let_go(&url).await;
}

/// One that has the socket and says nothing is told to stop, and stops.
#[tokio::test]
async fn silence_is_no_dial_and_no_hindrance() {
    let host = without_door().await;
    let session = host.start(by_hand("silent")).await;
    let status = until(&session, |s| s.state == Connecting && s.pid.is_some()).await;
    let url = environment(status.pid.unwrap()).await["JACKFIELD_RPC_URL"].clone();
    within(session.set_active_state(ActiveState::Inactive))
        .await
        .unwrap();
    assert_eq!(session.status().borrow().state, Inactive);
    until_let_go(&url).await;
    assert!(!states(&session).contains(&Active));
}

/// Stopped while it is on its way: whatever comes first, nothing is left.
#[tokio::test]
async fn start_and_stop_race() {
    let host = without_door().await;
    let session = host.install(crate::bench::sdk());
    for _ in 0..20 {
        session.set_active_state(ActiveState::Active).await.unwrap();
        within(session.set_active_state(ActiveState::Inactive))
            .await
            .unwrap();
        assert_eq!(session.status().borrow().state, Inactive);
    }
    let mark = host.mark();
    eventually(Duration::from_secs(20), "nothing is left", || {
        jackfield_testkit::alive_with(&mark).is_empty()
    })
    .await;
}
