//! `jackfield external`, with programs that the test starts itself.

use std::fs;
use std::process::{Child, Command, Stdio};

use rustix::process::Signal;
use serde_json::json;

use crate::support::{Running, folder, new, run, signal_to};

/// A program of the test's own, started with what the command prints.
struct Program(Child);

impl Program {
    fn start(plugin: &std::path::Path, lang: &str, url: &str) -> Self {
        let (program, file) = match lang {
            "python" => ("python3", "plugin.py"),
            _ => ("node", "plugin.mjs"),
        };
        let mut command = Command::new(program);
        command
            .arg(file)
            .current_dir(plugin)
            .env("JACKFIELD_RPC_URL", url);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_program_dials_in_is_called_goes_and_comes_back() {
    for lang in ["python", "node"] {
        let folder = folder();
        new(folder.path(), "hello", lang);
        let plugin = folder.path().join("hello");
        let line = [
            "external",
            "hello/manifest.json",
            "--json",
            "--call",
            "greet",
            r#"{"name":"you"}"#,
        ];
        let mut host = Running::start(folder.path(), &line);
        let url = host.object(|object| object["type"] == "url");
        let url = url["url"].as_str().unwrap();
        assert!(
            url.starts_with("ws://127.0.0.1:") && url.contains("/rpc?token=sdprt_"),
            "{url}"
        );

        let program = Program::start(&plugin, lang, url);
        host.state("active");
        let answer = host.object(|object| object["type"] == "answer");
        assert_eq!(answer["result"], json!({ "greeting": "Hello, you!" }));
        drop(program);
        host.state("connecting");
        let mut program = Program::start(&plugin, lang, url);
        host.state("active");
        // It takes its leave when it is told to end.
        signal_to(program.0.id(), Signal::TERM);
        assert!(program.0.wait().unwrap().success());
        host.state("connecting");

        host.signal(Signal::INT);
        let ended = host.end();
        assert_eq!(ended.code, 0, "{ended:#?}");
        // The token is shown in one place, and nowhere else.
        let token = url.split("token=").nth(1).unwrap();
        assert_eq!(ended.stdout.matches(token).count(), 2, "{ended:#?}");
        assert_eq!(ended.one("url")["env"]["JACKFIELD_RPC_URL"], url);
        assert!(!ended.stderr.contains(token));
    }
}

#[test]
fn people_get_a_line_for_their_shell() {
    let folder = folder();
    new(folder.path(), "hello", "python");
    let mut host = Running::start(folder.path(), &["external", "hello", "--once"]);
    let line = host.line(|line| line.starts_with("export "));
    let url = line.strip_prefix("export JACKFIELD_RPC_URL='").unwrap();
    let url = url.strip_suffix('\'').unwrap();
    let _program = Program::start(&folder.path().join("hello"), "python", url);
    let ended = host.end();
    assert_eq!(ended.code, 0, "{ended:#?}");
    ended.says("active");
}

#[test]
fn a_program_that_does_not_come_is_waited_for_as_long_as_was_said() {
    let folder = folder();
    new(folder.path(), "hello", "python");
    let ended = run(folder.path(), &["external", "hello", "--timeout", "300ms"]);
    assert_eq!(ended.code, 3);
    ended
        .says("did not become active within 300ms")
        .says("JACKFIELD_RPC_URL as it was printed");
}

#[test]
fn what_is_no_manifest_is_refused() {
    let folder = folder();
    new(folder.path(), "hello", "python");
    let bad = r#"{"id":"-","author":"a b","name":""}"#;
    fs::write(folder.path().join("manifest.json"), bad).unwrap();
    for (path, says) in [
        ("nowhere", "there is no manifest nowhere"),
        ("nowhere.json", "there is no manifest nowhere.json"),
        ("hello/plugin.py", "is not a manifest"),
    ] {
        let ended = run(folder.path(), &["external", path]);
        assert_eq!(ended.code, 1);
        ended.says(says).says("or the folder that it is in");
    }
    let ended = run(folder.path(), &["external", "."]);
    assert_eq!(ended.code, 1);
    ended
        .says("is not valid")
        .says("id: ")
        .says("author: ")
        .says("name: ");
}
