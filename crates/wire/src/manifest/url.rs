//! A URL as text, and as the fields of Go's `url.URL`, which is how the original's manifests spell
//! one. Taken apart and put together only; whether it leads anywhere is not looked at.

use serde::{Serialize, Serializer};
use serde_json::Value;

use super::walk::Walk;

const KEYS: &[&str] = &[
    "Scheme",
    "Opaque",
    "User",
    "Host",
    "Path",
    "RawPath",
    "OmitHost",
    "ForceQuery",
    "RawQuery",
    "Fragment",
    "RawFragment",
];

/// Go's fields, for those that are not empty. `Path` and `Fragment` are without escapes there.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct GoUrl {
    #[serde(skip_serializing_if = "String::is_empty")]
    scheme: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    opaque: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    host: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    path: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    raw_path: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    force_query: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    raw_query: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    fragment: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    raw_fragment: String,
}

/// The text of a URL that came as fields.
pub(super) fn from_go(fields: &Value, path: String, walk: &mut Walk) -> Option<String> {
    let fields = walk.object(fields, path, KEYS)?;
    let mut part = |key| walk.text(&fields, key).unwrap_or_default();
    let (scheme, opaque, host) = (part("Scheme"), part("Opaque"), part("Host"));
    let escaped = |raw: String, plain: &str| if raw.is_empty() { escape(plain) } else { raw };
    let path = escaped(part("RawPath"), &part("Path"));
    let fragment = escaped(part("RawFragment"), &part("Fragment"));
    let query = part("RawQuery");
    let force_query = walk.flag(&fields, "ForceQuery").unwrap_or(false);
    let mut url = String::new();
    if !scheme.is_empty() {
        url.push_str(&scheme);
        url.push(':');
    }
    if opaque.is_empty() {
        if !host.is_empty() {
            url.push_str("//");
            url.push_str(&host);
            if !path.is_empty() && !path.starts_with('/') {
                url.push('/');
            }
        }
        url.push_str(&path);
    } else {
        url.push_str(&opaque);
    }
    if force_query || !query.is_empty() {
        url.push('?');
        url.push_str(&query);
    }
    if !fragment.is_empty() {
        url.push('#');
        url.push_str(&fragment);
    }
    Some(url)
}

/// Writes a URL's text as Go's fields.
pub(super) fn serialize<S: Serializer>(url: &str, to: S) -> Result<S::Ok, S::Error> {
    split(url).serialize(to)
}

fn split(url: &str) -> GoUrl {
    let mut go = GoUrl::default();
    let (rest, fragment) = url.split_once('#').unwrap_or((url, ""));
    (go.fragment, go.raw_fragment) = plain_and_raw(fragment);
    let (rest, query) = match rest.split_once('?') {
        Some((rest, "")) => {
            go.force_query = true;
            (rest, "")
        }
        Some(both) => both,
        None => (rest, ""),
    };
    query.clone_into(&mut go.raw_query);
    let is_scheme = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_alphabetic())
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    };
    let rest = match rest.split_once(':') {
        Some((scheme, rest)) if is_scheme(scheme) => {
            scheme.clone_into(&mut go.scheme);
            rest
        }
        _ => rest,
    };
    let path = if let Some(rest) = rest.strip_prefix("//") {
        let end = rest.find('/').unwrap_or(rest.len());
        rest[..end].clone_into(&mut go.host);
        &rest[end..]
    } else if !go.scheme.is_empty() && !rest.starts_with('/') {
        rest.clone_into(&mut go.opaque);
        ""
    } else {
        rest
    };
    (go.path, go.raw_path) = plain_and_raw(path);
    go
}

/// The text without escapes, and as it is where that cannot be told from the first.
fn plain_and_raw(text: &str) -> (String, String) {
    let plain = unescape(text).unwrap_or_else(|| text.to_owned());
    let raw = if escape(&plain) == text { "" } else { text };
    (plain, raw.to_owned())
}

fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        if first != b'%' {
            bytes.push(first);
            continue;
        }
        let (digits, tail) = rest.split_at_checked(2)?;
        let digit = |byte: u8| char::from(byte).to_digit(16);
        bytes.push(u8::try_from(digit(digits[0])? * 16 + digit(digits[1])?).ok()?);
        rest = tail;
    }
    String::from_utf8(bytes).ok()
}

fn escape(text: &str) -> String {
    text.bytes().fold(String::new(), |mut escaped, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~/:@!$&'()*+,;=".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
        escaped
    })
}
