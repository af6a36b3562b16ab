//! Many plugins, and everything that can happen to them, for a while; then nothing may be left.
//!
//! `JACKFIELD_SOAK_SECONDS` says for how long (8), `JACKFIELD_SOAK_PLUGINS` how many (200),
//! `JACKFIELD_SOAK_SEED` by which chance; a failure prints the seed it was found with.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jackfield::ReportedState::{Active, Errored, Inactive};
use jackfield::package::Package;
use jackfield::wire::methods::Ping;
use jackfield::{
    ActiveState, CallOptions, Host, InstallationId, LoadError, LogLimits, LogQuery, Policy,
    ReportedState, Session, Spec, Token,
};
use jackfield_testkit::{
    Dial, Program, Random, Rig, alive_with, bench_host, children, end, eventually, manifest,
    open_files, parent_of, quick, within,
};
use serde_json::json;
use tokio::runtime::Handle;
use tokio::time::Instant;

const RIG: &str = env!("CARGO_BIN_EXE_rig");
/// Tasks that make things happen.
const HANDS: usize = 48;
const NOTHING: [u32; 0] = [];

fn setting<T: FromStr>(name: &str, default: T) -> T {
    let set = std::env::var(name).ok();
    set.and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// What is installed, by place.
struct Bench {
    host: Host,
    packages: Vec<Arc<Package>>,
    supervised: Vec<InstallationId>,
    external: Vec<(InstallationId, Token)>,
    done: [AtomicUsize; DEEDS.len()],
}

type Deed = (&'static str, usize);

/// What can happen, and how often beside the others.
const DEEDS: [Deed; 14] = [
    ("kill", 12),
    ("kill the parent", 4),
    ("stop", 12),
    ("start", 14),
    ("start and stop at once", 6),
    ("cut", 8),
    ("hang up", 6),
    ("exit", 6),
    ("call", 30),
    ("take a call back", 10),
    ("publish", 8),
    ("unload and load", 4),
    ("dial", 20),
    ("look", 4),
];

impl Bench {
    async fn load(&self, place: usize) -> Session {
        let id = self.supervised[place];
        loop {
            let package = Arc::clone(&self.packages[place % self.packages.len()]);
            match self.host.load(Spec::supervised(id, package)) {
                Ok(session) => return session,
                // Another hand is at it: the end of that is waited for by taking part in it.
                Err(LoadError::Unloading(_)) => within(self.host.unload(id)).await,
                Err(error) => panic!("{error}"),
            }
        }
    }

    async fn load_all(&self, places: &[usize]) -> Vec<Session> {
        let mut sessions = Vec::new();
        for place in places {
            sessions.push(self.load(*place).await);
        }
        sessions
    }

    /// One thing that happens to one plugin.
    async fn act(&self, random: &mut Random) {
        let mut chance = random.below(DEEDS.iter().map(|(_, often)| often).sum());
        let deed = DEEDS.iter().position(|(_, often)| {
            let hit = chance < *often;
            chance = chance.saturating_sub(*often);
            hit
        });
        let deed = deed.unwrap();
        let place = random.below(self.supervised.len());
        let session = self.load(place).await;
        let pid = session.status().borrow().pid;
        let wish = |state| within(session.set_active_state(state));
        match DEEDS[deed].0 {
            "kill" => pid.into_iter().for_each(end),
            // Only what is ours, and what is not this process.
            "kill the parent" => pid
                .and_then(parent_of)
                .filter(|parent| parent_of(*parent) == Some(std::process::id()))
                .into_iter()
                .for_each(end),
            "stop" => _ = wish(ActiveState::Inactive).await,
            "start" => _ = wish(ActiveState::Active).await,
            "start and stop at once" => {
                let (start, stop) = (wish(ActiveState::Active), wish(ActiveState::Inactive));
                let _ = tokio::join!(start, stop, wish(ActiveState::Active));
            }
            "cut" => _ = call(&session, "cut").await,
            "hang up" => _ = call(&session, "hang_up").await,
            "exit" => _ = call(&session, "exit").await,
            "call" => {
                if let Ok(pong) = within(session.call::<Ping>(&None)).await {
                    assert!(pong.pong);
                }
            }
            "take a call back" => {
                let wait = Duration::from_millis(random.below(20) as u64);
                let silent = session.call_raw("silent", None, CallOptions::default());
                let _ = tokio::time::timeout(wait, silent).await;
            }
            "publish" => {
                let published = self.host.publish("EventPostLiked", json!({"n": 1}));
                published.unwrap();
            }
            "unload and load" => {
                within(self.host.unload(session.id())).await;
                let session = self.load(place).await;
                let _ = within(session.set_active_state(ActiveState::Active)).await;
            }
            "dial" => self.dial(random).await,
            "look" => look(&self.host.session(session.id()).unwrap_or(session)).await,
            other => unreachable!("{other}"),
        }
        self.done[deed].fetch_add(1, Ordering::Relaxed);
    }

    /// A program dials in, is called, and goes, or is sent away.
    async fn dial(&self, random: &mut Random) {
        let (id, token) = random.of(&self.external);
        let reply = Dial::external(&self.host, token).send().await;
        if reply.status != 101 {
            assert_eq!(reply.status, 503, "{}", reply.body);
            return;
        }
        let session = self.host.session(*id).unwrap();
        match random.below(4) {
            // Gone before a word, and silent with its line open.
            0 => drop(reply.stream()),
            1 => {
                let silent = reply.stream();
                _ = call(&session, "echo").await;
                drop(silent);
            }
            2 => {
                let program = Program::on(reply.line().await);
                _ = call(&session, "echo").await;
                drop(program);
            }
            _ => {
                let program = Program::on(reply.line().await);
                within(session.set_active_state(ActiveState::Inactive))
                    .await
                    .unwrap();
                program.end().await;
                within(session.set_active_state(ActiveState::Active))
                    .await
                    .unwrap();
            }
        }
    }
}

async fn call(session: &Session, method: &str) -> bool {
    let call = session.call_raw(method, None, CallOptions::default());
    within(call).await.is_ok()
}

/// What holds at any moment.
async fn look(session: &Session) {
    let status = session.status().borrow().clone();
    match status.state {
        Active => assert!(status.pid.is_some() && status.error.is_none(), "{status:?}"),
        Inactive => assert!(status.pid.is_none() && status.error.is_none(), "{status:?}"),
        _ => {}
    }
    let history = session.history();
    for pair in history.windows(2) {
        assert_ne!(pair[0].state, pair[1].state, "{history:#?}");
        let follows = matches!(
            (pair[0].state, pair[1].state),
            (
                ReportedState::Inactive | ReportedState::Errored,
                ReportedState::Starting
            ) | (ReportedState::Starting, _)
                | (ReportedState::Connecting, _)
                | (ReportedState::Active, _)
                | (
                    ReportedState::Stopping,
                    ReportedState::Inactive | ReportedState::Starting
                )
                | (ReportedState::Restarting, _)
        );
        assert!(follows, "{history:#?}");
    }
    // Never two processes of one session. Once more, should one go while the other comes.
    let id = session.id().to_string();
    let count = tokio::task::spawn_blocking(move || alive_with(&id).len())
        .await
        .unwrap();
    assert!(
        count <= 1,
        "{count} processes of one session: {status:?} {history:#?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_left_after_a_soak() {
    let seconds: u64 = setting("JACKFIELD_SOAK_SECONDS", 8);
    let plugins: usize = setting("JACKFIELD_SOAK_PLUGINS", 200);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let seed: u64 = setting("JACKFIELD_SOAK_SEED", now.as_nanos() as u64);
    println!("JACKFIELD_SOAK_SEED={seed} JACKFIELD_SOAK_PLUGINS={plugins}");
    let metrics = Handle::current().metrics();
    let (files_before, tasks_before) = (open_files(), metrics.num_alive_tasks());
    let limits = LogLimits {
        file: 20_000,
        total: 60_000,
    };
    let test_host = bench_host(|builder| {
        builder.log_limits(limits).policy(Policy {
            restarts: u32::MAX,
            dial_deadline: Duration::from_secs(4),
            call_deadline: Duration::from_secs(2),
            stop_grace: Duration::from_millis(200),
            heartbeat: Duration::from_secs(1),
            dead_after: Duration::from_secs(4),
            event_queue: 32,
            ..quick()
        })
    })
    .await;
    let consumes = json!({"events_consumed": ["EventPostLiked"]});
    let rig = |orders: &str| Rig::new(orders).manifest(consumes.clone()).package(RIG);
    let mut external = Vec::new();
    for _ in 0..plugins.div_ceil(10) {
        let (session, token) = test_host.expect(&manifest(consumes.clone())).await;
        external.push((session.id(), token));
    }
    let bench = Arc::new(Bench {
        host: Host::clone(&test_host),
        packages: vec![
            rig("--redials"),
            rig("--say hello"),
            rig("--stay"),
            rig("--deaf --stay"),
        ],
        supervised: (0..plugins).map(|_| InstallationId::new()).collect(),
        external,
        done: Default::default(),
    });
    let began = Instant::now();
    for places in (0..plugins).collect::<Vec<_>>().chunks(16) {
        let sessions = bench.load_all(places).await;
        for session in &sessions {
            session.set_active_state(ActiveState::Active).await.unwrap();
        }
        for session in &sessions {
            within(session.ready()).await.unwrap();
        }
    }
    println!("{plugins} plugins are up after {:?}", began.elapsed());
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut hands = tokio::task::JoinSet::new();
    for hand in 0..HANDS {
        let bench = Arc::clone(&bench);
        let mut random = Random::new(seed.wrapping_add(hand as u64));
        hands.spawn(async move {
            while Instant::now() < end {
                bench.act(&mut random).await;
            }
        });
    }
    while let Some(done) = hands.join_next().await {
        done.unwrap_or_else(|error| panic!("with JACKFIELD_SOAK_SEED={seed}: {error}"));
    }
    for ((deed, _), count) in DEEDS.iter().zip(&bench.done) {
        println!("{:6} {deed}", count.load(Ordering::Relaxed));
    }
    let since = |what: &str| println!("{what} after {:?}", began.elapsed());
    since("the last hand is back");
    everything_works(&bench, seed).await;
    since("all are up again");
    everything_ends(&bench).await;
    since("all are stopped");
    let left = within(bench.host.shutdown(Duration::from_secs(10))).await;
    assert_eq!(left.killed, []);
    since("the host is down");
    assert_eq!(alive_with(&test_host.mark()), NOTHING, "seed {seed}");
    // Reaped, too: nothing is left to the one who embeds the host.
    assert_eq!(children(), NOTHING, "seed {seed}");
    let leases = test_host.folder().join("leases");
    assert_eq!(
        std::fs::read_dir(leases).unwrap().count(),
        0,
        "leases are left"
    );
    drop((bench, test_host));
    since("its folder is removed");
    eventually(Duration::from_secs(10), "all tasks have ended", || {
        metrics.num_alive_tasks() <= tasks_before
    })
    .await;
    since("all is gone");
    let files = open_files();
    assert!(
        files <= files_before + 3,
        "{files_before} files before, {files} after"
    );
}

/// After all that each plugin can be had again.
async fn everything_works(bench: &Arc<Bench>, seed: u64) {
    for places in (0..bench.supervised.len()).collect::<Vec<_>>().chunks(16) {
        let sessions = bench.load_all(places).await;
        for session in &sessions {
            session.set_active_state(ActiveState::Active).await.unwrap();
        }
        for session in &sessions {
            let ready = within(session.ready()).await;
            ready.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        }
    }
    for session in bench.host.sessions() {
        assert_ne!(session.status().borrow().state, Errored, "seed {seed}");
    }
}

/// Stopped, each says so, and no call is left.
async fn everything_ends(bench: &Arc<Bench>) {
    let mut stops = tokio::task::JoinSet::new();
    for session in bench.host.sessions() {
        stops.spawn(async move {
            within(session.set_active_state(ActiveState::Inactive))
                .await
                .unwrap();
            let status = session.status().borrow().clone();
            assert_eq!((status.state, status.pid), (Inactive, None));
            assert_eq!(session.open_calls(), (0, 0));
            if let Ok(mut logs) = session.logs(LogQuery::default()) {
                let mut last = 0;
                while let Some(record) = within(logs.next()).await {
                    assert!(record.seq > last);
                    last = record.seq;
                }
            }
        });
    }
    while let Some(done) = stops.join_next().await {
        done.unwrap();
    }
}
