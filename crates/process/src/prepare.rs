//! Getting ready to spawn.

use std::io;

use crate::linux::{Forker, Kept};

/// What [`prepare`] has made ready, kept for as long as this lives. Dropped when there is no child any more it waits until
/// those processes have ended, which takes them less than a millisecond: nothing is left then.
#[derive(Debug)]
pub struct Prepared {
    _kept: Kept,
}

/// Makes ready what every spawn needs, for as long as the result is kept: a small process that forks the inits. Without
/// this the first [`Child`](crate::Child) makes it, and it ends some seconds after the last one.
///
/// Worth its while early, when this process is small, but after it has given up privileges: what it gives up later is in
/// reach until the next spawn. It takes as long as a fork, some 50 ms for each GiB that this process has in its memory,
/// and blocks for that long.
///
/// # Errors
///
/// When this process may have no more processes or descriptors. A spawn will say the same.
pub fn prepare() -> io::Result<Prepared> {
    Forker::keep().map(|_kept| Prepared { _kept })
}
