/// One line of an archive's directory.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// The name without the `./` that some writers put in front; odd bytes replaced where it is not
    /// UTF-8.
    pub(crate) name: String,
    /// The name as it stands there.
    pub(super) raw_name: Vec<u8>,
    pub(crate) name_is_utf8: bool,
    /// Whether the Unicode field holds another name.
    pub(crate) has_two_names: bool,
    pub(crate) flags: u16,
    pub(crate) method: u16,
    pub(crate) crc: u32,
    /// Bytes in the archive.
    pub(crate) packed: u64,
    /// Bytes inflated, as declared.
    pub(crate) size: u64,
    /// Where the header is.
    pub(crate) offset: u64,
    /// The system that wrote it.
    pub(super) host: u8,
    /// The system's attributes: unix modes in the upper half.
    pub(super) attributes: u32,
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Folder,
    /// Something else, with its name for people.
    Other(&'static str),
}

/// Writers whose attributes carry unix modes.
const UNIX: u8 = 3;
const MAC: u8 = 19;

const DOS_FOLDER: u32 = 0x10;

impl Entry {
    pub(crate) const STORED: u16 = 0;
    pub(crate) const DEFLATED: u16 = 8;

    /// Whether the sizes follow the data instead of standing in the header.
    pub(super) fn is_streamed(&self) -> bool {
        self.flags & 0x8 != 0
    }

    /// Encrypted in any of the format's ways.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.flags & 0x2041 != 0 || self.method == 99
    }

    /// Whether it is the folder that everything is in, as `tar` and some others write it.
    pub(crate) fn is_top(&self) -> bool {
        self.raw_name == b"./"
    }

    pub(crate) fn kind(&self) -> Kind {
        // The type is looked at whoever wrote it: some writers set it under another system's name.
        let other = match (self.attributes >> 16) & 0o170_000 {
            0o120_000 => "a symbolic link",
            0o060_000 | 0o020_000 => "a device",
            0o010_000 => "a named pipe",
            0o140_000 => "a socket",
            0 | 0o040_000 | 0o100_000 => "",
            _ => "of an unknown kind",
        };
        if !other.is_empty() {
            return Kind::Other(other);
        }
        let says_folder = (self.attributes >> 16) & 0o170_000 == 0o040_000;
        let says_file = (self.attributes >> 16) & 0o170_000 == 0o100_000;
        match (self.name.ends_with('/'), says_folder, says_file) {
            (true, _, true) => Kind::Other("a file with the name of a folder"),
            (false, true, _) => Kind::Other("a folder with the name of a file"),
            (true, ..) => Kind::Folder,
            // Some writers mark a folder by its attribute alone.
            (false, ..) if self.attributes & DOS_FOLDER != 0 && self.host != UNIX => {
                Kind::Other("a folder with the name of a file")
            }
            (false, ..) => Kind::File,
        }
    }

    /// The permissions, without set-id and sticky bits. `None` where the writer knew none.
    pub(crate) fn mode(&self) -> Option<u32> {
        let mode = (self.attributes >> 16) & 0o777;
        (matches!(self.host, UNIX | MAC) && mode != 0).then_some(mode)
    }

    /// Whether permissions were left out that nobody gets.
    pub(crate) fn has_special_bits(&self) -> bool {
        matches!(self.host, UNIX | MAC) && (self.attributes >> 16) & 0o6000 != 0
    }
}
