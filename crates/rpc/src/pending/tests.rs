use std::sync::Mutex;

use tokio::sync::oneshot::error::TryRecvError;

use serde_json::value::RawValue;

use super::*;

fn settle(pending: &mut Pending, id: Xid, text: &str) -> bool {
    let answer = RawValue::from_string(text.to_owned()).unwrap();
    let reply = pending.settle(id);
    reply.is_some_and(|reply| reply.send(Ok(answer)))
}

fn close(pending: &mut Pending, cause: &CloseCause) {
    for reply in pending.close(cause) {
        reply.send(Err::<RawJson, _>(CallError::Closed(cause.clone())));
    }
}

#[derive(Default)]
struct Told(Mutex<Vec<bool>>);

impl Receipt for Told {
    fn came(self: Arc<Self>, outcome: Result<(), CallError>) {
        self.0.lock().unwrap().push(outcome.is_ok());
    }
}

#[test]
fn whoever_posts_is_told_once() {
    let mut pending = Pending::new();
    let told = Arc::new(Told::default());
    let ids = [Xid::new(), Xid::new(), Xid::new()];
    for id in ids {
        assert!(pending.post(id, Arc::clone(&told) as Arc<dyn Receipt>));
        assert!(!pending.post(id, Arc::clone(&told) as Arc<dyn Receipt>));
        assert!(pending.waits(id) && pending.mark_sent(id));
    }
    assert!(settle(&mut pending, ids[0], "1"));
    assert!(!settle(&mut pending, ids[0], "1"));
    assert_eq!(pending.forget(ids[1]), Forgotten::Sent);
    close(&mut pending, &CloseCause::closed());
    assert!(!pending.post(ids[0], Arc::clone(&told) as Arc<dyn Receipt>));
    assert_eq!(*told.0.lock().unwrap(), [true, false]);
    assert_eq!(Arc::strong_count(&told), 1);
}

#[test]
fn an_answer_reaches_its_call_and_no_other() {
    let mut pending = Pending::new();
    let (one, two) = (Xid::new(), Xid::new());
    let mut first = pending.insert(one, None).unwrap();
    let mut second = pending.insert(two, None).unwrap();
    assert!(settle(&mut pending, two, "2"));
    assert_eq!(second.try_recv().unwrap().unwrap().get(), "2");
    assert_eq!(first.try_recv().unwrap_err(), TryRecvError::Empty);
    assert!(!settle(&mut pending, two, "2"), "answered once");
    assert!(!settle(&mut pending, Xid::new(), "3"), "never asked");
    assert_eq!(pending.len(), 1);
}

#[test]
fn closing_is_a_state_and_the_first_cause_stays() {
    let mut pending = Pending::new();
    let mut waits = pending.insert(Xid::new(), None).unwrap();
    close(&mut pending, &CloseCause::failed("cut"));
    close(&mut pending, &CloseCause::closed());
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
                    close(&mut pending, &CloseCause::closed());
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
                    assert_eq!(settle(&mut pending, *id, "null"), waited);
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
