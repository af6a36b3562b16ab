//! `jackfield serve`
//!
//! Reading order: [`options`] is what can be typed, [`mod@run`] starts the server, tells where it is and drains it.

mod options;
mod run;

pub(crate) use options::Args;
pub(crate) use run::{ServeError, run};
