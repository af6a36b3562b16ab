//! `jackfield serve` under load and killed again and again, and with a thousand plugins.
//!
//! Reading order: [`kills`] is the story of the kills, [`client`] what is done meanwhile, [`model`] what has to be there
//! afterwards, [`check`] whether it is; [`thousand`] is a story of its own.
//!
//! `JACKFIELD_SOAK_KILLS` says how often the server is killed (20), `JACKFIELD_SOAK_SEED` repeats a run,
//! `JACKFIELD_SOAK_PLUGINS` says how many a thousand are.

#![expect(clippy::unwrap_used, reason = "tests may")]

#[expect(dead_code, reason = "the stories of the server need more of it")]
#[path = "../server/answer.rs"]
mod answer;
#[expect(dead_code, reason = "the stories of the server need more of it")]
#[path = "../server/rig.rs"]
mod rig;

#[expect(dead_code, reason = "the stories of the server need more of it")]
#[path = "../server/packages.rs"]
mod packages;
#[expect(dead_code, reason = "the stories of the server need more of it")]
#[path = "../server/plugin.rs"]
mod plugin;

mod check;
mod client;
mod dialer;
mod kills;
mod model;
mod thousand;

/// One story at a time: each of them wants the machine for itself.
static ALONE: tokio::sync::Semaphore = tokio::sync::Semaphore::const_new(1);
