//! The task that writes. It writes what is queued and flushes once.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::poll_immediate;
use jackfield_wire::CloseCause;
use tokio::time::{sleep, sleep_until};

use crate::duplex::DuplexSender;
use crate::line::{Line, Watched};
use crate::outlet::{Next, Outgoing, Taker};

/// Messages between two flushes, at most.
const BATCH: usize = 64;
/// So many messages are written without waiting for more.
const ENOUGH: usize = 8;
/// When writing fails, the reader may still find the reason that the other side gave.
const READER_KNOWS_BETTER: Duration = Duration::from_secs(1);

/// How writing ended.
enum Left {
    /// The line is over and nothing is half written.
    Tidy,
    /// The line is over, and the other side did not take what was being written.
    Stuck,
    /// The transport failed.
    Failed(CloseCause),
}

/// Writes until the line ends, then tells the other side why.
pub(crate) async fn run(mut sender: impl DuplexSender, watched: Watched) {
    let line = Arc::clone(&watched.0);
    let mut taker = line.outlet.taker();
    let left = write(&mut sender, &line, &mut taker).await;
    // Boxed: a line that is open holds only what it needs to write.
    Box::pin(part(sender, &line, &mut taker, left)).await;
}

/// Over when the line is, and its time to end as well.
async fn grace(line: &Line) {
    line.over.cancelled().await;
    if !line.is_dead() {
        sleep_until(line.grace_ends()).await;
    }
}

async fn write<S: DuplexSender>(sender: &mut S, line: &Line, taker: &mut Taker<'_>) -> Left {
    loop {
        let next = taker.next().await;
        if matches!(next, Next::Write(_)) && line.is_busy() {
            // Whoever is about to say something has the processor first: messages that are written
            // together cost one system call, and wake the other side once. Not all of them, though:
            // while these are on their way the next ones can be made.
            taker.gather(ENOUGH).await;
        }
        let mut writing = pin!(async {
            match next {
                Next::Over => None,
                Next::Write(message) => Some(batch(sender, line, taker, message).await),
                Next::Ping => Some(sender.ping().await),
            }
        });
        let written = match poll_immediate(writing.as_mut()).await {
            Some(written) => written,
            // It does not read as fast as it is written to. As a rule nothing has to be waited for.
            None => {
                let patient = async {
                    tokio::select! {
                        biased;
                        written = writing => Ok(written),
                        () = grace(line) => Err(Left::Stuck),
                    }
                };
                match Box::pin(patient).await {
                    Ok(written) => written,
                    Err(left) => return left,
                }
            }
        };
        match written {
            Some(Ok(())) => {}
            Some(Err(cause)) => return Left::Failed(cause),
            None => return Left::Tidy,
        }
    }
}

/// Says why the line has ended, once it has.
async fn part(mut sender: impl DuplexSender, line: &Line, taker: &mut Taker<'_>, left: Left) {
    match &left {
        Left::Tidy => {}
        // Its time is over, and a close frame would wait behind what is stuck.
        Left::Stuck => return,
        Left::Failed(cause) => tokio::select! {
            () = line.over.cancelled() => {}
            () = sleep(READER_KNOWS_BETTER) => line.end_dead(cause),
        },
    }
    let cause = line.cause().unwrap_or_else(CloseCause::closed);
    tokio::select! {
        biased;
        () = async {
            if matches!(left, Left::Tidy) && line.close_code().is_none() {
                answers(&mut sender, taker).await;
            }
            sender.close(&cause).await;
        } => {}
        () = grace(line) => {}
    }
}

async fn batch<S: DuplexSender>(
    sender: &mut S,
    line: &Line,
    taker: &mut Taker<'_>,
    first: Outgoing,
) -> Result<(), CloseCause> {
    let mut next = Some(first);
    for left in (0..BATCH).rev() {
        match next.take() {
            Some(Outgoing::Call(id, text)) => {
                // Nobody waits for it any more: better not done at all.
                if line.pending().mark_sent(id) {
                    sender.send(text).await?;
                }
            }
            Some(Outgoing::Answer(text) | Outgoing::Note(text)) => sender.send(text).await?,
            Some(Outgoing::Large(answer)) => sender.send_pieces(*answer).await?,
            None => break,
        }
        if left > 0 {
            next = taker.try_next();
        }
    }
    sender.flush().await
}

/// Writes the answers that were queued when the line ended.
async fn answers<S: DuplexSender>(sender: &mut S, taker: &mut Taker<'_>) {
    while let Some(message) = taker.try_next() {
        let sent = match message {
            Outgoing::Answer(text) => sender.send(text).await,
            Outgoing::Large(answer) => sender.send_pieces(*answer).await,
            Outgoing::Call(..) | Outgoing::Note(_) => Ok(()),
        };
        if sent.is_err() {
            return;
        }
    }
}
