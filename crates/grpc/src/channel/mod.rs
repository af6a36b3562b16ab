//! The connection to a plugin, as a tower service.

mod deadline;
mod error;

mod body;
mod call;
mod link;
mod service;

pub use body::ResponseBody;
pub use deadline::{announce, deadline};
pub use error::{ChannelError, Code};
pub use service::Channel;

pub(crate) use service::Config;
