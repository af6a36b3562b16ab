//! Lines that are no records, long ones, odd ones: each is told, and none stops the reader.

use jackfield_grpc::{Level, Record, Stream};
use jackfield_testkit::grpc::{Bed, KvClient, get};
use jackfield_testkit::within;

use crate::RIG;

/// Lets a plugin write this to an output, and gives the records that came before its last one; it must live and answer
/// all the while.
async fn written(output: &str, bytes: impl AsRef<[u8]>) -> Vec<Record> {
    let bed = Bed::default();
    let _ = bed.with("lines", bytes);
    let say = if output == "--out" {
        "--say-out"
    } else {
        "--say"
    };
    let spawn = bed.spawn(RIG, &format!("{output} @/lines {say} last-of-all"));
    let plugin = within(spawn.spawn::<KvClient>()).await.unwrap();
    bed.records().until("last-of-all").await;
    get(&plugin.client, "say:and-one-more").await.unwrap();
    bed.records().until("and-one-more").await;
    within(plugin.stop()).await;
    let mut records = bed.records().all();
    let last = records
        .iter()
        .position(|record| record.message.ends_with("last-of-all"))
        .unwrap();
    if records[last].message == "last-of-all" {
        records.truncate(last);
    } else {
        records.truncate(last + 1);
    }
    records
}

/// Other lines are errors on stderr and information on stdout, as they are.
#[tokio::test]
async fn plain() {
    for (output, level, stream) in [
        ("--err", Level::Error, Stream::Stderr),
        ("--out", Level::Info, Stream::Stdout),
    ] {
        let records = written(
            output,
            "plain\n  indented\tand more \n\n42\n[1]\n\"text\"\ntrue\n",
        )
        .await;
        let messages: Vec<&str> = records
            .iter()
            .map(|record| record.message.as_str())
            .collect();
        let messages: Vec<&str> = messages
            .into_iter()
            .filter(|message| !message.is_empty())
            .collect();
        assert_eq!(
            messages,
            [
                "plain",
                "  indented\tand more ",
                "42",
                "[1]",
                "\"text\"",
                "true"
            ]
        );
        for record in &records {
            assert_eq!((record.level, record.stream), (level, stream), "{record:?}");
            assert_eq!(
                (record.scope.as_str(), record.module.as_str()),
                ("rig", "bench")
            );
        }
    }
}

/// Lines end in `\r\n`, too.
#[tokio::test]
async fn carriage_returns() {
    let records = written(
        "--err",
        "{\"message\":\"one\",\"level\":\"info\"}\r\ntwo\r\n",
    )
    .await;
    assert_eq!(records[0].message, "one");
    assert_eq!(records[0].level, Level::Info);
    assert_eq!(records[1].message.trim_end(), "two");
}

/// What begins like a record and is none: the line is told at a warning at least, nothing of it is lost, and the next
/// is read.
#[tokio::test]
async fn broken_records() {
    for line in [
        "{",
        "{\"message\": \"cut",
        "{\"message\": \"unquoted}",
        "{nonsense}",
        "{\"message\": \"x\"} trailing",
        "{\"message\": \"x\"}{\"message\": \"y\"}",
        "{\"message\": \"bad escape \\q\"}",
        "{'message': 'x'}",
    ] {
        let records = written("--err", format!("{line}\nnext\n")).await;
        let all: Vec<_> = records.iter().map(|record| &record.message).collect();
        assert!(
            all.iter().any(|message| message.contains(line)),
            "{line} is not in {all:?}"
        );
        assert_eq!(all.last().unwrap().as_str(), "next");
        assert!(
            records
                .iter()
                .all(|record| record.level >= Level::Warn || record.level == Level::Error)
        );
    }
}

