//! When to ask for a sign of life, and when to give up. No clock of its own: time is passed in.

use std::time::Duration;

use tokio::time::Instant;

use crate::options::Heartbeat;

/// The heartbeat of one line.
#[derive(Debug)]
pub(crate) struct Pulse {
    heartbeat: Heartbeat,
    heard: Instant,
    /// What was done last, and when, if since the last thing heard.
    done: Option<(Instant, Beat)>,
}

/// What is to be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
            done: None,
        }
    }

    /// Something arrived, and this is when it last did.
    pub(crate) fn heard(&mut self, at: Instant) {
        if at > self.heard {
            self.heard = at;
            self.done = None;
        }
    }

    /// When [`beat`](Self::beat) is next due.
    pub(crate) fn due(&self) -> Instant {
        let Heartbeat { every, dead_after } = self.heartbeat;
        match self.done {
            // Whoever was to give it up knows better, or has not come to it.
            Some((at, Beat::Dead)) => later(at, self.shortest()),
            Some((at, _)) => later(at, every).min(later(self.heard, dead_after)),
            None => later(self.heard, self.shortest()),
        }
    }

    pub(crate) fn beat(&mut self, now: Instant) -> Beat {
        let beat = if now < self.due() {
            return Beat::Rest;
        } else if is_dead(&self.heartbeat, self.heard, now) {
            Beat::Dead
        } else {
            Beat::Ask
        };
        self.done = Some((now, beat));
        beat
    }

    /// How late a beat may come: a sixteenth of the shorter time, half a second at most. A power
    /// of two in milliseconds, so that what is rounded to it falls together for all.
    pub(crate) fn slack(&self) -> Duration {
        const MOST: u64 = 512;
        let sixteenth = u64::try_from(self.shortest().as_millis() / 16).unwrap_or(MOST);
        let most = sixteenth.clamp(1, MOST);
        Duration::from_millis(1 << most.ilog2())
    }

    fn shortest(&self) -> Duration {
        self.heartbeat.every.min(self.heartbeat.dead_after)
    }
}

/// Whether a line that was last heard then is to be given up now.
pub(crate) fn is_dead(heartbeat: &Heartbeat, heard: Instant, now: Instant) -> bool {
    now >= later(heard, heartbeat.dead_after)
}

/// That much later; for what is beyond the clock, such as [`Duration::MAX`], never.
pub(crate) fn later(than: Instant, by: Duration) -> Instant {
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

    /// The last thing heard is noted by somebody else, and read again at every beat.
    #[test]
    fn what_was_heard_before_is_not_heard_again() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut pulse = Pulse::new(Heartbeat::default(), start);
        pulse.heard(at(3));
        assert_eq!(pulse.beat(at(13)), Beat::Ask);
        pulse.heard(at(3));
        assert_eq!(pulse.due(), at(23));
        assert_eq!(pulse.beat(at(23)), Beat::Ask);
        assert_eq!(pulse.due(), at(28));
    }

    /// Whoever reads may find at the last moment that there is something.
    #[test]
    fn a_line_that_was_given_up_and_lives_is_beaten_on() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut pulse = Pulse::new(Heartbeat::default(), start);
        assert_eq!(pulse.beat(at(25)), Beat::Dead);
        assert_eq!(pulse.due(), at(35), "not at once");
        pulse.heard(at(26));
        assert_eq!(pulse.due(), at(36));
        assert_eq!(pulse.beat(at(36)), Beat::Ask);
    }

    #[test]
    fn the_longest_time_means_never() {
        let start = Instant::now();
        let year = start + Duration::from_secs(365 * 24 * 60 * 60);
        let (never, soon) = (Duration::MAX, Duration::from_secs(1));
        for (every, dead_after, beat) in [
            (never, never, Beat::Rest),
            (soon, never, Beat::Ask),
            (never, soon, Beat::Dead),
        ] {
            let mut pulse = Pulse::new(Heartbeat { every, dead_after }, start);
            assert_eq!(pulse.beat(year), beat);
        }
    }

    #[test]
    fn beats_may_be_a_sixteenth_late() {
        for (every, slack) in [(0, 1), (20, 1), (100, 4), (1_000, 32), (10_000, 512)] {
            let every = Duration::from_millis(every);
            let dead_after = Duration::MAX;
            let pulse = Pulse::new(Heartbeat { every, dead_after }, Instant::now());
            assert_eq!(pulse.slack(), Duration::from_millis(slack), "{every:?}");
        }
        let (every, dead_after) = (Duration::MAX, Duration::MAX);
        let never = Pulse::new(Heartbeat { every, dead_after }, Instant::now());
        assert_eq!(never.slack(), Duration::from_millis(512));
    }
}
