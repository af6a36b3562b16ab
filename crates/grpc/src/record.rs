//! One thing that a plugin said.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use jackfield_wire::{Level, Stream};
use serde_json::{Map, Value};

/// One thing that a plugin said: one line of its output, or a piece of a very long one.
///
/// A line that is a JSON object is read as FTL's logger writes it, keys in any case:
///
/// | key | becomes |
/// |---|---|
/// | `level` | [`level`](Self::level): trace, finest; debug, fine, finer, config; info; warn, warning; error, severe, fatal, critical, panic, in any case. None or `default` is info; a name that is not known is info, too, and kept as an attribute |
/// | `message`, or `msg` | [`message`](Self::message) |
/// | `stackTrace` | the end of the message, after a newline |
/// | `error` | [`error`](Self::error) |
/// | `exception` | the end of the error, with its frames and what it was caused by |
/// | `timestamp`, or `time` | [`at`](Self::at), if it is RFC 3339 |
/// | `attributes` | [`attributes`](Self::attributes) |
/// | any other, and one with a value of the wrong type | an attribute, if the plugin has none of that name; in JSON if it is no string |
///
/// Any other line is the message as it stands, one that only begins like JSON, too.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record {
    /// When it was said: as the plugin says, or when the host read it.
    pub at: SystemTime,
    /// How serious it is.
    pub level: Level,
    /// The text. Bytes that are not UTF-8 are replaced by U+FFFD.
    pub message: String,
    /// What went wrong, in the plugin's words.
    pub error: Option<String>,
    /// What else the plugin says of it. Its own words: a `scope` in here is not the host's.
    pub attributes: BTreeMap<String, String>,
    /// The name that the host gave the plugin.
    pub scope: String,
    /// The module that the host gave the plugin; may be empty.
    pub module: String,
    /// Where it was written.
    pub stream: Stream,
    /// The line was longer than 1 MiB, and goes on in the next record of this stream.
    pub partial: bool,
}

/// What a line says, whoever wrote it.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) at: Option<SystemTime>,
    pub(crate) level: Option<Level>,
    pub(crate) message: String,
    pub(crate) error: Option<String>,
    pub(crate) attributes: BTreeMap<String, String>,
}

/// How many causes of an exception are followed.
const CAUSES: usize = 32;

impl Said {
    /// Reads one line without its newline.
    pub(crate) fn read(line: &[u8]) -> Self {
        let text = String::from_utf8_lossy(line);
        let text = text.strip_suffix('\r').unwrap_or(&text);
        let fields = text
            .trim_start()
            .starts_with('{')
            .then(|| serde_json::from_str::<Map<String, Value>>(text));
        match fields {
            Some(Ok(fields)) => Self::of(fields),
            Some(Err(_)) | None => Self {
                message: text.to_owned(),
                ..Self::default()
            },
        }
    }

    /// What is only a piece of a line is not looked into.
    pub(crate) fn raw(piece: &[u8]) -> Self {
        Self {
            message: String::from_utf8_lossy(piece).into_owned(),
            ..Self::default()
        }
    }

    fn of(fields: Map<String, Value>) -> Self {
        let mut said = Self {
            level: Some(Level::Info),
            ..Self::default()
        };
        let mut found = Found::default();
        for (key, value) in fields {
            if let Some(odd) = found.take(&key, value, &mut said) {
                found.odd.push((key, odd));
            }
        }
        said.at = found.timestamp.or(found.time);
        said.message = found.message.or(found.msg).unwrap_or_default();
        if let Some(trace) = found.stack_trace {
            said.message.push('\n');
            said.message.push_str(&trace);
        }
        said.error = match (found.error, found.exception) {
            (Some(error), Some(exception)) => Some(format!("{error}\n{exception}")),
            (error, exception) => error.or(exception),
        };
        for (key, value) in found.odd {
            said.attributes.entry(key).or_insert_with(|| plain(value));
        }
        said
    }
}

/// The fields that mean something, as far as they are of the right type.
#[derive(Default)]
struct Found {
    timestamp: Option<SystemTime>,
    time: Option<SystemTime>,
    message: Option<String>,
    msg: Option<String>,
    stack_trace: Option<String>,
    error: Option<String>,
    exception: Option<String>,
    odd: Vec<(String, Value)>,
}

