//! A thousand external plugins at once: an event to all, and a server that ends and comes back.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use futures_util::{SinkExt as _, future};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::packages::manifest;
use crate::plugin::dial;
use crate::rig::{Database, Options, PATIENCE, Rig, id_of};

/// How many ask or dial at once.
const AT_ONCE: usize = 32;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn soak_thousand_sqlite() {
    thousand(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn soak_thousand_postgres() {
    thousand(Database::Postgres).await;
}

/// What all plugins have come to.
struct All {
    /// How many lines are open.
    open: watch::Receiver<usize>,
    /// Who got which event.
    took: mpsc::Receiver<(usize, String)>,
    _tasks: JoinSet<()>,
}

async fn thousand(database: Database) {
    let _alone = crate::ALONE.acquire().await.unwrap();
    let count = crate::kills::number("JACKFIELD_SOAK_PLUGINS").unwrap_or(1000) as usize;
    let mut rig = Rig::start_with(database, Options::quick()).await;
    rig.ready().await;
    println!("{database:?}: {} with no plugins", taken(&rig));

    let began = Instant::now();
    let install = |number: usize| {
        let rig = &rig;
        async move {
            let manifest = manifest(json!({"id": format!("plugin-{number}")}));
            let began = Instant::now();
            let (plugin, token) = rig.install_external(manifest).await;
            (id_of(&plugin), rig.door(&token), began.elapsed())
        }
    };
    let installed = stream::iter(0..count).map(install).buffered(AT_ONCE);
    let installed: Vec<_> = installed.collect().await;
    let slowest = installed.iter().map(|(_, _, took)| *took).max().unwrap();
    println!(
        "installed {count} in {:.1?}, {AT_ONCE} at once, the slowest in {slowest:.0?}; {}",
        began.elapsed(),
        taken(&rig)
    );

    let began = Instant::now();
    let doors = installed.iter().map(|(_, door, _)| door.clone()).collect();
    let mut all = All::dial(doors);
    all.until_open(count).await;
    println!("connected in {:.1?}; {}", began.elapsed(), taken(&rig));

    all.event(&rig, count, "first").await;
    all.event(&rig, count, "second").await;
    for (signal, name) in [(Signal::TERM, "SIGTERM"), (Signal::KILL, "SIGKILL")] {
        let began = Instant::now();
        let ended = rig.end(signal).await;
        let end = began.elapsed();
        assert_eq!(ended.code, (signal == Signal::TERM).then_some(0));
        all.until_open(0).await;
        let began = Instant::now();
        rig.start_again().await;
        let listens = began.elapsed();
        let ready = async {
            rig.ready().await;
            began.elapsed()
        };
        let (ready, ()) = future::join(ready, all.until_open(count)).await;
        println!(
            "{name}: ended in {end:.1?}; started again: listens after {listens:.1?}, ready after \
             {ready:.1?}, all {count} back after {:.1?}; {}",
            began.elapsed(),
            taken(&rig)
        );
        all.event(&rig, count, name).await;
    }
    let began = Instant::now();
    let list = rig.get("/plugins").await.expect(200);
    let list = list["plugins"].as_array().unwrap();
    let connected = list.iter().filter(|p| p["connection"]["connected"] == true);
    assert_eq!((list.len(), connected.count()), (count, count));
    println!("listed in {:.0?}", began.elapsed());
}

impl All {
    fn dial(doors: Vec<String>) -> Self {
        let (count, open) = watch::channel(0);
        let (tell, took) = mpsc::channel(doors.len());
        let mut tasks = JoinSet::new();
        for (number, door) in doors.into_iter().enumerate() {
            tasks.spawn(plugin(number, door, count.clone(), tell.clone()));
        }
        Self {
            open,
            took,
            _tasks: tasks,
        }
    }

    async fn until_open(&mut self, count: usize) {
        let open = self.open.wait_for(|open| *open == count);
        let in_time = timeout(PATIENCE * 2, open).await.is_ok();
        if !in_time {
            panic!("{} lines are open, not {count}", *self.open.borrow());
        }
    }

    /// Publishes an event: all take it.
    async fn event(&mut self, rig: &Rig, count: usize, id: &str) {
        let began = Instant::now();
        let told = rig.publish("EventThreadPublished", json!({"id": id})).await;
        let published = began.elapsed();
        assert_eq!(told["consumers"].as_array().unwrap().len(), count);
        let mut times = HashMap::new();
        while times.len() < count {
            let took = timeout(PATIENCE, self.took.recv()).await;
            let Ok(took) = took else {
                panic!("only {} of {count} took {id}", times.len());
            };
            let (number, taken) = took.unwrap();
            // One that was not acknowledged before a kill comes again.
            if taken == id {
                times.entry(number).or_insert_with(|| began.elapsed());
            }
        }
        let all = began.elapsed();
        println!("event {id}: published in {published:.1?}, taken by all {count} after {all:.1?}");
    }
}

/// Dials until it is let in, takes events, and dials again when its line ends.
async fn plugin(
    number: usize,
    door: String,
    open: watch::Sender<usize>,
    tell: mpsc::Sender<(usize, String)>,
) {
    loop {
        // As plugins do: soon, later where they are asked to, and not all at the same moment.
        let mut again = Duration::from_millis(100);
        match dial(&door).await {
            Ok(mut line) => {
                open.send_modify(|open| *open += 1);
                while let Some(Ok(message)) = line.next().await {
                    let Message::Text(text) = message else {
                        continue;
                    };
                    let frame: Value = serde_json::from_str(&text).expect("the host sends JSON");
                    let method = frame["method"].as_str().unwrap_or_default();
                    let result = json!({"method": method, "ok": true, "pong": true});
                    let answer = json!({"jsonrpc": "2.0", "id": frame["id"], "result": result});
                    let _ = line.send(Message::text(answer.to_string())).await;
                    if let ("event", Some(id)) = (method, frame["params"]["id"].as_str()) {
                        let _ = tell.send((number, id.to_owned())).await;
                    }
                }
                open.send_modify(|open| *open -= 1);
            }
            Err(Error::Http(response)) => {
                assert_eq!(response.status(), 503, "{number} is refused");
                again = Duration::from_secs(1);
            }
            Err(_) => {}
        }
        tokio::time::sleep(again + again * (number as u32 % 100) / 100).await;
    }
}

/// What the server has taken of the machine: memory, and time of its processors.
fn taken(rig: &Rig) -> String {
    let read = |what: &str| std::fs::read_to_string(format!("/proc/{}/{what}", rig.pid())).unwrap();
    let status = read("status");
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let resident = resident.unwrap().trim().trim_end_matches(" kB");
    let kib: f64 = resident.parse().unwrap();
    let stat = read("stat");
    let fields: Vec<&str> = stat
        .rsplit_once(')')
        .unwrap()
        .1
        .split_whitespace()
        .collect();
    let ticks: f64 = fields[11..13]
        .iter()
        .map(|ticks| ticks.parse::<f64>().unwrap())
        .sum();
    let mib = kib / 1024.0;
    let seconds = ticks / rustix::param::clock_ticks_per_second() as f64;
    format!("{mib:.1} MiB, {seconds:.1} s of processor time")
}
