//! One child, one life: a process tree that cannot be lost.
//!
//! A [`Command`] says what to run; [`Command::spawn`] gives a [`Child`]; the child gives its lines
//! ([`Child::take_output`]) and, once, how it ended ([`Child::exited`]). The promise is about the *tree*: whatever
//! the program forks, also behind `sh -c`, also after `setsid`, ends with it, with a [`Child::stop`], when the
//! [`Child`] is dropped, and when this whole process is killed with `SIGKILL`.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use jackfield_process::Command;
//!
//! let mut child = Command::new("./run.sh")
//!     .current_dir("/srv/plugins/hello".into())
//!     .inherit_env(["PATH", "HOME", "LC_*"])
//!     .spawn()
//!     .await?;
//! let mut lines = child.take_output().expect("not taken yet");
//! while let Some(line) = lines.recv().await {
//!     println!("{:?}: {}", line.stream, String::from_utf8_lossy(&line.text));
//! }
//! println!("{}", child.exited().await.status);
//! # Ok(())
//! # }
//! ```
//!
//! # How
//!
//! ```text
//! host ──control socket── init ── program ── whatever it forks
//!   ├────────── stdout, stderr ──────┘
//!   └─ forker
//! ```
//!
//! Between this process and the program stands a tiny *init*, never exec'ed, in its own process group, without a
//! terminal, holding none of the host's file descriptors and next to none of its memory. It is a subreaper, so every orphan below it becomes its
//! child; it passes signals on and reports the exit; and when the control socket ends, for whatever reason, or the
//! program ends, it kills what is left until nothing is. If the init itself is killed the program dies with it
//! (parent-death signal), and the host sweeps the rest. Where a control group of version 2 can be made, the tree has one
//! of its own, and `cgroup.kill` ends it in one step.
//!
//! Inits are forked by the *forker*, a fork of this process that gave all its memory back: a spawn takes as long in a
//! process of gigabytes as in a small one, and stops none of its threads. It is there while a [`Child`] is,
//! and some seconds longer, or a [`Prepared`]. What this process hands down to its children is looked at before each spawn, and the forker made
//! anew when it has changed: users, groups, capabilities, umask, limits, root, session, control group, `oom_score_adj`, filters
//! of system calls. Not scheduling, namespaces, Landlock rules or the label of a security module: these are those of the forker's birth.
//!
//! A [`Lease`] leaves a small file beside the running tree, so that a host that starts after a crash can [`sweep`]
//! what is provably its own: by start time and boot id, by a mark in the environment, never by a pid alone.
//!
//! # Limits
//!
//! A process that waits for *all* its children does not come to an end while a [`Prepared`] is there.
//!
//! Linux 5.4 or newer only, and not emulated: qemu-user knows no `CLONE_PARENT`. A process that changed its user (`sudo`) can be killed only by a host that may.

#[cfg(not(target_os = "linux"))]
compile_error!(
    "jackfield-process runs on Linux only: it rests on subreapers, parent-death signals and pidfds, which other systems do not have"
);

mod command;
mod error;
mod lookup;
mod prepare;
mod standing;

mod child;
mod control;
mod exit;
mod line;
mod output;
mod task;

mod cgroup;
mod lease;
mod procfs;
mod sweep;
mod tree;
mod usage;

mod linux;

pub use child::Child;
pub use command::{Command, Lease};
pub use error::SpawnError;
pub use exit::{Exit, ExitStatus, Signal};
pub use line::{Assembler, Line, Stream};
pub use prepare::{Prepared, prepare};
pub use sweep::{Swept, sweep, sweep_shared};
pub use usage::Usage;
