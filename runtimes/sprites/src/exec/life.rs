//! The state machine of one process: its connection, and its end. No clock, no I/O: time is passed in, and what is to
//! be done comes out.
//!
//! | connection | a message | silence, or broken | found again | not there any more | its end |
//! |---|---|---|---|---|---|
//! | up | it lives | down, search | - | a moment for its end, then over | over |
//! | down | - | - | up | over | over |
//!
//! Beside that runs the stop: asked -> (grace) -> killing, again and again -> given up.

use std::time::Duration;

use tokio::time::Instant;

use crate::client::Killed;
use crate::settings::Timing;

/// Time for the message of an end of which somebody else knows already.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// Between two kills.
const AGAIN: Duration = Duration::from_secs(3);

/// What is wanted of the process. Grows only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wanted {
    Running,
    Stopped,
    Killed,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Input {
    /// Something came over the connection.
    Heard,
    /// What the process wrote came, or waits for its reader.
    Output,
    /// It ended with this code.
    Exit(i64),
    /// The connection is gone.
    Broken,
    /// There is a new one.
    Found,
    /// The search found that there is no such process any more, or found nothing.
    NotFound,
    /// The service was asked whether it is there.
    Checked {
        there: bool,
    },
    /// What became of a kill.
    Killed(Killed),
    Want(Wanted),
    Due,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    Ping,
    /// Look for the process, on a new connection.
    Search,
    /// Ask the service whether it is there.
    Check,
    Interrupt,
    Kill,
    Over(Over),
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    Exit(i64),
    /// It is gone, or cannot be found, and nobody knows the code.
    Lost,
    /// It could not be killed in time.
    Unkillable,
}

#[derive(Debug)]
pub(super) struct Life {
    timing: Timing,
    grace: Duration,
    link: Link,
    stop: Stop,
    /// When it is over at the latest, and the code, where a kill told it.
    ending: Option<(Instant, Over)>,
}

#[derive(Debug)]
enum Link {
    Up {
        heard: Instant,
        ping: Instant,
        check: Instant,
    },
    Down,
}

#[derive(Debug)]
enum Stop {
    No,
    Asked { kill: Instant },
    Killing { again: Instant, until: Instant },
}

impl Life {
    pub(super) fn new(timing: Timing, grace: Duration, now: Instant) -> Self {
        Self {
            link: Link::up(&timing, now),
            timing,
            grace,
            stop: Stop::No,
            ending: None,
        }
    }

    /// When to say [`Input::Due`] at the latest.
    pub(super) fn due(&self) -> Option<Instant> {
        let link = match &self.link {
            Link::Up { heard, ping, check } => {
                Some((*heard + self.timing.silence).min(*ping).min(*check))
            }
            Link::Down => None,
        };
        let stop = match &self.stop {
            Stop::No => None,
            Stop::Asked { kill } => Some(*kill),
            Stop::Killing { again, until } => Some(*again.min(until)),
        };
        let ending = self.ending.map(|(at, _)| at);
        [link, stop, ending].into_iter().flatten().min()
    }

    pub(super) fn on(&mut self, input: Input, now: Instant) -> Vec<Act> {
        match input {
            Input::Heard | Input::Output => {
                if let Link::Up { heard, .. } = &mut self.link {
                    *heard = now;
                }
                if let (Input::Output, Some((at, _))) = (input, &mut self.ending) {
                    // It is over, but not all of it has been read.
                    *at = now + LAST_WORDS;
                }
                Vec::new()
            }
            Input::Exit(code) => vec![Act::Over(Over::Exit(code))],
            Input::Broken => match self.link {
                Link::Up { .. } => self.down(),
                Link::Down => Vec::new(),
            },
            Input::Found => {
                self.link = Link::up(&self.timing, now);
                Vec::new()
            }
            Input::NotFound | Input::Killed(Killed::Gone) if matches!(self.link, Link::Down) => {
                vec![Act::Over(self.last_word())]
            }
            Input::NotFound | Input::Checked { there: false } | Input::Killed(Killed::Gone) => {
                self.ending.get_or_insert((now + LAST_WORDS, Over::Lost));
                Vec::new()
            }
            Input::Killed(Killed::Ended(code)) => {
                self.ending = Some((now + LAST_WORDS, Over::Exit(code)));
                Vec::new()
            }
            Input::Checked { there: true } | Input::Killed(Killed::Sent) => Vec::new(),
            Input::Want(wanted) => self.want(wanted, now),
            Input::Due => self.on_due(now),
        }
    }

    fn want(&mut self, wanted: Wanted, now: Instant) -> Vec<Act> {
        match (wanted, &self.stop) {
            (Wanted::Stopped, Stop::No) => {
                self.stop = Stop::Asked {
                    kill: now + self.grace,
                };
                vec![Act::Interrupt]
            }
            (Wanted::Killed, Stop::No | Stop::Asked { .. }) => {
                self.stop = Stop::Killing {
                    again: now + AGAIN,
                    until: now + self.timing.kill,
                };
                vec![Act::Kill]
            }
            _ => Vec::new(),
        }
    }

    fn on_due(&mut self, now: Instant) -> Vec<Act> {
        if let Some((at, over)) = self.ending
            && at <= now
        {
            return vec![Act::Over(over)];
        }
        let mut acts = Vec::new();
        match &mut self.stop {
            Stop::Killing { until, .. } if *until <= now => {
                return vec![Act::Over(Over::Unkillable)];
            }
            Stop::Killing { again, .. } if *again <= now => {
                *again = now + AGAIN;
                acts.push(Act::Kill);
            }
            Stop::Asked { kill } if *kill <= now => acts = self.want(Wanted::Killed, now),
            Stop::No | Stop::Asked { .. } | Stop::Killing { .. } => {}
        }
        if let Link::Up { heard, ping, check } = &mut self.link {
            if *heard + self.timing.silence <= now {
                acts.extend(self.down());
                return acts;
            }
            if *ping <= now {
                *ping = now + self.timing.ping;
                acts.push(Act::Ping);
            }
            if *check <= now {
                *check = now + self.timing.check;
                acts.push(Act::Check);
            }
        }
        acts
    }