impl Found {
    /// Takes one field; gives back what it cannot make sense of.
    fn take(&mut self, key: &str, value: Value, said: &mut Said) -> Option<Value> {
        let slot = match (key.to_ascii_lowercase().as_str(), value) {
            (_, Value::Null) => return None,
            ("attributes", Value::Object(attributes)) => {
                let attributes = attributes.into_iter().filter(|(_, value)| !value.is_null());
                said.attributes
                    .extend(attributes.map(|(key, value)| (key, plain(value))));
                return None;
            }
            ("level", Value::String(name)) => match level(&name) {
                Some(level) => {
                    said.level = Some(level);
                    return None;
                }
                // As FTL has it: too loud rather than lost. The name is kept.
                None => {
                    said.level = Some(Level::Warn);
                    return Some(Value::String(name));
                }
            },
            ("exception", Value::Object(exception)) => {
                self.exception = describe(&exception, CAUSES);
                return self.exception.is_none().then_some(Value::Object(exception));
            }
            (name @ ("timestamp" | "time"), Value::String(text)) => {
                let Some(time) = time(&text) else {
                    return Some(Value::String(text));
                };
                let slot = match name {
                    "timestamp" => &mut self.timestamp,
                    _ => &mut self.time,
                };
                *slot = Some(time);
                return None;
            }
            ("message", value) => (&mut self.message, value),
            ("msg", value) => (&mut self.msg, value),
            ("stacktrace", value) => (&mut self.stack_trace, value),
            ("error", value) => (&mut self.error, value),
            (_, value) => return Some(value),
        };
        match slot {
            (slot, Value::String(text)) => {
                *slot = (!text.is_empty()).then_some(text);
                None
            }
            (_, odd) => Some(odd),
        }
    }
}

/// The level behind a name, with those that the logging of Java has.
fn level(name: &str) -> Option<Level> {
    match name.trim().to_ascii_lowercase().as_str() {
        "" | "default" => Some(Level::Info),
        "finer" | "config" => Some(Level::Debug),
        name => Level::from_name(name),
    }
}

/// `type: message`, a line for each frame, and what it was caused by. `None` when there is nothing of that in it.
fn describe(exception: &Map<String, Value>, causes: usize) -> Option<String> {
    let text = |name| field(exception, name).map(|value| plain(value.clone()));
    let mut description = match (text("exceptionType"), text("message")) {
        (Some(kind), Some(message)) => format!("{kind}: {message}"),
        (kind, message) => kind.or(message)?,
    };
    for frame in field(exception, "frames")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let Some(frame) = frame.as_object() else {
            continue;
        };
        let part = |name| {
            let value = field(frame, name).cloned();
            value.map(plain).unwrap_or_default()
        };
        let (class, method, line) = (part("class"), part("method"), part("line"));
        description.push_str(&format!("\n\t{class}#{method}:{line}"));
    }
    let cause = field(exception, "causedBy").and_then(Value::as_object);
    // The loggers of Java put it into an object of its own.
    let cause = cause.map(|it| {
        field(it, "exception")
            .and_then(Value::as_object)
            .unwrap_or(it)
    });
    if let Some(cause) = cause
        && causes > 0
        && let Some(cause) = describe(cause, causes - 1)
    {
        description.push_str("\ncaused by: ");
        description.push_str(&cause);
    }
    Some(description)
}

fn field<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    let found = object
        .iter()
        .find(|(key, _)| key.eq_ignore_ascii_case(name));
    found
        .map(|(_, value)| value)
        .filter(|value| !value.is_null())
}

