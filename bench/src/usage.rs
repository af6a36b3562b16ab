//! What a process takes of the machine, as Linux tells it.

use std::collections::BTreeMap;
use std::fs;

/// `cpu_ns`, of all threads in user and kernel mode since their start, and `rss_kib`, what is in memory now, and
/// `peak_kib`, the most that ever was. Nothing where the system does not tell.
#[must_use]
pub fn of_self() -> BTreeMap<String, f64> {
    let mut usage = BTreeMap::new();
    if let Some(cpu) = cpu_ns() {
        usage.insert("cpu_ns".to_owned(), cpu);
    }
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    for line in status.lines() {
        let name = match line.split_once(':') {
            Some(("VmRSS", _)) => "rss_kib",
            Some(("VmHWM", _)) => "peak_kib",
            _ => continue,
        };
        let kib = line.split_whitespace().nth(1);
        if let Some(kib) = kib.and_then(|kib| kib.parse().ok()) {
            usage.insert(name.to_owned(), kib);
        }
    }
    usage
}

/// The scheduler's own account: exact where clock ticks are coarse. Threads that have ended are not in it; those of a
/// runtime do not end.
fn cpu_ns() -> Option<f64> {
    let mut nanos = 0.0;
    for task in fs::read_dir("/proc/self/task").ok()?.flatten() {
        let stat = fs::read_to_string(task.path().join("schedstat")).ok()?;
        nanos += stat.split_whitespace().next()?.parse::<f64>().ok()?;
    }
    Some(nanos)
}
