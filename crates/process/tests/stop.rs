//! Stopping: the ladder, and that the whole tree goes.

mod common;

use std::time::Duration;

use common::{LONG, alive, exit, line, mark, python, sh, with_mark, within};
use jackfield_process::{Command, ExitStatus, Signal};
use tokio::time::Instant;

const SHORT: Duration = Duration::from_millis(200);

/// What the interrupt does is up to the program, so it must be sure that the trap is set.
async fn ready(command: Command) -> jackfield_process::Child {
    let mut child = command.spawn().await.expect("it can be run");
    line(&mut child.take_output().expect("not taken yet"), "ready").await;
    child
}

#[tokio::test]
async fn one_that_obeys_ends_by_itself() {
    let child = ready(
        sh(
            &mark(),
            "trap 'exit 7' INT; echo ready; while :; do sleep 0.01; done",
        )
        .grace(LONG),
    )
    .await;
    child.stop();
    child.stop();
    let end = exit(&child).await;
    assert_eq!((end.status, end.asked), (ExitStatus::Code(7), true));
    child.stop();
    child.kill();
    child.signal(Signal::Hangup);
    assert_eq!(
        exit(&child).await.status,
        ExitStatus::Code(7),
        "told as often as asked"
    );
}

#[tokio::test]
async fn one_that_does_not_is_killed_after_the_grace() {
    let mark = mark();
    let child = ready(
        sh(
            &mark,
            "trap '' INT TERM HUP; echo ready; while :; do sleep 0.01; done",
        )
        .grace(SHORT),
    )
    .await;
    let begun = Instant::now();
    child.stop();
    child.stop();
    let end = exit(&child).await;
    assert_eq!((end.status, end.asked), (ExitStatus::Signal(9), true));
    assert!(
        begun.elapsed() >= SHORT && begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(with_mark(&mark), [].into());
}

/// A grace without an end is the longest time there is; added to the clock, it was too long for the
/// clock, and the task that watches died of it.
#[tokio::test]
async fn the_longest_grace_means_never() {
    let child = ready(
        sh(
            &mark(),
            "trap 'exit 7' INT; echo ready; while :; do sleep 0.01; done",
        )
        .grace(Duration::MAX),
    )
    .await;
    child.stop();
    let end = exit(&child).await;
    assert_eq!((end.status, end.asked), (ExitStatus::Code(7), true));
}

#[tokio::test]
async fn a_kill_does_not_wait_for_the_grace() {
    let child = ready(
        sh(
            &mark(),
            "trap '' INT; echo ready; while :; do sleep 0.01; done",
        )
        .grace(LONG * 10),
    )
    .await;
    child.stop();
    child.kill();
    assert_eq!(exit(&child).await.status, ExitStatus::Signal(9));
}

#[tokio::test]
async fn a_stop_right_after_the_start_is_a_stop() {
    for _ in 0..20 {
        let child = Command::new("/bin/sleep")
            .arg("1000")
            .spawn()
            .await
            .unwrap();
        child.stop();
        let end = exit(&child).await;
        assert_eq!((end.status, end.asked), (ExitStatus::Signal(2), true));
    }
}

#[tokio::test]
async fn a_drop_kills_the_tree() {
    let mark = mark();
    let child = ready(sh(
        &mark,
        "setsid sleep 1000 & setsid sleep 1000 & echo ready; wait",
    ))
    .await;
    let exited = child.exited();
    assert!(with_mark(&mark).len() >= 2);
    drop(child);
    assert_eq!(within(exited).await.status, ExitStatus::Signal(9));
    assert_eq!(with_mark(&mark), [].into());
}

#[tokio::test]
async fn a_runtime_that_shuts_down_kills_the_tree() {
    let mark = mark();
    let (scenario, folder) = (mark.clone(), tempfile::tempdir().unwrap());
    let lease = jackfield_process::Lease {
        folder: folder.path().to_owned(),
        name: "x".to_owned(),
        mark: mark.clone(),
    };
    let exit = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let child = runtime.block_on(ready(
            sh(&scenario, "setsid sleep 1000 & echo ready; wait").lease(lease),
        ));
        drop(runtime);
        assert_eq!(common::all_ended(&scenario, LONG), [].into());
        child.exited()
    });
    assert_eq!(
        within(within(exit).await.unwrap()).await.status,
        ExitStatus::Lost
    );
}

