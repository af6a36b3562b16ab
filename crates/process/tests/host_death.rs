//! The host is killed, and nothing of any tree is left a second later.

#![expect(clippy::unwrap_used, reason = "a test that panics here has failed")]

mod common;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use common::{
    Host, LONG, alive, all_ended, ended, exit, line, mark, programs_with_mark, python, sh,
    with_mark,
};
use jackfield_process::{Command, Lease, sweep};
use tokio::signal::unix::{SignalKind, signal};

/// How long anything may live on.
const SOON: Duration = Duration::from_secs(1);

fn command(scenario: &str, mark: &str) -> Command {
    match scenario {
        "plain" => sh(
            mark,
            "trap '' INT TERM HUP PIPE; echo ready; exec sleep 1000",
        ),
        "setsid" => sh(
            mark,
            "setsid sh -c 'trap \"\" HUP INT TERM; echo ready; sleep 1000; :' & sleep 1000",
        ),
        "daemon" => python(
            mark,
            "
import os, signal, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for s in (1, 2, 3, 13, 15): signal.signal(s, signal.SIG_IGN)
        print('ready')
        time.sleep(1000)
    os._exit(0)
time.sleep(1000)
",
        ),
        "chain" => python(
            mark,
            "
import os, time
if os.fork() == 0:
    for n in range(1 << 62):
        os.setsid()
        if os.fork(): os._exit(0)
        if n == 20: print('ready')
time.sleep(1000)
",
        ),
        // Nothing in its environment, and not in the program's group.
        "nameless" | "group" => sh(
            mark,
            "setsid env -i /bin/sh -c 'echo nameless $$; echo ready; exec sleep 1000' & wait",
        )
        .cgroup(scenario == "group"),
        other => panic!("no scenario {other}"),
    }
}

/// Not a test: the host of those below.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host() {
    let Some((scenario, mark, folder)) = Host::scenario() else {
        return;
    };
    let lease = Lease {
        folder,
        name: "plugin".to_owned(),
        mark: mark.clone(),
    };
    let mut child = command(&scenario, &mark)
        .lease(lease)
        .spawn()
        .await
        .unwrap();
    let mut output = child.take_output().unwrap();
    if matches!(scenario.as_str(), "nameless" | "group") {
        println!("nameless {}", line(&mut output, "nameless").await);
    }
    line(&mut output, "ready").await;
    println!("child {}", child.pid());
    println!("exit {:?}", exit(&child).await);
}

async fn start(scenario: &str, mark: &str, folder: &Path) -> (Host, u32) {
    let mut host = Host::start("a_host", scenario, mark, folder, "");
    let child = host.line("child").await.parse().unwrap();
    (host, child)
}

