use std::io;
use std::ops::Range;

use super::cursor::{Cursor, extra_fields};
use super::entry::Entry;
use super::raw::Raw;
use crate::reason::Damage;

const HEADER: u32 = 0x0403_4b50;
const ZIP64: u16 = 0x0001;

/// Bytes of a header without its name and extra fields, whose lengths are its last two numbers.
const FIXED: usize = 30;

/// Where an entry's data is, after its header was held against the directory, which begins at
/// `before`.
pub(crate) fn locate(
    archive: &Raw,
    before: u64,
    entry: &Entry,
) -> io::Result<Result<Range<u64>, Vec<Damage>>> {
    let bytes = read(archive, before, entry.offset)?;
    let Some(header) = bytes.as_deref().and_then(parse) else {
        return Ok(Err(vec![Damage::NoHeader]));
    };
    let start = entry.offset + bytes.as_ref().map_or(0, Vec::len) as u64;
    let data = start
        .checked_add(entry.packed)
        .filter(|end| *end <= before)
        .map(|end| start..end);
    let mut damage = header.contradictions(entry);
    if data.is_none() {
        damage.push(Damage::NoHeader);
    }
    Ok(data.filter(|_| damage.is_empty()).ok_or(damage))
}

struct Header<'a> {
    flags: u16,
    method: u16,
    crc: u32,
    packed: u64,
    size: u64,
    name: &'a [u8],
}

/// The bytes of a header, whatever they are. `None` where there is no room for one.
fn read(archive: &Raw, before: u64, offset: u64) -> io::Result<Option<Vec<u8>>> {
    let room = before.saturating_sub(offset);
    if room < FIXED as u64 {
        return Ok(None);
    }
    let mut bytes = vec![0; FIXED];
    archive.read_at(offset, &mut bytes)?;
    let length = |at| usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
    let all = FIXED + length(FIXED - 4) + length(FIXED - 2);
    if room < all as u64 {
        return Ok(None);
    }
    bytes.resize(all, 0);
    archive.read_at(offset + FIXED as u64, &mut bytes[FIXED..])?;
    Ok(Some(bytes))
}

fn parse(bytes: &[u8]) -> Option<Header<'_>> {
    let mut at = Cursor(bytes);
    if at.u32()? != HEADER {
        return None;
    }
    let _needed = at.u16()?;
    let (flags, method) = (at.u16()?, at.u16()?);
    let _written = at.u32()?;
    let crc = at.u32()?;
    let (packed, size) = (at.u32()?, at.u32()?);
    let (name, extra) = (at.u16()?, at.u16()?);
    let name = at.take(usize::from(name))?;
    let extra = at.take(usize::from(extra))?;
    let mut large = Cursor(
        extra_fields(extra)
            .find(|(id, _)| *id == ZIP64)
            .map_or(&[][..], |(_, data)| data),
    );
    let mut widen = |small: u32| match small {
        u32::MAX => large.u64().unwrap_or(u64::from(u32::MAX)),
        small => u64::from(small),
    };
    let size = widen(size);
    let packed = widen(packed);
    Some(Header {
        flags,
        method,
        crc,
        packed,
        size,
        name,
    })
}

impl Header<'_> {
    fn contradictions(&self, entry: &Entry) -> Vec<Damage> {
        let streamed = self.flags & 0x8 != 0;
        // A streamed entry leaves these empty: what is right follows its data.
        let unknown = |here: u64| streamed && (here == 0 || here == u64::from(u32::MAX));
        let fits = |here: u64, there: u64| here == there || unknown(here);
        let crc = fits(u64::from(self.crc), u64::from(entry.crc));
        let encrypted = (self.flags ^ entry.flags) & 0x2041 == 0;
        [
            (self.name != entry.raw_name, "name"),
            (self.method != entry.method, "method"),
            (!encrypted, "encryption"),
            (streamed != entry.is_streamed(), "form"),
            (!crc, "checksum"),
            (
                !fits(self.size, entry.size) || !fits(self.packed, entry.packed),
                "size",
            ),
        ]
        .into_iter()
        .filter(|(wrong, _)| *wrong)
        .map(|(_, what)| Damage::Header(what))
        .collect()
    }
}
