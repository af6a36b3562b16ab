//! One line that a plugin wrote, with what can be read out of it.

use std::fmt;
use std::time::SystemTime;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

/// Which of its two outputs a plugin wrote to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// How serious a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Finest detail.
    Trace,
    /// For those who look for a bug.
    Debug,
    /// Ordinary; what a line on standard output is unless it says otherwise.
    Info,
    /// Something to look at.
    Warn,
    /// Something failed; what a line on standard error is unless it says otherwise.
    Error,
}

/// One line of a plugin's output. Its JSON is one line of a log file and one item of a log stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogRecord {
    /// Counts the records of one installation from 1, without gaps, over restarts of the host.
    pub seq: u64,
    /// When the host read it. RFC 3339 in UTC, with milliseconds.
    #[serde(serialize_with = "write_time", deserialize_with = "read_time")]
    pub time: SystemTime,
    /// Where it was written.
    pub stream: Stream,
    /// What it says of itself, or the default of its stream.
    pub level: Level,
    /// The text; of a JSON line, its message. Bytes that are not UTF-8 are replaced by U+FFFD.
    pub text: String,
    /// The other fields of a JSON line.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub fields: Map<String, Value>,
    /// This is a piece of a longer line, which goes on in the next record of this stream.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
}

impl LogRecord {
    /// Reads one line: JSON objects in the common shapes give their level, message and fields;
    /// of other lines a leading or `level=` level is understood and the text is kept whole.
    #[must_use]
    pub fn read(seq: u64, time: SystemTime, stream: Stream, line: &[u8], partial: bool) -> Self {
        let text = String::from_utf8_lossy(line);
        let default = match stream {
            Stream::Stdout => Level::Info,
            Stream::Stderr => Level::Error,
        };
        let (level, text, fields) = match json_line(&text) {
            Some(read) if !partial => read,
            _ => (plain_level(&text), text.into_owned(), Map::new()),
        };
        Self {
            seq,
            time,
            stream,
            level: level.unwrap_or(default),
            text,
            fields,
            partial,
        }
    }
}

impl Level {
    /// The level that a logging library means by a name: `WARNING`, `fatal`, `notice`, `E`, …
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "trace" | "trc" | "finest" | "silly" | "verbose" => Self::Trace,
            "debug" | "dbg" | "dbug" | "fine" => Self::Debug,
            "info" | "inf" | "information" | "informational" | "notice" | "log" => Self::Info,
            "warn" | "wrn" | "warning" => Self::Warn,
            "error" | "err" | "eror" | "fatal" | "ftl" | "critical" | "crit" | "panic"
            | "dpanic" | "alert" | "emerg" | "emergency" | "severe" => Self::Error,
            _ => return None,
        })
    }

    /// The level behind a number: 10 to 60 as pino and bunyan count, -8 to 8 as Go's `slog` does.
    fn from_number(number: i64) -> Option<Self> {
        Some(match number {
            -8..=-5 => Self::Trace,
            -4..=-1 | 20..=29 => Self::Debug,
            0..=3 | 30..=39 => Self::Info,
            4..=7 | 40..=49 => Self::Warn,
            8 | 9 | 50..=100 => Self::Error,
            10..=19 => Self::Trace,
            _ => return None,
        })
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        })
    }
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        })
    }
}

type Read = (Option<Level>, String, Map<String, Value>);

/// A JSON object with a message in it, as zap, slog, pino, bunyan, winston, structlog, zerolog,
/// tracing-subscriber and the Elastic Common Schema write it.
fn json_line(text: &str) -> Option<Read> {
    if !text.trim_start().starts_with('{') {
        return None;
    }
    let mut fields: Map<String, Value> = serde_json::from_str(text).ok()?;
    let level = [
        "level",
        "lvl",
        "severity",
        "log.level",
        "@level",
        "levelname",
        "loglevel",
    ]
    .iter()
    .find_map(|key| {
        let level = match fields.get(*key)? {
            Value::String(name) => Level::from_name(name)?,
            Value::Number(number) => Level::from_number(number.as_i64()?)?,
            _ => return None,
        };
        fields.remove(*key);
        Some(level)
    });
    let nested = fields
        .get_mut("fields")
        .and_then(Value::as_object_mut)
        .and_then(|nested| take_text(nested, &["message"]));
    let message = take_text(
        &mut fields,
        &["msg", "message", "@message", "event", "text"],
    )
    .or(nested);
    match message {
        Some(message) => Some((level, message, fields)),
        // JSON without a message is data: kept as it was written.
        None => Some((level, text.to_owned(), Map::new())),
    }
}

