//! The command `jackfield` as people and programs use it: the built binary, real plugins.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests, too")]

mod support;

mod check;
mod clients;
mod demo;
mod external;
mod new;
mod pack;
mod run;
