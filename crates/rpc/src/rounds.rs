//! Whose heartbeat is due when, for many lines. A queue without a clock: time is passed in.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use tokio::time::Instant;

use crate::options::Heartbeat;
use crate::pulse::{Beat, Pulse};

/// The lines of one heart, by when they are due.
///
/// Times are rounded up to a grid ([`Pulse::slack`]), so that lines that are due close together
/// are due at once.
#[derive(Debug)]
pub(crate) struct Rounds<T> {
    /// Where the grid begins.
    begun: Instant,
    serial: u64,
    members: HashMap<u64, Member<T>>,
    queue: BTreeSet<(Instant, u64)>,
}

#[derive(Debug)]
struct Member<T> {
    line: T,
    pulse: Pulse,
    due: Instant,
}

impl<T> Rounds<T> {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            begun: now,
            serial: 0,
            members: HashMap::new(),
            queue: BTreeSet::new(),
        }
    }

    /// Takes a line in, heard just now; the number is for [`leave`](Self::leave).
    pub(crate) fn join(&mut self, line: T, heartbeat: Heartbeat, now: Instant) -> u64 {
        self.serial += 1;
        let number = self.serial;
        let pulse = Pulse::new(heartbeat, now);
        let due = rounded(self.begun, &pulse);
        self.members.insert(number, Member { line, pulse, due });
        self.queue.insert((due, number));
        number
    }

    /// Lets a line go. One that has gone is fine.
    pub(crate) fn leave(&mut self, number: u64) {
        if let Some(member) = self.members.remove(&number) {
            self.queue.remove(&(member.due, number));
        }
        if self.members.is_empty() {
            // What a crowd has left behind.
            self.members.shrink_to_fit();
        }
    }

    /// When [`go`](Self::go) has something to do; `None` where there is no line.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.queue.first().map(|(due, _)| *due)
    }

    /// Looks at all lines that are due, and says what is to be done for those for which something
    /// is. `heard` says when a line last gave a sign of life.
    pub(crate) fn go(
        &mut self,
        now: Instant,
        heard: impl Fn(&T) -> Instant,
        mut act: impl FnMut(&T, Beat),
    ) {
        while let Some(&(due, number)) = self.queue.first() {
            if due > now {
                return;
            }
            self.queue.pop_first();
            let Some(member) = self.members.get_mut(&number) else {
                continue;
            };
            member.pulse.heard(heard(&member.line));
            let beat = member.pulse.beat(now);
            if beat != Beat::Rest {
                act(&member.line, beat);
            }
            // Never now again, or this would not end.
            let soonest = now + Duration::from_millis(1);
            member.due = rounded(self.begun, &member.pulse).max(soonest);
            self.queue.insert((member.due, number));
        }
    }
}

