//! A plugin that runs: followed, configured, called, stopped.
//!
//! Reading order: a [plan](options::Plan) says what is wanted, [`follow()`] is the loop over everything that can
//! happen, [`script`] is what is done with the plugin, [`tell`] how all of it is told.

mod follow;
mod options;
mod script;
mod tell;

pub(crate) use follow::{LiveError, follow};
pub(crate) use options::{NotConsumed, Options};
