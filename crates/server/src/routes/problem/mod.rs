//! Errors as the API tells them: `application/problem+json` (RFC 9457), one shape for all.

#[expect(clippy::module_inception, reason = "the problem itself")]
mod problem;

mod calls;
mod packages;
mod registry;
mod store;

pub(crate) use problem::{Problem, ProblemBody};
