use std::io;

use super::cursor::{Cursor, extra_fields};
use super::end;
use super::entry::Entry;
use super::raw::Raw;
use crate::limits::Limits;
use crate::reason::{Reason, Reasons};

const ENTRY: u32 = 0x0201_4b50;
const ZIP64: u16 = 0x0001;
const UNICODE_NAME: u16 = 0x7075;

/// As many bytes as a line may have besides its name, on average.
const LINE: u64 = 512;

/// What an archive ends with.
#[derive(Debug)]
pub(crate) struct Directory {
    /// Its lines, in its order.
    pub(crate) entries: Vec<Entry>,
    /// Where it begins. The entries themselves are in front of it.
    pub(crate) start: u64,
    /// Its bytes, and all that follow.
    pub(crate) bytes: Vec<u8>,
}

/// The archive's directory. `None` where it cannot be read, or is larger than is allowed; the reasons
/// say so.
pub(crate) fn directory(
    archive: &Raw,
    limits: &Limits,
    reasons: &mut Reasons,
) -> io::Result<Option<Directory>> {
    let base = archive.size().saturating_sub(end::TAIL);
    let mut tail = vec![0; usize::try_from(archive.size() - base).unwrap_or_default()];
    archive.read_at(base, &mut tail)?;
    let end = match end::find(&tail, base) {
        Ok(end) => end,
        Err(why) => {
            reasons.push(Reason::NotZip(why.to_owned()));
            return Ok(None);
        }
    };
    if usize::try_from(end.entries).map_or(true, |count| count > limits.entries) {
        reasons.push(Reason::TooMany {
            what: "entries",
            count: end.entries,
            limit: limits.entries as u64,
        });
        return Ok(None);
    }
    let start = end.directory.start;
    let length = end.directory.end - start;
    // It is held in memory, and what a line may hold besides its name is not counted anywhere else.
    let line = (limits.name_bytes as u64).saturating_add(LINE);
    let limit = (limits.entries as u64).saturating_mul(line).max(end::TAIL);
    if length > limit {
        let why = format!("its directory has {length} bytes; {limit} are allowed");
        reasons.push(Reason::NotZip(why));
        return Ok(None);
    }
    let bytes = reach(archive, start, base, tail)?;
    let length = usize::try_from(length).unwrap_or(bytes.len());
    let entries = lines(&bytes[..length], end.entries, reasons);
    Ok(entries.map(|entries| Directory {
        entries,
        start,
        bytes,
    }))
}

/// The bytes from `start` on, of which those from `base` on were read already: none is read twice.
fn reach(archive: &Raw, start: u64, base: u64, mut tail: Vec<u8>) -> io::Result<Vec<u8>> {
    if let Ok(known) = usize::try_from(start.saturating_sub(base)) {
        tail.drain(..known);
    }
    let mut bytes = vec![0; usize::try_from(base.saturating_sub(start)).unwrap_or_default()];
    archive.read_at(start, &mut bytes)?;
    bytes.append(&mut tail);
    Ok(bytes)
}

fn lines(bytes: &[u8], count: u64, reasons: &mut Reasons) -> Option<Vec<Entry>> {
    let mut at = Cursor(bytes);
    let mut entries = Vec::new();
    for number in 0..count {
        let Some(entry) = entry(&mut at) else {
            let why = format!("line {} of its directory is damaged", number + 1);
            reasons.push(Reason::NotZip(why));
            return None;
        };
        entries.push(entry);
    }
    if !at.0.is_empty() {
        let why = "its directory has more lines than it says";
        reasons.push(Reason::NotZip(why.to_owned()));
        return None;
    }
    Some(entries)
}

fn entry(at: &mut Cursor<'_>) -> Option<Entry> {
    if at.u32()? != ENTRY {
        return None;
    }
    let host = u8::try_from(at.u16()? >> 8).ok()?;
    let _needed = at.u16()?;
    let (flags, method) = (at.u16()?, at.u16()?);
    let _written = at.u32()?;
    let crc = at.u32()?;
    let (packed, size) = (at.u32()?, at.u32()?);
    let (name, extra, comment) = (at.u16()?, at.u16()?, at.u16()?);
    let disk = at.u16()?;
    let _internal = at.u16()?;
    let attributes = at.u32()?;
    let offset = at.u32()?;
    let name = at.take(usize::from(name))?;
    let extra = at.take(usize::from(extra))?;
    at.take(usize::from(comment))?;
    if disk != 0 && disk != u16::MAX {
        return None;
    }

    let mut large = Cursor(
        extra_fields(extra)
            .find(|(id, _)| *id == ZIP64)
            .map_or(&[][..], |(_, data)| data),
    );
    // The field holds, in this order, those numbers that did not fit in their own places.
    let mut widen = |small: u32| match small {
        u32::MAX => large.u64(),
        small => Some(u64::from(small)),
    };
    let size = widen(size)?;
    let packed = widen(packed)?;
    let offset = widen(offset)?;

    let text = String::from_utf8_lossy(name);
    let unicode = extra_fields(extra).find(|(id, _)| *id == UNICODE_NAME);
    Some(Entry {
        name_is_utf8: std::str::from_utf8(name).is_ok(),
        // One byte of version, four of a checksum, then the name.
        has_two_names: unicode.is_some_and(|(_, data)| data.get(5..) != Some(name)),
        name: text.strip_prefix("./").unwrap_or(&text).to_owned(),
        raw_name: name.to_vec(),
        flags,
        method,
        crc,
        packed,
        size,
        offset,
        host,
        attributes,
    })
}
