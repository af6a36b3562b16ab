//! What forks the inits: killed, stopped, grown old. A test program of its own, because it does that to the only one.

mod common;

use std::fs;

use common::{LONG, ended, exit, freeze, kill, line, lines, mark, sh, stat};
use jackfield_process::{Child, Command, ExitStatus, prepare};
use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit, umask};
use tokio::time::Instant;

/// The children of this process with this name.
fn named(name: &str) -> Vec<u32> {
    let this = std::process::id().to_string();
    common::pids()
        .filter(|pid| {
            let comm = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            comm.trim_end() == name && common::alive(*pid)
        })
        .filter(|pid| stat(*pid).is_some_and(|stat| stat[1] == this))
        .collect()
}

/// The one child with this name, once there is one.
async fn one(name: &str) -> u32 {
    let until = Instant::now() + LONG;
    loop {
        match named(name)[..] {
            [one] => return one,
            _ => assert!(Instant::now() < until, "{name}: {:?}", named(name)),
        }
        tokio::task::yield_now().await;
    }
}

fn killed(pid: u32) {
    kill(pid);
    assert!(ended(pid, LONG));
}

async fn runs(command: Command) -> Vec<String> {
    let mut child: Child = command.spawn().await.expect("it can be run");
    let said = lines(child.take_output().expect("not taken yet")).await;
    assert_eq!(exit(&child).await.status, ExitStatus::Code(0));
    said
}

/// What a plugin can do to processes of its own user it can do to these. The next spawn must work all the same, with
/// what it says and how it ends.
#[tokio::test]
async fn whatever_becomes_of_the_forker_programs_run_and_are_what_the_host_is_now() {
    let mark = mark();
    let echo = || sh(&mark, "echo it runs");
    let prepared = prepare().expect("there is room");
    let first = one("jackfield-fork").await;
    assert_eq!(runs(echo()).await, ["it runs"]);

    // The init that was forked ahead of time is gone.
    killed(one("jackfield-init").await);
    assert_eq!(runs(echo()).await, ["it runs"]);
    assert_eq!(one("jackfield-fork").await, first);

    // Or it has been stopped.
    freeze(one("jackfield-init").await);
    assert_eq!(runs(echo()).await, ["it runs"]);
    assert_eq!(one("jackfield-fork").await, first);

    // So is the forker: first there is an init still, then there is none.
    one("jackfield-init").await;
    killed(first);
    assert_eq!(runs(echo()).await, ["it runs"]);
    assert_eq!(runs(echo()).await, ["it runs"]);
    let second = one("jackfield-fork").await;
    assert_ne!(second, first);

    // One that has been stopped is given up after a while.
    one("jackfield-init").await;
    freeze(second);
    let (a, b, c) = tokio::join!(runs(echo()), runs(echo()), runs(echo()));
    assert_eq!([a, b, c].concat(), ["it runs"; 3]);
    let third = one("jackfield-fork").await;
    assert_ne!(third, second);

    // What the host may do, and hands down, is what it is now and not what it was.
    let before = umask(Mode::from_raw_mode(0o027));
    assert_eq!(runs(sh(&mark, "umask")).await, ["0027"]);
    umask(before);
    let again = format!("{:04o}", before.as_raw_mode());
    assert_eq!(runs(sh(&mark, "umask")).await, [again]);
    let limit = getrlimit(Resource::Nofile);
    let fewer = Rlimit {
        current: Some(100),
        maximum: limit.maximum,
    };
    one("jackfield-init").await;
    setrlimit(Resource::Nofile, fewer).unwrap();
    assert_eq!(runs(sh(&mark, "ulimit -n")).await, ["100"]);
    setrlimit(Resource::Nofile, limit).unwrap();
    assert_ne!(runs(sh(&mark, "ulimit -n")).await, ["100"]);

    // One is there as long as somebody wants it, also when it is another one than at first.
    let _last = one("jackfield-fork").await;

    // A program that lives is none of the forker's business.
    let mut child = sh(&mark, "echo ready; read -r _ < /dev/null; exec sleep 1000")
        .spawn()
        .await
        .unwrap();
    line(&mut child.take_output().unwrap(), "ready").await;
    killed(one("jackfield-fork").await);
    assert!(common::alive(child.pid()));
    child.stop();
    assert!(exit(&child).await.asked);
    drop(prepared);
}
