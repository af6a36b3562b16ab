//! `--config`: what the plugin is configured with.

use std::fs;
use std::io;
use std::path::PathBuf;

use serde_json::{Map, Value};

use crate::actions::kind_of;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    /// It is not JSON.
    #[error("the configuration {place} is not JSON")]
    NotJson {
        place: String,
        source: serde_json::Error,
    },
    /// It is not an object.
    #[error("the configuration is {0}; an object is wanted: a value for each key")]
    NotAnObject(&'static str),
}

/// Reads the configuration: JSON where it begins with a brace, otherwise the name of a file.
pub(crate) fn read(typed: &str) -> Result<Map<String, Value>, ConfigError> {
    let (text, place) = if typed.trim_start().starts_with(['{', '[']) {
        (typed.to_owned(), "in --config".to_owned())
    } else {
        let path = PathBuf::from(typed);
        let text = fs::read_to_string(&path).map_err(|source| ConfigError::Read {
            path: path.clone(),
            source,
        })?;
        (text, format!("in {}", path.display()))
    };
    match serde_json::from_str(&text) {
        Ok(Value::Object(config)) => Ok(config),
        Ok(other) => Err(ConfigError::NotAnObject(kind_of(&other))),
        Err(source) => Err(ConfigError::NotJson { place, source }),
    }
}
