//! A plugin made with the SDK.

use std::time::Duration;

use jackfield::ReportedState::{
    Active, Connecting, Errored, Inactive, Restarting, Starting, Stopping,
};
use jackfield::{ActiveState, CallOptions, InstallationId, Spec};
use jackfield_testkit::{
    Again, alive, alive_with, as_program, bench_host, environment, eventually, host_in, manifest,
    package, quick, states, states_of_crashes, tell, until, until_file, until_state, within,
};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::bench::{SDK, call, doorless, methods, printed, sdk, state, until_let_go, without_door};

/// There is no door, and it comes active all the same; calls go both ways, events too.
#[tokio::test]
async fn it_is_active_without_having_dialed() {
    let host = without_door().await;
    assert_eq!(host.local_addr(), None);
    let session = host.run(sdk()).await;
    assert_eq!(states(&session), [Starting, Connecting, Active]);
    let said = json!({"text": "aé€😀", "more": [1, null]});
    assert_eq!(call(&session, "echo", said.clone()).await["params"], said);
    let doubled = call(&session, "ask", json!({"number": 21})).await;
    assert_eq!(doubled["doubled"], 42);
    host.publish("noted", json!({"n": 1})).unwrap();
    let noted = until_file(state(&host, &session).join("noted")).await;
    assert_eq!(noted, r#"{"n":1}"#);
    let large = json!("x".repeat(900_000));
    assert_eq!(call(&session, "echo", large.clone()).await["params"], large);
    assert_eq!(printed(&session).await, "");
}

/// The URL is for others.
#[tokio::test]
async fn it_needs_no_url() {
    let host = without_door().await;
    let script = format!("unset JACKFIELD_RPC_URL STORYDEN_RPC_URL; exec {SDK}");
    let session = host.run(jackfield_testkit::shell(&script)).await;
    let me = call(&session, "me", json!({})).await;
    assert_eq!(me["env"]["JACKFIELD_RPC_FD"], "3");
    assert!(me["env"].get("JACKFIELD_RPC_URL").is_none(), "{me}");
}

/// The socket is the plugin's own: what it starts has nothing under that number, and a plugin among
/// that which reads the same variable takes nothing for it.
#[tokio::test]
async fn what_it_starts_does_not_have_the_socket() {
    let host = without_door().await;
    let session = host.run(sdk()).await;
    let me = call(&session, "me", json!({})).await;
    let sockets = me["files"].as_object().unwrap().values();
    let sockets: Vec<_> = sockets
        .filter(|target| target.as_str().unwrap().starts_with("socket:"))
        .collect();
    let script = json!({"script": "ls -l /proc/self/fd; echo $JACKFIELD_RPC_FD"});
    let out = call(&session, "shell", script).await["out"].to_string();
    assert!(!out.contains("socket:"), "{out} {sockets:?}");
    // It dials, since there is no such socket, and is told so.
    let script = json!({"script": format!("{SDK} 2>&1")});
    let out = call(&session, "shell", script).await["out"].to_string();
    assert!(out.contains("127.0.0.1:1"), "{out}");
    assert_eq!(call(&session, "echo", json!(1)).await["params"], 1);
}

#[tokio::test]
async fn a_call_is_taken_back_and_reports_progress() {
    let host = without_door().await;
    let session = host.run(sdk()).await;
    let (reports, mut seen) = mpsc::channel(10);
    let options = CallOptions {
        progress: Some(reports),
        ..CallOptions::default()
    };
    let count = serde_json::value::to_raw_value(&json!({"count": 3})).unwrap();
    within(session.call_raw("steps", Some(&count), options))
        .await
        .unwrap();
    let mut steps = Vec::new();
    while let Some(step) = seen.recv().await {
        steps.push(step["step"].as_u64().unwrap());
    }
    assert_eq!(steps, [0, 1, 2]);
    let folder = state(&host, &session);
    tokio::select! {
        answer = session.call_raw("hang", None, CallOptions::default()) => panic!("{answer:?}"),
        _ = until_file(folder.join("begun")) => {}
    }
    assert!(!folder.join("dropped").exists() || folder.join("begun").exists());
    until_file(folder.join("dropped")).await;
}

#[tokio::test]
async fn it_crashes_and_is_started_again() {
    let host = without_door().await;
    let session = host.run(sdk()).await;
    for life in 1..=3 {
        let pid = session.status().borrow().pid;
        let code = serde_json::value::to_raw_value(&json!({"code": 3})).unwrap();
        let exit = session.call_raw("exit", Some(&code), CallOptions::default());
        within(exit).await.unwrap_err();
        let status = until(&session, |status| {
            status.restarts == life && status.state == Active
        })
        .await;
        assert_ne!(status.pid, pid);
        assert_eq!(call(&session, "echo", json!(life)).await["params"], life);
    }
    let code = serde_json::value::to_raw_value(&json!({"code": 3})).unwrap();
    let exit = session.call_raw("exit", Some(&code), CallOptions::default());
    within(exit).await.unwrap_err();
    let status = until_state(&session, Errored).await;
    assert_eq!(status.error.unwrap().details.exit_code, Some(3));
    let life = [Starting, Connecting, Active, Restarting];
    let mut all = life.repeat(3);
    all.extend([Starting, Connecting, Active, Errored]);
    assert_eq!(states_of_crashes(&session), all);
}

/// Told to stop it says its farewell and ends by itself; it can be started again.
#[tokio::test]
async fn it_obeys_a_stop() {
    let host = bench_host(|builder| {
        doorless(builder).policy(jackfield::Policy {
            stop_grace: Duration::from_secs(30),
            ..quick()
        })
    })
    .await;
    let session = host.install(sdk());
    let ended = state(&host, &session).join("ended");
    for _ in 0..3 {
        within(session.set_active_state(ActiveState::Active))
            .await
            .unwrap();
        within(session.ready()).await.unwrap();
        let pid = session.status().borrow().pid.unwrap();
        let url = environment(pid).await["JACKFIELD_RPC_URL"].clone();
        let stop = session.set_active_state(ActiveState::Inactive);
        tokio::time::timeout(Duration::from_secs(20), stop)
            .await
            .expect("it was not killed")
            .unwrap();
        assert_eq!(session.status().borrow().state, Inactive);
        assert!(!alive(pid));
        until_let_go(&url).await;
        std::fs::remove_file(&ended).expect("it ended in order");
    }
    let stopped = [Starting, Connecting, Active, Stopping, Inactive];
    assert!(states(&session).ends_with(&stopped));
}

/// A script around the plugin keeps the socket open, and starts the plugin again: the socket is
/// used up by then, and the second life dials. The host finds nobody on the first line any more.
#[tokio::test]
async fn a_second_life_within_one_launch_dials() {
    let host = bench_host(methods).await;
    let script = format!("{SDK}; exec {SDK}");
    let session = host.run(jackfield_testkit::shell(&script)).await;
    let first = call(&session, "me", json!({})).await["pid"].clone();
    let code = serde_json::value::to_raw_value(&json!({"code": 3})).unwrap();
    let exit = session.call_raw("exit", Some(&code), CallOptions::default());
    within(exit).await.unwrap_err();
    let options = || CallOptions {
        deadline: Some(Duration::from_millis(500)),
        ..CallOptions::default()
    };
    let mut second = Value::Null;
    while second.is_null() || second == first {
        let _ = within(session.ready()).await;
        if let Ok(me) = session.call_raw("me", None, options()).await {
            let me: Value = serde_json::from_str(me.get()).unwrap();
            second = me["pid"].clone();
        }
    }
    assert_eq!(session.status().borrow().restarts, 0);
}

/// A variable outlives what it names: whatever else stands under that number is left alone.
#[tokio::test]
async fn what_is_not_the_hosts_socket_is_left_alone() {
    let host = bench_host(methods).await;
    let python = r#"
import os, socket, sys
kind = sys.argv[1]
keep = []
os.dup2(3, 60, inheritable=True) if kind == "spoken" else None
if kind == "closed":
    os.close(3)
elif kind == "file":
    os.dup2(os.open("/dev/zero", os.O_RDONLY), 3)
elif kind == "pipe":
    os.dup2(os.pipe()[0], 3)
elif kind == "pair":
    one, two = socket.socketpair()
    two.set_inheritable(True)
    os.dup2(one.detach(), 3)
elif kind == "listener":
    one = socket.socket(socket.AF_UNIX)
    one.bind("\0jackfield-rpc/" + os.urandom(8).hex())
    one.listen()
    os.dup2(one.detach(), 3)
elif kind == "datagrams":
    one, two = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    two.bind("\0jackfield-rpc/" + os.urandom(8).hex())
    two.set_inheritable(True)
    os.dup2(one.detach(), 3)
elif kind == "gone":
    one, two = socket.socketpair()
    two.bind("\0jackfield-rpc/" + os.urandom(8).hex())
    os.dup2(one.detach(), 3)
elif kind == "number":
    os.environ["JACKFIELD_RPC_FD"] = "-1"
elif kind == "word":
    os.environ["JACKFIELD_RPC_FD"] = "three"
os.execv(sys.argv[2], sys.argv[2:])
"#;
    for kind in [
        "closed",
        "file",
        "pipe",
        "pair",
        "listener",
        "datagrams",
        "gone",
        "number",
        "word",
    ] {
        let command = json!({"command": "python3", "args": ["start.py", kind, SDK]});
        let plugin = package(&manifest(command), &[("start.py", python.as_bytes())]);
        let session = host.run(plugin).await;
        let me = call(&session, "me", json!({})).await;
        let there = me["files"].get("3").is_some();
        // Nothing of it was closed.
        assert!(there || kind == "closed", "{kind}: {me}");
        let pid = session.status().borrow().pid.unwrap();
        until_let_go(environment(pid).await["JACKFIELD_RPC_URL"].as_str()).await;
        within(session.set_active_state(ActiveState::Inactive))
            .await
            .unwrap();
    }
}

/// Not a test of its own: the host that is killed.
#[tokio::test]
async fn host_to_be_killed() {
    let Some(folder) = as_program() else { return };
    let host = host_in(&folder, doorless).await;
    let spec = Spec::supervised(InstallationId::new(), sdk());
    let session = host.load(spec).unwrap();
    session.set_active_state(ActiveState::Active).await.unwrap();
    within(session.ready()).await.unwrap();
    tell(&json!({"pid": session.status().borrow().pid}));
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn it_does_not_outlive_a_host_that_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let mark = folder.path().display().to_string();
    let mut program = Again::run("sdk::host_to_be_killed", folder.path(), |_| {});
    let pid = u32::try_from(program.told().await["pid"].as_u64().unwrap()).unwrap();
    assert!(alive(pid));
    program.kill().await;
    eventually(Duration::from_secs(5), "the plugin is gone", || {
        !alive(pid) && alive_with(&mark).is_empty()
    })
    .await;
}
