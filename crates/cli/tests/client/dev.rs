//! `jackfield dev`

use std::fs;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::rig::Rig;
use crate::support::{Running, is_there, new, wait_until_gone};

fn kind(object: &Value, kind: &str) -> bool {
    object["type"] == kind
}

#[test]
fn a_plugin_is_worked_on_while_it_is_connected() {
    let rig = Rig::start(&[]);
    new(rig.path(), "hello", "python");
    let mut dev = Running::spawn(rig.command(&["dev", "hello", "-v", "--json"]));
    assert_eq!(dev.object(|object| kind(object, "installed"))["new"], true);
    let first = dev.object(|object| kind(object, "started"))["pid"].clone();
    dev.object(|object| kind(object, "connected"));

    let greet = ["call", "hello", "greet", r#"{"name":"you"}"#];
    rig.well(&greet).says("Hello, you!");
    let call = dev.object(|object| kind(object, "call") && object["method"] == "greet");
    assert_eq!(call["params"]["name"], "you");
    let answer = dev.object(|object| kind(object, "answer") && object["method"] == "greet");
    assert_eq!(
        (&answer["ok"], &answer["result"]["greeting"]),
        (&json!(true), &json!("Hello, you!"))
    );
    assert!(answer["took_ms"].as_f64().is_some());
    rig.fails(4, &["call", "hello", "nothing"]);
    let answer = dev.object(|object| kind(object, "answer") && object["method"] == "nothing");
    assert_eq!(
        (&answer["ok"], &answer["fault"]["code"]),
        (&json!(false), &json!(-32601))
    );

    // A change, and it is another one.
    let path = rig.path().join("hello/plugin.py");
    let code = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{code}\n# changed\n")).unwrap();
    dev.object(|object| kind(object, "changed"));
    let second = dev.object(|object| kind(object, "started"))["pid"].clone();
    assert_ne!(first, second);
    dev.object(|object| kind(object, "connected"));
    rig.well(&greet);

    // A manifest that changes is told to the server.
    let manifest = rig.path().join("hello/manifest.json");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replace("0.1.0", "0.9.0")).unwrap();
    dev.object(|object| kind(object, "manifest"));
    dev.object(|object| kind(object, "connected"));
    assert_eq!(rig.json(&["show", "hello"])["version"], "0.9.0");

    dev.signal(Signal::INT);
    let ended = dev.end();
    assert_eq!(ended.code, 0, "{ended:#?}");
    // The tokens are shown to nobody.
    assert!(!ended.stdout.contains("sdprt_") && !ended.stderr.contains("sdprt_"));

    // The installation is found again.
    let mut dev = Running::spawn(rig.command(&["dev", "hello", "--json"]));
    assert_eq!(dev.object(|object| kind(object, "installed"))["new"], false);
    let pid = dev.object(|object| kind(object, "started"))["pid"]
        .as_u64()
        .unwrap();
    let pid = pid.try_into().unwrap();
    dev.object(|object| kind(object, "connected"));
    assert!(is_there(pid));
    dev.signal(Signal::KILL);
    let _ = dev.end();
    // Nothing outlives it.
    wait_until_gone(pid);
}

#[test]
fn a_plugin_keeps_its_line_when_the_server_goes_and_comes() {
    let mut rig = Rig::start(&[]);
    new(rig.path(), "hello", "python");
    let mut dev = Running::spawn(rig.command(&["dev", "hello", "--json"]));
    let pid = dev.object(|object| kind(object, "started"))["pid"].clone();
    dev.object(|object| kind(object, "connected"));
    // On the same port again.
    let address = rig.url.strip_prefix("http://").unwrap().to_owned();
    rig.server.signal(Signal::KILL);
    let mut command = crate::rig::alone(rig.path(), &["serve", "--json", "--data", "data"]);
    command.args(["--listen", &address]);
    dev.object(|object| kind(object, "disconnected"));
    rig.server = Running::spawn(command);
    rig.server.object(|object| kind(object, "listening"));
    dev.object(|object| kind(object, "connected"));
    rig.well(&["call", "hello", "greet", r#"{"name":"you"}"#])
        .says("Hello, you!");
    dev.signal(Signal::INT);
    let ended = dev.end();
    assert_eq!(ended.code, 0, "{ended:#?}");
    // It was one program all the time.
    assert_eq!(ended.one("started")["pid"], pid);
}

#[test]
fn a_program_that_ends_is_started_again() {
    let rig = Rig::start(&[]);
    new(rig.path(), "hello", "python");
    let mut dev = Running::spawn(rig.command(&[
        "dev",
        "hello",
        "--json",
        "--",
        "/bin/sh",
        "-c",
        "echo once; exit 3",
    ]));
    for _ in 0..2 {
        dev.object(|object| kind(object, "started"));
        dev.object(|object| kind(object, "output") && object["text"] == "once");
        let exited = dev.object(|object| kind(object, "exited"));
        assert_eq!(exited["status"], "exit status 3");
    }
    dev.signal(Signal::TERM);
    assert_eq!(dev.end().code, 0);
}
