//! What can go wrong with the service, and what that means for a plugin.

use std::error::Error as StdError;
use std::time::Duration;

use http::{HeaderMap, StatusCode};
use jackfield::runtime::BoxFuture;
use jackfield::{Failure, Stage};
use jackfield_wire::RuntimeProvider;
use serde::Deserialize;
use thiserror::Error;

use crate::secret::Secrets;

/// Nobody waits longer than that because somebody else says so.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(60 * 60);

/// A request that did not do what it was for. Never shows a URL: what was asked for is in `doing`.
#[derive(Debug, Error)]
pub(crate) enum ServiceError {
    /// The service said no.
    #[error("the Sprites service would not {doing}: {words} (HTTP {})", .status.as_u16())]
    Refused {
        doing: &'static str,
        status: StatusCode,
        /// The machine's word for it, where there is one.
        code: String,
        /// The service's own words.
        words: String,
        retry_after: Option<Duration>,
    },
    /// It could not be asked, or the answer broke off.
    #[error("the Sprites service cannot be reached to {doing}")]
    Unreachable {
        doing: &'static str,
        source: Box<dyn StdError + Send + Sync>,
    },
    /// It did not answer in time.
    #[error("the Sprites service did not {doing} within {} s", .within.as_secs())]
    Late {
        doing: &'static str,
        within: Duration,
    },
    /// It answered something else than its documentation says.
    #[error("the Sprites service answered something odd when asked to {doing}: {what}")]
    Odd { doing: &'static str, what: String },
    /// The process did not start, in the service's own words.
    #[error("failed to start process: {words}")]
    NotStarted { words: String },
    /// A file on this machine, on its way there.
    #[error("cannot read a file that is to be uploaded")]
    Local(#[source] std::io::Error),
}

/// What to make of a [`ServiceError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It stays that way until somebody does something about it.
    Hopeless,
    /// Too often; not before that time.
    Limited(Option<Duration>),
    /// The network, or the service is ill.
    Outage,
    /// There is no such thing, or no more.
    Missing,
    /// There is such a thing already.
    Conflict,
    /// It cannot be done, and nobody knows more.
    Failed,
}

/// The body of a refusal. Files are refused with `error` and `code` alone.
#[derive(Debug, Default, Deserialize)]
struct Words {
    #[serde(default)]
    error: serde_json::Value,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    retry_after_seconds: Option<f64>,
}

impl ServiceError {
    /// A refusal from an answer's status, headers and body.
    pub(crate) fn refused(
        doing: &'static str,
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
        secrets: &Secrets,
    ) -> Self {
        let text = String::from_utf8_lossy(body);
        let said: Option<Words> = serde_json::from_slice(body).ok();
        let (code, words, seconds) = match said {
            Some(said) => {
                let code = said.error.as_str().unwrap_or_default().to_owned();
                let words = said.message.filter(|words| !words.is_empty());
                let words = words.unwrap_or_else(|| code.clone());
                (code, words, said.retry_after_seconds)
            }
            None => (String::new(), text.trim().to_owned(), None),
        };
        let words = if words.is_empty() {
            status
                .canonical_reason()
                .unwrap_or("no reason given")
                .to_owned()
        } else {
            words
        };
        let mut words = secrets.clean(&words);
        words.truncate(words.floor_char_boundary(512));
        let header = headers.get(http::header::RETRY_AFTER);
        let header = header.and_then(|value| value.to_str().ok()?.trim().parse::<u32>().ok());
        let retry_after = seconds
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
            .filter(|delay| !delay.is_zero())
            .or(header.map(|seconds| Duration::from_secs(seconds.into())))
            .map(|delay| delay.min(LONGEST_RETRY_AFTER));
        Self::Refused {
            doing,
            status,
            code,
            words,
            retry_after,
        }
    }

    pub(crate) fn unreachable(
        doing: &'static str,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self::Unreachable {
            doing,
            source: source.into(),
        }
    }

    /// The same without these in other people's words.
    pub(crate) fn cleaned(mut self, secrets: &Secrets) -> Self {
        if let Self::Refused { words, .. } | Self::NotStarted { words } = &mut self {
            *words = secrets.clean(words);
        }
        self
    }

    pub(crate) fn verdict(&self) -> Verdict {
        match self {
            Self::Refused {
                status,
                code,
                retry_after,
                ..
            } => match status.as_u16() {
                // An account's limit is not lifted by asking again.
                _ if code == "concurrent_sprite_limit_exceeded" => Verdict::Hopeless,
                401..=403 => Verdict::Hopeless,
                404 | 410 => Verdict::Missing,
                408 | 425 | 500.. => match retry_after {
                    Some(_) => Verdict::Limited(*retry_after),
                    None => Verdict::Outage,
                },
                409 => Verdict::Conflict,
                429 => Verdict::Limited(*retry_after),
                _ => Verdict::Failed,
            },
            Self::Unreachable { .. } | Self::Late { .. } => Verdict::Outage,
            Self::Odd { .. } | Self::Local(_) => Verdict::Failed,
            Self::NotStarted { words } => {
                if is_permanent(words) {
                    Verdict::Hopeless
                } else {
                    Verdict::Failed
                }
            }
        }
    }

