//! A control group for one tree, where the kernel lets us make one: version 2, and a group of ours that we may write to.
//!
//! It adds one thing to what the init does: nobody leaves it by `setsid`, by clearing his environment, or because the
//! init has been killed. All of it is best effort; without it everything works as described elsewhere.
//!
//! The group is made below our own, named `jackfield-<our pid>-<our start time>-<number>`. No other group of this boot
//! ever has the same name, so a process in it is ours.

use std::fs;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, Once, PoisonError};

use crate::lease::Process;

const PREFIX: &str = "jackfield-";
const KILL: &str = "cgroup.kill";

/// A group. Dropped, it is removed, if it is empty.
#[derive(Debug)]
pub(crate) struct Cgroup {
    path: PathBuf,
}

/// What the init needs of it.
pub(crate) struct Handles {
    /// The group itself, to fork the program into.
    pub(crate) folder: OwnedFd,
    /// Kills all in it when `1` is written.
    pub(crate) kill: OwnedFd,
}

impl Cgroup {
    /// A new group below our own. `None` when that cannot be, for whatever reason.
    pub(crate) fn create() -> Option<(Self, Handles)> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        static TIDY: Once = Once::new();
        let (this, parent) = own()?;
        TIDY.call_once(|| tidy(&parent));
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("{PREFIX}{}-{}-{number}", this.pid, this.start));
        fs::create_dir(&path).ok()?;
        let group = Self { path };
        // Missing before Linux 5.14.
        let kill = fs::OpenOptions::new()
            .write(true)
            .open(group.path.join(KILL))
            .ok()?;
        let folder = fs::OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_DIRECTORY)
            .open(&group.path)
            .ok()?;
        Some((
            group,
            Handles {
                folder: folder.into(),
                kill: kill.into(),
            },
        ))
    }

    /// One that a lease names; `None` for a path that this crate would not have made.
    pub(crate) fn named(path: &Path) -> Option<Self> {
        let ours =
            path.file_name()?.to_str()?.starts_with(PREFIX) && path.starts_with("/sys/fs/cgroup");
        let plain = path
            .components()
            .all(|part| !matches!(part, std::path::Component::ParentDir));
        (ours && plain && path.is_dir()).then(|| Self {
            path: path.to_owned(),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Kills all in it, in one step that no fork escapes.
    pub(crate) fn kill(&self) {
        let file = fs::OpenOptions::new()
            .write(true)
            .open(self.path.join(KILL));
        let _ = file.and_then(|mut file| file.write_all(b"1"));
    }

    /// Whether a process is in it, or in a group below.
    pub(crate) fn holds(&self, pid: u32) -> bool {
        let group = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        let group = group.lines().find_map(|line| line.strip_prefix("0::"));
        // By its name, because the path may begin elsewhere in another namespace.
        group.is_some_and(|group| {
            Path::new(group)
                .components()
                .any(|part| Some(part.as_os_str()) == self.path.file_name())
        })
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

/// Removes a group, those that the program made below it first. Only empty ones can be removed at all.
fn remove(path: &Path) {
    // Read to its end first: one folder is open at a time, however deep they go.
    let entries: Vec<_> = fs::read_dir(path).into_iter().flatten().flatten().collect();
    for entry in entries {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(&entry.path());
        }
    }
    let _ = fs::remove_dir(path);
}

/// This process, and the folder of its group. Looked for once: whoever is moved to another group later makes his below
/// the first one as long as that is there.
fn own() -> Option<(Process, PathBuf)> {
    static OWN: Mutex<Option<(Process, PathBuf)>> = Mutex::new(None);
    let mut own = OWN.lock().unwrap_or_else(PoisonError::into_inner);
    // A fork of this process is another.
    if own
        .as_ref()
        .is_none_or(|(this, _)| this.pid != std::process::id())
    {
        *own = Some((Process::of(std::process::id())?, own_folder()?));
    }
    own.clone()
}

/// The folder of the group that this process is in.
fn own_folder() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let (root, mount) = mounts.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let mut fields = before.split(' ').skip(3);
        after.starts_with("cgroup2 ").then_some(())?;
        Some((fields.next()?.to_owned(), fields.next()?.to_owned()))
    })?;
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let group = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let below = Path::new(group).strip_prefix(root).ok()?;
    let folder = Path::new(&mount).join(below);
    folder.join("cgroup.procs").exists().then_some(folder)
}

/// Removes what hosts have left that were killed. Not one that is in use: it is not empty, or its host lives.
fn tidy(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let mut parts = name
            .to_str()
            .and_then(|name| name.strip_prefix(PREFIX))
            .unwrap_or_default()
            .split('-');
        let mut number = || parts.next()?.parse::<u64>().ok();
        if let (Some(pid), Some(start)) = (number(), number())
            && let Ok(pid) = u32::try_from(pid)
            && Process::of(pid) != Some(Process { pid, start })
        {
            let _ = fs::remove_dir(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_groups_of_ours_are_believed_in() {
        for path in [
            "/sys/fs/cgroup",
            "/sys/fs/cgroup/unified/system.slice",
            "/tmp",
            "/sys/fs/cgroup/../../jackfield-1-2-3",
        ] {
            assert!(Cgroup::named(Path::new(path)).is_none(), "{path}");
        }
    }

    /// Only one level below was removed, and then the group itself was not empty, for good.
    #[test]
    fn groups_below_groups_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("group");
        for below in ["a/b/c", "a/d", "e"] {
            fs::create_dir_all(path.join(below)).unwrap();
        }
        drop(Cgroup { path: path.clone() });
        assert!(!path.exists());
    }

    #[test]
    fn a_group_is_made_and_removed() {
        // Where it cannot be made there is nothing to test.
        let Some((group, _handles)) = Cgroup::create() else {
            return;
        };
        let path = group.path().to_owned();
        assert!(path.is_dir() && !group.holds(std::process::id()));
        drop(group);
        assert!(!path.exists());
    }
}
