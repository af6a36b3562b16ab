//! Which sockets a connection to `127.0.0.1:<port>` can end up at.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{netlink, procnet};

/// A socket that listens on the port in question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Listener {
    pub(crate) address: IpAddr,
    pub(crate) inode: u64,
}

/// Asks the kernel for those alone: some tens of microseconds.
///
/// # Errors
///
/// Where the kernel, or a sandbox around this process, does not answer such questions.
pub(crate) fn quick(port: u16) -> io::Result<Vec<u64>> {
    Ok(reached(&netlink::listeners(port)?))
}

/// Reads `/proc/net/tcp` and `tcp6`: milliseconds, on a large machine more.
pub(crate) fn thorough(port: u16) -> io::Result<Vec<u64>> {
    Ok(reached(&procnet::listeners(port)?))
}

/// Those that the kernel chooses from: the ones bound to the address itself; if there are none, those bound to every
/// IPv4 address; if there are none, those bound to every IPv6 address. Sorted.
fn reached(listeners: &[Listener]) -> Vec<u64> {
    let rank = |address: IpAddr| match address {
        IpAddr::V4(Ipv4Addr::LOCALHOST) => Some(0),
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Some(1),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Some(2),
        IpAddr::V6(address) if address.to_ipv4_mapped() == Some(Ipv4Addr::LOCALHOST) => Some(0),
        IpAddr::V6(address) if address.to_ipv4_mapped() == Some(Ipv4Addr::UNSPECIFIED) => Some(1),
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    };
    let best = listeners
        .iter()
        .filter_map(|listener| rank(listener.address))
        .min();
    let mut inodes: Vec<_> = listeners
        .iter()
        .filter(|listener| best.is_some() && rank(listener.address) == best)
        .map(|listener| listener.inode)
        .collect();
    inodes.sort_unstable();
    inodes
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::fd::OwnedFd;
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    fn listener(address: &str, inode: u64) -> Listener {
        let address = address.parse().unwrap();
        Listener { address, inode }
    }

    #[test]
    fn the_kernel_prefers_the_address_itself() {
        let all = vec![
            listener("::", 4),
            listener("0.0.0.0", 3),
            listener("::ffff:127.0.0.1", 2),
            listener("127.0.0.1", 1),
            listener("192.0.2.1", 9),
        ];
        assert_eq!(reached(&all), [1, 2]);
        assert_eq!(reached(&all[..2]), [3]);
        assert_eq!(reached(&all[..1]), [4]);
        assert!(reached(&all[4..]).is_empty());
        assert!(reached(&[]).is_empty());
    }

    #[test]
    fn both_ways_find_the_same_sockets() {
        for address in ["127.0.0.1:0", "0.0.0.0:0", "[::]:0"] {
            let socket = TcpListener::bind(address).unwrap();
            let port = socket.local_addr().unwrap().port();
            let file = std::fs::File::from(OwnedFd::from(socket));
            let inode = file.metadata().unwrap().ino();
            assert_eq!(quick(port).unwrap(), [inode], "{address}");
            assert_eq!(thorough(port).unwrap(), [inode], "{address}");
            drop(file);
            assert!(quick(port).unwrap().is_empty(), "{address}");
            assert!(thorough(port).unwrap().is_empty(), "{address}");
        }
    }
}
