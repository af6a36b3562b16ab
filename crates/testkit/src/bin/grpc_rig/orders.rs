//! What the arguments ask for.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio, exit};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::state::{Pings, Signals};
use crate::{HELP, until_there};

/// What comes after the orders that are followed at once.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    pub(crate) identity: String,
    pub(crate) service: Option<String>,
    pub(crate) unknown_is_404: bool,
    pub(crate) pings: Pings,
    pub(crate) bind: Option<String>,
    pub(crate) no_reuse: bool,
    pub(crate) reuse_port: bool,
    pub(crate) accept_after: Option<u64>,
    pub(crate) door: Door,
    pub(crate) signals: Arc<Signals>,
}

/// What becomes of a connection.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    #[default]
    Http2,
    Silent,
    HangUp,
    Http1,
}

impl Orders {
    /// Follows them one after the other; those for later are kept.
    pub(crate) async fn follow(&mut self, args: impl Iterator<Item = String>) {
        let mut args = args;
        while let Some(order) = args.next() {
            let mut value = || {
                args.next()
                    .unwrap_or_else(|| panic!("{order} needs a value\n{HELP}"))
            };
            match order.as_str() {
                "--say" => eprintln!("{}", value()),
                "--say-out" => println!("{}", value()),
                "--err" => std::io::stderr()
                    .write_all(&read(&value()))
                    .expect("stderr"),
                "--out" => {
                    let mut out = std::io::stdout().lock();
                    out.write_all(&read(&value())).expect("stdout");
                    out.flush().expect("stdout");
                }
                "--flood" => flood(number(&value()), false),
                "--flood-both" => flood(number(&value()), true),
                "--exit" => exit(number(&value())),
                "--die" => die(number(&value())),
                "--never-listen" => std::future::pending().await,
                "--deaf" => self.signals.deafen(),
                "--constructor" => {
                    tokio::time::sleep(Duration::from_millis(number(&value()))).await;
                }
                "--wait" => until_there(&value()).await,
                "--touch" => put(&value(), b""),
                "--birth" => put(&value(), birth().to_string().as_bytes()),
                "--grandchild" => grandchild("sleep", &["1000"], &value()),
                "--grandchild-session" => grandchild("setsid", &["sleep", "1000"], &value()),
                "--once" => {
                    let marker = value();
                    if std::fs::exists(&marker).is_ok_and(|there| there) {
                        skip(&mut args);
                    } else {
                        put(&marker, b"");
                    }
                }
                "--bind" => self.bind = Some(value()),
                "--no-reuse" => self.no_reuse = true,
                "--reuse-port" => self.reuse_port = true,
                "--accept-after" => self.accept_after = Some(number(&value())),
                "--silent" => self.door = Door::Silent,
                "--hang-up" => self.door = Door::HangUp,
                "--http1" => self.door = Door::Http1,
                "--identity" => self.identity = value(),
                "--service" => self.service = Some(value()),
                "--unknown-is-404" => self.unknown_is_404 = true,
                "--ping-hangs" => self.pings.hang = usize::MAX,
                "--first-pings-hang" => self.pings.hang = number(&value()),
                "--not-ready" => self.pings.not_ready = Some(value()),
                "--ready-when" => self.pings.ready_when = Some(value()),
                "--ready-after" => {
                    let after = Duration::from_millis(number(&value()));
                    self.pings.ready_after = Some(tokio::time::Instant::now() + after);
                }
                "--ping-fails" => self.pings.fail = Some(number(&value())),
                "--touched" => self.pings.touched = Some(value()),
                "--pinged" => self.pings.pinged = Some(value()),
                "--ping-exits" => self.pings.exit = Some(number(&value())),
                _ => panic!("unknown order {order}\n{HELP}"),
            }
        }
    }
}

/// The order that follows, with its value.
fn skip(args: &mut impl Iterator<Item = String>) {
    let alone = [
        "--never-listen",
        "--deaf",
        "--no-reuse",
        "--silent",
        "--hang-up",
        "--ping-hangs",
    ];
    let order = args.next().expect("an order follows");
    if !alone.contains(&order.as_str()) {
        args.next();
    }
}

fn number<T: std::str::FromStr>(text: &str) -> T {
    text.parse()
        .unwrap_or_else(|_| panic!("{text} is no number\n{HELP}"))
}

fn read(file: &str) -> Vec<u8> {
    std::fs::read(file).expect("a file to write out")
}

/// Who waits for the file sees all of it.
pub(crate) fn put(file: &str, bytes: &[u8]) {
    let part = format!("{file}.part");
    std::fs::write(&part, bytes).expect("a file");
    std::fs::rename(part, file).expect("a name");
}

fn flood(count: usize, both: bool) {
    for n in 0..count {
        let record = json!({"level": "info", "message": format!("line {n}")});
        if both && n % 2 == 1 {
            println!("{record}");
        } else {
            eprintln!("{record}");
        }
    }
}

fn birth() -> serde_json::Value {
    let text = |value: std::ffi::OsString| value.to_string_lossy().into_owned();
    let environment: BTreeMap<String, String> = std::env::vars_os()
        .map(|(name, value)| (text(name), text(value)))
        .collect();
    let files: Vec<String> = std::fs::read_dir("/proc/self/fd")
        .expect("/proc")
        .filter_map(|file| {
            let file = file.ok()?;
            let target = std::fs::read_link(file.path()).ok()?;
            let number = text(file.file_name());
            (number.parse::<u32>().is_ok_and(|number| number > 2))
                .then(|| format!("{number} {}", target.display()))
        })
        .collect();
    json!({
        "environment": environment,
        "folder": std::env::current_dir().expect("a folder"),
        "arguments": std::env::args().collect::<Vec<_>>(),
        "files": files,
        "pid": std::process::id(),
    })
}

/// Sends itself a signal, and waits for what it does.
pub(crate) fn die(signal: i32) {
    let signal = rustix::process::Signal::from_named_raw(signal).expect("a signal");
    loop {
        // Rust's own handler of a segmentation fault takes the first.
        rustix::process::kill_process(rustix::process::getpid(), signal).expect("itself");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[expect(
    clippy::zombie_processes,
    reason = "whose end it is, is what the tests are about"
)]
fn grandchild(program: &str, args: &[&str], file: &str) {
    let child = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .spawn()
        .expect("a grandchild");
    put(file, child.id().to_string().as_bytes());
}
