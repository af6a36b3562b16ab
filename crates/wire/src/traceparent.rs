//! Which trace a request belongs to.

use std::fmt;
use std::str::FromStr;

/// A `traceparent` as the W3C's Trace Context has it (version 00): the trace, the span that caused
/// this, and whether it is recorded.
///
/// ```
/// use jackfield_wire::Traceparent;
///
/// let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// let parent: Traceparent = text.parse()?;
/// assert_eq!(parent.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
/// assert_eq!(parent.to_string(), text);
/// # Ok::<_, jackfield_wire::NotATraceparent>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Traceparent([u8; LEN]);

/// The text is not a `traceparent` of version 00.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a traceparent of version 00")]
pub struct NotATraceparent;

const LEN: usize = 55;

impl Traceparent {
    /// As it stands in a header or a frame.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("hexadecimal digits and dashes")
    }

    /// The trace, 32 digits.
    #[must_use]
    pub fn trace_id(&self) -> &str {
        &self.as_str()[3..35]
    }

    /// The span that caused this, 16 digits.
    #[must_use]
    pub fn parent_id(&self) -> &str {
        &self.as_str()[36..52]
    }

    /// Whether the caller may have recorded its part.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        let digit = char::from(self.0[LEN - 1]).to_digit(16);
        digit.is_some_and(|digit| digit & 1 == 1)
    }
}

impl FromStr for Traceparent {
    type Err = NotATraceparent;

    fn from_str(text: &str) -> Result<Self, NotATraceparent> {
        let bytes: [u8; LEN] = text.as_bytes().try_into().map_err(|_| NotATraceparent)?;
        // Upper case is not allowed (Trace Context, 2.2).
        let hex = |range: &[u8]| {
            range
                .iter()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        let zero = |range: &[u8]| range.iter().all(|byte| *byte == b'0');
        let (trace, parent, flags) = (&bytes[3..35], &bytes[36..52], &bytes[53..]);
        let dashes = [2, 35, 52].iter().all(|at| bytes[*at] == b'-');
        let sound = bytes.starts_with(b"00")
            && dashes
            && [trace, parent, flags].into_iter().all(hex)
            && !zero(trace)
            && !zero(parent);
        sound.then_some(Self(bytes)).ok_or(NotATraceparent)
    }
}

impl fmt::Display for Traceparent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Traceparent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_well_formed_is_taken() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let parent: Traceparent = good.parse().unwrap();
        assert_eq!(parent.parent_id(), "00f067aa0ba902b7");
        assert!(parent.is_sampled());
        for (flags, sampled) in [("00", false), ("0a", false), ("0b", true), ("ff", true)] {
            let parent: Traceparent = format!("{}{flags}", &good[..53]).parse().unwrap();
            assert_eq!(parent.is_sampled(), sampled, "{flags}");
        }
        let zeros = |range: std::ops::Range<usize>| {
            let mut text = good.to_owned();
            text.replace_range(range.clone(), &"0".repeat(range.len()));
            text
        };
        for bad in [
            "",
            "00",
            &good[..54],
            &format!("{good}0"),
            &format!("{good}-extra"),
            &good.to_uppercase(),
            &good.replace('-', "_"),
            &good.replacen("00", "01", 1),
            &good.replacen("00", "ff", 1),
            &good.replace('b', "g"),
            &good.replacen("4b", "é", 1),
            &zeros(3..35),
            &zeros(36..52),
        ] {
            assert_eq!(bad.parse::<Traceparent>(), Err(NotATraceparent), "{bad}");
        }
    }
}
