//! The task that owns the list.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use jackfield::runtime::BoxFuture;
use jackfield::{Failure, Stage};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use super::PendingDeletion;
use super::store::Store;
use crate::client::Client;
use crate::error::ServiceError;

const FIRST_DELAY: Duration = Duration::from_secs(2);
const LONGEST_DELAY: Duration = Duration::from_secs(15 * 60);

pub(super) enum Ask {
    Delete {
        sprite: String,
        reply: oneshot::Sender<Result<(), Failure>>,
    },
    Claim {
        sprite: String,
        reply: oneshot::Sender<()>,
    },
    List(oneshot::Sender<Vec<PendingDeletion>>),
}

enum Event {
    Ask(Option<Ask>),
    Done(String, Result<(), ServiceError>),
    Due,
}

pub(super) struct Task {
    client: Arc<Client>,
    store: Store,
    mail: mpsc::Receiver<Ask>,
    pending: BTreeMap<String, One>,
    under_way: FuturesUnordered<BoxFuture<'static, (String, Result<(), ServiceError>)>>,
}

/// One sprite.
struct One {
    known: PendingDeletion,
    /// `None` while it is being deleted.
    due: Option<Instant>,
    replies: Vec<oneshot::Sender<Result<(), Failure>>>,
    claims: Vec<oneshot::Sender<()>>,
}

impl Task {
    pub(super) fn new(
        client: Arc<Client>,
        store: Store,
        left: Vec<PendingDeletion>,
        mail: mpsc::Receiver<Ask>,
    ) -> Self {
        let now = Instant::now();
        let one = |known: PendingDeletion| (known.sprite.clone(), One::new(known, Some(now)));
        Self {
            client,
            store,
            mail,
            pending: left.into_iter().map(one).collect(),
            under_way: FuturesUnordered::new(),
        }
    }

    pub(super) async fn run(mut self) {
        loop {
            let due = self.pending.values().filter_map(|one| one.due).min();
            let event = tokio::select! {
                ask = self.mail.recv() => Event::Ask(ask),
                Some((sprite, result)) = self.under_way.next() => Event::Done(sprite, result),
                () = async { sleep_until(due.expect("checked")).await }, if due.is_some() => Event::Due,
            };
            match event {
                Event::Ask(None) => return,
                Event::Ask(Some(ask)) => self.asked(ask),
                Event::Done(sprite, result) => self.done(&sprite, result),
                Event::Due => self.start_due(),
            }
        }
    }

    fn asked(&mut self, ask: Ask) {
        match ask {
            Ask::Delete { sprite, reply } => {
                let one = self.pending.entry(sprite.clone()).or_insert_with(|| {
                    let known = PendingDeletion {
                        sprite,
                        since: SystemTime::now(),
                        attempts: 0,
                        error: "it was not tried yet".to_owned(),
                    };
                    One::new(known, Some(Instant::now()))
                });
                one.replies.push(reply);
                if one.due.is_some() {
                    // Before it is tried: the host may end while it is.
                    self.store.keep(&one.known);
                    one.due = Some(Instant::now());
                    self.start_due();
                }
            }
            Ask::Claim { sprite, reply } => match self.pending.get_mut(&sprite) {
                Some(one) if one.due.is_none() => one.claims.push(reply),
                found => {
                    if found.is_some() {
                        self.pending.remove(&sprite);
                        self.store.forget(&sprite);
                    }
                    let _ = reply.send(());
                }
            },
            Ask::List(reply) => {
                let all = self.pending.values().map(|one| one.known.clone());
                let _ = reply.send(all.collect());
            }
        }
    }

    fn start_due(&mut self) {
        let now = Instant::now();
        for (sprite, one) in &mut self.pending {
            if one.due.is_some_and(|due| due <= now) {
                one.due = None;
                let (client, sprite) = (Arc::clone(&self.client), sprite.clone());
                self.under_way.push(Box::pin(async move {
                    let result = client.delete_sprite(&sprite).await;
                    (sprite, result)
                }));
            }
        }
    }

    fn done(&mut self, sprite: &str, result: Result<(), ServiceError>) {
        let Some(mut one) = self.pending.remove(sprite) else {
            return;
        };
        let claimed = !one.claims.is_empty();
        for claim in one.claims.drain(..) {
            let _ = claim.send(());
        }
        let Err(error) = result else {
            self.store.forget(sprite);
            for reply in one.replies {
                let _ = reply.send(Ok(()));
            }
            return;
        };
        let failed = error
            .failure(Stage::Deploy)
            .hint("the sprite is still there; it is tried again in the background");
        for reply in one.replies.drain(..) {
            let _ = reply.send(Err(failed.clone()));
        }
        if claimed {
            self.store.forget(sprite);
            return;
        }
        tracing::warn!(
            sprite,
            error = failed.message,
            "a sprite could not be deleted"
        );
        one.known.attempts = one.known.attempts.saturating_add(1);
        one.known.error = failed.message;
        one.due = Some(Instant::now() + delay(one.known.attempts, &error));
        self.store.keep(&one.known);
        self.pending.insert(sprite.to_owned(), one);
    }
}

impl One {
    fn new(known: PendingDeletion, due: Option<Instant>) -> Self {
        Self {
            known,
            due,
            replies: Vec::new(),
            claims: Vec::new(),
        }
    }
}

/// Twice as long each time, with a random part, and not sooner than the service says.
fn delay(attempts: u32, error: &ServiceError) -> Duration {
    let doubled = FIRST_DELAY.saturating_mul(1 << attempts.saturating_sub(1).min(16));
    let delay = doubled.min(LONGEST_DELAY);
    let mut byte = [0];
    // Without a random source they all come back at once, which is no worse than that.
    let _ = getrandom::fill(&mut byte);
    let delay = delay + delay.mul_f64(f64::from(byte[0]) / 512.0);
    delay.max(error.retry_after().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_and_end_growing() {
        let error = ServiceError::Late {
            doing: "x",
            within: Duration::ZERO,
        };
        let first = delay(1, &error);
        assert!(first >= FIRST_DELAY && first < 2 * FIRST_DELAY, "{first:?}");
        let last = delay(u32::MAX, &error);
        assert!(
            last >= LONGEST_DELAY && last < 2 * LONGEST_DELAY,
            "{last:?}"
        );
    }
}
