//! What an attach sends again.
//!
//! Whoever attaches to a process gets first what it wrote before, as far as the service still has it, and then what it
//! writes from now on; where the one ends is not told. So the last bytes that were received are kept, and looked for
//! in what comes.

use std::collections::VecDeque;

use bytes::Bytes;
use jackfield::runtime::Stream;

/// As much as the service keeps, and more than passes in a moment.
const KEPT: usize = 64 * 1024;

/// The last bytes of a stream, and how many there were.
#[derive(Debug, Default)]
struct Past {
    last: VecDeque<u8>,
    total: u64,
}

/// What was received so far.
#[derive(Debug, Default)]
pub(super) struct History {
    stdout: Past,
    stderr: Past,
    /// Both, as they came.
    both: Past,
}

impl Past {
    fn push(&mut self, bytes: &[u8]) {
        self.total += bytes.len() as u64;
        let new = &bytes[bytes.len().saturating_sub(KEPT)..];
        let surplus = (self.last.len() + new.len()).saturating_sub(KEPT);
        self.last.drain(..surplus);
        self.last.extend(new);
    }

    /// How many bytes of `replay` were received before.
    fn known(&mut self, replay: &[u8]) -> usize {
        let last: &[u8] = self.last.make_contiguous();
        let ends_at = |end: usize| {
            let length = end.min(last.len());
            length > 0 && replay[end - length..end] == last[last.len() - length..]
        };
        // All from the beginning, which is never by accident.
        if let Ok(total) = usize::try_from(self.total)
            && total <= replay.len()
            && ends_at(total)
        {
            return total;
        }
        // A part of what is kept, the longest first; or more than that, the shortest first: a program that repeats
        // itself must not have what is new taken for what is old.
        let longest = replay.len().min(last.len());
        let within = (1..=longest).rev().find(|end| ends_at(*end));
        within
            .filter(|end| *end == replay.len() || *end >= last.len().min(16))
            .or_else(|| (longest + 1..=replay.len()).find(|end| ends_at(*end)))
            .unwrap_or(0)
    }
}

impl History {
    pub(super) fn push(&mut self, stream: Stream, bytes: &[u8]) {
        match stream {
            Stream::Stdout => self.stdout.push(bytes),
            Stream::Stderr => self.stderr.push(bytes),
        }
        self.both.push(bytes);
    }

    /// What of the first moments after an attach is new. The old may come stream by stream, or all of it as standard
    /// output.
    pub(super) fn new_of(&mut self, came: &[(Stream, Bytes)]) -> Vec<(Stream, Bytes)> {
        let of = |stream: Stream| {
            let bytes = came.iter().filter(|(one, _)| *one == stream);
            bytes
                .flat_map(|(_, bytes)| bytes.iter().copied())
                .collect::<Vec<u8>>()
        };
        let (out, err) = (of(Stream::Stdout), of(Stream::Stderr));
        let (mut out_known, err_known) = (self.stdout.known(&out), self.stderr.known(&err));
        let all_known = self.both.known(&out);
        if err_known == 0 && all_known > out_known {
            out_known = all_known;
        }
        let (mut out_left, mut err_left) = (out_known, err_known);
        let new = came.iter().filter_map(|(stream, bytes)| {
            let left = match stream {
                Stream::Stdout => &mut out_left,
                Stream::Stderr => &mut err_left,
            };
            let skip = (*left).min(bytes.len());
            *left -= skip;
            (skip < bytes.len()).then(|| (*stream, bytes.slice(skip..)))
        });
        new.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(before: &[(Stream, &str)], came: &[(Stream, &str)]) -> String {
        let mut history = History::default();
        for (stream, text) in before {
            history.push(*stream, text.as_bytes());
        }
        let came: Vec<_> = came
            .iter()
            .map(|(stream, text)| (*stream, Bytes::from((*text).to_owned())))
            .collect();
        let new = history.new_of(&came);
        let text = |(stream, bytes): &(Stream, Bytes)| {
            let stream = if *stream == Stream::Stdout { "o" } else { "e" };
            format!("{stream}:{}|", String::from_utf8_lossy(bytes))
        };
        new.iter().map(text).collect()
    }

    use Stream::{Stderr as E, Stdout as O};

    #[test]
    fn what_was_seen_is_not_shown_again() {
        let before = [(O, "one\n"), (E, "bad\n"), (O, "two\nthr")];
        assert_eq!(
            after(&before, &[(O, "one\ntwo\nthr"), (E, "bad\n"), (O, "ee\n")]),
            "o:ee\n|"
        );
        assert_eq!(
            after(&before, &[(O, "one\nbad\ntwo\nthree\n")]),
            "o:ee\n|",
            "all in one"
        );
        assert_eq!(
            after(&before, &[(O, "ee\n")]),
            "o:ee\n|",
            "nothing was sent again"
        );
        assert_eq!(after(&before, &[]), "");
        assert_eq!(after(&[], &[(O, "first\n")]), "o:first\n|");
    }

    #[test]
    fn repetition_misleads_nobody() {
        let tick = "tick\n";
        let before = [(O, &*tick.repeat(10))];
        assert_eq!(after(&before, &[(O, &tick.repeat(12))]), "o:tick\ntick\n|");
        assert_eq!(
            after(&before, &[(O, tick), (O, tick)]),
            "",
            "cannot be told apart"
        );
    }

    #[test]
    fn a_long_past_is_recognised_by_its_end() {
        let line = |number: u32| format!("this is line {number}\n");
        let lines = |range: std::ops::Range<u32>| range.map(line).collect::<String>();
        let before = lines(0..20_000);
        assert!(before.len() > 4 * KEPT);
        // All of it, its last part, and only as much as is kept.
        for first in [0, 5_000, 19_900] {
            let came = lines(first..20_001);
            assert_eq!(
                after(&[(O, &before)], &[(O, &came)]),
                format!("o:{}|", line(20_000)),
                "{first}"
            );
        }
    }
}
