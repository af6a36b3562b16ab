//! `jackfield run`, with real plugins.

use std::fs;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{self, Running, folder, is_there, new, pid_of, run, run_well, script};

const LANGUAGES: [&str; 2] = ["python", "node"];

#[test]
fn new_plugins_work_at_once() {
    let folder = folder();
    for lang in LANGUAGES {
        new(folder.path(), lang, lang);
        let ended = run_well(
            folder.path(),
            &[
                "run",
                lang,
                "--once",
                "--call",
                "greet",
                r#"{"name":"you"}"#,
            ],
        );
        // The answer, and nothing else: made to be piped.
        assert_eq!(ended.stdout, "{\"greeting\":\"Hello, you!\"}\n", "{lang}");
        ended.says("active").says("inactive").says("connected");
    }
}

#[test]
fn everything_is_done_in_order_and_told_as_objects() {
    let folder = folder();
    for lang in LANGUAGES {
        new(folder.path(), lang, lang);
        let ended = run_well(
            folder.path(),
            &[
                "run",
                lang,
                "--json",
                "--once",
                "--config",
                r#"{"greeting":"Ahoy"}"#,
                "--call",
                "greet",
                r#"{"name":"a"}"#,
                "--event",
                "EventThreadPublished",
                r#"{"id":"thread-1"}"#,
                "--call",
                "ping",
                "null",
                "--call",
                "greet",
                r#"{"name":"b"}"#,
            ],
        );
        let answers = ended.of("answer");
        let methods: Vec<&Value> = answers.iter().map(|answer| &answer["method"]).collect();
        assert_eq!(
            methods,
            ["configure", "greet", "event", "ping", "greet"],
            "{lang}"
        );
        assert!(
            answers.iter().all(|answer| answer["ok"] == true),
            "{ended:#?}"
        );
        assert_eq!(answers[1]["result"], json!({ "greeting": "Ahoy, a!" }));
        assert_eq!(answers[3]["result"]["pong"], true);
        assert_eq!(answers[4]["result"], json!({ "greeting": "Ahoy, b!" }));
        let states: Vec<Value> = ended
            .of("state")
            .iter()
            .map(|s| s["state"].clone())
            .collect();
        assert_eq!(
            states,
            ["starting", "connecting", "active", "stopping", "inactive"]
        );
        let logs = ended.of("log");
        let wrote = |text: &str| {
            logs.iter()
                .any(|l| l["text"].as_str().unwrap().contains(text))
        };
        assert!(wrote("thread thread-1 was published"), "{logs:#?}");
        assert_eq!(ended.one("loaded")["plugin"], lang);
        assert_eq!(ended.one("end")["calls"], 5);
        assert_eq!(ended.stderr, "");
    }
}

#[test]
fn a_package_runs_as_its_folder_does() {
    let folder = folder();
    new(folder.path(), "hello", "python");
    run_well(folder.path(), &["pack", "hello"]);
    let ended = run_well(
        folder.path(),
        &[
            "run",
            "hello.zip",
            "--once",
            "--call",
            "greet",
            r#"["you"]"#,
        ],
    );
    assert_eq!(ended.stdout, "{\"greeting\":\"Hello, you!\"}\n");
}

#[test]
fn calls_that_fail_say_what_to_do() {
    let folder = folder();
    for lang in LANGUAGES {
        new(folder.path(), lang, lang);
        let calls = [
            "--call",
            "nope",
            "{}",
            "--call",
            "greet",
            "{}",
            "--call",
            "greet",
            r#"{"name":"x"}"#,
        ];
        let ended = run(
            folder.path(),
            &[&["run", lang, "--once"], &calls[..]].concat(),
        );
        assert_eq!(ended.code, 4, "{ended:#?}");
        assert_eq!(ended.stdout, "{\"greeting\":\"Hello, x!\"}\n");
        ended
            .says("-32601")
            .says("the plugin has no method of this name")
            .says("-32602")
            .says("compare the JSON with what the method takes")
            .says("error: 2 of 3 calls failed");
        let ended = run(
            folder.path(),
            &[&["run", lang, "--once", "--json"], &calls[..]].concat(),
        );
        let codes: Vec<Value> = ended
            .of("answer")
            .iter()
            .map(|answer| answer["error"]["code"].clone())
            .collect();
        assert_eq!(codes, [json!(-32601), json!(-32602), Value::Null]);
        assert_eq!(ended.one("error")["exit_code"], 4);
    }
}

