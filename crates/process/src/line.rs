//! Bytes into lines, and the last of them.

use std::collections::VecDeque;
use std::time::SystemTime;

/// The longest piece of a line that is handed on at once.
pub(crate) const PIECE: usize = 64 * 1024;

const TAIL_LINES: usize = 20;
const TAIL_WIDTH: usize = 2 * 1024;

/// One line, or one piece of a long one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// When its end was read.
    pub at: SystemTime,
    /// Where it was written to.
    pub stream: Stream,
    /// The bytes without the newline; at most 64 KiB.
    pub text: Vec<u8>,
    /// The line goes on in the next [`Line`] of the same stream.
    pub partial: bool,
}

/// One of the two outputs of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Cuts a stream of bytes into lines and pieces of lines. Holds [`PIECE`] bytes at most.
#[derive(Debug, Default)]
pub(crate) struct Splitter {
    held: Vec<u8>,
    /// The line in `held` had pieces before.
    midway: bool,
}

/// What a [`Splitter`] cut off.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    pub(crate) text: Vec<u8>,
    /// More of the line is to come.
    pub(crate) partial: bool,
    /// It is the first piece of its line.
    pub(crate) first: bool,
}

/// The last lines of both streams.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    lines: VecDeque<Vec<u8>>,
}

impl Splitter {
    /// The next line or piece from `input`, of which what was taken is removed. `None` when all of it was taken.
    pub(crate) fn next(&mut self, input: &mut &[u8]) -> Option<Cut> {
        if input.is_empty() {
            return None;
        }
        // One byte more than a piece, so that a line of exactly that length comes as one.
        let room = PIECE - self.held.len();
        let window = &input[..input.len().min(room + 1)];
        match window.iter().position(|byte| *byte == b'\n') {
            Some(end) => {
                self.held.extend_from_slice(&input[..end]);
                *input = &input[end + 1..];
                Some(self.cut(false))
            }
            None if window.len() <= room => {
                self.held.extend_from_slice(window);
                *input = &input[window.len()..];
                None
            }
            None => {
                self.held.extend_from_slice(&input[..room]);
                *input = &input[room..];
                Some(self.cut(true))
            }
        }
    }

    /// What is left when the stream ends without a newline.
    pub(crate) fn finish(&mut self) -> Option<Cut> {
        (!self.held.is_empty() || self.midway).then(|| self.cut(false))
    }

    fn cut(&mut self, partial: bool) -> Cut {
        let first = !std::mem::replace(&mut self.midway, partial);
        // A character is not torn in two.
        let rest = if partial {
            self.held.split_off(boundary(&self.held))
        } else {
            Vec::new()
        };
        Cut {
            text: std::mem::replace(&mut self.held, rest),
            partial,
            first,
        }
    }
}

impl Tail {
    /// Keeps the beginning of a line. Later pieces of it are not to be pushed.
    pub(crate) fn push(&mut self, text: &[u8]) {
        if self.lines.len() == TAIL_LINES {
            self.lines.pop_front();
        }
        self.lines
            .push_back(text[..text.len().min(TAIL_WIDTH)].to_vec());
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.iter().map(|line| lossy(line)).collect()
    }
}

/// Makes lines of what a program wrote that runs elsewhere, as those of a [`Child`](crate::Child) are made, and keeps
/// the last ones for its [`Exit::tail`](crate::Exit::tail).
#[derive(Debug, Default)]
pub struct Assembler {
    stdout: Splitter,
    stderr: Splitter,
    tail: Tail,
}

impl Assembler {
    /// The lines, and pieces of long ones, that these bytes of a stream complete. `at` is when they were read.
    pub fn push(&mut self, stream: Stream, at: SystemTime, mut bytes: &[u8]) -> Vec<Line> {
        let mut lines = Vec::new();
        let splitter = match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        };
        while let Some(cut) = splitter.next(&mut bytes) {
            lines.push(make(&mut self.tail, cut, stream, at));
        }
        lines
    }

    /// What is left of both streams when they end without a newline.
    pub fn finish(&mut self, at: SystemTime) -> Vec<Line> {
        let ends = [
            (Stream::Stdout, self.stdout.finish()),
            (Stream::Stderr, self.stderr.finish()),
        ];
        ends.into_iter()
            .filter_map(|(stream, cut)| Some(make(&mut self.tail, cut?, stream, at)))
            .collect()
    }

    /// The last 20 lines of both, oldest first; each cut at 2 KiB.
    pub fn tail(&self) -> Vec<String> {
        self.tail.lines()
    }
}

/// The line, and its beginning among the last ones.
pub(crate) fn make(tail: &mut Tail, cut: Cut, stream: Stream, at: SystemTime) -> Line {
    if cut.first {
        tail.push(&cut.text);
    }
    Line {
        at,
        stream,
        text: cut.text,
        partial: cut.partial,
    }
}

