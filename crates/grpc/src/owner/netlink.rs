//! Asking the kernel for listening sockets: `NETLINK_SOCK_DIAG`, see sock_diag(7).
//!
//! Numbers are in the machine's byte order but for ports and addresses. A message is a header of 16 bytes (length,
//! type, flags, sequence, port id) and what its type says; messages stand at multiples of four.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with,
};

use super::listeners::Listener;

const INET: u8 = 2;
const INET6: u8 = 10;
const TCP: u8 = 6;
const LISTEN: u8 = 10;

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const REQUEST_AND_DUMP: u16 = 0x301;
const ERROR: u16 = 2;
const DONE: u16 = 3;

const HEADER: usize = 16;
/// `struct inet_diag_msg`
const MESSAGE: usize = 72;

/// Those that listen on this port, of both families.
pub(crate) fn listeners(port: u16) -> io::Result<Vec<Listener>> {
    let kind = Some(netlink::SOCK_DIAG);
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        kind,
    )?;
    let mut found = Vec::new();
    for family in [INET, INET6] {
        send(&socket, &request(family, port), SendFlags::empty())?;
        receive(&socket, port, &mut found)?;
    }
    Ok(found)
}

fn request(family: u8, port: u16) -> Vec<u8> {
    let mut request = Vec::with_capacity(HEADER + 56);
    request.extend_from_slice(&72_u32.to_ne_bytes());
    request.extend_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    request.extend_from_slice(&REQUEST_AND_DUMP.to_ne_bytes());
    request.extend_from_slice(&[0; 8]);
    // struct inet_diag_req_v2: family, protocol, no extensions, states, then the socket's id, of which the port.
    request.extend_from_slice(&[family, TCP, 0, 0]);
    request.extend_from_slice(&(1_u32 << LISTEN).to_ne_bytes());
    request.extend_from_slice(&port.to_be_bytes());
    request.resize(HEADER + 56, 0);
    request
}

fn receive(socket: &OwnedFd, port: u16, found: &mut Vec<Listener>) -> io::Result<()> {
    let mut buffer = vec![0; 32 * 1024];
    loop {
        // The answer is there when the question has been sent, or is made as it is read: nothing to wait for.
        let (count, _) = recv(socket, &mut buffer[..], RecvFlags::DONTWAIT)?;
        if parse(&buffer[..count], port, found)? {
            return Ok(());
        }
    }
}

/// Takes the listeners out of some messages; whether they were the last.
fn parse(mut bytes: &[u8], port: u16, found: &mut Vec<Listener>) -> io::Result<bool> {
    let broken = || io::Error::from(io::ErrorKind::InvalidData);
    if bytes.is_empty() {
        return Err(broken());
    }
    while !bytes.is_empty() {
        let length = number(bytes, 0).ok_or_else(broken)? as usize;
        let message = bytes.get(HEADER..length).ok_or_else(broken)?;
        match u16::from_ne_bytes([bytes[4], bytes[5]]) {
            DONE => return Ok(true),
            ERROR => {
                let errno = number(message, 0).ok_or_else(broken)?.cast_signed();
                return Err(io::Error::from_raw_os_error(errno.wrapping_neg()));
            }
            SOCK_DIAG_BY_FAMILY => {
                let listener = listener(message, port).ok_or_else(broken)?;
                found.extend(listener);
            }
            _ => return Err(broken()),
        }
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(false)
}

/// `struct inet_diag_msg`. `Some(None)` is a socket that was not asked for.
fn listener(message: &[u8], port: u16) -> Option<Option<Listener>> {
    let message: &[u8; MESSAGE] = message.first_chunk()?;
    let address = match message[0] {
        INET => IpAddr::from(Ipv4Addr::from(*message[8..].first_chunk::<4>()?)),
        INET6 => IpAddr::from(Ipv6Addr::from(*message[8..].first_chunk::<16>()?)),
        _ => return None,
    };
    let inode = u64::from(number(message, 68)?);
    let asked = message[1] == LISTEN && message[4..6] == port.to_be_bytes();
    Some(asked.then_some(Listener { address, inode }))
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_ne_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(HEADER + payload.len()).unwrap();
        let mut message = length.to_ne_bytes().to_vec();
        message.extend_from_slice(&kind.to_ne_bytes());
        message.resize(HEADER, 0);
        message.extend_from_slice(payload);
        message
    }

    fn socket(family: u8, state: u8, port: u16, inode: u32) -> Vec<u8> {
        let mut payload = vec![0; MESSAGE];
        payload[..2].copy_from_slice(&[family, state]);
        payload[4..6].copy_from_slice(&port.to_be_bytes());
        payload[8..12].copy_from_slice(&[127, 0, 0, 1]);
        payload[68..].copy_from_slice(&inode.to_ne_bytes());
        message(SOCK_DIAG_BY_FAMILY, &payload)
    }

    #[test]
    fn answers_are_read_and_what_was_not_asked_for_is_left_out() {
        let mut found = Vec::new();
        let mut bytes = socket(INET, LISTEN, 4711, 7);
        bytes.extend(socket(INET, 1, 4711, 8));
        bytes.extend(socket(INET, LISTEN, 4712, 9));
        assert!(!parse(&bytes, 4711, &mut found).unwrap());
        bytes.extend(message(DONE, &[0; 4]));
        assert!(parse(&bytes, 4711, &mut found).unwrap());
        let expected = Listener {
            address: Ipv4Addr::LOCALHOST.into(),
            inode: 7,
        };
        assert_eq!(found, [expected; 2]);
    }

    #[test]
    fn refusals_and_garbage_are_errors() {
        let refusal = message(ERROR, &(-2_i32).to_ne_bytes());
        let error = parse(&refusal, 1, &mut Vec::new()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(2));
        let mut long = message(DONE, &[]);
        long[0] = 200;
        for garbage in [
            &b""[..],
            b"x",
            &long,
            &message(99, &[]),
            &message(20, &[2; 71]),
        ] {
            assert!(parse(garbage, 1, &mut Vec::new()).is_err(), "{garbage:?}");
        }
    }
}
