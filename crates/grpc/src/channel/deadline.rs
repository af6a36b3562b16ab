//! How long a call may take, as its headers say.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, header};

const GRPC: HeaderName = HeaderName::from_static("grpc-timeout");
const CONNECT: HeaderName = HeaderName::from_static("connect-timeout-ms");

/// How long the caller gives this call, by gRPC's `grpc-timeout` or Connect's `connect-timeout-ms`. `None` when it does
/// not say so, or not as it must.
#[must_use]
pub fn deadline(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    text(GRPC)
        .and_then(grpc)
        .or_else(|| text(CONNECT).and_then(connect))
}

/// Says how long this call may take, in the words of its protocol. What it said before is replaced.
pub fn announce(headers: &mut HeaderMap, timeout: Duration) {
    if is_grpc(headers) || is_kind(headers, "application/grpc-web") {
        headers.insert(GRPC, format_grpc(timeout));
    } else {
        let millis = timeout.as_millis().min(9_999_999_999);
        headers.insert(CONNECT, value(millis.to_string()));
    }
}

/// Whether a call is gRPC's, not gRPC-Web's nor Connect's.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    is_kind(headers, "application/grpc")
}

/// The type itself, or one with a codec (`+proto`) or parameters (`;`) behind it.
fn is_kind(headers: &HeaderMap, kind: &str) -> bool {
    let rest = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.as_bytes().strip_prefix(kind.as_bytes()));
    matches!(rest, Some([] | [b'+' | b';' | b' ', ..]))
}

/// One to eight digits and a unit.
fn grpc(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 {
        return None;
    }
    let number = whole(digits)?;
    Some(match unit {
        "H" => Duration::from_secs(number * 60 * 60),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

/// One to ten digits: milliseconds.
fn connect(text: &str) -> Option<Duration> {
    (text.len() <= 10)
        .then(|| whole(text))?
        .map(Duration::from_millis)
}

fn whole(digits: &str) -> Option<u64> {
    digits
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| digits.parse().ok())?
}

/// In the finest unit in which it has no more than eight digits.
fn format_grpc(timeout: Duration) -> HeaderValue {
    const LIMIT: u128 = 100_000_000;
    let text = if timeout.as_micros() < LIMIT {
        format!("{}u", timeout.as_micros())
    } else if timeout.as_millis() < LIMIT {
        format!("{}m", timeout.as_millis())
    } else {
        format!("{}S", timeout.as_secs().min(99_999_999))
    };
    value(text)
}

fn value(text: impl Into<String>) -> HeaderValue {
    HeaderValue::try_from(text.into()).expect("digits and letters")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, text)| (HeaderName::from_static(name), value(*text)))
            .collect()
    }

    #[test]
    fn every_unit_is_read() {
        for (text, expected) in [
            ("1H", Some(Duration::from_secs(3600))),
            ("2M", Some(Duration::from_secs(120))),
            ("3S", Some(Duration::from_secs(3))),
            ("4m", Some(Duration::from_millis(4))),
            ("29948229u", Some(Duration::from_micros(29_948_229))),
            ("6n", Some(Duration::from_nanos(6))),
            ("99999999H", Some(Duration::from_secs(99_999_999 * 3600))),
            ("123456789S", None),
            ("S", None),
            ("1", None),
            ("+1S", None),
            ("1s", None),
            ("", None),
        ] {
            assert_eq!(
                deadline(&headers(&[("grpc-timeout", text)])),
                expected,
                "{text}"
            );
        }
        let connect = headers(&[("connect-timeout-ms", "1500")]);
        assert_eq!(deadline(&connect), Some(Duration::from_millis(1500)));
        assert_eq!(
            deadline(&headers(&[("connect-timeout-ms", "12345678901")])),
            None
        );
        assert_eq!(deadline(&HeaderMap::new()), None);
    }

    #[test]
    fn what_is_announced_is_read_back() {
        for (kind, timeout, text) in [
            ("application/grpc", Duration::from_millis(1500), "1500000u"),
            (
                "application/grpc+proto",
                Duration::from_secs(1000),
                "1000000m",
            ),
            (
                "application/grpc-web+proto",
                Duration::from_secs(1_000_000),
                "1000000S",
            ),
            ("application/proto", Duration::from_secs(2), "2000"),
        ] {
            let mut headers = headers(&[("content-type", kind)]);
            announce(&mut headers, timeout);
            assert_eq!(deadline(&headers), Some(timeout));
            assert!(headers.values().any(|value| value == text), "{headers:?}");
        }
    }

    #[test]
    fn protocols_are_told_apart() {
        for (kind, expected) in [
            ("application/grpc", true),
            ("application/grpc+json", true),
            ("application/grpc-web", false),
            ("application/grpc-web+proto", false),
            ("application/json", false),
        ] {
            assert_eq!(
                is_grpc(&headers(&[("content-type", kind)])),
                expected,
                "{kind}"
            );
        }
    }
}
