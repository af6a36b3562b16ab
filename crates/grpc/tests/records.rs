//! What plugins say, all of it.

mod common;

use common::{Bed, fail, start};
use jackfield_grpc::{ExitStatus, Level, Stream};

#[tokio::test]
async fn none_of_three_thousand_lines_is_lost_when_it_exits() {
    let bed = Bed::new();
    let error = fail(bed.rig("--burst 3000 --exit 42")).await;
    assert_eq!(error.exit().unwrap().status, ExitStatus::Code(42));
    let lines: Vec<_> = bed
        .records()
        .into_iter()
        .filter(|record| record.stream == Stream::Stderr)
        .map(|record| (record.level, record.message))
        .collect();
    let expected: Vec<_> = (0..3000)
        .map(|it| (Level::Error, format!("line {it}")))
        .collect();
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn a_line_of_megabytes_does_not_stop_it() {
    let bed = Bed::new();
    let length = 3 * 1024 * 1024 + 17;
    let plugin = start(bed.rig(&format!("--long {length}"))).await;
    plugin.stop().await;
    let pieces: Vec<_> = bed
        .records()
        .into_iter()
        .filter(|record| record.stream == Stream::Stderr)
        .collect();
    assert_eq!(
        pieces.iter().map(|it| it.message.len()).sum::<usize>(),
        length
    );
    assert!(pieces.len() > 1 && pieces[0].message.len() >= 1024 * 1024);
    assert!(!pieces.last().unwrap().partial);
}

#[tokio::test]
async fn json_lines_are_read_and_others_get_the_default() {
    let bed = Bed::new();
    let script = r#"
        printf '%s\n' '{"level":"WARNING","message":"m","error":"e","attributes":{"scope":"evil"}}'
        printf '%s\n' 'plain' >&2
        exit 1"#;
    fail(bed.sh(script).default_level(Level::Debug)).await;
    let mut records = bed.records();
    records.sort_by_key(|record| record.stream == Stream::Stderr);
    let [json, plain] = &records[..] else {
        panic!("{records:?}");
    };
    assert_eq!((json.level, &*json.message), (Level::Warn, "m"));
    assert_eq!(
        (json.error.as_deref(), &*json.attributes["scope"]),
        (Some("e"), "evil")
    );
    assert_eq!((&*json.scope, &*json.module), ("rig", "bench"));
    assert_eq!((plain.level, &*plain.message), (Level::Debug, "plain"));
}
