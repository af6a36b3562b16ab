//! Tokens: what a program shows when it dials.

use std::fmt;

use jackfield_wire::Xid;
use jackfield_wire::env::EXTERNAL_TOKEN_PREFIX;
use sha2::{Digest, Sha256};

/// A secret that lets a program in. Shown once, then only its [hash](TokenHash) is kept; `Debug`
/// does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

/// SHA-256 of a [`Token`]: what is stored and looked up. It does not let anybody in, and looking
/// it up takes the same time whatever part of a guessed token is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenHash([u8; 32]);

impl Token {
    /// A new token for a program that somebody else runs: `sdprt_` and 32 letters and digits from
    /// the system's random source. Programs know by the prefix that they may dial again after
    /// their line was lost.
    ///
    /// # Panics
    /// When the system has no random source.
    #[must_use]
    pub fn external() -> Self {
        Self(format!("{EXTERNAL_TOKEN_PREFIX}{}", letters(32)))
    }

    /// A new token for one launch of a supervised plugin: a public mark that names the launch,
    /// and 43 secret letters and digits.
    pub(crate) fn launch() -> (Self, String) {
        let mark = Xid::new().to_string();
        (Self(format!("{mark}{}", letters(43))), mark)
    }

    /// A token from its text, as a program shows it or as an operator stored it.
    #[must_use]
    pub fn from_text(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for the one who may see it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Its hash.
    #[must_use]
    pub fn hash(&self) -> TokenHash {
        TokenHash(Sha256::digest(self.0.as_bytes()).into())
    }

    /// Whether it is of the kind that programs of others show.
    #[must_use]
    pub fn is_external(&self) -> bool {
        self.0.starts_with(EXTERNAL_TOKEN_PREFIX)
    }
}

impl TokenHash {
    /// A hash as it was stored.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes, for storing.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(secret)")
    }
}

/// Letters and digits from the system's random source, each as likely as any other.
fn letters(count: usize) -> String {
    const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut text = String::with_capacity(count);
    let mut bytes = [0u8; 64];
    while text.len() < count {
        getrandom::fill(&mut bytes).expect("the system has a random source");
        // 248 is the largest multiple of 62 in a byte: what lies above would favour some letters.
        let usable = bytes.iter().filter(|byte| **byte < 248);
        text.extend(
            usable
                .map(|byte| char::from(ALPHABET[usize::from(byte % 62)]))
                .take(count - text.len()),
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_external_token_has_the_known_shape() {
        let token = Token::external();
        assert_eq!(token.reveal().len(), 38);
        assert!(token.is_external());
        assert!(
            token.reveal()[6..]
                .bytes()
                .all(|b| b.is_ascii_alphanumeric())
        );
        assert_ne!(token, Token::external());
        assert!(!format!("{token:?}").contains(&token.reveal()[6..]));
    }

    #[test]
    fn a_launch_token_is_never_taken_for_an_external_one() {
        let (token, mark) = Token::launch();
        assert!(!token.is_external());
        assert!(token.reveal().starts_with(&mark));
        assert_eq!(token.reveal().len(), 63);
    }
}
