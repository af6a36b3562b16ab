use std::collections::{HashSet, VecDeque};

use super::*;

fn policy() -> Policy {
    Policy {
        restarts: 3,
        ..Policy::default()
    }
}

/// Feeds events; returns the machine and the acts of the last one.
fn run(mode: Mode, events: &[Event]) -> (Lifecycle, Vec<Act>) {
    let mut machine = Lifecycle::new(mode);
    let acts = events
        .iter()
        .fold(Vec::new(), |_, event| machine.on(*event, &policy()));
    (machine, acts)
}

fn supervised(events: &[Event]) -> (Lifecycle, Vec<Act>) {
    run(Mode::Supervised, events)
}

const CRASH: Event = Event::Exited(Ending::Crash);
const CLEAN: Event = Event::Exited(Ending::Clean);

/// The original slept its back-off inside its command loop, started the process, and then handled
/// the stop that had waited against the process before: a plugin that nobody could stop any more.
#[test]
fn stop_during_back_off_is_answered_at_once() {
    let (m, acts) = supervised(&[Event::Start, CRASH, Event::Stop(7)]);
    assert_eq!(m.phase(), Phase::Off);
    assert_eq!(acts, [Act::NoTimer, Act::Answer(7)]);
}

/// In the original a stop before the process existed wedged the plugin for good.
#[test]
fn stop_before_the_process_exists_is_kept_for_it() {
    let (m, acts) = supervised(&[Event::Start, Event::Stop(7)]);
    assert_eq!(m.phase(), Phase::Halting { then: Next::Off });
    assert!(acts.contains(&Act::StopChild));
    let (m, acts) = supervised(&[Event::Start, Event::Stop(7), Event::Launched, CRASH]);
    assert_eq!(m.phase(), Phase::Off);
    assert_eq!(acts, [Act::Answer(7)]);
}

#[test]
fn every_stop_is_answered_once() {
    let (m, acts) = supervised(&[
        Event::Start,
        Event::Launched,
        Event::Dialed,
        Event::Stop(1),
        Event::Stop(2),
        Event::HungUp,
        CLEAN,
    ]);
    assert_eq!(m.phase(), Phase::Off);
    assert_eq!(acts, [Act::Answer(1), Act::Answer(2)]);
}

#[test]
fn start_while_stopping_starts_again_once_it_is_gone() {
    let (m, acts) = supervised(&[Event::Start, Event::Stop(1), Event::Start, CLEAN]);
    assert_eq!(m.phase(), Phase::Launching { up: false });
    let launch = Act::Timer(policy().launch_deadline);
    assert_eq!(acts, [Act::Answer(1), Act::Launch, launch]);
}

#[test]
fn a_child_that_never_dials_is_put_down_and_retried() {
    let (m, acts) = supervised(&[Event::Start, Event::Launched, Event::Due, CLEAN]);
    assert_eq!(m.phase(), Phase::Retrying);
    assert_eq!(acts, [Act::Timer(policy().delay)]);
}

