//! The end of whoever started this process is its own end.

use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags, Signal, getpid, getppid, kill_process, pidfd_open};

/// How often to look where the kernel does not tell.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Begins to watch the parent, on a thread of its own: whatever the plugin's code blocks, this goes on.
///
/// Nothing is watched where the parent is not to be seen (a first process of a container), or no thread can be had.
pub(crate) fn watch() {
    let Some(parent) = getppid() else {
        return;
    };
    // Needs no permission, unlike signals, so it holds across users.
    let watched = pidfd_open(parent, PidfdFlags::empty());
    if getppid() != Some(parent) {
        // It died in between, and the number may be somebody else's by now.
        end();
    }
    let thread = thread::Builder::new().name("parent".to_owned());
    let spawned = thread.spawn(move || match watched {
        Ok(watched) => told(&watched, parent),
        Err(_) => looked(parent),
    });
    if let Err(error) = spawned {
        tracing::warn!(%error, "The parent is not watched");
    }
}

fn told(watched: &OwnedFd, parent: Pid) {
    loop {
        match poll(&mut [PollFd::new(watched, PollFlags::IN)], None) {
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            Ok(_) => end(),
            Err(_) => looked(parent),
        }
    }
}

fn looked(parent: Pid) {
    while getppid() == Some(parent) {
        thread::sleep(LOOK_EVERY);
    }
    end();
}

/// Not by `exit`, which runs what libraries have registered, on a process whose other threads still work: nobody is
/// left to end us if that hangs.
fn end() {
    if kill_process(getpid(), Signal::KILL).is_err() {
        std::process::abort();
    }
}
