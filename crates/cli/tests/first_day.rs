//! The day with the server that README.md tells, as it is told there; and the examples of docs/server.md.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests, too")]

#[path = "cli/support.rs"]
#[expect(dead_code, reason = "shared with the tests of the other commands")]
mod support;

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use tokio::time::Instant;

use crate::support::{Ended, PATIENCE, Running, folder};

const README: &str = include_str!("../../../README.md");
const SERVER: &str = include_str!("../../../docs/server.md");
/// Where the server of the story listens. The one of the test takes a port that is free.
const TOLD: &str = "127.0.0.1:7411";

/// A command, and those of its lines that are shown, as comments below it. `…` stands for anything.
#[derive(Debug)]
struct Step {
    command: String,
    shown: Vec<String>,
}

/// The blocks in a language, below a heading.
fn blocks(text: &str, heading: &str, language: &str) -> Vec<String> {
    let section = text.split(&format!("\n{heading}\n")).nth(1).unwrap();
    let level = heading.split(' ').next().unwrap();
    let section = section.split(&format!("\n{level} ")).next().unwrap();
    let fence = format!("\n```{language}\n");
    let pieces = section.split(&fence).skip(1);
    pieces
        .map(|piece| piece.split("\n```").next().unwrap().to_owned())
        .collect()
}

fn steps() -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for line in blocks(README, "## A day with the server", "sh")
        .iter()
        .flat_map(|block| block.lines())
    {
        match line.strip_prefix("# ") {
            Some(shown) => steps.last_mut().unwrap().shown.push(shown.to_owned()),
            None => steps.push(Step {
                command: line.to_owned(),
                shown: Vec::new(),
            }),
        }
    }
    steps
}

/// Whether a line is what is shown, where `…` stands for anything.
fn fits(shown: &str, line: &str) -> bool {
    let mut rest = line;
    for (place, piece) in shown.split('…').enumerate() {
        let found = if place == 0 {
            rest.starts_with(piece).then_some(0)
        } else {
            rest.find(piece)
        };
        match found {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    rest.is_empty() || shown.ends_with('…')
}

/// The first that is shown and not there: lines are there in their order, others may stand between.
fn missing<'a>(shown: &'a [String], output: &str) -> Option<&'a String> {
    let mut lines = output.lines();
    shown
        .iter()
        .find(|shown| !lines.any(|line| fits(shown, line.trim_end())))
}

/// What is typed in the terminal of the story; errors come out where everything else does.
fn typed(home: &Path, line: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("exec 2>&1; {line}")]);
    command.current_dir(home).stdin(Stdio::null());
    for (name, _) in std::env::vars() {
        if name.starts_with("JACKFIELD_") || name.starts_with("AWS_") {
            command.env_remove(name);
        }
    }
    let own = Path::new(env!("CARGO_BIN_EXE_jackfield")).parent().unwrap();
    let path = std::env::var("PATH").unwrap();
    command
        .env("PATH", format!("{}:{path}", own.display()))
        .env("XDG_CONFIG_HOME", home.join("settings"))
        .env("USER", "tester")
        .env("JACKFIELD_LISTEN", "127.0.0.1:0")
        // A story may be told quickly.
        .env("JACKFIELD_RESTART_DELAY", "50ms")
        .env_remove("RUST_LOG")
        .env_remove("NO_COLOR");
    command
}

/// Types a line, until it shows what it is to show where it only looks.
fn run(home: &Path, step: &Step, address: &str) -> Ended {
    let looks = ["why", "logs", "show", "list"];
    let looks = looks
        .iter()
        .any(|word| step.command.starts_with(&format!("jackfield {word} ")));
    let begun = Instant::now();
    loop {
        let mut command = typed(home, &step.command.replace(TOLD, address));
        if step.command.starts_with("jackfield login ") {
            command.stdin(File::open(home.join("token")).unwrap());
        }
        let ended = Running::spawn(command).end();
        let output = ended.stdout.replace(address, TOLD);
        match missing(&step.shown, &output) {
            None => return ended,
            Some(_) if looks && begun.elapsed() < PATIENCE => {}
            Some(missing) => panic!("{missing:?} is not shown by {step:#?}, but {ended:#?}"),
        }
    }
}

