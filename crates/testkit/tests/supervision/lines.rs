//! The line of a supervised plugin and the token it was born with.

use std::time::Duration;

use jackfield::ReportedState::{
    Active, Connecting, Errored, Inactive, Restarting, Starting, Stopping,
};
use jackfield::{ActiveState, CallOptions, Credential, Policy, Session};
use jackfield_testkit::{
    Dial, Program, Rig, TestHost, alive, bench_host, end, environment, quick, states, until,
    until_state, within,
};

use crate::RIG;

/// A plugin that never dials, and the URL that it was given: the test dials in its place.
async fn stand_in(host: &TestHost) -> (Session, String) {
    let session = host.start(Rig::new("--never-dial").package(RIG)).await;
    let url = url_of(&session).await;
    (session, url)
}

async fn url_of(session: &Session) -> String {
    let status = until(session, |s| s.state == Connecting && s.pid.is_some()).await;
    environment(status.pid.unwrap()).await["JACKFIELD_RPC_URL"].clone()
}

/// A lost line is not `active`; the process may dial again with the token it was born with. The
/// original went on showing `active`.
#[tokio::test]
async fn a_lost_line_leaves_active_at_once() {
    let host = bench_host(|builder| builder).await;
    let (session, url) = stand_in(&host).await;
    let pid = session.status().borrow().pid;
    for _ in 0..3 {
        let program = Program::on(Dial::url(&host, &url).open().await);
        within(session.ready()).await.unwrap();
        drop(program);
        let lost = until(&session, |status| status.state != Active);
        let lost = tokio::time::timeout(Duration::from_secs(5), lost).await;
        let lost = lost.expect("it is noticed at once");
        assert_eq!(lost.state, Connecting);
        assert_eq!(lost.pid, pid, "the same process");
        assert!(lost.error.is_none());
        let call = session.call_raw("echo", None, CallOptions::default());
        let error = call.await.unwrap_err().to_string();
        assert!(error.contains("not running (state: connecting)"), "{error}");
    }
    assert_eq!(session.status().borrow().restarts, 0);
}

/// The same with a real plugin, with and without a close frame.
#[tokio::test]
async fn a_plugin_may_dial_again() {
    let host = bench_host(|builder| builder).await;
    let session = host.run(Rig::new("--redials").package(RIG)).await;
    let pid = session.status().borrow().pid;
    for method in ["hang_up", "cut", "cut", "hang_up"] {
        let seen = states(&session).len();
        let call = session.call_raw(method, None, CallOptions::default());
        within(call)
            .await
            .expect_err("the line ends before the answer");
        until(&session, |status| {
            status.state == Active && states(&session).len() >= seen + 2
        })
        .await;
        assert_eq!(states(&session)[seen..], [Connecting, Active]);
        assert_eq!(session.status().borrow().pid, pid);
    }
}

/// One that hangs up, stays and does not come back is put down when its time is over.
#[tokio::test]
async fn one_that_does_not_dial_again_is_put_down() {
    let host = bench_host(|builder| {
        builder.policy(Policy {
            dial_deadline: Duration::from_secs(2),
            restarts: 0,
            ..quick()
        })
    })
    .await;
    let session = host.start(Rig::new("--hang-up").package(RIG)).await;
    let pid = until(&session, |status| status.pid.is_some()).await.pid;
    let status = until_state(&session, Errored).await;
    assert!(!alive(pid.unwrap()));
    assert!(status.error.unwrap().message.contains("dial"));
    assert_eq!(
        states(&session),
        [Starting, Connecting, Active, Connecting, Stopping, Errored]
    );
}

/// The original burnt the token before the upgrade: a health probe, a proxy's plain GET or one
/// failed handshake and the plugin could never connect.
#[tokio::test]
async fn a_failed_handshake_burns_nothing() {
    let host = bench_host(|builder| builder).await;
    let (session, url) = stand_in(&host).await;
    let dial = Dial::url(&host, &url);
    let plain = dial.clone().without("Upgrade").without("Connection");
    assert_eq!(plain.clone().send().await.status, 426);
    assert_eq!(plain.method("HEAD").send().await.status, 426);
    let old = dial.clone().header("Sec-WebSocket-Version", "8");
    assert_eq!(old.send().await.status, 400);
    let foreign = dial.clone().header("Origin", "https://elsewhere.example");
    assert_eq!(foreign.send().await.status, 403);
    assert_eq!(dial.clone().method("POST").send().await.status, 405);
    // Upgraded, and gone before a word.
    drop(dial.clone().send().await.stream());
    let seen = states(&session).len();
    assert!(seen >= 2);
    let line = dial.clone().send().await;
    // The one that just went may still have been taken for alive.
    let program = if line.status == 101 {
        line.line().await
    } else {
        assert_eq!(line.status, 503);
        until_state(&session, Connecting).await;
        dial.open().await
    };
    let _program = Program::on(program);
    within(session.ready()).await.unwrap();
}

