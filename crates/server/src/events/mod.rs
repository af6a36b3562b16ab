//! Events are delivered at least once, in order, one task per installation.

mod deliver;
mod deliveries;
mod retention;

pub(crate) use deliveries::{Deliveries, Lag};
