use std::io;

use flate2::{Crc, Decompress, FlushDecompress, Status};
use thiserror::Error;

use super::entry::Entry;

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
    /// What came out could not be passed on.
    #[error(transparent)]
    Sink(#[from] io::Error),
}

/// Inflates an entry's data piece by piece, whatever it declares, and stops after the first byte
/// beyond `most`.
pub(crate) fn inflate(
    data: &[u8],
    method: u16,
    most: u64,
    mut sink: impl FnMut(&[u8]) -> io::Result<()>,
) -> Result<Real, InflateError> {
    let mut crc = Crc::new();
    let mut size: u64 = 0;
    // Says whether to go on.
    let mut pass = |piece: &[u8]| -> io::Result<bool> {
        crc.update(piece);
        size += piece.len() as u64;
        sink(piece)?;
        Ok(size <= most)
    };
    if method == Entry::STORED {
        for piece in data.chunks(64 * 1024) {
            if !pass(piece)? {
                break;
            }
        }
    } else {
        let mut inflater = Decompress::new(false);
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let taken = usize::try_from(inflater.total_in()).map_err(|_| InflateError::Data)?;
            let before = inflater.total_out();
            let rest = &data[taken..];
            let status = inflater
                .decompress(rest, &mut buffer, FlushDecompress::None)
                .map_err(|_| InflateError::Data)?;
            let made = inflater.total_out() - before;
            let made = usize::try_from(made).map_err(|_| InflateError::Data)?;
            if !pass(&buffer[..made])? {
                break;
            }
            let stuck = made == 0 && inflater.total_in() == taken as u64;
            match status {
                Status::StreamEnd if inflater.total_in() == data.len() as u64 => break,
                Status::StreamEnd => return Err(InflateError::Data),
                Status::Ok | Status::BufError if stuck => return Err(InflateError::Data),
                Status::Ok | Status::BufError => {}
            }
        }
    }
    Ok(Real {
        size,
        crc: crc.sum(),
    })
}
