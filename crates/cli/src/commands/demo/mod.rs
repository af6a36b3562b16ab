//! `jackfield demo`: everything that this is about, in a few seconds, with real plugins.
//!
//! Reading order: `tour` leads, `steps` tells, `story` is what one plugin goes through, `left` looks whether
//! something is still there.

mod tour;

mod left;
mod steps;
mod story;

pub(crate) use tour::{Args, DemoError, run};
