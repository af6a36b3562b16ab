//! Where a driver and its plugin run: the kernel chooses, or they are pinned to processors.

use std::fs;

use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::driver::Driver;
use crate::protocol::Failure;

/// Where both ends of a line run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Wherever the kernel likes.
    Anywhere,
    /// The driver on one processor, all that it has started on another one.
    Apart,
    /// All on the same processor.
    Together,
}

/// Puts a driver and all that it has started there.
///
/// # Errors
/// When it has ended, or may not be pinned.
pub fn place(driver: &Driver, at: Place) -> Result<(), Failure> {
    let driver = driver.pid().ok_or("it has ended")?;
    let processors = std::thread::available_parallelism()?.get();
    let (ours, theirs) = match at {
        Place::Anywhere => (0..processors, 0..processors),
        Place::Apart => (0..1, processors - 1..processors),
        Place::Together => (0..1, 0..1),
    };
    pin(driver, ours)?;
    for process in below(driver)? {
        // It may just have ended.
        let _ = pin(process, theirs.clone());
    }
    Ok(())
}

/// With all its threads; those that it starts later are where the ones are that start them.
fn pin(process: u32, processors: std::ops::Range<usize>) -> Result<(), Failure> {
    let mut set = CpuSet::new();
    processors.for_each(|processor| set.set(processor));
    for thread in numbers(&format!("/proc/{process}/task"))? {
        sched_setaffinity(Pid::from_raw(thread.try_into()?), &set)?;
    }
    Ok(())
}

fn below(root: u32) -> Result<Vec<u32>, Failure> {
    let all: Vec<(u32, u32)> = numbers("/proc")?
        .into_iter()
        .filter_map(|pid| Some((pid, parent(pid)?)))
        .collect();
    let mut found = vec![root];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        found.extend(
            all.iter()
                .filter(|(_, of)| *of == parent)
                .map(|(pid, _)| pid),
        );
        next += 1;
    }
    found.remove(0);
    Ok(found)
}

fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

fn numbers(folder: &str) -> Result<Vec<u32>, Failure> {
    let entries = fs::read_dir(folder)?.flatten();
    Ok(entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect())
}
