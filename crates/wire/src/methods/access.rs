//! `access_get`: a plugin asks for a key to the application's own API.
//!
//! Its answer is an envelope within the envelope, and the two existing SDKs disagree on what is in
//! it: Go's wants `api_base_url` as the fields of Go's `url.URL`, Python's wants exactly
//! `access_key` and `apibase_url`, a string, and forbids everything else. No payload satisfies
//! both, so the shape follows the `User-Agent` of the handshake.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::method::{Asked, Method};

/// The plugin asks for access to the application's API.
#[derive(Debug)]
pub struct AccessGet;

/// A key and where it is good.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// The key, for `Authorization: Bearer`. Secret: it is not shown by `Debug`.
    pub access_key: String,
    /// The address of the API, without a path of its own: `https://example.org`.
    pub api_base_url: String,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access")
            .field("api_base_url", &self.api_base_url)
            .finish_non_exhaustive()
    }
}

impl Method for AccessGet {
    const NAME: &'static str = "access_get";
    type Params = Option<serde_json::Map<String, Value>>;
    type Output = Access;

    fn encode(
        access: &Access,
        asked: &Asked<'_>,
        text: &mut Vec<u8>,
    ) -> Result<(), serde_json::Error> {
        let python = asked
            .client
            .user_agent
            .as_deref()
            .is_some_and(|agent| agent.starts_with("Python/"));
        let result = if python {
            json!({"access_key": access.access_key, "apibase_url": access.api_base_url})
        } else {
            json!({"access_key": access.access_key, "api_base_url": go_url(&access.api_base_url)})
        };
        let envelope = json!({
            "id": asked.id,
            "jsonrpc": "2.0",
            "method": Self::NAME,
            "result": result,
        });
        serde_json::to_writer(text, &envelope)
    }

    fn decode(result: &RawValue) -> Result<Access, serde_json::Error> {
        use serde::de::Error as _;
        let answer: Value = serde_json::from_str(result.get())?;
        let inner = answer.get("result").unwrap_or(&answer);
        let key = inner.get("access_key").and_then(Value::as_str);
        let url = inner.get("api_base_url").or(inner.get("apibase_url"));
        match (answer.pointer("/error/message"), key, url) {
            (Some(message), _, _) => Err(serde_json::Error::custom(message)),
            (None, Some(key), Some(url)) => Ok(Access {
                access_key: key.to_owned(),
                api_base_url: read_url(url),
            }),
            _ => Err(serde_json::Error::custom(
                "`access_key` and `api_base_url` are expected",
            )),
        }
    }
}

/// A URL as Go's encoding/json writes its `url.URL`, all fields of it.
fn go_url(url: &str) -> Value {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let (host, path) = match rest.find('/') {
        Some(slash) => rest.split_at(slash),
        None => (rest, ""),
    };
    json!({
        "Scheme": scheme, "Opaque": "", "User": null, "Host": host, "Path": path, "Fragment": "",
        "RawQuery": "", "RawPath": "", "RawFragment": "", "ForceQuery": false, "OmitHost": false,
    })
}

fn read_url(url: &Value) -> String {
    let part = |name| url.get(name).and_then(Value::as_str).unwrap_or_default();
    match url {
        Value::String(url) => url.clone(),
        _ => format!("{}://{}{}", part("Scheme"), part("Host"), part("Path")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::to_raw_value;

    use super::*;
    use crate::method::Client;

    fn encoded(user_agent: &str) -> Value {
        let access = Access {
            access_key: "k".to_owned(),
            api_base_url: "http://localhost:8000".to_owned(),
        };
        let id = to_raw_value("i").unwrap();
        let client = Client {
            user_agent: Some(user_agent.to_owned()),
            speaks_v1: false,
        };
        let asked = Asked {
            id: Some(&id),
            client: &client,
        };
        let mut text = Vec::new();
        AccessGet::encode(&access, &asked, &mut text).unwrap();
        let raw: &RawValue = serde_json::from_slice(&text).unwrap();
        assert_eq!(AccessGet::decode(raw).unwrap(), access);
        serde_json::from_str(raw.get()).unwrap()
    }

    #[test]
    fn each_sdk_gets_the_shape_it_can_read() {
        let go = encoded("Go-http-client/1.1");
        assert_eq!(go["id"], "i");
        assert_eq!(go["result"]["api_base_url"]["Host"], "localhost:8000");
        assert_eq!(go["result"]["api_base_url"]["Scheme"], "http");
        let python = encoded("Python/3.11 websockets/15.0.1");
        assert_eq!(
            python["result"],
            json!({"access_key": "k", "apibase_url": "http://localhost:8000"})
        );
    }
}
