//! One event for one installation: what an attempt came to, and what is next.

use std::time::Duration;

use crate::config::Events;

/// What became of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was acknowledged.
    Taken,
    /// It was refused, or not acknowledged in time.
    Refused(String),
    /// The line ended while it was out: whether the plugin had it, nobody knows.
    Broken(String),
    /// It can never be sent to this plugin.
    Impossible(String),
    /// There was no line to send it on.
    NotSent,
}

/// What is next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Act {
    /// This one is done with.
    Advance,
    /// The same again, after a while.
    WaitFor(Duration),
    /// The same again, as soon as there is a line.
    WhenActive,
    /// It is laid aside, and the next one has its turn.
    Park {
        /// After how many attempts.
        attempts: u32,
        /// What the last one came to.
        reason: String,
    },
}

/// The attempts at the event whose turn it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Attempts {
    made: u32,
    refused: u32,
}

/// The longest reason that is kept, in bytes.
const REASON: usize = 1024;

impl Attempts {
    /// How many there were.
    pub(super) fn made(&self) -> u32 {
        self.made
    }

    /// Takes what an attempt came to. After [`Act::Advance`] and [`Act::Park`] it counts for the next
    /// event, from nothing.
    ///
    /// An event under which the line breaks counts too, so that one that kills the plugin is parked
    /// in the end; it brings no delay, since the plugin's next start has its own.
    pub(super) fn on(&mut self, outcome: Outcome, patience: &Events) -> Act {
        let (reason, next) = match outcome {
            Outcome::NotSent => return Act::WhenActive,
            Outcome::Taken => {
                *self = Self::default();
                return Act::Advance;
            }
            Outcome::Impossible(reason) => (reason, None),
            Outcome::Broken(reason) => (reason, Some(Act::WhenActive)),
            Outcome::Refused(reason) => {
                let doubled = 1u32 << self.refused.min(31);
                let delay = patience.retry_delay.saturating_mul(doubled);
                self.refused += 1;
                (reason, Some(Act::WaitFor(delay.min(patience.retry_cap))))
            }
        };
        self.made += 1;
        match next {
            Some(next) if self.made < patience.park_after.max(1) => next,
            _ => {
                let attempts = self.made;
                *self = Self::default();
                Act::Park {
                    attempts,
                    reason: short(reason),
                }
            }
        }
    }

    /// The event whose turn it was is not wanted any more.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}

/// A reason that fits the database: a plugin may say anything.
pub(super) fn short(mut reason: String) -> String {
    if reason.len() > REASON {
        let end = (0..=REASON)
            .rev()
            .find(|at| reason.is_char_boundary(*at))
            .unwrap_or_default();
        reason.truncate(end);
        reason.push('…');
    }
    reason
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patience() -> Events {
        Events {
            retry_delay: Duration::from_secs(1),
            retry_cap: Duration::from_secs(5),
            park_after: 5,
            ..Events::default()
        }
    }

    fn refused() -> Outcome {
        Outcome::Refused("no".to_owned())
    }

    #[test]
    fn refusals_wait_ever_longer_and_then_the_event_is_parked() {
        let mut attempts = Attempts::default();
        for seconds in [1, 2, 4, 5] {
            let act = attempts.on(refused(), &patience());
            assert_eq!(act, Act::WaitFor(Duration::from_secs(seconds)));
        }
        let parked = Act::Park {
            attempts: 5,
            reason: "no".to_owned(),
        };
        assert_eq!(attempts.on(refused(), &patience()), parked);
        // The next event begins from nothing.
        assert_eq!(
            attempts.on(refused(), &patience()),
            Act::WaitFor(Duration::from_secs(1))
        );
        assert_eq!(attempts.on(Outcome::Taken, &patience()), Act::Advance);
        assert_eq!(attempts, Attempts::default());
    }

    #[test]
    fn an_event_that_breaks_every_line_is_parked_without_delays() {
        let mut attempts = Attempts::default();
        for made in 1..5 {
            // Waiting for a line is no attempt, however often it is looked for.
            assert_eq!(attempts.on(Outcome::NotSent, &patience()), Act::WhenActive);
            let act = attempts.on(Outcome::Broken("gone".to_owned()), &patience());
            assert_eq!((act, attempts.made()), (Act::WhenActive, made));
        }
        let act = attempts.on(Outcome::Broken("gone".to_owned()), &patience());
        assert!(matches!(act, Act::Park { attempts: 5, .. }), "{act:?}");
    }

    #[test]
    fn what_can_never_be_sent_is_parked_at_once() {
        let act = Attempts::default().on(Outcome::Impossible("too large".into()), &patience());
        assert!(matches!(act, Act::Park { attempts: 1, .. }), "{act:?}");
    }

    #[test]
    fn broken_lines_do_not_make_the_delays_longer() {
        let mut attempts = Attempts::default();
        attempts.on(Outcome::Broken("gone".to_owned()), &patience());
        attempts.on(Outcome::Broken("gone".to_owned()), &patience());
        assert_eq!(
            attempts.on(refused(), &patience()),
            Act::WaitFor(Duration::from_secs(1))
        );
    }

    #[test]
    fn one_attempt_is_made_whatever_is_configured() {
        let never = Events {
            park_after: 0,
            ..patience()
        };
        let act = Attempts::default().on(refused(), &never);
        assert!(matches!(act, Act::Park { attempts: 1, .. }), "{act:?}");
    }

    #[test]
    fn reasons_are_cut_between_characters() {
        let cut = short("ä".repeat(2000));
        assert!(cut.len() <= REASON + '…'.len_utf8() && cut.ends_with("ä…"));
        assert_eq!(short("no".to_owned()), "no");
    }
}
