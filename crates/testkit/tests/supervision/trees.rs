//! The whole tree goes, not only the process that was started.

use std::path::Path;
use std::time::Duration;

use jackfield::ReportedState::{Active, Connecting};
use jackfield::{ActiveState, Session};
use jackfield_testkit::{
    Rig, alive, alive_with, bench_host, end, environment, eventually, manifest, package, shell,
    tree_of, until, until_file, until_state, within,
};
use serde_json::json;

use crate::RIG;

async fn pid_in(file: &Path) -> u32 {
    until_file(file).await.trim().parse().unwrap()
}

async fn stop(session: &Session) {
    let stopped = session.set_active_state(ActiveState::Inactive);
    within(stopped).await.unwrap();
}

/// An orphan in a session of its own, with the pipes of the plugin in its hands: gone before the
/// stop is answered.
#[tokio::test]
async fn a_grandchild_goes_with_a_stop() {
    let host = bench_host(|builder| builder).await;
    let file = host.folder().join("grandchild");
    let orders = format!("--grandchild {}", file.display());
    let session = host.run(Rig::new(&orders).package(RIG)).await;
    let grandchild = pid_in(&file).await;
    assert!(alive(grandchild));
    stop(&session).await;
    assert!(!alive(grandchild));
    assert!(alive_with(&host.mark()).is_empty());
}

/// The same after a crash, before the next life begins; and the pipe it holds delays nothing.
#[tokio::test]
async fn a_grandchild_goes_with_a_crash() {
    let host = bench_host(|builder| builder).await;
    let file = host.folder().join("grandchild");
    let orders = format!("--once {0}.made --grandchild {0}", file.display());
    let session = host.run(Rig::new(&orders).package(RIG)).await;
    let grandchild = pid_in(&file).await;
    let pid = session.status().borrow().pid.unwrap();
    end(pid);
    let next = until(&session, |status| {
        status.state == Active && status.pid != Some(pid)
    });
    next.await;
    assert!(!alive(grandchild), "two lives at once");
}

/// Behind a shell that stays between, as `npm start` and the like do.
#[tokio::test]
async fn a_plugin_behind_a_shell_goes_with_a_stop() {
    let host = bench_host(|builder| builder).await;
    let script = format!("{RIG} --stay; true");
    let manifest = manifest(json!({"command": "sh", "args": ["-c", script]}));
    let session = host.run(package(&manifest, &[])).await;
    let shell = session.status().borrow().pid.unwrap();
    let below = tree_of(shell);
    assert!(!below.is_empty(), "the rig is below the shell");
    stop(&session).await;
    assert!(!alive(shell));
    assert!(below.iter().all(|pid| !alive(*pid)));
    assert!(alive_with(&host.mark()).is_empty());
}

/// The shell is deaf, what is below it too: after the grace all of it is gone.
#[tokio::test]
async fn deaf_to_the_last() {
    let host = bench_host(|builder| builder).await;
    let script = r"trap '' INT TERM HUP; (trap '' INT TERM HUP; sleep 1000) & sleep 1000; true";
    let session = host.start(shell(script)).await;
    let mark = host.mark();
    eventually(Duration::from_secs(20), "the tree", || {
        alive_with(&mark).len() >= 3
    })
    .await;
    stop(&session).await;
    assert!(alive_with(&mark).is_empty());
}

/// The plugin itself ends when it is told; what it left behind in the background does not, and is
/// not waited for longer than the grace.
#[tokio::test]
async fn what_it_leaves_behind_is_put_away() {
    let host = bench_host(|builder| builder).await;
    let file = host.folder().join("left");
    let script = format!(
        "setsid sh -c 'trap \"\" INT TERM; echo $$ > {0}.tmp; mv {0}.tmp {0}; sleep 1000' & exec sleep 1000",
        file.display()
    );
    let session = host.start(shell(&script)).await;
    let left = pid_in(&file).await;
    until_state(&session, Connecting).await;
    stop(&session).await;
    assert!(!alive(left));
    assert!(alive_with(&host.mark()).is_empty());
}

/// A double fork out of a shell that has ended: found all the same.
#[tokio::test]
async fn a_daemon_is_found() {
    let host = bench_host(|builder| builder).await;
    let file = host.folder().join("daemon");
    let script = format!(
        "(setsid sh -c '(exec >/dev/null 2>&1 </dev/null; cd /; env -i sleep 1000 & echo $! > {0}.tmp; mv {0}.tmp {0}) & exit' &) ; exec sleep 1000",
        file.display()
    );
    let session = host.start(shell(&script)).await;
    let daemon = pid_in(&file).await;
    assert!(alive(daemon));
    stop(&session).await;
    assert!(!alive(daemon));
}

/// What belongs to others is left alone: a process of ours that is nobody's plugin.
#[tokio::test]
async fn others_are_left_alone() {
    let host = bench_host(|builder| builder).await;
    let mut other = tokio::process::Command::new("sleep")
        .arg("1000")
        .env("JACKFIELD_STATE_DIR", host.folder())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let session = host.run(Rig::new("--deaf").package(RIG)).await;
    stop(&session).await;
    assert!(alive(other.id().unwrap()));
    other.kill().await.unwrap();
}

/// A plugin that makes itself a nuisance with its own processes hurts no other and not the host:
/// it stops its parent, and the stop still works.
#[tokio::test]
async fn a_plugin_that_stops_its_parent_is_stopped() {
    let host = bench_host(|builder| builder).await;
    let script = r#"kill -STOP $PPID; touch "$JACKFIELD_STATE_DIR/done"; exec sleep 1000"#;
    let session = host.start(shell(script)).await;
    let pid = until(&session, |s| s.pid.is_some()).await.pid.unwrap();
    let state = environment(pid).await["JACKFIELD_STATE_DIR"].clone();
    until_file(format!("{state}/done")).await;
    let stop = session.set_active_state(ActiveState::Inactive);
    let stopped = tokio::time::timeout(Duration::from_secs(20), stop).await;
    stopped.expect("a stop is answered").unwrap();
    assert!(!alive(pid));
}
