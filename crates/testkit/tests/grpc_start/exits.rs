//! How it ends: flags, help, failures, signals.

use std::process::{Output, Stdio};

use jackfield_testkit::within;
use rustix::process::Signal;
use tokio::process::Command;

use crate::RIG;
use crate::bench::{Place, Started, get};

async fn run(args: &[&str], envs: &[(&str, &str)]) -> Output {
    let mut command = Command::new(RIG);
    command
        .args(args)
        .env_clear()
        .envs(envs.iter().copied())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    within(command.output()).await.unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

const BIND: (&str, &str) = ("FTL_BIND", "http://127.0.0.1:0");

/// Wrong flags, and variables that hold nonsense: 80, and one line of `<program>: error: …` that names the culprit.
#[tokio::test]
async fn wrong_flags() {
    for (args, envs, culprit) in [
        (&["--no-such-flag"][..], &[BIND][..], "--no-such-flag"),
        (&["positional"], &[BIND], "positional"),
        (&["--number", "many"], &[BIND], "--number"),
        (&["--number"], &[BIND], "--number"),
        (&[], &[BIND, ("RIG_NUMBER", "many")], "many"),
        (&["--bind", "no url"], &[], "no url"),
        (&["--bind", "http://127.0.0.1:99999"], &[], "99999"),
    ] {
        let output = run(args, envs).await;
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(80), "{args:?}: {text}");
        assert!(
            text.starts_with("grpc_start_rig: error: "),
            "{args:?}: {text}"
        );
        assert!(text.contains(culprit), "{args:?}: {text}");
        assert!(output.stdout.is_empty());
    }
}

/// A level that there is not.
#[tokio::test]
async fn wrong_levels() {
    for (args, envs) in [
        (&["--log-level", "loud"][..], &[BIND][..]),
        (&[], &[BIND, ("LOG_LEVEL", "loud")]),
    ] {
        let output = run(args, envs).await;
        let text = stderr(&output);
        assert!(matches!(output.status.code(), Some(80 | 1)), "{text}");
        assert!(
            text.contains("grpc_start_rig: error: ") && text.contains("loud"),
            "{text}"
        );
    }
}

/// Run by hand: it says what is missing, and who would give it.
#[tokio::test]
async fn by_hand() {
    let output = run(&[], &[]).await;
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(80), "{text}");
    assert!(text.starts_with("grpc_start_rig: error: "), "{text}");
    assert!(
        text.contains("missing flags: --bind") && text.contains("host"),
        "{text}"
    );
}

/// Help and version, on stdout.
#[tokio::test]
async fn help() {
    let output = run(&["--help"], &[]).await;
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8_lossy(&output.stdout);
    for word in [
        "--bind",
        "FTL_BIND",
        "--log-level",
        "LOG_LEVEL",
        "--number",
        "RIG_NUMBER",
        "--help",
    ] {
        assert!(text.contains(word), "{word} is not in {text}");
    }
    assert!(output.stderr.is_empty());
    let output = run(&["--version"], &[]).await;
    assert_eq!(output.status.code(), Some(0));
    assert!(!output.stdout.is_empty());
}

/// A flag wins over a variable, a variable over a default; the log flags of the original are taken.
#[tokio::test]
async fn configuration() {
    for (orders, variable, expected) in [
        ("", None, "7"),
        ("", Some("8"), "8"),
        ("--number 9", Some("8"), "9"),
        (
            "--number=9 --log-json --log-timestamps --log-color --log-level warn",
            None,
            "9",
        ),
    ] {
        let started = Started::with(orders, |command| {
            command.env_remove("RIG_NUMBER");
            command.envs(variable.map(|value| ("RIG_NUMBER", value)));
        });
        let started = started.ready().await;
        assert_eq!(
            get(&started.client(), "number").await.unwrap(),
            expected,
            "{orders}"
        );
    }
}

