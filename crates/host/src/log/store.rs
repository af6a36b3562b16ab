//! The one writer of a log folder.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use jackfield_process::Line;
use jackfield_wire::{LogRecord, Stream};
use tokio::sync::{mpsc, watch};

use super::segment::{self, Segment};

/// How much of a plugin's output is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogLimits {
    /// Size of a file at which the next is begun, in bytes. Default 8 MiB.
    pub file: u64,
    /// Size of all files of one installation, in bytes; the oldest go. Default 64 MiB.
    pub total: u64,
}

impl Default for LogLimits {
    fn default() -> Self {
        Self {
            file: 8 << 20,
            total: 64 << 20,
        }
    }
}

/// The log of one installation.
#[derive(Debug)]
pub(crate) struct LogStore {
    folder: PathBuf,
    limits: LogLimits,
    writer: Mutex<Writer>,
    end: watch::Sender<End>,
}

/// How far a log goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct End {
    /// The number of the last record that is in the files.
    pub(super) last: u64,
    /// Nothing more will come.
    pub(super) closed: bool,
}

#[derive(Debug)]
struct Writer {
    /// `None` until the first record after the host's start.
    file: Option<(fs::File, u64)>,
    next: u64,
    warned: bool,
}

/// Lines written in one go at most.
const BATCH: usize = 512;
/// Bytes written with one call, about.
const PIECE: usize = 256 << 10;

impl LogStore {
    /// Opens the log of this folder, which is made if it is not there. A line that a killed host
    /// left unfinished is cut off.
    pub(crate) fn open(folder: &Path, limits: LogLimits) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let last = match segment::list(folder)?.last() {
            Some(newest) => newest.first + segment::mend(&newest.path)? - 1,
            None => 0,
        };
        Ok(Self {
            folder: folder.to_owned(),
            limits,
            writer: Mutex::new(Writer {
                file: None,
                next: last + 1,
                warned: false,
            }),
            end: watch::Sender::new(End {
                last,
                closed: false,
            }),
        })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn end(&self) -> watch::Receiver<End> {
        self.end.subscribe()
    }

    /// Ends all that follow, once they have read what is there.
    pub(crate) fn close(&self) {
        self.end.send_modify(|end| end.closed = true);
    }

    /// Takes lines until there are no more; resolves when the last is in the files.
    pub(crate) async fn drain(self: Arc<Self>, mut lines: mpsc::Receiver<Line>) {
        let mut batch = Vec::new();
        while lines.recv_many(&mut batch, BATCH).await > 0 {
            let taken = std::mem::take(&mut batch);
            let store = Arc::clone(&self);
            let written = tokio::task::spawn_blocking(move || store.append(&taken)).await;
            if let Err(panic) = written {
                tracing::error!(%panic, "writing a log failed");
            }
        }
    }

    /// Appends lines. A full disk never stops a plugin: what cannot be written is lost, and said
    /// once.
    fn append(&self, lines: &[Line]) {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rest = lines;
        let written = loop {
            match self.write(&mut writer, rest) {
                Ok(0) => break Ok(()),
                Ok(taken) => rest = &rest[taken..],
                Err(error) => break Err(error),
            }
        };
        match written {
            Ok(()) => writer.warned = false,
            Err(error) => {
                writer.file = None;
                if !writer.warned {
                    writer.warned = true;
                    tracing::error!(folder = %self.folder.display(), %error, "cannot write a log");
                }
            }
        }
        let last = writer.next - 1;
        drop(writer);
        self.end
            .send_if_modified(|end| std::mem::replace(&mut end.last, last) != last);
    }

    /// Writes as many lines as fit into the file and into one call; how many.
    fn write(&self, writer: &mut Writer, lines: &[Line]) -> io::Result<usize> {
        if lines.is_empty() {
            return Ok(0);
        }
        if writer
            .file
            .as_ref()
            .is_none_or(|(_, size)| *size >= self.limits.file)
        {
            writer.file = None;
            let (file, size) = self.begin(&mut writer.next)?;
            writer.file = Some((file, size));
        }
        let Some((file, size)) = &mut writer.file else {
            return Ok(0);
        };
        let mut bytes = Vec::new();
        let mut next = writer.next;
        for line in lines {
            let stream = match line.stream {
                jackfield_process::Stream::Stdout => Stream::Stdout,
                jackfield_process::Stream::Stderr => Stream::Stderr,
            };
            let record = LogRecord::read(next, line.at, stream, &line.text, line.partial);
            serde_json::to_writer(&mut bytes, &record).map_err(io::Error::from)?;
            bytes.push(b'\n');
            next += 1;
            if bytes.len() >= PIECE || *size + bytes.len() as u64 >= self.limits.file {
                break;
            }
        }
        if let Err(error) = file.write_all(&bytes) {
            // Nothing stays of what was not written whole: its numbers are used again.
            let _ = file.set_len(*size);
            return Err(error);
        }
        *size += bytes.len() as u64;
        let taken = next - writer.next;
        writer.next = next;
        Ok(taken as usize)
    }