#[tokio::test]
async fn grandchildren_behind_a_wrapper_are_stopped() {
    let mark = mark();
    let script = "python3 -c 'import time; time.sleep(1000)' & echo ready; wait";
    let child = ready(sh(&mark, script)).await;
    child.stop();
    assert_eq!(exit(&child).await.status, ExitStatus::Signal(2));
    assert_eq!(with_mark(&mark), [].into());
}

#[tokio::test]
async fn an_interrupt_reaches_the_program_behind_a_wrapper() {
    let mark = mark();
    let inner = "import signal, sys\nsignal.signal(2, lambda *_: sys.exit(9))\nprint('ready')\nsignal.pause()";
    let child = ready(
        sh(&mark, "/usr/bin/env python3 -uc \"$CODE\"; exit $?")
            .env("CODE", inner)
            .grace(LONG),
    )
    .await;
    child.stop();
    // The shell waits for it; a shell that has been interrupted itself may die of that then, or go on.
    let status = exit(&child).await.status;
    assert!(
        matches!(status, ExitStatus::Code(9) | ExitStatus::Signal(2)),
        "{status}"
    );
    assert_eq!(with_mark(&mark), [].into());
}

#[tokio::test]
async fn a_signal_goes_to_the_group_and_asks_for_nothing() {
    let child = ready(sh(
        &mark(),
        "trap 'exit 3' USR1; echo ready; while :; do sleep 0.01; done",
    ))
    .await;
    child.signal(Signal::User1);
    let end = exit(&child).await;
    assert_eq!((end.status, end.asked), (ExitStatus::Code(3), false));
}

/// Forks away from the program twice, into a session of its own, and ignores what can be ignored.
const DAEMON: &str = "
import os, signal, time
r, w = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for s in (1, 2, 3, 13, 15): signal.signal(s, signal.SIG_IGN)
        os.write(w, b'x')
        time.sleep(1000)
    os._exit(0)
os.read(r, 1)
print('ready')
time.sleep(1000)
";

#[tokio::test]
async fn a_daemon_is_stopped() {
    let mark = mark();
    let child = ready(python(&mark, DAEMON)).await;
    child.stop();
    exit(&child).await;
    assert_eq!(with_mark(&mark), [].into());
}

#[tokio::test]
async fn a_daemon_ends_with_a_program_that_ends_by_itself() {
    let mark = mark();
    let script = DAEMON.replace("print('ready')", "os._exit(0)");
    let child = python(&mark, &script).spawn().await.unwrap();
    assert_eq!(exit(&child).await.status, ExitStatus::Code(0));
    assert_eq!(with_mark(&mark), [].into());
}

#[tokio::test]
async fn processes_that_are_stopped_die_too() {
    let mark = mark();
    let script = "setsid sh -c 'kill -STOP $$' & sh -c 'kill -STOP $$' & echo ready; kill -STOP $$";
    let child = ready(sh(&mark, script)).await;
    child.kill();
    assert_eq!(exit(&child).await.status, ExitStatus::Signal(9));
    assert_eq!(with_mark(&mark), [].into());
}

/// Each process of the chain forks the next and ends.
const CHAIN: &str = "
import os, time
if os.fork() == 0:
    n = 0
    while True:
        STEP
        if os.fork(): os._exit(0)
        n += 1
        if n == 20: print('ready')
time.sleep(1000)
";

