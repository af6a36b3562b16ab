//! What must be in no log and no error.

/// Texts that are taken out of other people's words.
#[derive(Clone, Default)]
pub(crate) struct Secrets(Vec<String>);

impl Secrets {
    /// Shorter ones are words like any other.
    const SHORTEST: usize = 6;

    pub(crate) fn add(&mut self, secret: &str) {
        if secret.len() >= Self::SHORTEST {
            let encoded = encode(secret);
            if encoded != secret {
                self.0.push(encoded);
            }
            self.0.push(secret.to_owned());
            // The longest first: a part of one that is gone cannot be found any more.
            self.0.sort_by_key(|text| std::cmp::Reverse(text.len()));
        }
    }

    /// The text without them.
    pub(crate) fn clean(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| {
            if text.contains(secret) {
                text.replace(secret, "[secret]")
            } else {
                text
            }
        })
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} secrets", self.0.len())
    }
}

/// For a part of a path or a query: everything but letters, digits and `-._~` as `%XX`.
pub(crate) fn encode(text: &str) -> String {
    use std::fmt::Write as _;
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            other => write!(encoded, "%{other:02X}").expect("a string takes everything"),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_taken_out_in_both_forms() {
        let mut secrets = Secrets::default();
        let url = "wss://host/rpc?plugin_id=1&token=abcdef";
        secrets.add(url);
        secrets.add("abcdef");
        secrets.add("a");
        let words = format!("bad env STORYDEN_RPC_URL={} or {url} (abcdef)", encode(url));
        assert_eq!(
            secrets.clean(&words),
            "bad env STORYDEN_RPC_URL=[secret] or [secret] ([secret])"
        );
        assert!(!format!("{secrets:?}").contains("abcdef"));
    }
}
