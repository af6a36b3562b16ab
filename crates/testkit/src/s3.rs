//! An S3 for tests: moto, somebody else's imitation of it in Python, as `./test` prepares it.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::peers;

/// Longer than a start takes on a machine that has much else to do.
const PATIENCE: Duration = Duration::from_secs(60);

/// An S3 with one empty bucket. Ends when dropped, and forgets everything.
#[derive(Debug)]
pub struct S3 {
    _child: Child,
    ask: ChildStdin,
    told: Lines<BufReader<ChildStdout>>,
    port: u16,
}

impl S3 {
    /// The bucket.
    pub const BUCKET: &str = "plugins";

    /// Starts it.
    ///
    /// # Panics
    /// When `./test` has not prepared it, or it does not start.
    pub async fn start() -> Self {
        let mut child = Command::new(peers::prepared("server-s3/bin").join("python3"))
            .arg(peers::sources().join("server-s3/s3.py"))
            .args([Self::BUCKET, "0"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("Python starts");
        let told = child.stdout.take().expect("asked for");
        let mut s3 = Self {
            ask: child.stdin.take().expect("asked for"),
            told: BufReader::new(told).lines(),
            _child: child,
            port: 0,
        };
        let port = s3.told().await["port"].as_u64();
        s3.port = port
            .and_then(|port| port.try_into().ok())
            .expect("a port is told");
        s3
    }

    /// Where it is.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The variables that a server needs to keep its packages here.
    #[must_use]
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ENDPOINT", self.endpoint()),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", "testing".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "testing".to_owned()),
        ]
    }

    /// The names of all objects in the bucket.
    ///
    /// # Panics
    /// When it has ended.
    pub async fn keys(&mut self) -> Vec<String> {
        self.ask.write_all(b"keys\n").await.expect("it runs");
        let told = self.told().await;
        let keys = told["keys"].as_array().expect("it tells keys");
        keys.iter()
            .map(|key| key.as_str().expect("a name").to_owned())
            .collect()
    }

    async fn told(&mut self) -> Value {
        let line = tokio::time::timeout(PATIENCE, self.told.next_line()).await;
        let line = line.expect("it answers in time").expect("a pipe");
        serde_json::from_str(&line.expect("it runs")).expect("it tells JSON")
    }
}
