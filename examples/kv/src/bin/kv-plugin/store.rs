//! What is stored.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use kv::Entry;

/// Values under keys; a clone is the same store.
#[derive(Debug, Clone, Default)]
pub(crate) struct Store {
    entries: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
}

impl Store {
    pub(crate) fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.entries().get(key).cloned()
    }

    /// Whether there was a value before.
    pub(crate) fn put(&self, entry: Entry) -> bool {
        tracing::debug!(key = entry.key, "stored");
        self.entries().insert(entry.key, entry.value).is_some()
    }

    /// All whose keys begin like this, in the order of the keys.
    pub(crate) fn list(&self, prefix: &str) -> Vec<Entry> {
        self.entries()
            .range(prefix.to_owned()..)
            .take_while(|(key, _)| key.starts_with(prefix))
            .map(|(key, value)| Entry {
                key: key.clone(),
                value: value.clone(),
                ..Entry::default()
            })
            .collect()
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<String, Vec<u8>>> {
        self.entries.lock().expect("nothing panics under the lock")
    }
}
