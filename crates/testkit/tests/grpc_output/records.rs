//! JSON lines become records with all that they say.

use std::time::{Duration, SystemTime};

use jackfield_grpc::{Level, Record};
use jackfield_testkit::grpc::{Bed, KvClient};
use jackfield_testkit::within;
use serde_json::json;

use crate::RIG;

/// Lets a plugin write this to stderr, and gives the records that came before its last one.
async fn recorded(bytes: impl AsRef<[u8]>) -> Vec<Record> {
    let bed = Bed::default();
    let _ = bed.with("lines", bytes);
    let spawn = bed.spawn(RIG, "--err @/lines --say last-of-all");
    let plugin = within(spawn.spawn::<KvClient>()).await.unwrap();
    bed.records().until("last-of-all").await;
    within(plugin.stop()).await;
    let mut records = bed.records().all();
    let last = records
        .iter()
        .position(|record| record.message == "last-of-all")
        .unwrap();
    records.truncate(last);
    records
}

/// The same for one line that becomes one record.
async fn one(line: impl std::fmt::Display) -> Record {
    let mut records = recorded(format!("{line}\n")).await;
    assert_eq!(records.len(), 1, "{line}: {records:?}");
    records.remove(0)
}

/// Every name of a level there is, in any case.
#[tokio::test]
async fn levels() {
    let names = [
        ("trace", Level::Trace),
        ("finest", Level::Trace),
        ("debug", Level::Debug),
        ("fine", Level::Debug),
        ("finer", Level::Debug),
        ("config", Level::Debug),
        ("info", Level::Info),
        ("", Level::Info),
        ("warn", Level::Warn),
        ("warning", Level::Warn),
        ("error", Level::Error),
        ("severe", Level::Error),
    ];
    let mut lines = String::new();
    for (name, _) in names {
        for name in [
            name.to_owned(),
            name.to_uppercase(),
            name.replacen('e', "E", 1),
        ] {
            lines += &format!("{}\n", json!({"level": name, "message": name}));
        }
    }
    lines += "{\"message\": \"none\"}\n";
    let records = recorded(lines).await;
    assert_eq!(records.len(), names.len() * 3 + 1);
    for (n, (name, level)) in names.iter().enumerate() {
        for record in &records[n * 3..n * 3 + 3] {
            assert_eq!(record.level, *level, "{name}");
        }
    }
    assert_eq!(records.last().unwrap().level, Level::Info);
}

/// Names that nobody knows are not hidden among the harmless ones.
#[tokio::test]
async fn unknown_levels() {
    for name in ["fatal", "critical", "panic", "emergency", "17", "\u{1f4a5}"] {
        let record = one(json!({"level": name, "message": "boom"})).await;
        assert!(
            matches!(record.level, Level::Warn | Level::Error),
            "{name}: {record:?}"
        );
        assert_eq!(record.message, "boom");
    }
}

/// Time, error, stack trace and attributes; what the host says of the plugin stands beside them.
#[tokio::test]
async fn all_fields() {
    let record = one(json!({
        "attributes": {"tenant": "a", "scope": "inner"},
        "level": "error",
        "error": "inner",
        "timestamp": "2024-02-29T23:59:58.658066739Z",
        "message": "outer: inner",
        "stackTrace": "at x\nat y",
        "sequence": 17, "threadId": 3, "processId": 9, "loggerName": "l", "threadName": "t", "ndc": "",
        "hostName": "h", "processName": "p", "loggerClassName": "c", "mdc": {"a": [1]}, "unheard-of": {"x": null},
    }))
    .await;
    assert_eq!(record.level, Level::Error);
    assert_eq!(record.error.as_deref(), Some("inner"));
    assert_eq!(record.message, "outer: inner\nat x\nat y");
    assert_eq!(record.attributes["tenant"], "a");
    assert_eq!(record.scope, "rig");
    assert_eq!(record.module, "bench");
    let at = record.at.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(at, Duration::new(1_709_251_198, 658_066_739));
}

