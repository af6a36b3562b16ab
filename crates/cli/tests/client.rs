//! The commands for plugins on a server, against `jackfield serve` itself: both as people and programs use them.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests, too")]

#[path = "cli/support.rs"]
#[expect(dead_code, reason = "shared with the tests of the other commands")]
mod support;

#[path = "client/rig.rs"]
mod rig;

#[path = "client/dev.rs"]
mod dev;
#[path = "client/events.rs"]
mod events;
#[path = "client/login.rs"]
mod login;
#[path = "client/plugins.rs"]
mod plugins;
#[path = "client/serve.rs"]
mod serve;
