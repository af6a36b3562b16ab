//! Listening sockets from `/proc/net/tcp` and `/proc/net/tcp6`, see proc_net(5).
//!
//! One line for each socket: number, local address and port, remote ones, state, …, inode as the tenth field. Addresses
//! are hexadecimal, in words of four bytes in the machine's order. The listening ones come first.

use std::fs::File;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::listeners::Listener;

/// Small, so that the kernel does not go through all connections when it is enough to have seen one.
const PIECE: usize = 256;

/// Those that listen on this port, of both families.
pub(crate) fn listeners(port: u16) -> io::Result<Vec<Listener>> {
    let mut found = Vec::new();
    read(File::open("/proc/net/tcp")?, port, &mut found)?;
    match File::open("/proc/net/tcp6") {
        Ok(file) => read(file, port, &mut found)?,
        // A machine without IPv6.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok(found)
}

/// Reads up to the first line that is not of a listening socket.
fn read(mut file: impl Read, port: u16, found: &mut Vec<Listener>) -> io::Result<()> {
    let mut held = Vec::new();
    let mut piece = [0; PIECE];
    loop {
        let count = file.read(&mut piece)?;
        held.extend_from_slice(&piece[..count]);
        while let Some(end) = held.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = held.drain(..=end).collect();
            match Row::parse(&line) {
                Row::Header => {}
                Row::Listening { at, listener } => found.extend((at == port).then_some(listener)),
                Row::Other => return Ok(()),
            }
        }
        if count == 0 {
            return Ok(());
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Row {
    Header,
    Listening { at: u16, listener: Listener },
    Other,
}

impl Row {
    fn parse(line: &[u8]) -> Self {
        let line = String::from_utf8_lossy(line);
        if line.trim_start().starts_with("sl") {
            return Self::Header;
        }
        Self::listening(&line).unwrap_or(Self::Other)
    }

    fn listening(line: &str) -> Option<Self> {
        let mut fields = line.split_ascii_whitespace();
        let (address, port) = fields.nth(1)?.split_once(':')?;
        let state = fields.nth(1)?;
        let inode = fields.nth(5)?.parse().ok()?;
        let at = u16::from_str_radix(port, 16).ok()?;
        let listener = Listener {
            address: parse_address(address)?,
            inode,
        };
        (state == "0A").then_some(Self::Listening { at, listener })
    }
}

fn parse_address(hex: &str) -> Option<IpAddr> {
    let mut bytes = Vec::with_capacity(16);
    for word in hex.as_bytes().chunks(8) {
        let word = u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok()?;
        bytes.extend_from_slice(&word.to_ne_bytes());
    }
    match (hex.len(), bytes.len()) {
        (8, 4) => Some(Ipv4Addr::from(*bytes.first_chunk::<4>()?).into()),
        (32, 16) => Some(Ipv6Addr::from(*bytes.first_chunk::<16>()?).into()),
        _ => None,
    }
}

#[cfg(all(test, target_endian = "little"))]
mod tests {
    use super::*;

    const V4: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1267 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4242 1 ffff 100 0 0 10 0
   1: 00000000:1267 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4243 1 ffff 100 0 0 10 0
   2: 0100007F:1268 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4244 1 ffff 100 0 0 10 0
   3: 0100007F:1267 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 4245 1 ffff 100 0 0 10 0
   4: 0100007F:1267 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4246 1 ffff 100 0 0 10 0
";

    #[test]
    fn listeners_on_the_port_are_read_up_to_the_first_connection() {
        let mut found = Vec::new();
        read(V4.as_bytes(), 0x1267, &mut found).unwrap();
        let inodes: Vec<_> = found.iter().map(|it| (it.address, it.inode)).collect();
        let (here, everywhere) = (Ipv4Addr::LOCALHOST.into(), Ipv4Addr::UNSPECIFIED.into());
        assert_eq!(inodes, [(here, 4242), (everywhere, 4243)]);
    }

    #[test]
    fn addresses_of_both_families() {
        let parse = |hex: &str| parse_address(hex).map(|address| address.to_string());
        assert_eq!(parse("0100007F").as_deref(), Some("127.0.0.1"));
        let mapped = "0000000000000000FFFF00000100007F";
        assert_eq!(parse(mapped).as_deref(), Some("::ffff:127.0.0.1"));
        assert_eq!(parse(&"0".repeat(32)).as_deref(), Some("::"));
        for garbage in ["", "0100007", "0100007FF", "X100007F", "0100007F0100007F"] {
            assert_eq!(parse(garbage), None, "{garbage}");
        }
    }

    #[test]
    fn a_line_that_makes_no_sense_ends_the_reading() {
        assert_eq!(Row::parse(b""), Row::Other);
        assert_eq!(Row::parse(b"0: x:1 y:2 0A"), Row::Other);
        assert_eq!(Row::parse(b"  sl  local_address"), Row::Header);
    }
}
