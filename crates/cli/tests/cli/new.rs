//! `jackfield new`. That what it writes works is shown in `run.rs`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{folder, run, run_well};

#[test]
fn the_names_are_filled_in() {
    let folder = folder();
    for lang in ["python", "node", "rust"] {
        let path = format!("My {lang}_plugin");
        let line = [
            "new",
            &path,
            "--lang",
            lang,
            "--name",
            "It's mine",
            "--author",
            "Me-2",
        ];
        let ended = run_well(folder.path(), &line);
        ended.says("README.md").says("next:").says("jackfield pack");
        let plugin = folder.path().join(&path);
        let manifest = fs::read_to_string(plugin.join("manifest.json")).unwrap();
        let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
        assert_eq!(manifest["id"], format!("My-{lang}-plugin"));
        assert_eq!(manifest["name"], "It's mine");
        assert_eq!(manifest["author"], "Me-2");
    }
    let line = ["new", "other", "--lang", "node", "--json"];
    let created = run_well(folder.path(), &line).one("created");
    assert_eq!(created["files"].as_array().unwrap().len(), 4);
    let manifest = fs::read_to_string(folder.path().join("other/manifest.json")).unwrap();
    assert!(
        manifest.contains("\"Other\"") && manifest.contains("\"tester\""),
        "{manifest}"
    );
}

#[test]
fn what_is_there_is_not_overwritten() {
    let folder = folder();
    fs::create_dir(folder.path().join("mine")).unwrap();
    run_well(folder.path(), &["new", "mine", "--lang", "python"]);
    fs::write(folder.path().join("mine/plugin.py"), "precious").unwrap();
    let ended = run(folder.path(), &["new", "mine", "--lang", "python"]);
    assert_eq!(ended.code, 1);
    ended.says("mine is not empty").says("--force");
    let read = || fs::read_to_string(folder.path().join("mine/plugin.py")).unwrap();
    assert_eq!(read(), "precious");
    run_well(
        folder.path(),
        &["new", "mine", "--lang", "python", "--force"],
    );
    assert!(read().contains("async def greet"));
}

#[test]
fn what_cannot_be_is_explained() {
    let folder = folder();
    fs::write(folder.path().join("file"), "").unwrap();
    for (arguments, code, says) in [
        (
            &["§§", "--lang", "python"][..],
            2,
            &["no id can be made", "letters, digits"][..],
        ),
        (&["file", "--lang", "python"], 1, &["is not a folder"]),
        (&["a", "--lang", "cobol"], 2, &["rust, python, node"]),
        (
            &["a", "--lang", "python", "--author", "a b"],
            2,
            &["\"a b\" cannot be", "hyphens"],
        ),
        (
            &["a", "--lang", "python", "--name", "a\"b"],
            2,
            &["cannot be a plugin's name", "quotes"],
        ),
        (
            &["a", "--lang", "rust", "--sdk", "."],
            2,
            &["jackfield-plugin is not in", "crates/sdk"],
        ),
        (&["a"], 2, &["--lang"]),
    ] {
        let ended = run(folder.path(), &[&["new"], arguments].concat());
        assert_eq!(ended.code, code, "{arguments:?} {ended:#?}");
        says.iter().for_each(|text| _ = ended.says(text));
    }
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        1,
        "nothing is written"
    );
}

/// The template in Rust, built as its README says, against the SDK of this checkout and with the
/// versions of its lock file; what is built already is used again.
#[test]
fn the_plugin_in_rust_is_built_run_and_packed() {
    let folder = folder();
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .unwrap();
    let sdk = workspace.join("crates/sdk");
    let line = [
        "new",
        "hello",
        "--lang",
        "rust",
        "--sdk",
        sdk.to_str().unwrap(),
    ];
    run_well(folder.path(), &line).says("cargo build --release");
    let plugin = folder.path().join("hello");
    fs::copy(workspace.join("Cargo.lock"), plugin.join("Cargo.lock")).unwrap();
    let manifest = plugin.join("manifest.json");
    // A debug build is quicker, and says as much.
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replace("target/release", "target/debug")).unwrap();

    let built: PathBuf = Path::new(env!("CARGO_TARGET_TMPDIR")).join("template");
    let status = Command::new(env!("CARGO"))
        .args(["build", "--offline", "--quiet", "--target-dir"])
        .arg(&built)
        .current_dir(&plugin)
        .env("RUSTFLAGS", "-Cdebuginfo=0")
        .status()
        .unwrap();
    assert!(status.success());
    fs::create_dir_all(plugin.join("target/debug")).unwrap();
    let program = "debug/plugin-hello";
    fs::copy(built.join(program), plugin.join("target").join(program)).unwrap();

    let calls = [
        "--config",
        r#"{"greeting":"Ahoy"}"#,
        "--call",
        "greet",
        r#"{"name":"you"}"#,
    ];
    let event = ["--event", "EventThreadPublished", r#"{"id":"thread-1"}"#];
    let ended = run_well(
        folder.path(),
        &[&["run", "hello", "--once"], &calls[..], &event].concat(),
    );
    assert_eq!(ended.stdout, "{\"greeting\":\"Ahoy, you!\"}\n");
    run_well(folder.path(), &["pack", "hello"]);
    let ended = run_well(
        folder.path(),
        &[&["run", "hello.zip", "--once"], &calls[..]].concat(),
    );
    assert_eq!(ended.stdout, "{\"greeting\":\"Ahoy, you!\"}\n");
}
