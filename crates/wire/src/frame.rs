//! One JSON-RPC object per message, sorted by its fields in one pass.
//!
//! No batches. A top-level `method` makes a request, `result` or a non-null `error` makes a
//! response; anything else is malformed and knows which error it deserves. Ids of the other side
//! are opaque and are echoed as they came, byte for byte.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::fault::Fault;
use crate::traceparent::Traceparent;

/// The `data` of an error is kept up to this many bytes. Whoever wrote it chose what becomes of it:
/// a tree of values takes up to a dozen times as much.
const MAX_DATA: usize = 256 << 10;

/// A message that came in, borrowed from its text.
#[derive(Debug)]
pub enum Frame<'a> {
    /// The other side asks something.
    Request {
        /// Its id, to be echoed. `None` where it was missing or `null`.
        id: Option<&'a RawValue>,
        /// What it asks for.
        method: Cow<'a, str>,
        /// The parameters as they came. `None` where they were missing or `null`.
        params: Option<&'a RawValue>,
        /// The trace it belongs to. `None` where that was missing or is not well-formed.
        traceparent: Option<Traceparent>,
    },
    /// The other side answers.
    Response {
        /// The id it answers to. `None` where it was missing or `null`.
        id: Option<&'a RawValue>,
        /// The result as it came, or the error.
        outcome: Result<&'a RawValue, Fault>,
    },
    /// Neither of the two.
    Malformed {
        /// Its id where one could be read.
        id: Option<Box<RawValue>>,
        /// The error to answer with.
        fault: Fault,
    },
}

/// What [`outline`] finds.
#[derive(Debug, Clone, Copy, Default)]
pub struct Outline<'a> {
    /// The id where it is a string or a number; the last one, where there are several.
    pub id: Option<&'a RawValue>,
    /// Whether the message has a `result` or a non-null `error`, and no `method`.
    pub is_response: bool,
}

#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    method: Option<&'a RawValue>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
    // `null` is a result; only its absence is not.
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
    // Whatever else somebody means by it is none of an error.
    #[serde(borrow, default)]
    traceparent: Option<&'a RawValue>,
}

fn present<'de: 'a, 'a, D: Deserializer<'de>>(from: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(from).map(Some)
}

impl<'a> Frame<'a> {
    /// Sorts one message. Never fails: what cannot be sorted is [`Frame::Malformed`].
    #[must_use]
    pub fn parse(text: &'a str) -> Self {
        // A derived struct would take an array for its fields in order.
        if text.trim_start().starts_with('[') {
            let fault = match serde_json::from_str::<&RawValue>(text) {
                Ok(_) => Fault::new(Fault::INVALID_REQUEST, "batches are not supported"),
                Err(error) => parse_error(&error),
            };
            return Self::Malformed { id: None, fault };
        }
        match serde_json::from_str::<Fields<'a>>(text) {
            Ok(fields) => Self::sort(&fields),
            Err(error) if error.is_data() => Self::Malformed {
                // A second pass, on this path only.
                id: outline(text).id.map(ToOwned::to_owned),
                fault: Fault::new(Fault::INVALID_REQUEST, format!("invalid request: {error}")),
            },
            Err(error) => Self::Malformed {
                id: None,
                fault: parse_error(&error),
            },
        }
    }

    fn sort(fields: &Fields<'a>) -> Self {
        let &Fields {
            id,
            method,
            params,
            result,
            error,
            traceparent,
        } = fields;
        if let Some(bad) = id.filter(|id| !fits(id)) {
            let message = format!("an id is a string or a number, not {}", bad.get());
            return Self::malformed(None, message);
        }
        match (method, result, error) {
            (Some(method), None, None) => match text_of(method) {
                Ok(method) => Self::Request {
                    id,
                    method,
                    params,
                    traceparent: traceparent.and_then(lenient_traceparent),
                },
                Err(_) => Self::malformed(id, "`method` is not a string"),
            },
            (Some(_), _, _) => Self::malformed(id, "both a request and a response"),
            (None, _, Some(error)) => Self::Response {
                id,
                outcome: Err(lenient_fault(error)),
            },
            (None, Some(result), None) => Self::Response {
                id,
                outcome: Ok(result),
            },
            (None, None, None) => {
                Self::malformed(id, "one of `method`, `result` and `error` is expected")
            }
        }
    }

    fn malformed(id: Option<&RawValue>, message: impl Into<String>) -> Self {
        Self::Malformed {
            id: id.map(ToOwned::to_owned),
            fault: Fault::new(Fault::INVALID_REQUEST, message),
        }
    }
}

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

