//! The calls that wait for an answer. A plain table; closing it is a state, so that a call made
//! after the end fails at once.

use std::collections::HashMap;

use jackfield_wire::{CloseCause, Xid};
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::sync::{mpsc, oneshot};

use crate::call::CallError;

/// What became of a call.
pub(crate) type Outcome = Result<Box<RawValue>, CallError>;

/// The table.
#[derive(Debug)]
pub(crate) enum Pending {
    Open(HashMap<Xid, Entry>),
    Closed(CloseCause),
}

/// One call that waits.
#[derive(Debug)]
pub(crate) struct Entry {
    reply: oneshot::Sender<Outcome>,
    progress: Option<mpsc::Sender<Value>>,
    sent: bool,
}

/// What is known of a call that was taken back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Forgotten {
    /// It had been answered, or the table is closed.
    WasGone,
    /// It had not been sent, and never will be.
    Unsent,
    /// It had been sent; the other side still works on it.
    Sent,
}

impl Pending {
    pub(crate) fn new() -> Self {
        Self::Open(HashMap::new())
    }

    /// Enters a call.
    pub(crate) fn insert(
        &mut self,
        id: Xid,
        progress: Option<mpsc::Sender<Value>>,
    ) -> Result<oneshot::Receiver<Outcome>, CloseCause> {
        match self {
            Self::Open(entries) => {
                let (reply, answer) = oneshot::channel();
                let entry = Entry {
                    reply,
                    progress,
                    sent: false,
                };
                entries.insert(id, entry);
                Ok(answer)
            }
            Self::Closed(cause) => Err(cause.clone()),
        }
    }

    /// The call is about to be written. `false`: nobody waits for it any more.
    pub(crate) fn mark_sent(&mut self, id: Xid) -> bool {
        match self {
            Self::Open(entries) => entries
                .get_mut(&id)
                .map(|entry| entry.sent = true)
                .is_some(),
            Self::Closed(_) => false,
        }
    }

    /// The answer is here. `false`: nobody waits for it.
    pub(crate) fn settle(&mut self, id: Xid, outcome: Outcome) -> bool {
        match self {
            // The caller may have gone between; then its guard finds the entry gone.
            Self::Open(entries) => entries
                .remove(&id)
                .is_some_and(|entry| entry.reply.send(outcome).is_ok()),
            Self::Closed(_) => false,
        }
    }

    /// Whether anybody listens to reports of progress for this call.
    pub(crate) fn wants_progress(&self, id: Xid) -> bool {
        match self {
            Self::Open(entries) => entries
                .get(&id)
                .is_some_and(|entry| entry.progress.is_some()),
            Self::Closed(_) => false,
        }
    }

    /// A report of progress; lost when its channel is full.
    pub(crate) fn progress(&mut self, id: Xid, value: Value) {
        if let Self::Open(entries) = self
            && let Some(progress) = entries.get(&id).and_then(|entry| entry.progress.as_ref())
        {
            let _ = progress.try_send(value);
        }
    }

    /// The caller has gone.
    pub(crate) fn forget(&mut self, id: Xid) -> Forgotten {
        match self {
            Self::Open(entries) => match entries.remove(&id) {
                Some(Entry { sent: true, .. }) => Forgotten::Sent,
                Some(Entry { sent: false, .. }) => Forgotten::Unsent,
                None => Forgotten::WasGone,
            },
            Self::Closed(_) => Forgotten::WasGone,
        }
    }

