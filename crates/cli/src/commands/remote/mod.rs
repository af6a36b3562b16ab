//! The commands for plugins on a server, and for the server itself; a file for each or for a few that belong together.

mod command;

mod access;
mod audit;
mod call;
mod config;
mod dev;
mod download;
mod edit;
mod events;
mod install;
mod jobs;
mod list;
mod login;
mod logs;
mod methods;
mod remove;
mod state;
mod tokens;
mod upgrade;
mod why;

pub(crate) use command::{RemoteCommand, dispatch};
