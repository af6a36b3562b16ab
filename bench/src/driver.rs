//! A driver from outside: a process that is told what to do and says how long it took.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::time::timeout;

use crate::protocol::{About, Answer, Calls, Command, Failure, Ready};

/// Longer than any command takes.
const PATIENCE: Duration = Duration::from_secs(300);

/// A driver that runs. Killed when it is dropped; its plugins end with it.
#[derive(Debug)]
pub struct Driver {
    /// How it is called in the results.
    pub label: String,
    /// What it says of itself.
    pub about: About,
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Driver {
    /// Starts a program as a driver and waits until it is ready.
    ///
    /// # Errors
    /// When it does not start, or does not become ready.
    pub async fn start(label: &str, program: &Path, args: &[&str]) -> Result<Self, Failure> {
        let failed = |why: &dyn std::fmt::Display| -> Failure {
            format!("the driver of {label} ({}): {why}", program.display()).into()
        };
        let mut child = tokio::process::Command::new(program)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| failed(&error))?;
        let input = child.stdin.take().ok_or_else(|| failed(&"no input"))?;
        let output = child.stdout.take().ok_or_else(|| failed(&"no output"))?;
        let mut output = BufReader::new(output).lines();
        let first = timeout(PATIENCE, output.next_line()).await??;
        let first = first.ok_or_else(|| failed(&"it ended before it was ready"))?;
        let Ready { ready: about } = serde_json::from_str(&first)
            .map_err(|error| failed(&format!("said {first:?}: {error}")))?;
        Ok(Self {
            label: label.to_owned(),
            about,
            child,
            input,
            output,
        })
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Has it do something.
    ///
    /// # Errors
    /// When it cannot, or is gone.
    pub async fn tell(&mut self, command: Command) -> Result<Answer, Failure> {
        let mut line = serde_json::to_string(&command)?;
        line.push('\n');
        self.input.write_all(line.as_bytes()).await?;
        let answer = timeout(PATIENCE, self.output.next_line()).await??;
        let answer = answer.ok_or_else(|| format!("the driver of {} ended", self.label))?;
        let answer: Answer = serde_json::from_str(&answer)?;
        match answer.error {
            Some(error) => Err(format!("{}: {error}", self.label).into()),
            None => Ok(answer),
        }
    }

    /// Calls one after the other for about this long, without what comes first: seconds a call, sorted.
    ///
    /// # Errors
    /// As [`tell`](Self::tell).
    pub async fn latencies(&mut self, count: u64, bytes: usize) -> Result<Vec<f64>, Failure> {
        let calls = Calls {
            count,
            in_flight: 1,
            bytes,
        };
        let answer = self.tell(Command::Calls(calls)).await?;
        let mut each: Vec<f64> = answer.each_ns.iter().map(|ns| *ns as f64 / 1e9).collect();
        each.sort_unstable_by(f64::total_cmp);
        Ok(each)
    }

    /// Calls a second.
    ///
    /// # Errors
    /// As [`tell`](Self::tell).
    pub async fn rate(&mut self, count: u64, in_flight: u64, bytes: usize) -> Result<f64, Failure> {
        let calls = Calls {
            count,
            in_flight,
            bytes,
        };
        let answer = self.tell(Command::Calls(calls)).await?;
        Ok(count as f64 / (answer.elapsed_ns as f64 / 1e9))
    }

    /// Spawns that many plugins: seconds each.
    ///
    /// # Errors
    /// As [`tell`](Self::tell).
    pub async fn spawns(&mut self, count: u64) -> Result<Vec<f64>, Failure> {
        let answer = self.tell(Command::Spawns { count }).await?;
        Ok(answer.each_ns.iter().map(|ns| *ns as f64 / 1e9).collect())
    }

    /// Ends it and waits until it has ended.
    ///
    /// # Errors
    /// When it does not end by itself; it is killed then.
    pub async fn end(mut self) -> Result<(), Failure> {
        drop(self.input);
        if timeout(PATIENCE, self.child.wait()).await.is_err() {
            self.child.kill().await?;
            return Err(format!("the driver of {} did not end", self.label).into());
        }
        Ok(())
    }
}
