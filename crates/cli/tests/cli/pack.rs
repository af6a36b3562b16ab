//! `jackfield pack`

use std::fs;

use crate::support::{folder, new, run, run_well};

#[test]
fn a_folder_becomes_a_package_with_the_same_bytes_each_time() {
    let folder = folder();
    new(folder.path(), "hello", "node");
    let first = run_well(folder.path(), &["pack", "hello"]);
    first.says("hello.zip (4 files").says("Hello 0.1.0");
    let second = run_well(
        folder.path(),
        &["pack", "hello", "-o", "again.zip", "--json"],
    )
    .one("packed");
    assert_eq!(second["file"], "again.zip");
    assert_eq!(second["files"][0], "manifest.json");
    let read = |name| fs::read(folder.path().join(name)).unwrap();
    assert_eq!(read("hello.zip"), read("again.zip"));
    assert_eq!(second["bytes"], read("again.zip").len());
    run_well(folder.path(), &["check", "hello.zip"]);
}

#[test]
fn the_package_in_the_folder_is_not_packed_with_it() {
    let folder = folder();
    new(folder.path(), "hello", "python");
    let plugin = folder.path().join("hello");
    let first = run_well(&plugin, &["pack", ".", "--json"]).one("packed");
    let second = run_well(&plugin, &["pack", ".", "--force", "--json"]).one("packed");
    assert_eq!(first["digest"], second["digest"]);
    let checked = run_well(&plugin, &["check", ".", "--json"]).one("checked");
    assert_eq!(first["digest"], checked["digest"]);
}

#[test]
fn a_file_that_is_there_is_replaced_only_when_asked() {
    let folder = folder();
    new(folder.path(), "hello", "python");
    fs::write(folder.path().join("hello.zip"), "precious").unwrap();
    let ended = run(folder.path(), &["pack", "hello"]);
    assert_eq!(ended.code, 1);
    ended.says("hello.zip is there already").says("--force");
    assert_eq!(
        fs::read(folder.path().join("hello.zip")).unwrap(),
        b"precious"
    );
    run_well(folder.path(), &["pack", "hello", "--force"]);
    // Nothing half-written is left beside it.
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn what_cannot_be_packed_is_explained() {
    let folder = folder();
    fs::create_dir(folder.path().join("empty")).unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    new(folder.path(), "hello", "rust");
    new(folder.path(), "good", "python");
    for (arguments, says) in [
        (&["empty"][..], &["no manifest", "jackfield new"][..]),
        (&["file"], &["is not a folder"]),
        (
            &["nowhere"],
            &["is not a folder", "give the folder of a plugin"],
        ),
        (
            &["hello"],
            &["target/release/plugin-hello", "cargo build --release"],
        ),
        (
            &["good", "-o", "no/such/folder.zip"],
            &["cannot write", "-o"],
        ),
    ] {
        let ended = run(folder.path(), &[&["pack"], arguments].concat());
        assert_eq!(ended.code, 1, "{ended:#?}");
        says.iter().for_each(|text| _ = ended.says(text));
        let ended = run(folder.path(), &[&["pack", "--json"], arguments].concat());
        assert_eq!(ended.one("error")["exit_code"], 1);
    }
}
