//! Programs that somebody else runs.

use std::time::Duration;

use jackfield::ReportedState::{Active, Connecting, Inactive};
use jackfield::{
    ActiveState, CallOptions, Credential, InstallationId, Policy, Refused, Spec, Token,
};
use jackfield_testkit::{
    Dial, Program, TestHost, bench_host, manifest, quick, states, until, until_state, within,
};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::time::Instant;

fn plain() -> Value {
    manifest(json!({}))
}

async fn impatient() -> TestHost {
    bench_host(|builder| {
        builder.policy(Policy {
            heartbeat: Duration::from_millis(100),
            dead_after: Duration::from_millis(400),
            probe: Duration::from_millis(200),
            ..quick()
        })
    })
    .await
}

/// Waiting, connected, lost, connected again with the same token, not wanted any more.
#[tokio::test]
async fn a_program_comes_and_goes() {
    let host = bench_host(|builder| builder).await;
    let (session, token) = host.expect(&plain()).await;
    assert_eq!(session.status().borrow().state, Connecting);
    assert_eq!(session.status().borrow().started_at, None);
    for _ in 0..2 {
        let program = Program::dial(&host, &token).await;
        let status = until_state(&session, Active).await;
        assert!(status.started_at.is_some() && status.pid.is_none());
        let echoed = session.call_raw("echo", None, CallOptions::default());
        within(echoed).await.unwrap();
        drop(program);
        let lost = until(&session, |status| status.state != Active);
        let lost = tokio::time::timeout(Duration::from_secs(5), lost).await;
        assert_eq!(lost.expect("at once").state, Connecting);
    }
    let program = Program::dial(&host, &token).await;
    until_state(&session, Active).await;
    let (end, stopped) = tokio::join!(
        program.end(),
        session.set_active_state(ActiveState::Inactive)
    );
    stopped.unwrap();
    assert_eq!(end, Some((1000, "closed".to_owned())));
    assert_eq!(session.status().borrow().state, Inactive);
    let seen = states(&session);
    assert_eq!(
        seen[..6],
        [Connecting, Active, Connecting, Active, Connecting, Active]
    );
    assert_eq!(seen.last(), Some(&Inactive));
    assert_eq!(session.status().borrow().restarts, 0);
}

/// The original let a program in that nobody wanted. It is told to come back: a 4xx would be final.
#[tokio::test]
async fn one_that_is_not_wanted_is_not_let_in() {
    let host = bench_host(|builder| builder).await;
    let token = Token::external();
    let wanted = jackfield::Manifest::check_value(&plain())
        .into_result()
        .unwrap();
    let spec = Spec::external(InstallationId::new(), wanted, token.hash());
    let session = host.load(spec).unwrap();
    assert_eq!(session.status().borrow().state, Inactive);
    let dial = || Dial::external(&host, &token).send();
    let reply = dial().await;
    assert_eq!(reply.status, 503, "{}", reply.body);
    assert!(reply.header("retry-after").is_some());
    assert_eq!(session.status().borrow().state, Inactive);
    session.set_active_state(ActiveState::Active).await.unwrap();
    assert_eq!(dial().await.status, 101);
    session
        .set_active_state(ActiveState::Inactive)
        .await
        .unwrap();
    assert_eq!(dial().await.status, 503);
    assert_eq!(session.status().borrow().state, Inactive);
}

/// Stopping one that nobody is connected to is done at once; so is saying what is so already.
#[tokio::test]
async fn wishes_may_be_repeated() {
    let host = bench_host(|builder| builder).await;
    let (session, token) = host.expect(&plain()).await;
    let wish = |state| within(session.set_active_state(state));
    wish(ActiveState::Active).await.unwrap();
    wish(ActiveState::Inactive).await.unwrap();
    wish(ActiveState::Inactive).await.unwrap();
    wish(ActiveState::Active).await.unwrap();
    let program = Program::dial(&host, &token).await;
    until_state(&session, Active).await;
    wish(ActiveState::Active).await.unwrap();
    // Its line is untouched by that.
    within(session.call_raw("echo", None, CallOptions::default()))
        .await
        .unwrap();
    drop(program);
}

/// While the first is alive a second is told to come back, and the first notices nothing.
#[tokio::test]
async fn a_second_dial_is_turned_away_while_the_first_lives() {
    let host = bench_host(|builder| builder).await;
    let (session, token) = host.expect(&plain()).await;
    let _first = Program::dial(&host, &token).await;
    until_state(&session, Active).await;
    for _ in 0..5 {
        let reply = Dial::external(&host, &token).send().await;
        assert_eq!(reply.status, 503, "{}", reply.body);
    }
    within(session.call_raw("echo", None, CallOptions::default()))
        .await
        .unwrap();
    assert_eq!(states(&session), [Connecting, Active]);
}

