//! From the lines of a process to records.

use std::panic::{AssertUnwindSafe, catch_unwind};

use jackfield_process::Line;
use jackfield_wire::{Level, Stream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::record::{Record, Said};
use crate::spawn::{Sink, Spawn};
use crate::task;

/// The longest line that is held until its end has come.
const LONGEST: usize = 1024 * 1024;

/// Where records are made and given away.
pub(crate) struct Lines {
    scope: String,
    module: String,
    default_level: Option<Level>,
    sink: Option<Sink>,
    stdout: Pieces,
    stderr: Pieces,
}

/// The pieces of a line that has not ended yet.
#[derive(Default)]
struct Pieces {
    held: Vec<u8>,
    /// Longer than may be held: given on as it comes.
    long: bool,
}

/// A line, or as much of it as may be held.
#[derive(Debug, PartialEq, Eq)]
enum Piece {
    Line(Vec<u8>),
    /// Of a line that is too long; whether it goes on.
    Raw(Vec<u8>, bool),
}

impl Lines {
    pub(crate) fn new(spawn: &Spawn) -> Self {
        Self {
            scope: spawn.name.clone(),
            module: spawn.module.clone(),
            default_level: spawn.default_level,
            sink: spawn.sink.clone(),
            stdout: Pieces::default(),
            stderr: Pieces::default(),
        }
    }

    /// Makes records of all lines, in a task that ends with them. The token is cancelled when it is done.
    pub(crate) fn follow(mut self, lines: Option<mpsc::Receiver<Line>>) -> CancellationToken {
        let done = CancellationToken::new();
        let guard = done.clone().drop_guard();
        let follow = async move {
            let _guard = guard;
            if let Some(mut lines) = lines {
                while let Some(line) = lines.recv().await {
                    self.take(line);
                }
            }
        };
        // Ends when the outputs do.
        drop(task::spawn(follow));
        done
    }

    fn take(&mut self, line: Line) {
        let (pieces, stream) = match line.stream {
            jackfield_process::Stream::Stdout => (&mut self.stdout, Stream::Stdout),
            jackfield_process::Stream::Stderr => (&mut self.stderr, Stream::Stderr),
        };
        let (said, partial) = match pieces.push(line.text, line.partial) {
            Some(Piece::Line(text)) => (Said::read(&text), false),
            Some(Piece::Raw(text, more)) => (Said::raw(&text), more),
            None => return,
        };
        let default = match stream {
            Stream::Stdout => Level::Info,
            Stream::Stderr => Level::Error,
        };
        self.give(Record {
            at: said.at.unwrap_or(line.at),
            level: said.level.unwrap_or(self.default_level.unwrap_or(default)),
            message: said.message,
            error: said.error,
            attributes: said.attributes,
            scope: self.scope.clone(),
            module: self.module.clone(),
            stream,
            partial,
        });
    }

    fn give(&self, record: Record) {
        trace(&record);
        if let Some(sink) = &self.sink
            && catch_unwind(AssertUnwindSafe(|| sink(record))).is_err()
        {
            tracing::error!(
                scope = self.scope,
                "the sink for a plugin's records panicked"
            );
        }
    }
}

impl Pieces {
    fn push(&mut self, text: Vec<u8>, more: bool) -> Option<Piece> {
        if self.long {
            self.long = more;
            return Some(Piece::Raw(text, more));
        }
        if self.held.is_empty() {
            self.held = text;
        } else {
            self.held.extend_from_slice(&text);
        }
        if !more {
            return Some(Piece::Line(std::mem::take(&mut self.held)));
        }
        if self.held.len() < LONGEST {
            return None;
        }
        self.long = true;
        Some(Piece::Raw(std::mem::take(&mut self.held), true))
    }
}

/// The macros of `tracing` want the level to be known when they are compiled.
fn trace(record: &Record) {
    macro_rules! event {
        ($level:ident) => {
            tracing::event!(
                target: "jackfield_grpc::plugin",
                tracing::Level::$level,
                scope = record.scope,
                module = record.module,
                error = record.error,
                attributes = (!record.attributes.is_empty()).then(|| tracing::field::debug(&record.attributes)),
                "{}",
                record.message
            )
        };
    }
    match record.level {
        Level::Trace => event!(TRACE),
        Level::Debug => event!(DEBUG),
        Level::Info => event!(INFO),
        Level::Warn => event!(WARN),
        Level::Error => event!(ERROR),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_become_lines_again() {
        let mut pieces = Pieces::default();
        assert_eq!(pieces.push(b"ab".to_vec(), true), None);
        assert_eq!(
            pieces.push(b"c".to_vec(), false),
            Some(Piece::Line(b"abc".to_vec()))
        );
        assert_eq!(
            pieces.push(b"d".to_vec(), false),
            Some(Piece::Line(b"d".to_vec()))
        );
    }

    #[test]
    fn a_line_that_is_too_long_is_given_on_whole_in_pieces() {
        let mut pieces = Pieces::default();
        let piece = vec![b'x'; 64 * 1024];
        let mut given = Vec::new();
        for _ in 0..40 {
            given.extend(pieces.push(piece.clone(), true));
        }
        given.extend(pieces.push(b"end".to_vec(), false));
        let mut length = 0;
        for (index, piece) in given.iter().enumerate() {
            let Piece::Raw(text, more) = piece else {
                panic!("a line");
            };
            assert_eq!(*more, index + 1 < given.len());
            length += text.len();
        }
        assert_eq!(length, 40 * 64 * 1024 + 3);
        assert_eq!(
            pieces.push(b"next".to_vec(), false),
            Some(Piece::Line(b"next".to_vec()))
        );
    }

    #[tokio::test]
    async fn the_host_names_the_plugin_and_a_sink_that_panics_costs_one_record() {
        let (records, mut given) = mpsc::channel(8);
        let spawn = Spawn::new("kv", "x").module("m").on_record(move |record| {
            assert_ne!(record.message, "bad", "a test's panic, to be ignored");
            records.try_send(record).unwrap();
        });
        let (lines, receiver) = mpsc::channel(8);
        let done = Lines::new(&spawn).follow(Some(receiver));
        for (text, stream) in [
            (
                r#"{"message":"a","attributes":{"scope":"evil","module":"evil"}}"#,
                jackfield_process::Stream::Stderr,
            ),
            ("bad", jackfield_process::Stream::Stdout),
            ("b", jackfield_process::Stream::Stderr),
            ("c", jackfield_process::Stream::Stdout),
        ] {
            let line = Line {
                at: std::time::SystemTime::now(),
                stream,
                text: text.as_bytes().to_vec(),
                partial: false,
            };
            lines.send(line).await.unwrap();
        }
        drop(lines);
        done.cancelled().await;
        drop(spawn);
        let mut all = Vec::new();
        while let Ok(record) = given.try_recv() {
            assert_eq!((&*record.scope, &*record.module), ("kv", "m"));
            all.push((record.message, record.level));
        }
        let expected = [
            ("a".to_owned(), Level::Info),
            ("b".to_owned(), Level::Error),
            ("c".to_owned(), Level::Info),
        ];
        assert_eq!(all, expected);
    }
}
