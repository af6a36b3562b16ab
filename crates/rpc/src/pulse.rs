//! When to ask for a sign of life, and when to give up. No clock of its own: time is passed in.

use std::time::Duration;

use tokio::time::Instant;

use crate::options::Heartbeat;

/// The heartbeat of one line.
#[derive(Debug)]
pub(crate) struct Pulse {
    heartbeat: Heartbeat,
    heard: Instant,
    /// When it was last asked for a sign of life, if since the last thing heard.
    asked: Option<Instant>,
}

/// What is to be done now.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Beat {
    /// Nothing until the next time.
    Rest,
    /// Ask for a sign of life.
    Ask,
    /// Give up.
    Dead,
}

impl Pulse {
    pub(crate) fn new(heartbeat: Heartbeat, now: Instant) -> Self {
        Self {
            heartbeat,
            heard: now,
            asked: None,
        }
    }

    /// Anything at all arrived.
    pub(crate) fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.asked = None;
    }

    /// When [`beat`](Self::beat) is next due.
    pub(crate) fn due(&self) -> Instant {
        let ask = later(self.asked.unwrap_or(self.heard), self.heartbeat.every);
        ask.min(later(self.heard, self.heartbeat.dead_after))
    }

    pub(crate) fn beat(&mut self, now: Instant) -> Beat {
        if now >= later(self.heard, self.heartbeat.dead_after) {
            Beat::Dead
        } else if now >= self.due() {
            self.asked = Some(now);
            Beat::Ask
        } else {
            Beat::Rest
        }
    }
}

/// That much later; for what is beyond the clock, such as [`Duration::MAX`], never.
fn later(than: Instant, by: Duration) -> Instant {
    const NEVER: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);
    than.checked_add(by.min(NEVER)).unwrap_or(than)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_asked_twice_and_then_given_up() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut pulse = Pulse::new(Heartbeat::default(), start);
        assert_eq!(pulse.due(), at(10));
        assert_eq!(pulse.beat(at(9)), Beat::Rest);
        assert_eq!(pulse.beat(at(10)), Beat::Ask);
        assert_eq!(pulse.due(), at(20));
        assert_eq!(pulse.beat(at(20)), Beat::Ask);
        assert_eq!(pulse.due(), at(25));
        assert_eq!(pulse.beat(at(25)), Beat::Dead);
    }

    #[test]
    fn whoever_speaks_is_not_asked() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut pulse = Pulse::new(Heartbeat::default(), start);
        for second in 1..100 {
            pulse.heard(at(second));
            assert_eq!(pulse.beat(at(second + 1)), Beat::Rest);
            assert_eq!(pulse.due(), at(second + 10));
        }
    }

    #[test]
    fn a_sign_of_life_starts_anew() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut pulse = Pulse::new(Heartbeat::default(), start);
        assert_eq!(pulse.beat(at(24)), Beat::Ask);
        pulse.heard(at(24));
        assert_eq!(pulse.beat(at(25)), Beat::Rest);
        assert_eq!(pulse.due(), at(34));
    }
}
