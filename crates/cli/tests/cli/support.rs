//! Runs the built command, as a person or a program would.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// Longer than anything takes here, on a machine that has much else to do.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A folder to work in, which goes away.
pub(crate) fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// The command, with an environment that says nothing about colours and logs.
pub(crate) fn jackfield(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_jackfield"));
    command.args(arguments).current_dir(folder);
    command
        .env_remove("RUST_LOG")
        .env_remove("NO_COLOR")
        .env("USER", "tester");
    command.stdin(Stdio::null());
    command
}

/// What a command that has ended leaves.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs it to its end.
pub(crate) fn run(folder: &Path, arguments: &[&str]) -> Ended {
    Running::start(folder, arguments).end()
}

/// Runs it to its end, and expects that it went well.
pub(crate) fn run_well(folder: &Path, arguments: &[&str]) -> Ended {
    let ended = run(folder, arguments);
    assert_eq!(ended.code, 0, "{arguments:?}: {ended:#?}");
    ended
}

impl Ended {
    /// Its standard output: one JSON object per line, and nothing else.
    pub(crate) fn objects(&self) -> Vec<Value> {
        let object = |line| match serde_json::from_str(line) {
            Ok(object @ Value::Object(_)) => object,
            other => panic!("{line:?} is not an object: {other:?}"),
        };
        self.stdout.lines().map(object).collect()
    }

    /// The objects of one type.
    pub(crate) fn of(&self, kind: &str) -> Vec<Value> {
        let objects = self.objects().into_iter();
        objects.filter(|object| object["type"] == kind).collect()
    }

    /// The one object of a type.
    pub(crate) fn one(&self, kind: &str) -> Value {
        let mut objects = self.of(kind);
        assert_eq!(objects.len(), 1, "{kind}: {self:#?}");
        objects.remove(0)
    }

    /// Expects this in what people see.
    pub(crate) fn says(&self, text: &str) -> &Self {
        let all = format!("{}{}", self.stdout, self.stderr);
        assert!(all.contains(text), "{text:?} is not in {self:#?}");
        self
    }
}

/// A command that runs. Killed when it is dropped, and all that it started ends with it.
pub(crate) struct Running {
    child: Child,
    lines: Receiver<String>,
    /// Every line so far, also those that nobody waited for.
    seen: Vec<String>,
    stderr: Option<thread::JoinHandle<String>>,
}

impl Running {
    pub(crate) fn start(folder: &Path, arguments: &[&str]) -> Self {
        Self::spawn(jackfield(folder, arguments))
    }

    pub(crate) fn spawn(mut command: Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (send, lines) = channel();
        let stdout = child.stdout.take().unwrap();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    break;
                }
            }
        });
        let mut stderr = child.stderr.take().unwrap();
        let stderr = thread::spawn(move || {
            let mut text = Vec::new();
            let _ = stderr.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        Self {
            child,
            lines,
            seen: Vec::new(),
            stderr: Some(stderr),
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        signal_to(self.pid(), signal);
    }

    /// The next line of standard output of which this holds.
    pub(crate) fn line(&mut self, holds: impl Fn(&str) -> bool) -> String {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if holds(&line) {
                        return line;
                    }
                }
                Err(error) => panic!("{error}; so far: {:#?}", self.seen),
            }
        }
    }

    /// The next object of which this holds.
    pub(crate) fn object(&mut self, holds: impl Fn(&Value) -> bool) -> Value {
        let read = |line: &str| serde_json::from_str::<Value>(line).unwrap();
        read(&self.line(|line| holds(&read(line))))
    }

    /// Waits until the plugin is in this state.
    pub(crate) fn state(&mut self, state: &str) -> Value {
        self.object(|object| object["type"] == "state" && object["state"] == state)
    }

    /// Waits for the end.
    pub(crate) fn end(mut self) -> Ended {
        // Its standard output ends with it.
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => self.seen.push(line),
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => break,
                Err(error) => panic!("{error}; so far: {:#?}", self.seen),
            }
        }
        let status = self.child.wait().unwrap();
        let stderr = self.stderr.take().unwrap().join().unwrap();
        let mut stdout = self.seen.join("\n");
        stdout.push('\n');
        Ended {
            code: status.code().unwrap_or(-1),
            stdout,
            stderr,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn signal_to(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(pid.try_into().unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

/// Whether a process is there.
pub(crate) fn is_there(pid: u32) -> bool {
    let pid = Pid::from_raw(pid.try_into().unwrap()).unwrap();
    test_kill_process(pid) != Err(rustix::io::Errno::SRCH)
}

pub(crate) fn pid_of(state: &Value) -> u32 {
    state["pid"].as_u64().unwrap().try_into().unwrap()
}

/// A plugin from the template.
pub(crate) fn new(folder: &Path, name: &str, lang: &str) {
    run_well(folder, &["new", name, "--lang", lang]);
}

/// A plugin that is a shell script.
pub(crate) fn script(folder: &Path, name: &str, script: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    let plugin = folder.join(name);
    std::fs::create_dir(&plugin).unwrap();
    let manifest = serde_json::json!({
        "id": name, "author": "tester", "name": name, "description": "For a test.",
        "version": "1.0.0", "command": "./run.sh",
    });
    std::fs::write(plugin.join("manifest.json"), manifest.to_string()).unwrap();
    let path = plugin.join("run.sh");
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    plugin
}

/// Waits for the end of a process that was killed a moment ago.
pub(crate) fn wait_until_gone(pid: u32) {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::process::{PidfdFlags, pidfd_open};
    let raw = Pid::from_raw(pid.try_into().unwrap()).unwrap();
    // No such process: it is gone already.
    if let Ok(process) = pidfd_open(raw, PidfdFlags::empty()) {
        let within = Timespec {
            tv_sec: 20,
            tv_nsec: 0,
        };
        let mut ends = [PollFd::new(&process, PollFlags::IN)];
        assert_eq!(
            poll(&mut ends, Some(&within)).unwrap(),
            1,
            "{pid} is still there"
        );
    }
}
