//! Asking until the answer is "ready".

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::channel::ChannelError;
use crate::client::Ping;
use crate::endpoint::Endpoint;
use crate::error::NotReady;

/// The first that is ready within the time, with its client. The second is not asked before `runs` has come.
pub(crate) async fn first<P: Ping>(
    [one, other]: [Option<Endpoint>; 2],
    over: impl Fn(&Endpoint) -> P,
    runs: impl Future<Output = ()>,
    within: Duration,
    last: &Last,
) -> Result<(Endpoint, P), NotReady> {
    let deadline = Instant::now() + within.min(Duration::from_secs(365 * 24 * 60 * 60));
    let ready = async |endpoint: Option<Endpoint>| match endpoint {
        Some(endpoint) => {
            let client = over(&endpoint);
            until_ready(&endpoint, &client, deadline, last).await?;
            Ok((endpoint, client))
        }
        None => std::future::pending().await,
    };
    let later = async {
        runs.await;
        ready(other).await
    };
    tokio::select! {
        found = ready(one) => found,
        found = later => found,
        () = sleep_until(deadline) => Err(NotReady::TimedOut {
            within,
            reason: last.reason(),
        }),
    }
}

/// Asks one endpoint until it is ready.
async fn until_ready<P: Ping>(
    endpoint: &Endpoint,
    client: &P,
    deadline: Instant,
    last: &Last,
) -> Result<(), NotReady> {
    let channel = endpoint.channel();
    let over = Over::of(endpoint);
    let mut pace = Pace::default();
    loop {
        // Cheaper than a ping that cannot be sent.
        let (weight, reason) = match channel.connect().await {
            Ok(()) => {
                let patience = pace.patience(deadline.saturating_duration_since(Instant::now()));
                let brief = patience < BRIEF;
                // Should the time be over before there is an answer.
                last.put_first(over, over.silent(patience), brief);
                // A little more: who asks gives up before the channel does.
                channel.set_timeout(Some(patience + Duration::from_millis(50)));
                match timeout(patience, client.ask()).await {
                    Ok(Ok(None)) => break,
                    Ok(Ok(Some(reason))) if reason.is_empty() => break,
                    Ok(Ok(Some(reason))) => {
                        (Weight::Said, format!("service is not ready: {reason}"))
                    }
                    Ok(Err(error)) if error.unimplemented => {
                        return Err(NotReady::Unimplemented {
                            service: channel.service().unwrap_or("the service").to_owned(),
                            message: error.message,
                        });
                    }
                    Ok(Err(error)) => (Weight::Failed, error.to_string()),
                    // The time is over, and what was known before says more.
                    Err(_) if brief => return std::future::pending().await,
                    Err(_) => {
                        pace.unanswered();
                        over.silent(patience)
                    }
                }
            }
            Err(error @ ChannelError::Stranger { .. }) => (Weight::Failed, error.to_string()),
            Err(error) => (Weight::Absent, error.to_string()),
        };
        last.put(over, weight, reason);
        if weight < Weight::Said || !pace.hurries() {
            nap(pace.delay()).await;
        }
    }
    channel.set_timeout(endpoint.settings().default_timeout);
    Ok(())
}

/// Waits that long. The runtime's timer counts in milliseconds and takes one more to be sure, which is as long as a quick
/// program takes to listen; for less than that a thread sleeps.
async fn nap(time: Duration) {
    if time >= Duration::from_millis(1) {
        return sleep(time).await;
    }
    let _ = spawn_blocking(move || std::thread::sleep(time)).await;
}

/// A ping that had no more time than this before all of it was over proves nothing by its silence.
const BRIEF: Duration = Duration::from_millis(100);

/// How soon, and how patiently, it is asked again.
struct Pace {
    /// How often yet without a delay.
    hurried: u32,
    delay: Duration,
    patience: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            hurried: Self::HURRIED,
            delay: Self::SHORTEST,
            patience: Duration::from_secs(1),
        }
    }
}

impl Pace {
    const HURRIED: u32 = 8;
    const SHORTEST: Duration = Duration::from_micros(150);
    const LONGEST: Duration = Duration::from_millis(50);

    /// Whether one that says that it is not ready is asked again at once. A server that is up is ready within a few
    /// pings as a rule, and the shortest sleep there is takes longer than all of them: a millisecond, and what is left
    /// of the timer's.
    fn hurries(&mut self) -> bool {
        let hurries = self.hurried > 0;
        self.hurried = self.hurried.saturating_sub(1);
        hurries
    }

    /// How long to wait now: 0.15 ms at first, then each time a quarter longer, up to 50 ms.
    fn delay(&mut self) -> Duration {
        let delay = self.delay;
        self.delay = (delay * 5 / 4).min(Self::LONGEST);
        delay
    }

    /// How long this ping may take, within what is left: 1 s, and twice as long after each that got no answer.
    fn patience(&self, left: Duration) -> Duration {
        self.patience.min(left)
    }

    fn unanswered(&mut self) {
        self.patience = self.patience.saturating_mul(2);
    }
}

