//! Reading a log, and following it.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use jackfield_wire::LogRecord;
use tokio::sync::watch;

use super::segment;
use super::store::{End, LogStore};

/// Which records of a log. By default all that are kept, without following.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogQuery {
    after: u64,
    tail: Option<u64>,
    since: Option<SystemTime>,
    follow: bool,
}

/// Why there are no logs to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LogsError {
    /// The program runs elsewhere, and so does what it writes.
    #[error("the plugin is external: its output stays where it runs")]
    External,
}

/// The records of a log, one after the other.
#[derive(Debug)]
pub struct LogStream {
    store: Arc<LogStore>,
    query: LogQuery,
    end: watch::Receiver<End>,
    /// The number of the last record that was read or passed over.
    seen: u64,
    /// Where to read on.
    place: Option<(PathBuf, u64)>,
    ready: VecDeque<LogRecord>,
}

/// Bytes read in one go, about.
const CHUNK: usize = 256 << 10;

impl LogQuery {
    /// Only the last `count` records.
    #[must_use]
    pub fn tail(mut self, count: u64) -> Self {
        self.tail = Some(count);
        self
    }

    /// Only records behind this number: what a reader that comes back has not seen.
    #[must_use]
    pub fn after(mut self, seq: u64) -> Self {
        self.after = seq;
        self
    }

    /// Only records from this time on.
    #[must_use]
    pub fn since(mut self, time: SystemTime) -> Self {
        self.since = Some(time);
        self
    }

    /// Waits for more at the end instead of ending there.
    #[must_use]
    pub fn follow(mut self) -> Self {
        self.follow = true;
        self
    }
}

impl LogStream {
    pub(crate) fn new(store: Arc<LogStore>, query: LogQuery) -> Self {
        let end = store.end();
        let last = end.borrow().last;
        let from_tail = query.tail.map_or(0, |count| last.saturating_sub(count));
        Self {
            seen: query.after.max(from_tail),
            store,
            query,
            end,
            place: None,
            ready: VecDeque::new(),
        }
    }

    /// The next record; `None` at the end, or when one that follows is followed no more because
    /// the installation was unloaded. Cancel safe.
    pub async fn next(&mut self) -> Option<LogRecord> {
        loop {
            if let Some(record) = self.ready.pop_front() {
                return Some(record);
            }
            let end = *self.end.borrow_and_update();
            if self.seen < end.last {
                self.fill(end.last).await;
            } else if !self.query.follow || end.closed || self.end.changed().await.is_err() {
                return None;
            }
        }
    }

    /// Reads the next chunk. Afterwards something is ready or `seen` has grown.
    async fn fill(&mut self, end: u64) {
        let (store, place, seen) = (Arc::clone(&self.store), self.place.clone(), self.seen);
        let read = tokio::task::spawn_blocking(move || read(&store, place, seen)).await;
        let gone = |error: &std::io::Error| error.kind() == std::io::ErrorKind::NotFound;
        if self.place.is_some() && matches!(&read, Ok(Err(error)) if gone(error)) {
            // The quota removed the file in this moment; the next ones are still there.
            self.place = None;
            return;
        }
        let Ok(Ok((place, records))) = read else {
            // The files went away below us, or the disk fails: nothing up to here can be had.
            (self.seen, self.place) = (end, None);
            return;
        };
        self.place = place;
        let since = self.query.since;
        let before = self.seen;
        for record in records {
            self.seen = self.seen.max(record.seq);
            if record.seq > before && since.is_none_or(|since| record.time >= since) {
                self.ready.push_back(record);
            }
        }
        if self.place.is_none() {
            self.seen = end;
        }
    }
}

type Chunk = (Option<(PathBuf, u64)>, Vec<LogRecord>);

/// Reads on at `place`, or finds the place behind record `seen` first. No place in the answer: the
/// end of the files was reached without finding more.
fn read(store: &LogStore, place: Option<(PathBuf, u64)>, seen: u64) -> std::io::Result<Chunk> {
    let segments = segment::list(store.folder())?;
    let mut place = match place {
        Some(place) if place.0.exists() => place,
        // At first, and when the quota removed the file: the newest that begins at or before the
        // record looked for, or the oldest there is.
        _ => match segments
            .iter()
            .rfind(|segment| segment.first <= seen + 1)
            .or(segments.first())
        {
            Some(segment) => (segment.path.clone(), 0),
            None => return Ok((None, Vec::new())),
        },
    };
    loop {
        let (bytes, behind) = segment::read_lines(&place.0, place.1, CHUNK)?;
        if behind > place.1 {
            place.1 = behind;
            let records = bytes
                .split(|byte| *byte == b'\n')
                .filter_map(|line| serde_json::from_slice(line).ok())
                .collect();
            return Ok((Some(place), records));
        }
        match segments.iter().find(|segment| segment.path > place.0) {
            Some(next) => place = (next.path.clone(), 0),
            None => return Ok((None, Vec::new())),
        }
    }
}
