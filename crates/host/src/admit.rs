//! Who may become a line: decided before the upgrade, as a value that is consumed.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use jackfield_wire::{Client, InstallationId};

use crate::token::{Token, TokenHash};

/// What a program shows when it dials.
#[derive(Debug, Clone)]
pub struct Credential {
    plugin_id: Option<String>,
    token: Option<Token>,
    client: Client,
}

/// The right to become the line of one session, once. It reserves nothing and burns nothing: a
/// handshake that fails after it can simply be tried again.
#[derive(Debug)]
pub struct Admission {
    pub(crate) id: InstallationId,
    /// Looked at again when it is used: a token may have died meanwhile.
    pub(crate) token: TokenHash,
    pub(crate) client: Client,
}

/// Why a dial is turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The token is missing, the plugin's id is missing where it is needed, or it is not an id.
    #[error("invalid connection parameters")]
    Malformed,
    /// Nobody here has this token, or not under this id.
    #[error("unauthenticated")]
    Unauthenticated,
    /// The plugin is known and not wanted now: it is inactive, stopping or waiting for a restart.
    #[error("not active now")]
    Inactive,
    /// Its line is open and alive.
    #[error("already connected")]
    Occupied,
    /// The session ended while the dial came in.
    #[error("the session has ended")]
    Gone,
}

impl Credential {
    /// What a token alone shows.
    #[must_use]
    pub fn new(token: Token) -> Self {
        Self {
            plugin_id: None,
            token: Some(token),
            client: Client::default(),
        }
    }

    /// Reads `plugin_id` and `token` from the query of a URL, without its `?`. Other parameters
    /// are passed over; nothing is refused yet.
    #[must_use]
    pub fn from_query(query: &str) -> Self {
        let mut credential = Self {
            plugin_id: None,
            token: None,
            client: Client::default(),
        };
        for pair in query.split('&') {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            match key {
                "plugin_id" => credential.plugin_id = Some(percent_decode(value)),
                "token" => credential.token = Some(Token::from_text(percent_decode(value))),
                _ => {}
            }
        }
        credential
    }

    /// Takes the token of an `Authorization: Bearer …` header, where there is one; it counts more
    /// than one in the query.
    #[must_use]
    pub fn authorization(mut self, header: Option<&str>) -> Self {
        if let Some((scheme, token)) = header.and_then(|header| header.split_once(' '))
            && scheme.eq_ignore_ascii_case("bearer")
        {
            self.token = Some(Token::from_text(token.trim()));
        }
        self
    }

    /// Says what is known of the program.
    #[must_use]
    pub fn client(mut self, client: Client) -> Self {
        self.client = client;
        self
    }
}

impl Admission {
    /// The installation whose line it may become.
    #[must_use]
    pub fn id(&self) -> InstallationId {
        self.id
    }
}

impl Refused {
    /// The HTTP status that says so before the upgrade. What passes is 503, not a 4xx: programs
    /// take a 4xx as final.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::Malformed => 400,
            Self::Unauthenticated => 401,
            Self::Inactive | Self::Occupied | Self::Gone => 503,
        }
    }
}

/// Which token leads to which installation.
#[derive(Debug, Default)]
pub(crate) struct Doors {
    tokens: Mutex<Tokens>,
}

#[derive(Default)]
struct Tokens {
    launches: HashMap<TokenHash, InstallationId>,
    externals: HashMap<TokenHash, InstallationId>,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens")
            .field("launches", &self.launches.len())
            .field("externals", &self.externals.len())
            .finish()
    }
}

impl Doors {
    pub(crate) fn open_launch(&self, token: TokenHash, id: InstallationId) {
        self.lock().launches.insert(token, id);
    }

    pub(crate) fn close_launch(&self, token: &TokenHash) {
        self.lock().launches.remove(token);
    }

    /// Lets a program of others in; the id of the one that has this token already, where there is
    /// one.
    pub(crate) fn open_external(
        &self,
        token: TokenHash,
        id: InstallationId,
    ) -> Result<(), InstallationId> {
        match *self.lock().externals.entry(token).or_insert(id) {
            owner if owner == id => Ok(()),
            owner => Err(owner),
        }
    }

