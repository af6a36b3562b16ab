//! What lives on this machine, from `/proc`.

use std::fs;
use std::time::Duration;

/// Waits until something holds, looking again every few milliseconds; for what has no watch, such
/// as other people's processes.
///
/// # Panics
/// When it does not come to hold within the time.
pub async fn eventually(within: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + within;
    while !holds() {
        assert!(
            tokio::time::Instant::now() < deadline,
            "not within {within:?}: {what}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Whether a process lives; one that waits to be reaped does not.
#[must_use]
pub fn alive(pid: u32) -> bool {
    stat(pid).is_some_and(|(state, _)| state != 'Z' && state != 'X')
}

/// The living processes in whose environment this text stands.
#[must_use]
pub fn alive_with(text: &str) -> Vec<u32> {
    pids()
        .filter(|pid| {
            alive(*pid)
                && fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environ| {
                    environ
                        .windows(text.len())
                        .any(|window| window == text.as_bytes())
                })
        })
        .collect()
}

/// The living descendants of a process, itself left out.
#[must_use]
pub fn tree_of(root: u32) -> Vec<u32> {
    let mut tree = vec![root];
    let all: Vec<(u32, u32)> = pids().filter_map(|pid| Some((pid, stat(pid)?.1))).collect();
    loop {
        let more: Vec<u32> = all
            .iter()
            .filter(|(pid, parent)| tree.contains(parent) && !tree.contains(pid))
            .map(|(pid, _)| *pid)
            .collect();
        if more.is_empty() {
            break;
        }
        tree.extend(more);
    }
    tree.retain(|pid| *pid != root && alive(*pid));
    tree
}

/// Open file descriptors of this process.
#[must_use]
pub fn open_files() -> usize {
    fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

/// Kills one process.
pub fn end(pid: u32) {
    if let Some(pid) = i32::try_from(pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw)
    {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}

fn pids() -> impl Iterator<Item = u32> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// State and parent.
fn stat(pid: u32) -> Option<(char, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}
