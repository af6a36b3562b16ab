use std::collections::BTreeSet;

use super::look::Candidate;
use crate::archive::{self, Entry, Kind};
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
        let stop = candidate.data.as_ref().map_or(0, |data| data.end as u64);
        if start < end {
            reasons.damaged(&candidate.entry.name, Damage::Overlap);
            candidate.data = None;
        }
        end = end.max(stop);
    }
}

/// Inflates every file and counts what really comes out. Stops where the total is exceeded.
pub(super) fn check(
    bytes: &[u8],
    candidates: &[Candidate],
    keep: Option<&str>,
    limits: &Limits,
    reasons: &mut Reasons,
) -> Contents {
    let mut contents = Contents::default();
    let limit = limits.total_bytes;
    let files = || candidates.iter().filter(|it| it.kind == Kind::File);
    let declared = files().fold(0u64, |sum, it| sum.saturating_add(it.entry.size));
    if declared > limit {
        let size = declared;
        reasons.push(Reason::TotalTooLarge { size, limit });
        return contents;
    }
    let mut total = 0;
    for candidate in candidates {
        let (Some(data), entry) = (&candidate.data, &candidate.entry) else {
            continue;
        };
        let kept = (keep == Some(entry.name.as_str())).then(Vec::new);
        total += file(
            &bytes[data.clone()],
            entry,
            kept,
            limits,
            reasons,
            &mut contents,
        );
        if total > limit {
            let size = total;
            reasons.push(Reason::TotalTooLarge { size, limit });
            break;
        }
    }
    contents
}

fn file(
    data: &[u8],
    entry: &Entry,
    mut kept: Option<Vec<u8>>,
    limits: &Limits,
    reasons: &mut Reasons,
    contents: &mut Contents,
) -> u64 {
    let mut head = Vec::with_capacity(4);
    let real = archive::inflate(data, entry.method, entry.size, |piece| {
        let missing = 4_usize.saturating_sub(head.len());
        head.extend(piece.iter().take(missing));
        if let Some(kept) = &mut kept
            && (kept.len() as u64) <= limits.manifest_bytes
        {
            kept.extend_from_slice(piece);
        }
        Ok(())
    });
    let Ok(real) = real else {
        reasons.damaged(&entry.name, Damage::Inflate);
        return 0;
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
    real.size
}
