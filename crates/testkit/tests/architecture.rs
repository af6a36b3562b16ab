//! What may import what, and how files are cut. ARCHITECTURE.md says why.

#![expect(clippy::unwrap_used, reason = "tests may")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The crates of the workspace, each with those others that it may import. What is not here is
/// forbidden.
const TABLE: &[(&str, &[&str])] = &[
    (WIRE, &[]),
    (PACKAGE, &[WIRE]),
    (PROCESS, &[]),
    (RPC, &[WIRE]),
    (GRPC, &[WIRE, PROCESS]),
    (HOST, &[WIRE, PACKAGE, PROCESS, RPC, GRPC]),
    (SDK, &[WIRE, RPC]),
    (SPRITES, &[WIRE, PROCESS, HOST]),
    (KV, &[HOST, SDK]),
    (SERVER, &[WIRE, PACKAGE, HOST]),
    // `dev` runs a program that no host runs: the plugin is external to the server.
    (CLI, &[WIRE, PACKAGE, PROCESS, HOST, SDK, SERVER, SPRITES]),
    (
        TESTKIT,
        &[
            WIRE, PACKAGE, PROCESS, RPC, GRPC, HOST, SDK, SERVER, KV, SPRITES,
        ],
    ),
    // As an application, and as a plugin's author.
    (BENCH, &[HOST, SDK, KV]),
];

/// What of the rest of the world only some may import, and who. A `*` stands for any ending.
const RESERVED: &[(&[&str], &[&str])] = &[
    (&["axum*"], &[SERVER]),
    // The testkit asks a PostgreSQL for fresh databases.
    (&["sqlx*", "rusqlite*"], &[SERVER, TESTKIT]),
    // The plugin side of gRPC reads its author's flags.
    (&["clap*"], &[CLI, SDK, KV, BENCH]),
    // The host's side hands requests on and needs no messages.
    (&["connectrpc*", "buffa*"], &[SDK, KV, TESTKIT, BENCH]),
    (&["tonic*", "prost*"], &[TESTKIT]),
    // Words and archives are plain data.
    (
        &["tokio*", "futures*", "hyper*"],
        &[
            PROCESS, RPC, GRPC, HOST, SDK, SERVER, CLI, TESTKIT, KV, SPRITES, BENCH,
        ],
    ),
    // A child process knows no protocol.
    (
        &["serde*"],
        &[
            WIRE, PACKAGE, RPC, GRPC, HOST, SDK, SERVER, CLI, TESTKIT, KV, SPRITES, BENCH,
        ],
    ),
];

const WIRE: &str = "jackfield-wire";
const PACKAGE: &str = "jackfield-package";
const PROCESS: &str = "jackfield-process";
const RPC: &str = "jackfield-rpc";
const GRPC: &str = "jackfield-grpc";
const HOST: &str = "jackfield";
const SDK: &str = "jackfield-plugin";
const SERVER: &str = "jackfield-server";
const CLI: &str = "jackfield-cli";
const TESTKIT: &str = "jackfield-testkit";
/// The example.
const KV: &str = "kv";
const SPRITES: &str = "jackfield-sprites";
const BENCH: &str = "jackfield-bench";

/// Where code may lift the ban on `unsafe`: the parts of the process crate that speak to the
/// operating system.
const UNSAFE: [&str; 3] = [
    "process/src/linux/",
    "process/src/unix",
    "process/src/windows",
];

/// A file that outgrows this is two ideas.
const LINES: usize = 500;

