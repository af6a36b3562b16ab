//! Supervision, with real processes: the states and their order, stops, crashes and back-off, the
//! line and its token, the process tree, what is kept, and the death of the host.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

#[path = "supervision/crashes.rs"]
mod crashes;
#[path = "supervision/death.rs"]
mod death;
#[path = "supervision/extremes.rs"]
mod extremes;
#[path = "supervision/lines.rs"]
mod lines;
#[path = "supervision/places.rs"]
mod places;
#[path = "supervision/states.rs"]
mod states;
#[path = "supervision/stops.rs"]
mod stops;
#[path = "supervision/trees.rs"]
mod trees;

const RIG: &str = env!("CARGO_BIN_EXE_rig");
