//! What plugins may call: `get_config`, `access_get`, and every method that the operator maps to an
//! endpoint of the application.

mod access;
mod application;
mod methods;

pub(crate) use application::{Application, TargetError};
pub(crate) use methods::methods;