#[test]
fn what_is_given_wrong_is_said_before_anything_starts() {
    let folder = folder();
    new(folder.path(), "hello", "python");
    fs::write(folder.path().join("broken.zip"), "PK no more").unwrap();
    fs::write(folder.path().join("list.json"), "[1]").unwrap();
    for (arguments, code, says) in [
        (
            &["nowhere"][..],
            1,
            &["there is no nowhere", "jackfield new"][..],
        ),
        (
            &["broken.zip"],
            1,
            &["not a zip archive", "jackfield pack <folder>"],
        ),
        (
            &["hello/manifest.json"],
            1,
            &["is a manifest", "jackfield external"],
        ),
        (
            &["hello", "--call", "greet", "{name}"],
            2,
            &["--call greet", "{name}", "quote JSON"],
        ),
        (
            &["hello", "--call", "greet", "1"],
            2,
            &["is a number", "an object, an array or null"],
        ),
        (
            &["hello", "--call", "greet"],
            2,
            &["2 values required", "--help"],
        ),
        (
            &["hello", "--event", "Foo", "{}"],
            2,
            &["does not consume the event Foo", "EventThreadPublished"],
        ),
        (
            &["hello", "--config", "nowhere"],
            2,
            &["nowhere", "a file of JSON"],
        ),
        (
            &["hello", "--config", "list.json"],
            2,
            &["is an array", "a value for each key"],
        ),
        (
            &["hello", "--config", "{x"],
            2,
            &["in --config is not JSON"],
        ),
        (&["hello", "--env", "x"], 2, &["KEY=VALUE"]),
        (&["hello", "--timeout", "soon"], 2, &["soon"]),
        (
            &["hello", "--listen", "192.0.2.1:1"],
            1,
            &["192.0.2.1:1", "--listen"],
        ),
        (
            &["hello", "--data", "list.json"],
            1,
            &["list.json", "--data"],
        ),
    ] {
        let ended = run(folder.path(), &[&["run"], arguments].concat());
        assert_eq!(ended.code, code, "{arguments:?}: {ended:#?}");
        says.iter().for_each(|text| _ = ended.says(text));
        assert_eq!(ended.stdout.trim(), "", "{arguments:?}");
        if code == 1 {
            let ended = run(folder.path(), &[&["--json", "run"], arguments].concat());
            assert_eq!(ended.one("error")["exit_code"], 1);
        }
    }
}

#[test]
fn a_plugin_that_crashes_at_once_is_given_up_and_explained() {
    let folder = folder();
    script(folder.path(), "crash", "echo going down >&2; exit 7");
    let ended = run(folder.path(), &["run", "crash", "--restarts", "0"]);
    assert_eq!(ended.code, 3);
    ended
        .says("error: crash failed: exit status 7")
        .says("| going down");
    let ended = run(
        folder.path(),
        &["run", "crash", "--restarts", "1", "--json"],
    );
    assert_eq!(ended.code, 3);
    let states: Vec<Value> = ended
        .of("state")
        .iter()
        .map(|s| s["state"].clone())
        .collect();
    let expected = [
        "starting",
        "connecting",
        "restarting",
        "starting",
        "connecting",
        "errored",
    ];
    assert_eq!(states, expected, "{ended:#?}");
    let failure = &ended.one("error")["failure"];
    assert_eq!(failure["details"]["exit_code"], 7);
    assert_eq!(failure["details"]["last_lines"], json!(["going down"]));
    // The lines that led to a state come before it.
    let objects = ended.objects();
    let place = |holds: &dyn Fn(&Value) -> bool| objects.iter().position(holds).unwrap();
    assert!(
        place(&|o| o["type"] == "log" && o["text"] == "going down")
            < place(&|o| o["state"] == "restarting")
    );
}

