//! One test of a binary, run again as a program of its own: a host that can be killed, or one
//! with an environment of the test's choosing, without touching the test's own process.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// The variable that holds the folder which the program was given.
const FOLDER: &str = "JACKFIELD_TESTKIT_AGAIN";
/// What a line begins with that is meant for the one who started the program.
const TELL: &str = "TELL ";

/// A test that runs as a program of its own; killed when dropped.
#[derive(Debug)]
pub struct Again {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

/// The folder, if this is the program; a test that is one returns at once when it is not.
#[must_use]
pub fn as_program() -> Option<PathBuf> {
    std::env::var_os(FOLDER).map(PathBuf::from)
}

/// Tells something to the one who started this program.
pub fn tell(what: &Value) {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    // The runner of tests may have left its line open.
    let _ = writeln!(out, "\n{TELL}{what}");
    let _ = out.flush();
}

impl Again {
    /// Runs the test of this name with this folder. `with` may change the environment.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn run(test: &str, folder: &Path, with: impl FnOnce(&mut Command)) -> Self {
        let program = std::env::current_exe().expect("a test has a program");
        let mut command = Command::new(program);
        command
            .args([test, "--exact", "--nocapture", "--test-threads=1"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        with(&mut command);
        command.env(FOLDER, folder);
        let mut child = command.spawn().expect("it starts");
        let out = child.stdout.take().expect("it was asked for");
        Self {
            child,
            lines: BufReader::new(out).lines(),
        }
    }

    /// What the program [`tell`]s next.
    ///
    /// # Panics
    /// When it ends first, or does not within a minute.
    pub async fn told(&mut self) -> Value {
        let told = async {
            loop {
                let line = self.lines.next_line().await.expect("a pipe");
                let line = line.expect("the program tells something before it ends");
                if let Some(told) = line.strip_prefix(TELL) {
                    return serde_json::from_str(told).expect("it tells JSON");
                }
            }
        };
        let told = tokio::time::timeout(Duration::from_secs(60), told).await;
        told.expect("the program tells something in time")
    }

    /// Its process.
    ///
    /// # Panics
    /// When it has ended.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// Kills it with SIGKILL and waits for its end.
    ///
    /// # Panics
    /// When it cannot be killed.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("it can be killed");
    }

    /// Waits for its end; whether it was a good one.
    ///
    /// # Panics
    /// When it does not end within a minute.
    pub async fn ended_well(mut self) -> bool {
        let status = tokio::time::timeout(Duration::from_secs(60), self.child.wait()).await;
        status
            .expect("it ends in time")
            .expect("a status")
            .success()
    }
}
