//! Many lines with one heart.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use jackfield_rpc::{Duplex, DuplexReceiver, Heart, Options, Received, memory};
use jackfield_wire::CloseCause;
use serde_json::json;
use tokio::time::{Instant, sleep};
use tokio_util::task::TaskTracker;

use crate::common::{Pair, all_gone, beating, echo, methods, open_with, peers_on};

const LINES: usize = 50;

fn crowd(heart: &Heart, tasks: &TaskTracker) -> Vec<Pair> {
    let options = Options {
        heart: heart.clone(),
        ..beating()
    };
    let pair = || peers_on(tasks, methods(), methods(), &options);
    (0..LINES).map(|_| pair()).collect()
}

#[tokio::test(start_paused = true)]
async fn one_task_beats_for_all_and_goes_with_the_last() {
    let (heart, tasks) = (Heart::new(), TaskTracker::new());
    for _round in 0..3 {
        let pairs = crowd(&heart, &tasks);
        sleep(Duration::from_secs(600)).await;
        // A reader and a writer at each end, and the heart.
        assert_eq!(tasks.len(), LINES * 4 + 1);
        assert!(pairs.iter().all(|pair| pair.one.is_open()));
        for pair in &pairs {
            pair.one.close(CloseCause::closed());
            pair.two.closed().await;
            pair.one.finished().await;
            pair.two.finished().await;
        }
        tokio::task::yield_now().await;
        assert_eq!(tasks.len(), 0);
    }
    all_gone(&tasks).await;
}

#[tokio::test(start_paused = true)]
async fn those_that_fall_silent_are_given_up_and_the_others_are_not() {
    let (heart, tasks) = (Heart::new(), TaskTracker::new());
    let pairs = crowd(&heart, &tasks);
    sleep(Duration::from_secs(300)).await;
    let start = Instant::now();
    let (silent, well) = pairs.split_at(LINES / 2);
    for pair in silent {
        pair.cut.half_open();
    }
    for pair in silent {
        let cause = pair.one.closed().await;
        assert_eq!(cause.reason, "no sign of life for 25 s");
    }
    // They were last heard when last asked, up to ten seconds before they fell silent.
    let after = start.elapsed().as_millis();
    assert!((14_000..=26_000).contains(&after), "{after}");
    sleep(Duration::from_secs(1000)).await;
    for pair in well {
        assert_eq!(echo(&pair.one, json!(1)).await.unwrap(), 1);
        pair.one.close(CloseCause::closed());
    }
    all_gone(&tasks).await;
}

/// The time of one that is asked often is not that of one that is asked seldom.
#[tokio::test(start_paused = true)]
async fn a_line_that_is_due_sooner_than_all_others_wakes_the_heart() {
    let (heart, tasks) = (Heart::new(), TaskTracker::new());
    let patient = crowd(&heart, &tasks);
    sleep(Duration::from_secs(1)).await;
    let mut options = Options { heart, ..beating() };
    let heartbeat = options.heartbeat.as_mut().expect("it beats");
    heartbeat.every = Duration::from_millis(100);
    heartbeat.dead_after = Duration::from_millis(250);
    let quick = peers_on(&tasks, methods(), methods(), &options);
    sleep(Duration::from_secs(1)).await;
    assert!(quick.one.is_open());
    let start = Instant::now();
    quick.cut.half_open();
    quick.one.closed().await;
    assert!(start.elapsed() < Duration::from_millis(270));
    drop((patient, quick));
    all_gone(&tasks).await;
}

/// A line whose far end says one thing, which has arrived by then, and tells nobody that it has: as
/// when the whole host was stopped meanwhile.
struct Unheard {
    arrives: Instant,
    arrived: bool,
}

impl Duplex for Unheard {
    type Sender = memory::MemorySender;
    type Receiver = Self;

    fn split(self) -> (Self::Sender, Self) {
        let (near, _far, _cut) = memory::pair();
        (near.split().0, self)
    }
}

impl DuplexReceiver for Unheard {
    async fn recv(&mut self) -> Result<Received, CloseCause> {
        poll_fn(|_cx| {
            if self.arrived || Instant::now() < self.arrives {
                return Poll::Pending;
            }
            self.arrived = true;
            Poll::Ready(Ok(Received::Alive))
        })
        .await
    }

    async fn drain(&mut self) {}
}

/// Whoever gives a line up without having looked takes everybody for dead who spoke while the host
/// itself was stopped.
#[tokio::test(start_paused = true)]
async fn what_has_arrived_is_read_before_a_line_is_given_up() {
    let start = Instant::now();
    let mut options = beating();
    // The writer has nobody to write to.
    options.heartbeat.as_mut().expect("it beats").every = Duration::MAX;
    let arrives = start + Duration::from_secs(20);
    let arrived = false;
    let (peer, tasks) = open_with(Unheard { arrives, arrived }, methods(), options);
    sleep(Duration::from_secs(45)).await;
    assert!(peer.is_open());
    assert_eq!(peer.closed().await.reason, "no sign of life for 25 s");
    assert_eq!(start.elapsed().as_secs(), 50);
    all_gone(&tasks).await;
}
