//! Events are delivered at least once, in order, one task per installation.
//!
//! An event is published when the database has it. A task per installation reads on from its cursor,
//! delivers, waits for the acknowledgement, and moves the cursor. What happens after a refusal is
//! decided in `deliver`, which knows no clock and no socket; `follower` is the loop around it.
//! Readers share the newest events (`feed`), and cursors are written many at once (`cursors`): an
//! event for a thousand plugins is read once, encoded once, and costs few transactions.

mod ack;
mod deliver;
mod queued;

mod cursors;
mod feed;

mod follower;
mod retention;

mod deliveries;

#[cfg(test)]
pub(crate) mod tests;

pub(crate) use deliveries::Deliveries;
