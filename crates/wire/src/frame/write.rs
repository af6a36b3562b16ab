//! The text of a message, written at its full size at once where it is JSON already.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::Serialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::fault::Fault;
use crate::traceparent::Traceparent;

/// The text of a request. `params` of `None` or `null` are left out: strict readers drop a request
/// whose parameters are null. A `traceparent` is for peers that asked for
/// [`SUBPROTOCOL`](crate::method::SUBPROTOCOL).
#[must_use]
pub fn request(
    id: &str,
    method: &str,
    params: Option<&RawValue>,
    traceparent: Option<&Traceparent>,
) -> String {
    let params = params.map(RawValue::get).filter(|params| *params != "null");
    let traceparent = traceparent.map(Traceparent::as_str);
    let [id, method] = [id, method].map(quoted);
    let mut parts = vec![r#"{"id":"#, &id, r#","jsonrpc":"2.0","method":"#, &method];
    parts.extend(params.iter().flat_map(|params| [r#","params":"#, *params]));
    parts.extend(
        traceparent
            .iter()
            .flat_map(|it| [r#","traceparent":""#, *it, r#"""#]),
    );
    parts.push("}");
    parts.concat()
}

/// As JSON.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a string always serializes")
}

/// The same, of parameters that are not JSON yet: written where they belong, and not copied there.
///
/// # Errors
/// When they do not serialize.
pub fn request_with(
    id: &str,
    method: &str,
    params: &impl Serialize,
    traceparent: Option<&Traceparent>,
) -> Result<String, serde_json::Error> {
    let mut text = Vec::with_capacity(512);
    text.extend_from_slice(br#"{"id":"#);
    serde_json::to_writer(&mut text, id)?;
    text.extend_from_slice(br#","jsonrpc":"2.0","method":"#);
    serde_json::to_writer(&mut text, method)?;
    let end = text.len();
    text.extend_from_slice(br#","params":"#);
    let begin = text.len();
    serde_json::to_writer(&mut text, params)?;
    if text.get(begin..) == Some(b"null") {
        text.truncate(end);
    }
    if let Some(traceparent) = traceparent {
        text.extend_from_slice(br#","traceparent":"#);
        serde_json::to_writer(&mut text, traceparent.as_str())?;
    }
    text.push(b'}');
    Ok(String::from_utf8(text).expect("serde_json writes UTF-8"))
}

/// The text of a notification, a request without an id. Only peers that asked for
/// [`SUBPROTOCOL`](crate::method::SUBPROTOCOL) get any.
#[must_use]
pub fn notification(method: &str, params: &RawValue) -> String {
    #[derive(Serialize)]
    struct Notification<'a> {
        jsonrpc: &'a str,
        method: &'a str,
        params: &'a RawValue,
    }
    to_text(&Notification {
        jsonrpc: "2.0",
        method,
        params,
    })
}

/// The text of a response. An id of `None` is written as `null`.
#[must_use]
pub fn response(id: Option<&RawValue>, outcome: Result<&RawValue, &Fault>) -> String {
    match outcome {
        Ok(result) => {
            let id = id.map_or("null", RawValue::get);
            let parts = [
                r#"{"id":"#,
                id,
                r#","jsonrpc":"2.0","result":"#,
                result.get(),
                "}",
            ];
            parts.concat()
        }
        Err(error) => failure(id, error),
    }
}

/// The text of a response with what a method answers: where that is an object without a `method` of
/// its own, the method's name is put first in it, which strict peers need to decode it.
#[must_use]
pub fn answer(id: Option<&RawValue>, method: &str, result: &RawValue) -> String {
    let (head, rest) = answer_around(id, method, result);
    [&head, rest, "}"].concat()
}

/// The same in three pieces, of which the second, a part of the result, need not be copied: what
/// stands before it, itself, and a `}`.
#[must_use]
pub fn answer_around<'a>(
    id: Option<&RawValue>,
    method: &str,
    result: &'a RawValue,
) -> (String, &'a str) {
    let text = result.get();
    let id = id.map_or("null", RawValue::get);
    let before = [r#"{"id":"#, id, r#","jsonrpc":"2.0","result":"#];
    let Some(rest) = text.strip_prefix('{').filter(|_| !has_method(text)) else {
        return (before.concat(), text);
    };
    let name = quoted(method);
    let comma = match rest.trim_start().starts_with('}') {
        true => "",
        false => ",",
    };
    let [a, b, c] = before;
    ([a, b, c, r#"{"method":"#, &name, comma].concat(), rest)
}

/// The same, of an answer that is not JSON yet: `write` writes it to the end of what it is given,
/// where it belongs, and it is not copied there.
///
/// # Errors
/// Those of `write`.
///
/// # Panics
/// When `write` takes away what was there, or writes what is no UTF-8.
pub fn answer_with<E>(
    id: Option<&RawValue>,
    method: &str,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> Result<String, E> {
    let mut text = Vec::with_capacity(512);
    text.extend_from_slice(br#"{"id":"#);
    text.extend_from_slice(id.map_or("null", RawValue::get).as_bytes());
    text.extend_from_slice(br#","jsonrpc":"2.0","result":"#);
    let begin = text.len();
    // As if the answer were an object without a method, which most are: its brace becomes a comma.
    text.extend_from_slice(br#"{"method":"#);
    text.extend_from_slice(quoted(method).as_bytes());
    let brace = text.len();
    write(&mut text)?;
    text.push(b'}');
    let mut text = String::from_utf8(text).expect("JSON is UTF-8");
    let result = &text[brace..text.len() - 1];
    if !result.starts_with('{') || has_method(result) {
        text.replace_range(begin..brace, "");
    } else if result[1..].trim_start().starts_with('}') {
        text.replace_range(brace..=brace, "");
    } else {
        text.replace_range(brace..=brace, ",");
    }
    Ok(text)
}

/// Whether this object has a `method`. The cheap look first: most answers have no such key at any
/// depth.
fn has_method(object: &str) -> bool {
    type Members<'a> = HashMap<Cow<'a, str>, IgnoredAny>;
    object.contains("\"method\"")
        && serde_json::from_str::<Members<'_>>(object)
            .is_ok_and(|members| members.contains_key("method"))
}

fn failure(id: Option<&RawValue>, error: &Fault) -> String {
    #[derive(Serialize)]
    struct Failure<'a> {
        error: &'a Fault,
        id: Option<&'a RawValue>,
        jsonrpc: &'a str,
    }
    to_text(&Failure {
        error,
        id,
        jsonrpc: "2.0",
    })
}

fn to_text(frame: &impl Serialize) -> String {
    serde_json::to_string(frame).expect("strings, numbers and raw JSON always serialize")
}
