//! A process of a sprite: an ordinary one of this machine, in a group of its own.

use std::io;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};
use tokio::sync::oneshot;

use super::query;

/// What is to run.
#[derive(Debug, Clone)]
pub(super) struct Start {
    pub(super) cmd: Vec<String>,
    pub(super) path: Option<String>,
    /// All of the environment; `None`: the service's own.
    pub(super) env: Option<Vec<String>>,
    pub(super) dir: String,
    pub(super) stdin: bool,
    pub(super) tty: bool,
    pub(super) after_disconnect: Option<Duration>,
    /// Attaches to this session instead.
    pub(super) id: Option<String>,
}

/// A process that was started; its group is signalled only as long as it is not reaped, so that no
/// other process can have its id.
#[derive(Debug)]
pub(super) struct Process {
    live: Arc<Mutex<Option<Pid>>>,
    pid: u32,
    reaper: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
pub(super) struct Started {
    pub(super) process: Process,
    pub(super) stdin: Option<ChildStdin>,
    pub(super) stdout: ChildStdout,
    pub(super) stderr: ChildStderr,
    /// The code it ended with.
    pub(super) exit: oneshot::Receiver<i32>,
}

impl Start {
    /// From a query, or from the arguments of an operation.
    pub(super) fn of(pairs: &[(String, String)]) -> Self {
        let env = query::all(pairs, "env");
        let text = |name| {
            query::first(pairs, name)
                .filter(|value| !value.is_empty())
                .map(str::to_owned)
        };
        Self {
            cmd: query::all(pairs, "cmd"),
            path: text("path"),
            env: (!env.is_empty()).then_some(env),
            dir: text("dir").unwrap_or_else(|| HOME.to_owned()),
            stdin: query::yes(pairs, "stdin").unwrap_or(false),
            tty: query::yes(pairs, "tty").unwrap_or(false),
            after_disconnect: query::first(pairs, "max_run_after_disconnect")
                .and_then(query::duration),
            id: text("id"),
        }
    }

    /// Runs it in a sprite whose `/` is this folder.
    pub(super) fn spawn(&self, folder: &Path) -> io::Result<Started> {
        let dir = real(folder, &self.dir);
        let program = match self.path.as_ref().or(self.cmd.first()) {
            Some(path) if path.starts_with('/') => PathBuf::from(mapped(folder, path)),
            Some(path) if path.contains('/') => dir.join(path),
            Some(path) => PathBuf::from(path),
            None => PathBuf::from("bash"),
        };
        let mut command = Command::new(program);
        if let Some(name) = self.cmd.first() {
            command.arg0(name);
        }
        command
            .args(self.cmd.iter().skip(1).map(|arg| argument(folder, arg)))
            .current_dir(&dir)
            .env_clear()
            .stdin(if self.stdin {
                Stdio::piped()
            } else {
                Stdio::null()
            })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        let defaults = DEFAULT_ENV.map(str::to_owned).to_vec();
        for pair in self.env.as_ref().unwrap_or(&defaults) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            command.env(name, mapped(folder, value));
        }
        let mut child = spawned(&mut command)?;
        let pid = Pid::from_child(&child);
        let stdin = child.stdin.take().map(ChildStdin::from_std).transpose()?;
        let stdout = ChildStdout::from_std(child.stdout.take().expect("it is piped"))?;
        let stderr = ChildStderr::from_std(child.stderr.take().expect("it is piped"))?;
        let (exited, exit) = oneshot::channel();
        let live = Arc::new(Mutex::new(Some(pid)));
        let process = Process {
            live: Arc::clone(&live),
            pid: child.id(),
            reaper: Mutex::new(Some(std::thread::spawn(move || {
                // Not reaped yet, so that the id is its own; what it left behind in its group
                // ends with it.
                let _ = waitid(
                    WaitId::Pid(pid),
                    WaitIdOptions::EXITED | WaitIdOptions::NOWAIT,
                );
                let mut live = live.lock().expect("nobody panics with the lock in hand");
                let _ = kill_process_group(pid, Signal::KILL);
                *live = None;
                let status = child.wait();
                drop(live);
                let _ = exited.send(status.map_or(-1, code));
            }))),
        };
        Ok(Started {
            process,
            stdin,
            stdout,
            stderr,
            exit,
        })
    }
}

impl Process {
    /// Its id, as long as it lives.
    pub(super) fn pid(&self) -> Option<u32> {
        let live = self
            .live
            .lock()
            .expect("nobody panics with the lock in hand");
        live.map(|_| self.pid)
    }

