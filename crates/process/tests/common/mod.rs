//! What the tests of this crate have in common.

#![expect(dead_code, unreachable_pub, reason = "each test uses a part of it")]
#![expect(clippy::unwrap_used, reason = "a test that panics here has failed")]

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use jackfield_process::{Child, Command, Exit, Line};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Longer than anything here takes, also on a machine that does other things.
pub const LONG: Duration = Duration::from_secs(60);

/// A string that stands in the environment of one test's processes.
pub fn mark() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let (process, next) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_nanos();
    format!("jackfield-test-{process}-{next}-{now}-end")
}

/// A shell script, with the mark and a search path in its environment.
pub fn sh(mark: &str, script: &str) -> Command {
    marked(Command::new("/bin/sh").args(["-c", script]), mark)
}

/// A Python program, the same.
pub fn python(mark: &str, script: &str) -> Command {
    let program = Path::new("/usr/bin/python3");
    let program = if program.exists() {
        program
    } else {
        Path::new("python3")
    };
    marked(Command::new(program).args(["-uc", script]), mark)
}

fn marked(command: Command, mark: &str) -> Command {
    // Without a control group, so that it is the init that is tested, here as elsewhere.
    command
        .env("MARK", format!("<{mark}>"))
        .inherit_env(["PATH"])
        .cgroup(false)
}

pub async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(LONG, future).await.expect("in time")
}

pub async fn exit(child: &Child) -> Exit {
    within(child.exited()).await
}

/// Reads until a line with this text, which may be the beginning of it; the rest of it.
pub async fn line(output: &mut mpsc::Receiver<Line>, start: &str) -> String {
    loop {
        let line = within(output.recv())
            .await
            .unwrap_or_else(|| panic!("the output ended before {start:?}"));
        if let Some(rest) = String::from_utf8_lossy(&line.text).strip_prefix(start) {
            return rest.trim().to_owned();
        }
    }
}

/// All lines to the end.
pub async fn lines(mut output: mpsc::Receiver<Line>) -> Vec<String> {
    let mut lines = Vec::new();
    while let Some(line) = within(output.recv()).await {
        lines.push(String::from_utf8_lossy(&line.text).into_owned());
    }
    lines
}

/// The fields of `/proc/PID/stat` from the third on, which is the state.
pub fn stat(pid: u32) -> Option<Vec<String>> {
    let text = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let text = String::from_utf8_lossy(&text).into_owned();
    Some(
        text.rsplit_once(')')?
            .1
            .split_whitespace()
            .map(str::to_owned)
            .collect(),
    )
}

pub fn parent(pid: u32) -> u32 {
    stat(pid).expect("it is there")[1].parse().unwrap()
}

pub fn start_time(pid: u32) -> u64 {
    stat(pid).expect("it is there")[19].parse().unwrap()
}

pub fn alive(pid: u32) -> bool {
    stat(pid).is_some_and(|stat| stat[0] != "Z" && stat[0] != "X")
}

/// The programs of this process that have been forked, and wait for the word to run.
pub fn waiting_programs() -> BTreeSet<u32> {
    let is_init = |pid: &u32| {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        name.trim_end() == "jackfield-init"
    };
    let this = std::process::id();
    let parent_of = |pid: u32| stat(pid).and_then(|stat| stat[1].parse::<u32>().ok());
    pids()
        .filter(|pid| is_init(pid) && alive(*pid))
        .filter(|pid| parent_of(*pid).is_some_and(|init| parent_of(init) == Some(this)))
        .collect()
}

/// Every process but this one whose environment holds the mark.
pub fn with_mark(mark: &str) -> BTreeSet<u32> {
    pids()
        .filter(|pid| *pid != std::process::id())
        .filter(|pid| {
            let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environ
                .windows(mark.len())
                .any(|part| part == mark.as_bytes())
        })
        .collect()
}

/// The same without forkers and inits: as forks of their host they show what stands in its environment.
pub fn programs_with_mark(mark: &str) -> BTreeSet<u32> {
    let mut found = with_mark(mark);
    found.retain(|pid| {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        !name.starts_with("jackfield-")
    });
    found
}

