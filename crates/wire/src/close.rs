//! Why a line ended, as a value and as a WebSocket close code.

use std::fmt;

/// Why a duplex was closed, by this side or by the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloseCause {
    /// The class of cause; it decides the close code.
    pub kind: CloseKind,
    /// A short text for a person; at most 123 bytes of it reach the other side (RFC 6455, 5.5).
    pub reason: String,
}

/// The four classes of [`CloseCause`]; the same four as the error kinds of Storyden's plugin
/// runner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CloseKind {
    /// An ordinary end. Close code 1000.
    Closed,
    /// This peer is not wanted and should not try again. Close code 1008.
    Rejected,
    /// Not now; trying again later is right. Close code 1013.
    Unavailable,
    /// Something broke. Close code 1011.
    Failed,
}

impl CloseCause {
    /// An ordinary end: code 1000, reason `closed`.
    #[must_use]
    pub fn closed() -> Self {
        Self::new(CloseKind::Closed, "closed")
    }

    /// The other side is not wanted: code 1008.
    #[must_use]
    pub fn rejected(reason: impl Into<String>) -> Self {
        Self::new(CloseKind::Rejected, reason)
    }

    /// The other side may try again: code 1013.
    #[must_use]
    pub fn unavailable(reason: impl Into<String>) -> Self {
        Self::new(CloseKind::Unavailable, reason)
    }

    /// Something broke: code 1011.
    #[must_use]
    pub fn failed(reason: impl Into<String>) -> Self {
        Self::new(CloseKind::Failed, reason)
    }

    fn new(kind: CloseKind, reason: impl Into<String>) -> Self {
        Self {
            kind,
            reason: reason.into(),
        }
    }

    /// The close code this side sends for it.
    #[must_use]
    pub fn code(&self) -> u16 {
        match self.kind {
            CloseKind::Closed => 1000,
            CloseKind::Rejected => 1008,
            CloseKind::Unavailable => 1013,
            CloseKind::Failed => 1011,
        }
    }

    /// What a received close code means: 1000, 1001 and 1005 are an ordinary end, 1008 a
    /// rejection, 1012 and 1013 an invitation to come back, everything else a failure.
    #[must_use]
    pub fn from_code(code: u16, reason: &str) -> Self {
        let kind = match code {
            1000 | 1001 | 1005 => CloseKind::Closed,
            1008 => CloseKind::Rejected,
            1012 | 1013 => CloseKind::Unavailable,
            _ => CloseKind::Failed,
        };
        let reason = if reason.is_empty() {
            format!("close code {code}")
        } else {
            reason.to_owned()
        };
        Self { kind, reason }
    }

    /// The reason, cut at a character so that it fits into a close frame (123 bytes).
    #[must_use]
    pub fn wire_reason(&self) -> &str {
        let end = self.reason.floor_char_boundary(123);
        &self.reason[..end]
    }
}

impl fmt::Display for CloseKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "closed",
            Self::Rejected => "rejected",
            Self::Unavailable => "unavailable",
            Self::Failed => "failed",
        })
    }
}

impl fmt::Display for CloseCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.reason.is_empty() || self.reason == self.kind.to_string() {
            self.kind.fmt(f)
        } else {
            write!(f, "{}: {}", self.kind, self.reason)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_go_out_and_come_back() {
        for (cause, code) in [
            (CloseCause::closed(), 1000),
            (CloseCause::rejected("no"), 1008),
            (CloseCause::unavailable("later"), 1013),
            (CloseCause::failed("broken"), 1011),
        ] {
            assert_eq!(cause.code(), code);
            assert_eq!(CloseCause::from_code(code, "x").kind, cause.kind);
        }
        for (code, kind) in [
            (1001, CloseKind::Closed),
            (1005, CloseKind::Closed),
            (1012, CloseKind::Unavailable),
            (1006, CloseKind::Failed),
            (1009, CloseKind::Failed),
            (4000, CloseKind::Failed),
        ] {
            assert_eq!(CloseCause::from_code(code, "").kind, kind, "{code}");
        }
    }

    #[test]
    fn a_long_reason_is_cut_at_a_character() {
        let cause = CloseCause::failed("é".repeat(100));
        assert_eq!(cause.wire_reason().len(), 122);
    }
}
