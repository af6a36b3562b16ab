//! Programs that know nothing of the socket, or do with it what nobody meant.

use std::time::Duration;

use jackfield::ReportedState::{Active, Errored};
use jackfield::{ActiveState, InstallationId, Spec};
use jackfield_testkit::peers::Language;
use jackfield_testkit::{
    Rig, alive_with, bench_host, environment, eventually, peers, shell, states, until_file,
    until_state, within,
};
use serde_json::json;

use crate::bench::{RIG, call, impatient, is_held, methods, until_let_go};

/// A plugin that only knows the URL dials it. The socket stays open in it and in all that it starts,
/// and the host has nothing to do with it any more.
#[tokio::test]
async fn a_plugin_that_does_not_know_it_dials() {
    let host = bench_host(methods).await;
    let spec = Spec::supervised(InstallationId::new(), Language::Python.package());
    let session = host.load(spec.env("PATH", peers::path())).unwrap();
    session.set_active_state(ActiveState::Active).await.unwrap();
    within(session.ready()).await.unwrap();
    assert_eq!(
        call(&session, "echo", json!({"n": 1})).await["params"]["n"],
        1
    );
    let pid = session.status().borrow().pid.unwrap();
    until_let_go(environment(pid).await["JACKFIELD_RPC_URL"].as_str()).await;
    let third = std::fs::read_link(format!("/proc/{pid}/fd/3")).unwrap();
    assert!(third.to_string_lossy().starts_with("socket:"), "{third:?}");
    within(session.set_active_state(ActiveState::Inactive))
        .await
        .unwrap();
    assert!(alive_with(&host.mark()).is_empty());
}

/// What is written there and is no greeting is no dial. It is told in the end why nothing came of it.
#[tokio::test]
async fn garbage_is_not_taken_and_is_told() {
    for (garbage, says) in [
        ("not what it says", "a message of 1852797984 bytes"),
        (r"\0\0\0\002{}", "its first message is no `$/hello`"),
        (r"\377\377\377\377", "a frame that begins with ffffffff"),
        (r"\0\0\0\001\377", "not UTF-8"),
    ] {
        let host = bench_host(|builder| methods(builder).policy(impatient())).await;
        let script = format!("printf '{garbage}' >&3; exec sleep 1000");
        let session = host.start(shell(&script)).await;
        let status = until_state(&session, Errored).await;
        let message = status.error.unwrap().message;
        assert!(
            message.contains("JACKFIELD_RPC_FD was not taken"),
            "{message}"
        );
        assert!(message.contains(says), "{message}");
        assert!(!states(&session).contains(&Active));
        assert!(alive_with(&host.mark()).is_empty());
    }
}

/// And is in nobody's way.
#[tokio::test]
async fn garbage_does_not_keep_it_from_dialing() {
    let host = bench_host(|builder| methods(builder).policy(impatient())).await;
    let session = host
        .run(shell(&format!("echo hello >&3; exec {RIG}")))
        .await;
    assert_eq!(call(&session, "echo", json!(1)).await["params"], 1);
}

/// The beginning of a greeting is none.
#[tokio::test]
async fn half_a_greeting_is_no_dial() {
    let host = bench_host(|builder| methods(builder).policy(impatient())).await;
    let script = r"printf '\0\0\0\062{\042method' >&3; exec sleep 1000";
    let session = host.start(shell(script)).await;
    let status = until_state(&session, Errored).await;
    assert!(
        status
            .error
            .unwrap()
            .message
            .contains("did not dial within")
    );
    assert!(!states(&session).contains(&Active));
}

/// What it started has the socket open, in a session of its own, and it is gone: that is an end like
/// any other, and nobody is left who might speak.
#[tokio::test]
async fn a_grandchild_with_the_socket_is_not_the_plugin() {
    let host = bench_host(|builder| methods(builder).policy(impatient())).await;
    let script = r#"setsid sh -c 'echo $$ > "$JACKFIELD_STATE_DIR/pid.tmp";
        mv "$JACKFIELD_STATE_DIR/pid.tmp" "$JACKFIELD_STATE_DIR/pid"; exec sleep 1000' &
        while ! test -e "$JACKFIELD_STATE_DIR/pid"; do sleep 0.01; done; exit 3"#;
    let session = host.start(shell(script)).await;
    let status = until_state(&session, Errored).await;
    assert_eq!(status.error.unwrap().details.exit_code, Some(3));
    assert!(!states(&session).contains(&Active));
    assert!(alive_with(&host.mark()).is_empty());
}

/// The same while the plugin is well: it has dialed, and what the other writes is written to nobody.
#[tokio::test]
async fn a_grandchild_may_write_what_it_likes() {
    let host = bench_host(methods).await;
    let folder = tempfile::tempdir().unwrap();
    let (go, gone) = (folder.path().join("go"), folder.path().join("gone"));
    let hello = r#"\0\0\0\042{\042method\042:\042$/hello\042,\042params\042:null}"#;
    let script = format!(
        "(while ! test -e {go}; do sleep 0.01; done; trap '' PIPE; printf '{hello}' >&3; : > {gone}; exec sleep 1000) &
        exec {RIG}",
        go = go.display(),
        gone = gone.display(),
    );
    let session = host.run(shell(&script)).await;
    let pid = session.status().borrow().pid.unwrap();
    let url = environment(pid).await["JACKFIELD_RPC_URL"].clone();
    until_let_go(&url).await;
    let before = states(&session);
    std::fs::write(&go, "").unwrap();
    until_file(&gone).await;
    assert_eq!(call(&session, "pid", json!({})).await["pid"], pid);
    assert_eq!(states(&session), before);
}

/// It closes what it does not know, and dials when it pleases.
#[tokio::test]
async fn a_plugin_that_closes_it_may_dial_late() {
    let host = bench_host(methods).await;
    let folder = tempfile::tempdir().unwrap();
    let go = folder.path().join("go");
    let script = format!(
        "exec 3>&-; while ! test -e {}; do sleep 0.01; done; exec {RIG}",
        go.display()
    );
    let session = host.start(shell(&script)).await;
    let status = until_state(&session, jackfield::ReportedState::Connecting).await;
    let pid = status.pid.or(session.status().borrow().pid).unwrap();
    let url = environment(pid).await["JACKFIELD_RPC_URL"].clone();
    eventually(Duration::from_secs(20), "it is let go", || !is_held(&url)).await;
    std::fs::write(&go, "").unwrap();
    within(session.ready()).await.unwrap();
}

/// Whatever the operator sets, what leads back to the host is the host's own.
#[tokio::test]
async fn the_operator_does_not_set_it() {
    let host = bench_host(methods).await;
    let spec = Spec::supervised(InstallationId::new(), Rig::new("").package(RIG));
    let session = host.load(spec.env("JACKFIELD_RPC_FD", "17")).unwrap();
    session.set_active_state(ActiveState::Active).await.unwrap();
    within(session.ready()).await.unwrap();
    let pid = session.status().borrow().pid.unwrap();
    assert_eq!(environment(pid).await["JACKFIELD_RPC_FD"], "3");
}
