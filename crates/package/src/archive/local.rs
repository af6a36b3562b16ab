use std::ops::Range;

use super::cursor::{Cursor, extra_fields};
use super::entry::Entry;
use crate::reason::Damage;

const HEADER: u32 = 0x0403_4b50;
const ZIP64: u16 = 0x0001;

/// Where an entry's data is, after its header was held against the directory. `bytes` end where the
/// directory begins.
pub(crate) fn locate(bytes: &[u8], entry: &Entry) -> Result<Range<usize>, Vec<Damage>> {
    let Some((header, start)) = read(bytes, entry) else {
        return Err(vec![Damage::NoHeader]);
    };
    let data = usize::try_from(entry.packed)
        .ok()
        .and_then(|packed| start.checked_add(packed))
        .filter(|end| *end <= bytes.len());
    let mut damage = header.contradictions(entry);
    let Some(end) = data else {
        damage.push(Damage::NoHeader);
        return Err(damage);
    };
    if damage.is_empty() {
        Ok(start..end)
    } else {
        Err(damage)
    }
}

struct Header<'a> {
    flags: u16,
    method: u16,
    crc: u32,
    packed: u64,
    size: u64,
    name: &'a [u8],
}

fn read<'a>(bytes: &'a [u8], entry: &Entry) -> Option<(Header<'a>, usize)> {
    let offset = usize::try_from(entry.offset).ok()?;
    let mut at = Cursor::at(bytes, offset)?;
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
    let header = Header {
        flags,
        method,
        crc,
        packed,
        size,
        name,
    };
    Some((header, bytes.len() - at.0.len()))
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
