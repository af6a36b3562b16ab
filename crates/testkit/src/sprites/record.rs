//! What was asked of the service.

use super::fault::Op;

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What it asked for.
    pub op: Op,
    /// Of which sprite, if of one.
    pub sprite: Option<String>,
    /// The method; `OP` for an `op.start` on a control channel.
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// The query, decoded, in order; of `env` only the names, the values starred.
    pub query: Vec<(String, String)>,
    /// The status it was answered with; `None`: under way, or never answered.
    pub status: Option<u16>,
    /// How many bytes of a file came.
    pub bytes: u64,
    /// Whether the API key stood in the path or the query.
    pub key_in_url: bool,
}

impl Request {
    /// The first value of this name in the query.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        self.query
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// Whether it was answered with a success.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.status.is_some_and(|status| status < 400)
    }
}

/// The query without the values of the environment.
pub(super) fn starred(query: &[(String, String)]) -> Vec<(String, String)> {
    query
        .iter()
        .map(|(key, value)| match value.split_once('=') {
            Some((name, _)) if key == "env" => (key.clone(), format!("{name}=*")),
            _ => (key.clone(), value.clone()),
        })
        .collect()
}