    fn down(&mut self) -> Vec<Act> {
        self.link = Link::Down;
        // Nothing more is to come of it.
        match self.ending {
            Some((_, over)) => vec![Act::Over(over)],
            None => vec![Act::Search],
        }
    }

    fn last_word(&self) -> Over {
        self.ending.map_or(Over::Lost, |(_, over)| over)
    }
}

impl Link {
    fn up(timing: &Timing, now: Instant) -> Self {
        Self::Up {
            heard: now,
            ping: now + timing.ping,
            check: now + timing.check,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(3);

    struct Story {
        life: Life,
        now: Instant,
    }

    impl Story {
        fn new() -> Self {
            let now = Instant::now();
            Self {
                life: Life::new(Timing::default(), GRACE, now),
                now,
            }
        }

        fn on(&mut self, input: Input) -> Vec<Act> {
            self.life.on(input, self.now)
        }

        /// Whatever becomes due within these seconds, with the seconds at which it did.
        fn pass(&mut self, seconds: u64) -> Vec<(u64, Act)> {
            let start = self.now;
            let end = start + Duration::from_secs(seconds);
            let mut all = Vec::new();
            while let Some(due) = self.life.due().filter(|due| *due <= end) {
                self.now = due.max(self.now);
                let at = (self.now - start).as_secs();
                let acts = self.on(Input::Due);
                assert!(!acts.is_empty(), "due for nothing at {at} s");
                let over = acts.iter().any(|act| matches!(act, Act::Over(_)));
                all.extend(acts.into_iter().map(|act| (at, act)));
                if over {
                    return all;
                }
            }
            self.now = end;
            all
        }
    }

    #[test]
    fn silence_is_noticed_within_thirty_seconds() {
        let mut story = Story::new();
        assert_eq!(
            story.pass(30),
            [(10, Act::Ping), (20, Act::Ping), (25, Act::Search)]
        );
        assert_eq!(story.pass(600), [], "the search has its own end");
        assert_eq!(story.on(Input::Broken), []);
        assert_eq!(story.on(Input::Found), []);
        assert_eq!(story.pass(10), [(10, Act::Ping)]);
    }

    #[test]
    fn a_line_that_speaks_stays_up_and_is_asked_about() {
        let mut story = Story::new();
        let mut checks = 0;
        for _ in 0..20 {
            let acts = story.pass(10);
            checks += acts.iter().filter(|(_, act)| *act == Act::Check).count();
            assert!(
                acts.iter()
                    .all(|(_, act)| matches!(act, Act::Ping | Act::Check)),
                "{acts:?}"
            );
            story.on(Input::Heard);
        }
        assert_eq!(checks, 3);
        // The message of its end was lost.
        story.on(Input::Checked { there: true });
        story.on(Input::Checked { there: false });
        assert_eq!(story.pass(5).last(), Some(&(2, Act::Over(Over::Lost))));
    }

    #[test]
    fn a_stop_interrupts_once_kills_again_and_again_and_ends() {
        let mut story = Story::new();
        assert_eq!(story.on(Input::Want(Wanted::Stopped)), [Act::Interrupt]);
        assert_eq!(story.on(Input::Want(Wanted::Stopped)), []);
        let acts = story.pass(60);
        let kills = acts.iter().filter(|(_, act)| *act == Act::Kill).count();
        assert_eq!(
            acts.iter().find(|(_, act)| *act == Act::Kill),
            Some(&(3, Act::Kill))
        );
        assert!(kills > 5, "{acts:?}");
        assert_eq!(acts.last(), Some(&(23, Act::Over(Over::Unkillable))));
    }

    #[test]
    fn an_exit_in_time_spares_the_kill() {
        let mut story = Story::new();
        story.on(Input::Want(Wanted::Stopped));
        assert_eq!(story.pass(2), []);
        assert_eq!(story.on(Input::Exit(0)), [Act::Over(Over::Exit(0))]);
    }

    #[test]
    fn a_kill_that_tells_the_code_replaces_the_message() {
        let mut story = Story::new();
        assert_eq!(story.on(Input::Want(Wanted::Killed)), [Act::Kill]);
        story.on(Input::Killed(Killed::Ended(137)));
        story.on(Input::Killed(Killed::Gone));
        assert_eq!(story.pass(1), []);
        story.on(Input::Output);
        assert_eq!(story.pass(1), [], "what it wrote is still being read");
        assert_eq!(story.on(Input::Broken), [Act::Over(Over::Exit(137))]);
        let mut story = Story::new();
        story.on(Input::Want(Wanted::Killed));
        story.on(Input::Killed(Killed::Gone));
        assert_eq!(story.pass(2), [(2, Act::Over(Over::Lost))]);
    }

    #[test]
    fn what_is_not_found_is_over() {
        let mut story = Story::new();
        assert_eq!(story.on(Input::Broken), [Act::Search]);
        assert_eq!(story.on(Input::NotFound), [Act::Over(Over::Lost)]);
        let mut story = Story::new();
        story.on(Input::Broken);
        assert_eq!(story.on(Input::Want(Wanted::Killed)), [Act::Kill]);
        assert_eq!(
            story.on(Input::Killed(Killed::Gone)),
            [Act::Over(Over::Lost)]
        );
    }
}
