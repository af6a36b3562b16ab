//! Everything that outlives the process, in SQLite or PostgreSQL: the same SQL for both.

mod hold;
mod open;
mod record;
mod row;

mod audit;
mod configuration;
mod cursors;
mod events;
mod installations;
mod parked;
mod targets;
mod tokens;
mod versions;
mod waiting;

pub(crate) use audit::{Entry, EntryQuery};
pub(crate) use events::{Publication, StoredEvent};
pub(crate) use hold::Hold;
pub(crate) use open::{OpenError, Store, StoreError};
pub(crate) use parked::Parked;
pub(crate) use record::{NewRecord, Origin, Record, Records, Unreadable, Version};
pub(crate) use targets::Target;
pub(crate) use tokens::{ApiToken, Permission};

#[cfg(test)]
mod tests;
