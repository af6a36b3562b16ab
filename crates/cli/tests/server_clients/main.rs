//! `jackfield serve` and programs of others: clients that were written for its predecessor, and what examines an API
//! by its description.

#![expect(clippy::unwrap_used, reason = "tests may")]

#[path = "../server/answer.rs"]
#[expect(dead_code, reason = "shared with the stories")]
mod answer;
#[path = "../server/packages.rs"]
mod packages;
#[path = "../server/plugin.rs"]
#[expect(dead_code, reason = "shared with the stories")]
mod plugin;
#[path = "../server/rig.rs"]
#[expect(dead_code, reason = "shared with the stories")]
mod rig;

mod description;
mod docs;
mod tour;
