//! `jackfield check`

use std::fs;
use std::io::Write as _;

use crate::support::{folder, new, run, run_well};

#[test]
fn a_good_package_is_good() {
    let folder = folder();
    new(folder.path(), "hello", "python");
    run_well(folder.path(), &["check", "hello"]).says("hello: good, Hello 0.1.0 (4 files");
    let checked = run_well(folder.path(), &["check", "hello", "--json"]).one("checked");
    assert_eq!(checked["ok"], true);
    assert_eq!(checked["problems"], serde_json::json!([]));
}

#[test]
fn every_problem_of_a_manifest_is_told_at_once_with_its_place() {
    let folder = folder();
    let plugin = folder.path().join("bad");
    fs::create_dir(&plugin).unwrap();
    let manifest = r#"{"id":"a b","author":"","name":"x","command":"./gone","args":[1],
        "capabilities":[{"type":"robot.tool_provider","id":"p","version":"1","tools":[{"id":"-"}]}]}"#;
    fs::write(plugin.join("manifest.json"), manifest).unwrap();
    let ended = run(folder.path(), &["check", "bad"]);
    assert_eq!(ended.code, 1);
    for place in [
        "id: ",
        "author: ",
        "args[0]: ",
        "capabilities[0].tools[0].id: ",
    ] {
        ended.says(&format!("manifest.json: {place}"));
    }
    ended.says("bad: refused, ");
    let ended = run(folder.path(), &["check", "bad", "--json"]);
    assert_eq!(ended.code, 1);
    let checked = ended.one("checked");
    assert_eq!(checked["ok"], false);
    let problems = checked["problems"].as_array().unwrap();
    assert!(problems.len() >= 4, "{problems:#?}");
    assert!(
        problems
            .iter()
            .any(|p| p["place"] == "manifest.json: args[0]"),
        "{problems:#?}"
    );
}

#[test]
fn every_problem_of_an_archive_is_told_at_once() {
    let folder = folder();
    let file = fs::File::create(folder.path().join("evil.zip")).unwrap();
    let mut zip = zip::ZipWriter::new(file);
    let options = zip::write::SimpleFileOptions::default();
    for name in ["../escape", "/abs", "twice", "TWICE"] {
        zip.start_file(name, options).unwrap();
        zip.write_all(b"x").unwrap();
    }
    zip.finish().unwrap();
    let ended = run(folder.path(), &["check", "evil.zip"]);
    assert_eq!(ended.code, 1);
    ended
        .says("leads out of the folder")
        .says("is an absolute path")
        .says("differ by case alone")
        .says("no manifest");
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        1,
        "nothing is written"
    );
}

#[test]
fn what_is_odd_is_a_warning() {
    let folder = folder();
    new(folder.path(), "hello", "python");
    let path = folder.path().join("hello/manifest.json");
    let manifest = fs::read_to_string(&path).unwrap();
    let manifest = manifest.replace("\"version\"", "\"colour\": \"red\", \"version\"");
    fs::write(&path, manifest.replace("python3", "no-such-python")).unwrap();
    run_well(folder.path(), &["check", "hello"])
        .says("colour")
        .says("there is no `no-such-python` on this machine");
    let checked = run_well(folder.path(), &["check", "hello", "--json"]).one("checked");
    assert_eq!(
        checked["warnings"].as_array().unwrap().len(),
        2,
        "{checked}"
    );
}

#[test]
fn what_cannot_be_looked_at_is_an_error() {
    let folder = folder();
    new(folder.path(), "hello", "python");
    let ended = run(folder.path(), &["check", "nowhere"]);
    assert_eq!(ended.code, 1);
    ended
        .says("there is no nowhere")
        .says("give a package (.zip) or the folder");
    let ended = run(folder.path(), &["check", "hello/plugin.py"]);
    assert_eq!(ended.code, 1);
    ended
        .says("not a zip archive")
        .says("hint: a package is a zip archive");
}
