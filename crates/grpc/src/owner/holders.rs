//! Who holds a socket.

use std::collections::HashSet;
use std::fs;
use std::io;

/// Whether all of some sockets are held by some of the child's processes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Held {
    All,
    NotAll {
        /// In brackets, ready to be read: which processes could not be looked at.
        unseen: Option<String>,
    },
}

/// Looks for sockets, by their inodes, among the descriptors of these processes.
pub(crate) fn hold_all(pids: &[u32], sockets: &[u64]) -> Held {
    let mut missing: HashSet<u64> = sockets.iter().copied().collect();
    let mut unseen = None;
    for pid in pids {
        if let Err(error) = strike(*pid, &mut missing)
            && error.kind() == io::ErrorKind::PermissionDenied
        {
            unseen = Some(format!(
                " (or the plugin's own process {pid} does, whose descriptors this host may not look at)"
            ));
        }
        if missing.is_empty() {
            return Held::All;
        }
    }
    Held::NotAll { unseen }
}

/// Strikes out those that this process holds.
fn strike(pid: u32, missing: &mut HashSet<u64>) -> io::Result<()> {
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        // A descriptor may be closed while we look.
        let Ok(target) = entry.and_then(|entry| fs::read_link(entry.path())) else {
            continue;
        };
        if let Some(inode) = target.to_str().and_then(socket) {
            missing.remove(&inode);
            if missing.is_empty() {
                break;
            }
        }
    }
    Ok(())
}

fn socket(target: &str) -> Option<u64> {
    let inode = target.strip_prefix("socket:[")?.strip_suffix(']')?;
    inode.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn a_socket_is_found_with_its_holder_and_with_nobody_else() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let file = fs::File::from(std::os::fd::OwnedFd::from(listener));
        let inode = file.metadata().unwrap().ino();
        let me = std::process::id();
        assert_eq!(hold_all(&[me], &[inode]), Held::All);
        assert_eq!(hold_all(&[], &[inode]), Held::NotAll { unseen: None });
        assert_ne!(hold_all(&[me], &[inode, 1]), Held::All, "all, not some");
    }

    #[test]
    fn links_to_sockets_are_read() {
        assert_eq!(socket("socket:[4711]"), Some(4711));
        assert_eq!(socket("pipe:[4711]"), None);
        assert_eq!(socket("/tmp/socket:[1]"), None);
        assert_eq!(socket("socket:[]"), None);
    }
}
