//! Who is below whom.

use std::fs;

use crate::lease::Process;
use crate::procfs::{self, Stat};

/// All processes below this one, parents before children.
pub(crate) fn below(root: u32) -> Vec<u32> {
    let mut found = children(root);
    let mut next = 0;
    while let Some(pid) = found.get(next).copied() {
        next += 1;
        for child in children(pid) {
            // A pid that was given away while we looked must not send us round in circles.
            if !found.contains(&child) {
                found.push(child);
            }
        }
    }
    found
}

/// The same, told from later processes with their pids.
pub(crate) fn with_start_below(root: u32) -> Vec<Process> {
    let processes: Vec<_> = below(root).into_iter().filter_map(Process::of).collect();
    // A pid may have been given away in between.
    let still = below(root);
    let is_still = |process: &Process| still.contains(&process.pid);
    processes.into_iter().filter(is_still).collect()
}

fn children(of: u32) -> Vec<u32> {
    listed(of).unwrap_or_else(|| {
        let pids = procfs::pids().unwrap_or_default();
        pids.into_iter()
            .filter(|pid| Stat::of(*pid).is_some_and(|stat| stat.parent == of))
            .collect()
    })
}

/// As the kernel lists them, thread by thread; `None` where it does not.
fn listed(of: u32) -> Option<Vec<u32>> {
    let Ok(threads) = fs::read_dir(format!("/proc/{of}/task")) else {
        return Some(Vec::new());
    };
    let mut children = Vec::new();
    for thread in threads.flatten() {
        match fs::read_to_string(thread.path().join("children")) {
            Ok(list) => children.extend(
                list.split_ascii_whitespace()
                    .filter_map(|pid| pid.parse::<u32>().ok()),
            ),
            // The thread has ended, or the kernel keeps no such list.
            Err(_) if thread.path().exists() => return None,
            Err(_) => {}
        }
    }
    Some(children)
}
