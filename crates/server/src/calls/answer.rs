//! What the application answers, as a plugin is told.

use jackfield::{Fault, RawJson};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

/// How much of a problem's detail a plugin is told, in bytes.
const DETAIL: usize = 1024;
/// How much of a refusal is read, in bytes.
const REFUSAL: usize = 64 << 10;

/// RFC 9457, as much as is told on.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Problem {
    title: Option<String>,
    detail: Option<String>,
}

/// 2xx with JSON is the result, without a body an empty object; everything else is a fault.
pub(super) async fn read(
    response: reqwest::Response,
    method: &str,
    most: usize,
) -> Result<RawJson, Fault> {
    let status = response.status();
    if !status.is_success() {
        let text = body(response, REFUSAL).await.ok();
        let mut fault = Fault::server(reason(method, status, text.as_deref()));
        fault.data = Some(json!({ "status": status.as_u16() }));
        return Err(fault);
    }
    let body = body(response, most).await.map_err(|cut| match cut {
        Cut::TooLarge => Fault::server(format!(
            "the application's answer to `{method}` is larger than {most} bytes"
        )),
        Cut::Broken => Fault::server(format!("the application's answer to `{method}` broke off")),
    })?;
    if body.iter().all(u8::is_ascii_whitespace) {
        return RawJson::of(&json!({})).map_err(|error| Fault::internal(error.to_string()));
    }
    serde_json::from_slice::<Box<RawValue>>(&body)
        .map(RawJson::from)
        .map_err(|_| Fault::server(format!("the application's answer to `{method}` is no JSON")))
}

enum Cut {
    TooLarge,
    Broken,
}

async fn body(mut response: reqwest::Response, most: usize) -> Result<Vec<u8>, Cut> {
    let most_length = u64::try_from(most).unwrap_or(u64::MAX);
    if response
        .content_length()
        .is_some_and(|length| length > most_length)
    {
        return Err(Cut::TooLarge);
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|_| Cut::Broken)? {
        if body.len() + chunk.len() > most {
            return Err(Cut::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn reason(method: &str, status: reqwest::StatusCode, body: Option<&[u8]>) -> String {
    let problem: Problem = body
        .and_then(|body| serde_json::from_slice(body).ok())
        .unwrap_or_default();
    let told = problem
        .detail
        .or(problem.title)
        .filter(|told| !told.trim().is_empty());
    match told {
        Some(mut told) => {
            if told.len() > DETAIL {
                let end = (0..=DETAIL).rev().find(|at| told.is_char_boundary(*at));
                told.truncate(end.unwrap_or_default());
            }
            told
        }
        None => format!("the application answered `{method}` with {status}"),
    }
}