/// The service that runs it is down: that is no reason to give up a plugin, and no crash of it.
#[test]
fn an_outage_never_counts() {
    let mut m = Lifecycle::new(Mode::Supervised);
    let _ = m.on(Event::Start, &policy());
    let mut delays = Vec::new();
    for _ in 0..9 {
        for act in m.on(Event::Exited(Ending::Outage), &policy()) {
            if let Act::Timer(delay) = act {
                delays.push(delay.as_secs());
            }
        }
        let _ = m.on(Event::Due, &policy());
    }
    assert_eq!(delays, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    let _ = m.on(Event::Launched, &policy());
    let acts = m.on(Event::Exited(Ending::Outage), &policy());
    assert_eq!(
        acts.last(),
        Some(&Act::Timer(policy().delay)),
        "it ran meanwhile"
    );
    assert_eq!(m.phase(), Phase::Retrying);
}

/// A child that serves something else than what it was taken for: no waiting makes that better.
#[test]
fn a_child_that_cannot_be_used_is_put_down() {
    let up = [Event::Start, Event::Launched];
    let unusable = Event::Unusable(Ending::Hopeless);
    let (mut m, acts) = supervised(&[up[0], up[1], unusable]);
    assert!(acts.contains(&Act::StopChild));
    let _ = m.on(CLEAN, &policy());
    assert_eq!(m.phase(), Phase::Failed);
    let (mut m, _) = supervised(&[up[0], up[1], Event::Unusable(Ending::Crash)]);
    let _ = m.on(CLEAN, &policy());
    assert_eq!(m.phase(), Phase::Retrying);
    let (m, acts) = supervised(&[up[0], up[1], Event::Dialed, unusable]);
    assert_eq!(
        (m.phase(), acts),
        (Phase::Live, vec![]),
        "too late to say so"
    );
}

#[test]
fn three_restarts_then_it_gives_up() {
    let mut m = Lifecycle::new(Mode::Supervised);
    let mut delays = Vec::new();
    let _ = m.on(Event::Start, &policy());
    for _ in 0..4 {
        for act in m.on(CRASH, &policy()) {
            if let Act::Timer(delay) = act {
                delays.push(delay.as_secs());
            }
        }
        let _ = m.on(Event::Due, &policy());
    }
    assert_eq!(delays, [1, 2, 4]);
    assert_eq!(m.phase(), Phase::Failed);
    assert_eq!(m.restarts(), 3);
}

/// The original tried a package without its command four times, as if it might grow one.
#[test]
fn what_can_never_work_is_not_tried_again() {
    let (m, acts) = supervised(&[Event::Start, Event::Exited(Ending::Hopeless)]);
    assert_eq!(m.phase(), Phase::Failed);
    assert!(!acts.iter().any(|act| matches!(act, Act::Timer(_))));
}

/// The contract tells a plugin to exit with 0 to be started again; the original counted that as a
/// crash, and the fourth configuration change was the last.
#[test]
fn exit_0_is_no_crash_however_often() {
    let mut m = Lifecycle::new(Mode::Supervised);
    let _ = m.on(Event::Start, &policy());
    let mut delays = Vec::new();
    for _ in 0..9 {
        for act in m.on(CLEAN, &policy()) {
            if let Act::Timer(delay) = act {
                delays.push(delay.as_secs());
            }
        }
        assert_eq!(m.phase(), Phase::Retrying);
        let _ = m.on(Event::Due, &policy());
    }
    // The first at once; what comes back without end is slowed down, never given up.
    assert_eq!(delays, [0, 1, 2, 4, 8, 16, 32, 60, 60]);
}

#[test]
fn dialing_alone_does_not_forget_earlier_crashes() {
    let mut m = Lifecycle::new(Mode::Supervised);
    let _ = m.on(Event::Start, &policy());
    for _ in 0..4 {
        for event in [
            Event::Launched,
            Event::Dialed,
            CRASH,
            Event::HungUp,
            Event::Due,
        ] {
            let _ = m.on(event, &policy());
        }
    }
    assert_eq!(m.phase(), Phase::Failed);
}

/// The original promised to forget crashes after a stable run and never did: a plugin that crashed
/// once a week was dead in the fourth week.
#[test]
fn a_line_that_lasts_does() {
    let mut m = Lifecycle::new(Mode::Supervised);
    let _ = m.on(Event::Start, &policy());
    for _ in 0..9 {
        for event in [
            Event::Launched,
            Event::Dialed,
            Event::Due,
            CRASH,
            Event::HungUp,
            Event::Due,
        ] {
            let _ = m.on(event, &policy());
        }
    }
    assert_eq!(m.phase(), Phase::Launching { up: false });
}

#[test]
fn a_lost_line_leaves_active_at_once_and_may_come_back() {
    let live = [Event::Start, Event::Launched, Event::Dialed];
    let (mut m, _) = supervised(&live);
    assert_eq!(m.reported(), ReportedState::Active);
    let acts = m.on(Event::HungUp, &policy());
    assert_eq!(m.reported(), ReportedState::Connecting);
    assert_eq!(acts, [Act::Timer(policy().dial_deadline)]);
    assert!(m.on(Event::Dialed, &policy()).contains(&Act::Open));
}

#[test]
fn a_stop_beats_a_pending_retry() {
    let (m, acts) = supervised(&[
        Event::Start,
        Event::Launched,
        Event::Due,
        Event::Stop(1),
        CRASH,
    ]);
    assert_eq!(m.phase(), Phase::Off);
    assert_eq!(acts, [Act::Answer(1)]);
}

#[test]
fn an_errored_plugin_can_be_laid_to_rest() {
    let (m, acts) = supervised(&[
        Event::Start,
        Event::Exited(Ending::Hopeless),
        Event::Stop(1),
    ]);
    assert_eq!(m.phase(), Phase::Off);
    assert_eq!(acts, [Act::NoTimer, Act::Answer(1)]);
}

#[test]
fn an_external_plugin_waits_for_the_next_dial() {
    let (m, _) = run(
        Mode::External,
        &[Event::Start, Event::Dialed, Event::HungUp],
    );
    assert_eq!(m.phase(), Phase::Awaiting);
    let (_, acts) = run(Mode::External, &[Event::Dialed]);
    assert_eq!(acts, [Act::Refuse], "nobody asked for it");
}

/// What the world around the machine looks like, as the machine's acts made it.
#[derive(Clone, PartialEq, Eq, Hash)]
struct World {
    machine: Lifecycle,
    child: bool,
    child_told: bool,
    launched: bool,
    line: bool,
    line_told: bool,
    timer: bool,
    asked: Vec<Waiter>,
}

impl World {
    /// Feeds one event that can happen in this world, checks what the machine makes of it.
    fn step(&self, event: Event) -> Option<Self> {
        let mut next = self.clone();
        match event {
            Event::Start => {}
            Event::Stop(waiter) => next.asked.push(waiter),
            Event::Launched if self.child && !self.launched => next.launched = true,
            Event::Dialed => {}
            Event::HungUp if self.line => (next.line, next.line_told) = (false, false),
            Event::Exited(_) if self.child => {
                (next.child, next.child_told, next.launched) = (false, false, false);
            }
            Event::Due if self.timer => next.timer = false,
            Event::Unusable(_) if self.child => {}
            Event::Launched
            | Event::HungUp
            | Event::Exited(_)
            | Event::Unusable(_)
            | Event::Due => return None,
        }
        for act in next.machine.on(event, &policy()) {
            match act {
                Act::Launch => {
                    assert!(!next.child, "a second child: {:?}", next.machine);
                    assert!(!next.line, "a line of the child before: {:?}", next.machine);
                    next.child = true;
                }
                Act::StopChild => {
                    assert!(next.child && !next.child_told);
                    next.child_told = true;
                }
                Act::Open => {
                    assert!(!next.line, "a second line: {:?}", next.machine);
                    assert_eq!(event, Event::Dialed);
                    next.line = true;
                }
                Act::Refuse => assert_eq!(event, Event::Dialed),
                Act::Close => {
                    assert!(next.line && !next.line_told);
                    next.line_told = true;
                }
                Act::Timer(_) => next.timer = true,
                Act::NoTimer => next.timer = false,
                Act::Answer(waiter) => {
                    let place = next.asked.iter().position(|asked| *asked == waiter);
                    next.asked
                        .remove(place.expect("answered twice, or nobody asked"));
                }
            }
        }
        next.check();
        Some(next)
    }

    fn check(&self) {
        let machine = &self.machine;
        if !self.child && !self.line {
            assert!(
                self.asked.is_empty(),
                "a stop without an answer: {machine:?}"
            );
            assert!(
                !matches!(machine.phase, Phase::Halting { .. }),
                "stuck: {machine:?}"
            );
        }
        if let Phase::Halting { .. } = machine.phase {
            assert!(
                !self.child || self.child_told,
                "waits for an untold child: {machine:?}"
            );
            assert!(
                !self.line || self.line_told,
                "waits for an untold line: {machine:?}"
            );
        } else {
            assert!(
                self.asked.is_empty(),
                "a stop waits outside of halting: {machine:?}"
            );
        }
        let moves_by_timer = matches!(machine.phase, Phase::Launching { .. } | Phase::Retrying);
        assert!(
            !moves_by_timer || self.timer,
            "no timer would ever move {machine:?}"
        );
        assert_eq!(
            machine.reported() == ReportedState::Active,
            self.line && !self.line_told
        );
        let resting = matches!(machine.phase, Phase::Off | Phase::Failed);
        assert!(
            !resting || !self.child && !self.line && !self.timer,
            "{machine:?}"
        );
    }

    /// Folds counters that only grow, so that the walk ends.
    fn fold(mut self) -> Self {
        self.machine.restarts = 0;
        self.machine.clean_ends = self.machine.clean_ends.min(2);
        self.machine.outages = self.machine.outages.min(2);
        self
    }
}

/// Every state that any sequence of events of any length can reach, in both modes, and from each
/// of them every event that can happen there: no waiter is lost or answered twice, no child is
/// started beside another, no line opened beside another, nothing waits for what was never told
/// to go, and every phase that should move by itself has a timer.
#[test]
fn no_sequence_breaks_the_invariants() {
    let mut edges = 0;
    for mode in [Mode::Supervised, Mode::External] {
        let first = World {
            machine: Lifecycle::new(mode),
            child: false,
            child_told: false,
            launched: false,
            line: false,
            line_told: false,
            timer: false,
            asked: Vec::new(),
        };
        let mut seen = HashSet::from([first.clone()]);
        let mut queue = VecDeque::from([first]);
        let mut phases = HashSet::new();
        while let Some(world) = queue.pop_front() {
            phases.insert(world.machine.phase);
            let waiter = (1..).find(|n| !world.asked.contains(n)).unwrap();
            let mut events = vec![
                Event::Start,
                Event::Launched,
                Event::Dialed,
                Event::HungUp,
                Event::Exited(Ending::Clean),
                Event::Exited(Ending::Crash),
                Event::Exited(Ending::Hopeless),
                Event::Exited(Ending::Outage),
                Event::Unusable(Ending::Crash),
                Event::Unusable(Ending::Hopeless),
                Event::Due,
            ];
            if world.asked.len() < 3 {
                events.push(Event::Stop(waiter));
            }
            for event in events {
                let Some(next) = world.step(event) else {
                    continue;
                };
                edges += 1;
                let next = next.fold();
                if seen.insert(next.clone()) {
                    queue.push_back(next);
                }
            }
        }
        let expected = match mode {
            // Off, Launching (2), Live, Retrying, Failed, Halting (6: Off, Launch, Fail, Retry
            // after a crash, after a clean end, after an outage).
            Mode::Supervised => 12,
            // Off, Awaiting, Live, Halting (2).
            Mode::External => 5,
        };
        assert_eq!(phases.len(), expected, "{phases:?}");
    }
    assert!(edges > 1_000, "{edges}");
}