fn rounded(begun: Instant, pulse: &Pulse) -> Instant {
    let due = pulse.due();
    let (since, slack) = (
        due.duration_since(begun).as_nanos(),
        pulse.slack().as_nanos(),
    );
    let over = since % slack;
    if over == 0 {
        return due;
    }
    let wait = u64::try_from(slack - over).expect("less than the slack");
    due + Duration::from_nanos(wait)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn rounds(start: Instant) -> Rounds<&'static str> {
        Rounds::new(start)
    }

    /// What one round has to do, when nothing was heard since `heard`.
    fn go<T: Copy>(rounds: &mut Rounds<T>, now: Instant, heard: Instant) -> Vec<(T, Beat)> {
        let mut acts = Vec::new();
        rounds.go(now, |_| heard, |line, beat| acts.push((*line, beat)));
        acts
    }

    #[test]
    fn lines_that_are_due_close_together_are_due_at_once() {
        let start = Instant::now();
        let ms = |ms| start + Duration::from_millis(ms);
        let mut rounds = Rounds::new(start);
        for line in 0..1000 {
            rounds.join(line, Heartbeat::default(), ms(line));
        }
        let mut woken = 0;
        let mut asked = 0;
        while let Some(due) = rounds.due()
            && due < ms(15_000)
        {
            woken += 1;
            asked += go(&mut rounds, due, start).len();
        }
        assert_eq!(asked, 1000);
        assert!(woken <= 3, "{woken} wake-ups for a second of lines");
    }

    #[test]
    fn a_line_is_asked_no_sooner_than_it_should_and_a_sixteenth_later_at_most() {
        let start = Instant::now();
        for offset in (0..3000).step_by(7) {
            let now = start + Duration::from_millis(offset);
            let mut rounds = rounds(start);
            rounds.join("a", Heartbeat::default(), now);
            for (beat, seconds) in [(Beat::Ask, 10), (Beat::Ask, 20), (Beat::Dead, 25)] {
                let due = rounds.due().unwrap();
                let late = due.duration_since(now + Duration::from_secs(seconds));
                assert!(due >= now + Duration::from_secs(seconds));
                // The second question is as late as the first was, and as it is itself.
                assert!(late <= Duration::from_millis(1024), "{late:?}");
                assert_eq!(go(&mut rounds, due, now), [("a", beat)]);
            }
        }
    }

    #[test]
    fn whoever_speaks_is_passed_over() {
        let start = Instant::now();
        let mut rounds = rounds(start);
        rounds.join("a", Heartbeat::default(), start);
        for second in 1..100 {
            let now = start + Duration::from_secs(second);
            assert_eq!(go(&mut rounds, now, now), []);
        }
        // Looked at once in ten seconds, not for each thing heard.
        let due = rounds.due().unwrap() - start;
        assert!((100..=110).contains(&due.as_secs()), "{due:?}");
    }

    #[test]
    fn whoever_leaves_is_not_looked_at_and_the_last_leaves_nothing() {
        let start = Instant::now();
        let mut rounds = rounds(start);
        let a = rounds.join("a", Heartbeat::default(), start);
        let b = rounds.join("b", Heartbeat::default(), start);
        rounds.leave(a);
        rounds.leave(a);
        let later = start + Duration::from_secs(11);
        assert_eq!(go(&mut rounds, later, start), [("b", Beat::Ask)]);
        rounds.leave(b);
        assert_eq!(rounds.due(), None);
        assert!(rounds.queue.is_empty() && rounds.members.is_empty());
    }

    #[test]
    fn each_line_has_its_own_times() {
        let start = Instant::now();
        let mut rounds = rounds(start);
        let every = Duration::from_millis(100);
        let dead_after = Duration::from_millis(250);
        rounds.join("slow", Heartbeat::default(), start);
        rounds.join("quick", Heartbeat { every, dead_after }, start);
        let now = start + every + Duration::from_millis(5);
        assert_eq!(go(&mut rounds, now, start), [("quick", Beat::Ask)]);
        let now = start + dead_after + Duration::from_millis(5);
        assert_eq!(go(&mut rounds, now, start), [("quick", Beat::Dead)]);
    }

    /// No time at all was a hot loop: it is due again as soon as it is done.
    #[test]
    fn the_shortest_time_is_once_in_a_millisecond() {
        let start = Instant::now();
        let mut rounds = rounds(start);
        let zero = Heartbeat {
            every: Duration::ZERO,
            dead_after: Duration::ZERO,
        };
        rounds.join("a", zero, start);
        assert_eq!(go(&mut rounds, start, start), [("a", Beat::Dead)]);
        assert_eq!(rounds.due(), Some(start + Duration::from_millis(1)));
    }

    /// Random walks against a model that looks at every line every millisecond: nobody is asked
    /// or given up too soon, or too late, and nobody who left.
    #[test]
    fn random_walks_agree_with_a_clock_for_each_line() {
        let start = Instant::now();
        let heartbeat = Heartbeat {
            every: Duration::from_millis(64),
            dead_after: Duration::from_millis(160),
        };
        for seed in 1..60u64 {
            let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            let mut random = move |below: u64| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state % below
            };
            let mut rounds = Rounds::new(start);
            // Its number, when it was last heard, and whether it was given up since.
            let lines: [Cell<Option<(u64, Instant, bool)>>; 20] = Default::default();
            for ms in 0..3000 {
                let now = start + Duration::from_millis(ms);
                let line = random(20) as usize;
                match (random(12), lines[line].get()) {
                    (0..2, None) => {
                        let number = rounds.join(line, heartbeat, now);
                        lines[line].set(Some((number, now, false)));
                    }
                    (0, Some((number, ..))) => {
                        rounds.leave(number);
                        lines[line].set(None);
                    }
                    (1, Some((number, ..))) => lines[line].set(Some((number, now, false))),
                    _ => {}
                }
                if rounds.due().is_some_and(|due| due <= now) {
                    let heard = |line: &usize| lines[*line].get().expect("it has not left").1;
                    rounds.go(now, heard, |line, beat| {
                        let (number, heard, _) = lines[*line].get().expect("it has not left");
                        let silent = (now - heard).as_millis();
                        match beat {
                            Beat::Ask => assert!((64..160).contains(&silent), "{silent}"),
                            Beat::Dead => assert!(silent >= 160, "{silent}"),
                            Beat::Rest => unreachable!(),
                        }
                        let given_up = beat == Beat::Dead;
                        lines[*line].set(Some((number, heard, given_up)));
                    });
                }
                for (_, heard, given_up) in lines.iter().filter_map(Cell::get) {
                    let silent = (now - heard).as_millis();
                    assert!(given_up || silent < 160 + 4, "{silent}");
                }
            }
            assert!(rounds.queue.len() == rounds.members.len());
        }
    }
}
