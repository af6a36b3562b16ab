//! The server's key, and what is made with it.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::{constant_time, hmac as lc};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jackfield::InstallationId;

const KEY_LENGTH: usize = 32;

/// The server's key: 32 random bytes in `<data>/key`, mode 0600, made at the first start. What was
/// sealed with it can be read by nobody who has the database alone.
#[derive(Clone)]
pub(crate) struct Key {
    seals: Arc<RandomizedNonceKey>,
    derives: Arc<[u8; KEY_LENGTH]>,
}

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
    /// Reads the key, or makes it, and the folder.
    ///
    /// # Errors
    /// Also when the file has another length, or can be read by others.
    pub(crate) fn open(data: &Path) -> io::Result<Self> {
        let path = data.join("key");
        if !path.try_exists()? {
            make(data, &path)?;
        }
        read(&path).map(|bytes| Self::of(&bytes))
    }

    fn of(bytes: &[u8; KEY_LENGTH]) -> Self {
        let seal = hmac(bytes, b"seal");
        Self {
            seals: Arc::new(
                RandomizedNonceKey::new(&AES_256_GCM, &seal).expect("it has the right length"),
            ),
            derives: Arc::new(*bytes),
        }
    }

    /// AES-256-GCM under a fresh nonce; `about` is authenticated with it, so that what was sealed for
    /// one place cannot be moved to another. Base64.
    pub(crate) fn seal(&self, about: &str, plain: &[u8]) -> String {
        let mut text = plain.to_vec();
        let nonce = self
            .seals
            .seal_in_place_append_tag(Aad::from(about), &mut text)
            .expect("no plaintext is anywhere near 64 GiB");
        let mut sealed = nonce.as_ref().to_vec();
        sealed.append(&mut text);
        STANDARD.encode(sealed)
    }

    /// What [`seal`](Self::seal) sealed.
    pub(crate) fn unseal(&self, about: &str, sealed: &str) -> Result<Vec<u8>, Unsealable> {
        let mut sealed = STANDARD.decode(sealed).map_err(|_| Unsealable)?;
        let (nonce, text) = sealed.split_at_mut_checked(NONCE_LEN).ok_or(Unsealable)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| Unsealable)?;
        self.seals
            .open_in_place(nonce, Aad::from(about), text)
            .map(|plain| plain.to_vec())
            .map_err(|_| Unsealable)
    }

    /// The access token of an installation: derived, so that it is the same until the generation
    /// changes, and stands nowhere. `sdbak_`, the 20 characters of the id (so that whose it is is
    /// known without a search), and 43 characters.
    pub(crate) fn access_token(&self, id: InstallationId, generation: i64) -> String {
        let of = format!("access:{id}:{generation}");
        let mac = hmac(self.derives.as_slice(), of.as_bytes());
        format!("sdbak_{id}{}", URL_SAFE_NO_PAD.encode(mac))
    }
}

/// A new token of the API: `jfa_` and 43 random characters.
pub(crate) fn new_api_token() -> String {
    format!("jfa_{}", URL_SAFE_NO_PAD.encode(random()))
}

/// HMAC-SHA-256.
pub(crate) fn hmac(secret: &[u8], message: &[u8]) -> [u8; 32] {
    let tag = lc::sign(&lc::Key::new(lc::HMAC_SHA256, secret), message);
    tag.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// Whether two texts are the same, in a time that does not tell where they differ.
pub(crate) fn same(one: &[u8], other: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(one, other).is_ok()
}

/// A URL as it may be shown: without password and query. Of what is no URL nothing but the scheme.
pub(crate) fn shown(url: &str) -> String {
    let scheme = || match url.split_once(':') {
        Some((scheme, _)) if scheme.bytes().all(|b| b.is_ascii_alphanumeric()) => {
            format!("{scheme}:…")
        }
        _ => "…".to_owned(),
    };
    let Ok(mut parsed) = url::Url::parse(url) else {
        return scheme();
    };
    // Of `mailto:`-like ones nobody knows where the secret stands.
    if parsed.cannot_be_a_base()
        || parsed.password().is_some() && parsed.set_password(None).is_err()
    {
        return scheme();
    }
    parsed.set_query(None);
    parsed.set_fragment(None);
    parsed.into()
}

fn random() -> [u8; 32] {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).expect("the system has a random source");
    bytes
}

/// Two starters may come here at once: the first file counts, and both read it.
fn make(data: &Path, path: &Path) -> io::Result<()> {
    fs::create_dir_all(data)?;
    let mut file = tempfile::NamedTempFile::with_prefix_in(".key-", data)?;
    file.write_all(&random())?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        Ok(_) => File::open(data)?.sync_all(),
        Err(error) if error.error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error.error),
    }
}