pub fn pids() -> impl Iterator<Item = u32> {
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// Waits until a process has ended; `false` when it has not within the time.
pub fn ended(pid: u32, within: Duration) -> bool {
    let Ok(held) = pidfd_open(raw(pid), PidfdFlags::empty()) else {
        return true;
    };
    let mut set = [PollFd::new(&held, PollFlags::IN)];
    poll(&mut set, Some(&Timespec::try_from(within).unwrap())).unwrap() == 1
}

/// Waits until no process with the mark is left; those that are after the time.
pub fn all_ended(mark: &str, within: Duration) -> BTreeSet<u32> {
    let until = Instant::now() + within;
    loop {
        let left = with_mark(mark);
        let Some(pid) = left.first() else { return left };
        if !ended(*pid, until.saturating_duration_since(Instant::now())) {
            return left;
        }
    }
}

/// Stops a process and waits until all its threads are: right after the signal some may still run for a while.
pub fn freeze(pid: u32) {
    signal(pid, Signal::STOP);
    let until = Instant::now() + LONG;
    let is_stopped = |task: io::Result<fs::DirEntry>| {
        let stat = fs::read_to_string(task?.path().join("stat"))?;
        Ok::<_, io::Error>(
            stat.rsplit_once(") ")
                .is_some_and(|(_, rest)| rest.starts_with('T')),
        )
    };
    while !fs::read_dir(format!("/proc/{pid}/task"))
        .unwrap()
        .all(|task| is_stopped(task).unwrap_or(false))
    {
        assert!(Instant::now() < until, "it is not stopped");
        std::thread::yield_now();
    }
}

pub fn kill(pid: u32) {
    signal(pid, Signal::KILL);
}

pub fn signal(pid: u32, signal: Signal) {
    let held = pidfd_open(raw(pid), PidfdFlags::empty()).expect("it is there");
    pidfd_send_signal(&held, signal).unwrap();
}

fn raw(pid: u32) -> Pid {
    Pid::from_raw(pid.try_into().unwrap()).unwrap()
}

/// This test program as a host of its own: to be killed. It runs the test of this name with `HOST` set.
pub struct Host {
    process: tokio::process::Child,
    lines: tokio::io::Lines<tokio::io::BufReader<tokio::process::ChildStdout>>,
}

impl Host {
    /// `prelude` is a shell command that goes before the `exec`.
    pub fn start(test: &str, scenario: &str, mark: &str, folder: &Path, prelude: &str) -> Self {
        use tokio::io::AsyncBufReadExt as _;
        let mut process = tokio::process::Command::new("/bin/sh")
            .arg("-c")
            .arg(format!(
                "{prelude}\nexec \"$0\" --exact {test} --nocapture --test-threads 1"
            ))
            .arg(std::env::current_exe().unwrap())
            .env("HOST", scenario)
            .env("HOST_MARK", mark)
            .env("HOST_FOLDER", folder)
            .process_group(0)
            .stdout(std::process::Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = tokio::io::BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, lines }
    }

    /// In the host: what it is to do, if it is one.
    pub fn scenario() -> Option<(String, String, PathBuf)> {
        let var = |name| std::env::var(name).ok();
        Some((
            var("HOST")?,
            var("HOST_MARK")?,
            PathBuf::from(var("HOST_FOLDER")?),
        ))
    }

    pub fn pid(&self) -> u32 {
        self.process.id().expect("it runs")
    }

    /// Reads until a line that begins so; the rest of it.
    pub async fn line(&mut self, start: &str) -> String {
        loop {
            let line = within(self.lines.next_line())
                .await
                .unwrap()
                .expect("the host goes on");
            if let Some((_, rest)) = line.split_once(start) {
                return rest.trim().to_owned();
            }
        }
    }

    /// SIGKILL; returns when it is dead.
    pub async fn kill(&mut self) {
        within(self.process.kill()).await.unwrap();
    }
}
