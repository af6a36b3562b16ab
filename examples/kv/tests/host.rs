//! The host drives the plugins in Rust, Go and Python, and finds them to be the same.

use std::path::PathBuf;
use std::process::{Command, Stdio};

const TOUR: &str = "\
X: put, and got colour=blue
X: refused: not_found: no key \"shape\"
X: loaded 3 entries
X: listed number/one=one
X: listed number/three=three
X: listed number/two=two
X: synced shape, which has no value
X: synced shape=round
X: synced shape=round
";

#[test]
fn drives_all_three() {
    let prepared = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/peers");
    let go = prepared.join("grpc-go/kv");
    let python = prepared.join("grpc-python/bin/python");
    assert!(
        go.exists() && python.exists(),
        "run ./test once, or ./test prepare"
    );
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/python/plugin.py");
    let output = Command::new(env!("CARGO_BIN_EXE_kv-host"))
        .arg(concat!("rust=", env!("CARGO_BIN_EXE_kv-plugin")))
        .arg(format!("go={}", go.display()))
        .arg(format!("python={} {source}", python.display()))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{complaint}");
    for name in ["rust", "go", "python"] {
        // What they log comes when it comes.
        let logs = format!("{name}: logs ");
        let (logged, told): (Vec<_>, Vec<_>) = said
            .lines()
            .filter(|line| line.starts_with(&format!("{name}: ")))
            .partition(|line| line.starts_with(&logs));
        let stored = logged.iter().filter(|line| line.contains(": stored "));
        assert_eq!(stored.count(), 5, "{said}");
        let [starting, ready, tour @ .., stopped] = &told[..] else {
            panic!("{said}");
        };
        assert!(starting.contains("starting"), "{said}");
        assert!(ready.contains("ready, process "), "{said}");
        let expected = TOUR.replace('X', name);
        assert_eq!(*tour, expected.lines().collect::<Vec<_>>());
        assert_eq!(*stopped, format!("{name}: stopped with exit status 0"));
    }
}

#[test]
fn says_what_it_did_not_understand() {
    let output = Command::new(env!("CARGO_BIN_EXE_kv-host"))
        .arg("no plugin")
        .output()
        .unwrap();
    assert!(!output.status.success());
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(complaint.contains("<name>=<program>"), "{complaint}");
}
