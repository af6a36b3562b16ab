//! Messages over one connection, so many on their way at a time: written together as long as answers are at hand.

use std::future::Future;

use tokio::time::Instant;

use crate::protocol::{Answer, Calls, Failure, nanos};

/// One end of a connection that carries messages.
pub(crate) trait Pipe: Send {
    /// Puts one message into the buffer.
    fn put(&mut self, message: &str) -> impl Future<Output = Result<(), Failure>> + Send;
    /// Writes the buffer out.
    fn flush(&mut self) -> impl Future<Output = Result<(), Failure>> + Send;
    /// The next message's length.
    fn take(&mut self) -> impl Future<Output = Result<usize, Failure>> + Send;
    /// The same, if it has arrived already.
    fn take_now(&mut self) -> Result<Option<usize>, Failure>;
}

/// Sends that many messages and counts their echoes.
pub(crate) async fn windowed(
    pipe: &mut impl Pipe,
    calls: Calls,
    message: &str,
) -> Result<Answer, Failure> {
    let right = |size: usize| match size == message.len() {
        true => Ok(()),
        false => Err(format!("sent {} bytes, got {size}", message.len())),
    };
    let mut each_ns = Vec::new();
    let began = Instant::now();
    if calls.in_flight == 1 {
        for _ in 0..calls.count {
            let one = Instant::now();
            pipe.put(message).await?;
            pipe.flush().await?;
            right(pipe.take().await?)?;
            each_ns.push(nanos(one));
        }
    } else {
        let (mut sent, mut answered) = (0, 0);
        while sent < calls.in_flight.min(calls.count) {
            pipe.put(message).await?;
            sent += 1;
        }
        pipe.flush().await?;
        while answered < calls.count {
            let mut next = Some(pipe.take().await?);
            while let Some(size) = next {
                right(size)?;
                answered += 1;
                if sent < calls.count {
                    pipe.put(message).await?;
                    sent += 1;
                }
                next = pipe.take_now()?;
            }
            pipe.flush().await?;
        }
    }
    Ok(Answer {
        elapsed_ns: nanos(began),
        each_ns,
        ..Answer::default()
    })
}

/// Sends back what comes, until the other side hangs up.
pub(crate) async fn echo<P: EchoPipe>(pipe: &mut P) -> Result<(), Failure> {
    while let Some(message) = pipe.next().await? {
        let mut next = Some(message);
        while let Some(message) = next {
            pipe.give(message).await?;
            next = pipe.next_now()?;
        }
        pipe.flush().await?;
    }
    Ok(())
}

/// A pipe whose messages are handed on as they are.
pub(crate) trait EchoPipe: Pipe {
    /// A message of its library.
    type Message: Send;
    /// The next one; `None` at the end.
    fn next(&mut self) -> impl Future<Output = Result<Option<Self::Message>, Failure>> + Send;
    /// The same, if it has arrived already.
    fn next_now(&mut self) -> Result<Option<Self::Message>, Failure>;
    /// Puts one into the buffer.
    fn give(&mut self, message: Self::Message) -> impl Future<Output = Result<(), Failure>> + Send;
}
