//! Settings, environments and machines at their limits: an error or a plugin, but no panic, no hang, nothing left.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use jackfield_grpc::{KeepAlive, ProcessState, Spawn, SpawnError};
use jackfield_testkit::grpc::{Bed, KvClient, get, put};
use jackfield_testkit::{
    Again, alive_with, as_program, eventually, open_files, tell, tree_of, until_file, within,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;

use crate::RIG;

/// No time at all is too little, and that is an error like any other.
#[tokio::test]
async fn no_time() {
    let bed = Bed::default();
    for timeout in [
        Duration::ZERO,
        Duration::from_nanos(1),
        Duration::from_millis(1),
    ] {
        let spawn = bed.spawn(RIG, "--not-ready never").start_timeout(timeout);
        let error = within(spawn.spawn::<KvClient>()).await.err().unwrap();
        assert!(matches!(error, SpawnError::NotReady { .. }), "{error:?}");
        assert!(bed.alive().is_empty());
    }
}

/// For ever is for ever.
#[tokio::test]
async fn endless_times() {
    let bed = Bed::default();
    let spawn = bed
        .spawn(RIG, "--constructor 100 --identity well")
        .start_timeout(Duration::MAX)
        .grace(Duration::MAX)
        .default_timeout(Duration::MAX)
        .keep_alive(KeepAlive {
            interval: Some(Duration::MAX),
            timeout: Duration::MAX,
            while_idle: true,
        });
    let plugin = within(spawn.spawn::<KvClient>()).await.unwrap();
    assert_eq!(get(&plugin.client, "identity").await.unwrap(), "well");
    assert!(within(plugin.stop()).await.status.success());
}

/// Nothing is allowed, everything is allowed.
#[tokio::test]
async fn sizes() {
    let bed = Bed::default();
    let spawn = bed
        .spawn(RIG, "--identity well")
        .max_message_size(usize::MAX);
    let plugin = within(spawn.spawn::<KvClient>()).await.unwrap();
    within(put(&plugin.client, "k", vec![b'x'; 1 << 20]))
        .await
        .unwrap();
    assert_eq!(get(&plugin.client, "k").await.unwrap().len(), 1 << 20);
    // A ping's answer is empty: it fits.
    let spawn = bed.spawn(RIG, "--identity well").max_message_size(0);
    let plugin = within(
        spawn
            .start_timeout(Duration::from_secs(5))
            .spawn::<KvClient>(),
    )
    .await;
    if let Ok(plugin) = plugin {
        assert!(get(&plugin.client, "identity").await.is_err());
    }
    let eager = KeepAlive {
        interval: Some(Duration::ZERO),
        timeout: Duration::from_secs(20),
        while_idle: true,
    };
    let spawn = bed.spawn(RIG, "--identity well").keep_alive(eager);
    let plugin = within(spawn.spawn::<KvClient>()).await.unwrap();
    assert_eq!(get(&plugin.client, "identity").await.unwrap(), "well");
}

/// What cannot stand in an environment or on a command line is an error that says so.
#[tokio::test]
async fn what_cannot_be_passed() {
    let bed = Bed::default();
    let spawns = [
        bed.spawn(RIG, "").env("A\0B", "x"),
        bed.spawn(RIG, "").env("A", "x\0y"),
        bed.spawn(RIG, "").env("A=B", "x"),
        bed.spawn(RIG, "").env("", "x"),
        bed.spawn(RIG, "").arg("x\0y"),
        bed.spawn("", ""),
        bed.spawn("a\0b", ""),
        bed.spawn(RIG, "").folder("a\0b"),
        bed.spawn(RIG, "").arg("x".repeat(3 << 20)),
    ];
    for (n, spawn) in spawns.into_iter().enumerate() {
        let spawn = spawn.start_timeout(Duration::from_secs(5));
        let plugin = within(spawn.spawn::<KvClient>()).await;
        match plugin {
            // Some of it may be left out instead.
            Ok(plugin) => drop(within(plugin.stop()).await),
            Err(error) => {
                assert!(!error.to_string().is_empty());
                assert!(
                    !matches!(error, SpawnError::NotReady { .. }),
                    "{n}: {error}"
                );
            }
        }
        assert!(bed.alive().is_empty(), "{n}");
    }
}

/// Names are for people: anything goes.
#[tokio::test]
async fn names() {
    for name in [
        "",
        "ö/../x",
        "a\nb\0c",
        "{\"level\":\"error\"}",
        &"n".repeat(10_000),
    ] {
        let bed = Bed::default();
        let spawn = Spawn::new(name, RIG).module(name).folder(bed.path());
        let plugin = within(spawn.spawn::<KvClient>()).await;
        let plugin = plugin.unwrap_or_else(|error| panic!("{name:.20}: {error}"));
        within(plugin.stop()).await;
    }
}

/// It stands still before it listens: the error says that it was stopped, and the kill reaches it.
#[tokio::test]
async fn stopped_at_the_start() {
    let bed = Bed::default();
    let spawn = bed
        .spawn(RIG, "--die 19")
        .start_timeout(Duration::from_millis(700));
    let error = within(spawn.spawn::<KvClient>()).await.err().unwrap();
    let SpawnError::NotReady { state, .. } = &error else {
        panic!("{error:?}")
    };
    assert_eq!(*state, ProcessState::Stopped);
    assert!(
        error.to_string().to_lowercase().contains("stopped"),
        "{error}"
    );
    assert!(bed.alive().is_empty());
}

/// Under another user than the host: ready, proven, stopped.
#[tokio::test]
async fn another_user() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can become another user");
        return;
    }
    use std::os::unix::fs::PermissionsExt as _;
    let open = std::fs::Permissions::from_mode(0o755);
    let bed = Bed::default();
    std::fs::set_permissions(bed.path(), open.clone()).unwrap();
    let copy = bed.file("grpc_rig");
    std::fs::copy(RIG, &copy).unwrap();
    std::fs::set_permissions(&copy, open).unwrap();
    let spawn = bed
        .spawn("setpriv", "--reuid=65534 --regid=65534 --clear-groups --")
        .args([&copy, "--identity", "somebody", "--deaf"]);
    let spawn = spawn.grace(Duration::from_millis(300));
    let plugin = within(spawn.spawn::<KvClient>()).await.unwrap();
    assert_eq!(get(&plugin.client, "identity").await.unwrap(), "somebody");
    let exit = within(plugin.stop()).await;
    assert!(exit.asked && exit.left.is_empty(), "{exit:?}");
    assert!(bed.alive().is_empty());
}

