//! Archives written byte by byte, so that they can lie.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::allow_attributes,
    clippy::unwrap_used,
    reason = "each test takes what it needs, and a test may unwrap"
)]

use jackfield_package::{Limits, Package, Rejected};

pub const MANIFEST: &str = r#"{"id":"hello","author":"ann","name":"Hello","description":"Says hello",
    "version":"1.0.0","command":"./run.sh"}"#;

/// An entry; each field stands where the format says, whether it is true or not.
#[derive(Clone)]
pub struct Raw {
    pub name: Vec<u8>,
    pub local_name: Option<Vec<u8>>,
    pub host: u8,
    pub attributes: u32,
    pub flags: u16,
    pub local_flags: Option<u16>,
    pub method: u16,
    pub local_method: Option<u16>,
    pub data: Vec<u8>,
    pub size: u32,
    pub local_size: Option<u32>,
    pub packed: Option<u32>,
    pub crc: u32,
    pub local_crc: Option<u32>,
    pub extra: Vec<u8>,
    pub local_extra: Vec<u8>,
    /// The header of another entry instead of an own one.
    pub same_header_as: Option<usize>,
}

pub fn crc(data: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(data);
    crc.sum()
}

pub fn deflate(data: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut to = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    to.write_all(data).unwrap();
    to.finish().unwrap()
}

/// A stored file with mode 0644.
pub fn file(name: &str, content: impl AsRef<[u8]>) -> Raw {
    let content = content.as_ref();
    Raw {
        name: name.as_bytes().to_vec(),
        local_name: None,
        host: 3,
        attributes: 0o100_644 << 16,
        flags: 0,
        local_flags: None,
        method: 0,
        local_method: None,
        data: content.to_vec(),
        size: u32::try_from(content.len()).unwrap(),
        local_size: None,
        packed: None,
        crc: crc(content),
        local_crc: None,
        extra: Vec::new(),
        local_extra: Vec::new(),
        same_header_as: None,
    }
}

pub fn deflated(name: &str, content: impl AsRef<[u8]>) -> Raw {
    let data = deflate(content.as_ref());
    Raw {
        method: 8,
        data,
        ..file(name, content)
    }
}

pub fn folder(name: &str) -> Raw {
    Raw {
        attributes: (0o040_755 << 16) | 0x10,
        ..file(name, "")
    }
}

pub fn with_mode(raw: Raw, mode: u32) -> Raw {
    Raw {
        attributes: mode << 16,
        ..raw
    }
}

/// The entries between a manifest and its command: a package, if nothing is wrong with them.
pub fn package(entries: impl IntoIterator<Item = Raw>) -> Vec<u8> {
    let manifest = [file("manifest.json", MANIFEST), program()];
    archive(manifest.into_iter().chain(entries))
}

pub fn program() -> Raw {
    with_mode(file("run.sh", "#!/bin/sh\nexit 0\n"), 0o100_755)
}

pub fn archive(entries: impl IntoIterator<Item = Raw>) -> Vec<u8> {
    let entries: Vec<Raw> = entries.into_iter().collect();
    let mut bytes = Vec::new();
    let mut offsets: Vec<u32> = Vec::new();
    for raw in &entries {
        if let Some(other) = raw.same_header_as {
            offsets.push(offsets[other]);
            continue;
        }
        offsets.push(u32::try_from(bytes.len()).unwrap());
        let name = raw.local_name.as_ref().unwrap_or(&raw.name);
        bytes.extend(b"PK\x03\x04");
        bytes.extend(20u16.to_le_bytes());
        bytes.extend(raw.local_flags.unwrap_or(raw.flags).to_le_bytes());
        bytes.extend(raw.local_method.unwrap_or(raw.method).to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend(raw.local_crc.unwrap_or(raw.crc).to_le_bytes());
        bytes.extend(packed(raw).to_le_bytes());
        bytes.extend(raw.local_size.unwrap_or(raw.size).to_le_bytes());
        bytes.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
        bytes.extend(u16::try_from(raw.local_extra.len()).unwrap().to_le_bytes());
        bytes.extend(name);
        bytes.extend(&raw.local_extra);
        bytes.extend(&raw.data);
    }
    let start = bytes.len();
    for (raw, offset) in entries.iter().zip(offsets) {
        bytes.extend(b"PK\x01\x02");
        bytes.extend([20, raw.host, 20, 0]);
        bytes.extend(raw.flags.to_le_bytes());
        bytes.extend(raw.method.to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend(raw.crc.to_le_bytes());
        bytes.extend(packed(raw).to_le_bytes());
        bytes.extend(raw.size.to_le_bytes());
        bytes.extend(u16::try_from(raw.name.len()).unwrap().to_le_bytes());
        bytes.extend(u16::try_from(raw.extra.len()).unwrap().to_le_bytes());
        bytes.extend([0; 6]);
        bytes.extend(raw.attributes.to_le_bytes());
        bytes.extend(offset.to_le_bytes());
        bytes.extend(&raw.name);
        bytes.extend(&raw.extra);
    }
    let size = bytes.len() - start;
    end(&mut bytes, entries.len(), size, start);
    bytes
}

fn packed(raw: &Raw) -> u32 {
    raw.packed.unwrap_or(u32::try_from(raw.data.len()).unwrap())
}

pub fn end(bytes: &mut Vec<u8>, entries: usize, size: usize, start: usize) {
    let entries = u16::try_from(entries).unwrap().to_le_bytes();
    bytes.extend(b"PK\x05\x06\0\0\0\0");
    bytes.extend(entries);
    bytes.extend(entries);
    bytes.extend(u32::try_from(size).unwrap().to_le_bytes());
    bytes.extend(u32::try_from(start).unwrap().to_le_bytes());
    bytes.extend([0; 2]);
}

pub fn check(bytes: Vec<u8>) -> Result<Package, Rejected> {
    Package::check(bytes, &Limits::default())
}

pub fn accepted(bytes: Vec<u8>) -> Package {
    check(bytes).unwrap_or_else(|rejected| panic!("{rejected}"))
}

/// The text of every reason.
pub fn refused(bytes: Vec<u8>) -> Vec<String> {
    refused_by(bytes, &Limits::default())
}

pub fn refused_by(bytes: Vec<u8>, limits: &Limits) -> Vec<String> {
    let rejected = Package::check(bytes, limits).expect_err("it was accepted");
    rejected.reasons.iter().map(ToString::to_string).collect()
}

pub fn names(package: &Package) -> Vec<&str> {
    package.files().iter().map(|file| file.name()).collect()
}

pub fn warnings(package: &Package) -> Vec<String> {
    package.warnings().iter().map(ToString::to_string).collect()
}
