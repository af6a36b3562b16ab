//! `jackfield serve`

use std::os::unix::fs::PermissionsExt as _;

use rustix::process::Signal;

use crate::rig::{Rig, serve};
use crate::support::{folder, new};

#[test]
fn a_server_says_where_it_is_and_drains_when_it_is_told_to() {
    for signal in [Signal::TERM, Signal::INT] {
        let rig = Rig::start(&[]);
        assert!(rig.url.starts_with("http://127.0.0.1:"));
        assert!(rig.token.starts_with("jfa_"), "{}", rig.token.len());
        rig.server.signal(signal);
        let ended = rig.server.end();
        assert_eq!(ended.code, 0, "{ended:#?}");
        assert_eq!(ended.one("stopped")["killed"], serde_json::json!([]));
    }
}

#[test]
fn an_administrator_is_told_once_and_another_when_asked_for() {
    let rig = Rig::start(&[]);
    let (folder, first) = (rig.folder, rig.token);
    rig.server.signal(Signal::TERM);
    rig.server.end();

    let mut again = serve(folder.path(), &[]);
    again.object(|object| object["type"] == "listening");
    again.signal(Signal::TERM);
    let ended = again.end();
    assert!(ended.of("administrator").is_empty(), "{ended:#?}");

    let mut other = serve(
        folder.path(),
        &["--new-admin-token", "--token-file", "admin"],
    );
    let told = other.object(|object| object["type"] == "administrator");
    assert_eq!(told["token_file"], "admin");
    let path = folder.path().join("admin");
    let token = std::fs::read_to_string(&path).unwrap();
    assert!(token.starts_with("jfa_") && token.trim() != first);
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    other.signal(Signal::TERM);
    let ended = other.end();
    // It is in the file, and nowhere else.
    assert!(!format!("{ended:?}").contains(token.trim()));
}

#[test]
fn a_plugin_that_does_not_stop_is_killed_and_named() {
    let folder = folder();
    new(folder.path(), "hello", "python");
    let rig = Rig::start_in(folder, &["--stop-grace", "1h", "--grace", "500ms"]);
    let plugin = rig.json(&["install", "hello", "--activate"]);
    // It does not even see the interrupt.
    let pid = rig.json(&["show", "hello"])["status"]["pid"]
        .as_u64()
        .unwrap();
    crate::support::signal_to(pid.try_into().unwrap(), Signal::STOP);
    rig.server.signal(Signal::TERM);
    let ended = rig.server.end();
    assert_eq!(ended.code, 0, "{ended:#?}");
    assert_eq!(
        ended.one("stopped")["killed"],
        serde_json::json!([plugin["id"]])
    );
    assert!(ended.stdout.contains("did not stop in time"), "{ended:#?}");
}

#[test]
fn what_is_typed_wrong_is_refused_before_anything_is_made() {
    let folder = folder();
    let ended = serve(folder.path(), &["--event-park-after", "0"]).end();
    assert_eq!(ended.code, 2);
    let ended = serve(folder.path(), &["--runtime", "elsewhere"]).end();
    assert_eq!(ended.code, 2);
    assert!(!folder.path().join("data").exists());
    // An address that somebody has.
    let rig = Rig::start(&[]);
    let address = rig.url.strip_prefix("http://").unwrap();
    let mut command = crate::rig::alone(folder.path(), &["serve", "--listen", address]);
    command.args(["--data", "other"]);
    let ended = crate::support::Running::spawn(command).end();
    assert_eq!(ended.code, 1, "{ended:#?}");
    ended.says("cannot listen on").says("--listen");
}
