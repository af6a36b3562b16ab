//! Logs as they come: server-sent events.

use std::time::Duration;

use futures_util::StreamExt as _;
use reqwest::Method;
use serde_json::{Value, json};

use crate::packages::{package, version};
use crate::peers::{Peer, node};
use crate::plugin::Orders;
use crate::rig::{Database, PATIENCE, Rig, id_of};

/// What a stream of events has in it.
#[derive(Debug, Clone, Default, PartialEq)]
struct Message {
    id: Option<String>,
    event: Option<String>,
    data: Vec<String>,
}

/// Reads a stream as the standard says, until this holds of a message or it ends.
struct Stream {
    body: futures_util::stream::BoxStream<'static, reqwest::Result<bytes::Bytes>>,
    rest: String,
}

impl Stream {
    async fn open(rig: &Rig, path: &str, last: Option<&str>) -> Self {
        let mut request = rig
            .request(Method::GET, path)
            .header("accept", "text/event-stream");
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = request.stream().await;
        assert_eq!(response.status(), 200);
        let kind = response.headers()["content-type"].to_str().unwrap();
        assert_eq!(kind, "text/event-stream; charset=utf-8");
        assert!(
            response.headers()["cache-control"]
                .to_str()
                .unwrap()
                .contains("no-cache")
        );
        Self {
            body: response.bytes_stream().boxed(),
            rest: String::new(),
        }
    }

    /// The next message; `None` at the end of the body.
    async fn next(&mut self) -> Option<Message> {
        loop {
            while let Some(at) = self.rest.find("\n\n") {
                let block: String = self.rest.drain(..at + 2).collect();
                let mut message = Message::default();
                for line in block.lines().filter(|line| !line.starts_with(':')) {
                    let (name, value) = line.split_once(':').unwrap_or((line, ""));
                    let value = value.strip_prefix(' ').unwrap_or(value).to_owned();
                    match name {
                        "id" => message.id = Some(value),
                        "event" => message.event = Some(value),
                        "data" => message.data.push(value),
                        _ => {}
                    }
                }
                if message != Message::default() {
                    return Some(message);
                }
            }
            let bytes = tokio::time::timeout(PATIENCE, self.body.next()).await;
            let bytes = bytes.expect("something comes in time")?.ok()?;
            self.rest.push_str(std::str::from_utf8(&bytes).unwrap());
        }
    }

    /// Messages until one whose data is this.
    async fn until(&mut self, data: &str) -> Vec<Message> {
        let mut all = Vec::new();
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let Ok(next) = tokio::time::timeout_at(deadline, self.next()).await else {
                panic!("{data:?} never comes: {all:#?}");
            };
            let message = next.unwrap_or_else(|| panic!("it ends before {data:?}: {all:#?}"));
            let found = message.data == [data];
            all.push(message);
            if found {
                return all;
            }
        }
    }

    async fn rest(mut self) -> Vec<Message> {
        let mut all = Vec::new();
        while let Some(message) = self.next().await {
            all.push(message);
        }
        all
    }
}

async fn say(rig: &Rig, id: &str, text: &str) {
    rig.call(id, "say", json!({"text": text})).await;
}

async fn talkative(rig: &Rig) -> String {
    let id = id_of(&rig.install(version("1.0.0")).await);
    rig.activate(&id).await;
    for text in ["one", "two", "three"] {
        say(rig, &id, text).await;
    }
    id
}

fn data(messages: &[Message]) -> Vec<&str> {
    messages
        .iter()
        .filter(|m| m.event.is_none())
        .map(|m| m.data[0].as_str())
        .collect()
}

