//! Plugins on a server: installed, changed, asked, removed.

use std::fs;

use serde_json::{Value, json};

use crate::rig::Rig;
use crate::support::{Running, new, script};

/// A server, and the folder of a plugin in Python, `hello`.
fn with_hello() -> Rig {
    let rig = Rig::start(&[]);
    new(rig.path(), "hello", "python");
    rig
}

fn set_version(rig: &Rig, version: &str) {
    let path = rig.path().join("hello/manifest.json");
    let mut manifest: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    manifest["version"] = version.into();
    fs::write(path, manifest.to_string()).unwrap();
}

#[test]
fn a_plugin_is_installed_called_configured_stopped_and_removed() {
    let rig = with_hello();
    rig.well(&["list"]).says("no plugins");
    let ended = rig.well(&["install", "hello", "--activate"]);
    ended
        .says("hello: ")
        .says("starting")
        .says("is installed: active");
    let plugin = rig.json(&["show", "hello"]);
    assert_eq!(plugin["status"]["active_state"], "active");
    let id = plugin["id"].as_str().unwrap();
    rig.well(&["show", id]).says("version 1, ").says("active");
    let listed = rig.well(&["list"]);
    listed.says("PLUGIN").says(id).says("supervised  active");
    assert!(!listed.stdout.contains('\u{1b}'));
    assert_eq!(rig.json(&["list"])["plugins"][0]["id"], id);
    assert_eq!(
        rig.json(&["list", "--state", "error"])["plugins"],
        json!([])
    );

    let answer = rig.well(&["call", "hello", "greet", r#"{"name":"you"}"#]);
    let answer: Value = serde_json::from_str(&answer.stdout).unwrap();
    assert_eq!(answer["greeting"], "Hello, you!");
    rig.fails(4, &["call", "hello", "nothing"]).says("nothing");
    rig.fails(2, &["call", "hello", "greet", "1"])
        .says("a number");
    let answer = rig.with_input(&["call", "hello", "greet", "-"], r#"{"name":"me"}"#);
    answer.says("Hello, me!");

    rig.well(&["config", "schema", "hello"])
        .says("greeting (string");
    rig.well(&["config", "set", "hello", "greeting=Ahoy"]);
    assert_eq!(rig.json(&["config", "get", "hello"])["greeting"], "Ahoy");
    assert_eq!(
        rig.well(&["config", "get", "hello", "greeting"]).stdout,
        "Ahoy\n"
    );
    rig.well(&["call", "hello", "greet", r#"{"name":"you"}"#])
        .says("Ahoy, you!");
    rig.well(&["config", "unset", "hello", "greeting"]);
    rig.fails(1, &["config", "get", "hello", "greeting"])
        .says("is not set");

    rig.well(&["restart", "hello"]).says("runs: active");
    rig.well(&["deactivate", "hello"])
        .says("is stopped: inactive");
    rig.fails(4, &["call", "hello", "greet", r#"{"name":"you"}"#])
        .says("jackfield activate");
    rig.well(&["why", "hello"])
        .says("is inactive")
        .says("start it: jackfield activate");
    rig.well(&["activate", "Hello"]).says("runs: active");
    rig.well(&["why", "hello"]).says("is active");
    let jobs = rig.json(&["jobs"]);
    let job = jobs["jobs"][0]["id"].as_str().unwrap();
    rig.well(&["jobs", job, "--wait"]).says("done");

    rig.well(&["remove", "hello"]).says(id);
    rig.fails(1, &["show", "hello"])
        .says("there is no plugin `hello`")
        .says("jackfield list");
    rig.fails(1, &["show", id]).says("No such plugin");
}

#[test]
fn versions_come_and_go_and_a_bad_one_changes_nothing() {
    let rig = with_hello();
    rig.well(&["install", "hello", "--activate"]);
    set_version(&rig, "0.2.0");
    rig.well(&["upgrade", "hello", "hello"])
        .says("0.2.0")
        .says("active");
    let versions = rig.json(&["versions", "hello"]);
    assert_eq!(versions["versions"].as_array().unwrap().len(), 2);

    // A version that does not start.
    set_version(&rig, "0.3.0");
    let good = fs::read_to_string(rig.path().join("hello/plugin.py")).unwrap();
    let bad = "import sys\nprint('I am broken', file=sys.stderr)\nsys.exit(42)\n";
    fs::write(rig.path().join("hello/plugin.py"), bad).unwrap();
    let ended = rig.fails(3, &["upgrade", "hello", "hello"]);
    ended.says("before is back").says("I am broken");
    // Also to whoever was not there.
    rig.well(&["why", "hello"])
        .says("is active")
        .says("the last upgrade failed")
        .says("I am broken");
    rig.well(&["call", "hello", "greet", r#"{"name":"you"}"#])
        .says("Hello, you!");
    assert_eq!(rig.json(&["show", "hello"])["version"], "0.2.0");

    fs::write(rig.path().join("hello/plugin.py"), good).unwrap();
    rig.well(&["rollback", "hello"])
        .says("0.1.0")
        .says("active");
    rig.well(&["rollback", "hello", "--to", "2"]).says("0.2.0");
    rig.fails(1, &["rollback", "hello", "--to", "99"])
        .says("99");

    rig.well(&["download", "hello", "-o", "saved.zip"]);
    rig.fails(1, &["download", "hello", "-o", "saved.zip"])
        .says("--force");
    rig.well(&["check", "saved.zip"]);
    // Another plugin's package is none for this one.
    new(rig.path(), "other", "python");
    rig.fails(1, &["upgrade", "hello", "other"]).says("other");
    let sum = "0".repeat(64);
    let ended = rig.fails(1, &["install", "saved.zip", "--checksum", &sum]);
    ended.says("has the digest");
    rig.well(&["install", "saved.zip"]);
    let ended = rig.fails(1, &["show", "hello"]);
    ended
        .says("is more than one plugin")
        .says("supervised")
        .says("the id of the one");
}

#[test]
fn why_tells_what_went_wrong_with_its_last_words() {
    let rig = Rig::start(&["--restarts", "0"]);
    script(rig.path(), "broken", "echo the disk is full >&2; exit 42");
    let ended = rig.fails(3, &["install", "broken", "--activate"]);
    ended
        .says("exit status 42")
        .says("| the disk is full")
        .says("jackfield why");
    let why = rig.well(&["why", "broken"]);
    why.says("is error: exit status 42")
        .says("exit code 42")
        .says("| the disk is full");
    why.says("jackfield activate");
    let why = rig.json(&["why", "broken"]);
    assert_eq!(why["failure"]["details"]["exit_code"], 42);
    rig.well(&["logs", "broken"]).says("the disk is full");
    rig.fails(1, &["install", "nowhere"])
        .says("there is no nowhere");
}

#[test]
fn logs_are_filtered_and_followed_to_their_end() {
    let rig = Rig::start(&["--restarts", "0"]);
    let lines = "for i in 1 2 3; do echo \"line $i\"; done; echo '{\"level\":\"warn\",\"msg\":\"careful\",\"a\":1}'; exit 1";
    script(rig.path(), "talker", lines);
    rig.fails(3, &["install", "talker", "--activate"]);
    let all = rig.well(&["logs", "talker"]).stdout;
    assert_eq!(all, "line 1\nline 2\nline 3\ncareful {\"a\":1}\n");
    assert_eq!(
        rig.well(&["logs", "talker", "--tail", "1"]).stdout,
        "careful {\"a\":1}\n"
    );
    assert_eq!(
        rig.well(&["logs", "talker", "--level", "warn"]).stdout,
        "careful {\"a\":1}\n"
    );
    assert_eq!(rig.well(&["logs", "talker", "--since", "1h"]).stdout, all);
    let records = rig.well(&["logs", "talker", "--json"]).objects();
    assert_eq!(records[0]["seq"], 1);
    rig.fails(1, &["logs", "talker", "--since", "yesterday"]);

    let mut follower = Running::spawn(rig.command(&["logs", "talker", "-f"]));
    follower.line(|line| line.starts_with("careful"));
    rig.fails(3, &["activate", "talker"]);
    follower.line(|line| line == "line 1");
    follower.line(|line| line.starts_with("careful"));
    rig.well(&["remove", "talker"]);
    let ended = follower.end();
    assert_eq!(ended.code, 0);
    ended.says("the log ends here");
}

#[test]
fn an_edit_that_is_not_taken_is_not_lost() {
    let rig = with_hello();
    rig.well(&["install", "hello"]);
    let edit = |script: &str| {
        let mut command = rig.command(&["config", "edit", "hello"]);
        command.env("VISUAL", script).env("TMPDIR", rig.path());
        Running::spawn(command).end()
    };
    let ended = edit("true");
    assert_eq!(ended.code, 0);
    ended.says("nothing was changed");
    let ended = edit(r#"sh -c 'echo "{\"greeting\":\"Ahoy\"}" > "$0"'"#);
    assert_eq!(ended.code, 0, "{ended:#?}");
    assert_eq!(rig.json(&["config", "get", "hello"])["greeting"], "Ahoy");
    for (text, why) in [("{half", "not JSON"), (r#"{\"greeting\":7}"#, "greeting")] {
        let ended = edit(&format!(r#"sh -c 'echo "{text}" > "$0"'"#));
        assert_eq!(ended.code, 4, "{ended:#?}");
        ended.says(why).says("what you wrote is in");
        let path = ended.stderr.split("what you wrote is in ").nth(1).unwrap();
        let kept = fs::read_to_string(path.lines().next().unwrap()).unwrap();
        assert_eq!(kept.trim(), text.replace('\\', ""));
    }
    let ended = edit("false");
    assert_eq!(ended.code, 1);
    assert_eq!(rig.json(&["config", "get", "hello"])["greeting"], "Ahoy");
}

#[test]
fn access_and_methods_and_tokens_are_an_administrators() {
    let rig = with_hello();
    let path = rig.path().join("hello/manifest.json");
    let mut manifest: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    manifest["access"] = json!({ "handle": "hello-bot", "name": "Hello", "permissions": ["CREATE_POST", "READ_PROFILE"] });
    fs::write(path, manifest.to_string()).unwrap();
    rig.well(&["install", "hello"]);
    rig.well(&["access", "show", "hello"])
        .says("CREATE_POST, READ_PROFILE")
        .says("granted   nothing");
    rig.well(&["access", "grant", "hello", "CREATE_POST"])
        .says("granted   CREATE_POST");
    rig.well(&["access", "grant", "hello", "--requested"])
        .says("granted   CREATE_POST, READ_PROFILE");
    rig.well(&["access", "grant", "hello", "--none"])
        .says("granted   nothing");
    rig.well(&["access", "rotate", "hello"]);

    let set = rig.json(&[
        "methods",
        "set",
        "create_post",
        "http://127.0.0.1:9/x",
        "--timeout",
        "2s",
    ]);
    assert!(set["secret"].as_str().unwrap().starts_with("whsec_"));
    rig.well(&["methods", "list"])
        .says("create_post")
        .says("2000 ms");
    rig.fails(1, &["methods", "set", "create_post", "no address"]);
    rig.well(&["methods", "remove", "create_post"]);
    rig.well(&["methods", "list"]).says("no methods");

    let external = rig.json(&["install", "--external", "hello"]);
    let token = external["connection"]["token"].as_str().unwrap();
    assert!(token.starts_with("sdprt_"));
    let id = external["id"].as_str().unwrap();
    let other = rig.json(&["token", "rotate", id]);
    assert_ne!(other["token"], token);
}
