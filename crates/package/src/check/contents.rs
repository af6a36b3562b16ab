use std::collections::BTreeSet;
use std::io;

use super::look::Candidate;
use crate::archive::{InflateError, Inflater, Kind, Stream};
use crate::limits::Limits;
use crate::reason::{Damage, Reason, Reasons};

/// What was learned by inflating everything.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// The content of the one file that was asked for.
    pub(super) kept: Option<Vec<u8>>,
    /// Files that begin like something that can be executed, by name in the archive.
    pub(super) programs: BTreeSet<String>,
}

/// Refuses entries that share bytes: a few of them hold as much as one likes.
pub(super) fn refuse_overlaps(candidates: &mut [Candidate], reasons: &mut Reasons) {
    let mut by_start: Vec<&mut Candidate> = candidates
        .iter_mut()
        .filter(|candidate| candidate.data.is_some())
        .collect();
    by_start.sort_by_key(|candidate| candidate.entry.offset);
    let mut end = 0;
    for candidate in by_start {
        let start = candidate.entry.offset;
        let stop = candidate.data.as_ref().map_or(0, |data| data.end);
        if start < end {
            reasons.damaged(&candidate.entry.name, Damage::Overlap);
            candidate.data = None;
        }
        end = end.max(stop);
    }
}

/// Inflates every file and counts what really comes out. Stops where the total is exceeded. Entries
/// that share bytes were refused.
pub(super) fn check(
    archive: &mut Stream<'_>,
    candidates: &[Candidate],
    keep: Option<&str>,
    limits: &Limits,
    reasons: &mut Reasons,
) -> io::Result<Contents> {
    let mut contents = Contents::default();
    let limit = limits.total_bytes;
    let files = || candidates.iter().filter(|it| it.kind == Kind::File);
    let declared = files().fold(0u64, |sum, it| sum.saturating_add(it.entry.size));
    if declared > limit {
        let size = declared;
        reasons.push(Reason::TotalTooLarge { size, limit });
        return Ok(contents);
    }
    let mut by_start: Vec<&Candidate> = candidates.iter().collect();
    by_start.sort_by_key(|candidate| candidate.entry.offset);
    let mut inflater = Inflater::new();
    let mut total = 0;
    for candidate in by_start {
        let kept = (keep == Some(candidate.entry.name.as_str())).then(Vec::new);
        total += file(
            archive,
            &mut inflater,
            candidate,
            kept,
            limits,
            reasons,
            &mut contents,
        )?;
        if total > limit {
            let size = total;
            reasons.push(Reason::TotalTooLarge { size, limit });
            break;
        }
    }
    Ok(contents)
}

fn file(
    archive: &mut Stream<'_>,
    inflater: &mut Inflater,
    Candidate { entry, data, .. }: &Candidate,
    mut kept: Option<Vec<u8>>,
    limits: &Limits,
    reasons: &mut Reasons,
    contents: &mut Contents,
) -> io::Result<u64> {
    let Some(data) = data else { return Ok(0) };
    let mut head = Vec::with_capacity(4);
    let real = inflater.inflate(archive, data, entry.method, entry.size, |piece| {
        let missing = 4_usize.saturating_sub(head.len());
        head.extend(piece.iter().take(missing));
        if let Some(kept) = &mut kept
            && (kept.len() as u64) <= limits.manifest_bytes
        {
            kept.extend_from_slice(piece);
        }
        Ok(())
    });
    let real = match real {
        Ok(real) => real,
        Err(InflateError::Data) => {
            reasons.damaged(&entry.name, Damage::Inflate);
            return Ok(0);
        }
        Err(InflateError::Read(error) | InflateError::Sink(error)) => return Err(error),
    };
    if real.size != entry.size {
        let (declared, real) = (entry.size, real.size);
        reasons.damaged(&entry.name, Damage::Size { declared, real });
    } else if real.crc != entry.crc {
        reasons.damaged(&entry.name, Damage::Checksum);
    } else {
        contents.kept = kept.or(contents.kept.take());
    }
    if head.starts_with(b"#!") || head.starts_with(b"\x7fELF") {
        contents.programs.insert(entry.name.clone());
    }
    Ok(real.size)
}
