//! A socket that is handed over, the first signal, who is in the tree, and a folder that hosts share.

mod common;

use std::fs;
use std::io::{ErrorKind, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use common::{LONG, alive, ended, exit, line, mark, pids, python, sh, start_time, stat, within};
use jackfield_process::{Command, ExitStatus, Lease, Signal, sweep_shared};

#[tokio::test]
async fn a_socket_that_listens_is_descriptor_3_of_the_program_and_of_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let serve = "
import socket
listener = socket.socket(fileno=3)
print('fds', sorted(int(fd) for fd in __import__('os').listdir('/proc/self/fd')))
connection, _ = listener.accept()
connection.sendall(b'hello')
connection.close()
listener.close()
print('closed')
__import__('time').sleep(1000)
";
    let mut child = python(&mark(), serve)
        .inherit_fd(OwnedFd::from(listener))
        .spawn()
        .await
        .unwrap();
    let mut output = child.take_output().unwrap();
    // The fifth is the folder that is being listed.
    assert_eq!(line(&mut output, "fds").await, "[0, 1, 2, 3, 4]");
    let mut hello = String::new();
    let mut connection = UnixStream::connect(&path).unwrap();
    connection.read_to_string(&mut hello).unwrap();
    assert_eq!(hello, "hello");
    line(&mut output, "closed").await;
    // The init keeps no copy: with the program's own, the socket is gone.
    let refused = UnixStream::connect(&path).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    child.kill();
    exit(&child).await;
}

/// Whatever numbers are free in this process, the program's are the same: the pipe by which it tells what failed
/// must not be where the socket goes.
#[tokio::test]
async fn the_socket_is_in_nobodys_way() {
    for _ in 0..8 {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("s")).unwrap();
        let command = sh(
            &mark(),
            "test -S /proc/self/fd/3 && echo out && echo err >&2",
        );
        let child = command.inherit_fd(listener.into()).spawn().await.unwrap();
        let exit = exit(&child).await;
        assert_eq!(exit.status, ExitStatus::Code(0));
        assert_eq!(exit.tail.len(), 2);
    }
    let nothing = Command::new("/no/such/program");
    let listener = UnixListener::bind(tempfile::tempdir().unwrap().path().join("s")).unwrap();
    let refused = nothing.inherit_fd(listener.into()).spawn().await;
    assert!(refused.unwrap_err().is_permanent());
}

#[tokio::test]
async fn the_first_signal_may_be_another() {
    let script = "trap 'exit 15' TERM; trap 'exit 2' INT; echo ready; while :; do sleep 0.01; done";
    for (signal, code) in [(Signal::Terminate, 15), (Signal::Interrupt, 2)] {
        let command = sh(&mark(), script).stop_signal(signal).grace(LONG);
        let mut child = command.spawn().await.unwrap();
        line(&mut child.take_output().unwrap(), "ready").await;
        child.stop();
        assert_eq!(exit(&child).await.status, ExitStatus::Code(code));
    }
}

#[tokio::test]
async fn the_tree_is_known_with_those_that_opened_a_session() {
    let script = "
import os, threading, time
pids = []
def fork():
    pid = os.fork()
    if pid == 0:
        os.setsid()
        time.sleep(1000)
    pids.append(pid)
thread = threading.Thread(target=lambda: (fork(), print('forked', pids[0]), time.sleep(1000)))
thread.start()
time.sleep(1000)
";
    let mut child = python(&mark(), script).spawn().await.unwrap();
    let mut output = child.take_output().unwrap();
    let grandchild: u32 = line(&mut output, "forked").await.parse().unwrap();
    assert_eq!(child.processes(), [child.pid(), grandchild]);
    assert!(!child.processes().contains(&std::process::id()));
    child.kill();
    exit(&child).await;
    assert_eq!(child.processes(), []);
    assert_eq!(child.usage(), None);
}

/// Two hosts in one folder: the second one's sweep leaves the first one's child alone, and reaps what is left of a
/// dead host.
#[tokio::test]
async fn a_shared_folder_is_swept_of_what_nobody_owns() {
    let folder = tempfile::tempdir().unwrap();
    let lease = |mark: &str| Lease {
        folder: folder.path().to_owned(),
        name: "plugin".to_owned(),
        mark: mark.to_owned(),
    };
    let (living, orphaned) = (mark(), mark());
    let child = sh(&living, "sleep 1000").lease(lease(&living));
    let child = child.spawn().await.unwrap();
    let draft = folder.path().join(".plugin-1.lease");
    fs::write(&draft, "half of a").unwrap();

    // A dead host's: its init is gone, the program lives on.
    let mut stray = std::process::Command::new("/bin/sleep")
        .arg("1000")
        .env("MARK", format!("<{orphaned}>"))
        .spawn()
        .unwrap();
    let dead_init = pids().max().unwrap() + 1_000_000;
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let left = folder.path().join(format!("plugin-{dead_init}.lease"));
    let text = format!(
        "jackfield-lease=1\nboot={}\ninit={dead_init} 1\nmark={orphaned}\nprogram={} {}\n",
        boot.trim(),
        stray.id(),
        start_time(stray.id())
    );
    fs::write(&left, text).unwrap();

    let swept = sweep_shared(folder.path()).unwrap();
    assert_eq!(swept.killed, [stray.id()]);
    stray.wait().unwrap();
    assert!(alive(child.pid()) && !left.exists());
    assert!(
        draft.exists(),
        "it may be another host's, about to be named"
    );
    let leases = || fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(leases(), 2);
    child.kill();
    within(child.exited()).await;
    assert_eq!(leases(), 1, "removed at exit");
    assert!(ended(child.pid(), LONG) && stat(child.pid()).is_none());
}

/// What ended counts on: the time of a grandchild that was waited for, and of one that was left to the init.
#[tokio::test]
async fn a_tree_is_weighed_as_a_whole() {
    let script = "
import os, sys, time
def work(seconds):
    while time.process_time() < seconds: pass
if os.fork() == 0:
    os.setsid()
    block = bytearray(40 << 20)
    block[::4096] = b'x' * len(block[::4096])
    print('grown', flush=True)
    time.sleep(1000)
for orphan in (False, True):
    pid = os.fork()
    if pid == 0:
        if not orphan:
            work(0.1)
        elif os.fork() == 0:
            work(0.1)
            print('worked', flush=True)
        os._exit(0)
    os.waitpid(pid, 0)
time.sleep(1000)
";
    let mut child = python(&mark(), script).spawn().await.unwrap();
    let mut output = child.take_output().unwrap();
    line(&mut output, "grown").await;
    line(&mut output, "worked").await;
    let weighed = || child.usage().unwrap();
    // Both have ended, and left their time.
    within(async {
        while weighed().processes != 2 || weighed().cpu < Duration::from_millis(180) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let usage = weighed();
    assert!(usage.memory_bytes > 40 << 20, "{usage:?}");
    assert!(usage.memory_bytes < 400 << 20, "{usage:?}");
    assert!(usage.cpu < Duration::from_secs(60), "{usage:?}");
    child.kill();
    exit(&child).await;
    assert_eq!(child.usage(), None);
}
