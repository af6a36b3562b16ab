//! What may be mapped.

use std::time::{Duration, SystemTime};

use url::Url;

use super::Application;
use super::sign::{new_secret, secret_bytes};
use crate::store::{StoreError, Target};

/// Why a method was not mapped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TargetError {
    #[error(
        "{0:?} is no address of an application: http or https with a host is expected, without a user"
    )]
    Url(String),
    #[error("{0:?} is no name of a method, or one that this server answers itself")]
    Name(String),
    #[error("a timeout is more than nothing and at most an hour")]
    Timeout,
    #[error("a secret begins with `whsec_` and goes on in base64, 24 to 64 bytes")]
    Secret,
    #[error("the system has no random numbers")]
    Random(#[source] getrandom::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The longest name of a method, and the longest timeout.
const MOST: (usize, Duration) = (100, Duration::from_secs(3600));

/// What this server answers itself, or says to plugins and not they to it.
const OURS: &[&str] = &["get_config", "access_get", "ping", "configure", "event"];
/// What JSON-RPC and the subprotocol of this host keep for themselves.
const RESERVED: &[&str] = &["rpc.", "jackfield.", "$/"];

impl Application {
    /// Maps a method. The secret that requests are signed with is returned when it was made here:
    /// it is shown once. Where none is given, a method that is mapped already gets a new one.
    pub(crate) async fn set(
        &self,
        name: &str,
        url: &str,
        secret: Option<&str>,
        timeout: Duration,
        by: &str,
    ) -> Result<(Target, Option<String>), TargetError> {
        check_name(name)?;
        let url = check_url(url)?;
        if timeout.is_zero() || timeout > MOST.1 {
            return Err(TargetError::Timeout);
        }
        let made = match secret {
            Some(secret) => {
                secret_bytes(secret).ok_or(TargetError::Secret)?;
                None
            }
            None => Some(new_secret().map_err(TargetError::Random)?),
        };
        let shown = made.as_deref().or(secret).unwrap_or_default();
        let target = Target {
            name: name.to_owned(),
            url,
            secret: self.seal(name, shown),
            timeout,
            updated_at: SystemTime::now(),
            updated_by: by.to_owned(),
        };
        self.store().set_target(&target).await?;
        Ok((target, made))
    }
}

fn check_name(name: &str) -> Result<(), TargetError> {
    let fits = (1..=MOST.0).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_.-/".contains(&b));
    let ours = OURS.contains(&name) || RESERVED.iter().any(|start| name.starts_with(start));
    if fits && !ours {
        Ok(())
    } else {
        Err(TargetError::Name(name.to_owned()))
    }
}

/// The address as it is called. What stands before an `@` is not repeated: it may be a password.
fn check_url(text: &str) -> Result<String, TargetError> {
    let wrong = || {
        let shown = text.rsplit_once('@').map_or(text, |(_, rest)| rest);
        TargetError::Url(shown.to_owned())
    };
    let url = Url::parse(text).map_err(|_| wrong())?;
    let sound = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none();
    if sound { Ok(url.into()) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_are_checked() {
        let longest = "m".repeat(100);
        for name in ["robot_run", "a", "billing/charge.v2-x", &longest] {
            assert!(check_name(name).is_ok(), "{name:?}");
        }
        let longer = "m".repeat(101);
        for name in [
            "",
            "get_config",
            "access_get",
            "ping",
            "event",
            "configure",
            "rpc.x",
            "jackfield.hello",
            "two words",
            "ä",
            "$/cancel",
            &longer,
        ] {
            assert!(
                matches!(check_name(name), Err(TargetError::Name(_))),
                "{name:?}"
            );
        }
        for url in ["http://localhost:8000/hooks", "https://app.example.org"] {
            assert!(check_url(url).is_ok(), "{url:?}");
        }
        for url in [
            "",
            "localhost",
            "ftp://x",
            "http://",
            "/hooks",
            "http://u:pw@x/",
            "data:x",
        ] {
            let error = check_url(url).unwrap_err().to_string();
            assert!(!error.contains("pw"), "{error}");
        }
    }
}
