//! The init's own children: found, proved, killed.
//!
//! Only *direct* children are ever killed by their pid. The pid of a child cannot be given to anybody else before the
//! init has reaped it, so it cannot hit a stranger, whatever races with it. That suffices for the whole tree: the
//! orphans of whoever is killed come up to the init, which is their subreaper, and are its children in the next round.
//! The process groups of children are killed too, in one step that no fork can escape, where they are of this tree: in
//! sessions which a descendant of the init opened, and those that a child leads. Else a descendant that joins the group of
//! its host, say, would have that killed.

use super::{sys, text};

/// Kills every child of this process that is there now.
pub(super) fn kill_all() {
    if !text::words(c"/proc/thread-self/children", |word| {
        kill_if_child(text::decimal(word));
    }) {
        each_below(sys::getpid(), |pid| kill_if_child(Some(pid)));
    }
}

fn kill_if_child(pid: Option<u32>) {
    let Some(pid) = pid
        .and_then(|pid| i32::try_from(pid).ok())
        .filter(|pid| *pid > 1)
    else {
        return;
    };
    // Asks the kernel, because `/proc` may be that of another pid namespace.
    if sys::peek(pid) == sys::Waited::NoChild {
        return;
    }
    sys::kill(pid, libc::SIGKILL);
    // Asked before the group, which is one of that session then: it may be leaving that of the host just now.
    let session = sys::getsid(pid);
    let group = sys::getpgid(pid);
    let is_below = session > 0 && session != sys::getsid(0);
    // The init is no child of its own: its group, in which the program is at first, is none that a child leads.
    if group > 1 && (is_below || sys::peek(group) != sys::Waited::NoChild) {
        sys::kill(group.wrapping_neg(), libc::SIGKILL);
    }
}

/// Where the kernel keeps no list of children: all processes whose parent is `parent`.
fn each_below(parent: i32, mut each: impl FnMut(u32)) {
    text::numbers(c"/proc", |pid, _| {
        let mut path = [0_u8; 32];
        let mut found = false;
        if let Some(path) = stat_path(pid, &mut path) {
            // The name may hold newlines: any line that ends it and goes on with a state and this parent will do,
            // since whoever forges one is looked at again.
            text::lines(path, |line| {
                found |= parent_of(line).is_some_and(|it| i32::try_from(it) == Ok(parent));
            });
        }
        if found {
            each(pid);
        }
    });
}

/// The parent in a line of `/proc/PID/stat`: two fields after the name's parenthesis.
fn parent_of(line: &[u8]) -> Option<u32> {
    text::decimal(text::field(line, 2)?)
}

fn stat_path(pid: u32, buffer: &mut [u8; 32]) -> Option<&std::ffi::CStr> {
    let mut digits = [0_u8; 10];
    let mut rest = pid;
    let mut used = 0_usize;
    for place in digits.iter_mut().rev() {
        *place = b'0'.wrapping_add((rest % 10) as u8);
        rest /= 10;
        used = used.wrapping_add(1);
        if rest == 0 {
            break;
        }
    }
    let digits = digits.get(digits.len().wrapping_sub(used)..)?;
    let mut places = buffer.iter_mut();
    for part in [b"/proc/".as_slice(), digits, b"/stat\0"] {
        for byte in part {
            *places.next()? = *byte;
        }
    }
    std::ffi::CStr::from_bytes_until_nul(buffer).ok()
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn paths_and_parents() {
        let mut buffer = [0; 32];
        assert_eq!(stat_path(0, &mut buffer), Some(c"/proc/0/stat"));
        let mut buffer = [0; 32];
        assert_eq!(
            stat_path(u32::MAX, &mut buffer),
            Some(c"/proc/4294967295/stat")
        );
        assert_eq!(parent_of(b"7 (a) R 1 (b) S 42 7 9"), Some(42));
        assert_eq!(parent_of(b"7 (a"), None);
    }

    #[test]
    fn children_are_found_without_the_kernels_list() {
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        let mut seen = Vec::new();
        each_below(sys::getpid(), |pid| seen.push(pid));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(seen.contains(&child.id()), "{seen:?}");
        assert!(!seen.contains(&1));
    }

    #[test]
    fn only_children_are_killed() {
        let mut child = Command::new("sh")
            .args(["-c", "sleep 1000 >/dev/null & echo $!; exec >&-; wait"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut grandchild = String::new();
        std::io::Read::read_to_string(child.stdout.as_mut().unwrap(), &mut grandchild).ok();
        let grandchild: u32 = grandchild.trim().parse().unwrap();
        kill_if_child(Some(grandchild));
        kill_if_child(Some(1));
        assert!(crate::procfs::Stat::of(grandchild).unwrap().is_alive());
        // And not all of its group, which is this process's too.
        kill_if_child(Some(child.id()));
        assert!(!child.wait().unwrap().success());
        assert!(
            crate::procfs::Held::take(grandchild, |_| true)
                .unwrap()
                .kill()
        );
    }
}
