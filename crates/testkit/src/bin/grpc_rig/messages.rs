//! Protobuf and gRPC's framing, as far as the service needs them.

use bytes::{Buf as _, Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

/// A message that holds this field of bytes or text.
pub(crate) fn field(number: u8, value: &[u8]) -> Vec<u8> {
    let mut message = vec![number << 3 | 2];
    varint(&mut message, value.len());
    message.extend_from_slice(value);
    message
}

/// A message that holds this number.
pub(crate) fn number(number: u8, value: usize) -> Vec<u8> {
    let mut message = vec![number << 3];
    varint(&mut message, value);
    message
}

/// `kv.v1.Entry`.
pub(crate) fn entry(key: &[u8], value: &[u8]) -> Vec<u8> {
    [field(1, key), field(2, value)].concat()
}

fn varint(into: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        into.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    into.push(value as u8);
}

/// The bytes of the first field of this number, empty where there is none.
pub(crate) fn get(message: &Bytes, wanted: u8) -> Bytes {
    find(message, wanted).unwrap_or_default()
}

/// The same, `None` where there is none.
pub(crate) fn find(message: &Bytes, wanted: u8) -> Option<Bytes> {
    let mut rest = message.clone();
    while rest.has_remaining() {
        let tag = take_varint(&mut rest)?;
        let value = match tag & 7 {
            0 => {
                take_varint(&mut rest)?;
                continue;
            }
            2 => {
                let len = take_varint(&mut rest)?;
                if len > rest.len() {
                    return None;
                }
                rest.split_to(len)
            }
            _ => return None,
        };
        if tag >> 3 == usize::from(wanted) {
            return Some(value);
        }
    }
    None
}

fn take_varint(bytes: &mut Bytes) -> Option<usize> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        if !bytes.has_remaining() {
            return None;
        }
        let byte = bytes.get_u8();
        value |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// With gRPC's five bytes before it.
pub(crate) fn framed(message: &[u8]) -> Bytes {
    let mut frame = Vec::with_capacity(message.len() + 5);
    frame.push(0);
    frame.extend_from_slice(
        &u32::try_from(message.len())
            .expect("it is not that long")
            .to_be_bytes(),
    );
    frame.extend_from_slice(message);
    frame.into()
}

/// The messages of a request, as they come.
pub(crate) struct Messages {
    body: Incoming,
    held: BytesMut,
}

impl Messages {
    pub(crate) fn of(body: Incoming) -> Self {
        Self {
            body,
            held: BytesMut::new(),
        }
    }

    /// `None` at the end, or when the caller has gone.
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        loop {
            if self.held.len() >= 5 {
                let len =
                    u32::from_be_bytes([self.held[1], self.held[2], self.held[3], self.held[4]]);
                let end = 5 + usize::try_from(len).expect("64 bits");
                if self.held.len() >= end {
                    let mut message = self.held.split_to(end).freeze();
                    message.advance(5);
                    return Some(message);
                }
            }
            let frame = self.body.frame().await?.ok()?;
            if let Ok(data) = frame.into_data() {
                self.held.extend_from_slice(&data);
            }
        }
    }
}
