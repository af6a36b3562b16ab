//! From HTTP/1.1 to HTTP/2 on one connection, without TLS (RFC 7540, section 3.2).
//!
//! hyper hands over the connection, but cannot begin HTTP/2 with a request that came before. So the request is written
//! as frames of stream 1 and slipped in behind what the client begins with.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderName, HeaderValue, TE, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, Request, Response, StatusCode, Version};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::answer::Answer;
use super::paths::Body;
use super::refuse;

/// The body of a request that an upgrade begins with is held in memory, and fits the window of a stream. With a longer
/// one the upgrade is not taken: the request is answered in HTTP/1.1, which is as good.
const MOST_BODY: u64 = 64 << 10;
/// The same for its head, packed as HTTP/2 does.
const MOST_HEAD: usize = 16 << 10;
/// What fits into one frame of HTTP/2, whatever was agreed on.
const FRAME: usize = 16 << 10;
/// What a client begins with, before its first frame.
const PREFACE: usize = 24;
const FRAME_HEAD: usize = 9;

const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// A connection that goes on in HTTP/2.
pub(crate) struct Upgrading {
    taken: hyper::upgrade::OnUpgrade,
    frames: Vec<u8>,
}

/// The connection, with the first request slipped in.
pub(crate) struct Upgraded {
    stream: TokioIo<hyper::upgrade::Upgraded>,
    /// What is still to be read before anything else.
    out: Bytes,
    begin: Option<Begin>,
}

/// What the client begins with: its preface, and the settings that must come first.
struct Begin {
    read: Vec<u8>,
    /// How long it is, as far as is known.
    length: usize,
    /// What comes behind it.
    then: Vec<u8>,
}

/// Whether the client asks for it, with a request that can be taken along.
pub(crate) fn is_wanted(request: &Request<Body>) -> bool {
    let headers = request.headers();
    let short = match headers.get(CONTENT_LENGTH) {
        None => true,
        Some(length) => length
            .to_str()
            .ok()
            .and_then(|length| length.parse::<u64>().ok())
            .is_some_and(|length| length <= MOST_BODY),
    };
    request.version() == Version::HTTP_11
        && names(headers, &UPGRADE, "h2c")
        && names(headers, &CONNECTION, "upgrade")
        && names(headers, &CONNECTION, "http2-settings")
        && headers.get_all(HTTP2_SETTINGS).iter().count() == 1
        && !headers.contains_key(TRANSFER_ENCODING)
        && short
}

/// Takes the request along. Gives the answer that makes the client go on in HTTP/2, or refuses.
///
/// # Errors
/// The answer, if the request cannot be read, or has too much of a head.
pub(crate) async fn take(
    mut request: Request<Body>,
) -> Result<(Response<Answer>, Upgrading), Response<Answer>> {
    let taken = hyper::upgrade::on(&mut request);
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else {
        return Err(refuse::plain(StatusCode::BAD_REQUEST, ""));
    };
    let head = packed(&Request::from_parts(head, ()));
    if head.len() > MOST_HEAD {
        return Err(refuse::plain(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "",
        ));
    }
    let frames = frames(&head, &body.to_bytes());
    let mut answer = refuse::plain(StatusCode::SWITCHING_PROTOCOLS, "");
    let headers = answer.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("h2c"));
    Ok((answer, Upgrading { taken, frames }))
}

impl Upgrading {
    /// Waits until the client was told.
    pub(crate) async fn upgraded(self) -> Result<Upgraded, hyper::Error> {
        Ok(Upgraded {
            stream: TokioIo::new(self.taken.await?),
            out: Bytes::new(),
            begin: Some(Begin {
                read: Vec::new(),
                length: PREFACE + FRAME_HEAD,
                then: self.frames,
            }),
        })
    }
}

/// Whether the list in this header has this word.
fn names(headers: &HeaderMap, header: &HeaderName, word: &str) -> bool {
    headers
        .get_all(header)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|part| part.trim().eq_ignore_ascii_case(word))
}

