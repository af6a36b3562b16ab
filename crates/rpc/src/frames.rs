//! The frames of a local socket, byte by byte. docs/local-socket.md is their description.
//!
//! A frame is a word of four bytes, the most significant first, and what it announces. With its top
//! bit clear the word is the length of a message; with it set the next seven bits say what the
//! frame is, and the other 24 how long the rest of it is.

use jackfield_wire::CloseCause;

/// Asks for a sign of life. Nothing follows.
pub(crate) const PING: u32 = 0x8100_0000;
/// Answers a ping. Nothing follows.
pub(crate) const PONG: u32 = 0x8200_0000;
/// Says why the line ends: a code of two bytes and a reason, whose lengths are in the low bits.
const CLOSE: u32 = 0x8300_0000;

/// The bytes of a word.
pub(crate) const WORD: usize = 4;
/// The longest message that a word can announce.
pub(crate) const LONGEST: usize = 0x7fff_ffff;
/// As of a WebSocket's control frame (RFC 6455, 5.5).
const LONGEST_CLOSE: usize = 125;

/// What a word announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Head {
    /// A message of so many bytes.
    Text(usize),
    Ping,
    Pong,
    /// Code and reason, so many bytes together.
    Close(usize),
}

/// What the other side did against the protocol: the close code for it, and the sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Offence {
    pub(crate) code: u16,
    pub(crate) reason: String,
}

impl Head {
    /// Reads a word. `most` is the longest message that is read.
    pub(crate) fn read(word: u32, most: usize) -> Result<Self, Offence> {
        let low = (word & 0x00ff_ffff) as usize;
        match word {
            0..0x8000_0000 => {
                let size = word as usize;
                if size > most {
                    let reason = format!("a message of {size} bytes; at most {most} are read");
                    return Err(Offence { code: 1009, reason });
                }
                Ok(Self::Text(size))
            }
            PING => Ok(Self::Ping),
            PONG => Ok(Self::Pong),
            _ if word & 0xff00_0000 == CLOSE && (2..=LONGEST_CLOSE).contains(&low) => {
                Ok(Self::Close(low))
            }
            _ => Err(against(&format!("a frame that begins with {word:08x}"))),
        }
    }

    /// The bytes after the word.
    pub(crate) fn follows(self) -> usize {
        match self {
            Self::Text(size) | Self::Close(size) => size,
            Self::Ping | Self::Pong => 0,
        }
    }
}

impl Offence {
    pub(crate) fn cause(&self) -> CloseCause {
        CloseCause::failed(self.reason.as_str())
    }
}

/// Something that no frame is like: close code 1002.
pub(crate) fn against(what: &str) -> Offence {
    Offence {
        code: 1002,
        reason: format!("against the protocol of the local socket: {what}"),
    }
}

/// A text that is none: close code 1007.
pub(crate) fn not_utf8(what: &str) -> Offence {
    Offence {
        code: 1007,
        reason: format!("{what} that is not UTF-8"),
    }
}

/// A close frame with this code and the cause's reason.
pub(crate) fn close(code: u16, cause: &CloseCause) -> Vec<u8> {
    let reason = cause.wire_reason();
    let size = u32::try_from(2 + reason.len()).expect("a reason is cut at 123 bytes");
    let mut frame = (CLOSE | size).to_be_bytes().to_vec();
    frame.extend_from_slice(&code.to_be_bytes());
    frame.extend_from_slice(reason.as_bytes());
    frame
}

/// Code and reason of a close frame.
pub(crate) fn read_close(frame: &[u8]) -> Result<(u16, &str), Offence> {
    let (code, reason) = frame
        .split_first_chunk()
        .ok_or_else(|| against("a close frame without a code"))?;
    let code = u16::from_be_bytes(*code);
    // Those that RFC 6455 (7.4) keeps for what is never sent are nobody's word.
    if !matches!(code, 1000..=1004 | 1007..=1014 | 3000..=4999) {
        return Err(against(&format!("close code {code}")));
    }
    let reason =
        std::str::from_utf8(reason).map_err(|_| not_utf8("the reason of a close frame"))?;
    Ok((code, reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_has_one_meaning() {
        for (word, expected) in [
            (0, Ok(Head::Text(0))),
            (100, Ok(Head::Text(100))),
            (101, Err(1009)),
            (0x7fff_ffff, Err(1009)),
            (0x8000_0000, Err(1002)),
            (0x8100_0000, Ok(Head::Ping)),
            (0x8100_0001, Err(1002)),
            (0x8200_0000, Ok(Head::Pong)),
            (0x8200_0001, Err(1002)),
            (0x8300_0000, Err(1002)),
            (0x8300_0001, Err(1002)),
            (0x8300_0002, Ok(Head::Close(2))),
            (0x8300_007d, Ok(Head::Close(125))),
            (0x8300_007e, Err(1002)),
            (0x8400_0000, Err(1002)),
            (0xffff_ffff, Err(1002)),
        ] {
            let read = Head::read(word, 100).map_err(|offence| offence.code);
            assert_eq!(read, expected, "{word:08x}");
        }
    }

    #[test]
    fn close_frames_go_out_and_come_back() {
        let frame = close(1013, &CloseCause::unavailable("später"));
        assert_eq!(frame[..6], [0x83, 0, 0, 9, 0x03, 0xf5]);
        assert_eq!(read_close(&frame[4..]), Ok((1013, "später")));
        let long = close(1011, &CloseCause::failed("x".repeat(1000)));
        assert_eq!(long.len(), 4 + 125);
        for (bytes, code) in [
            (&[][..], 1002),
            (&[3], 1002),
            (&[0, 0], 1002),
            (&[0x03, 0xed], 1002),
            (&[0xff, 0xff], 1002),
            (&[0x03, 0xe8, 0xff], 1007),
        ] {
            assert_eq!(read_close(bytes).unwrap_err().code, code, "{bytes:?}");
        }
    }
}
