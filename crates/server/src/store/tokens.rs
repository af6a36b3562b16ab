//! Tokens of the API. Only their hashes are here.

use std::time::SystemTime;

use jackfield::TokenHash;
use serde::{Deserialize, Serialize};

use super::{Store, StoreError};

/// What a token is good for.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Permission {
    /// See plugins, their logs and what became of events.
    Read,
    /// Start, stop, restart, configure, call.
    Operate,
    /// Install, upgrade, roll back, remove.
    Install,
    /// Publish events.
    Publish,
    /// Everything, and tokens, grants, method targets and the audit log.
    Admin,
}

/// A token of the API, without the token.
#[derive(Debug, Clone)]
pub(crate) struct ApiToken {
    pub(crate) id: String,
    pub(crate) name: String,
    /// Its first characters, to tell tokens apart.
    pub(crate) prefix: String,
    pub(crate) permissions: Vec<Permission>,
    pub(crate) created_at: SystemTime,
    pub(crate) created_by: String,
    pub(crate) expires_at: Option<SystemTime>,
    pub(crate) used_at: Option<SystemTime>,
}

impl Store {
    /// Writes a new token.
    pub(crate) async fn add_token(
        &self,
        _token: &ApiToken,
        _hash: TokenHash,
    ) -> Result<(), StoreError> {
        todo!()
    }

    /// The token with this hash, expired or not. Notes that it was used, at most once a minute.
    pub(crate) async fn token(&self, _hash: TokenHash) -> Result<Option<ApiToken>, StoreError> {
        todo!()
    }

    /// All of them, oldest first.
    pub(crate) async fn tokens(&self) -> Result<Vec<ApiToken>, StoreError> {
        todo!()
    }

    /// Takes one away. `false`: there is none.
    pub(crate) async fn remove_token(&self, _id: &str) -> Result<bool, StoreError> {
        todo!()
    }
}
