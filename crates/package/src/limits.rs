/// How much of an archive is taken. The defaults are the original's, and ours where it has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the archive. Default: 50 MiB.
    pub archive_bytes: u64,
    /// Bytes of the manifest. Default: 1 MiB, which cannot be raised.
    pub manifest_bytes: u64,
    /// Files in it. Default: 2048.
    pub files: usize,
    /// Entries in it, folders included. Default: 4096. (The original counts files alone, so that an
    /// archive of folders could use up the inodes of a disk.) The archive's directory, which is held
    /// in memory while it is looked at, may have `name_bytes` and 512 bytes for each of them, or
    /// 128 KiB if that is more.
    pub entries: usize,
    /// Bytes of a single file, inflated. Default: 50 MiB.
    pub file_bytes: u64,
    /// Bytes of all files, inflated. Default: 200 MiB.
    pub total_bytes: u64,
    /// Bytes of an entry's name. Default: 1024.
    pub name_bytes: usize,
    /// Parts of an entry's name. Default: 64.
    pub name_parts: usize,
}

const MIB: u64 = 1024 * 1024;

impl Default for Limits {
    fn default() -> Self {
        Self {
            archive_bytes: 50 * MIB,
            manifest_bytes: MIB,
            files: 2048,
            entries: 4096,
            file_bytes: 50 * MIB,
            total_bytes: 200 * MIB,
            name_bytes: 1024,
            name_parts: 64,
        }
    }
}
