//! What checking and unpacking hold in memory, however large the archive and its files are.
#![cfg(target_os = "linux")]

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use jackfield_package::{Limits, Package, UnpackOptions};
use support::{deflated, file, package};

const FOLDER: &str = "JACKFIELD_TEST_FOLDER";
const MIB: usize = 1024 * 1024;
/// Bytes of each of the two files: one is stored, so that the archive is as large.
const SIZE: usize = 32 * MIB;

/// A process of its own, whose highest use of memory is that of one check and one unpacking.
#[test]
fn neither_the_archive_nor_a_file_is_held_as_a_whole() {
    let folder = tempfile::tempdir().unwrap();
    let zeros = vec![0; SIZE];
    let archive = package([file("stored", &zeros), deflated("deflated", &zeros)]);
    fs::write(folder.path().join("p.zip"), archive).unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_child", "--ignored", "--nocapture"])
        .env(FOLDER, folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success(), "{said}");
    let peak: usize = said
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| rest.trim().strip_suffix(" kB"))
        .unwrap_or_else(|| panic!("{said}"))
        .parse()
        .unwrap();
    // The program itself is most of it.
    assert!(peak * 1024 < 16 * MIB, "{peak} kB");
}

#[test]
#[ignore = "is run by the test above, in a process of its own"]
fn the_child() {
    let folder = std::env::var_os(FOLDER).unwrap();
    let folder = Path::new(&folder);
    let limits = Limits {
        archive_bytes: 2 * SIZE as u64,
        file_bytes: SIZE as u64,
        ..Limits::default()
    };
    let options = UnpackOptions {
        sync: false,
        ..UnpackOptions::default()
    };
    let package = Package::open(&folder.join("p.zip"), &limits).unwrap();
    let unpacked = package.unpack(&folder.join("root"), &options).unwrap();
    for name in ["stored", "deflated"] {
        let size = fs::metadata(unpacked.folder.join(name)).unwrap().len();
        assert_eq!(size, SIZE as u64);
    }
    let status = fs::read_to_string("/proc/self/status").unwrap();
    // After whatever the harness left on the line.
    println!("\n{status}");
}
