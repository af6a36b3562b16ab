//! Who asks, and whether they may.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use axum::extract::FromRequestParts;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use jackfield::{InstallationId, Token, TokenHash};
use tokio::sync::watch;
use tokio::time::Instant;

use super::app::App;
use super::problem::Problem;
use crate::secret;
use crate::store::{ApiToken, Permission, Record, StoreError};

/// Who asks.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// The token's name, or `plugin:<id>`: the actor in the audit log.
    pub(crate) name: String,
    pub(crate) permissions: Vec<Permission>,
    /// Of a plugin that shows its access token.
    pub(crate) installation: Option<InstallationId>,
}

/// What a token turns out to be.
#[derive(Debug)]
pub(crate) enum Known {
    /// A token of the API that has not expired.
    Api(ApiToken),
    /// The access token of an installation.
    Plugin(Box<Record>),
}

/// Tokens that were just looked up. What is deleted is forgotten at once, and what was being looked
/// up meanwhile is not remembered.
#[derive(Debug, Default)]
pub(crate) struct TokenCache {
    inner: Mutex<Cached>,
    /// Changes when one is deleted.
    deletions: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Cached {
    /// Counts deletions.
    generation: u64,
    tokens: HashMap<TokenHash, (Instant, ApiToken)>,
}

/// How long a token is believed.
const FRESH: Duration = Duration::from_secs(5);
/// How many are remembered.
const CACHED: usize = 1024;

/// Length of an installation's id, which stands in its access token.
const ID: usize = 20;
/// What access tokens of plugins begin with.
const ACCESS: &str = "sdbak_";
/// Longer ones are not looked at.
const MAX_TOKEN: usize = 512;

impl Caller {
    /// Whether they may do what needs this permission.
    pub(crate) fn may(&self, permission: Permission) -> bool {
        self.permissions.contains(&permission) || self.permissions.contains(&Permission::Admin)
    }

    /// Reads the token of a request.
    pub(crate) async fn of(app: &App, headers: &HeaderMap) -> Result<Self, Problem> {
        let Some(token) = bearer(headers) else {
            return Err(unauthenticated(
                "this needs a token: Authorization: Bearer …",
            ));
        };
        let known = app.recognise(token).await?;
        known
            .map(Self::from)
            .ok_or_else(|| unauthenticated("this token is unknown, expired or taken back"))
    }
}

impl From<Known> for Caller {
    fn from(known: Known) -> Self {
        match known {
            Known::Api(token) => Self {
                name: token.name,
                permissions: token.permissions,
                installation: None,
            },
            Known::Plugin(record) => Self {
                name: format!("plugin:{}", record.id),
                permissions: plugin_permissions(&record),
                installation: Some(record.id),
            },
        }
    }
}

impl App {
    /// What a token is; `None`: nothing that counts.
    pub(crate) async fn recognise(&self, token: &str) -> Result<Option<Known>, StoreError> {
        if token.len() > MAX_TOKEN {
            return Ok(None);
        }
        if let Some(rest) = token.strip_prefix(ACCESS) {
            let Some(Ok(id)) = rest.get(..ID).map(str::parse::<InstallationId>) else {
                return Ok(None);
            };
            let record = self.store().record(id).await?;
            return Ok(record.and_then(|record| {
                let key = &self.registry().parts().key;
                let real = key.access_token(id, record.access_generation);
                secret::same(token.as_bytes(), real.as_bytes())
                    .then(|| Known::Plugin(Box::new(record)))
            }));
        }
        let hash = Token::from_text(token).hash();
        let (cached, generation) = self.tokens().get(hash);
        let found = match cached {
            Some(token) => Some(token),
            None => {
                let found = self.store().token(hash).await?;
                if let Some(token) = &found {
                    self.tokens().put(hash, token, generation);
                }
                found
            }
        };
        let now = SystemTime::now();
        Ok(found
            .filter(|token| token.expires_at.is_none_or(|end| now < end))
            .map(Known::Api))
    }
}

impl TokenCache {
    fn get(&self, hash: TokenHash) -> (Option<ApiToken>, u64) {
        let cached = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = cached
            .tokens
            .get(&hash)
            .filter(|(since, _)| since.elapsed() < FRESH)
            .map(|(_, token)| token.clone());
        (fresh, cached.generation)
    }

    fn put(&self, hash: TokenHash, token: &ApiToken, generation: u64) {
        let mut cached = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if cached.generation != generation {
            return;
        }
        if cached.tokens.len() >= CACHED {
            cached.tokens.clear();
        }
        cached.tokens.insert(hash, (Instant::now(), token.clone()));
    }

    /// A token was deleted.
    pub(crate) fn forget(&self) {
        let mut cached = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        cached.generation += 1;
        cached.tokens.clear();
        drop(cached);
        self.deletions.send_replace(());
    }

    /// Changes when a token is deleted: for those who go on answering.
    pub(crate) fn deletions(&self) -> watch::Receiver<()> {
        self.deletions.subscribe()
    }
}

/// What a plugin may do here: what is granted, asked for by its manifest, and known here.
pub(crate) fn plugin_permissions(record: &Record) -> Vec<Permission> {
    effective(record)
        .iter()
        .filter_map(|name| match name.as_str() {
            "read" => Some(Permission::Read),
            "operate" => Some(Permission::Operate),
            "install" => Some(Permission::Install),
            "publish" => Some(Permission::Publish),
            _ => None,
        })
        .collect()
}

/// What is granted, and asked for by the manifest that counts.
pub(crate) fn effective(record: &Record) -> Vec<String> {
    let asked = record.manifest.access.as_ref();
    let asked = asked.map(|access| access.permissions.as_slice());
    record
        .granted
        .iter()
        .filter(|name| asked.is_some_and(|asked| asked.iter().any(|asked| asked == *name)))
        .cloned()
        .collect()
}

/// The token of `Authorization: Bearer <token>`.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

fn unauthenticated(detail: &str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", detail)
        .header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    /// There behind every route that was made with `operation`.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let caller = parts.extensions.get::<Self>().cloned();
        caller.ok_or_else(|| Problem::internal_text("a route without a guard asks who calls"))
    }
}