/// The serving process has left the program's session and group, and the program waits for it.
#[tokio::test]
async fn a_server_in_a_session_of_its_own() {
    let bed = Bed::default();
    let script = format!("setsid {RIG} --identity apart & wait");
    let spawn = bed.spawn("bash", "-c").arg(script);
    let plugin = within(spawn.spawn::<KvClient>()).await.unwrap();
    assert_eq!(get(&plugin.client, "identity").await.unwrap(), "apart");
    let exit = within(plugin.stop()).await;
    assert!(exit.asked, "{exit:?}");
    assert!(bed.alive().is_empty());
}

/// The program ends and leaves a server behind: that is an end like any other, and the server goes with it.
#[tokio::test]
async fn a_server_that_outlives_its_program() {
    let bed = Bed::default();
    let script = format!(
        "setsid {RIG} --touch {} --wait /nowhere & exit 6",
        bed.file("runs")
    );
    let spawn = bed
        .spawn("bash", "-c")
        .arg(script)
        .start_timeout(Duration::from_secs(30));
    let began = tokio::time::Instant::now();
    let error = within(spawn.spawn::<KvClient>()).await.err().unwrap();
    assert!(began.elapsed() < Duration::from_secs(8));
    assert_eq!(
        error.exit().and_then(|exit| exit.status.code()),
        Some(6),
        "{error}"
    );
    assert!(bed.alive().is_empty());
}