on_both! {
    async fn history_and_what_comes(database) {
        let rig = Rig::start(database).await;
        let id = talkative(&rig).await;
        let mut stream = Stream::open(&rig, &format!("/plugins/{id}/logs"), None).await;
        let before = stream.until("three").await;
        assert!(data(&before).ends_with(&["one", "two", "three"]), "{before:#?}");
        say(&rig, &id, "four").await;
        let four = stream.until("four").await;
        assert_eq!(four.len(), 1, "{four:#?}");
        // Numbered without gaps.
        let numbers: Vec<u64> = before.iter().chain(&four).map(|m| m.id.as_ref().unwrap().parse().unwrap()).collect();
        assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{numbers:?}");
        // The same again for who was cut off, from where it was.
        drop(stream);
        say(&rig, &id, "five").await;
        let last = before.last().unwrap().id.clone().unwrap();
        let mut stream = Stream::open(&rig, &format!("/plugins/{id}/logs"), Some(&last)).await;
        assert_eq!(data(&stream.until("five").await), ["four", "five"]);
        let nonsense = rig
            .request(Method::GET, &format!("/plugins/{id}/logs"))
            .header("last-event-id", "nonsense");
        nonsense.send().await.problem(400);
        // It is there for an inactive plugin, and ends when the plugin is removed.
        rig.set_active(&id, "inactive").await.expect(200);
        let stream = Stream::open(&rig, &format!("/plugins/{id}/logs"), None).await;
        assert_eq!(rig.delete(&format!("/plugins/{id}")).await.status, 204);
        let rest = stream.rest().await;
        assert_eq!(rest.last().unwrap().event.as_deref(), Some("end"), "{rest:#?}");
    }

    async fn parts_of_it(database) {
        let mut rig = Rig::start(database).await;
        let id = talkative(&rig).await;
        let path = format!("/plugins/{id}/logs?follow=false");
        let all = Stream::open(&rig, &path, None).await.rest().await;
        let end = all.last().unwrap();
        assert_eq!((end.event.as_deref(), end.data.as_slice()), (Some("end"), &[String::new()][..]), "{all:#?}");
        let two = Stream::open(&rig, &format!("{path}&tail=2"), None).await.rest().await;
        assert_eq!(data(&two), ["two", "three"]);
        let none = Stream::open(&rig, &format!("{path}&tail=0"), None).await.rest().await;
        assert_eq!(data(&none), Vec::<&str>::new());
        let recent = Stream::open(&rig, &format!("{path}&since=10m"), None).await.rest().await;
        assert_eq!(recent, all);
        let future = Stream::open(&rig, &format!("{path}&since=2999-01-01T00:00:00Z"), None).await.rest().await;
        assert_eq!(data(&future), Vec::<&str>::new());
        for wrong in ["since=yesterday", "tail=-1", "tail=x", "follow=perhaps", "level=loud", "format=xml"] {
            rig.get(&format!("/plugins/{id}/logs?{wrong}")).await.problem(400);
        }
        let whole = Stream::open(&rig, &format!("{path}&tail=1&format=json"), None).await.rest().await;
        let record: Value = serde_json::from_str(&whole[0].data[0]).unwrap();
        assert!(record.to_string().contains("three") && record.is_object(), "{record:#}");
        // It is what it was after a restart, and goes on with the numbers.
        rig.restart().await;
        rig.ready().await;
        rig.until_state(&id, "active").await;
        say(&rig, &id, "after").await;
        let mut stream = Stream::open(&rig, &format!("/plugins/{id}/logs"), None).await;
        let after = stream.until("after").await;
        let numbers: Vec<u64> = after.iter().map(|m| m.id.as_ref().unwrap().parse().unwrap()).collect();
        assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{numbers:?}");
    }

    /// The end of the server is the end of the stream, and is said.
    async fn ends_with_the_server(database) {
        let mut rig = Rig::start(database).await;
        let id = talkative(&rig).await;
        let mut stream = Stream::open(&rig, &format!("/plugins/{id}/logs"), None).await;
        stream.until("three").await;
        rig.signal(rustix::process::Signal::TERM);
        let rest = stream.rest().await;
        assert_eq!(rest.last().unwrap().event.as_deref(), Some("end"), "{rest:#?}");
        let ended = rig.ended().await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(ended.took < Duration::from_secs(9), "{ended:?}");
    }

    /// A browser's own client: it sees the lines, the end, and comes back where it was after a kill of the server.
    async fn for_browsers(database) {
        let mut rig = Rig::start(database).await;
        let id = talkative(&rig).await;
        let mut command = node("logs.mjs");
        command.arg(format!("{}/api/plugins/{id}/logs", rig.url())).arg(&rig.token);
        let mut browser = Peer::start(command);
        browser.told_when(|told| told["data"] == "three").await;
        rig.kill().await;
        rig.start_again().await;
        rig.ready().await;
        rig.until_state(&id, "active").await;
        say(&rig, &id, "after the kill").await;
        let mut seen = Vec::new();
        browser.told_when(|told| {
            seen.push(told.clone());
            told["data"] == "after the kill"
        }).await;
        assert!(!seen.iter().any(|told| told["data"] == "three"), "it began anew: {seen:#?}");
        assert_eq!(rig.delete(&format!("/plugins/{id}")).await.status, 204);
        browser.told_when(|told| told["event"] == "end").await;
        assert!(browser.end().await.0);
    }

    /// Followers that come while lines are written see each of them, and soon.
    async fn a_follower_misses_nothing(database) {
        let rig = Rig::start(database).await;
        let id = talkative(&rig).await;
        for n in 0..60 {
            let last = format!("last {n}");
            let long = "y".repeat(1000 * (n % 40));
            let write = async {
                say(&rig, &id, &long).await;
                say(&rig, &id, &last).await;
            };
            let path = format!("/plugins/{id}/logs?tail=100");
            let read = async {
                let mut stream = Stream::open(&rig, &path, None).await;
                stream.until(&last).await;
            };
            let began = tokio::time::Instant::now();
            tokio::join!(write, read);
            assert!(began.elapsed() < Duration::from_secs(10), "{n}: {:?}", began.elapsed());
        }
    }

    async fn long_lines_and_many(database) {
        let rig = Rig::start(database).await;
        let say = vec!["x".repeat(200_000), "naïve 🎉 line".to_owned(), String::new(), "a\rb".to_owned(), "last".to_owned()];
        let orders = Orders { say, ..Orders::default() };
        let id = id_of(&rig.install(package(&orders, json!({}))).await);
        rig.activate(&id).await;
        // What a plugin wrote before it connected may be read a moment later.
        let mut stream = Stream::open(&rig, &format!("/plugins/{id}/logs"), None).await;
        let all = stream.until("last").await;
        let text: String = data(&all).concat();
        assert_eq!(text.matches('x').count(), 200_000, "lines were lost");
        assert!(text.contains("naïve 🎉 line"), "{text}");
        // To a browser, a carriage return ends a line as well: what is behind it would be lost.
        let raw = rig.get(&format!("/plugins/{id}/logs?follow=false")).await.text();
        assert!(!raw.contains('\r'), "{raw:?}");
        assert!(text.ends_with("ablast") || all.iter().any(|m| m.data == ["a", "b"]), "{:#?}", &all[all.len() - 5..]);
        let posing = "data: posing\n\nevent: end";
        rig.call(&id, "say", json!({"text": posing})).await;
        let all = Stream::open(&rig, &format!("/plugins/{id}/logs?follow=false"), None).await.rest().await;
        let ends = all.iter().filter(|m| m.event.is_some()).count();
        assert_eq!(ends, 1, "{:#?}", &all[all.len() - 5..]);
        let text = data(&all).join("\n");
        assert!(text.contains("data: posing") && text.contains("event: end"), "{:#?}", &all[all.len() - 5..]);
    }
}