#[test]
fn crates_import_what_the_table_says() {
    let crates = crates();
    let known: BTreeSet<_> = crates.keys().map(String::as_str).collect();
    let mut wrong = Vec::new();
    for (name, imports) in &crates {
        let Some((_, may)) = TABLE.iter().find(|(listed, _)| listed == name) else {
            wrong.push(format!("{name} is not in the table"));
            continue;
        };
        for import in imports {
            let ours = known.contains(import.as_str());
            let reserved = RESERVED.iter().any(|(what, who)| {
                what.iter().any(|rule| matches(rule, import)) && !who.contains(&name.as_str())
            });
            if reserved || ours && !may.contains(&import.as_str()) {
                wrong.push(format!("{name} may not import {import}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // The check looked at something.
    assert!(crates[HOST].contains(RPC), "{crates:?}");
}

#[test]
fn nothing_builds_on_the_testkit() {
    for (name, imports) in crates() {
        assert!(!imports.contains(TESTKIT), "{name}");
    }
}

#[test]
fn the_host_is_told_everything_and_does_not_read_the_environment() {
    let found = lines_with(
        |path| path.starts_with("host/src/"),
        |code| code.contains("std::env") || code.contains("env::var"),
    );
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn unsafe_code_is_where_the_operating_system_is() {
    let unsafe_word = |code: &str| {
        // A hyphen is in no word of Rust's: `unsafe-inline` is a browser's.
        code.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '-')
            .any(|word| word == "unsafe" || word == "unsafe_code")
    };
    let os = |path: &str| UNSAFE.iter().any(|start| path.starts_with(start));
    let found = lines_with(|path| !os(path), unsafe_word);
    assert!(found.is_empty(), "{}", found.join("\n"));
    let there = lines_with(os, unsafe_word);
    assert!(!there.is_empty(), "the check looks for the wrong thing");
}

#[test]
fn no_file_outgrows_its_idea() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let lines = text.lines().take_while(|line| *line != "#[cfg(test)]");
        let count = lines.count();
        if count > LINES {
            wrong.push(format!("{path}: {count} lines without tests"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn lib_and_mod_files_hold_no_logic() {
    let found = lines_with(
        |path| path.ends_with("/lib.rs") || path.ends_with("/mod.rs"),
        |code| {
            let mut words = code.split_whitespace();
            words.any(|word| word == "fn")
        },
    );
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// The workspace's crates, each with the names of what it imports outside of its tests.
fn crates() -> BTreeMap<String, BTreeSet<String>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| env!("CARGO").into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .args(["--offline", "--manifest-path"])
        .arg(root().join("Cargo.toml"))
        .output()
        .expect("cargo runs");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    packages
        .iter()
        .map(|package| {
            let imports = package["dependencies"].as_array().unwrap();
            // The kind of an ordinary import is null, the others are `dev` and `build`.
            let imports = imports.iter().filter(|import| import["kind"].is_null());
            let names = imports.map(|import| text(&import["name"])).collect();
            (text(&package["name"]), names)
        })
        .collect()
}

/// Whether a name fits a rule, at whose end `*` stands for anything.
fn matches(rule: &str, name: &str) -> bool {
    match rule.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == rule,
    }
}

/// The lines of code that something holds for, comments left out, each with its place.
fn lines_with(files: impl Fn(&str) -> bool, holds: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in sources() {
        for (number, line) in text.lines().enumerate().filter(|_| files(&path)) {
            let code = line.split("//").next().unwrap_or_default();
            if holds(code) {
                found.push(format!("{path}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    found
}

/// All sources of the crates but their tests, with their paths below `crates`, `runtimes`, `examples` or the root.
fn sources() -> Vec<(String, String)> {
    let mut sources = Vec::new();
    for group in ["crates", "runtimes", "examples"] {
        let group = root().join(group);
        for entry in fs::read_dir(&group).unwrap() {
            gather(&group, &entry.unwrap().path().join("src"), &mut sources);
        }
    }
    gather(&root(), &root().join("bench/src"), &mut sources);
    assert!(sources.len() > 50, "only {} files found", sources.len());
    sources.sort();
    sources
}

fn gather(group: &Path, folder: &Path, sources: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            gather(group, &path, sources);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let name = path.strip_prefix(group).unwrap().to_str().unwrap();
            sources.push((name.to_owned(), fs::read_to_string(&path).unwrap()));
        }
    }
}

fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().expect("the workspace")
}
