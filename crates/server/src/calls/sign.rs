//! Signatures, as [Standard Webhooks](https://www.standardwebhooks.com) has them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::secret::hmac;

/// How a secret begins when it is shown.
const PREFIX: &str = "whsec_";

/// A new secret, as it is shown.
pub(super) fn new_secret() -> Result<String, getrandom::Error> {
    let mut random = [0; 32];
    getrandom::fill(&mut random)?;
    Ok(format!("{PREFIX}{}", STANDARD.encode(random)))
}

/// The bytes of a secret as it is shown: 24 to 64 of them.
pub(super) fn secret_bytes(shown: &str) -> Option<Vec<u8>> {
    let bytes = STANDARD.decode(shown.strip_prefix(PREFIX)?).ok()?;
    (24..=64).contains(&bytes.len()).then_some(bytes)
}

/// What stands in `webhook-signature`. The time is in seconds since 1970.
pub(super) fn signature(secret: &[u8], id: &str, timestamp: u64, body: &[u8]) -> String {
    let mut signed = format!("{id}.{timestamp}.").into_bytes();
    signed.extend_from_slice(body);
    format!("v1,{}", STANDARD.encode(hmac(secret, &signed)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the standard's own documentation and libraries.
    #[test]
    fn the_published_example_comes_out() {
        let secret = secret_bytes("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signature = signature(
            &secret,
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn secrets_are_read_as_they_are_shown() {
        let shown = new_secret().unwrap();
        assert_eq!(secret_bytes(&shown).unwrap().len(), 32);
        assert_ne!(shown, new_secret().unwrap());
        for wrong in [
            "",
            "whsec_",
            "whsec_AAAA",
            "whsec_?",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        ] {
            assert_eq!(secret_bytes(wrong), None, "{wrong:?}");
        }
    }
}