/// The token dies with the child, and so do all that came before.
#[tokio::test]
async fn a_token_dies_with_its_child() {
    let host = bench_host(|builder| {
        builder.policy(Policy {
            delay: Duration::from_secs(1),
            delay_cap: Duration::from_secs(1),
            ..quick()
        })
    })
    .await;
    let (session, first) = stand_in(&host).await;
    assert_eq!(Dial::url(&host, &first).send().await.status, 101);
    end(session.status().borrow().pid.unwrap());
    until_state(&session, Restarting).await;
    assert_eq!(Dial::url(&host, &first).send().await.status, 401);
    let second = url_of(&session).await;
    assert_ne!(first, second);
    assert_eq!(Dial::url(&host, &first).send().await.status, 401);
    let _program = Program::on(Dial::url(&host, &second).open().await);
    within(session.ready()).await.unwrap();
    session
        .set_active_state(ActiveState::Inactive)
        .await
        .unwrap();
    assert_eq!(session.status().borrow().state, Inactive);
    for dead in [first, second] {
        assert_eq!(Dial::url(&host, &dead).send().await.status, 401);
    }
}

/// The token of one plugin is not another's.
#[tokio::test]
async fn a_token_is_good_for_one_plugin() {
    let host = bench_host(|builder| builder).await;
    let (one, url) = stand_in(&host).await;
    let (other, _) = stand_in(&host).await;
    let swapped = url.replace(&one.id().to_string(), &other.id().to_string());
    assert_ne!(swapped, url);
    assert_eq!(Dial::url(&host, &swapped).send().await.status, 401);
    assert_eq!(Dial::url(&host, &url).send().await.status, 101);
}

/// A second dial by the same plugin is told to come back, and the first goes on.
#[tokio::test]
async fn a_second_dial_is_turned_away() {
    let host = bench_host(|builder| builder).await;
    let session = host.run(Rig::new("--dial-twice").package(RIG)).await;
    let logs = session.logs(jackfield::LogQuery::default().follow());
    let line = within(async move { logs.unwrap().next().await }).await;
    let text = line.expect("it says what became of it").text;
    assert!(
        text.starts_with("second dial: ") && text.contains("503"),
        "{text}"
    );
    let call = session.call_raw("pid", None, CallOptions::default());
    within(call).await.expect("the first line lives");
}

/// The process goes while its line is open: restarting, and the line is told.
#[tokio::test]
async fn a_line_goes_with_its_process() {
    let host = bench_host(|builder| {
        builder.policy(Policy {
            delay: Duration::from_secs(60),
            delay_cap: Duration::from_secs(60),
            ..quick()
        })
    })
    .await;
    let (session, url) = stand_in(&host).await;
    let program = Program::on(Dial::url(&host, &url).open().await);
    within(session.ready()).await.unwrap();
    end(session.status().borrow().pid.unwrap());
    within(program.end()).await;
    until_state(&session, Restarting).await;
    assert_eq!(Dial::url(&host, &url).send().await.status, 401);
    assert_eq!(session.open_calls(), (0, 0));
}

/// Admitted with the token of a child that is gone before the upgrade is done: the next child's
/// line is not taken from it.
#[tokio::test]
async fn an_admission_dies_with_its_child() {
    let host = bench_host(|builder| builder).await;
    let (session, url) = stand_in(&host).await;
    let (_, query) = url.split_once('?').unwrap();
    let admission = host.admit(Credential::from_query(query)).await.unwrap();
    session
        .set_active_state(ActiveState::Inactive)
        .await
        .unwrap();
    session.set_active_state(ActiveState::Active).await.unwrap();
    let (late, _there, _cut) = jackfield::rpc::memory::pair();
    host.attach(admission, late).await.unwrap_err();
    let url = url_of(&session).await;
    assert_ne!(session.status().borrow().state, Active);
    let _program = Program::on(Dial::url(&host, &url).open().await);
    within(session.ready()).await.unwrap();
}
