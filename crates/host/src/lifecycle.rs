//! The one place that decides what happens to a plugin next.
//!
//! No I/O, no clock, no channels: an event goes in, acts come out, in order. The task that owns a
//! [`Lifecycle`] (`actor.rs`) performs the acts and turns what comes of them into events.
//! ARCHITECTURE.md has the table.

use std::time::Duration;

use jackfield_wire::{Mode, ReportedState};

use crate::policy::Policy;

/// The state machine of one session.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Lifecycle {
    mode: Mode,
    phase: Phase,
    /// A launch was begun and its end not yet seen.
    child: bool,
    /// A line is open, or told to close and not yet gone.
    line: bool,
    /// Crashes in a row.
    crashes: u32,
    /// Ends with exit code 0 in a row. They are no crashes, but one that comes back at once
    /// deserves a delay all the same.
    clean_ends: u32,
    /// Outages in a row.
    outages: u32,
    /// Starts after the first, since somebody asked for it.
    restarts: u32,
    waiters: Vec<Waiter>,
}

/// What a plugin is doing. One value, one owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    /// Not wanted. The first phase.
    Off,
    /// A child is being made, or runs and has no line.
    Launching {
        /// Its process runs.
        up: bool,
    },
    /// Wanted, external, nobody on the line.
    Awaiting,
    /// The line is open.
    Live,
    /// The child ended; the next launch waits for its delay.
    Retrying,
    /// Told to go; the child or the line is not gone yet.
    Halting {
        /// What comes once both are gone.
        then: Next,
    },
    /// Gave up. Only a start or a stop leaves this phase.
    Failed,
}

/// Where [`Phase::Halting`] leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Next {
    Off,
    /// Start again at once: somebody asked for it.
    Launch,
    /// Start again after a delay.
    Retry(Ending),
    /// Give up.
    Fail,
}

/// How a child ended unasked, as far as it matters for what comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Ending {
    /// Exit code 0: a request to be started again.
    Clean,
    /// Anything that another attempt may mend.
    Crash,
    /// Not the plugin's doing: it is tried again and again, and does not count.
    Outage,
    /// What another attempt cannot mend: no such command, a bad package.
    Hopeless,
}

/// Somebody who waits for a stop.
pub(crate) type Waiter = u64;

/// What happens to a plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Event {
    /// Somebody wants it active.
    Start,
    /// Somebody wants it inactive and waits for that.
    Stop(Waiter),
    /// The child's process runs.
    Launched,
    /// A dial was admitted and wants to become the line.
    Dialed,
    /// The line is gone.
    HungUp,
    /// There will be no line, however long one waits for this child.
    Unusable(Ending),
    /// The child is gone, or could not be made.
    Exited(Ending),
    /// The timer set by [`Act::Timer`] fired.
    Due,
}

/// What the owner is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Act {
    /// Make a child.
    Launch,
    /// Tell the child to go. It will: the ladder below sees to that.
    StopChild,
    /// Make the admitted dial the line.
    Open,
    /// Turn the admitted dial away.
    Refuse,
    /// Close the line.
    Close,
    /// Replace the one timer.
    Timer(Duration),
    /// Drop the one timer.
    NoTimer,
    /// Tell this waiter that it is over.
    Answer(Waiter),
}

impl Lifecycle {
    pub(crate) fn new(mode: Mode) -> Self {
        Self {
            mode,
            phase: Phase::Off,
            child: false,
            line: false,
            crashes: 0,
            clean_ends: 0,
            outages: 0,
            restarts: 0,
            waiters: Vec::new(),
        }
    }

