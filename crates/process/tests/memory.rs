//! No init, and nothing that forks them, keeps anything of a big host's memory, nor copies the table of it. A test program
//! of its own, because it is that host.

mod common;

use std::fs;

use common::{exit, line, mark, parent, sh};

const BIG: usize = 200 << 20;
const MOST_KIB: u64 = 4096;
/// The host has ten times as much.
const MOST_TABLES_KIB: u64 = 128;

/// What the process has to itself or shares, from the kernel's own account, in KiB.
fn account(pid: u32, field: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("it runs");
    let line = text
        .lines()
        .find(|line| line.starts_with(field))
        .expect("the kernel counts it");
    line.split_whitespace()
        .nth(1)
        .and_then(|number| number.parse().ok())
        .expect("a number")
}

fn small(pid: u32, when: &str) {
    for field in ["Rss:", "Pss:", "Anonymous:"] {
        let size = account(pid, field);
        assert!(size < MOST_KIB, "{field} {size} KiB {when}");
    }
    let tables = tables(pid);
    assert!(tables < MOST_TABLES_KIB, "tables {tables} KiB {when}");
}

/// What the tables of its memory take, in KiB: what a fork copies.
fn tables(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("VmPTE:"))
        .expect("the kernel counts it");
    line.trim_end_matches("kB")
        .trim()
        .parse()
        .expect("a number")
}

fn forker() -> u32 {
    common::pids()
        .find(|pid| {
            let comm = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            comm.trim_end() == "jackfield-fork" && parent(*pid) == std::process::id()
        })
        .expect("it is a child of this process")
}

#[tokio::test]
async fn the_init_is_small_also_when_the_host_is_big() {
    // In one block, in many small ones, and on the stack of a thread.
    let mut block = vec![1_u8; BIG];
    let mut many: Vec<Vec<u8>> = (0..BIG / 1000).map(|_| vec![1_u8; 1000]).collect();
    let mut children = Vec::new();
    for _ in 0..3 {
        let mut child = sh(&mark(), "echo ready; exec sleep 1000")
            .spawn()
            .await
            .unwrap();
        line(&mut child.take_output().unwrap(), "ready").await;
        children.push(child);
    }
    assert!(account(std::process::id(), "Rss:") > 2 * MOST_KIB);
    assert!(tables(std::process::id()) > 5 * MOST_TABLES_KIB);
    let inits: Vec<_> = children.iter().map(|child| parent(child.pid())).collect();
    for init in &inits {
        small(*init, "at first");
    }
    small(forker(), "of the forker");
    // What the host writes anew is not kept as it was.
    block.fill(2);
    many.iter_mut().for_each(|one| one.fill(2));
    for (child, init) in children.iter().zip(&inits) {
        small(*init, "after the host wrote to its memory");
        println!(
            "init: Rss {} KiB, Pss {} KiB",
            account(*init, "Rss:"),
            account(*init, "Pss:")
        );
        child.kill();
        exit(child).await;
    }
    assert_eq!(block[BIG / 2], many[many.len() / 2][0]);
}
