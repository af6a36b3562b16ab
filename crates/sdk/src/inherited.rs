//! Descriptors that a host handed down, which a variable names by their number.

use std::os::fd::OwnedFd;

use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

/// The number that this variable holds.
pub(crate) fn number(variable: &str) -> Option<i32> {
    let number: i32 = std::env::var(variable).ok()?.parse().ok()?;
    (number >= 0).then_some(number)
}

/// A descriptor of its own for what this process has under a number, closed in the programs that it
/// starts. The number goes on to stand for the same, here and in them.
pub(crate) fn copy(number: i32) -> Option<OwnedFd> {
    // A number is made a descriptor by asking the kernel for a copy of what this very process has under it.
    let this = pidfd_open(getpid(), PidfdFlags::empty()).ok()?;
    pidfd_getfd(this, number, PidfdGetfdFlags::empty()).ok()
}
