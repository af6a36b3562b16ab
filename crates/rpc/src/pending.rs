//! The calls that wait for an answer. A plain table; closing it is a state, so that a call made
//! after the end fails at once.

use std::collections::{HashMap, hash_map};
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use jackfield_wire::{CloseCause, Xid};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use crate::call::CallError;
use crate::prepared::Receipt;
use crate::raw_json::RawJson;

/// What became of a call.
pub(crate) type Outcome = Result<RawJson, CallError>;

/// The table.
#[derive(Debug)]
pub(crate) enum Pending {
    Open(HashMap<Xid, Entry, BuildHasherDefault<ById>>),
    Closed(CloseCause),
}

/// Hashes ids that were made here: they differ in their last bytes, and nobody else chooses them.
#[derive(Debug, Default)]
pub(crate) struct ById(u64);

impl Hasher for ById {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 << 8 ^ self.0 >> 56) ^ u64::from(*byte);
        }
    }

    fn write_usize(&mut self, _length: usize) {}

    fn finish(&self) -> u64 {
        // What differs in the low bits has to show in the high ones: a table looks at both.
        self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(26)
    }
}

/// One call that waits.
pub(crate) struct Entry {
    reply: Reply,
    progress: Option<mpsc::Sender<Value>>,
    sent: bool,
}

/// Who waits for an answer. Told when the table is no longer locked.
#[must_use]
pub(crate) enum Reply {
    /// A task.
    Caller(oneshot::Sender<Outcome>),
    /// Nobody in particular.
    Receipt(Arc<dyn Receipt>),
}

/// What is known of a call that was taken back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Forgotten {
    /// It had been answered, or the table is closed.
    WasGone,
    /// It had not been sent, and never will be.
    Unsent,
    /// It had been sent; the other side still works on it.
    Sent,
}

impl Pending {
    pub(crate) fn new() -> Self {
        Self::Open(HashMap::default())
    }

    /// Enters a call.
    pub(crate) fn insert(
        &mut self,
        id: Xid,
        progress: Option<mpsc::Sender<Value>>,
    ) -> Result<oneshot::Receiver<Outcome>, CloseCause> {
        match self {
            Self::Open(entries) => {
                let (reply, answer) = oneshot::channel();
                let entry = Entry {
                    reply: Reply::Caller(reply),
                    progress,
                    sent: false,
                };
                entries.insert(id, entry);
                Ok(answer)
            }
            Self::Closed(cause) => Err(cause.clone()),
        }
    }

    /// Enters a call for which nobody waits. `false`: one of this id waits already, or the table
    /// is closed.
    pub(crate) fn post(&mut self, id: Xid, receipt: Arc<dyn Receipt>) -> bool {
        match self {
            Self::Open(entries) => match entries.entry(id) {
                hash_map::Entry::Vacant(place) => {
                    place.insert(Entry {
                        reply: Reply::Receipt(receipt),
                        progress: None,
                        sent: false,
                    });
                    true
                }
                hash_map::Entry::Occupied(_) => false,
            },
            Self::Closed(_) => false,
        }
    }

    /// Whether a call of this id waits.
    pub(crate) fn waits(&self, id: Xid) -> bool {
        match self {
            Self::Open(entries) => entries.contains_key(&id),
            Self::Closed(_) => false,
        }
    }

    /// The call is about to be written. `false`: nobody waits for it any more.
    pub(crate) fn mark_sent(&mut self, id: Xid) -> bool {
        match self {
            Self::Open(entries) => entries
                .get_mut(&id)
                .map(|entry| entry.sent = true)
                .is_some(),
            Self::Closed(_) => false,
        }
    }

    /// The answer is here: who waits for it. `None`: nobody does.
    pub(crate) fn settle(&mut self, id: Xid) -> Option<Reply> {
        match self {
            Self::Open(entries) => entries.remove(&id).map(|entry| entry.reply),
            Self::Closed(_) => None,
        }
    }

    /// Whether anybody listens to reports of progress for this call.
    pub(crate) fn wants_progress(&self, id: Xid) -> bool {
        match self {
            Self::Open(entries) => entries
                .get(&id)
                .is_some_and(|entry| entry.progress.is_some()),
            Self::Closed(_) => false,
        }
    }

    /// A report of progress; lost when its channel is full.
    pub(crate) fn progress(&mut self, id: Xid, value: Value) {
        if let Self::Open(entries) = self
            && let Some(progress) = entries.get(&id).and_then(|entry| entry.progress.as_ref())
        {
            let _ = progress.try_send(value);
        }
    }

    /// The caller has gone.
    pub(crate) fn forget(&mut self, id: Xid) -> Forgotten {
        match self {
            Self::Open(entries) => match entries.remove(&id) {
                Some(Entry { sent: true, .. }) => Forgotten::Sent,
                Some(Entry { sent: false, .. }) => Forgotten::Unsent,
                None => Forgotten::WasGone,
            },
            Self::Closed(_) => Forgotten::WasGone,
        }
    }

    /// The line has ended: every call that waits, which are returned, and every one to come, fails
    /// with the cause. The first cause stays.
    pub(crate) fn close(&mut self, cause: &CloseCause) -> Vec<Reply> {
        match self {
            Self::Open(entries) => {
                let replies = entries.drain().map(|(_, entry)| entry.reply).collect();
                *self = Self::Closed(cause.clone());
                replies
            }
            Self::Closed(_) => Vec::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Open(entries) => entries.len(),
            Self::Closed(_) => 0,
        }
    }
}

impl Reply {
    /// Tells whoever waits. `false`: it has gone meanwhile; then its guard finds the entry gone.
    pub(crate) fn send(self, outcome: Result<impl Into<RawJson>, CallError>) -> bool {
        match self {
            Self::Caller(caller) => caller.send(outcome.map(Into::into)).is_ok(),
            Self::Receipt(receipt) => {
                receipt.came(outcome.map(|_| ()));
                true
            }
        }
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("sent", &self.sent)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