/// Many dials at once: one line, whoever gets it; the others are told to come back.
#[tokio::test]
async fn of_many_dials_at_once_one_is_let_in() {
    let host = bench_host(|builder| builder).await;
    let (session, token) = host.expect(&plain()).await;
    let mut dials = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let dial = Dial::external(&host, &token);
        dials.spawn(async move {
            let reply = dial.send().await;
            match reply.status {
                101 => Some(Program::on(reply.line().await)),
                503 => None,
                other => panic!("{other}"),
            }
        });
    }
    let mut let_in = Vec::new();
    while let Some(dialed) = within(dials.join_next()).await {
        let_in.extend(dialed.unwrap());
    }
    within(session.ready()).await.unwrap();
    within(session.call_raw("echo", None, CallOptions::default()))
        .await
        .unwrap();
    assert!(!let_in.is_empty());
    // Those that were upgraded in the same moment hear 1013: come back.
    let mut alive = 0;
    for program in let_in {
        let end = tokio::time::timeout(Duration::from_secs(1), program.end()).await;
        match end {
            Ok(end) => assert_eq!(end.map(|(code, _)| code), Some(1013)),
            Err(_) => alive += 1,
        }
    }
    assert_eq!(alive, 1);
}

/// A program whose machine lost its power: its place is free as soon as the next dial has found
/// out. The original locked it out until TCP gave up.
#[tokio::test]
async fn a_half_open_line_makes_room_for_the_next_dial() {
    // The heartbeat alone would take minutes here: it is the dial that finds out.
    let host = bench_host(|builder| {
        builder.policy(Policy {
            heartbeat: Duration::from_secs(300),
            dead_after: Duration::from_secs(600),
            probe: Duration::from_millis(200),
            ..quick()
        })
    })
    .await;
    let (session, token) = host.expect(&plain()).await;
    // Upgraded, then nothing is read or written any more.
    let silent = Dial::external(&host, &token).send().await.stream();
    until_state(&session, Active).await;
    let call = {
        let session = session.clone();
        async move { session.call_raw("echo", None, CallOptions::default()).await }
    };
    let dial = async {
        while session.open_calls().0 == 0 {
            tokio::task::yield_now().await;
        }
        Program::dial(&host, &token).await
    };
    let began = Instant::now();
    let (call, _program) = within(async { tokio::join!(call, dial) }).await;
    assert!(began.elapsed() < Duration::from_secs(10));
    // The call on the dead line ended with it.
    assert!(call.unwrap_err().to_string().contains("line ended"));
    until_state(&session, Active).await;
    within(session.call_raw("echo", None, CallOptions::default()))
        .await
        .unwrap();
    drop(silent);
}

/// And without another dial the heartbeat finds out.
#[tokio::test]
async fn a_half_open_line_is_noticed() {
    let host = impatient().await;
    let (session, token) = host.expect(&plain()).await;
    let silent = Dial::external(&host, &token).send().await.stream();
    until_state(&session, Active).await;
    let began = Instant::now();
    until_state(&session, Connecting).await;
    let took = began.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    // One that answers pings is not taken for dead, however quiet it is otherwise.
    drop(silent);
    let _program = Program::dial(&host, &token).await;
    until_state(&session, Active).await;
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert_eq!(session.status().borrow().state, Active);
}

/// One that sends and never reads is cut off rather than waited for.
#[tokio::test]
async fn one_that_never_reads_holds_up_nobody() {
    let host = impatient().await;
    let (session, token) = host.expect(&plain()).await;
    let deaf = Dial::external(&host, &token).send().await.stream();
    until_state(&session, Active).await;
    let params = serde_json::value::to_raw_value(&json!({"x": "x".repeat(500_000)})).unwrap();
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let (session, params) = (session.clone(), params.clone());
        calls.spawn(async move {
            session
                .call_raw("echo", Some(&params), CallOptions::default())
                .await
        });
    }
    while let Some(call) = within(calls.join_next()).await {
        call.unwrap().expect_err("nobody answers");
    }
    assert_eq!(session.open_calls(), (0, 0));
    let stop = session.set_active_state(ActiveState::Inactive);
    tokio::time::timeout(Duration::from_secs(5), stop)
        .await
        .expect("answered")
        .unwrap();
    drop(deaf);
}