#[test]
fn a_command_that_is_not_there_is_no_crash() {
    let folder = folder();
    let plugin = script(folder.path(), "lost", "");
    let manifest = fs::read_to_string(plugin.join("manifest.json")).unwrap();
    let manifest = manifest.replace("./run.sh", "no-such-program-anywhere");
    fs::write(plugin.join("manifest.json"), manifest).unwrap();
    let ended = run(folder.path(), &["run", "lost"]);
    assert_eq!(ended.code, 3);
    ended.says("warning: command: there is no `no-such-program-anywhere` on this machine");
    ended.says("lost failed");
}

#[test]
fn a_plugin_that_never_dials_is_waited_for_as_long_as_was_said() {
    let folder = folder();
    script(folder.path(), "silent", "echo $$; exec sleep 1000");
    let ended = run(
        folder.path(),
        &["run", "silent", "--timeout", "3s", "--json"],
    );
    assert_eq!(ended.code, 3);
    let error = ended.one("error");
    let message = error["message"].as_str().unwrap();
    assert!(
        message.contains("did not become active within 3s"),
        "{message}"
    );
    assert!(
        error["hints"].to_string().contains("JACKFIELD_RPC_URL"),
        "{error}"
    );
    assert!(!is_there(
        ended.of("log")[0]["text"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap()
    ));
}

#[test]
fn an_answer_that_does_not_come_is_waited_for_as_long_as_was_said() {
    let folder = folder();
    new(folder.path(), "slow", "python");
    let path = folder.path().join("slow/plugin.py");
    let code = fs::read_to_string(&path).unwrap();
    let code = code.replace(
        "    return {\"greeting\"",
        "    await __import__('asyncio').sleep(1000)\n    return {\"greeting\"",
    );
    fs::write(&path, code).unwrap();
    let ended = run(
        folder.path(),
        &[
            "run",
            "slow",
            "--once",
            "--timeout",
            "3s",
            "--call",
            "greet",
            r#"{"name":"x"}"#,
        ],
    );
    assert_eq!(ended.code, 4);
    ended.says("was not answered within 3s").says("--timeout");
}

#[test]
fn signals_stop_the_plugin_and_all_it_started() {
    for (lang, signal) in [
        ("python", Signal::INT),
        ("node", Signal::TERM),
        ("python", Signal::HUP),
    ] {
        let folder = folder();
        new(folder.path(), "hello", lang);
        let mut running = Running::start(folder.path(), &["run", "hello", "--json"]);
        let plugin = pid_of(&running.state("active"));
        assert!(is_there(plugin));
        running.signal(signal);
        let ended = running.end();
        assert_eq!(ended.code, 0, "{ended:#?}");
        assert!(!is_there(plugin));
        let states = ended.of("state");
        assert_eq!(states.last().unwrap()["state"], "inactive");
        assert_eq!(ended.one("end")["ok"], true);
    }
}

#[test]
fn a_second_interrupt_does_not_wait_for_the_grace() {
    let (folder, temporary) = (folder(), support::folder());
    let stubborn = "trap '' INT TERM; echo $$; while :; do sleep 1; done";
    script(folder.path(), "stubborn", stubborn);
    let line = ["run", "stubborn", "--json", "--grace", "10m"];
    let mut command = support::jackfield(folder.path(), &line);
    command.env("TMPDIR", temporary.path());
    let mut running = Running::spawn(command);
    let said = running.object(|object| object["type"] == "log");
    let plugin = said["text"].as_str().unwrap().parse().unwrap();
    running.signal(Signal::INT);
    running.state("stopping");
    running.signal(Signal::INT);
    let ended = running.end();
    assert_eq!(ended.code, 130);
    assert_eq!(ended.one("error")["exit_code"], 130);
    support::wait_until_gone(plugin);
    assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0);
}