/// The address by a flag, which wins over the variable.
#[tokio::test]
async fn bound_by_a_flag() {
    let place = Place::hold();
    let mut started = Started::with("", |command| {
        command
            .env("FTL_BIND", "http://127.0.0.1:1")
            .arg("--bind")
            .arg(place.url(""));
    });
    started.place = place;
    let started = started.ready().await;
    assert_eq!(get(&started.client(), "number").await.unwrap(), "7");
}

/// The constructor fails: 1, and its words, with what they come from, as plain text.
#[tokio::test]
async fn the_constructor_fails() {
    let mut started = Started::run("--constructor-fails no-such-database");
    let (code, lines) = started.ended().await;
    assert_eq!(code, Some(1), "{lines:?}");
    let line = lines
        .iter()
        .find(|line| line.starts_with("grpc_start_rig: error: "));
    assert!(
        line.is_some_and(|line| line.contains("no-such-database")),
        "{lines:?}"
    );
}

/// It panics: not 0, and the message is there.
#[tokio::test]
async fn the_constructor_panics() {
    let mut started = Started::run("--constructor-panics");
    let (code, lines) = started.ended().await;
    assert!(code.is_some_and(|code| code != 0), "{code:?} {lines:?}");
    assert!(
        lines
            .iter()
            .any(|line| line.contains("the constructor panics")),
        "{lines:?}"
    );
}

/// The port is taken: 1, and the address.
#[tokio::test]
async fn the_port_is_taken() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let output = run(&[], &[("FTL_BIND", &format!("http://{address}"))]).await;
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.contains("grpc_start_rig: error: ") && text.contains(&address.to_string()),
        "{text}"
    );
    assert!(text.to_lowercase().contains("in use"), "{text}");
}

/// 0 on either signal: when it is ready, in the middle of its constructor, and before that.
#[tokio::test]
async fn signals() {
    for signal in [Signal::INT, Signal::TERM] {
        let mut started = Started::run("").ready().await;
        started.signal(signal);
        assert_eq!(started.ended().await.0, Some(0), "{signal:?}");
        let mut started = Started::run("--constructor 60000");
        started.until_it_listens().await;
        started.signal(signal);
        let began = tokio::time::Instant::now();
        assert_eq!(
            started.ended().await.0,
            Some(0),
            "{signal:?} in the constructor"
        );
        assert!(began.elapsed() < std::time::Duration::from_secs(10));
    }
}

/// A constructor that never yields does not make it deaf.
#[tokio::test]
async fn a_signal_while_the_constructor_blocks() {
    let mut started = Started::run("--constructor-blocks 20000");
    started.until_it_listens().await;
    started.signal(Signal::TERM);
    let began = tokio::time::Instant::now();
    started.ended().await;
    assert!(
        began.elapsed() < std::time::Duration::from_secs(15),
        "{:?}",
        began.elapsed()
    );
}

/// Logs: JSON on stderr, with the name as scope, from the level on that was asked for.
#[tokio::test]
async fn logs() {
    for (level, expected) in [
        ("trace", &["trace", "debug", "info", "warn", "error"][..]),
        ("DEBUG", &["debug", "info", "warn", "error"]),
        ("Warn", &["warn", "error"]),
    ] {
        let started = Started::with("", |command| {
            command.env("LOG_LEVEL", level);
        });
        let mut started = started.ready().await;
        get(&started.client(), "log:hello").await.unwrap();
        started.signal(Signal::TERM);
        let (_, lines) = started.ended().await;
        let mut levels = Vec::new();
        for line in lines {
            let record: serde_json::Value =
                serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}"));
            assert!(
                record["timestamp"]
                    .as_str()
                    .is_some_and(|at| at.ends_with('Z') && at.contains('T')),
                "{line}"
            );
            if record["message"] == "hello" {
                assert_eq!(record["attributes"]["scope"], "rig", "{line}");
                assert_eq!(record["attributes"]["answer"], "42", "{line}");
                levels.push(record["level"].as_str().unwrap().to_owned());
            }
        }
        assert_eq!(levels, expected);
    }
}