/// A string as it stands there, and only where it has escapes a copy of it.
fn text_of(json: &RawValue) -> Result<Cow<'_, str>, serde_json::Error> {
    serde_json::from_str(json.get())
        .map(Cow::Borrowed)
        .or_else(|_| serde_json::from_str(json.get()).map(Cow::Owned))
}

fn parse_error(error: &serde_json::Error) -> Fault {
    Fault::new(Fault::PARSE_ERROR, format!("not JSON: {error}"))
}

/// An error object as the other side wrote it, or what can be said of one that is no object.
fn lenient_fault(error: &RawValue) -> Fault {
    #[derive(Deserialize)]
    struct Fields<'a> {
        #[serde(default = "Fault::server_error_code")]
        code: i64,
        #[serde(default)]
        message: String,
        #[serde(borrow, default)]
        data: Option<&'a RawValue>,
    }
    match serde_json::from_str::<Fields<'_>>(error.get()) {
        Ok(fields) => Fault {
            code: fields.code,
            message: fields.message,
            data: fields.data.and_then(small),
        },
        Err(_) => Fault {
            code: Fault::SERVER_ERROR,
            message: "the other side answered with an error that is not an error object".to_owned(),
            data: small(error),
        },
    }
}

fn lenient_traceparent(text: &RawValue) -> Option<Traceparent> {
    let text = text.get().strip_prefix('"')?.strip_suffix('"')?;
    text.parse().ok()
}

fn small(data: &RawValue) -> Option<Value> {
    let text = Some(data.get()).filter(|text| text.len() <= MAX_DATA)?;
    serde_json::from_str(text).ok()
}

/// What there is to say of a message that is not to be read: too large, or its fields do not fit.
/// Takes no memory, whatever the message holds. Nothing of what is not a JSON object.
#[must_use]
pub fn outline(text: &str) -> Outline<'_> {
    serde_json::from_str(text).unwrap_or_default()
}

impl<'de: 'a, 'a> Deserialize<'de> for Outline<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(OutlineVisitor)
    }
}

struct OutlineVisitor;

impl<'de> Visitor<'de> for OutlineVisitor {
    type Value = Outline<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Outline<'de>, A::Error> {
        #[derive(Deserialize)]
        #[serde(field_identifier, rename_all = "lowercase")]
        enum Key {
            Id,
            Method,
            Result,
            Error,
            #[serde(other)]
            Other,
        }
        let (mut id, mut asks, mut answers) = (None, false, false);
        while let Some(key) = map.next_key()? {
            match key {
                Key::Id => id = map.next_value::<Option<&RawValue>>()?,
                Key::Method => asks |= map.next_value::<Option<IgnoredAny>>()?.is_some(),
                Key::Error => answers |= map.next_value::<Option<IgnoredAny>>()?.is_some(),
                Key::Result => {
                    map.next_value::<IgnoredAny>()?;
                    answers = true;
                }
                Key::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Outline {
            id: id.filter(|id| fits(id)),
            is_response: answers && !asks,
        })
    }
}

fn fits(id: &RawValue) -> bool {
    !id.get().starts_with(['{', '[', 't', 'f'])
}

#[cfg(test)]
mod tests;
