//! What came, for people: tables, times, states.

use std::time::{Duration, SystemTime};

use comfy_table::Table;
use comfy_table::presets::NOTHING;
use serde_json::Value;

use crate::out::{Out, Style, plain};

/// A text in an object; empty where there is none.
pub(crate) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// A number in an object; 0 where there is none.
pub(crate) fn number(value: &Value, key: &str) -> u64 {
    value.get(key).and_then(Value::as_u64).unwrap_or_default()
}

/// The texts of an array in an object.
pub(crate) fn texts<'a>(value: &'a Value, key: &str) -> Vec<&'a str> {
    let all = value.get(key).and_then(Value::as_array);
    all.into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

/// The objects of an array in an object.
pub(crate) fn objects<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    let all = value.get(key).and_then(Value::as_array);
    all.map_or(&[], Vec::as_slice)
}

/// Shows an answer: the object itself to programs, a table to people, or why there is none.
pub(crate) fn table(
    out: &Out,
    answer: &Value,
    header: &[&str],
    rows: Vec<Vec<String>>,
    nothing: &str,
) {
    if out.is_json() {
        return out.result(answer, "");
    }
    if rows.is_empty() {
        return out.say(nothing);
    }
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(header.to_vec());
    for row in rows {
        table.add_row(row);
    }
    // Without the space that every line begins with.
    let table = table.trim_fmt();
    let lines = table
        .lines()
        .map(|line| line.strip_prefix(' ').unwrap_or(line));
    out.result(&Value::Null, lines.collect::<Vec<_>>().join("\n"));
}

/// `3 min ago`, of a time in RFC 3339; the text itself where it is none.
pub(crate) fn ago(time: &str) -> String {
    match humantime::parse_rfc3339_weak(time) {
        Ok(at) => match SystemTime::now().duration_since(at) {
            Ok(past) => format!("{} ago", long(past)),
            Err(ahead) => format!("in {}", long(ahead.duration())),
        },
        Err(_) => plain(time),
    }
}

/// `3 min`, since a time in RFC 3339; the text itself where it is none.
pub(crate) fn age(time: &str) -> String {
    match humantime::parse_rfc3339_weak(time) {
        Ok(at) => long(SystemTime::now().duration_since(at).unwrap_or_default()),
        Err(_) => plain(time),
    }
}

/// A duration for people, in its largest unit.
pub(crate) fn long(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// The state of a plugin, as the API calls it.
pub(crate) fn state(plugin: &Value) -> &str {
    text(&plugin["status"], "active_state")
}

/// The state of a plugin in colour, with the reason where something is wrong. To standard output.
pub(crate) fn state_words(plugin: &Value, out: &Out) -> String {
    let state = state(plugin);
    let style = match state {
        "active" => Style::Good,
        "error" => Style::Bad,
        "restarting" => Style::Odd,
        "inactive" => Style::Dim,
        _ => Style::Bold,
    };
    let mut words = out.style_result(style, plain(state));
    let reason = [text(&plugin["status"], "message"), text(plugin, "problem")];
    if let Some(reason) = reason.iter().find(|reason| !reason.is_empty()) {
        words += &format!(": {}", plain(reason.lines().next().unwrap_or_default()));
    }
    words
}

/// `Hello 1.0.0 (id) is active`, as the result of something that was done to it.
pub(crate) fn result(plugin: &Value, done: &str, out: &Out) {
    let name = format!(
        "{} {}",
        plain(text(plugin, "name")),
        plain(text(plugin, "version"))
    );
    let (name, id) = (out.style_result(Style::Bold, name), text(plugin, "id"));
    out.result(
        plugin,
        format_args!("{name} ({id}) {done}: {}", state_words(plugin, out)),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_well() {
        assert_eq!(long(Duration::from_secs(119)), "119 s");
        assert_eq!(long(Duration::from_secs(3600)), "60 min");
        assert_eq!(long(Duration::from_secs(7200)), "2 h");
        assert_eq!(long(Duration::from_secs(200_000)), "2 days");
        assert_eq!(ago("no time\u{1b}"), "no time\\u{1b}");
        assert!(ago("2001-01-01T00:00:00Z").ends_with("days ago"));
        assert!(ago("2999-01-01T00:00:00.5Z").starts_with("in "));
        assert!(age("2001-01-01T00:00:00Z").ends_with("days"));
        assert_eq!(age("2999-01-01T00:00:00Z"), "0 s");
    }
}
