//! The body of an answer.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep_until};

use super::error::ChannelError;

/// The body of an answer. Keeps the call's deadline; when the connection breaks, or the deadline is over, a gRPC call
/// ends with a status in its trailers, others with the error.
pub struct ResponseBody {
    state: State,
    grpc: bool,
}

enum State {
    Open {
        incoming: Incoming,
        due: Option<Due>,
        frames: Frames,
    },
    Done,
}

/// When the call's time is over.
struct Due {
    at: Instant,
    given: Duration,
    /// Made when the body has to be waited for; that of a short answer comes with its head.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl ResponseBody {
    pub(crate) fn new(
        incoming: Incoming,
        grpc: bool,
        deadline: Option<(Instant, Duration)>,
        max_message_size: usize,
    ) -> Self {
        let due = deadline.map(|(at, given)| Due {
            at,
            given,
            sleep: None,
        });
        Self {
            state: State::Open {
                incoming,
                due,
                frames: Frames::new(max_message_size),
            },
            grpc,
        }
    }

    pub(crate) fn empty() -> Self {
        Self {
            state: State::Done,
            grpc: true,
        }
    }

    fn fail(&mut self, error: ChannelError) -> Result<Frame<Bytes>, ChannelError> {
        // Dropping the rest resets the stream.
        self.state = State::Done;
        if self.grpc {
            Ok(Frame::trailers(error.trailers()))
        } else {
            Err(error)
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = ChannelError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ChannelError>>> {
        let grpc = self.grpc;
        let State::Open {
            incoming,
            due,
            frames,
        } = &mut self.state
        else {
            return Poll::Ready(None);
        };
        if let Poll::Ready(frame) = Pin::new(incoming).poll_frame(cx) {
            return Poll::Ready(match frame {
                Some(Ok(frame)) => match frame.data_ref().filter(|_| grpc) {
                    Some(data) => match frames.check(data) {
                        Ok(()) => Some(Ok(frame)),
                        Err(error) => Some(self.fail(error)),
                    },
                    None => Some(Ok(frame)),
                },
                Some(Err(error)) => Some(self.fail(ChannelError::http(error))),
                None => {
                    self.state = State::Done;
                    None
                }
            });
        }
        let Some(Due { at, given, sleep }) = due else {
            return Poll::Pending;
        };
        let sleep = sleep.get_or_insert_with(|| Box::pin(sleep_until(*at)));
        ready!(sleep.as_mut().poll(cx));
        let error = ChannelError::DeadlineExceeded(*given);
        Poll::Ready(Some(self.fail(error)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.state {
            State::Open { incoming, .. } => incoming.is_end_stream(),
            State::Done => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.state {
            State::Open { incoming, .. } => incoming.size_hint(),
            State::Done => SizeHint::with_exact(0),
        }
    }
}

/// Where in gRPC's frames a body is: five bytes, of which the last four are the length of the message that follows.
///
/// Clients have a limit of their own; what they make of it differs, and some have read the message by then.
struct Frames {
    limit: usize,
    head: [u8; 5],
    /// How much of the head is there.
    held: usize,
    /// How much of the message is to come.
    rest: usize,
}

impl Frames {
    fn new(limit: usize) -> Self {
        Self {
            limit,
            head: [0; 5],
            held: 0,
            rest: 0,
        }
    }

    fn check(&mut self, mut data: &[u8]) -> Result<(), ChannelError> {
        while !data.is_empty() {
            if self.rest > 0 {
                let taken = self.rest.min(data.len());
                self.rest -= taken;
                data = &data[taken..];
                continue;
            }
            let taken = (self.head.len() - self.held).min(data.len());
            let (now, later) = data.split_at(taken);
            self.head[self.held..self.held + taken].copy_from_slice(now);
            self.held += taken;
            data = later;
            if self.held == self.head.len() {
                let [_, a, b, c, d] = self.head;
                let size = u32::from_be_bytes([a, b, c, d]);
                let limit = self.limit;
                self.rest = usize::try_from(size).unwrap_or(usize::MAX);
                self.held = 0;
                if self.rest > limit {
                    return Err(ChannelError::TooLarge { size, limit });
                }
            }
        }
        Ok(())
    }
}

impl fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody")
            .field("done", &matches!(self.state, State::Done))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_of_each_message_is_checked_however_it_is_cut() {
        let mut body = Vec::new();
        for length in [0_u32, 3, 4, 5] {
            body.push(0);
            body.extend(length.to_be_bytes());
            body.extend(vec![b'x'; length as usize]);
        }
        for piece in 1..=body.len() {
            let mut frames = Frames::new(4);
            let first = body.chunks(piece).find_map(|data| frames.check(data).err());
            let Some(ChannelError::TooLarge { size: 5, limit: 4 }) = first else {
                panic!("{piece}: {first:?}");
            };
            let mut frames = Frames::new(5);
            assert!(body.chunks(piece).all(|data| frames.check(data).is_ok()));
        }
    }
}
