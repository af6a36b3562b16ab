//! `jackfield login`, and what is said where nobody is.

use std::os::unix::fs::PermissionsExt as _;

use rustix::process::Signal;

use crate::rig::{Rig, alone};
use crate::support::{Running, folder};

#[test]
fn a_server_is_known_until_it_is_forgotten() {
    let rig = Rig::start(&[]);
    let without = |arguments: &[&str]| Running::spawn(alone(rig.path(), arguments)).end();
    let ended = without(&["list"]);
    assert_eq!(ended.code, 2);
    ended.says("no server is known").says("jackfield login");

    // A token that is none is not kept.
    let wrong = rig.path().join("wrong");
    std::fs::write(&wrong, "jfa_none").unwrap();
    let mut command = alone(rig.path(), &["login", &rig.url]);
    command.stdin(std::fs::File::open(&wrong).unwrap());
    let ended = Running::spawn(command).end();
    assert_eq!(ended.code, 5, "{ended:#?}");
    let kept = rig.path().join("settings/jackfield/login.json");
    assert!(!kept.exists());

    // `Rig` keeps it in this file.
    let mut command = alone(rig.path(), &["login", &rig.url]);
    command.stdin(std::fs::File::open(rig.path().join("known")).unwrap());
    let ended = Running::spawn(command).end();
    assert_eq!(ended.code, 0, "{ended:#?}");
    ended.says("administrator").says("jackfield list");
    assert!(!ended.stdout.contains(&rig.token) && !ended.stderr.contains(&rig.token));
    let mode = std::fs::metadata(&kept).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let ended = without(&["list"]);
    assert_eq!(ended.code, 0, "{ended:#?}");
    ended.says("no plugins");
    without(&["whoami"]).says("admin");
    assert_eq!(without(&["logout"]).code, 0);
    assert_eq!(without(&["list"]).code, 2);
}

#[test]
fn what_is_not_reached_or_not_permitted_has_a_code_of_its_own() {
    let rig = Rig::start(&[]);
    let token = rig.json(&[
        "tokens",
        "create",
        "reader",
        "-p",
        "read",
        "--expires",
        "1h",
    ]);
    let mut command = rig.command(&["install", "nothing.zip"]);
    command.env("JACKFIELD_API_TOKEN", token["token"].as_str().unwrap());
    let mut tokens = rig.command(&["tokens", "list"]);
    tokens.env("JACKFIELD_API_TOKEN", token["token"].as_str().unwrap());
    // What is wrong here is said first.
    assert_eq!(Running::spawn(command).end().code, 1);
    let ended = Running::spawn(tokens).end();
    assert_eq!(ended.code, 5, "{ended:#?}");
    ended.says("jackfield whoami");
    rig.well(&["tokens", "list"]).says("reader");
    let id = token["id"].as_str().unwrap();
    rig.well(&["tokens", "revoke", id]);
    let mut command = rig.command(&["whoami"]);
    command.env("JACKFIELD_API_TOKEN", token["token"].as_str().unwrap());
    let ended = Running::spawn(command).end();
    assert_eq!(ended.code, 5, "{ended:#?}");
    ended.says("jackfield login http://127.0.0.1");
    rig.well(&["audit", "--limit", "20"]).says("administrator");

    rig.server.signal(Signal::TERM);
    let (url, folder) = (rig.url.clone(), folder());
    rig.server.end();
    let mut command = alone(folder.path(), &["list", "--server", &url, "--json"]);
    command.env("JACKFIELD_API_TOKEN", "jfa_x");
    let ended = Running::spawn(command).end();
    assert_eq!(ended.code, 5, "{ended:#?}");
    assert_eq!(ended.one("error")["exit_code"], 5);
}

#[test]
fn shells_get_their_completions() {
    let folder = folder();
    for shell in ["bash", "zsh", "fish"] {
        let ended = Running::spawn(alone(folder.path(), &["completions", shell])).end();
        assert_eq!(ended.code, 0);
        ended.says("deactivate");
    }
}
