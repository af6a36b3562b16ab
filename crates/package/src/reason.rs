use std::fmt;

use jackfield_wire::ManifestProblem;
use thiserror::Error;

/// As many reasons as are listed.
const MOST: usize = 100;

/// An archive that is no package, with every reason at once. The text has a line for each.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the package is refused:{}", lines(.reasons))]
pub struct Rejected {
    /// Never empty. At most 100 are listed; [`Reason::More`] counts the others.
    pub reasons: Vec<Reason>,
    /// What is odd besides, and would not have been a reason.
    pub warnings: Vec<Warning>,
}

/// Why an archive is refused. Names are shown with their odd characters escaped.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Reason {
    /// It cannot be read as a zip archive at all.
    #[error("not a zip archive: {0}")]
    NotZip(String),
    /// The archive has too many bytes.
    #[error("the archive has {size} bytes; {limit} are allowed")]
    ArchiveTooLarge {
        /// Its bytes.
        size: u64,
        /// Those allowed.
        limit: u64,
    },
    /// It has too many files, or too many files and folders.
    #[error("the archive has {count} {what}; {limit} are allowed")]
    TooMany {
        /// `files` or `entries`.
        what: &'static str,
        /// How many there are.
        count: u64,
        /// Those allowed.
        limit: u64,
    },
    /// A file has too many bytes.
    #[error("{name:?} inflates to {size} bytes or more; {limit} are allowed")]
    FileTooLarge {
        /// The file.
        name: String,
        /// The bytes that it declares or, where those are fewer, those that came out of it.
        size: u64,
        /// Those allowed.
        limit: u64,
    },
    /// All files together have too many bytes.
    #[error("the files inflate to {size} bytes or more; {limit} are allowed")]
    TotalTooLarge {
        /// The bytes that are declared or, where those are fewer, those that came out.
        size: u64,
        /// Those allowed.
        limit: u64,
    },
    /// A name that cannot be a file's name beneath a folder.
    #[error("{name:?} {why}")]
    BadName {
        /// The name as it stands in the archive.
        name: String,
        /// What is wrong with it.
        why: BadName,
    },
    /// An entry is neither a file nor a folder.
    #[error("{name:?} is {kind}; a package holds files and folders only")]
    NotAFile {
        /// The entry.
        name: String,
        /// What it is: `a symbolic link`, `a device` and so on.
        kind: &'static str,
    },
    /// Two entries have one name.
    #[error("{name:?} is there twice")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// Two names differ by case alone, and are one on some disks.
    #[error("{name:?} and {other:?} differ by case alone")]
    CaseDuplicate {
        /// The later one.
        name: String,
        /// The earlier one.
        other: String,
    },
    /// A file has the name of a folder.
    #[error("{name:?} is both a file and a folder")]
    FileAndFolder {
        /// The name.
        name: String,
    },
    /// An entry is encrypted.
    #[error("{name:?} is encrypted")]
    Encrypted {
        /// The entry.
        name: String,
    },
    /// An entry is compressed by something other than deflate.
    #[error("{name:?} is compressed by method {method}; stored and deflated files are read")]
    Compression {
        /// The entry.
        name: String,
        /// The method's number in the format.
        method: u16,
    },
    /// An entry does not hold what it says.
    #[error("{name:?} {damage}")]
    Damaged {
        /// The entry.
        name: String,
        /// What does not fit.
        damage: Damage,
    },
    /// There is no manifest where one is looked for.
    #[error(
        "no manifest: one of manifest.json, manifest.yaml and manifest.yml must be in the \
         archive's root, or in the one folder that holds everything{}",
        and_elsewhere(.elsewhere)
    )]
    NoManifest {
        /// Manifests in other places.
        elsewhere: Vec<String>,
    },
    /// There are several manifests.
    #[error("several manifests: {}; exactly one is expected", .names.join(" and "))]
    SeveralManifests {
        /// Those that were found side by side.
        names: Vec<String>,
    },
    /// The manifest is not valid.
    #[error("{file}: {problem}")]
    Manifest {
        /// The manifest's name.
        file: String,
        /// One of its problems.
        problem: ManifestProblem,
    },
    /// The command is a path in the package, and there is no such file.
    #[error("command: {command:?} {why}")]
    Command {
        /// The manifest's command.
        command: String,
        /// What is wrong.
        why: &'static str,
    },
    /// There were more reasons than are listed.
    #[error("and {0} more")]
    More(usize),
}

