use std::time::{Duration, SystemTime};

use jackfield_rpc::{Methods, Options, RawJson, memory, open};
use jackfield_wire::{CloseCause, ReportedState};
use serde_json::json;
use serde_json::value::to_raw_value;
use tokio::time::sleep;

use super::*;

/// An outbox, and the plugin at the other end of its line.
struct Bed {
    outbox: Arc<Outbox>,
    line_out: watch::Sender<Option<Peer>>,
    board: Arc<StatusBoard>,
    tracker: TaskTracker,
    gone: CancellationToken,
    seen: Arc<Mutex<Vec<u64>>>,
    lines: Mutex<Vec<Peer>>,
}

/// How the plugin answers.
#[derive(Clone, Copy)]
enum Answers {
    AtOnce,
    Never,
}

fn status(state: ReportedState, pid: Option<u32>) -> Status {
    Status {
        state,
        since: SystemTime::now(),
        started_at: None,
        error: None,
        restarts: 0,
        next_attempt_at: None,
        pid,
    }
}

impl Bed {
    fn new(most: usize) -> Self {
        let (tracker, gone) = (TaskTracker::new(), CancellationToken::new());
        let (line_out, line) = watch::channel(None);
        let board = Arc::new(StatusBoard::new());
        board.publish(status(ReportedState::Connecting, None));
        let patience = Patience::new(Duration::from_secs(30), tracker.clone(), gone.clone());
        let outbox = Arc::new(Outbox {
            id: InstallationId::new(),
            most,
            line,
            board: Arc::clone(&board),
            patience,
            tracker: tracker.clone(),
            runtime: Handle::current(),
            gone: gone.clone(),
            state: Mutex::default(),
        });
        Self {
            outbox,
            line_out,
            board,
            tracker,
            gone,
            seen: Arc::default(),
            lines: Mutex::default(),
        }
    }

    /// A line to the plugin, in place of the one before.
    fn dial(&self, answers: Answers) -> (Peer, memory::Cut) {
        let (here, there, cut) = memory::pair();
        let seen = Arc::clone(&self.seen);
        let event = move |_call, params: Option<RawJson>| {
            let seen = Arc::clone(&seen);
            async move {
                let params: serde_json::Value =
                    serde_json::from_str(params.unwrap().get()).unwrap();
                seen.lock().unwrap().push(params["n"].as_u64().unwrap());
                match answers {
                    Answers::AtOnce => Ok(RawJson::of(&json!({"ok": true})).unwrap()),
                    Answers::Never => std::future::pending().await,
                }
            }
        };
        let options = Options {
            heartbeat: None,
            ..Options::default()
        };
        let plugin = Arc::new(Methods::new().raw("event", event));
        let far = open(there, plugin, (), options.clone(), &self.tracker);
        let near = open(here, Arc::new(Methods::new()), (), options, &self.tracker);
        // The plugin hangs up when its line has ended, and not before.
        self.tracker.spawn(async move {
            far.closed().await;
        });
        self.lines.lock().unwrap().push(near.uncounted());
        self.line_out.send_replace(Some(near.clone()));
        self.board.publish(status(ReportedState::Active, None));
        (near, cut)
    }

    fn offer(&self, n: u64) -> bool {
        let params = to_raw_value(&json!({"n": n})).unwrap();
        let event = Prepared::new("event", Some(params));
        self.outbox.offer(&Arc::new(event))
    }

    fn seen(&self) -> Vec<u64> {
        self.seen.lock().unwrap().clone()
    }

    async fn end(self) {
        self.gone.cancel();
        for line in self.lines.into_inner().unwrap() {
            line.close(CloseCause::closed());
        }
        self.tracker.close();
        self.tracker.wait().await;
    }
}

