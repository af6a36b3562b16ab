//! Ids: 12 bytes, written as 20 characters that sort by time.
//!
//! The format is that of [`rs/xid`](https://github.com/rs/xid): 4 bytes of unix seconds, 3 of the
//! machine, 2 of the process, 3 of a counter, all big-endian, in lower-case base32hex without
//! padding. Twenty characters hold 100 bits and an id has 96, so only the top bit of the last
//! character counts and it is `0` or `g`; strict readers (Go's among them) refuse anything else,
//! and so does [`Xid::from_str`].

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::str::FromStr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

const DIGITS: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";

/// A 12-byte id, written as 20 characters. Unique without a coordinator, sortable by second; not
/// secret and not unguessable.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Xid([u8; 12]);

/// The id of one installed plugin. The same manifest may be installed many times, each time under
/// an id of its own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InstallationId(Xid);

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not an id: 20 characters of 0-9 and a-v are expected, the last of them `0` or `g`"
)]
pub struct ParseIdError(String);

impl Xid {
    /// A new id. The counter starts at random and never repeats within a second in one process.
    #[must_use]
    pub fn new() -> Self {
        static COUNTER: OnceLock<AtomicU32> = OnceLock::new();
        static MACHINE: OnceLock<[u8; 3]> = OnceLock::new();
        // Asked once: it is a system call, and every call over a line has an id.
        static PROCESS: OnceLock<u32> = OnceLock::new();
        let machine = MACHINE.get_or_init(|| {
            let [.., a, b, c] = random().to_be_bytes();
            [a, b, c]
        });
        let count = COUNTER
            .get_or_init(|| AtomicU32::new((random() & 0x00ff_ffff) as u32))
            .fetch_add(1, Ordering::Relaxed)
            .to_be_bytes();
        let seconds = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs() as u32)
            .to_be_bytes();
        let [.., p, q] = PROCESS.get_or_init(std::process::id).to_be_bytes();
        let mut bytes = [0; 12];
        bytes[..4].copy_from_slice(&seconds);
        bytes[4..7].copy_from_slice(machine);
        bytes[7..9].copy_from_slice(&[p, q]);
        bytes[9..].copy_from_slice(&count[1..]);
        Self(bytes)
    }

    /// The 20 characters, without taking memory.
    #[must_use]
    pub fn digits(self) -> [u8; 20] {
        let bits = self
            .0
            .iter()
            .fold(0u128, |bits, byte| (bits << 8) | u128::from(*byte))
            << 4;
        let mut text = [0u8; 20];
        for (place, digit) in text.iter_mut().enumerate() {
            *digit = DIGITS[(bits >> (95 - 5 * place)) as usize & 31];
        }
        text
    }
}

/// 64 bits from the seed that the standard library takes from the system for its hash maps.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

impl Default for Xid {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for Xid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.digits()).expect("the digits are ASCII"))
    }
}

impl fmt::Debug for Xid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Xid {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let refuse = || ParseIdError(text.chars().take(40).collect());
        if text.len() != 20 {
            return Err(refuse());
        }
        let mut bits = 0u128;
        for byte in text.bytes() {
            let digit = match byte {
                b'0'..=b'9' => byte - b'0',
                b'a'..=b'v' => byte - b'a' + 10,
                _ => return Err(refuse()),
            };
            bits = (bits << 5) | u128::from(digit);
        }
        if bits & 0b1111 != 0 {
            return Err(refuse());
        }
        let mut bytes = [0; 12];
        bytes.copy_from_slice(&(bits >> 4).to_be_bytes()[4..]);
        Ok(Self(bytes))
    }
}

impl Serialize for Xid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Xid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

impl InstallationId {
    /// A new id.
    #[must_use]
    pub fn new() -> Self {
        Self(Xid::new())
    }
}

impl Default for InstallationId {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for InstallationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for InstallationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for InstallationId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        text.parse().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of rs/xid's own documentation, byte by byte.
    #[test]
    fn the_published_example_reads_and_writes() {
        let id: Xid = "9m4e2mr0ui3e8a215n4g".parse().unwrap();
        assert_eq!(
            id.0,
            [
                0x4d, 0x88, 0xe1, 0x5b, 0x60, 0xf4, 0x86, 0xe4, 0x28, 0x41, 0x2d, 0xc9
            ]
        );
        assert_eq!(id.to_string(), "9m4e2mr0ui3e8a215n4g");
    }

    #[test]
    fn what_is_made_here_is_strict_and_unique() {
        let ids: std::collections::HashSet<String> =
            (0..10_000).map(|_| Xid::new().to_string()).collect();
        assert_eq!(ids.len(), 10_000);
        for id in ids {
            assert!(id.ends_with(['0', 'g']), "{id}");
            assert_eq!(id.parse::<Xid>().unwrap().to_string(), id);
        }
    }

    /// Nine in ten ids made by a random choice of 20 characters (as one Python SDK does) are not
    /// ids at all: the last character has one significant bit.
    #[test]
    fn a_loose_id_is_refused() {
        for bad in [
            "",
            "9m4e2mr0ui3e8a215n4h",
            "9M4E2MR0UI3E8A215N4G",
            "9m4e2mr0ui3e8a215n4",
            "9m4e2mr0ui3e8a215n4gg",
            "9m4e2mr0ui3e8a215nwg",
            "ééééééééééééééééé4g",
        ] {
            assert!(bad.parse::<Xid>().is_err(), "{bad}");
        }
    }
}
