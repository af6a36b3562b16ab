use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use crate::digest::Digest;

/// An archive's bytes, wherever they are. A file is read piece by piece and never held as a whole.
#[derive(Debug)]
pub(crate) enum Raw {
    Memory(Bytes),
    File { file: File, size: u64 },
}

impl Raw {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        // Before it is opened: to open a pipe would wait for its other end.
        if !std::fs::metadata(path)?.is_file() {
            return Err(io::Error::other("it is not a file"));
        }
        let file = File::open(path)?;
        // It may grow while it is read: that is not looked at.
        let size = file.metadata()?.len();
        Ok(Self::File { file, size })
    }

    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::File { size, .. } => *size,
        }
    }

    /// Fills a buffer with what begins at an offset. Too few bytes are an error.
    pub(crate) fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        match self {
            Self::Memory(bytes) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX);
                let from = bytes.get(start..).and_then(|it| it.get(..buffer.len()));
                buffer.copy_from_slice(from.ok_or(io::ErrorKind::UnexpectedEof)?);
                Ok(())
            }
            Self::File { file, .. } => file.read_exact_at(buffer, offset),
        }
    }
}

/// Bytes that are read at once.
const PIECE: usize = 64 * 1024;

/// An archive that is read once, from its first byte on. Every byte is digested as it is read, so
/// that the digest is that of the very bytes that were seen, even if the file is being changed.
#[derive(Debug)]
pub(crate) struct Stream<'a> {
    archive: &'a Raw,
    /// Where the next piece begins.
    next: u64,
    end: u64,
    buffer: Vec<u8>,
    /// What of the buffer was not taken yet.
    left: Range<usize>,
    hash: Sha256,
}

impl<'a> Stream<'a> {
    /// A stream that ends at an offset.
    pub(crate) fn new(archive: &'a Raw, end: u64) -> Self {
        Self {
            archive,
            next: 0,
            end,
            buffer: vec![0; PIECE],
            left: 0..0,
            hash: Sha256::new(),
        }
    }

    /// Where it is.
    pub(super) fn at(&self) -> u64 {
        self.next - self.left.len() as u64
    }

    /// Some of the bytes in front of an offset. None at all only where that is reached, or the end.
    pub(super) fn peek(&mut self, until: u64) -> io::Result<&[u8]> {
        if self.left.is_empty() {
            let count = at_most(PIECE, self.end - self.next);
            let piece = &mut self.buffer[..count];
            self.archive.read_at(self.next, piece)?;
            self.hash.update(piece);
            self.next += count as u64;
            self.left = 0..count;
        }
        let count = at_most(self.left.len(), until.saturating_sub(self.at()));
        Ok(&self.buffer[self.left.start..][..count])
    }

    /// Takes bytes that were looked at.
    pub(super) fn take(&mut self, count: usize) {
        self.left.start += count;
    }

    /// Goes on to an offset, which lies ahead.
    pub(super) fn skip_to(&mut self, offset: u64) -> io::Result<()> {
        loop {
            match self.peek(offset)?.len() {
                0 => return Ok(()),
                count => self.take(count),
            }
        }
    }

    /// The digest of all bytes up to the stream's end, and of those that follow.
    pub(crate) fn digest(mut self, rest: &[u8]) -> io::Result<Digest> {
        self.skip_to(self.end)?;
        self.hash.update(rest);
        Ok(Digest::new(self.hash))
    }
}

fn at_most(most: usize, count: u64) -> usize {
    usize::try_from(count).map_or(most, |count| count.min(most))
}
