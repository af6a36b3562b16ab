//! A sweep kills what is provably ours, and nobody else.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use common::{LONG, alive, ended, mark, start_time, with_mark};
use jackfield_process::{Swept, sweep};

/// Somebody's process, ended with the test.
struct Process(Child);

impl Process {
    fn with_mark(mark: &str) -> Self {
        let mut command = Command::new("/bin/sleep");
        command
            .arg("1000")
            .env("MARK", format!("/state/{mark}/x"))
            .stdin(Stdio::null());
        Self(command.spawn().expect("sleep runs"))
    }

    fn stranger() -> Self {
        Self::with_mark("nobody")
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .expect("it is there")
        .trim()
        .to_owned()
}

fn forge(
    folder: &Path,
    boot: &str,
    init: (u32, u64),
    program: Option<(u32, u64)>,
    mark: &str,
) -> PathBuf {
    let program = program
        .map(|(pid, start)| format!("program={pid} {start}\n"))
        .unwrap_or_default();
    let (pid, start) = init;
    let path = folder.join(format!("plugin-{pid}.lease"));
    fs::write(
        &path,
        format!("jackfield-lease=1\nboot={boot}\ninit={pid} {start}\nmark={mark}\n{program}"),
    )
    .expect("it can be written");
    path
}

const OTHER_BOOT: &str = "00000000-0000-4000-8000-000000000000";

#[test]
fn a_folder_that_is_not_there_or_empty_is_no_work() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(sweep(folder.path()).unwrap(), Swept::default());
    assert_eq!(
        sweep(&folder.path().join("none")).unwrap(),
        Swept::default()
    );
}

#[test]
fn what_is_ours_by_start_time_or_mark_is_killed() {
    let (folder, mark) = (tempfile::tempdir().unwrap(), mark());
    let (init, program, stray) = (
        Process::stranger(),
        Process::stranger(),
        Process::with_mark(&mark),
    );
    let bystander = Process::stranger();
    let lease = forge(
        folder.path(),
        &boot_id(),
        (init.pid(), start_time(init.pid())),
        Some((program.pid(), start_time(program.pid()))),
        &mark,
    );
    let mut swept = sweep(folder.path()).unwrap();
    let mut killed = [init.pid(), program.pid(), stray.pid()];
    killed.sort_unstable();
    swept.killed.sort_unstable();
    assert_eq!(
        swept,
        Swept {
            killed: killed.to_vec(),
            ..Swept::default()
        }
    );
    for pid in killed {
        assert!(!alive(pid), "the sweep waits for it");
    }
    assert!(alive(bystander.pid()) && !lease.exists());
    assert!(with_mark(&mark).is_empty());
}

#[test]
fn a_stranger_with_a_pid_of_ours_is_spared() {
    let folder = tempfile::tempdir().unwrap();
    let (init, program) = (Process::stranger(), Process::stranger());
    forge(
        folder.path(),
        &boot_id(),
        (init.pid(), start_time(init.pid()) - 1),
        Some((program.pid(), start_time(program.pid()) + 1)),
        &mark(),
    );
    let swept = sweep(folder.path()).unwrap();
    assert_eq!(
        swept,
        Swept {
            stale: 1,
            foreign: 2,
            ..Swept::default()
        }
    );
    assert!(alive(init.pid()) && alive(program.pid()));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn nothing_of_another_boot_is_touched() {
    let (folder, mark) = (tempfile::tempdir().unwrap(), mark());
    let (same, marked) = (Process::stranger(), Process::with_mark(&mark));
    forge(
        folder.path(),
        OTHER_BOOT,
        (same.pid(), start_time(same.pid())),
        None,
        &mark,
    );
    assert_eq!(
        sweep(folder.path()).unwrap(),
        Swept {
            stale: 1,
            ..Swept::default()
        }
    );
    assert!(alive(same.pid()) && alive(marked.pid()));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn garbage_is_put_aside_and_stops_nothing() {
    let (folder, mark) = (tempfile::tempdir().unwrap(), mark());
    let path = |name: &str| folder.path().join(name);
    let (ours, other) = (Process::with_mark(&mark), Process::stranger());
    forge(folder.path(), &boot_id(), (4_000_000, 1), None, &mark);
    fs::write(path("a.lease"), "").unwrap();
    fs::write(path("b.lease"), b"\xff\xfe\0garbage").unwrap();
    fs::create_dir(path("c.lease")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", path("d.lease")).unwrap();
    // A mark that everybody has, and no mark at all.
    let everybody = format!(
        "jackfield-lease=1\nboot={}\ninit={} 1\nmark=PATH\n",
        boot_id(),
        other.pid()
    );
    fs::write(path("e.lease"), &everybody).unwrap();
    fs::write(path("f.lease"), everybody.replace("PATH", "")).unwrap();
    fs::write(path("g.lease"), "x".repeat(1 << 20)).unwrap();
    fs::write(path(".draft-1.lease"), "jackfield-lea").unwrap();
    fs::write(path("notes.txt"), "mine").unwrap();

    let swept = sweep(folder.path()).unwrap();
    let aside: Vec<_> = ["a", "b", "c", "d", "e", "f", "g"]
        .map(|it| path(&format!("{it}.lease.unreadable")))
        .into();
    assert_eq!(
        swept,
        Swept {
            killed: vec![ours.pid()],
            unreadable: aside,
            ..Swept::default()
        }
    );
    assert!(ended(ours.pid(), LONG) && alive(other.pid()));
    assert!(path("notes.txt").exists() && !path(".draft-1.lease").exists());
    assert_eq!(sweep(folder.path()).unwrap(), Swept::default(), "once");
}

#[test]
fn many_leases_are_one_sweep() {
    let folder = tempfile::tempdir().unwrap();
    let processes: Vec<_> = (0..20)
        .map(|_| {
            let mark = mark();
            let process = Process::with_mark(&mark);
            forge(
                folder.path(),
                &boot_id(),
                (process.pid(), start_time(process.pid())),
                None,
                &mark,
            );
            process
        })
        .collect();
    assert_eq!(sweep(folder.path()).unwrap().killed.len(), processes.len());
    assert!(processes.iter().all(|process| !alive(process.pid())));
}
