//! The service's requests, one function each.

mod connector;
mod http;

mod files;
mod sessions;
mod socket;
mod sprites;

pub(crate) use files::{Entry, Upload};
pub(crate) use http::{BadAddress, Client};
pub(crate) use sessions::{Killed, Session, id as session_id};
pub(crate) use socket::Socket;
