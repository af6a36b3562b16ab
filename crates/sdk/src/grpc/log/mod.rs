//! Log records as hosts read them: one JSON object a line, on stderr.

mod level;

mod install;
mod layer;
mod panics;
mod text;

pub(crate) use install::install;
pub(crate) use level::Level;
pub(crate) use panics::panic_message;
pub(crate) use text::{with_causes, write_line};
