//! What a line's reader is told beside what it reads.

use std::future::poll_fn;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::Poll;

use futures_util::task::AtomicWaker;

/// Two bells for one task.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    rung: AtomicU8,
    waker: AtomicWaker,
}

/// What it was rung for.
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
pub(crate) enum For {
    /// The line has ended: rung for good.
    Over = 1,
    /// There was no sign of life for too long: rung until it is heard.
    Doubt = 2,
}

impl Bell {
    pub(crate) fn ring(&self, why: For) {
        self.rung.fetch_or(why as u8, Ordering::SeqCst);
        self.waker.wake();
    }

    /// Waits until it is rung for this; one task may wait, also for both. Cancel safe.
    pub(crate) async fn rung(&self, why: For) {
        poll_fn(|cx| {
            if self.hear(why) {
                return Poll::Ready(());
            }
            self.waker.register(cx.waker());
            // It may have been rung meanwhile.
            if self.hear(why) {
                return Poll::Ready(());
            }
            Poll::Pending
        })
        .await;
    }

    fn hear(&self, why: For) -> bool {
        match why {
            For::Over => self.rung.load(Ordering::SeqCst) & why as u8 != 0,
            For::Doubt => {
                self.rung.load(Ordering::SeqCst) & why as u8 != 0
                    && self.rung.fetch_and(!(why as u8), Ordering::SeqCst) & why as u8 != 0
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn a_doubt_is_heard_once_and_the_end_for_ever() {
        let bell = Bell::default();
        assert_eq!(bell.rung(For::Over).now_or_never(), None);
        bell.ring(For::Doubt);
        bell.ring(For::Doubt);
        assert_eq!(bell.rung(For::Over).now_or_never(), None);
        assert_eq!(bell.rung(For::Doubt).now_or_never(), Some(()));
        assert_eq!(bell.rung(For::Doubt).now_or_never(), None);
        bell.ring(For::Over);
        for _ in 0..2 {
            assert_eq!(bell.rung(For::Over).now_or_never(), Some(()));
        }
        assert_eq!(bell.rung(For::Doubt).now_or_never(), None);
    }

    #[tokio::test]
    async fn whoever_waits_for_both_is_woken_by_either() {
        for why in [For::Doubt, For::Over] {
            let bell = Bell::default();
            let waiting = async {
                tokio::select! {
                    biased;
                    () = bell.rung(For::Over) => "over",
                    () = bell.rung(For::Doubt) => "doubt",
                }
            };
            let ringing = async {
                tokio::task::yield_now().await;
                bell.ring(why);
            };
            let (heard, ()) = tokio::join!(waiting, ringing);
            assert_eq!(heard == "over", matches!(why, For::Over));
        }
    }
}
