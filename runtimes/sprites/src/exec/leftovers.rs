//! What a process had started and left behind when it ended.
//!
//! The service ends a process and its group; whatever made a group of its own lives on. All of it inherited the
//! environment, in which the plugin's own folder stands.

use std::time::Duration;

use super::once::once;
use super::open::{Command, Way};

/// Nobody waits for longer than that for a sprite that may be ill.
const PATIENCE: Duration = Duration::from_secs(5);

/// Twice, for what was being forked meanwhile. Its own environment does not have the folder.
const END: &str = r#"for round in 1 2; do
  for file in $(grep -lsaF -- "$1" /proc/[0-9]*/environ); do
    pid="${file#/proc/}"
    kill -KILL "${pid%/environ}" 2>/dev/null
  done
done
exit 0
"#;

/// What is to be ended after a process.
#[derive(Debug)]
pub(super) struct Leftovers {
    pub(super) way: Way,
    pub(super) dir: String,
    /// The environment of the command that ends them.
    pub(super) env: Vec<String>,
    /// The folder that is in their environment.
    pub(super) state: String,
}

impl Leftovers {
    /// Ends every process of the sprite in whose environment the folder stands.
    pub(super) async fn end(&self) {
        let cmd = ["/bin/sh", "-c", END, "sh", &self.state];
        let command = Command {
            cmd: cmd.map(str::to_owned).into(),
            env: self.env.clone(),
            dir: self.dir.clone(),
            orphaned: PATIENCE,
        };
        let doing = "end what a process has left behind";
        if let Err(error) = once(&self.way, &command, doing, PATIENCE).await {
            tracing::warn!(sprite = self.way.sprite, %error, "what a process has left behind may run on");
        }
    }
}
