//! How local sockets end: farewells, what is against the protocol, and whoever does not greet.

use crate::common::*;
use crate::local::{bare, close, hear_farewell, socket, text};
use jackfield_rpc::{Duplex, DuplexReceiver, DuplexSender, Limits};
use jackfield_wire::{CloseCause, CloseKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

#[tokio::test]
async fn a_farewell_is_answered_with_its_own_code() {
    for (code, kind) in [
        (1000, CloseKind::Closed),
        (1001, CloseKind::Closed),
        (1008, CloseKind::Rejected),
        (1013, CloseKind::Unavailable),
        (4001, CloseKind::Failed),
    ] {
        let (mut theirs, ours) = bare();
        let (peer, tasks) = open_with(ours, methods(), quiet());
        theirs.write_all(&close(code, "so long")).await.unwrap();
        assert_eq!(
            hear_farewell(&mut theirs).await,
            (code, "so long".to_owned())
        );
        drop(theirs);
        assert_eq!(soon(peer.closed()).await.kind, kind);
        assert_eq!(peer.close_code(), Some(code));
        all_gone(&tasks).await;
    }
}

#[tokio::test]
async fn what_is_against_the_protocol_ends_the_line_and_is_told() {
    let limits = Limits {
        hard_max_in: 1 << 20,
        ..Limits::default()
    };
    for (bytes, code, says) in [
        (vec![0, 0x10, 0, 1], 1009, "1048577 bytes; at most 1048576"),
        (vec![0x7f, 0xff, 0xff, 0xff], 1009, "2147483647 bytes"),
        (text([b'"', 0xff, b'"']), 1007, "not UTF-8"),
        (b"\x83\0\0\x03\x03\xe8\xff".to_vec(), 1007, "not UTF-8"),
        (b"\x80\0\0\0".to_vec(), 1002, "80000000"),
        (b"\x81\0\0\x01x".to_vec(), 1002, "81000001"),
        (b"\x83\0\0\0".to_vec(), 1002, "83000000"),
        (b"\x83\0\0\x02\x03\xee".to_vec(), 1002, "close code 1006"),
        (b"\xff\xff\xff\xff".to_vec(), 1002, "ffffffff"),
    ] {
        let (mut theirs, ours) = UnixStream::pair().unwrap();
        let ours = socket(ours, &limits);
        let (peer, tasks) = open_with(ours, methods(), quiet());
        // Much more than is read of it; the end of the line is told all the same.
        let mut bytes = bytes;
        bytes.extend([b'x'; 100_000]);
        theirs.write_all(&bytes).await.unwrap();
        let (said, reason) = hear_farewell(&mut theirs).await;
        assert_eq!(said, code, "{reason}");
        assert!(reason.contains(says), "{reason}");
        let cause = soon(peer.closed()).await;
        assert_eq!(cause, CloseCause::failed(reason));
        assert_eq!(peer.close_code(), None);
        drop(theirs);
        all_gone(&tasks).await;
    }
}

#[tokio::test]
async fn a_connection_that_breaks_off_is_a_failure() {
    for (bytes, says) in [
        (vec![], "without a close frame"),
        (text("{}"), "without a close frame"),
        (vec![0], "in the middle of a frame"),
        (vec![0, 0, 0, 5, b'x'], "in the middle of a frame"),
    ] {
        let (mut theirs, ours) = bare();
        let (mut sender, mut receiver) = ours.split();
        theirs.write_all(&bytes).await.unwrap();
        drop(theirs);
        let cause = loop {
            if let Err(cause) = soon(receiver.recv()).await {
                break cause;
            }
        };
        assert_eq!(cause.kind, CloseKind::Failed);
        assert!(cause.reason.contains(says), "{cause}");
        assert_eq!(receiver.close_code(), None);
        soon(sender.close(&cause)).await;
    }
}

#[tokio::test]
async fn whoever_does_not_greet_is_turned_away() {
    for (bytes, code) in [
        (text("{}"), 1002),
        (text(r#"{"id":1,"method":"$/hello"}"#), 1002),
        (text(r#"{"method":"$/cancel"}"#), 1002),
        (text("x".repeat(5000)), 1009),
        (b"Traceback (most recent call last):\n".to_vec(), 1009),
        (b"\xffgarbage".to_vec(), 1002),
    ] {
        let (mut theirs, mut ours) = bare();
        theirs.write_all(&bytes).await.unwrap();
        let cause = soon(ours.greeted()).await.unwrap_err();
        let (mut sender, receiver) = ours.split();
        soon(sender.close(&cause)).await;
        drop((sender, receiver));
        let mut word = [0; 6];
        soon(theirs.read_exact(&mut word)).await.unwrap();
        assert_eq!(u16::from_be_bytes([word[4], word[5]]), code, "{cause}");
    }
    for (bytes, gone) in [(&b""[..], true), (&b"\0"[..], false)] {
        let (mut theirs, mut ours) = bare();
        theirs.write_all(bytes).await.unwrap();
        drop(theirs);
        let greeted = soon(ours.greeted()).await;
        assert_eq!(greeted == Ok(false), gone, "{greeted:?}");
    }
}
