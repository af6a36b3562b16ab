//! What a plugin says of itself, and the check that every manifest goes through.
//!
//! A [`Manifest`] comes out of [`Manifest::check`] or [`Manifest::parse`] and from nowhere else. The
//! check reads the document into a plain tree first and then walks it, so that it reports every
//! problem at once, each with its place ([`ManifestProblem`]).
//!
//! The format is that of Storyden's `manifest.json`. What that program accepts is accepted here, but
//! for what could never have worked; where the two differ on purpose:
//!
//! - a name has 1 to 100 *characters*; the original counts bytes;
//! - keys are matched exactly; the original ignores case, so that two readers of one document could
//!   see two different commands;
//! - a key that is written twice is a problem; the original takes the last one;
//! - `events_consumed` may name any application's events, and a name that stands there twice counts
//!   once; it wedged a session of the original;
//! - a link's `url` may be a string; the original reads only the fields of Go's `url.URL`;
//! - configuration fields know `required`, `enum`, `minimum`, `maximum` and `secret`;
//! - `transport` says how the plugin wants to be spoken to, and `service` which gRPC service says that it is ready.

mod model;

mod check;
mod walk;

mod access;
mod capabilities;
mod configuration;

mod document;
mod events;
mod hint;
mod url;

pub use check::{Format, InvalidManifest, MAX_MANIFEST_BYTES, ManifestCheck, ManifestProblem};
pub use events::STORYDEN_EVENTS;
pub use model::{
    Access, Capability, ConfigurationField, ConfigurationSchema, FieldKind, Link, LlmProvider,
    Manifest, Tool, ToolAnnotations, ToolProvider, Toolset, Transport,
};

#[cfg(test)]
mod tests;
