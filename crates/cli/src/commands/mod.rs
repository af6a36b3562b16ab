//! The commands, a file each.

mod dispatch;

pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod demo;
pub(crate) mod demo_plugin;
pub(crate) mod external;
pub(crate) mod new;
pub(crate) mod pack;
pub(crate) mod remote;
pub(crate) mod run;
#[cfg(feature = "server")]
pub(crate) mod serve;

pub(crate) use dispatch::dispatch;
