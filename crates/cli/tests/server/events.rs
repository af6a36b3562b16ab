//! Events: at least once, in order, over restarts of everybody.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::packages::{manifest, ordered, version};
use crate::plugin::{External, Orders, Seen, dial};
use crate::rig::{Database, Options, Rig, eventually, id_of, state_of};

const EVENT: &str = "EventThreadPublished";

/// An external plugin that is connected.
async fn connected(rig: &Rig) -> (String, String, External) {
    let (plugin, token) = rig.install_external(manifest(json!({}))).await;
    let program = External::dial(&rig.door(&token)).await;
    rig.until_state(&id_of(&plugin), "active").await;
    (id_of(&plugin), token, program)
}

fn ids(events: &[Value]) -> Vec<&str> {
    events
        .iter()
        .map(|event| event["id"].as_str().unwrap())
        .collect()
}

/// Without those that came twice in a row or later again.
fn first_of_each(events: &[Value]) -> Vec<&str> {
    let mut seen = Vec::new();
    for id in ids(events) {
        if !seen.contains(&id) {
            seen.push(id);
        }
    }
    seen
}

async fn parked(rig: &Rig, id: &str, count: usize) -> Vec<Value> {
    let path = format!("/plugins/{id}/events/parked");
    let found = rig.until_get(&path, "parked", |found| {
        found["parked"].as_array().unwrap().len() == count
    });
    found.await["parked"].as_array().unwrap().clone()
}

async fn facts(rig: &Rig, id: &str) -> Value {
    rig.get(&format!("/plugins/{id}/facts")).await.expect(200)["events"].clone()
}

