//! Connecting to the plugin and to nobody else.
//!
//! A Unix socket without a name needs no proof: only who was handed it can serve on it. Behind a TCP port there may
//! be anybody, so whoever listens on it is looked for among the descriptors of the child's processes, before and after
//! connecting: the same sockets both times, all of them held by the child.

mod connector;
mod holders;
mod listeners;
mod netlink;
mod procnet;

pub(crate) use connector::{Connector, Processes};