/// A stop closes the line of a program that does not answer the close, without waiting for it long.
#[tokio::test]
async fn a_stop_does_not_wait_for_a_silent_program() {
    let host = bench_host(|builder| builder).await;
    let (session, token) = host.expect(&plain()).await;
    let mut silent = Dial::external(&host, &token).send().await.stream();
    until_state(&session, Active).await;
    let began = Instant::now();
    within(session.set_active_state(ActiveState::Inactive))
        .await
        .unwrap();
    assert!(
        began.elapsed() < Duration::from_secs(4),
        "{:?}",
        began.elapsed()
    );
    let mut rest = Vec::new();
    within(silent.read_to_end(&mut rest)).await.unwrap();
    assert!(
        rest.windows(6).any(|window| window == b"closed"),
        "{rest:?}"
    );
}

/// Shut down, programs are told to come back (1013), which is what both existing SDKs do then.
#[tokio::test]
async fn a_shutdown_tells_programs_to_come_back() {
    let host = bench_host(|builder| builder).await;
    let (session, token) = host.expect(&plain()).await;
    let program = Program::dial(&host, &token).await;
    until_state(&session, Active).await;
    let (end, left) = tokio::join!(program.end(), within(host.shutdown(Duration::from_secs(5))));
    assert_eq!(end.unwrap().0, 1013);
    assert!(left.killed.is_empty());
}

/// The two steps by hand, over a duplex of the embedder's own.
#[tokio::test]
async fn an_admission_is_a_value_that_is_used_once() {
    let host = bench_host(|builder| builder).await;
    let (session, token) = host.expect(&plain()).await;
    let admit = |token: &Token| host.admit(Credential::new(token.clone()));
    let unknown = admit(&Token::external()).await.unwrap_err();
    assert_eq!(unknown, Refused::Unauthenticated);
    // Given twice, before either is used: the first to attach is the line.
    let (first, second) = (admit(&token).await.unwrap(), admit(&token).await.unwrap());
    assert_eq!(first.id(), session.id());
    let (here, there, _cut) = jackfield::rpc::memory::pair();
    let line = host.attach(second, here).await.unwrap();
    assert_eq!(line.id(), session.id());
    within(session.ready()).await.unwrap();
    let (late, _late_there, _late_cut) = jackfield::rpc::memory::pair();
    let refused = host.attach(first, late).await.unwrap_err();
    assert_eq!((refused, refused.status()), (Refused::Occupied, 503));
    // Admitted and then not wanted any more.
    session
        .set_active_state(ActiveState::Inactive)
        .await
        .unwrap();
    within(line.closed()).await;
    drop(there);
    assert_eq!(admit(&token).await.unwrap_err(), Refused::Inactive);
    session.set_active_state(ActiveState::Active).await.unwrap();
    let admission = admit(&token).await.unwrap();
    session
        .set_active_state(ActiveState::Inactive)
        .await
        .unwrap();
    let (late, _there, _cut) = jackfield::rpc::memory::pair();
    assert_eq!(
        host.attach(admission, late).await.unwrap_err(),
        Refused::Inactive
    );
    // Admitted and then gone.
    session.set_active_state(ActiveState::Active).await.unwrap();
    let admission = admit(&token).await.unwrap();
    host.unload(session.id()).await;
    let (late, _there, _cut) = jackfield::rpc::memory::pair();
    assert_eq!(
        host.attach(admission, late).await.unwrap_err(),
        Refused::Gone
    );
}

/// Admitted with a token that is revoked before the upgrade is done: not let in any more.
#[tokio::test]
async fn an_admission_goes_with_its_token() {
    let host = bench_host(|builder| builder).await;
    let (session, old) = host.expect(&plain()).await;
    let admission = host.admit(Credential::new(old)).await.unwrap();
    let id = session.id();
    host.unload(id).await;
    let new = Token::external();
    let manifest = session.manifest().clone();
    let session = host.load(Spec::external(id, manifest, new.hash())).unwrap();
    session.set_active_state(ActiveState::Active).await.unwrap();
    let (late, _there, _cut) = jackfield::rpc::memory::pair();
    host.attach(admission, late).await.unwrap_err();
    assert_eq!(session.status().borrow().state, Connecting);
    let _program = Program::dial(&host, &new).await;
    until_state(&session, Active).await;
}

/// Two installations under one token: whichever way that is taken, unloading one does not lock
/// the other out.
#[tokio::test]
async fn a_token_of_two_is_no_trap() {
    let host = bench_host(|builder| builder).await;
    let (first, token) = host.expect(&plain()).await;
    let spec = Spec::external(
        InstallationId::new(),
        first.manifest().clone(),
        token.hash(),
    );
    if let Ok(second) = host.load(spec) {
        host.unload(second.id()).await;
    }
    let _program = Program::dial(&host, &token).await;
    until_state(&first, Active).await;
}