async fn nothing_outlives_the_host(scenario: &str) {
    let (mark, folder) = (mark(), tempfile::tempdir().unwrap());
    let (mut host, child) = start(scenario, &mark, folder.path()).await;
    assert!(alive(child));
    let host_pid = host.pid();
    assert!(with_mark(&mark).iter().any(|pid| *pid != host_pid));
    host.kill().await;
    let left = tokio::task::spawn_blocking(move || all_ended(&mark, SOON))
        .await
        .unwrap();
    assert_eq!(left, BTreeSet::new());
    assert!(!alive(child));

    // The lease is for whoever comes next; he finds nothing to kill.
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    let swept = sweep(folder.path()).unwrap();
    assert_eq!(
        (swept.killed.len(), swept.stale, swept.unreadable.len()),
        (0, 1, 0),
        "{swept:?}"
    );
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn no_plain_child_outlives_it() {
    nothing_outlives_the_host("plain").await;
}

#[tokio::test]
async fn no_grandchild_in_its_own_session_outlives_it() {
    nothing_outlives_the_host("setsid").await;
}

#[tokio::test]
async fn no_daemon_outlives_it() {
    nothing_outlives_the_host("daemon").await;
}

#[tokio::test]
async fn no_chain_of_forks_outlives_it() {
    nothing_outlives_the_host("chain").await;
}

/// Three things were taken for granted here, and on a busy machine none held: that a process is stopped as soon as the
/// signal is sent, that a grandchild shows its environment after its first line, when it became a `sleep` next, and that
/// the host's forker is gone when the host is.
#[tokio::test]
async fn what_a_dead_host_and_a_dead_init_leave_is_swept() {
    let (mark, folder) = (mark(), tempfile::tempdir().unwrap());
    let (mut host, child) = start("setsid", &mark, folder.path()).await;
    let init = common::parent(child);
    // Neither of them can do anything any more. Stopped first, so that it cannot do anything about the init's end.
    common::freeze(host.pid());
    let before = with_mark(&mark);
    common::kill(init);
    host.kill().await;
    assert!(ended(child, LONG), "the program dies with the init");
    let left = programs_with_mark(&mark);
    assert!(!left.is_empty(), "the grandchild lives: {before:?}");

    let path = folder.path().to_owned();
    let swept = tokio::task::spawn_blocking(move || sweep(&path))
        .await
        .unwrap()
        .unwrap();
    assert!(
        left.iter().all(|pid| swept.killed.contains(pid)),
        "{left:?} {swept:?}"
    );
    assert_eq!(swept.left, []);
    assert_eq!(with_mark(&mark), BTreeSet::new());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// Not a test: a host that lets a child join it.
#[tokio::test]
async fn a_host_that_is_joined() {
    let Some((_, mark, _)) = Host::scenario() else {
        return;
    };
    let script = "
import os, time
if os.fork() == 0:
    os.setpgid(0, GROUP)
    print('ready')
time.sleep(1000)
";
    let group = rustix::process::getpgrp().as_raw_nonzero();
    let script = script.replace("GROUP", &group.to_string());
    let mut child = python(&mark, &script).spawn().await.unwrap();
    line(&mut child.take_output().unwrap(), "ready").await;
    child.kill();
    println!("exit {:?}", exit(&child).await);
    let left = programs_with_mark(&mark);
    println!("left {}", left.len());
    std::future::pending::<()>().await;
}

/// What a child does may not kill its host: all groups in which there was a process of the tree were killed, which was
/// sound as long as a session was a border that nobody crosses.
#[tokio::test]
async fn a_child_that_joins_the_group_of_its_host_goes_alone() {
    let (mark, folder) = (mark(), tempfile::tempdir().unwrap());
    let mut host = Host::start("a_host_that_is_joined", "join", &mark, folder.path(), "");
    host.line("exit").await;
    assert_eq!(host.line("left").await, "0");
    host.kill().await;
}

/// Runs a program at a terminal of its own, and presses Ctrl-C there when it says so.
const AT_A_TERMINAL: &str = r#"
import os, pty, sys
pid, terminal = pty.fork()
if pid == 0: os.execv(sys.argv[1], sys.argv[1:])
said = b""
while True:
    said += os.read(terminal, 4096)
    *lines, said = said.split(b"\n")
    for line in lines:
        os.write(1, line + b"\n")
        if b"press" in line: os.write(terminal, b"\x03")
"#;

const LOOKS_FOR_A_TERMINAL: &str = r#"
import os, time
try:
    os.open("/dev/tty", os.O_RDWR)
    print("terminal: found")
except OSError as error:
    print("terminal:", error.strerror)
print("session", os.getsid(0))
time.sleep(1000)
"#;

/// Not a test: a host that has a terminal.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_at_a_terminal() {
    let Some((_, mark, _)) = Host::scenario() else {
        return;
    };
    std::fs::File::open("/dev/tty").expect("it has a terminal");
    let mut child = python(&mark, LOOKS_FOR_A_TERMINAL).spawn().await.unwrap();
    let mut output = child.take_output().unwrap();
    println!("tty {}", line(&mut output, "terminal:").await);
    println!("session {}", line(&mut output, "session").await);
    let this = rustix::process::getsid(None).unwrap();
    println!("own {}", this.as_raw_nonzero());
    println!("child {}", child.pid());
    let mut interrupt = signal(SignalKind::interrupt()).unwrap();
    println!("press");
    interrupt.recv().await;
    println!("interrupted");
    println!("exit {:?}", exit(&child).await);
}

/// It cannot read what is typed there, and Ctrl-C is for the host alone. It had a session of its own for that; now it is in
/// the session of its host and has given up the terminal, for Linux lets sessions take turns for the processors where
/// nothing else shares them out, and a call took up to a fifth longer.
#[tokio::test]
async fn the_hosts_terminal_is_not_the_childs() {
    let (mark, folder) = (mark(), tempfile::tempdir().unwrap());
    let at_a_terminal = format!(
        "exec python3 -uc '{AT_A_TERMINAL}' \"$0\" --exact a_host_at_a_terminal --nocapture"
    );
    let mut host = Host::start("", "terminal", &mark, folder.path(), &at_a_terminal);
    // Another word than in the test's name, behind which it stands where there is one processor.
    assert_eq!(host.line("tty").await, "No such device or address");
    let (child, host_own) = (host.line("session").await, host.line("own").await);
    assert_eq!(child, host_own);
    let child: u32 = host.line("child").await.parse().unwrap();
    host.line("press").await;
    host.line("interrupted").await;
    let wait = tokio::task::spawn_blocking(move || ended(child, Duration::from_millis(300)));
    assert!(!wait.await.unwrap(), "it was not interrupted");
    // And with it the terminal.
    host.kill().await;
    tokio::task::spawn_blocking(move || all_ended(&mark, LONG))
        .await
        .unwrap();
}

#[tokio::test]
async fn none_without_a_name_outlives_it() {
    for scenario in ["nameless", "group"] {
        let (mark, folder) = (mark(), tempfile::tempdir().unwrap());
        let mut host = Host::start("a_host", scenario, &mark, folder.path(), "");
        let nameless: u32 = host.line("nameless").await.parse().unwrap();
        host.line("child").await;
        assert!(alive(nameless));
        host.kill().await;
        let wait = tokio::task::spawn_blocking(move || ended(nameless, SOON));
        assert!(wait.await.unwrap(), "{scenario}");
        tokio::task::spawn_blocking(move || all_ended(&mark, LONG))
            .await
            .unwrap();
        assert_eq!(sweep(folder.path()).unwrap().killed, []);
    }
}

#[tokio::test]
async fn a_control_group_of_a_dead_host_and_a_dead_init_is_swept() {
    let (mark, folder) = (mark(), tempfile::tempdir().unwrap());
    let mut host = Host::start("a_host", "group", &mark, folder.path(), "");
    let nameless: u32 = host.line("nameless").await.parse().unwrap();
    let child: u32 = host.line("child").await.parse().unwrap();
    let lease = std::fs::read_dir(folder.path()).unwrap().next();
    let lease = std::fs::read_to_string(lease.unwrap().unwrap().path()).unwrap();
    let group = lease.lines().find_map(|line| line.strip_prefix("cgroup="));

    common::freeze(host.pid());
    common::kill(common::parent(child));
    host.kill().await;
    assert!(ended(child, LONG) && alive(nameless));
    // What forked the init has the environment of the host, and with it the mark, which is no host's as a rule.
    tokio::task::spawn_blocking(move || all_ended(&mark, LONG))
        .await
        .unwrap();
    match group {
        Some(group) => {
            assert_eq!(sweep(folder.path()).unwrap().killed, [nameless]);
            assert!(!alive(nameless) && !std::fs::exists(group).unwrap());
        }
        // No group can be made here; then it cannot be known to be ours.
        None => common::kill(nameless),
    }
}
