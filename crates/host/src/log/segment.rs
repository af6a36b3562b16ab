//! The files of a log folder.

use std::fs;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// One file of a log: the number of its first record and where it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Segment {
    pub(super) first: u64,
    pub(super) path: PathBuf,
}

impl Segment {
    pub(super) fn new(folder: &Path, first: u64) -> Self {
        Self {
            first,
            path: folder.join(format!("{first:016}.log")),
        }
    }

    pub(super) fn len(&self) -> u64 {
        fs::metadata(&self.path).map_or(0, |meta| meta.len())
    }
}

/// The segments of a folder, oldest first. Files with other names are left alone.
pub(super) fn list(folder: &Path) -> io::Result<Vec<Segment>> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let first = path
            .file_name()
            .and_then(|name| name.to_str())
            .and_then(|name| name.strip_suffix(".log"))
            .filter(|digits| digits.len() == 16)
            .and_then(|digits| digits.parse().ok())
            .filter(|first| *first > 0);
        if let Some(first) = first {
            segments.push(Segment { first, path });
        }
    }
    segments.sort();
    Ok(segments)
}

/// Reads whole lines from `offset` on, about `most` bytes of them (more where one line is longer);
/// returns them with the offset behind the last.
pub(super) fn read_lines(path: &Path, offset: u64, most: usize) -> io::Result<(Vec<u8>, u64)> {
    let mut file = fs::File::open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    loop {
        let read = (&mut file).take(most as u64).read_to_end(&mut bytes)?;
        if let Some(end) = bytes.iter().rposition(|byte| *byte == b'\n') {
            bytes.truncate(end + 1);
            let behind = offset + bytes.len() as u64;
            return Ok((bytes, behind));
        }
        if read == 0 {
            return Ok((Vec::new(), offset));
        }
    }
}

/// Cuts a last line without an end off: the host was killed while it wrote. Returns the number of
/// whole lines.
pub(super) fn mend(path: &Path) -> io::Result<u64> {
    let mut file = fs::OpenOptions::new().read(true).write(true).open(path)?;
    let (mut lines, mut whole, mut at) = (0, 0, 0u64);
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        for (place, _) in buffer[..read]
            .iter()
            .enumerate()
            .filter(|(_, b)| **b == b'\n')
        {
            lines += 1;
            whole = at + place as u64 + 1;
        }
        at += read as u64;
    }
    if whole < at {
        file.set_len(whole)?;
    }
    Ok(lines)
}