/// The two ways to a plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    Port,
    /// The socket that was handed over.
    Socket,
}

/// How much a reason says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Weight {
    /// Nobody is there.
    Absent,
    /// Somebody is, but does not answer as he should.
    Failed,
    /// The plugin's own words.
    Said,
}

/// The last reason of each way, and what the plugin itself said last.
#[derive(Default)]
pub(crate) struct Last {
    ways: [Mutex<Option<(Weight, String)>>; 2],
    said: Mutex<Option<String>>,
}

impl Over {
    fn of(endpoint: &Endpoint) -> Self {
        match endpoint.port() {
            Some(_) => Self::Port,
            None => Self::Socket,
        }
    }

    fn silent(self, patience: Duration) -> (Weight, String) {
        match self {
            Self::Port => (
                Weight::Failed,
                format!("no answer to a ping within {patience:?}"),
            ),
            // It takes connections before anybody serves on it.
            Self::Socket => (
                Weight::Absent,
                "no answer on the socket that was handed over".to_owned(),
            ),
        }
    }
}

impl Last {
    fn put(&self, over: Over, weight: Weight, reason: String) {
        if weight == Weight::Said {
            *lock(&self.said) = Some(reason.clone());
        }
        *self.slot(over) = Some((weight, reason));
    }

    /// For now, unless the plugin has said more.
    fn put_first(&self, over: Over, (weight, reason): (Weight, String), brief: bool) {
        let mut slot = self.slot(over);
        if slot
            .as_ref()
            .is_none_or(|(there, _)| *there < Weight::Said && !brief)
        {
            *slot = Some((weight, reason));
        }
    }

    /// What says most; when both ways say as little, both.
    pub(crate) fn reason(&self) -> Option<String> {
        let port = self.slot(Over::Port).clone();
        let socket = self.slot(Over::Socket).clone();
        match (port, socket) {
            (Some((one, _)), Some((other, reason))) if other > one => Some(reason),
            (Some((one, reason)), Some((other, also))) if one == other => {
                Some(format!("{reason}; {also}"))
            }
            (Some((_, reason)), _) | (None, Some((_, reason))) => Some(reason),
            (None, None) => None,
        }
    }

    /// What the plugin said itself, whatever came after it.
    pub(crate) fn own(&self) -> Option<String> {
        lock(&self.said).clone()
    }

    fn slot(&self, over: Over) -> MutexGuard<'_, Option<(Weight, String)>> {
        lock(&self.ways[over as usize])
    }
}

fn lock<T>(slot: &Mutex<T>) -> MutexGuard<'_, T> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_by_a_quarter_to_fifty_milliseconds() {
        let mut pace = Pace::default();
        let delays: Vec<_> = (0..40).map(|_| pace.delay()).collect();
        assert_eq!(delays[0], Pace::SHORTEST);
        assert_eq!(delays[4], Pace::SHORTEST * 625 / 256);
        assert!(delays.windows(2).all(|two| two[0] <= two[1]));
        assert!(delays.windows(2).all(|two| two[1] <= two[0] * 5 / 4));
        assert_eq!(delays[39], Pace::LONGEST);
        let first: Duration = delays[..20].iter().sum();
        assert!(first > Duration::from_millis(50), "{first:?}");
    }

    #[test]
    fn only_so_many_pings_follow_each_other_at_once() {
        let mut pace = Pace::default();
        let hurried = (0..100).filter(|_| pace.hurries()).count();
        assert_eq!(hurried, 8);
        assert_eq!(pace.delay(), Pace::SHORTEST, "as if none had been");
    }

    #[test]
    fn pings_get_twice_the_time_within_what_is_left() {
        let mut pace = Pace::default();
        let left = Duration::from_secs(5);
        let mut ping = || {
            let patience = pace.patience(left).as_secs();
            pace.unanswered();
            patience
        };
        assert_eq!([(); 5].map(|()| ping()), [1, 2, 4, 5, 5]);
        let more: Vec<_> = (0..200).map(|_| ping()).collect();
        assert!(more.iter().all(|patience| *patience == 5));
    }

    #[test]
    fn the_reason_that_says_most_is_given() {
        let last = Last::default();
        assert_eq!(last.reason(), None);
        last.put(Over::Socket, Weight::Absent, "silence".into());
        last.put(Over::Port, Weight::Absent, "refused".into());
        assert_eq!(last.reason().as_deref(), Some("refused; silence"));
        last.put(Over::Port, Weight::Failed, "stranger".into());
        assert_eq!(last.reason().as_deref(), Some("stranger"));
        assert_eq!(last.own(), None);
        last.put(Over::Socket, Weight::Said, "warming up".into());
        assert_eq!(last.reason().as_deref(), Some("warming up"));
        assert_eq!(last.own(), last.reason());
        last.put_first(
            Over::Socket,
            Over::Socket.silent(Duration::from_secs(1)),
            false,
        );
        assert_eq!(last.reason().as_deref(), Some("warming up"));
        last.put(Over::Socket, Weight::Absent, "gone".into());
        assert_eq!(last.own().as_deref(), Some("warming up"), "it said so");
    }
}