    /// How long the service wants to be left alone.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self.verdict() {
            Verdict::Limited(delay) => delay,
            _ => None,
        }
    }

    /// Whether the next request may well succeed.
    pub(crate) fn passes(&self) -> bool {
        self.verdict() == Verdict::Outage
    }

    /// As what the host tells of a plugin.
    pub(crate) fn failure(&self, stage: Stage) -> Failure {
        let mut message = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            let next = error.to_string();
            if !message.contains(&next) {
                message = format!("{message}: {next}");
            }
            cause = error.source();
        }
        let failed = failure(stage, message);
        match self.verdict() {
            Verdict::Hopeless => match self {
                Self::Refused { status, .. } if *status == StatusCode::UNAUTHORIZED => failed
                    .hint("check SPRITES_API_KEY")
                    .hopeless(),
                Self::NotStarted { .. } => failed
                    .hint("the command must be in the package, named with a slash (./name), or be installed in the sprite")
                    .hopeless(),
                _ => failed.hopeless(),
            },
            Verdict::Limited(Some(delay)) => failed.outage().retry_after(delay),
            Verdict::Limited(None) | Verdict::Outage => failed.outage(),
            // Somebody deleted the sprite; the next attempt makes another one.
            Verdict::Missing => failed.outage(),
            Verdict::Conflict | Verdict::Failed => failed,
        }
    }
}

/// A failure of this runtime.
pub(crate) fn failure(stage: Stage, message: impl Into<String>) -> Failure {
    Failure::new(RuntimeProvider::Sprites, stage, message)
}

/// What the system says of a program that is not there or is none.
fn is_permanent(words: &str) -> bool {
    let words = words.to_ascii_lowercase();
    [
        "executable file not found",
        "no such file or directory",
        "command not found",
        "permission denied",
        "exec format error",
    ]
    .iter()
    .any(|sign| words.contains(sign))
}

/// Ends a request at its deadline.
pub(crate) async fn within<T>(
    doing: &'static str,
    within: Duration,
    work: BoxFuture<'_, Result<T, ServiceError>>,
) -> Result<T, ServiceError> {
    tokio::time::timeout(within, work)
        .await
        .unwrap_or(Err(ServiceError::Late { doing, within }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, header: Option<&str>, body: &str) -> ServiceError {
        let mut headers = HeaderMap::new();
        if let Some(value) = header {
            headers.insert(http::header::RETRY_AFTER, value.parse().unwrap());
        }
        let mut secrets = Secrets::default();
        secrets.add("sesame");
        let status = StatusCode::from_u16(status).unwrap();
        ServiceError::refused("make a sprite", status, &headers, body.as_bytes(), &secrets)
    }

    #[test]
    fn refusals_are_told_apart() {
        let seconds = |seconds| Verdict::Limited(Some(Duration::from_secs(seconds)));
        for (status, header, body, verdict) in [
            (401, None, "", Verdict::Hopeless),
            (402, None, "", Verdict::Hopeless),
            (403, None, "{}", Verdict::Hopeless),
            (404, None, "", Verdict::Missing),
            (409, None, "", Verdict::Conflict),
            (410, None, "", Verdict::Missing),
            (422, None, "", Verdict::Failed),
            (429, Some("7"), "", seconds(7)),
            (429, Some("7"), r#"{"retry_after_seconds":3}"#, seconds(3)),
            (429, Some("soon"), "", Verdict::Limited(None)),
            (429, Some("99999999"), "", seconds(3600)),
            (
                429,
                None,
                r#"{"error":"concurrent_sprite_limit_exceeded"}"#,
                Verdict::Hopeless,
            ),
            (500, None, "", Verdict::Outage),
            (503, Some("5"), "", seconds(5)),
        ] {
            let error = refused(status, header, body);
            assert_eq!(error.verdict(), verdict, "{status} {header:?} {body}");
        }
    }

    #[test]
    fn the_service_speaks_for_itself_but_tells_no_secret() {
        let error = refused(
            403,
            None,
            r#"{"error":"forbidden","message":"no such org for sesame"}"#,
        );
        assert_eq!(
            error.to_string(),
            "the Sprites service would not make a sprite: no such org for [secret] (HTTP 403)"
        );
        let error = refused(500, None, "<html>oops</html>");
        assert!(error.to_string().contains("<html>oops"), "{error}");
        let failed = refused(401, None, "").failure(Stage::Deploy);
        assert!(failed.message.contains("Unauthorized"), "{failed}");
        let start = ServiceError::NotStarted {
            words: "exec: \"x\": executable file not found in $PATH".to_owned(),
        };
        assert_eq!(start.verdict(), Verdict::Hopeless);
    }
}
