//! HTTP in, HTTP out.
//!
//! Reading order: [`api`] puts all routes together; [`request`] stands around every one of them,
//! [`operation`] and [`auth`] before those that need a token; [`problem`] is how errors are told;
//! [`extract`] reads requests. Each other module is one group of routes and what they show.

mod app;

mod extract;
mod problem;

mod auth;
mod operation;
mod request;

mod docs;
mod health;
mod metrics;

mod manifest;
mod plugin;
mod upload;

mod access;
mod audit;
mod calls;
mod configuration;
mod events;
mod facts;
mod install;
mod jobs;
mod logs;
mod plugins;
mod tokens;
mod versions;

mod api;

pub(crate) use api::router;
pub(crate) use app::App;
pub(crate) use tokens::PREFIX;