    pub(crate) fn mode(&self) -> Mode {
        self.mode
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    pub(crate) fn restarts(&self) -> u32 {
        self.restarts
    }

    /// The phase in the words of the outside.
    pub(crate) fn reported(&self) -> ReportedState {
        match self.phase {
            Phase::Off => ReportedState::Inactive,
            Phase::Launching { up: false } => ReportedState::Starting,
            Phase::Launching { up: true } | Phase::Awaiting => ReportedState::Connecting,
            Phase::Live => ReportedState::Active,
            Phase::Retrying
            | Phase::Halting {
                then: Next::Retry(_),
            } => ReportedState::Restarting,
            Phase::Halting {
                // Given up counts: no restart is promised, and it is not gone yet.
                then: Next::Off | Next::Launch | Next::Fail,
            } => ReportedState::Stopping,
            Phase::Failed => ReportedState::Errored,
        }
    }

    /// Whether a dial would be taken now, but for a line that is already there.
    pub(crate) fn wants_a_line(&self) -> bool {
        matches!(
            self.phase,
            Phase::Launching { .. } | Phase::Awaiting | Phase::Live
        )
    }

    /// Takes one event; returns what is to be done, in order.
    #[must_use]
    pub(crate) fn on(&mut self, event: Event, policy: &Policy) -> Vec<Act> {
        let mut acts = Vec::new();
        match event {
            Event::Start => self.start(policy, &mut acts),
            Event::Stop(waiter) => {
                self.waiters.push(waiter);
                self.halt(Next::Off, &mut acts);
            }
            Event::Launched => self.launched(policy, &mut acts),
            Event::Dialed => self.dialed(policy, &mut acts),
            Event::HungUp => {
                self.line = false;
                self.hung_up(policy, &mut acts);
            }
            Event::Exited(ending) => {
                self.child = false;
                self.exited(ending, policy, &mut acts);
            }
            Event::Unusable(ending) => {
                if let Phase::Launching { .. } = self.phase {
                    self.halt(self.after(ending, policy), &mut acts);
                }
            }
            Event::Due => self.due(policy, &mut acts),
        }
        acts
    }

    fn start(&mut self, policy: &Policy, acts: &mut Vec<Act>) {
        match &mut self.phase {
            Phase::Launching { .. } | Phase::Awaiting | Phase::Live => {}
            Phase::Halting { then } => *then = Next::Launch,
            Phase::Off | Phase::Failed | Phase::Retrying => self.begin(policy, acts),
        }
    }

    /// A launch that somebody asked for: nothing of the past counts.
    fn begin(&mut self, policy: &Policy, acts: &mut Vec<Act>) {
        self.crashes = 0;
        self.clean_ends = 0;
        self.outages = 0;
        self.restarts = 0;
        self.launch(policy, acts);
    }

    fn launch(&mut self, policy: &Policy, acts: &mut Vec<Act>) {
        match self.mode {
            Mode::External => self.phase = Phase::Awaiting,
            Mode::Supervised => {
                self.phase = Phase::Launching { up: false };
                self.child = true;
                acts.extend([Act::Launch, Act::Timer(policy.launch_deadline)]);
            }
        }
    }

    fn launched(&mut self, policy: &Policy, acts: &mut Vec<Act>) {
        if let Phase::Launching { up } = &mut self.phase {
            *up = true;
            self.outages = 0;
            acts.push(Act::Timer(policy.dial_deadline));
        }
    }

    fn dialed(&mut self, policy: &Policy, acts: &mut Vec<Act>) {
        match self.phase {
            Phase::Launching { up: true } | Phase::Awaiting => {
                self.phase = Phase::Live;
                self.line = true;
                acts.extend([Act::Open, Act::Timer(policy.settle)]);
            }
            // The actor keeps a child's dial aside until its launch is reported.
            Phase::Launching { up: false }
            | Phase::Off
            | Phase::Live
            | Phase::Retrying
            | Phase::Halting { .. }
            | Phase::Failed => {
                acts.push(Act::Refuse);
            }
        }
    }

    fn hung_up(&mut self, policy: &Policy, acts: &mut Vec<Act>) {
        match (self.phase, self.mode) {
            (Phase::Live, Mode::External) => {
                self.phase = Phase::Awaiting;
                acts.push(Act::NoTimer);
            }
            // The child may dial again with the token it was born with.
            (Phase::Live, Mode::Supervised) => {
                self.phase = Phase::Launching { up: true };
                acts.push(Act::Timer(policy.dial_deadline));
            }
            (Phase::Halting { .. }, _) => self.gone(policy, acts),
            _ => {}
        }
    }

    fn exited(&mut self, ending: Ending, policy: &Policy, acts: &mut Vec<Act>) {
        match self.phase {
            // A line outlives its child by a moment; wait for both.
            Phase::Launching { .. } | Phase::Live => self.halt(self.after(ending, policy), acts),
            Phase::Halting { .. } => {}
            Phase::Off | Phase::Awaiting | Phase::Retrying | Phase::Failed => return,
        }
        self.gone(policy, acts);
    }

    fn due(&mut self, policy: &Policy, acts: &mut Vec<Act>) {
        match self.phase {
            Phase::Launching { .. } => self.halt(self.after(Ending::Crash, policy), acts),
            Phase::Retrying => {
                self.restarts += 1;
                self.launch(policy, acts);
            }
            Phase::Live => {
                self.crashes = 0;
                self.clean_ends = 0;
            }
            Phase::Off | Phase::Awaiting | Phase::Halting { .. } | Phase::Failed => {}
        }
    }

    /// What comes after such an end.
    fn after(&self, ending: Ending, policy: &Policy) -> Next {
        match ending {
            Ending::Hopeless => Next::Fail,
            Ending::Crash if self.crashes >= policy.restarts => Next::Fail,
            Ending::Crash | Ending::Clean | Ending::Outage => Next::Retry(ending),
        }
    }

    /// Asks whatever is still there to go, and remembers what comes after.
    fn halt(&mut self, next: Next, acts: &mut Vec<Act>) {
        if let Phase::Halting { then } = &mut self.phase {
            // A wish to stop beats a wish to retry or restart.
            if next == Next::Off {
                *then = next;
            }
            return;
        }
        acts.push(Act::NoTimer);
        if self.line {
            acts.push(Act::Close);
        }
        if self.child {
            acts.push(Act::StopChild);
        }
        if self.child || self.line || next != Next::Off {
            self.phase = Phase::Halting { then: next };
        } else {
            self.phase = Phase::Off;
            self.answer(acts);
        }
    }

    /// Leaves [`Phase::Halting`] once neither child nor line is left.
    fn gone(&mut self, policy: &Policy, acts: &mut Vec<Act>) {
        let Phase::Halting { then } = self.phase else {
            return;
        };
        if self.child || self.line {
            return;
        }
        self.phase = Phase::Off;
        self.answer(acts);
        match then {
            Next::Off => {}
            Next::Launch => self.begin(policy, acts),
            Next::Fail => self.phase = Phase::Failed,
            Next::Retry(Ending::Crash | Ending::Hopeless) => {
                self.retry(policy.delay(self.crashes), acts);
                self.crashes += 1;
            }
            Next::Retry(Ending::Outage) => {
                self.retry(policy.delay(self.outages), acts);
                self.outages = self.outages.saturating_add(1);
            }
            Next::Retry(Ending::Clean) => {
                let delay = match self.clean_ends {
                    0 => Duration::ZERO,
                    ends => policy.delay(ends - 1),
                };
                self.retry(delay, acts);
                self.clean_ends = self.clean_ends.saturating_add(1);
            }
        }
    }

    fn retry(&mut self, delay: Duration, acts: &mut Vec<Act>) {
        self.phase = Phase::Retrying;
        acts.push(Act::Timer(delay));
    }

    fn answer(&mut self, acts: &mut Vec<Act>) {
        acts.extend(self.waiters.drain(..).map(Act::Answer));
    }
}

#[cfg(test)]
mod tests;