    /// Signals its group; `false`: it has ended.
    pub(super) fn signal(&self, signal: Signal) -> bool {
        let live = self
            .live
            .lock()
            .expect("nobody panics with the lock in hand");
        live.is_some_and(|pid| kill_process_group(pid, signal).is_ok())
    }

    /// Kills its group; `false`: it has ended.
    pub(super) fn kill(&self) -> bool {
        self.signal(Signal::KILL)
    }

    /// Waits until a process that was killed is gone.
    pub(super) fn reaped(&self) {
        let reaper = self
            .reaper
            .lock()
            .expect("nobody panics with the lock in hand")
            .take();
        if let Some(reaper) = reaper {
            let _ = reaper.join();
        }
    }
}

/// Where a process runs that was not told where.
const HOME: &str = "/home/sprite";

/// What a process gets that was not told its environment.
const DEFAULT_ENV: [&str; 4] = [
    "PATH=/usr/local/bin:/usr/bin:/bin",
    "HOME=/home/sprite",
    "USER=sprite",
    "LANG=C.UTF-8",
];

/// A signal by its name, with or without `SIG`, or by its number.
pub(super) fn signal(name: &str) -> Option<Signal> {
    let name = name.to_ascii_uppercase();
    Some(match name.strip_prefix("SIG").unwrap_or(&name) {
        "HUP" | "1" => Signal::HUP,
        "INT" | "2" => Signal::INT,
        "QUIT" | "3" => Signal::QUIT,
        "KILL" | "9" => Signal::KILL,
        "USR1" => Signal::USR1,
        "USR2" => Signal::USR2,
        "TERM" | "15" => Signal::TERM,
        _ => return None,
    })
}

/// The place on this machine of a path in a sprite.
pub(super) fn real(folder: &Path, path: &str) -> PathBuf {
    let mut place = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                place.pop();
            }
            part => place.push(part),
        }
    }
    folder.join(place.join("/"))
}

/// The text with paths into the sprite turned into real ones, for a process sees this machine's
/// files. A path, also one in a list with colons, leads into the sprite when its first folder is
/// there, unless only this machine has such a file.
fn mapped(folder: &Path, text: &str) -> String {
    let parts = text.split(':').map(|part| {
        let top = part
            .strip_prefix('/')
            .and_then(|path| path.split('/').next())
            .filter(|top| !top.is_empty() && folder.join(top).exists());
        let place = real(folder, part);
        if top.is_some() && (place.exists() || !Path::new(part).exists()) {
            place.display().to_string()
        } else {
            part.to_owned()
        }
    });
    parts.collect::<Vec<_>>().join(":")
}

fn argument(folder: &Path, text: &str) -> String {
    match text.split_once('=') {
        Some((name, value)) if !text.starts_with('/') => {
            format!("{name}={}", mapped(folder, value))
        }
        _ => mapped(folder, text),
    }
}

/// 128 and the signal, as a shell has it, for a process that was killed (assumed).
fn code(status: ExitStatus) -> i32 {
    let signal = || status.signal().map_or(-1, |signal| 128 + signal);
    status.code().unwrap_or_else(signal)
}

/// A file that was just uploaded is "busy" for as long as a process forked in between holds it
/// open, which is until that one's exec.
fn spawned(command: &mut Command) -> io::Result<std::process::Child> {
    for _ in 0..200 {
        match command.spawn() {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => {
                std::thread::sleep(Duration::from_millis(5));
            }
            result => return result,
        }
    }
    command.spawn()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_into_the_sprite_are_mapped() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        std::fs::create_dir_all(folder.join("plugin/bin")).unwrap();
        std::fs::create_dir_all(folder.join("proc")).unwrap();
        let real = folder.display();
        let cases = [
            (
                "/plugin/bin:/usr/bin",
                format!("{real}/plugin/bin:/usr/bin"),
            ),
            ("/plugin/../etc/x", format!("{real}/etc/x")),
            (
                "ws://h:1/rpc?x=/plugin",
                "ws://h:1/rpc?x=/plugin".to_owned(),
            ),
            ("/usr/bin/env", "/usr/bin/env".to_owned()),
            ("plugin", "plugin".to_owned()),
            ("/proc/self", "/proc/self".to_owned()),
            ("/proc/none", format!("{real}/proc/none")),
        ];
        for (text, expected) in cases {
            assert_eq!(mapped(folder, text), expected);
        }
        assert_eq!(
            argument(folder, "--in=/plugin/a"),
            format!("--in={real}/plugin/a")
        );
    }
}
