use std::collections::btree_map::Entry as Slot;
use std::collections::{BTreeMap, BTreeSet};

use super::look::Candidate;
use crate::archive::Kind;
use crate::limits::Limits;
use crate::reason::{Reason, Reasons};

/// Counts the files, and refuses names that are one on disk.
pub(super) fn check(candidates: &[Candidate], limits: &Limits, reasons: &mut Reasons) {
    let files = candidates.iter().filter(|it| it.kind != Kind::Folder);
    let count = files.count();
    if count > limits.files {
        reasons.push(Reason::TooMany {
            what: "files",
            count: count as u64,
            limit: limits.files as u64,
        });
    }

    // By folded name: the first entry of that name, and what it is.
    let mut seen: BTreeMap<String, (&str, Kind)> = BTreeMap::new();
    for Candidate { entry, kind, .. } in candidates {
        let name = entry.name.strip_suffix('/').unwrap_or(&entry.name);
        match seen.entry(fold(name)) {
            Slot::Vacant(slot) => {
                slot.insert((name, *kind));
            }
            Slot::Occupied(slot) => {
                let (first, first_kind) = *slot.get();
                reasons.push(twice(name, *kind, first, first_kind));
            }
        }
    }
    // A file where another entry needs a folder. Each file once, however much lies below it.
    let mut told = BTreeSet::new();
    for folded in seen.keys() {
        for (end, _) in folded.match_indices('/') {
            let above = &folded[..end];
            let file = seen.get(above).filter(|(_, kind)| *kind == Kind::File);
            if let Some((file, _)) = file
                && told.insert(*file)
            {
                let name = (*file).to_owned();
                reasons.push(Reason::FileAndFolder { name });
            }
        }
    }
}

fn twice(name: &str, kind: Kind, first: &str, first_kind: Kind) -> Reason {
    let owned = name.to_owned();
    if (kind == Kind::Folder) != (first_kind == Kind::Folder) {
        Reason::FileAndFolder { name: owned }
    } else if name == first {
        Reason::Duplicate { name: owned }
    } else {
        Reason::CaseDuplicate {
            name: owned,
            other: first.to_owned(),
        }
    }
}

/// One spelling for all that a disk which ignores case takes for one.
fn fold(name: &str) -> String {
    let upper: String = name.chars().flat_map(char::to_uppercase).collect();
    upper.chars().flat_map(char::to_lowercase).collect()
}
