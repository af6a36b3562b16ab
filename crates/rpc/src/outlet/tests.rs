use futures_util::FutureExt;

use super::*;

fn note(text: &str) -> Outgoing {
    Outgoing::Note(text.into())
}

fn text(message: &Outgoing) -> &str {
    match message {
        Outgoing::Call(_, text) | Outgoing::Answer(text) | Outgoing::Note(text) => text,
        Outgoing::Large(answer) => &answer.head,
    }
}

fn taken(taker: &mut Taker<'_>) -> Option<String> {
    Some(match taker.next().now_or_never()? {
        Next::Over => "over".to_owned(),
        Next::Ping => "ping".to_owned(),
        Next::Write(message) => text(&message).to_owned(),
    })
}

#[test]
fn the_readers_answers_come_first_and_the_end_before_all() {
    let outlet = Outlet::new(8);
    let mut taker = outlet.taker();
    for n in 0..2 {
        outlet.try_place().unwrap().send(note(&format!("call {n}")));
        outlet.ping();
        let place = outlet.try_reply_place().unwrap();
        place.send(note(&format!("reply {n}")));
    }
    let expected = ["reply 0", "reply 1", "ping", "call 0"];
    for expected in expected {
        assert_eq!(taken(&mut taker).as_deref(), Some(expected));
    }
    outlet.end();
    assert_eq!(taken(&mut taker).as_deref(), Some("over"));
    // What is left can still be had.
    assert_eq!(text(&taker.try_next().unwrap()), "call 1");
    assert!(taker.try_next().is_none());
}

/// Whoever always has something to say kept the line from asking for a sign of life: a rest of what
/// was taken together was there at each look.
#[test]
fn a_busy_queue_does_not_keep_a_ping_waiting() {
    let outlet = Outlet::new(1000);
    let mut taker = outlet.taker();
    for _ in 0..TOGETHER {
        outlet.try_place().unwrap().send(note("call"));
    }
    assert_eq!(taken(&mut taker).as_deref(), Some("call"));
    outlet.ping();
    assert_eq!(taken(&mut taker).as_deref(), Some("ping"));
    assert_eq!(taken(&mut taker).as_deref(), Some("call"));
}

#[tokio::test]
async fn a_full_queue_has_others_wait_in_their_order() {
    let outlet = Outlet::new(1);
    let mut taker = outlet.taker();
    outlet.place().await.unwrap().send(note("0"));
    assert!(outlet.try_place().is_none());
    let send = async |name: &str| outlet.place().await.unwrap().send(note(name));
    let take = async {
        for n in 0..3 {
            let Next::Write(message) = taker.next().await else {
                panic!("a message");
            };
            assert_eq!(text(&message), n.to_string());
        }
    };
    tokio::join!(send("1"), send("2"), take);
    // A place that is not used is free again.
    drop(outlet.try_place().unwrap());
    assert!(outlet.try_place().is_some());
}

#[tokio::test]
async fn the_writer_is_woken_by_all_that_concerns_it() {
    let outlet = Outlet::new(1);
    let mut taker = outlet.taker();
    for what in ["call", "reply", "ping", "over"] {
        let tell = async {
            tokio::task::yield_now().await;
            match what {
                "call" => outlet.try_place().unwrap().send(note(what)),
                "reply" => outlet.try_reply_place().unwrap().send(note(what)),
                "ping" => outlet.ping(),
                _ => outlet.end(),
            }
        };
        let (next, ()) = tokio::join!(taker.next(), tell);
        assert_eq!(
            matches!(next, Next::Write(_)),
            matches!(what, "call" | "reply")
        );
    }
}

#[tokio::test]
async fn without_a_writer_nothing_is_kept_and_nobody_waits() {
    let outlet = Outlet::new(2);
    let place = outlet.place().await.unwrap();
    outlet.try_place().unwrap().send(note("1"));
    let leave = async {
        tokio::task::yield_now().await;
        drop(outlet.taker());
    };
    let (waited, ()) = tokio::join!(outlet.place(), leave);
    assert!(waited.is_none());
    place.send(note("2"));
    assert!(outlet.place().await.is_none() && outlet.reply_place().await.is_none());
    assert!(outlet.taker().try_next().is_none());
}

#[test]
fn a_burst_leaves_no_room_behind() {
    let outlet = Outlet::new(1000);
    let mut taker = outlet.taker();
    for _ in 0..1000 {
        outlet.try_place().unwrap().send(note("x"));
    }
    while taker.try_next().is_some() {}
    assert!(outlet.lock().queue.capacity() <= KEPT);
    assert_eq!(outlet.queue.available_permits(), 1000);
}