/// As long as a machine takes that has nothing else to do.
async fn settle() {
    sleep(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn events_go_in_order_and_none_waits_for_a_task() {
    let bed = Bed::new(1000);
    let (peer, _cut) = bed.dial(Answers::AtOnce);
    let tasks = bed.tracker.len();
    for n in 0..500 {
        assert!(bed.offer(n));
    }
    // One more, which looks at those that wait when their time is over.
    assert_eq!(bed.tracker.len(), tasks + 1);
    settle().await;
    assert_eq!(bed.seen(), (0..500).collect::<Vec<_>>());
    assert_eq!(peer.open_calls(), 0);
    bed.end().await;
}

#[tokio::test(start_paused = true)]
async fn they_wait_for_a_line_as_many_as_may() {
    let bed = Bed::new(8);
    let taken = (0..20).filter(|n| bed.offer(*n)).count();
    assert_eq!(taken, 9, "one at hand, and eight behind it");
    settle().await;
    let (_peer, _cut) = bed.dial(Answers::AtOnce);
    settle().await;
    assert_eq!(bed.seen(), (0..9).collect::<Vec<_>>());
    assert!(bed.offer(9));
    settle().await;
    assert_eq!(bed.seen().last(), Some(&9));
    bed.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_not_wanted_any_more_is_dropped() {
    let bed = Bed::new(8);
    let (peer, _cut) = bed.dial(Answers::Never);
    for n in 0..5 {
        assert!(bed.offer(n));
    }
    settle().await;
    peer.close(CloseCause::closed());
    bed.line_out.send_replace(None);
    bed.board.publish(status(ReportedState::Inactive, None));
    settle().await;
    let (_peer, _cut) = bed.dial(Answers::AtOnce);
    assert!(bed.offer(5));
    settle().await;
    assert_eq!(bed.seen(), [0, 5]);
    bed.end().await;
}

#[tokio::test(start_paused = true)]
async fn one_that_a_line_broke_under_comes_again_unless_its_process_ended() {
    for (next, expected) in [(Some(1), vec![0, 0, 1]), (Some(2), vec![0, 1])] {
        let bed = Bed::new(8);
        let (_peer, cut) = bed.dial(Answers::Never);
        bed.board.publish(status(ReportedState::Active, Some(1)));
        assert!(bed.offer(0) && bed.offer(1));
        settle().await;
        cut.cut();
        bed.line_out.send_replace(None);
        bed.board.publish(status(ReportedState::Connecting, next));
        settle().await;
        let (_peer, _cut) = bed.dial(Answers::AtOnce);
        bed.board.publish(status(ReportedState::Active, next));
        settle().await;
        assert_eq!(bed.seen(), expected);
        bed.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn each_has_its_time_and_then_the_next() {
    let bed = Bed::new(8);
    let (peer, _cut) = bed.dial(Answers::Never);
    for n in 0..3 {
        assert!(bed.offer(n));
    }
    for n in 1..=3 {
        settle().await;
        assert_eq!(bed.seen(), (0..n).collect::<Vec<_>>());
        assert_eq!(peer.open_calls(), 1);
        sleep(Duration::from_secs(29)).await;
    }
    settle().await;
    assert_eq!(peer.open_calls(), 0);
    // One that begins after the others has all of its time.
    assert!(bed.offer(3));
    sleep(Duration::from_secs(29)).await;
    assert_eq!(peer.open_calls(), 1);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(peer.open_calls(), 0);
    bed.end().await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_kept_for_a_session_that_has_ended() {
    let bed = Bed::new(8);
    for n in 0..5 {
        assert!(bed.offer(n));
    }
    bed.gone.cancel();
    settle().await;
    assert!(!bed.offer(5));
    assert!(bed.outbox.lock().waiting.is_empty());
    bed.end().await;
}

/// However often the line breaks: in order, none left out, and none more than once for each line
/// that broke.
#[tokio::test(start_paused = true)]
async fn lines_that_break_cost_nothing_but_repetition() {
    for seed in 1..40u64 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut random = move |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        let bed = Bed::new(10_000);
        let mut line: Option<(Peer, memory::Cut)> = None;
        let mut events = 0;
        // Each carries at least one event whole: one that two lines break under is lost.
        let mut lines = 0;
        while events < 300 {
            for _ in 0..random(20) {
                assert!(bed.offer(events));
                events += 1;
            }
            match line.take() {
                Some((_peer, cut)) if random(3) == 0 => {
                    settle().await;
                    assert!(bed.offer(events));
                    events += 1;
                    for _ in 0..random(12) {
                        tokio::task::yield_now().await;
                    }
                    cut.cut();
                }
                Some(open) => line = Some(open),
                None => {
                    bed.line_out.send_replace(None);
                    line = Some(bed.dial(Answers::AtOnce));
                    lines += 1;
                }
            }
        }
        let _line = match line {
            Some(line) => line,
            None => bed.dial(Answers::AtOnce),
        };
        settle().await;
        let mut seen = bed.seen();
        assert!(seen.is_sorted(), "seed {seed}: {seen:?}");
        let repeated = seen.len();
        seen.dedup();
        assert!(repeated - seen.len() <= lines);
        assert_eq!(seen, (0..events).collect::<Vec<_>>(), "seed {seed}");
        bed.end().await;
    }
}
