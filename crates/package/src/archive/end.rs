use std::ops::Range;

use super::cursor::Cursor;

const END: u32 = 0x0605_4b50;
const END64: u32 = 0x0606_4b50;
const LOCATOR: u32 = 0x0706_4b50;

/// Bytes of an end record without its comment.
const END_BYTES: usize = 22;
const LOCATOR_BYTES: usize = 20;
const END64_BYTES: usize = 56;

/// The last bytes of an archive in which all that is looked for here must be: the end record, its
/// comment, and the large end record.
pub(super) const TAIL: u64 = 128 * 1024;

/// Where the archive's directory is.
#[derive(Debug)]
pub(super) struct End {
    pub(super) directory: Range<u64>,
    pub(super) entries: u64,
}

/// Finds the directory by the last bytes, which begin at `base`. An archive whose end can be read in
/// two ways is refused.
pub(super) fn find(bytes: &[u8], base: u64) -> Result<End, &'static str> {
    let earliest = bytes
        .len()
        .saturating_sub(END_BYTES + usize::from(u16::MAX));
    let latest = bytes
        .len()
        .checked_sub(END_BYTES)
        .ok_or("it is too short")?;
    // A comment reaches to the end of the file, to the byte.
    let reaches_end = |&offset: &usize| {
        let Some(mut at) = Cursor::at(bytes, offset) else {
            return false;
        };
        at.u32() == Some(END)
            && Cursor::at(bytes, offset + END_BYTES - 2)
                .and_then(|mut at| at.u16())
                .is_some_and(|comment| offset + END_BYTES + usize::from(comment) == bytes.len())
    };
    let mut found = (earliest..=latest).rev().filter(reaches_end);
    let offset = found
        .next()
        .ok_or("it has no end record; was it cut off?")?;
    if found.next().is_some() {
        return Err("it has two end records");
    }
    read(bytes, base, offset).ok_or("its end record is damaged")?
}

fn read(bytes: &[u8], base: u64, offset: usize) -> Option<Result<End, &'static str>> {
    let mut at = Cursor::at(bytes, offset + 4)?;
    let (disk, first_disk) = (at.u16()?, at.u16()?);
    let (here, all) = (at.u16()?, at.u16()?);
    let (size, start) = (at.u32()?, at.u32()?);
    let mut entries = u64::from(all);
    let (mut size64, mut start64) = (u64::from(size), u64::from(start));
    let mut end = offset;
    if let Some(record) = end64(bytes, base, offset) {
        let (record_at, large) = record?;
        // Where the small record has a number of its own, a reader that goes by it must see the same.
        let agree = |small: u64, most: u64, large: u64| small == most || small == large;
        if !agree(entries, u64::from(u16::MAX), large.entries)
            || !agree(size64, u64::from(u32::MAX), large.size)
            || !agree(start64, u64::from(u32::MAX), large.start)
        {
            return Some(Err("its two end records contradict each other"));
        }
        (entries, size64, start64) = (large.entries, large.size, large.start);
        end = record_at;
    } else if disk != 0 || first_disk != 0 || here != all {
        return Some(Err("it is one of several parts"));
    }
    let end = base + end as u64;
    if start64.checked_add(size64) != Some(end) {
        return Some(Err(
            "its directory is not where it says; was something put in front of it?",
        ));
    }
    Some(Ok(End {
        directory: start64..end,
        entries,
    }))
}

struct Large {
    entries: u64,
    size: u64,
    start: u64,
}

/// The zip64 end record and its offset, where there is a locator for one. The inner `None` is a
/// locator that leads nowhere.
fn end64(bytes: &[u8], base: u64, end: usize) -> Option<Option<(usize, Large)>> {
    let mut at = Cursor::at(bytes, end.checked_sub(LOCATOR_BYTES)?)?;
    if at.u32()? != LOCATOR {
        return None;
    }
    let mut read = || {
        let (disk, offset, disks) = (at.u32()?, at.u64()?, at.u32()?);
        let offset = usize::try_from(offset.checked_sub(base)?).ok()?;
        let mut at = Cursor::at(bytes, offset)?;
        if at.u32()? != END64 || disk != 0 || disks > 1 {
            return None;
        }
        let length = usize::try_from(at.u64()?).ok()?;
        let reaches = offset.checked_add(12)?.checked_add(length)?;
        at.take(4)?;
        let (disk, first_disk) = (at.u32()?, at.u32()?);
        let (here, entries) = (at.u64()?, at.u64()?);
        let (size, start) = (at.u64()?, at.u64()?);
        let fits = length >= END64_BYTES - 12 && reaches == end - LOCATOR_BYTES;
        if !fits || disk != 0 || first_disk != 0 || here != entries {
            return None;
        }
        Some((
            offset,
            Large {
                entries,
                size,
                start,
            },
        ))
    };
    Some(read())
}
