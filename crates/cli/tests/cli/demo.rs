//! `jackfield demo`

use serde_json::Value;

use crate::support::{folder, is_there, run_well};

const STEPS: [&str; 10] = [
    "written", "packed", "checked", "runs", "called", "killed", "back", "stopped", "gone",
    "in Rust",
];

#[test]
fn everything_holds_in_both_languages() {
    let folder = folder();
    for lang in ["python", "node"] {
        let ended = run_well(folder.path(), &["demo", "--lang", lang, "--json"]);
        let steps = ended.of("step");
        let names: Vec<&Value> = steps.iter().map(|step| &step["step"]).collect();
        assert_eq!(names, STEPS, "{ended:#?}");
        assert!(steps.iter().all(|step| step["ok"] == true));
        let text = |step: usize| steps[step]["text"].as_str().unwrap();
        assert!(
            text(4).contains(r#"{"greeting":"Hello, you!"}"#),
            "{}",
            text(4)
        );
        for word in text(8).split(|letter: char| !letter.is_ascii_digit()) {
            assert!(
                word.is_empty() || !is_there(word.parse().unwrap()),
                "{word}"
            );
        }
        assert_eq!(ended.one("end")["ok"], true);
    }
    // It works elsewhere.
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn people_are_told_what_to_look_at_next() {
    let folder = folder();
    let ended = run_well(folder.path(), &["demo"]);
    for step in STEPS {
        ended.says(step);
    }
    ended
        .says("Hello, you!")
        .says("Everything held")
        .says("see: jackfield pack hello");
}
