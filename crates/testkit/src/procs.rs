//! What lives on this machine, from `/proc`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
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

/// The children of this process, also those that wait to be reaped.
#[must_use]
pub fn children() -> Vec<u32> {
    let own = std::process::id();
    pids().filter(|pid| parent_of(*pid) == Some(own)).collect()
}

/// The parent of a process.
#[must_use]
pub fn parent_of(pid: u32) -> Option<u32> {
    stat(pid).map(|(_, parent)| parent)
}

/// The environment that a plugin's process was born with.
///
/// # Panics
/// When there is no such process, or it is no plugin.
pub async fn environment(pid: u32) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    // A process is known a moment before it has become the program, and while it does so a read
    // may see half of each.
    eventually(Duration::from_secs(30), "a plugin's environment", || {
        let before = std::mem::replace(&mut found, variables(pid));
        found.contains_key("JACKFIELD_STATE_DIR") && before == found
    })
    .await;
    found
}

fn variables(pid: u32) -> BTreeMap<String, String> {
    let bytes = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    String::from_utf8_lossy(&bytes)
        .split_terminator('\0')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// Waits for a file and reads it.
///
/// # Panics
/// When it does not come within half a minute, or is not text.
pub async fn until_file(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    let what = path.display().to_string();
    eventually(Duration::from_secs(30), &what, || path.exists()).await;
    fs::read_to_string(path).expect("text")
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