/// Times: with an offset, without a fraction, under the name of older plugins; what is no time is now.
#[tokio::test]
async fn times() {
    let seconds = |record: &Record| {
        record
            .at
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap()
            .as_secs()
    };
    for line in [
        json!({"timestamp": "2024-02-29T23:59:58Z", "message": "x"}),
        json!({"timestamp": "2024-03-01T01:59:58.5+02:00", "message": "x"}),
        json!({"time": "2024-02-29T23:59:58.1Z", "message": "x"}),
        json!({"time": "1999-01-01T00:00:00Z", "timestamp": "2024-02-29T23:59:58Z", "message": "x"}),
    ] {
        assert_eq!(seconds(&one(&line).await), 1_709_251_198, "{line}");
    }
    for line in [
        json!({"message": "x"}),
        json!({"timestamp": "yesterday", "message": "x"}),
        json!({"timestamp": "", "message": "x"}),
        json!({"timestamp": "2024-02-30T23:59:58Z", "message": "x"}),
    ] {
        let record = one(&line).await;
        let ago = SystemTime::now()
            .duration_since(record.at)
            .unwrap_or_default();
        assert!(ago < Duration::from_secs(60), "{line}: {record:?}");
        assert_eq!(record.message, "x");
    }
}

/// What a plugin says of itself never takes the place of what the host says of it.
#[tokio::test]
async fn attributes_do_not_override() {
    let record = one(json!({
        "message": "trust me",
        "attributes": {"scope": "kernel", "module": "payments", "plugin": "other", "stream": "none"},
        "scope": "kernel", "module": "payments",
    }))
    .await;
    assert_eq!(
        (record.scope.as_str(), record.module.as_str()),
        ("rig", "bench")
    );
}

/// An exception of the JVM, with what it was caused by.
#[tokio::test]
async fn exceptions() {
    let record = one(json!({
        "level": "SEVERE", "message": "request failed", "loggerName": "io.quarkus",
        "exception": {
            "refId": 1, "exceptionType": "java.lang.RuntimeException", "message": "outer",
            "frames": [{"class": "a.B", "method": "c", "line": 42}, {"class": "d.E", "method": "f"}],
            "causedBy": {"exception": {
                "refId": 2, "exceptionType": "java.io.IOException", "message": "disk is full",
                "frames": [{"class": "g.H", "method": "i", "line": 7}],
            }},
        },
    }))
    .await;
    assert_eq!(record.level, Level::Error);
    assert!(record.message.starts_with("request failed"), "{record:?}");
    let error = record.error.unwrap();
    for part in ["java.lang.RuntimeException", "outer", "a.B#c:42", "d.E#f"] {
        assert!(error.contains(part), "{part} is not in {error}");
    }
    for part in ["java.io.IOException", "disk is full", "g.H#i:7"] {
        assert!(error.contains(part), "the cause's {part} is not in {error}");
    }
}

/// The other form of a cause, and exceptions that lack this and that.
#[tokio::test]
async fn exceptions_that_lack_something() {
    let cause = json!({"exceptionType": "Inner", "message": "why"});
    for exception in [
        json!({}),
        json!({"exceptionType": "Outer"}),
        json!({"exceptionType": "Outer", "message": "m", "frames": []}),
        json!({"exceptionType": "Outer", "causedBy": cause}),
        json!({"exceptionType": "Outer", "frames": null, "message": null}),
        json!({"exceptionType": "Outer", "suppressed": [cause], "unknown": 1}),
    ] {
        let record = one(json!({"level": "error", "message": "m", "exception": exception})).await;
        assert_eq!(record.level, Level::Error, "{exception}");
        assert!(record.message.starts_with('m'), "{exception}: {record:?}");
    }
    let record =
        one(json!({"message": "m", "exception": {"exceptionType": "Outer", "causedBy": cause}}))
            .await;
    let error = record.error.unwrap();
    assert!(error.contains("Inner") && error.contains("why"), "{error}");
}

/// Keys in any case, keys twice, and white space around.
#[tokio::test]
async fn keys() {
    let record = one(r#"  {"MESSAGE": "loud", "Level": "warn", "ATTRIBUTES": {"K": "v"}}  "#).await;
    assert_eq!(
        (record.message.as_str(), record.level),
        ("loud", Level::Warn)
    );
    assert_eq!(record.attributes["K"], "v");
    let record = one(r#"{"message": "first", "message": "second"}"#).await;
    assert!(record.message.contains("second") || record.message.contains("first"));
}
