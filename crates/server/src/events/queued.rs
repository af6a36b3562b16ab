//! An event as all its consumers share it.

use std::sync::OnceLock;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::store::StoredEvent;

/// An event, read once; its parameters are written once, for whoever comes first.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) event: StoredEvent,
    params: OnceLock<Result<Box<RawValue>, String>>,
}

impl Queued {
    pub(super) fn new(event: StoredEvent) -> Self {
        Self {
            event,
            params: OnceLock::new(),
        }
    }

    /// The parameters of the call, or why there are none.
    pub(super) fn params(&self) -> Result<&RawValue, String> {
        self.params
            .get_or_init(|| params(&self.event.name, &self.event.payload))
            .as_deref()
            .map_err(Clone::clone)
    }

    /// What it takes in memory, roughly: the payload lies there twice.
    pub(super) fn bytes(&self) -> usize {
        2 * self.event.payload.len() + 512
    }
}

/// The payload with the event's name beside its fields.
pub(super) fn params(name: &str, payload: &str) -> Result<Box<RawValue>, String> {
    let unfit = |error: serde_json::Error| format!("its payload is no JSON object: {error}");
    let text = payload.trim();
    let Some(rest) = text.strip_prefix('{') else {
        return Err("its payload is no JSON object".to_owned());
    };
    // The cheap look first: hardly any payload has such a key at any depth. `\u` can spell one.
    if text.contains("\"event\"") || text.contains("\\u") {
        let mut fields: Map<String, Value> = serde_json::from_str(text).map_err(unfit)?;
        fields.insert("event".to_owned(), name.into());
        return serde_json::value::to_raw_value(&fields).map_err(unfit);
    }
    let comma = if rest.trim_start().starts_with('}') {
        ""
    } else {
        ","
    };
    let name = Value::from(name);
    RawValue::from_string(format!("{{\"event\":{name}{comma}{rest}")).map_err(unfit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_stands_beside_the_fields() {
        for (payload, expected) in [
            ("{}", r#"{"event":"E"}"#),
            ("{ }", r#"{"event":"E" }"#),
            (r#"{"id":"x"}"#, r#"{"event":"E","id":"x"}"#),
            (r#"{"event":"Other","id":1}"#, r#"{"event":"E","id":1}"#),
            (r#"{"\u0065vent":"Other"}"#, r#"{"event":"E"}"#),
            (r#"{"a":{"event":1}}"#, r#"{"a":{"event":1},"event":"E"}"#),
        ] {
            assert_eq!(params("E", payload).unwrap().get(), expected);
        }
        for payload in ["", "[]", "null", "{\"a\"}", "{"] {
            assert!(params("E", payload).is_err(), "{payload:?}");
        }
    }
}
