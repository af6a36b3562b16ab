//! Whether something is still running.

use std::fs;
use std::path::Path;

use rustix::process::{Pid, test_kill_process};

/// Those of these processes that are still there, and every other process that was started with
/// something of this folder in its environment, as a plugin and all that it starts are.
pub(super) fn running(pids: &[u32], folder: &Path) -> Vec<u32> {
    let mut left: Vec<u32> = pids.iter().copied().filter(|pid| is_there(*pid)).collect();
    left.extend(born_in(folder));
    left.sort_unstable();
    left.dedup();
    left
}

fn is_there(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}

/// Linux alone tells; elsewhere nothing is found.
fn born_in(folder: &Path) -> Vec<u32> {
    let folder = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
    let mark = format!("={}", folder.display());
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid: &u32| {
            let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            String::from_utf8_lossy(&environ).contains(&mark)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    /// While a program is being executed the environment that the kernel shows may be empty: its
    /// memory is not laid out yet. On a busy machine this test looked right after `spawn` and found
    /// nothing; then it looked after the first line of a shell that became a `sleep` next, which is
    /// one more execution. So the program says its line and stays what it is, until its input ends.
    #[test]
    fn a_process_is_found_by_its_pid_and_by_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new("sh")
            .args(["-c", "echo runs; read -r ignored"])
            .env("STATE", folder.path().join("state"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let pid = child.id();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert_eq!(line, "runs\n");
        assert_eq!(running(&[pid], Path::new("/nowhere/at/all")), [pid]);
        #[cfg(target_os = "linux")]
        assert_eq!(running(&[], folder.path()), [pid]);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(running(&[pid], folder.path()).is_empty());
    }
}
