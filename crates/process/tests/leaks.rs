//! A hundred lives leave nothing in the host. A test program of its own, because it counts what the process has.

mod common;

use std::collections::BTreeMap;
use std::fs;

use common::{exit, lines, mark, sh, stat};
use jackfield_process::{Command, prepare};

fn open_files() -> BTreeMap<String, String> {
    let entries = fs::read_dir("/proc/self/fd").expect("a list");
    entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            Some((
                entry.file_name().to_str()?.to_owned(),
                fs::read_link(entry.path()).ok()?.display().to_string(),
            ))
        })
        .filter(|(_, name)| !name.ends_with("/fd"))
        .collect()
}

fn children() -> Vec<u32> {
    let this = std::process::id().to_string();
    common::pids()
        .filter(|pid| stat(*pid).is_some_and(|stat| stat[1] == this))
        .collect()
}

async fn lives(count: usize) {
    let mark = mark();
    for number in 0..count {
        let mut child = sh(&mark, "setsid sleep 1000 & echo x; exit 3")
            .cgroup(number % 8 < 4)
            .spawn()
            .await
            .expect("it can be run");
        match number % 4 {
            0 => drop(exit(&child).await),
            1 => drop(lines(child.take_output().expect("not taken yet")).await),
            2 => {
                child.stop();
                exit(&child).await;
            }
            _ => {
                let exited = child.exited();
                drop(child);
                common::within(exited).await;
            }
        }
        assert!(Command::new("/no/such/program").spawn().await.is_err());
        assert!(
            Command::new("/bin/sh")
                .arg("x".repeat(4 << 20))
                .spawn()
                .await
                .is_err(),
            "no room for that"
        );
    }
}

/// Waits until it is so, or gives up: whoever waits looks again.
async fn settled(is_so: impl Fn() -> bool) {
    let begun = tokio::time::Instant::now();
    while !is_so() && begun.elapsed() < common::LONG {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn no_zombie_and_no_descriptor_is_left() {
    let prepared = prepare().expect("there is room for a process");
    // The first makes what stays: the forker and an idle init, the runtime's own descriptors.
    lives(4).await;
    settled(|| children().len() == 2).await;
    let before = open_files();
    lives(100).await;
    // A life that was only read to its end may still be being reaped.
    settled(|| children().len() == 2 && open_files().len() <= before.len()).await;
    assert_eq!(children().len(), 2, "{:?}", children());
    assert_eq!(
        open_files().len(),
        before.len(),
        "{before:?} {:?}",
        open_files()
    );
    // Nor of those two, some time after the last life.
    drop(prepared);
    settled(|| children().is_empty()).await;
    assert_eq!(children(), [0; 0]);
    let groups = format!("/jackfield-{}-", std::process::id());
    let mounts = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
    let groups: Vec<_> = mounts
        .iter()
        .flat_map(|mount| fs::read_dir(mount).into_iter().flatten().flatten())
        .map(|entry| entry.path().display().to_string())
        .filter(|path| path.contains(&groups))
        .collect();
    assert_eq!(groups, [""; 0], "no control group");
    let threads = fs::read_dir("/proc/self/task").unwrap().count();
    assert!(threads < 20, "{threads} threads");
}
