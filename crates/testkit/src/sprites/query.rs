//! Queries, lengths of time and points in time, as the service writes them.

use std::time::{Duration, SystemTime};

use serde_json::Value;

/// The pairs of a query, decoded, in order.
pub(super) fn pairs(query: &str) -> Vec<(String, String)> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(key, true), decoded(value, true))
        })
        .collect()
}

/// The arguments of an operation on the control channel, as the pairs of a query: each value is a
/// text or a list of texts.
pub(super) fn of_args(args: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let mut pairs = Vec::new();
    for (key, value) in args.as_object().into_iter().flatten() {
        match value {
            Value::Array(values) => pairs.extend(values.iter().map(|v| (key.clone(), text(v)))),
            value => pairs.push((key.clone(), text(value))),
        }
    }
    pairs
}

/// The first value of a name.
pub(super) fn first<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let found = pairs.iter().find(|(key, _)| key == name);
    found.map(|(_, value)| value.as_str())
}

/// All values of a name.
pub(super) fn all(pairs: &[(String, String)], name: &str) -> Vec<String> {
    let found = pairs.iter().filter(|(key, _)| key == name);
    found.map(|(_, value)| value.clone()).collect()
}

/// Whether the first value of a name says yes.
pub(super) fn yes(pairs: &[(String, String)], name: &str) -> Option<bool> {
    first(pairs, name).map(|value| matches!(value, "true" | "1" | "t"))
}

/// Undoes percent-encoding; in queries a plus is a space.
pub(super) fn decoded(text: &str, plus: bool) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, tail @ ..] = rest {
        rest = tail;
        let hex = tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match (byte, hex.and_then(|hex| u8::from_str_radix(hex, 16).ok())) {
            (b'%', Some(value)) => {
                bytes.push(value);
                rest = &tail[2..];
            }
            (b'+', _) if plus => bytes.push(b' '),
            _ => bytes.push(*byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A length of time in Go's notation (`1m30s`, `250ms`), or a number of seconds.
pub(super) fn duration(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let value: f64 = rest[..number].parse().ok()?;
        let unit_and_more = &rest[number..];
        let unit = unit_and_more
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(unit_and_more.len());
        let scale = match &unit_and_more[..unit] {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        total += Duration::try_from_secs_f64(value * scale).ok()?;
        rest = &unit_and_more[unit..];
    }
    (!text.is_empty()).then_some(total)
}

/// Seconds since 1970.
pub(super) fn unix(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// A point in time as RFC 3339 has it, in UTC.
pub(super) fn rfc3339(time: SystemTime) -> String {
    let seconds = unix(time);
    let (day, clock) = (seconds / 86_400, seconds % 86_400);
    // Howard Hinnant, "chrono-compatible low-level date algorithms": days since 1970 to a date.
    let shifted = day + 719_468;
    let era = shifted / 146_097;
    let of_era = shifted % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let date = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (clock / 3600, clock / 60 % 60, clock % 60);
    format!("{year:04}-{month:02}-{date:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_decoded() {
        let all = pairs("cmd=a+b&cmd=%C3%A4&env=A%3D1%26&x");
        let expected = [("cmd", "a b"), ("cmd", "ä"), ("env", "A=1&"), ("x", "")];
        assert_eq!(
            all,
            expected.map(|(key, value)| (key.to_owned(), value.to_owned()))
        );
        assert_eq!(decoded("100%", true), "100%");
    }

    #[test]
    fn durations_of_go() {
        assert_eq!(duration("1m30s"), Some(Duration::from_secs(90)));
        assert_eq!(duration("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(duration("0"), Some(Duration::ZERO));
        assert_eq!(duration("10"), Some(Duration::from_secs(10)));
        assert_eq!(duration("ten"), None);
    }

    #[test]
    fn dates() {
        let at = |seconds| rfc3339(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01T00:00:00Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(at(1_767_609_000), "2026-01-05T10:30:00Z");
    }
}