on_both! {
    async fn a_plugin_that_was_away_catches_up_in_order(database) {
        let rig = Rig::start(database).await;
        let (id, token, program) = connected(&rig).await;
        program.hang_up(1000).await;
        rig.until_state(&id, "connecting").await;
        let names: Vec<String> = (0..120).map(|n| format!("e{n}")).collect();
        let mut last = 0;
        for name in &names {
            let published = rig.publish(EVENT, json!({"id": name})).await;
            assert_eq!(published["event"], EVENT);
            assert!(published["published_at"].is_string(), "{published:#}");
            assert_eq!(published["repeated"], false, "{published:#}");
            let seq: i64 = published["id"].as_str().unwrap().parse().unwrap();
            assert!(seq > last, "{seq} after {last}");
            last = seq;
        }
        assert_eq!(facts(&rig, &id).await["waiting"], 120);
        let program = External::dial(&rig.door(&token)).await;
        assert_eq!(ids(&program.events(120).await), names);
        rig.until_get(&format!("/plugins/{id}/facts"), "none waiting", |facts| facts["events"]["waiting"] == 0).await;
        assert_eq!(ids(&program.events_now()), names);
    }

    async fn many_publishers_and_one_order_for_all(database) {
        let rig = Rig::start(database).await;
        let (_, _, one) = connected(&rig).await;
        let (_, _, other) = connected(&rig).await;
        let publishers = (0..8).map(|publisher| {
            let rig = &rig;
            async move {
                let mut mine = Vec::new();
                for n in 0..25 {
                    let name = format!("{publisher}-{n}");
                    let published = rig.publish(EVENT, json!({"id": name})).await;
                    mine.push((published["id"].as_str().unwrap().parse::<i64>().unwrap(), name));
                }
                mine
            }
        });
        let mut published: Vec<_> = futures_util::future::join_all(publishers).await.concat();
        published.sort();
        let order: Vec<_> = published.iter().map(|(_, name)| name.as_str()).collect();
        assert_eq!(ids(&one.events(200).await), order);
        assert_eq!(ids(&other.events(200).await), order);
    }

    async fn a_new_installation_begins_with_what_happens_next(database) {
        let rig = Rig::start(database).await;
        rig.publish(EVENT, json!({"id": "before"})).await;
        let (_, _, program) = connected(&rig).await;
        rig.publish(EVENT, json!({"id": "after"})).await;
        assert_eq!(ids(&program.events(1).await), ["after"]);
    }

    async fn refused_events_are_tried_again_and_then_parked(database) {
        let rig = Rig::start_with(database, Options::quick().with("--event-park-after", "3")).await;
        let (id, _, program) = connected(&rig).await;
        for name in ["twice-a", "bad-b", "c"] {
            rig.publish(EVENT, json!({"id": name})).await;
        }
        // One after the other: what waits for a retry holds up what comes later.
        let all = ["twice-a", "twice-a", "twice-a", "bad-b", "bad-b", "bad-b", "c"];
        assert_eq!(ids(&program.events(7).await), all);
        let found = parked(&rig, &id, 1).await;
        assert_eq!(found[0]["event"], EVENT, "{found:#?}");
        assert_eq!(found[0]["payload"]["id"], "bad-b", "{found:#?}");
        assert_eq!(found[0]["attempts"], 3, "{found:#?}");
        assert!(!found[0]["reason"].as_str().unwrap().is_empty(), "{found:#?}");
        assert!(found[0]["parked_at"].is_string() && found[0]["published_at"].is_string(), "{found:#?}");
        assert_eq!(facts(&rig, &id).await["parked"], 1);
        // A while later nothing has come again by itself: the next event is the next.
        rig.publish(EVENT, json!({"id": "d"})).await;
        assert_eq!(ids(&program.events(8).await)[7], "d");
    }

    async fn parked_events_are_replayed_or_dropped(database) {
        let mut rig = Rig::start_with(database, Options::quick().with("--event-park-after", "1")).await;
        let (id, token, program) = connected(&rig).await;
        for name in ["bad-1", "bad-2", "bad-3"] {
            rig.publish(EVENT, json!({"id": name})).await;
        }
        let found = parked(&rig, &id, 3).await;
        drop(program);
        // They are kept over a restart.
        rig.restart().await;
        assert_eq!(parked(&rig, &id, 3).await, found);
        let seq = |n: usize| found[n]["id"].as_str().unwrap();
        let path = format!("/plugins/{id}/events/parked");
        assert_eq!(rig.delete(&format!("{path}/{}", seq(1))).await.status, 204);
        rig.delete(&format!("{path}/{}", seq(1))).await.problem(404);
        rig.post(&format!("{path}/{}/replay", seq(1)), Value::Null).await.problem(404);
        parked(&rig, &id, 2).await;

        // Where the plugin takes them now, they are gone.
        let program = Mended::dial(&rig, &token).await;
        rig.until_state(&id, "active").await;
        rig.post(&format!("{path}/{}/replay", seq(0)), Value::Null).await.expect(202);
        assert_eq!(ids(&program.seen.events(1).await), ["bad-1"]);
        parked(&rig, &id, 1).await;
        let replaying = rig.post(&format!("{path}/replay"), Value::Null).await.expect(202);
        assert_eq!(replaying, json!({"replaying": 1}));
        assert_eq!(ids(&program.seen.events(2).await), ["bad-1", "bad-3"]);
        parked(&rig, &id, 0).await;
    }

    async fn an_event_that_kills_the_plugin_is_parked(database) {
        let options = Options::quick().with("--event-park-after", "2").with("--restarts", "10");
        let rig = Rig::start_with(database, options).await;
        let orders = Orders { exit_on_event: Some(9), ..Orders::default() };
        let id = id_of(&rig.install(ordered("1.0.0", orders)).await);
        rig.activate(&id).await;
        rig.publish(EVENT, json!({"id": "poison"})).await;
        let found = parked(&rig, &id, 1).await;
        assert_eq!(found[0]["attempts"], 2, "{found:#?}");
        rig.until_state(&id, "active").await;
    }

    async fn silence_is_an_attempt(database) {
        let options = Options::quick().with("--event-park-after", "2").with("--call-deadline", "300ms");
        let rig = Rig::start_with(database, options).await;
        let (id, _, program) = connected(&rig).await;
        rig.publish(EVENT, json!({"id": "mute"})).await;
        rig.publish(EVENT, json!({"id": "next"})).await;
        assert_eq!(ids(&program.events(3).await), ["mute", "mute", "next"]);
        parked(&rig, &id, 1).await;
    }

    async fn a_broken_line_loses_nothing(database) {
        let rig = Rig::start(database).await;
        let (id, token, program) = connected(&rig).await;
        for n in 0..5 {
            rig.publish(EVENT, json!({"id": format!("e{n}")})).await;
        }
        rig.publish(EVENT, json!({"id": "mute"})).await;
        // It has the event, and does not answer: the line breaks meanwhile.
        assert_eq!(program.events(6).await.len(), 6);
        drop(program);
        rig.until_state(&id, "connecting").await;
        let program = Mended::dial(&rig, &token).await;
        let events = program.seen.events(1).await;
        assert_eq!(ids(&events)[0], "mute", "{events:#?}");
        rig.publish(EVENT, json!({"id": "last"})).await;
        assert_eq!(ids(&program.seen.events(2).await), ["mute", "last"]);
        let found = rig.get(&format!("/plugins/{id}/events/parked")).await.expect(200);
        assert_eq!(found["parked"], json!([]));
    }

    async fn a_restart_of_the_server_loses_and_repeats_nothing(database) {
        let mut rig = Rig::start(database).await;
        let (id, token, program) = connected(&rig).await;
        rig.publish(EVENT, json!({"id": "one"})).await;
        program.events(1).await;
        // What it was sent it may have acknowledged, or not yet.
        rig.until_get(&format!("/plugins/{id}/facts"), "none waiting", |facts| facts["events"]["waiting"] == 0).await;
        program.hang_up(1000).await;
        rig.publish(EVENT, json!({"id": "two"})).await;
        rig.restart().await;
        rig.publish(EVENT, json!({"id": "three"})).await;
        rig.ready().await;
        let program = External::come_back(&rig.door(&token)).await;
        assert_eq!(ids(&program.events(2).await), ["two", "three"]);
        rig.until_get(&format!("/plugins/{id}/facts"), "none waiting", |facts| facts["events"]["waiting"] == 0).await;
    }

    async fn a_kill_of_the_server_loses_nothing(database) {
        let mut rig = Rig::start(database).await;
        let (id, token, program) = connected(&rig).await;
        for n in 0..20 {
            rig.publish(EVENT, json!({"id": format!("e{n}")})).await;
        }
        rig.kill().await;
        let before = program.events_now();
        drop(program);
        rig.start_again().await;
        rig.publish(EVENT, json!({"id": "e20"})).await;
        let program = External::come_back(&rig.door(&token)).await;
        let names: Vec<String> = (0..=20).map(|n| format!("e{n}")).collect();
        rig.until_get(&format!("/plugins/{id}/facts"), "none waiting", |facts| facts["events"]["waiting"] == 0).await;
        let after = program.events_now();
        let all = [before, after.clone()].concat();
        assert_eq!(first_of_each(&all), names, "{after:#?}");
        // What comes again is the end of what came before, in its order.
        assert_eq!(first_of_each(&after), ids(&after), "{after:#?}");
    }

    async fn a_key_makes_a_request_once(database) {
        let mut rig = Rig::start(database).await;
        let (_, token, program) = connected(&rig).await;
        let body = json!({"event": EVENT, "payload": {"id": "one"}});
        let send = |rig: &Rig, key: &str, body: &Value| {
            rig.request(Method::POST, "/events").header("idempotency-key", key).json(body.clone())
        };
        let first = send(&rig, "k1", &body).send().await.expect(202);
        assert_eq!(first["repeated"], false, "{first:#}");
        let again = send(&rig, "k1", &body).send().await.expect(202);
        assert_eq!((&again["id"], &again["repeated"]), (&first["id"], &json!(true)), "{again:#}");
        let other = json!({"event": EVENT, "payload": {"id": "two"}});
        send(&rig, "k1", &other).send().await.problem(422);
        // Many at once, and after a restart.
        let many = (0..10).map(|_| send(&rig, "k2", &other).send());
        let many = futures_util::future::join_all(many).await;
        let many: Vec<Value> = many.iter().map(|answer| answer.expect(202)).collect();
        assert!(many.iter().all(|answer| answer["id"] == many[0]["id"]), "{many:#?}");
        assert_eq!(many.iter().filter(|answer| answer["repeated"] == false).count(), 1, "{many:#?}");
        assert_eq!(ids(&program.events(2).await), ["one", "two"]);
        rig.restart().await;
        let again = send(&rig, "k1", &body).send().await.expect(202);
        assert_eq!(again["repeated"], true, "{again:#}");
        let program = External::come_back(&rig.door(&token)).await;
        rig.publish(EVENT, json!({"id": "three"})).await;
        assert_eq!(ids(&program.events(1).await), ["three"]);
    }

    async fn what_is_no_event_is_refused(database) {
        let rig = Rig::start(database).await;
        for wrong in [
            json!({"event": "", "payload": {}}), json!({"event": EVENT, "payload": []}),
            json!({"event": EVENT, "payload": "x"}), json!({"payload": {}}), json!({"event": 1, "payload": {}}), json!([]), json!(null),
        ] {
            let answer = rig.post("/events", wrong.clone()).await;
            assert_eq!(answer.status, 400, "{wrong} {answer:?}");
            answer.problem(400);
        }
        // A payload does not change what happened.
        let (_, _, program) = connected(&rig).await;
        let posing = json!({"event": EVENT, "payload": {"event": "EventThreadUpdated", "id": "x"}});
        if rig.post("/events", posing).await.status == 202 {
            assert_eq!(program.events(1).await[0]["event"], EVENT);
        }
        drop(program);
        let long = json!({"event": EVENT, "payload": {"id": "x".repeat(2 << 20)}});
        rig.post("/events", long).await.problem(413);
        let key = rig.request(Method::POST, "/events").header("idempotency-key", &"k".repeat(5000));
        let answer = key.json(json!({"event": EVENT, "payload": {"id": "x"}})).send().await;
        assert!([202, 400].contains(&answer.status), "{answer:?}");
    }

    async fn what_is_too_old_is_counted_as_missed(database) {
        let mut rig = Rig::start_with(database, Options::quick().with("--event-max-count", "10")).await;
        let (id, token, program) = connected(&rig).await;
        program.hang_up(1000).await;
        for n in 0..30 {
            rig.publish(EVENT, json!({"id": format!("e{n}")})).await;
        }
        // Whenever old events are removed: at a start they are.
        rig.restart().await;
        rig.ready().await;
        rig.until_get(&format!("/plugins/{id}/facts"), "counted", |facts| facts["events"]["missed"] == 20).await;
        let program = External::come_back(&rig.door(&token)).await;
        let events = program.events(10).await;
        assert_eq!(ids(&events), (20..30).map(|n| format!("e{n}")).collect::<Vec<_>>());
    }

    async fn events_wait_for_a_plugin_that_is_inactive_or_upgraded(database) {
        let rig = Rig::start(database).await;
        let id = id_of(&rig.install(version("1.0.0")).await);
        rig.activate(&id).await;
        rig.publish(EVENT, json!({"id": "one"})).await;
        rig.set_active(&id, "inactive").await.expect(200);
        rig.publish(EVENT, json!({"id": "two"})).await;
        rig.upgrade(&id, version("2.0.0")).await.expect(200);
        rig.publish(EVENT, json!({"id": "three"})).await;
        rig.activate(&id).await;
        let publish = async {
            for n in 0..40 {
                rig.publish(EVENT, json!({"id": format!("e{n}")})).await;
            }
        };
        let ((), upgraded) = tokio::join!(publish, rig.upgrade(&id, version("3.0.0")));
        upgraded.expect(200);
        let mut names: Vec<String> = ["one", "two", "three"].map(ToOwned::to_owned).into();
        names.extend((0..40).map(|n| format!("e{n}")));
        let log = rig.state_folder(&id).join("events.log");
        let came = || -> Vec<Value> {
            let log = std::fs::read_to_string(&log).unwrap_or_default();
            log.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        };
        eventually("all came", || first_of_each(&came()).len() == names.len()).await;
        assert_eq!(first_of_each(&came()), names);
    }

    async fn the_configuration_comes_before_the_events(database) {
        let rig = Rig::start(database).await;
        let (plugin, token) = rig.install_external(manifest(json!({"configuration_schema": crate::packages::schema()}))).await;
        let id = id_of(&plugin);
        rig.patch(&format!("/plugins/{id}/configuration"), json!({"greeting": "hi"})).await.expect(200);
        rig.publish(EVENT, json!({"id": "one"})).await;
        let mut line = dial(&rig.door(&token)).await.unwrap();
        use futures_util::{SinkExt as _, StreamExt as _};
        use tokio_tungstenite::tungstenite::Message;
        let mut methods = Vec::new();
        while methods.len() < 2 {
            let next = tokio::time::timeout(Duration::from_secs(30), line.next()).await;
            let Some(Ok(Message::Text(text))) = next.expect("in time") else { continue };
            let frame: Value = serde_json::from_str(&text).unwrap();
            let method = frame["method"].as_str().unwrap().to_owned();
            let result = json!({"method": method, "ok": true, "pong": true});
            let answer = json!({"id": frame["id"], "jsonrpc": "2.0", "result": result});
            line.send(Message::text(answer.to_string())).await.unwrap();
            if method != "ping" {
                methods.push(method);
            }
        }
        assert_eq!(methods, ["configure", "event"]);
        assert_eq!(state_of(&rig.plugin(&id).await), "active");
    }
}

/// An external plugin that takes every event, whatever it is called.
struct Mended {
    seen: Seen,
    _program: External,
}

impl Mended {
    async fn dial(rig: &Rig, token: &str) -> Self {
        let orders = Orders {
            take_all: true,
            ..Orders::default()
        };
        let seen = Seen::default();
        let deadline = tokio::time::Instant::now() + crate::rig::PATIENCE;
        let socket = loop {
            match dial(&rig.door(token)).await {
                Ok(socket) => break socket,
                Err(error) => assert!(tokio::time::Instant::now() < deadline, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        let program = External::on(socket, orders, seen.clone());
        Self {
            seen,
            _program: program,
        }
    }
}
