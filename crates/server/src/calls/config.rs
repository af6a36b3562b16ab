//! `get_config`.

use jackfield::Fault;
use jackfield::wire::methods::Config;

use crate::registry::effective;
use crate::secret::Key;
use crate::store::Record;

/// What is configured now, defaults of the schema included; only these keys, or all where none is
/// named.
pub(super) fn get(record: &Record, key: &Key, keys: &[String]) -> Result<Config, Fault> {
    let mut config = effective(key, record.id, &record.manifest, &record.config).map_err(|error| {
        tracing::error!(id = %record.id, %error, "a plugin's configuration cannot be read");
        Fault::internal("the secrets of the configuration cannot be read: the operator has to set them again")
    })?;
    if !keys.is_empty() {
        config.retain(|name, _| keys.contains(name));
    }
    Ok(Config { config })
}
