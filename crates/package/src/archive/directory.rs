use super::cursor::{Cursor, extra_fields};
use super::end;
use super::entry::Entry;
use crate::limits::Limits;
use crate::reason::{Reason, Reasons};

const ENTRY: u32 = 0x0201_4b50;
const ZIP64: u16 = 0x0001;
const UNICODE_NAME: u16 = 0x7075;

/// The lines of the archive's directory, in its order, and the bytes in front of it, which hold the
/// entries themselves. `None` where it cannot be read, or has more lines than are allowed; the
/// reasons say so.
pub(crate) fn entries<'a>(
    bytes: &'a [u8],
    limits: &Limits,
    reasons: &mut Reasons,
) -> Option<(Vec<Entry>, &'a [u8])> {
    let end = match end::find(bytes) {
        Ok(end) => end,
        Err(why) => {
            reasons.push(Reason::NotZip(why.to_owned()));
            return None;
        }
    };
    if usize::try_from(end.entries).map_or(true, |count| count > limits.entries) {
        reasons.push(Reason::TooMany {
            what: "entries",
            count: end.entries,
            limit: limits.entries as u64,
        });
        return None;
    }
    let before = &bytes[..end.directory.start];
    let mut at = Cursor(&bytes[end.directory]);
    let mut entries = Vec::new();
    for number in 0..end.entries {
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
    Some((entries, before))
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