fn read(path: &Path) -> io::Result<[u8; KEY_LENGTH]> {
    let refuse = |kind, why: String| {
        let path: PathBuf = path.to_owned();
        Err(io::Error::new(kind, format!("{} {why}", path.display())))
    };
    let mode = fs::metadata(path)?.permissions().mode();
    if mode & 0o077 != 0 {
        let fix = format!("can be read by others: chmod 600 {}", path.display());
        return refuse(ErrorKind::PermissionDenied, fix);
    }
    match fs::read(path)?.try_into() {
        Ok(bytes) => Ok(bytes),
        Err(bytes) => refuse(
            ErrorKind::InvalidData,
            format!(
                "is no key: it has {} bytes instead of {KEY_LENGTH}. Restore it from a backup; without it, \
                 what is sealed in the database cannot be read",
                bytes.len()
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_with_the_same_key_for_the_same_place_and_not_otherwise() {
        let folder = tempfile::tempdir().unwrap();
        let key = Key::open(folder.path()).unwrap();
        let sealed = key.seal("config:one", b"hunter2");
        assert_ne!(sealed, key.seal("config:one", b"hunter2"));
        assert!(!sealed.contains("hunter2"));
        let again = Key::open(folder.path()).unwrap();
        assert_eq!(again.unseal("config:one", &sealed).unwrap(), b"hunter2");
        assert!(again.unseal("config:two", &sealed).is_err());
        assert!(again.unseal("config:one", &sealed[4..]).is_err());
        for broken in ["", "AAAA", "no base64!"] {
            assert!(again.unseal("config:one", broken).is_err(), "{broken}");
        }
        let other = tempfile::tempdir().unwrap();
        let other = Key::open(other.path()).unwrap();
        assert!(other.unseal("config:one", &sealed).is_err());
        assert!(key.unseal("x", &key.seal("x", b"")).unwrap().is_empty());
    }

    #[test]
    fn starters_at_once_agree_on_one_key_that_nobody_else_can_read() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("made/for/it");
        let id = InstallationId::new();
        let tokens: Vec<String> = std::thread::scope(|scope| {
            let starters: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| Key::open(&data).unwrap().access_token(id, 1)))
                .collect();
            starters.into_iter().map(|s| s.join().unwrap()).collect()
        });
        assert!(tokens.iter().all(|token| *token == tokens[0]));
        let mode = fs::metadata(data.join("key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(&data).unwrap().count(), 1);
    }

    #[test]
    fn a_key_of_another_length_or_one_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        drop(Key::open(folder.path()).unwrap());
        let path = folder.path().join("key");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = Key::open(folder.path()).unwrap_err();
        assert!(error.to_string().contains("chmod 600"), "{error}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, b"short").unwrap();
        let error = Key::open(folder.path()).unwrap_err();
        assert!(error.to_string().contains("5 bytes"), "{error}");
    }

    #[test]
    fn an_access_token_is_the_same_until_the_generation_changes() {
        let folder = tempfile::tempdir().unwrap();
        let key = Key::open(folder.path()).unwrap();
        let (one, other) = (InstallationId::new(), InstallationId::new());
        let token = key.access_token(one, 1);
        assert_eq!(token, key.clone().access_token(one, 1));
        assert_ne!(token, key.access_token(one, 2));
        assert_ne!(token, key.access_token(other, 1));
        assert!(token.starts_with(&format!("sdbak_{one}")) && token.len() == 69);
        assert_eq!(format!("{key:?}"), "Key(secret)");
    }

    #[test]
    fn an_api_token_is_random_and_a_mac_is_that_of_rfc_4231() {
        let token = new_api_token();
        assert!(token.starts_with("jfa_") && token.len() == 47);
        assert_ne!(token, new_api_token());
        let mac = hmac(b"Jefe", b"what do ya want for nothing?");
        assert_eq!(mac[..4], [0x5b, 0xdc, 0xc1, 0x46]);
        assert!(same(b"one", b"one") && !same(b"one", b"two") && !same(b"one", b"on"));
    }

    #[test]
    fn a_url_is_shown_without_what_is_secret_in_it() {
        for (url, is) in [
            (
                "postgres://me:secret@db/x?password=secret",
                "postgres://me@db/x",
            ),
            ("s3://key:secret@bucket/prefix", "s3://key@bucket/prefix"),
            ("mysql:secret", "mysql:…"),
            ("postgres://me:sec ret@db:port/x", "postgres:…"),
            ("secret", "…"),
            ("sqlite:///var/lib/x.db", "sqlite:///var/lib/x.db"),
        ] {
            assert_eq!(shown(url), is);
        }
    }
}