/// A field of another type than it should be does not cost the others, nor the line.
#[tokio::test]
async fn wrong_types() {
    for (line, words) in [
        (r#"{"message": 5, "level": "warn"}"#, "5"),
        (r#"{"message": "kept", "level": 7}"#, "kept"),
        (
            r#"{"message": "kept", "attributes": {"n": 1, "o": {"p": null}}}"#,
            "kept",
        ),
        (r#"{"message": "kept", "attributes": "none"}"#, "kept"),
        (r#"{"message": "kept", "error": {"code": 1}}"#, "kept"),
        (r#"{"message": "kept", "timestamp": 1700000000}"#, "kept"),
        (r#"{"message": "kept", "exception": "oh"}"#, "kept"),
        (r#"{"message": "kept", "stackTrace": ["a"]}"#, "kept"),
        (
            r#"{"message": "kept", "sequence": "x", "threadId": "main"}"#,
            "kept",
        ),
        (r#"{"message": ["a", "b"]}"#, "b"),
        (
            r#"{"message": null, "level": null, "error": "still here"}"#,
            "still here",
        ),
    ] {
        let records = written("--err", format!("{line}\nnext\n")).await;
        let told = format!("{records:?}");
        assert!(told.contains(words), "{line}: {told}");
        assert_eq!(records.last().unwrap().message, "next", "{line}");
    }
}

/// Nothing in it: no harm.
#[tokio::test]
async fn empty_records() {
    let records = written("--err", "{}\nnull\n{\"message\": \"\"}\n \nnext\n").await;
    assert_eq!(records.last().unwrap().message, "next");
}

/// Lines of a mebibyte and more, records or not: what comes after them arrives, the plugin is never stuck, and what is
/// kept of them is bounded.
#[tokio::test]
async fn long_lines() {
    for size in [64 << 10, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 9 << 20] {
        for output in ["--err", "--out"] {
            let plain = "x".repeat(size);
            let record = format!("{{\"level\": \"info\", \"message\": \"{plain}\"}}");
            let records = written(
                output,
                format!("before\n{plain}\nbetween\n{record}\nafter\n"),
            )
            .await;
            let at = |text: &str| {
                let found = records.iter().position(|record| record.message == text);
                found.unwrap_or_else(|| panic!("{size} on {output}: no {text}"))
            };
            assert!(at("before") < at("between") && at("between") < at("after"));
            assert!(
                at("before") + 1 < at("between"),
                "the long line itself is told"
            );
            let longest = records
                .iter()
                .map(|record| record.message.len())
                .max()
                .unwrap();
            assert!(longest <= (1 << 20) + 1000, "{longest}");
            assert!(records.len() < 400, "{} records", records.len());
        }
    }
}

/// A record of just under a mebibyte is a record, whole.
#[tokio::test]
async fn long_records() {
    let size = 900 << 10;
    let text = "y".repeat(size);
    let records = written(
        "--err",
        format!("{{\"level\": \"debug\", \"message\": \"{text}\"}}\n"),
    )
    .await;
    assert_eq!(records.len(), 1, "{}", records.len());
    assert_eq!(records[0].level, Level::Debug);
    assert_eq!(records[0].message.len(), size);
}

/// Megabytes without an end.
#[tokio::test]
async fn a_line_that_never_ends() {
    let bed = Bed::default();
    let _ = bed.with("lines", vec![b'z'; 20 << 20]);
    let spawn = bed.spawn(RIG, "--err @/lines");
    let plugin = within(spawn.spawn::<KvClient>()).await.unwrap();
    assert_eq!(get(&plugin.client, "identity").await.unwrap(), "");
    let kept: usize = bed
        .records()
        .all()
        .iter()
        .map(|record| record.message.len())
        .sum();
    assert!(kept <= 21 << 20);
    within(plugin.stop()).await;
}

/// The last line has no newline, and is told when the plugin ends.
#[tokio::test]
async fn no_newline_at_the_end() {
    for text in [
        "the very last",
        "{\"level\": \"info\", \"message\": \"the very last\"}",
    ] {
        for output in ["--err", "--out"] {
            let bed = Bed::default();
            let _ = bed.with("lines", format!("one\n{text}"));
            let spawn = bed.spawn(RIG, &format!("{output} @/lines --exit 1"));
            within(spawn.spawn::<KvClient>()).await.unwrap_err();
            assert_eq!(bed.records().messages(), ["one", "the very last"]);
        }
    }
}

/// Bytes of all kinds, invalid UTF-8, zeros, escapes of terminals: shown as text, and the reader goes on.
#[tokio::test]
async fn binary() {
    let mut bytes: Vec<u8> = (0..=255).filter(|byte| *byte != b'\n').collect();
    bytes.push(b'\n');
    bytes.extend_from_slice(b"\xff\xfe\xc3\x28 half \xe2\x82\n");
    bytes.extend_from_slice(b"{\"message\": \"\xff\xfe broken utf-8\", \"level\": \"info\"}\n");
    bytes.extend_from_slice(
        b"\x1b[31mred\x1b[0m\n\xef\xbb\xbf{\"message\": \"behind a mark\"}\nnext\n",
    );
    let records = written("--err", bytes).await;
    let all = format!("{records:?}");
    for part in ["half", "broken utf-8", "red", "behind a mark"] {
        assert!(all.contains(part), "{part} is not in {all}");
    }
    assert_eq!(records.last().unwrap().message, "next");
}

/// Deep and wide JSON does not bring the host down.
#[tokio::test]
async fn hostile_json() {
    let deep = format!(
        "{{\"mdc\": {}{}, \"message\": \"deep\"}}",
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    let causes = (0..200).fold("null".to_owned(), |inner, n| {
        format!("{{\"exceptionType\": \"E{n}\", \"causedBy\": {inner}}}")
    });
    let caused = format!("{{\"message\": \"caused\", \"exception\": {causes}}}");
    let wide: Vec<String> = (0..20_000).map(|n| format!("\"k{n}\": \"v\"")).collect();
    let wide = format!(
        "{{\"message\": \"wide\", \"attributes\": {{{}}}}}",
        wide.join(",")
    );
    let records = written("--err", format!("{deep}\n{caused}\n{wide}\nnext\n")).await;
    assert_eq!(records.last().unwrap().message, "next");
    assert!(records.iter().any(|record| record.message == "wide"));
}