    /// The line has ended: every call that waits, and every one to come, fails with the cause. The
    /// first cause stays.
    pub(crate) fn close(&mut self, cause: &CloseCause) {
        if let Self::Open(entries) = self {
            for (_, entry) in entries.drain() {
                let _ = entry.reply.send(Err(CallError::Closed(cause.clone())));
            }
            *self = Self::Closed(cause.clone());
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Open(entries) => entries.len(),
            Self::Closed(_) => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot::error::TryRecvError;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    #[test]
    fn an_answer_reaches_its_call_and_no_other() {
        let mut pending = Pending::new();
        let (one, two) = (Xid::new(), Xid::new());
        let mut first = pending.insert(one, None).unwrap();
        let mut second = pending.insert(two, None).unwrap();
        assert!(pending.settle(two, Ok(raw("2"))));
        assert_eq!(second.try_recv().unwrap().unwrap().get(), "2");
        assert_eq!(first.try_recv().unwrap_err(), TryRecvError::Empty);
        assert!(!pending.settle(two, Ok(raw("2"))), "answered once");
        assert!(!pending.settle(Xid::new(), Ok(raw("3"))), "never asked");
        assert_eq!(pending.len(), 1);
    }

    #[test]
    fn closing_is_a_state_and_the_first_cause_stays() {
        let mut pending = Pending::new();
        let mut waits = pending.insert(Xid::new(), None).unwrap();
        pending.close(&CloseCause::failed("cut"));
        pending.close(&CloseCause::closed());
        assert!(matches!(
            waits.try_recv().unwrap(),
            Err(CallError::Closed(cause)) if cause.reason == "cut"
        ));
        let refused = pending.insert(Xid::new(), None).unwrap_err();
        assert_eq!(refused.reason, "cut");
        assert_eq!(pending.len(), 0);
    }

    #[test]
    fn what_is_forgotten_is_not_sent_and_what_was_sent_is_known() {
        let mut pending = Pending::new();
        let (unsent, sent) = (Xid::new(), Xid::new());
        let _one = pending.insert(unsent, None).unwrap();
        let _two = pending.insert(sent, None).unwrap();
        assert!(pending.mark_sent(sent));
        assert_eq!(pending.forget(unsent), Forgotten::Unsent);
        assert!(!pending.mark_sent(unsent));
        assert_eq!(pending.forget(sent), Forgotten::Sent);
        assert_eq!(pending.forget(sent), Forgotten::WasGone);
        assert_eq!(pending.len(), 0);
    }

    #[test]
    fn progress_that_finds_its_channel_full_is_dropped() {
        let mut pending = Pending::new();
        let id = Xid::new();
        let (reports, mut seen) = mpsc::channel(1);
        let _answer = pending.insert(id, Some(reports)).unwrap();
        assert!(pending.wants_progress(id) && !pending.wants_progress(Xid::new()));
        pending.progress(id, 1.into());
        pending.progress(id, 2.into());
        pending.progress(Xid::new(), 3.into());
        assert_eq!(seen.try_recv().unwrap(), 1);
        assert!(seen.try_recv().is_err());
    }

    /// What a caller has seen so far.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    enum Seen {
        Waits,
        Answered,
        Closed,
        Gone,
    }

    /// Random walks against a model: every call ends at most once, in the way the model says, and
    /// the table never holds more than those that wait.
    #[test]
    fn random_walks_end_every_call_once() {
        for seed in 1..400u64 {
            let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            let mut random = move |below: usize| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state % below as u64) as usize
            };
            let mut pending = Pending::new();
            let mut calls: Vec<(Xid, oneshot::Receiver<Outcome>, Seen)> = Vec::new();
            let mut closed = false;
            for _ in 0..120 {
                match random(40) {
                    0 if random(4) == 0 => {
                        pending.close(&CloseCause::closed());
                        closed = true;
                        for (_, _, seen) in &mut calls {
                            if *seen == Seen::Waits {
                                *seen = Seen::Closed;
                            }
                        }
                    }
                    0..15 => {
                        let id = Xid::new();
                        match pending.insert(id, None) {
                            Ok(answer) => calls.push((id, answer, Seen::Waits)),
                            Err(_) => assert!(closed),
                        }
                    }
                    15..30 if !calls.is_empty() => {
                        let at = random(calls.len());
                        let (id, _, seen) = &mut calls[at];
                        let waited = *seen == Seen::Waits;
                        assert_eq!(pending.settle(*id, Ok(raw("null"))), waited);
                        if waited {
                            *seen = Seen::Answered;
                        }
                    }
                    _ if !calls.is_empty() => {
                        let at = random(calls.len());
                        let (id, _, seen) = &mut calls[at];
                        let waited = *seen == Seen::Waits;
                        assert_eq!(pending.forget(*id) != Forgotten::WasGone, waited);
                        if waited {
                            *seen = Seen::Gone;
                        }
                    }
                    _ => {}
                }
                let waiting = calls.iter().filter(|(_, _, seen)| *seen == Seen::Waits);
                assert_eq!(pending.len(), waiting.count());
            }
            for (id, mut answer, seen) in calls {
                let found = match answer.try_recv() {
                    Ok(Ok(_)) => Seen::Answered,
                    Ok(Err(CallError::Closed(_))) => Seen::Closed,
                    Ok(Err(error)) => panic!("{error}"),
                    Err(TryRecvError::Empty) => Seen::Waits,
                    Err(TryRecvError::Closed) => Seen::Gone,
                };
                assert_eq!(found, seen, "seed {seed}, call {id}");
            }
        }
    }
}