/// What is wrong with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BadName {
    /// It is empty.
    #[error("is an empty name")]
    Empty,
    /// It leads out of the folder, or could.
    #[error("leads out of the folder: it has a `..`")]
    Escapes,
    /// It begins at the root of a disk.
    #[error("is an absolute path")]
    Absolute,
    /// It begins at a drive.
    #[error("begins with a drive letter")]
    Drive,
    /// It has a backslash, which some systems take for a slash.
    #[error("has a backslash; names in an archive are separated by slashes")]
    Backslash,
    /// It has a NUL or another control character.
    #[error("has a control character")]
    Control,
    /// It has an empty part or a `.`, so that another spelling means the same.
    #[error("has an empty part or a `.` in it")]
    Unclean,
    /// It is not UTF-8.
    #[error("is not UTF-8")]
    NotUtf8,
    /// Another field of the entry gives it another name.
    #[error("has another name in its Unicode field")]
    TwoNames,
    /// It, or one of its parts, is too long, or it has too many parts.
    #[error("is too long or too deep")]
    TooLong,
}

/// What does not fit in an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Damage {
    /// Its header is not where the directory says, or is cut off.
    #[error("has no header where the archive's directory says")]
    NoHeader,
    /// Its header says something else than the archive's directory.
    #[error("has another {0} in its header than in the archive's directory")]
    Header(&'static str),
    /// Its bytes belong to another entry too.
    #[error("shares bytes of the archive with another entry")]
    Overlap,
    /// It does not inflate.
    #[error("cannot be inflated")]
    Inflate,
    /// It inflates to another number of bytes than it says.
    #[error("declares {declared} bytes and inflates to {real}")]
    Size {
        /// The bytes that it says.
        declared: u64,
        /// The bytes that came out, one too many where it stopped being read.
        real: u64,
    },
    /// Its checksum is not that of its bytes.
    #[error("has another checksum than it says")]
    Checksum,
    /// A folder has content.
    #[error("is a folder with content")]
    FolderWithContent,
}

/// Something that is odd with a package and keeps nobody from using it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The file that it is about, with the place in it where there is one; may be empty.
    pub place: String,
    /// What is odd.
    pub message: String,
}

impl Warning {
    pub(crate) fn new(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            message: message.into(),
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.place.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.place, self.message)
        }
    }
}

/// Collects reasons up to a bound.
#[derive(Debug, Default)]
pub(crate) struct Reasons {
    kept: Vec<Reason>,
    lost: usize,
}

impl Reasons {
    pub(crate) fn push(&mut self, reason: Reason) {
        if self.kept.len() == MOST {
            self.lost += 1;
        } else {
            self.kept.push(reason);
        }
    }

    pub(crate) fn damaged(&mut self, name: &str, damage: Damage) {
        self.push(Reason::Damaged {
            name: name.to_owned(),
            damage,
        });
    }

    /// All of them; `Ok` where there are none.
    pub(crate) fn finish(mut self, warnings: &[Warning]) -> Result<(), Rejected> {
        if self.lost > 0 {
            self.kept.push(Reason::More(self.lost));
        }
        if self.kept.is_empty() {
            return Ok(());
        }
        Err(Rejected {
            reasons: self.kept,
            warnings: warnings.to_vec(),
        })
    }
}

fn lines(reasons: &[Reason]) -> String {
    reasons.iter().fold(String::new(), |mut text, reason| {
        text.push_str("\n  ");
        text.push_str(&reason.to_string());
        text
    })
}

fn and_elsewhere(found: &[String]) -> String {
    if found.is_empty() {
        return String::new();
    }
    format!(" (there is {})", found.join(" and "))
}
