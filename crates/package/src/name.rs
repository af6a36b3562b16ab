use crate::archive::Entry;
use crate::limits::Limits;
use crate::reason::{BadName, Reason, Reasons};

/// The longest part of a name that the usual file systems take.
const PART_BYTES: usize = 255;

/// Everything that is wrong with an entry's name.
pub(crate) fn check(entry: &Entry, limits: &Limits, reasons: &mut Reasons) {
    let mut bad = |why| {
        reasons.push(Reason::BadName {
            name: entry.name.clone(),
            why,
        });
    };
    if !entry.name_is_utf8 {
        bad(BadName::NotUtf8);
    }
    if entry.has_two_names {
        bad(BadName::TwoNames);
    }
    let name = entry.name.as_str();
    if name.is_empty() {
        bad(BadName::Empty);
        return;
    }
    if name.starts_with('/') {
        bad(BadName::Absolute);
    }
    if name.contains('\\') {
        bad(BadName::Backslash);
    }
    let mut start = name.chars();
    if start.next().is_some_and(|c| c.is_ascii_alphabetic()) && start.next() == Some(':') {
        bad(BadName::Drive);
    }
    if name.chars().any(char::is_control) {
        bad(BadName::Control);
    }
    // Backslashes count here: a name can be wrong in two ways, and both are said.
    if name.split(['/', '\\']).any(|part| part == "..") {
        bad(BadName::Escapes);
    }
    let inner = name.strip_suffix('/').unwrap_or(name);
    let inner = inner.strip_prefix('/').unwrap_or(inner);
    if inner.split('/').any(|part| part.is_empty() || part == ".") {
        bad(BadName::Unclean);
    }
    let too_long = name.len() > limits.name_bytes
        || inner.split('/').count() > limits.name_parts
        || inner.split('/').any(|part| part.len() > PART_BYTES);
    if too_long {
        bad(BadName::TooLong);
    }
}

/// What some systems leave in every archive that they make.
pub(crate) fn is_litter(name: &str) -> bool {
    name.split('/').next() == Some("__MACOSX") || name.rsplit('/').next() == Some(".DS_Store")
}
