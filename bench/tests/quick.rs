//! The benchmark works: everybody takes part, and the page is written. What it measures here means nothing.

#![expect(clippy::unwrap_used, reason = "a test that panics here has failed")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use jackfield_bench::measures;
use jackfield_bench::results::{Results, Role};

const PEERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/peers/bench");

fn bench(args: &[&str], out: &Path) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_bench"))
        .args(args)
        .arg("--out")
        .arg(out)
        .args(["--notes", concat!(env!("CARGO_MANIFEST_DIR"), "/notes")])
        .output()
        .unwrap()
}

#[test]
fn all_of_it_works() {
    assert!(
        Path::new(PEERS).exists(),
        "./test prepare builds the peers' programs"
    );
    let out = tempfile::tempdir().unwrap();
    let output = bench(&["--quick", "--peers", PEERS], out.path());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");

    let results = std::fs::read_to_string(out.path().join("benchmark.json")).unwrap();
    let results: Results = serde_json::from_str(&results).unwrap();
    assert!(results.quick);
    // unzip need not be installed, and the server need not be built, where only this is tested.
    let missing = |what: &&String| !what.starts_with("unzip") && !what.starts_with("the server");
    assert_eq!(results.left_out.iter().find(missing), None);

    let groups: BTreeSet<_> = results.rows.iter().map(|row| row.group.as_str()).collect();
    let all: BTreeSet<_> = measures::all().iter().map(|measure| measure.name).collect();
    let absent: Vec<_> = all.difference(&groups).collect();
    assert!(absent.is_empty() || absent == [&"server"], "{absent:?}");

    let page = std::fs::read_to_string(out.path().join("benchmark.md")).unwrap();
    for row in &results.rows {
        let ours = row.contestants.iter().filter(|one| one.role == Role::Ours);
        assert!(ours.count() > 0, "{}", row.id);
        for one in &row.contestants {
            assert!(!one.rounds.is_empty(), "{}: {}", row.id, one.name);
            assert!(
                one.rounds.iter().all(|figure| figure.is_finite()),
                "{}: {one:?}",
                row.id
            );
        }
        assert!(page.contains(&format!("### {}", row.what)), "{}", row.id);
        let picture = format!("benchmark/{}.svg", row.id);
        assert!(page.contains(&picture));
        let picture = std::fs::read_to_string(out.path().join(picture)).unwrap();
        for one in &row.contestants {
            let name = one.name.split(", ").next().unwrap().replace('\'', "&apos;");
            assert!(picture.contains(&name), "{}: {name}", row.id);
        }
    }
    let calls = results.rows.iter().find(|row| row.id == "call-one-p50");
    let peers = calls.unwrap().contestants.iter();
    assert_eq!(peers.filter(|one| one.role == Role::Peer).count(), 4);
}

/// It was looked for only when all was measured, which was lost then.
#[test]
fn an_earlier_run_that_is_not_there_is_missed_before_anything_is_measured() {
    let out = tempfile::tempdir().unwrap();
    let output = bench(&["--quick", "--keep", "--only", "stops"], out.path());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{said}");
    assert!(
        said.starts_with("error: there is no earlier run to keep") && !said.contains("Stop"),
        "{said}"
    );
}

#[test]
fn a_measure_that_does_not_exist_is_refused() {
    let out = tempfile::tempdir().unwrap();
    let output = bench(&["--only", "cals"], out.path());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && said.contains("--list"),
        "{said}"
    );
}
