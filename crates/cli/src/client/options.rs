//! Which server, and who we are there.

use reqwest::Url;

use super::login::Logins;
use super::{Client, ClientError};

/// Which server. The token has no flag: command lines are seen by everyone on the machine.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Remote {
    /// The server, where it is another than the one of `jackfield login`. Its token: JACKFIELD_API_TOKEN, or that of the login
    #[arg(
        long,
        value_name = "URL",
        env = "JACKFIELD_URL",
        help_heading = "Server"
    )]
    server: Option<String>,
}

impl Remote {
    /// A client for the server that is meant.
    pub(crate) fn client(&self) -> Result<Client, ClientError> {
        let logins = Logins::read()?;
        let base = match &self.server {
            Some(url) => base_url(url)?,
            None => logins.current().ok_or(ClientError::NoServer)?,
        };
        let token = std::env::var("JACKFIELD_API_TOKEN")
            .ok()
            .filter(|token| !token.is_empty())
            .or_else(|| logins.token(&base).map(str::to_owned))
            .ok_or_else(|| ClientError::NoToken { url: base.clone() })?;
        Client::new(base, &token)
    }
}

/// The address of a server as it is kept: `http://host:port` with a path where it lies behind one, no slash at the end.
pub(crate) fn base_url(text: &str) -> Result<Url, ClientError> {
    let wrong = || ClientError::Url(text.to_owned());
    let whole = if text.contains("://") {
        text.to_owned()
    } else {
        format!("http://{text}")
    };
    let mut url: Url = whole.parse().map_err(|_| wrong())?;
    let good = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none();
    if !good {
        return Err(wrong());
    }
    url.set_query(None);
    url.set_fragment(None);
    let path = url.path().trim_end_matches('/').to_owned();
    let path = path.strip_suffix("/api").unwrap_or(&path);
    url.set_path(path);
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_as_people_write_them() {
        for (typed, kept) in [
            ("http://127.0.0.1:7411", "http://127.0.0.1:7411/"),
            ("127.0.0.1:7411", "http://127.0.0.1:7411/"),
            ("localhost", "http://localhost/"),
            (
                "https://plugins.example.org/api/",
                "https://plugins.example.org/",
            ),
            (
                "https://example.org/plugins/",
                "https://example.org/plugins",
            ),
        ] {
            assert_eq!(base_url(typed).unwrap().as_str(), kept);
        }
        for wrong in ["", "ftp://x", "http://", "http://user:secret@host"] {
            assert!(base_url(wrong).is_err(), "{wrong}");
        }
    }
}
