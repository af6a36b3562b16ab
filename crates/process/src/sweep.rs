//! Finding and killing what an earlier life left behind, and nothing else.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cgroup::Cgroup;
use crate::lease::{self, Process, Record, SUFFIX};
use crate::procfs::{self, Held, Stat};

/// What a [`sweep`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Swept {
    /// The processes that were killed.
    pub killed: Vec<u32>,
    /// Leases of which nothing was alive any more. Removed.
    pub stale: usize,
    /// Pids in leases that belong to somebody else by now. Left alone.
    pub foreign: usize,
    /// Files that are not leases as this crate writes them, under the names that they were given.
    pub unreadable: Vec<PathBuf>,
    /// Processes that are ours and could not be killed. Their leases stay.
    pub left: Vec<u32>,
}

/// What can be ours, and how that is proved.
#[derive(Debug, Default)]
pub(crate) struct Quarry {
    /// These, if pid and start time are both as they were.
    pub(crate) processes: Vec<Process>,
    /// All whose environment holds this.
    pub(crate) mark: Option<String>,
    /// All in the process group that this process led. Holds only while somebody remembers that it was there a moment
    /// ago: a group's number can be given away when nobody is left in it.
    pub(crate) group: Option<Process>,
    /// All in this control group.
    pub(crate) cgroup: Option<Cgroup>,
    /// What was found, killed or not.
    pub(crate) found: BTreeSet<u32>,
}

/// How long killing may take.
const WITHIN: Duration = Duration::from_secs(2);

/// How long inits that are still there may take to do by themselves what they do when their host is gone: they know
/// descendants that bear no mark.
const PATIENCE: Duration = Duration::from_millis(500);

/// Kills what the leases in this folder prove to be ours, and removes them. A folder that is not there is empty.
///
/// Blocks: milliseconds as a rule, 3 s at most. To be called when no other host uses the folder, before anything is
/// spawned with leases in it. A process is killed only if the boot is the same and either its pid *and* its start time
/// stand in a lease, or the lease's mark stands in its environment, or it is in the control group that the lease names;
/// all are looked at again while a pidfd holds it.
///
/// # Errors
///
/// When the folder cannot be listed or `/proc` not be read. A file that makes no sense is not an error: it is renamed
/// to `*.unreadable` and reported.
pub fn sweep(folder: &Path) -> io::Result<Swept> {
    sweep_as(folder, true)
}

/// The same for a folder that several hosts use at a time: what belongs to a host that may be alive is left alone.
///
/// An init lives exactly as long as its host wants it to. So a lease whose init is there is somebody's who lives, or
/// of one whose init is about to end everything by itself; both are none of our business.
///
/// # Errors
///
/// As [`sweep`].
pub fn sweep_shared(folder: &Path) -> io::Result<Swept> {
    sweep_as(folder, false)
}

fn sweep_as(folder: &Path, sole: bool) -> io::Result<Swept> {
    let mut swept = Swept::default();
    let mut leases = Vec::new();
    let boot = procfs::boot_id();
    for path in files(folder, sole)? {
        match read(&path) {
            Some(record) if Some(&record.boot) == boot.as_ref() => {
                if sole || !is_there(record.init) {
                    leases.push((path, record));
                }
            }
            Some(_) => {
                swept.stale += 1;
                lease::remove(&path)?;
            }
            None => swept.unreadable.push(set_aside(path)),
        }
    }
    if leases.is_empty() {
        return Ok(swept);
    }
    let patience = std_now() + PATIENCE;
    for (_, record) in &leases {
        wait_for_init(record.init, patience.saturating_duration_since(std_now()));
    }
    let mut quarries: Vec<_> = leases
        .iter()
        .map(|(_, record)| Quarry::of(record, &mut swept))
        .collect();
    let hunt = hunt(&mut quarries)?;
    for ((path, _), quarry) in leases.iter().zip(&quarries) {
        swept.stale += usize::from(quarry.found.is_empty());
        if quarry.found.iter().all(|pid| !hunt.left.contains(pid)) {
            lease::remove(path)?;
        }
    }
    swept.killed = hunt.killed.into_iter().collect();
    swept.left = hunt.left.into_iter().collect();
    Ok(swept)
}

/// What a [`hunt`] did.
#[derive(Debug, Default)]
pub(crate) struct Hunt {
    pub(crate) killed: BTreeSet<u32>,
    /// Alive at the end, in spite of all.
    pub(crate) left: BTreeSet<u32>,
}