    /// Whether this token is still good for this installation.
    pub(crate) fn knows(&self, token: &TokenHash, id: InstallationId) -> bool {
        let tokens = self.lock();
        let known = tokens.launches.get(token).or(tokens.externals.get(token));
        known == Some(&id)
    }

    pub(crate) fn close_external(&self, id: InstallationId) {
        self.lock().externals.retain(|_, owner| *owner != id);
    }

    /// Whose token it is. A token for one launch must come with the id it was made for; an
    /// external one may.
    pub(crate) fn check(&self, credential: Credential) -> Result<Admission, Refused> {
        let token = credential
            .token
            .filter(|token| !token.reveal().is_empty())
            .ok_or(Refused::Malformed)?;
        let claimed: Option<InstallationId> = match credential.plugin_id.as_deref() {
            None | Some("") => None,
            Some(id) => Some(id.parse().map_err(|_| Refused::Malformed)?),
        };
        if claimed.is_none() && !token.is_external() {
            return Err(Refused::Malformed);
        }
        let tokens = self.lock();
        let known = if token.is_external() {
            &tokens.externals
        } else {
            &tokens.launches
        };
        let token = token.hash();
        let id = *known.get(&token).ok_or(Refused::Unauthenticated)?;
        if claimed.is_some_and(|claimed| claimed != id) {
            return Err(Refused::Unauthenticated);
        }
        Ok(Admission {
            id,
            token,
            client: credential.client,
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Tokens> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `%41` and `+` of a query; what is not a valid escape is kept as it is.
fn percent_decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let escaped = tail
            .get(..2)
            .filter(|_| *first == b'%')
            .and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        (bytes, rest) = match (escaped, first) {
            (Some(byte), _) => (push(bytes, byte), &tail[2..]),
            (None, b'+') => (push(bytes, b' '), tail),
            (None, byte) => (push(bytes, *byte), tail),
        };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn push(mut bytes: Vec<u8>, byte: u8) -> Vec<u8> {
    bytes.push(byte);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wrong_credential_has_its_answer() {
        let doors = Doors::default();
        let (id, other) = (InstallationId::new(), InstallationId::new());
        let (launch, _) = Token::launch();
        let external = Token::external();
        doors.open_launch(launch.hash(), id);
        doors.open_external(external.hash(), other).unwrap();
        assert_eq!(doors.open_external(external.hash(), id), Err(other));
        let check = |query: String| {
            doors
                .check(Credential::from_query(&query))
                .map(|admission| admission.id)
        };
        let (l, e) = (launch.reveal(), external.reveal());
        for (query, expected) in [
            (String::new(), Err(Refused::Malformed)),
            ("token=".to_owned(), Err(Refused::Malformed)),
            (format!("token={l}"), Err(Refused::Malformed)),
            (format!("plugin_id=x&token={l}"), Err(Refused::Malformed)),
            (
                format!("plugin_id={other}&token={l}"),
                Err(Refused::Unauthenticated),
            ),
            (
                format!("plugin_id={id}&token={l}x"),
                Err(Refused::Unauthenticated),
            ),
            (format!("plugin_id={id}&token={l}"), Ok(id)),
            // A token is not burnt by being shown.
            (format!("token={l}&plugin_id={id}"), Ok(id)),
            (format!("token={e}"), Ok(other)),
            (format!("token={e}&plugin_id={other}"), Ok(other)),
            (
                format!("token={e}&plugin_id={id}"),
                Err(Refused::Unauthenticated),
            ),
            (
                "token=sdprt_nobody".to_owned(),
                Err(Refused::Unauthenticated),
            ),
            (format!("token=%73{}", &e[1..]), Ok(other)),
        ] {
            assert_eq!(check(query.clone()), expected, "{query}");
        }
        let bearer = Credential::from_query("").authorization(Some(&format!("Bearer {e}")));
        assert!(doors.check(bearer).is_ok());
        doors.close_launch(&launch.hash());
        assert_eq!(
            check(format!("plugin_id={id}&token={l}")),
            Err(Refused::Unauthenticated)
        );
    }
}