fn lossy(line: &[u8]) -> String {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let cut = if line.len() == TAIL_WIDTH {
        boundary(line)
    } else {
        line.len()
    };
    let mut text = String::from_utf8_lossy(&line[..cut]).into_owned();
    // A replacement character is longer than the byte it stands for.
    text.truncate(text.floor_char_boundary(TAIL_WIDTH));
    text
}

/// Where to cut `bytes` so that a UTF-8 sequence that goes on behind their end stays whole; their length if none does.
fn boundary(bytes: &[u8]) -> usize {
    let length = bytes.len();
    for back in 1..=length.min(3) {
        let byte = bytes[length - back];
        if byte & 0b1100_0000 == 0b1000_0000 {
            continue;
        }
        let whole = match byte {
            0xf0.. => 4,
            0xe0.. => 3,
            0xc0.. => 2,
            _ => 1,
        };
        return if whole > back { length - back } else { length };
    }
    length
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(chunks: &[&[u8]]) -> Vec<(usize, bool, bool)> {
        let mut splitter = Splitter::default();
        let mut cuts = Vec::new();
        for chunk in chunks {
            let mut input = *chunk;
            while !input.is_empty() {
                cuts.extend(splitter.next(&mut input));
                assert!(splitter.held.len() <= PIECE);
            }
        }
        cuts.extend(splitter.finish());
        cuts.into_iter()
            .map(|cut| (cut.text.len(), cut.partial, cut.first))
            .collect()
    }

    #[test]
    fn lines_come_whole_however_they_are_read() {
        assert_eq!(
            split(&[b"a\nbb", b"b\n", b"\n", b"end"]),
            [
                (1, false, true),
                (3, false, true),
                (0, false, true),
                (3, false, true)
            ]
        );
        assert_eq!(split(&[]), []);
    }

    #[test]
    fn long_lines_come_in_pieces() {
        let mut long = vec![b'x'; PIECE];
        assert_eq!(
            split(&[&long, b"\n"]),
            [(PIECE, false, true)],
            "just one piece"
        );
        assert_eq!(split(&[&long]), [(PIECE, false, true)]);
        long.push(b'x');
        assert_eq!(
            split(&[&long, b"\na"]),
            [(PIECE, true, true), (1, false, false), (1, false, true)]
        );
        let huge = vec![0_u8; 10 * PIECE + 5];
        let cuts = split(&[&huge]);
        assert_eq!(cuts.len(), 11);
        assert_eq!(cuts.iter().map(|cut| cut.0).sum::<usize>(), huge.len());
    }

    #[test]
    fn pieces_keep_characters_whole() {
        let mut splitter = Splitter::default();
        let text = "€".repeat(PIECE / 3 + 10);
        let mut input = text.as_bytes();
        let cut = splitter.next(&mut input).unwrap();
        assert!(cut.partial && String::from_utf8(cut.text.clone()).is_ok());
        assert!(splitter.next(&mut input).is_none());
        let rest = splitter.finish().unwrap();
        assert_eq!([cut.text, rest.text].concat(), text.as_bytes());
        assert_eq!(boundary(b"\x80\x80\x80\x80"), 4, "not a character");
        assert_eq!(boundary("a😀".as_bytes()), 5);
        assert_eq!(boundary(&"a😀".as_bytes()[..4]), 1);
    }

    #[test]
    fn the_tail_is_short() {
        let mut tail = Tail::default();
        for number in 0..50 {
            tail.push(format!("line {number}\r").as_bytes());
        }
        tail.push(&[0xff; 5000]);
        let lines = tail.lines();
        assert_eq!(lines.len(), 20);
        assert_eq!(lines[0], "line 31");
        assert!(lines[19].len() <= 2048 && lines[19].starts_with('\u{fffd}'));
    }

    #[test]
    fn what_comes_from_elsewhere_becomes_lines_as_well() {
        let mut assembler = Assembler::default();
        let at = SystemTime::UNIX_EPOCH;
        assert!(assembler.push(Stream::Stdout, at, b"he").is_empty());
        let lines = assembler.push(Stream::Stderr, at, b"no\nend");
        assert_eq!((lines.len(), &*lines[0].text), (1, &b"no"[..]));
        let lines = assembler.push(Stream::Stdout, at, b"llo\n\n");
        assert_eq!(
            (&*lines[0].text, &*lines[1].text),
            (&b"hello"[..], &b""[..])
        );
        let rest = assembler.finish(at);
        assert_eq!((rest.len(), rest[0].stream), (1, Stream::Stderr));
        assert_eq!(assembler.tail(), ["no", "hello", "", "end"]);
    }
}