#[test]
fn interrupted_before_the_calls_were_made_is_no_success() {
    let folder = folder();
    script(folder.path(), "silent", "echo here; exec sleep 1000");
    let line = ["run", "silent", "--json", "--once", "--call", "greet", "{}"];
    let mut running = Running::start(folder.path(), &line);
    running.object(|object| object["type"] == "log");
    running.signal(Signal::INT);
    assert_eq!(running.end().code, 130);
}

#[test]
fn a_plugin_that_is_killed_comes_back_and_is_configured_again() {
    let folder = folder();
    new(folder.path(), "hello", "python");
    let line = [
        "run",
        "hello",
        "--json",
        "--config",
        r#"{"greeting":"Ahoy"}"#,
    ];
    let mut running = Running::start(folder.path(), &line);
    let configured = |object: &Value| object["type"] == "answer" && object["method"] == "configure";
    let first = pid_of(&running.state("active"));
    running.object(configured);
    support::signal_to(first, Signal::KILL);
    let restarting = running.state("restarting");
    assert_eq!(restarting["error"]["details"]["signal"], 9);
    let second = pid_of(&running.state("active"));
    assert_ne!(first, second);
    running.object(configured);
    running.signal(Signal::INT);
    assert_eq!(running.end().code, 0);
    assert!(!is_there(first) && !is_there(second));
}

#[test]
fn a_data_folder_is_kept_with_the_plugins_state() {
    let folder = folder();
    script(
        folder.path(),
        "state",
        r#"echo "had $(cat "$JACKFIELD_STATE_DIR/n" 2>/dev/null)"; echo "$SAID" > "$JACKFIELD_STATE_DIR/n"; exit 1"#,
    );
    let run = |said: &str| {
        let line = [
            "run",
            "state",
            "--restarts",
            "0",
            "--json",
            "--data",
            "data",
            "--env",
            said,
        ];
        let ended = run(folder.path(), &line);
        ended.one("log")["text"].as_str().unwrap().to_owned()
    };
    assert_eq!(run("SAID=one"), "had ");
    assert_eq!(run("SAID=two"), "had one");
    assert!(folder.path().join("data/installations.json").is_file());
}

#[test]
fn a_data_folder_in_use_is_not_shared() {
    let folder = folder();
    new(folder.path(), "hello", "python");
    let line = ["run", "hello", "--json", "--data", "data"];
    let mut first = Running::start(folder.path(), &line);
    first.state("active");
    let ended = run(folder.path(), &["run", "hello", "--data", "data"]);
    assert_eq!(ended.code, 1);
    ended.says("is in use by another host").says("--data");
    ended.says(&first.pid().to_string());
    first.signal(Signal::INT);
    assert_eq!(first.end().code, 0);
}

#[test]
fn without_a_data_folder_nothing_is_left_behind() {
    let (folder, temporary) = (folder(), support::folder());
    new(folder.path(), "hello", "python");
    let mut command = support::jackfield(folder.path(), &["run", "hello", "--once"]);
    command.env("TMPDIR", temporary.path());
    let ended = Running::spawn(command).end();
    assert_eq!(ended.code, 0, "{ended:#?}");
    assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn when_nobody_reads_any_more_it_ends() {
    let (folder, temporary) = (folder(), support::folder());
    script(
        folder.path(),
        "chatty",
        "while :; do echo line; sleep 0.05; done",
    );
    let mut command = support::jackfield(folder.path(), &["run", "chatty", "--json"]);
    command.env("TMPDIR", temporary.path());
    command
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    // It ends by itself.
    support::wait_until_gone(child.id());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0);
}
