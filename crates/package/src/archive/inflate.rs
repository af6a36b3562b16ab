use std::io;
use std::ops::Range;

use flate2::{Crc, Decompress, FlushDecompress, Status};
use thiserror::Error;

use super::entry::Entry;
use super::raw::Stream;

/// What really came out of an entry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Real {
    pub(crate) size: u64,
    pub(crate) crc: u32,
}

#[derive(Debug, Error)]
pub(crate) enum InflateError {
    /// The data ends too early, goes on after its end, or is no deflated data.
    #[error("the data cannot be inflated")]
    Data,
    /// The archive could not be read.
    #[error(transparent)]
    Read(io::Error),
    /// What came out could not be passed on.
    #[error(transparent)]
    Sink(io::Error),
}

/// Inflates one entry after the other.
#[derive(Debug)]
pub(crate) struct Inflater {
    state: Decompress,
    buffer: Vec<u8>,
}

impl Inflater {
    pub(crate) fn new() -> Self {
        Self {
            state: Decompress::new(false),
            buffer: vec![0; 64 * 1024],
        }
    }

    /// Inflates an entry's data piece by piece, whatever it declares, and stops after the first
    /// piece that goes beyond `most`.
    pub(crate) fn inflate(
        &mut self,
        from: &mut Stream<'_>,
        data: &Range<u64>,
        method: u16,
        most: u64,
        mut sink: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<Real, InflateError> {
        let mut crc = Crc::new();
        let mut size: u64 = 0;
        // Says whether to go on.
        let mut pass = |piece: &[u8]| {
            crc.update(piece);
            size += piece.len() as u64;
            sink(piece).map_err(InflateError::Sink)?;
            Ok(size <= most)
        };
        from.skip_to(data.start).map_err(InflateError::Read)?;
        self.state.reset(false);
        loop {
            let packed = from.peek(data.end).map_err(InflateError::Read)?;
            if method == Entry::STORED {
                let count = packed.len();
                let more = pass(packed)?;
                from.take(count);
                if count == 0 || !more {
                    break;
                }
                continue;
            }
            let before = (self.state.total_in(), self.state.total_out());
            let status = self
                .state
                .decompress(packed, &mut self.buffer, FlushDecompress::None)
                .map_err(|_| InflateError::Data)?;
            let count = |now: u64, before: u64| usize::try_from(now - before);
            let taken = count(self.state.total_in(), before.0).map_err(|_| InflateError::Data)?;
            let made = count(self.state.total_out(), before.1).map_err(|_| InflateError::Data)?;
            from.take(taken);
            if !pass(&self.buffer[..made])? {
                break;
            }
            match status {
                Status::StreamEnd if from.at() == data.end => break,
                Status::StreamEnd => return Err(InflateError::Data),
                Status::Ok | Status::BufError if taken == 0 && made == 0 => {
                    return Err(InflateError::Data);
                }
                Status::Ok | Status::BufError => {}
            }
        }
        Ok(Real {
            size,
            crc: crc.sum(),
        })
    }
}