    /// The file that record `next` goes into; the oldest files go to make room for it. Where a
    /// write that failed has left whole lines, their numbers are taken.
    fn begin(&self, next: &mut u64) -> io::Result<(fs::File, u64)> {
        let mut segments = segment::list(&self.folder)?;
        let reuse =
            segments.pop_if(|newest| newest.first >= *next || newest.len() < self.limits.file);
        if let Some(segment) = &reuse {
            *next = (*next).max(segment.first + segment::mend(&segment.path)?);
        }
        let segment = reuse.unwrap_or_else(|| Segment::new(&self.folder, *next));
        let mut total: u64 = segments.iter().map(Segment::len).sum();
        let room = self.limits.total.saturating_sub(self.limits.file);
        for old in segments {
            if total <= room {
                break;
            }
            total -= old.len();
            fs::remove_file(&old.path)?;
        }
        let mut options = fs::OpenOptions::new();
        options.create(true).append(true);
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&segment.path)?;
        let size = file.metadata()?.len();
        Ok((file, size))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{LogQuery, LogStream};
    use super::*;
    use std::time::SystemTime;

    fn lines(texts: impl IntoIterator<Item = String>) -> Vec<Line> {
        texts
            .into_iter()
            .map(|text| Line {
                at: SystemTime::now(),
                stream: jackfield_process::Stream::Stdout,
                text: text.into_bytes(),
                partial: false,
            })
            .collect()
    }

    async fn all(store: &Arc<LogStore>, query: LogQuery) -> Vec<(u64, String)> {
        let mut stream = LogStream::new(Arc::clone(store), query);
        let mut records = Vec::new();
        while let Some(record) = stream.next().await {
            records.push((record.seq, record.text));
        }
        records
    }

    #[tokio::test]
    async fn numbers_go_on_over_rotation_and_restarts() {
        let folder = tempfile::tempdir().unwrap();
        let limits = LogLimits {
            file: 2_000,
            total: 1 << 20,
        };
        for round in 0..3 {
            let store = Arc::new(LogStore::open(folder.path(), limits).unwrap());
            for n in 0..50 {
                store.append(&lines([format!("{round}-{n}")]));
            }
            let read = all(&store, LogQuery::default()).await;
            assert_eq!(read.len(), 50 * (round + 1));
            assert!(read.iter().map(|r| r.0).eq(1..=50 * (round as u64 + 1)));
        }
        assert!(segment::list(folder.path()).unwrap().len() > 3);
        let store = Arc::new(LogStore::open(folder.path(), limits).unwrap());
        let tail = all(&store, LogQuery::default().tail(2)).await;
        assert_eq!(tail, [(149, "2-48".to_owned()), (150, "2-49".to_owned())]);
        let after = all(&store, LogQuery::default().after(148)).await;
        assert_eq!(after, tail);
    }

    #[tokio::test]
    async fn the_quota_removes_the_oldest_only() {
        let folder = tempfile::tempdir().unwrap();
        let limits = LogLimits {
            file: 1_000,
            total: 4_000,
        };
        let store = Arc::new(LogStore::open(folder.path(), limits).unwrap());
        for n in 0..400 {
            store.append(&lines([format!("line {n}")]));
        }
        let segments = segment::list(folder.path()).unwrap();
        let total: u64 = segments.iter().map(Segment::len).sum();
        assert!(total <= 4_200, "{total}");
        let read = all(&store, LogQuery::default()).await;
        assert_eq!(read.last().unwrap().0, 400);
        assert!(read.len() > 20 && read.windows(2).all(|w| w[0].0 + 1 == w[1].0));
    }

    /// A host that is killed while it writes leaves half a line; the next one must neither show it
    /// nor glue its own first line to it.
    #[tokio::test]
    async fn half_a_line_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let store = LogStore::open(folder.path(), LogLimits::default()).unwrap();
        store.append(&lines(["whole".to_owned()]));
        let path = segment::list(folder.path()).unwrap()[0].path.clone();
        let mut file = fs::OpenOptions::new().append(true).open(path).unwrap();
        file.write_all(b"{\"seq\":2,\"text\":\"ha").unwrap();
        let store = Arc::new(LogStore::open(folder.path(), LogLimits::default()).unwrap());
        store.append(&lines(["next".to_owned()]));
        let read = all(&store, LogQuery::default()).await;
        assert_eq!(read, [(1, "whole".to_owned()), (2, "next".to_owned())]);
    }

    #[tokio::test]
    async fn a_follower_sees_each_line_once() {
        let folder = tempfile::tempdir().unwrap();
        let limits = LogLimits {
            file: 3_000,
            total: 1 << 20,
        };
        let store = Arc::new(LogStore::open(folder.path(), limits).unwrap());
        store.append(&lines((0..10).map(|n| n.to_string())));
        let mut stream = LogStream::new(Arc::clone(&store), LogQuery::default().follow());
        let writer = {
            let store = Arc::clone(&store);
            tokio::task::spawn_blocking(move || {
                for n in 10..500 {
                    store.append(&lines([n.to_string()]));
                }
            })
        };
        for n in 0..500 {
            assert_eq!(stream.next().await.unwrap().text, n.to_string());
        }
        writer.await.unwrap();
    }
}