fn plain(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

/// RFC 3339 with any offset.
fn time(text: &str) -> Option<SystemTime> {
    let (local, offset) = match text.strip_suffix(['Z', 'z']) {
        Some(local) => (local, 0),
        None => {
            let (local, offset) = text.split_at_checked(text.len().checked_sub(6)?)?;
            (local, seconds(offset)?)
        }
    };
    let local = humantime::parse_rfc3339(&format!("{}Z", local.replace([' ', 't'], "T"))).ok()?;
    let distance = Duration::from_secs(u64::from(i32::unsigned_abs(offset)));
    if offset > 0 {
        local.checked_sub(distance)
    } else {
        local.checked_add(distance)
    }
}

/// `+hh:mm` or `-hh:mm`
fn seconds(offset: &str) -> Option<i32> {
    let (hours, minutes) = offset.get(1..)?.split_once(':')?;
    let number = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_digit())
            .then(|| text.parse().ok())?
    };
    let (hours, minutes): (i32, i32) = (number(hours)?, number(minutes)?);
    let size = (hours * 60 + minutes) * 60;
    match offset.as_bytes()[0] {
        b'+' => Some(size),
        b'-' => Some(-size),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute<'a>(said: &'a Said, key: &str) -> Option<&'a str> {
        said.attributes.get(key).map(String::as_str)
    }

    #[test]
    fn a_line_of_the_originals_logger() {
        let line = br#"{"attributes":{"scope":"lab"},"level":"error","error":"inner","timestamp":"2026-11-21T23:17:23.658066739Z","message":"outer: inner \u003c"}"#;
        let said = Said::read(line);
        assert_eq!(said.level, Some(Level::Error));
        assert_eq!(said.message, "outer: inner <");
        assert_eq!(said.error.as_deref(), Some("inner"));
        assert_eq!(attribute(&said, "scope"), Some("lab"));
        let at = humantime::format_rfc3339_nanos(said.at.unwrap()).to_string();
        assert_eq!(at, "2026-11-21T23:17:23.658066739Z");
    }

    #[test]
    fn every_level_name_in_any_case() {
        for (names, expected) in [
            (&["finest", "trace", "TRACE"][..], Level::Trace),
            (&["fine", "finer", "config", "debug", "Debug"], Level::Debug),
            (&["info", "", "default", "INFO"], Level::Info),
            (&["warn", "warning", "WARNING"], Level::Warn),
            (
                &["severe", "error", "fatal", "critical", "panic", "FATAL"],
                Level::Error,
            ),
        ] {
            for name in names {
                let line = format!(r#"{{"level":"{name}","message":"m"}}"#);
                let said = Said::read(line.as_bytes());
                assert_eq!(said.level, Some(expected), "{name}");
                assert!(said.attributes.is_empty(), "{name}");
            }
        }
        let said = Said::read(br#"{"level":"shouting","message":"m"}"#);
        assert_eq!(said.level, Some(Level::Warn));
        assert_eq!(attribute(&said, "level"), Some("shouting"));
    }

    #[test]
    fn keys_in_any_case_and_the_old_name_of_the_time() {
        let said = Said::read(
            br#"{"Level":"WARN","MESSAGE":"m","StackTrace":"at x","time":"1970-01-01T01:00:01+01:00"}"#,
        );
        assert_eq!(said.level, Some(Level::Warn));
        assert_eq!(said.message, "m\nat x");
        assert_eq!(
            said.at,
            Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1))
        );
        let both =
            Said::read(br#"{"time":"1970-01-01T00:00:09Z","timestamp":"1970-01-01T00:00:01Z"}"#);
        assert_eq!(both.at, said.at);
    }

    #[test]
    fn a_field_of_the_wrong_type_costs_nothing() {
        let said = Said::read(
            br#"{"message":5,"level":30,"error":{"code":7},"timestamp":12,"attributes":{"a":1,"b":"x"},"exception":"e","user":"u","none":null}"#,
        );
        assert_eq!((said.level, said.message.as_str()), (Some(Level::Info), ""));
        assert_eq!((said.error.as_deref(), said.at), (None, None));
        for (key, value) in [
            ("message", "5"),
            ("level", "30"),
            ("error", r#"{"code":7}"#),
            ("timestamp", "12"),
            ("a", "1"),
            ("b", "x"),
            ("exception", "e"),
            ("user", "u"),
        ] {
            assert_eq!(attribute(&said, key), Some(value), "{key}");
        }
        assert_eq!(attribute(&said, "none"), None);
        let said = Said::read(br#"{"attributes":{"level":"mine"},"level":9,"message":"m"}"#);
        assert_eq!(
            attribute(&said, "level"),
            Some("mine"),
            "the attribute stays"
        );
        let said = Said::read(br#"{"timestamp":"yesterday","message":"m"}"#);
        assert_eq!(attribute(&said, "timestamp"), Some("yesterday"));
    }

    #[test]
    fn exceptions_with_their_causes() {
        let said = Said::read(
            br#"{"message":"m","error":"e","exception":{"refId":1,"exceptionType":"java.lang.X","message":"bad","frames":[{"class":"C","method":"m","line":7}],"causedBy":{"exception":{"exceptionType":"Y","causedBy":{"exceptionType":"Z","message":"z"}}}},"sequence":3}"#,
        );
        let expected = "e\njava.lang.X: bad\n\tC#m:7\ncaused by: Y\ncaused by: Z: z";
        assert_eq!(said.error.as_deref(), Some(expected));
        assert_eq!(attribute(&said, "sequence"), Some("3"));
    }

    #[test]
    fn what_is_no_json_object_stays_as_it_stands() {
        for line in [
            "plain",
            "42",
            "null",
            "[1]",
            "{broken",
            r#"{"a":1} and more"#,
            "",
            "  indented",
        ] {
            let said = Said::read(line.as_bytes());
            assert_eq!((said.level, said.message.as_str()), (None, line));
        }
        assert_eq!(Said::read(b"\xff\x00").message, "\u{fffd}\0");
        assert_eq!(Said::read(b"dos\r").message, "dos");
        assert_eq!(Said::read(b"{}").level, Some(Level::Info));
        let deep = "[".repeat(100_000);
        assert_eq!(Said::read(deep.as_bytes()).message, deep);
        let deep = format!(r#"{{"a":{deep}"#);
        assert_eq!(Said::read(deep.as_bytes()).message, deep);
    }

    #[test]
    fn times_with_offsets() {
        for (text, seconds) in [
            ("1970-01-01T00:00:10Z", Some(10)),
            ("1970-01-01T02:00:10+02:00", Some(10)),
            ("1970-01-01T00:00:10-04:30", Some(10 + 16_200)),
            ("1970-01-01 00:00:10+00:00", Some(10)),
            ("1970-01-01T00:00:10+2:00", None),
            ("1970-01-01", None),
            ("\u{e4}\u{e4}\u{e4}\u{e4}", None),
            ("", None),
        ] {
            let expected = seconds.map(|it| SystemTime::UNIX_EPOCH + Duration::from_secs(it));
            assert_eq!(time(text), expected, "{text}");
        }
    }
}
