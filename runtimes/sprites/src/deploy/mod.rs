//! A package becomes files in a sprite.

mod run;

mod place;

mod large;
mod upload;

pub(crate) use place::Place;
pub(crate) use run::Deploy;
