//! The server is killed at random moments, under load, again and again.

use std::time::Duration;

use futures_util::future::join_all;
use jackfield_testkit::Random;
use rustix::process::Signal;
use serde_json::json;
use tokio::time::Instant;

use crate::check;
use crate::client::Client;
use crate::model::World;
use crate::rig::{Database, Options, Rig, eventually};

/// Those who work with it at once.
const CLIENTS: usize = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn soak_kills_sqlite() {
    kills(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn soak_kills_postgres() {
    kills(Database::Postgres).await;
}

async fn kills(database: Database) {
    let _alone = crate::ALONE.acquire().await.unwrap();
    let kills = number("JACKFIELD_SOAK_KILLS").unwrap_or(20);
    let seed = number("JACKFIELD_SOAK_SEED").unwrap_or_else(|| {
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
        u64::from(now.subsec_nanos())
    });
    println!("{database:?}: {kills} kills, JACKFIELD_SOAK_SEED={seed}");
    let mut random = Random::new(seed);
    let mark = format!("soak-{}-{seed}-{database:?}", std::process::id());
    let options = Options::quick()
        .with("--restart-delay", "50ms")
        .with("--plugin-env", format!("SOAK_MARK={mark}"));
    let mut rig = Rig::start_with(database, options).await;
    let world = World::default();
    let mut clients: Vec<_> = (0..CLIENTS)
        .map(|number| Client::new(number, random.number()))
        .collect();
    let began = Instant::now();
    let mut starts = Vec::new();
    let mut unready = 0;
    for kill in 0..kills {
        if kill > 0 && kill % 50 == 0 {
            println!("{kill} kills in {:.0?}", began.elapsed());
        }
        let life = Duration::from_millis(random.below(1500) as u64);
        let load = join_all(clients.iter_mut().map(|client| client.work(&rig, &world)));
        let end = async {
            tokio::time::sleep(life).await;
            rig.signal(Signal::KILL);
        };
        tokio::join!(load, end);
        rig.ended().await;
        // Also while it starts, or just has.
        while random.below(4) == 0 {
            rig.start_again().await;
            tokio::time::sleep(Duration::from_millis(random.below(300) as u64)).await;
            rig.kill().await;
            unready += 1;
        }
        let start = Instant::now();
        rig.start_again().await;
        let listens = start.elapsed();
        let all = random.below(4) > 0 || kill + 1 == kills;
        if all {
            rig.ready().await;
            starts.push((listens, start.elapsed()));
        }
        check::settle(&rig, &world, &mut clients).await;
        if all {
            check::files(&rig, &clients).await;
            check::processes(&rig, &mark).await;
        }
    }
    let took = began.elapsed();
    let (mut plugins, mut events, mut again) = (0, 0, 0);
    for known in clients.iter().flat_map(|client| &client.installed) {
        if known.dialer.is_none() {
            rig.activate(&known.id).await;
        }
    }
    for known in clients.iter().flat_map(|client| &client.installed) {
        let (came, twice) = check::events(&rig, &world, known).await;
        plugins += 1;
        events += came;
        again += twice;
        let told = rig.state_folder(&known.id).join("configured.json");
        let configuration = known.configuration.known().unwrap();
        if known.dialer.is_none() && *configuration != json!({}) {
            let mut whole = configuration.clone();
            whole["key"] = whole["greeting"].clone();
            let whole = json!({"params": whole}).to_string();
            let told = || std::fs::read_to_string(&told).unwrap_or_default();
            eventually("it has its configuration", || told() == whole).await;
        }
    }
    let slowest = |of: fn(&(Duration, Duration)) -> Duration| starts.iter().map(of).max().unwrap();
    println!(
        "{kills} kills under load and {unready} more while it started, in {took:.1?}; slowest start: \
         {:.0?} until it listens, {:.0?} until it is ready",
        slowest(|start| start.0),
        slowest(|start| start.1),
    );
    let published = world.events.lock().unwrap().len();
    println!(
        "{published} events published; {plugins} plugins at the end got {events}, {again} of them again"
    );
    let figures = world.figures.lock().unwrap();
    println!(
        "{} answers lost, {} requests not sent",
        figures.lost, figures.not_sent
    );
    for (what, (count, all, most)) in &figures.answered {
        println!(
            "{count:6} × {what}: {:.1?}, at most {most:.1?}",
            *all / *count
        );
    }
}

pub(crate) fn number(variable: &str) -> Option<u64> {
    let set = std::env::var(variable).ok()?;
    Some(
        set.parse()
            .unwrap_or_else(|_| panic!("{variable}={set} is no number")),
    )
}
