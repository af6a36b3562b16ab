//! What is read out of requests; what does not fit is a problem.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, RawPathParams, Request};
use http::request::Parts;
use http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use jackfield::InstallationId;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::Number;

use super::problem::Problem;

/// A JSON body, up to 1 MiB.
#[derive(Debug)]
pub(crate) struct Sent<T>(pub(crate) T);

/// A JSON body that may be left out.
#[derive(Debug)]
pub(crate) struct MaybeSent<T>(pub(crate) T);

/// The query.
#[derive(Debug)]
pub(crate) struct Asked<T>(pub(crate) T);

/// The installation of the path: `{id}`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Id(pub(crate) InstallationId);

/// The event of the path: `{seq}`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seq(pub(crate) i64);

/// The last part of the path that is a parameter: a name, or an id that is not an installation's.
#[derive(Debug, Clone)]
pub(crate) struct Named(pub(crate) String);

/// The largest JSON body, bytes.
pub(crate) const MAX_JSON: usize = 1 << 20;
/// Below this every whole number is one of floating point, too.
const EXACT: f64 = 9_007_199_254_740_992.0;
/// How long a JSON body may take to come in.
const PATIENCE: Duration = Duration::from_secs(30);

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for Sent<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        json_expected(&parts.headers)?;
        Ok(Self(parse(&whole(body).await?)?))
    }
}

impl<S: Sync, T: DeserializeOwned + Default> FromRequest<S> for MaybeSent<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let bytes = whole(body).await?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        json_expected(&parts.headers)?;
        let sent: Option<T> = parse(&bytes)?;
        Ok(Self(sent.unwrap_or_default()))
    }
}

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let query = axum::extract::Query::<T>::try_from_uri(&parts.uri);
        let query = query.map_err(|error| Problem::wrong("invalid-query", error.body_text()))?;
        Ok(Self(query.0))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let text = param(parts, state, "id").await?;
        text.parse()
            .map(Self)
            .map_err(|error: jackfield::wire::ParseIdError| {
                Problem::missing("no-such-plugin", error.to_string())
            })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Seq {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let text = param(parts, state, "seq").await?;
        let none = |_| Problem::missing("no-such-event", "events are numbered from 1");
        text.parse().map(Self).map_err(none)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let params = RawPathParams::from_request_parts(parts, state).await;
        let params = params.map_err(|error| Problem::wrong("invalid-path", error.body_text()))?;
        let last = params.iter().last().map(|(_, value)| value);
        Ok(Self(last.unwrap_or_default().to_owned()))
    }
}

async fn param<S: Send + Sync>(
    parts: &mut Parts,
    state: &S,
    wanted: &str,
) -> Result<String, Problem> {
    let params = RawPathParams::from_request_parts(parts, state).await;
    let params = params.map_err(|error| Problem::wrong("invalid-path", error.body_text()))?;
    let found = params.iter().find(|(name, _)| *name == wanted);
    Ok(found.map(|(_, value)| value).unwrap_or_default().to_owned())
}

/// The whole of a JSON body.
pub(crate) async fn whole(body: Body) -> Result<bytes::Bytes, Problem> {
    let read = Limited::new(body, MAX_JSON).collect();
    match tokio::time::timeout(PATIENCE, read).await {
        Ok(Ok(read)) => Ok(read.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too-large",
            format!("the body has more than {MAX_JSON} bytes"),
        )),
        Ok(Err(_)) => Err(Problem::wrong("upload-broken", "the body broke off")),
        Err(_) => Err(slow()),
    }
}

/// A body that takes too long.
pub(crate) fn slow() -> Problem {
    Problem::new(
        StatusCode::REQUEST_TIMEOUT,
        "too-slow",
        "the body does not come in",
    )
}

/// JSON as this type.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(bytes)
        .map_err(|error| Problem::wrong("invalid-body", format!("the body does not fit: {error}")))
}

/// A whole number, which some write with a fraction of zero: `250.0`.
pub(crate) fn whole_number<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<i64>,
{
    let Some(number) = Option::<Number>::deserialize(deserializer)? else {
        return Ok(None);
    };
    let whole = number.as_i64().or_else(|| {
        let number = number
            .as_f64()
            .filter(|n| n.fract() == 0.0 && n.abs() < EXACT)?;
        #[expect(clippy::cast_possible_truncation, reason = "it is whole and small")]
        Some(number as i64)
    });
    let whole = whole.and_then(|whole| T::try_from(whole).ok());
    let wrong = || D::Error::custom(format!("{number} is no whole number in bounds"));
    whole.map(Some).ok_or_else(wrong)
}

/// The content type without its parameters, in lower case.
pub(crate) fn content_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE);
    let value = value
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default();
    essence.trim().to_ascii_lowercase()
}

/// 415, and what would do.
pub(crate) fn unsupported(expected: &str) -> Problem {
    Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported-media-type",
        format!("the Content-Type has to be {expected}"),
    )
}

fn json_expected(headers: &HeaderMap) -> Result<(), Problem> {
    let found = content_type(headers);
    if found == "application/json"
        || (found.starts_with("application/") && found.ends_with("+json"))
    {
        Ok(())
    } else {
        Err(unsupported("application/json"))
    }
}
