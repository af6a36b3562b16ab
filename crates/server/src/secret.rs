//! The server's key, and what is made with it.

use std::path::Path;

use jackfield::InstallationId;

/// The server's key: 32 random bytes in `<data>/key`, mode 0600, made at the first start. What was
/// sealed with it can be read by nobody who has the database alone.
#[derive(Clone)]
pub(crate) struct Key {}

/// Why something sealed cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error(
    "what was sealed here was sealed with another key: restore the file `key` of the data folder"
)]
pub(crate) struct Unsealable;

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(secret)")
    }
}

impl Key {
    /// Reads the key, or makes it.
    pub(crate) fn open(_data: &Path) -> std::io::Result<Self> {
        todo!()
    }

    /// AES-256-GCM under a fresh nonce; `about` is authenticated with it, so that what was sealed for
    /// one place cannot be moved to another. Base64.
    pub(crate) fn seal(&self, _about: &str, _plain: &[u8]) -> String {
        todo!()
    }

    /// What [`seal`](Self::seal) sealed.
    pub(crate) fn unseal(&self, _about: &str, _sealed: &str) -> Result<Vec<u8>, Unsealable> {
        todo!()
    }

    /// The access token of an installation: derived, so that it is the same until the generation
    /// changes, and stands nowhere. `sdbak_` and 43 characters.
    pub(crate) fn access_token(&self, _id: InstallationId, _generation: i64) -> String {
        todo!()
    }
}

/// A new token of the API: `jfa_` and 43 random characters.
pub(crate) fn new_api_token() -> String {
    todo!()
}

/// HMAC-SHA-256.
pub(crate) fn hmac(_secret: &[u8], _message: &[u8]) -> [u8; 32] {
    todo!()
}

/// Whether two texts are the same, in a time that does not tell where they differ.
pub(crate) fn same(_one: &[u8], _other: &[u8]) -> bool {
    todo!()
}