#[tokio::test]
async fn a_chain_of_forks_is_caught() {
    for step in [
        "pass",
        "os.setpgrp()",
        "os.setsid()",
        // A group whose leader has ended, and that of the host.
        "if n == 0: os.setpgrp()",
        "if n == 0: os.setpgid(0, os.getpgid(HOST))",
    ] {
        let mark = mark();
        let script = CHAIN.replace("STEP", step);
        let script = script.replace("HOST", &std::process::id().to_string());
        let child = ready(python(&mark, &script)).await;
        child.kill();
        let end = exit(&child).await;
        assert_eq!((end.status, end.left.len()), (ExitStatus::Signal(9), 0));
        assert_eq!(with_mark(&mark), [].into());
    }
}

/// No group but that of the program was told to stop: as the leader of a session it could not leave its own.
#[tokio::test]
async fn a_program_that_has_left_its_group_is_told_to_stop() {
    let mark = mark();
    let script = "
import os, signal, time
signal.signal(signal.SIGINT, lambda *_: os._exit(3))
os.setpgid(0, os.getpgid(os.getppid()))
print('ready')
time.sleep(1000)
";
    let child = ready(python(&mark, script).grace(LONG)).await;
    child.stop();
    let end = exit(&child).await;
    assert_eq!((end.status, end.asked), (ExitStatus::Code(3), true));
}

/// A group without its leader, in the session of the host.
#[tokio::test]
async fn a_group_whose_leader_has_ended_is_killed() {
    let mark = mark();
    let script = "
import os, time
r, w = os.pipe()
leader = os.fork()
if leader == 0:
    os.setpgrp()
    for n in range(3):
        if os.fork() == 0:
            os.write(w, b'x')
            time.sleep(1000)
    os._exit(0)
os.waitpid(leader, 0)
for n in range(3): os.read(r, 1)
print('ready')
time.sleep(1000)
";
    let child = ready(python(&mark, script)).await;
    assert_eq!(with_mark(&mark).len(), 4);
    child.kill();
    exit(&child).await;
    assert_eq!(with_mark(&mark), [].into());
}

#[tokio::test]
async fn a_deep_and_wide_tree_is_killed() {
    let mark = mark();
    let script = "
import os, time
for depth in range(7):
    os.fork()
    if depth % 3 == 2:
        try: os.setsid()
        except OSError: pass
os.write(1, b'ready\\n')
time.sleep(1000)
";
    let mut child = python(&mark, script).spawn().await.unwrap();
    let mut output = child.take_output().unwrap();
    for _ in 0..128 {
        line(&mut output, "ready").await;
    }
    assert_eq!(with_mark(&mark).len(), 128);
    child.kill();
    exit(&child).await;
    assert_eq!(with_mark(&mark), [].into());
}

#[tokio::test]
async fn orphans_are_reaped_while_the_program_runs() {
    let mark = mark();
    let mut child = sh(
        &mark,
        "for i in 1 2 3 4 5; do (sh -c : & ); done; echo ready; read x </dev/zero; sleep 1000",
    );
    child = child.grace(SHORT);
    let child = ready(child).await;
    let init = common::parent(child.pid());
    // Its children are the program and orphans that have not been reaped yet: those end without being waited for.
    let below = |pid: &u32| common::stat(*pid).is_some_and(|stat| stat[1] == init.to_string());
    let orphans: Vec<_> = common::pids()
        .filter(below)
        .filter(|pid| *pid != child.pid())
        .collect();
    for orphan in orphans {
        let gone = move || common::ended(orphan, LONG);
        assert!(tokio::task::spawn_blocking(gone).await.unwrap());
    }
    assert!(alive(child.pid()));
}

#[tokio::test]
async fn fifty_at_once() {
    let mark = mark();
    let mut spawns = tokio::task::JoinSet::new();
    for number in 0..50 {
        spawns.spawn(sh(&mark, &format!("setsid sleep 1000 & exit {number}")).spawn());
    }
    let mut codes = Vec::new();
    for child in within(spawns.join_all()).await {
        codes.push(exit(&child.unwrap()).await.status.code().unwrap());
    }
    codes.sort_unstable();
    assert_eq!(codes, (0..50).collect::<Vec<_>>());
    assert_eq!(with_mark(&mark), [].into());
}
