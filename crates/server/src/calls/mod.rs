//! What plugins may call: `get_config`, `access_get`, and every method that the operator maps to an
//! endpoint of the application.

mod access;
mod config;

mod sign;
mod targets;

mod answer;
mod application;

mod methods;

#[cfg(test)]
mod tests;

pub(crate) use access::handle;
pub(crate) use application::Application;
pub(crate) use methods::methods;
pub(crate) use targets::TargetError;
