//! Where a plugin spends its time, as `go tool pprof` reads it.

mod encode;
mod mount;

pub(crate) use mount::mount;
