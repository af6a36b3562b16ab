//! What rows are made of, and how to read it back.

use std::time::SystemTime;

use jackfield::{Manifest, TokenHash};
use serde_json::Value;
use sqlx::any::AnyRow;
use sqlx::{Decode, Row as _, Type};

use crate::clock;

/// A column. `Err` says which one, and why; never what stands there.
pub(super) fn column<'r, T>(row: &'r AnyRow, name: &'static str) -> Result<T, String>
where
    T: Decode<'r, sqlx::Any> + Type<sqlx::Any>,
{
    row.try_get(name).map_err(|error| match error {
        sqlx::Error::ColumnDecode { source, .. } => format!("{name}: {source}"),
        other => format!("{name}: {other}"),
    })
}

/// A column that is some text's own type.
pub(super) fn parsed<T>(row: &AnyRow, name: &'static str) -> Result<T, String>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    let text: String = column(row, name)?;
    text.parse().map_err(|error| format!("{name}: {error}"))
}

/// A column that is one of a few words.
pub(super) fn word<T: serde::de::DeserializeOwned>(
    row: &AnyRow,
    name: &'static str,
) -> Result<T, String> {
    let text: String = column(row, name)?;
    let known = serde_json::from_value(Value::String(text));
    known.map_err(|error| format!("{name}: {error}"))
}

/// A column that is a document.
pub(super) fn document<T: serde::de::DeserializeOwned>(
    row: &AnyRow,
    name: &'static str,
) -> Result<T, String> {
    let text: String = column(row, name)?;
    serde_json::from_str(&text).map_err(|error| format!("{name}: {error}"))
}

/// A time.
pub(super) fn time(row: &AnyRow, name: &'static str) -> Result<SystemTime, String> {
    column(row, name).map(clock::time)
}

/// A time, where there may be none.
pub(super) fn optional_time(
    row: &AnyRow,
    name: &'static str,
) -> Result<Option<SystemTime>, String> {
    let millis: Option<i64> = column(row, name)?;
    Ok(millis.map(clock::time))
}

/// The column `manifest`, checked again.
pub(super) fn manifest(row: &AnyRow) -> Result<Manifest, String> {
    let value: Value = document(row, "manifest")?;
    let checked = Manifest::check_value(&value).into_result();
    checked.map_err(|error| format!("manifest: {error}"))
}

/// A manifest as it is written.
pub(super) fn manifest_text(manifest: &Manifest) -> String {
    text_of(manifest)
}

/// A document as it is written.
pub(super) fn text_of<T: serde::Serialize + ?Sized>(document: &T) -> String {
    serde_json::to_string(document).expect("words and maps with text as keys always serialize")
}

/// A word as it is written.
pub(super) fn word_of<T: serde::Serialize>(word: T) -> String {
    match serde_json::to_value(word) {
        Ok(Value::String(word)) => word,
        other => unreachable!("a word serializes to text, and not to {other:?}"),
    }
}

/// A hash as it is written.
pub(super) fn hash_of(hash: TokenHash) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(64);
    for byte in hash.as_bytes() {
        write!(text, "{byte:02x}").expect("text takes all");
    }
    text
}

/// A hash as it was written: digits like those of a digest.
pub(super) fn hash(text: &str) -> Option<TokenHash> {
    let digest: jackfield::package::Digest = text.parse().ok()?;
    Some(TokenHash::from_bytes(*digest.as_bytes()))
}

/// Text from elsewhere: PostgreSQL's has no NUL, and a plugin's last words must not be the reason why
/// something cannot be written.
pub(super) fn clean(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}