fn take_text(fields: &mut Map<String, Value>, keys: &[&str]) -> Option<String> {
    keys.iter().find_map(|key| {
        fields.get(*key)?.as_str()?;
        match fields.remove(*key) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        }
    })
}

/// `WARN something`, `[error] something`, `INFO:root:something`, `… level=debug …`.
fn plain_level(text: &str) -> Option<Level> {
    if let Some((_, rest)) = text.split_once("level=") {
        let name: String = rest
            .trim_start_matches('"')
            .chars()
            .take_while(char::is_ascii_alphabetic)
            .collect();
        return Level::from_name(&name);
    }
    let text = text.trim_start();
    let bracketed = text.starts_with('[');
    let text = text.trim_start_matches('[');
    let name: &str = &text[..text
        .find(|c: char| !c.is_ascii_alphabetic())
        .unwrap_or(text.len())];
    let after = text[name.len()..].chars().next();
    // "Error: x" and "WARN x" are levels; "information is power" and "info" in running text not.
    let marked = match after {
        Some(':' | ']') => true,
        Some(' ' | '\t') => !bracketed && name.chars().all(|c| c.is_ascii_uppercase()),
        _ => false,
    };
    (marked && name.len() > 1)
        .then(|| Level::from_name(name))
        .flatten()
}

fn write_time<S: Serializer>(time: &SystemTime, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&humantime::format_rfc3339_millis(*time))
}

fn read_time<'de, D: Deserializer<'de>>(from: D) -> Result<SystemTime, D::Error> {
    humantime::parse_rfc3339(&String::deserialize(from)?).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> (Level, String, usize) {
        let record = LogRecord::read(1, SystemTime::now(), Stream::Stdout, line.as_bytes(), false);
        (record.level, record.text, record.fields.len())
    }

    #[test]
    fn json_lines_in_the_common_shapes_are_understood() {
        for (line, level, text, fields) in [
            (
                r#"{"time":"t","level":"WARN","msg":"hot","n":1}"#,
                Level::Warn,
                "hot",
                2,
            ),
            (
                r#"{"level":50,"time":1,"msg":"pino"}"#,
                Level::Error,
                "pino",
                1,
            ),
            (
                r#"{"severity":"ERROR","message":"gcp"}"#,
                Level::Error,
                "gcp",
                0,
            ),
            (
                r#"{"log.level":"debug","message":"ecs"}"#,
                Level::Debug,
                "ecs",
                0,
            ),
            (
                r#"{"@level":"info","@message":"hclog"}"#,
                Level::Info,
                "hclog",
                0,
            ),
            (
                r#"{"levelname":"CRITICAL","message":"py"}"#,
                Level::Error,
                "py",
                0,
            ),
            (
                r#"{"level":"info","event":"structlog"}"#,
                Level::Info,
                "structlog",
                0,
            ),
            (
                r#"{"level":"INFO","fields":{"message":"tracing","a":1}}"#,
                Level::Info,
                "tracing",
                1,
            ),
            (
                r#"{"level":"fatal","answer":42}"#,
                Level::Error,
                r#"{"level":"fatal","answer":42}"#,
                0,
            ),
        ] {
            assert_eq!(read(line), (level, text.to_owned(), fields), "{line}");
        }
    }

    #[test]
    fn plain_lines_keep_their_text_and_may_name_a_level() {
        for (line, level) in [
            ("hello", Level::Info),
            ("ERROR broken", Level::Error),
            ("WARNING:root:hot", Level::Warn),
            ("[debug] x", Level::Debug),
            ("Error: no such file", Level::Error),
            ("information is power", Level::Info),
            ("warn me later", Level::Info),
            (r#"ts=1 level=error msg="x""#, Level::Error),
            ("{not json", Level::Info),
            ("", Level::Info),
        ] {
            assert_eq!(read(line), (level, line.to_owned(), 0));
        }
    }

    #[test]
    fn a_record_survives_its_file() {
        let record = LogRecord::read(
            7,
            SystemTime::UNIX_EPOCH,
            Stream::Stderr,
            b"\xff\x00x",
            true,
        );
        let json = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<LogRecord>(&json).unwrap(), record);
        assert_eq!(record.level, Level::Error);
    }
}