/// Kills all of it, round after round until there is nothing to be found, for 2 s at most. Blocks.
pub(crate) fn hunt(quarries: &mut [Quarry]) -> io::Result<Hunt> {
    let mut hunt = Hunt::default();
    let until = std_now() + WITHIN;
    let mut quiet = 0;
    // Twice, because one that was forked behind the back of the first look is not seen by it.
    while quiet < 2 {
        let round = round(quarries)?;
        quarries
            .iter()
            .filter_map(|quarry| quarry.cgroup.as_ref())
            .for_each(Cgroup::kill);
        hunt.left = round
            .iter()
            .filter(|(_, killed)| !killed)
            .map(|((pid, _), _)| *pid)
            .collect();
        hunt.killed.extend(
            round
                .iter()
                .filter(|(_, killed)| *killed)
                .map(|((pid, _), _)| *pid),
        );
        quiet = if round.is_empty() { quiet + 1 } else { 0 };
        for ((pid, held), _) in &round {
            if !held.wait(until.saturating_duration_since(std_now())) {
                hunt.left.insert(*pid);
            }
        }
        if std_now() >= until {
            break;
        }
    }
    hunt.killed.retain(|pid| !hunt.left.contains(pid));
    Ok(hunt)
}

impl Quarry {
    fn of(record: &Record, swept: &mut Swept) -> Self {
        let named = [Some(record.init), record.program].into_iter().flatten();
        for process in named.clone() {
            let now = Stat::of(process.pid);
            swept.foreign += usize::from(now.is_some_and(|now| now.start != process.start));
        }
        let cgroup = record.cgroup.as_deref().and_then(Cgroup::named);
        Self {
            processes: named.collect(),
            mark: Some(record.mark.clone()),
            cgroup,
            ..Self::default()
        }
    }

    fn owns(&self, pid: u32) -> bool {
        self.matches(pid, Stat::of(pid), &procfs::environ(pid))
    }

    fn matches(&self, pid: u32, stat: Option<Stat>, environ: &[u8]) -> bool {
        let Some(stat) = stat.filter(|stat| stat.is_alive()) else {
            return false;
        };
        self.processes.contains(&Process {
            pid,
            start: stat.start,
        }) || self
            .mark
            .as_ref()
            .is_some_and(|mark| procfs::contains(environ, mark.as_bytes()))
            || self
                .group
                .is_some_and(|leader| stat.group == leader.pid && stat.start >= leader.start)
            || self.cgroup.as_ref().is_some_and(|cgroup| cgroup.holds(pid))
    }
}

type Shot = ((u32, Held), bool);

/// Looks at all processes once and kills those that are ours: what was found, and whether it could be killed.
fn round(quarries: &mut [Quarry]) -> io::Result<Vec<Shot>> {
    let mut shots = Vec::new();
    for pid in procfs::pids()? {
        // This process may have been started by a plugin of the host that it sweeps for.
        if pid == std::process::id() {
            continue;
        }
        let (stat, environ) = (Stat::of(pid), procfs::environ(pid));
        for quarry in &mut *quarries {
            if quarry.matches(pid, stat, &environ)
                && let Some(held) = Held::take(pid, |pid| quarry.owns(pid))
            {
                quarry.found.insert(pid);
                let killed = held.kill();
                shots.push(((pid, held), killed));
                break;
            }
        }
    }
    Ok(shots)
}

fn is_there(process: Process) -> bool {
    Stat::of(process.pid).is_some_and(|now| now.is_alive() && now.start == process.start)
}

fn wait_for_init(init: Process, within: Duration) {
    if let Some(held) = Held::take(init.pid, |_| is_there(init)) {
        held.wait(within);
    }
}

fn files(folder: &Path, sole: bool) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        match (name.starts_with('.'), name.ends_with(SUFFIX)) {
            (false, true) => files.push(path),
            // A draft that was never given its name, unless another host is about to.
            (true, true) if sole => lease::remove(&path)?,
            (true, true) | (_, false) => {}
        }
    }
    files.sort();
    Ok(files)
}

fn read(path: &Path) -> Option<Record> {
    let is_small_file = |meta: &fs::Metadata| meta.is_file() && meta.len() < 64 * 1024;
    fs::symlink_metadata(path).ok().filter(is_small_file)?;
    Record::parse(&fs::read_to_string(path).ok()?)
}

/// Out of the way, but there to be looked at. Its new path, or the old one if that did not work.
fn set_aside(path: PathBuf) -> PathBuf {
    let mut aside = path.clone().into_os_string();
    aside.push(".unreadable");
    let aside = PathBuf::from(aside);
    match fs::rename(&path, &aside) {
        Ok(()) => aside,
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "a file among the leases cannot be moved out of the way");
            path
        }
    }
}

#[expect(
    clippy::disallowed_types,
    reason = "runs before there is a runtime, and on threads outside of it"
)]
fn std_now() -> std::time::Instant {
    std::time::Instant::now()
}