/// The request's head as HTTP/2 has it, in the plainest way that HPACK knows: no tables, no Huffman codes.
fn packed(request: &Request<()>) -> Vec<u8> {
    let headers = request.headers();
    let path = request
        .uri()
        .path_and_query()
        .map_or("/", |path| path.as_str());
    let mut block = Vec::new();
    field(&mut block, b":method", request.method().as_str().as_bytes());
    field(&mut block, b":scheme", b"http");
    field(&mut block, b":path", path.as_bytes());
    if let Some(host) = headers.get(HOST) {
        field(&mut block, b":authority", host.as_bytes());
    }
    for (name, value) in headers {
        let of_the_connection = [
            &CONNECTION,
            &HOST,
            &HTTP2_SETTINGS,
            &KEEP_ALIVE,
            &PROXY_CONNECTION,
            &UPGRADE,
        ]
        .contains(&name)
            // Named in `Connection`, it was for this hop alone; its one value in HTTP/2 is for the whole way.
            || (name == TE && value != "trailers");
        if !of_the_connection {
            field(&mut block, name.as_str().as_bytes(), value.as_bytes());
        }
    }
    block
}

/// A literal that is not to be remembered (RFC 7541, section 6.2.2).
fn field(block: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    block.push(0);
    for text in [name, value] {
        let mut length = text.len();
        if length < 0x7f {
            block.push(length as u8);
        } else {
            block.push(0x7f);
            length -= 0x7f;
            while length >= 0x80 {
                block.push((length & 0x7f) as u8 | 0x80);
                length >>= 7;
            }
            block.push(length as u8);
        }
        block.extend_from_slice(text);
    }
}

fn frames(head: &[u8], body: &[u8]) -> Vec<u8> {
    let mut frames = Vec::with_capacity(head.len() + body.len() + 64);
    let end = if body.is_empty() { END_STREAM } else { 0 };
    frame(&mut frames, HEADERS, END_HEADERS | end, head);
    let mut pieces = body.chunks(FRAME).peekable();
    while let Some(piece) = pieces.next() {
        let end = if pieces.peek().is_none() {
            END_STREAM
        } else {
            0
        };
        frame(&mut frames, DATA, end, piece);
    }
    frames
}

fn frame(frames: &mut Vec<u8>, kind: u8, flags: u8, contents: &[u8]) {
    let [_, length @ ..] = (contents.len() as u32).to_be_bytes();
    frames.extend_from_slice(&length);
    frames.extend_from_slice(&[kind, flags, 0, 0, 0, 1]);
    frames.extend_from_slice(contents);
}

impl Begin {
    /// Whether all of it was read, or it is no such beginning and is the server's to refuse.
    fn is_whole(&mut self) -> bool {
        if self.read.len() < self.length {
            return false;
        }
        if self.length > PREFACE + FRAME_HEAD {
            return true;
        }
        match self.read[PREFACE..] {
            [0, high, low, SETTINGS, ..] => {
                self.length += usize::from(u16::from_be_bytes([high, low]));
                self.read.len() == self.length
            }
            _ => {
                self.then.clear();
                true
            }
        }
    }
}

impl AsyncRead for Upgraded {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while let Some(begin) = &mut this.begin {
            let mut piece = [0; 256];
            let room = (begin.length - begin.read.len()).min(piece.len());
            let mut piece = ReadBuf::new(&mut piece[..room]);
            ready!(Pin::new(&mut this.stream).poll_read(cx, &mut piece))?;
            let ended = piece.filled().is_empty();
            begin.read.extend_from_slice(piece.filled());
            if ended || begin.is_whole() {
                let mut out = std::mem::take(&mut begin.read);
                if !ended {
                    out.append(&mut begin.then);
                }
                this.out = out.into();
                this.begin = None;
            }
        }
        if this.out.is_empty() {
            return Pin::new(&mut this.stream).poll_read(cx, buffer);
        }
        let length = this.out.len().min(buffer.remaining());
        buffer.put_slice(&this.out[..length]);
        this.out.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Upgraded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_values_are_counted_in_more_than_a_byte() {
        let mut block = Vec::new();
        field(&mut block, b"a", "x".repeat(300).as_bytes());
        // 300 = 127 + 45 + 1 * 128
        assert_eq!(block[..6], [0, 1, b'a', 0x7f, 0x80 | 45, 1]);
        assert_eq!(block.len(), 306);
    }

    #[test]
    fn long_bodies_are_several_frames_and_the_last_ends_the_stream() {
        let frames = frames(b"h", &vec![7; FRAME + 1]);
        assert_eq!(
            frames[..10],
            [0, 0, 1, HEADERS, END_HEADERS, 0, 0, 0, 1, b'h']
        );
        assert_eq!(frames[10..19], [0, 0x40, 0, DATA, 0, 0, 0, 0, 1]);
        assert_eq!(
            frames[19 + FRAME..],
            [0, 0, 1, DATA, END_STREAM, 0, 0, 0, 1, 7]
        );
    }
}
