//! One JSON-RPC object per message, sorted by its fields in one pass.
//!
//! No batches. A top-level `method` makes a request, `result` or a non-null `error` makes a
//! response; anything else is malformed and knows which error it deserves. Ids of the other side
//! are opaque and are echoed as they came, byte for byte.

mod trimmed;
mod write;

use std::borrow::Cow;
use std::fmt;

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::fault::Fault;
use crate::traceparent::Traceparent;

pub use trimmed::Trimmed;
pub use write::{
    answer, answer_around, answer_with, notification, request, request_with, response,
};

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