#[test]
fn the_day_with_the_server_goes_as_the_readme_tells_it() {
    let folder = folder();
    let home = folder.path();
    let mut steps = steps().into_iter();

    let serve = steps.next().unwrap();
    assert_eq!(serve.command, "jackfield serve");
    // In the place of the shell, for signals.
    let mut server = Running::spawn(typed(home, "exec jackfield serve"));
    let listening = server.line(|line| line.starts_with("listening on http://"));
    let address = listening.split("http://").nth(1).unwrap();
    let address = address.split(' ').next().unwrap().to_owned();
    assert!(fits(&serve.shown[0], &listening.replace(&address, TOLD)));
    for shown in &serve.shown[1..] {
        let line = server.line(|line| fits(shown, &line.replace(&address, TOLD)));
        if let Some(at) = line.find("jfa_") {
            fs::write(home.join("token"), &line[at..]).unwrap();
        }
    }

    let mut told = 0;
    for step in steps {
        let ended = run(home, &step, &address);
        let fails = step.shown.iter().any(|line| line.starts_with("error: "));
        assert_eq!(ended.code != 0, fails, "{step:#?} {ended:#?}");
        told += 1;
    }
    assert!(told > 20, "the story is short: {told}");

    server.signal(Signal::TERM);
    let ended = server.end();
    assert_eq!(ended.code, 0, "{ended:#?}");
    ended.says("\nstopped\n");
}

/// The example of the standard's own documentation, and one that was changed on its way.
#[test]
fn the_examples_verify_signatures() {
    let (secret, id, time) = (
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "1614265330",
    );
    let signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    let body = r#"{"test": 2432232314}"#;
    let heading = "### Verifying the signature";
    let ends = [
        (
            "python",
            "python3",
            "-c",
            format!(
                "h = {{'webhook-id': '{id}', 'webhook-timestamp': '{time}', 'webhook-signature': '{signature}'}}\n\
                 assert verify('{secret}', h, b'{body}', now={time})\n\
                 assert not verify('{secret}', h, b'{body} ', now={time})\n\
                 assert not verify('{secret}', h, b'{body}', now={time} + 301)\n"
            ),
        ),
        (
            "js",
            "node",
            "--input-type=module",
            format!(
                "const h = {{'webhook-id': '{id}', 'webhook-timestamp': '{time}', 'webhook-signature': '{signature}'}}\n\
                 const b = Buffer.from('{body}')\n\
                 if (!verify('{secret}', h, b, {time})) throw 'good'\n\
                 if (verify('{secret}', h, Buffer.from('{body} '), {time})) throw 'changed'\n\
                 if (verify('{secret}', h, b, {time} + 301)) throw 'old'\n"
            ),
        ),
    ];
    for (language, program, flag, asks) in ends {
        let examples = blocks(SERVER, heading, language);
        assert_eq!(examples.len(), 1, "{language}");
        let mut command = Command::new(program);
        command.arg(flag);
        if language == "js" {
            command.arg("-e");
        }
        command.arg(format!("{}\n{asks}", examples[0]));
        let ended = Running::spawn(command).end();
        assert_eq!(ended.code, 0, "{ended:#?}");
    }
}

#[test]
fn what_is_shown_is_compared() {
    assert!(fits("a … c", "a b c") && fits("a…", "a") && fits("…", ""));
    assert!(!fits("a … c", "a b c d") && !fits("a", "a b") && !fits("b", "a b"));
    let shown = ["b".to_owned(), "d…".to_owned()];
    assert_eq!(missing(&shown, "a\nb\nc\nd e\n"), None);
    assert_eq!(missing(&shown, "d\nb\n"), Some(&shown[1]));
}