/// A sink that panics costs its record, and nothing else.
#[tokio::test]
async fn a_sink_that_panics() {
    let bed = Bed::default();
    let calls = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&calls);
    let spawn = bed.spawn(RIG, "--flood 100").on_record(move |record| {
        seen.fetch_add(1, Ordering::Relaxed);
        assert!(record.message.ends_with('7'), "the sink panics");
    });
    let plugin = within(spawn.spawn::<KvClient>()).await.unwrap();
    get(&plugin.client, "say:the last 7").await.unwrap();
    within(plugin.stop()).await;
    assert_eq!(
        calls.load(Ordering::Relaxed),
        102,
        "with the word on the signal"
    );
}

/// A reason as long as a book is cut, in the error and on the way there.
#[tokio::test]
async fn a_long_reason() {
    let bed = Bed::default();
    let reason = format!("begin-{}", "x".repeat(100_000));
    let spawn = bed.spawn(RIG, "--not-ready").arg(reason);
    let spawn = spawn.start_timeout(Duration::from_millis(700));
    let error = within(spawn.spawn::<KvClient>()).await.err().unwrap();
    let text = error.to_string();
    assert!(text.contains("begin-"), "{text:.300}");
    assert!(text.len() < 110_000, "{}", text.len());
}

/// Not a test of its own: a host that may open next to nothing.
#[tokio::test]
async fn poor_host() {
    let Some(folder) = as_program() else { return };
    let spawn = |orders: &str| {
        let spawn = Spawn::new("rig", RIG).folder(&folder);
        let spawn = spawn
            .args(orders.split_whitespace())
            .start_timeout(Duration::from_secs(20));
        spawn.spawn::<KvClient>()
    };
    within(within(spawn("")).await.unwrap().stop()).await;
    // The process that forks, and the init for the next spawn, which is there a moment later.
    let helpers = || tree_of(std::process::id()).len();
    eventually(Duration::from_secs(10), "they are there", || helpers() == 2).await;
    let before = open_files();
    let rich = getrlimit(Resource::Nofile);
    let mut failed = 0;
    for spare in 0..40u64 {
        let current = Some(before as u64 + spare);
        setrlimit(Resource::Nofile, Rlimit { current, ..rich }).unwrap();
        let spawned = within(spawn("")).await;
        setrlimit(Resource::Nofile, rich).unwrap();
        match spawned {
            Ok(plugin) => drop(within(plugin.stop()).await),
            Err(error) => {
                assert!(
                    !matches!(error, SpawnError::NotReady { .. }),
                    "with {spare} to spare: {error}"
                );
                failed += 1;
            }
        }
        eventually(
            Duration::from_secs(10),
            "as many open files as before",
            || open_files() <= before,
        )
        .await;
    }
    let mark = folder.display().to_string();
    let mut left = alive_with(&mark);
    // Those have the environment of this process.
    left.retain(|pid| {
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        *pid != std::process::id() && !name.starts_with("jackfield-")
    });
    tell(&json!({"failed": failed, "left": left}));
    within(within(spawn("")).await.unwrap().stop()).await;
}

/// Whichever descriptor is the one too many: an error at once, nothing left running or open, and the next one works.
#[tokio::test]
async fn out_of_descriptors() {
    let bed = Bed::default();
    let mut program = Again::run("extremes::poor_host", bed.path(), |_| {});
    let told = program.told().await;
    assert!(told["failed"].as_u64().unwrap() > 0, "{told}");
    assert_eq!(told["left"], json!([]));
    assert!(program.ended_well().await);
}

/// The runtime ends in the middle of a start.
#[test]
fn a_runtime_that_ends_in_a_start() {
    for orders in ["--deaf --not-ready never", "--never-listen"] {
        let bed = Bed::default();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let spawn = bed.spawn(RIG, &format!("--touch @/runs {orders}"));
        let runs = bed.file("runs");
        let starting = runtime.spawn(async move { drop(spawn.spawn::<KvClient>().await) });
        runtime.block_on(async { until_file(runs).await });
        drop(runtime);
        drop(starting);
        let deadline = std::time::SystemTime::now() + Duration::from_secs(10);
        while !bed.alive().is_empty() {
            assert!(std::time::SystemTime::now() < deadline, "{:?}", bed.alive());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
