//! Starts that fail: soon, with a text that says why, and with nothing left running.

use std::error::Error as _;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use jackfield_grpc::{Spawn, SpawnError};
use jackfield_testkit::grpc::{Bed, KvClient, pid_in, until_dead};
use jackfield_testkit::{
    Again, alive, as_program, children, eventually, open_files, tell, until_file, within,
};
use serde_json::json;
use tokio::time::Instant;

use crate::RIG;

/// Longer than a scheduler's whim, shorter than any timeout here but those that are meant.
const SOON: Duration = Duration::from_secs(8);

/// Spawns what must fail, and gives the error and its whole text: that of its sources, too.
async fn fails(spawn: Spawn) -> (SpawnError, String) {
    let error = within(spawn.spawn::<KvClient>())
        .await
        .expect_err("it fails");
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    (error, text)
}

/// The same for what must fail long before its time is over; nothing of it is left at that moment.
async fn fails_soon(bed: &Bed, orders: &str) -> (SpawnError, String) {
    let began = Instant::now();
    let failed = fails(bed.spawn(RIG, orders)).await;
    assert!(
        began.elapsed() < SOON,
        "{:?}: {}",
        began.elapsed(),
        failed.1
    );
    assert!(bed.alive().is_empty(), "{orders} left {:?}", bed.alive());
    nothing_in_the_folder(bed);
    failed
}

/// The same for what fails when its time is over.
async fn times_out(bed: &Bed, orders: &str) -> (SpawnError, String) {
    let timeout = Duration::from_millis(900);
    let began = Instant::now();
    let failed = fails(bed.spawn(RIG, orders).start_timeout(timeout)).await;
    let took = began.elapsed();
    assert!(took >= timeout, "{took:?}: {}", failed.1);
    assert!(
        matches!(failed.0, SpawnError::NotReady { .. }),
        "{:?}",
        failed.0
    );
    assert!(bed.alive().is_empty(), "{orders} left {:?}", bed.alive());
    nothing_in_the_folder(bed);
    failed
}

fn nothing_in_the_folder(bed: &Bed) {
    let left = std::fs::read_dir(bed.file(".ftl")).into_iter().flatten();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.is_empty(), "{left:?}");
}

fn says(text: &str, words: &[&str]) {
    let lower = text.to_lowercase();
    for word in words {
        assert!(
            lower.contains(&word.to_lowercase()),
            "{word:?} is not in: {text}"
        );
    }
}

/// The reason it gave last, its state and its last line.
#[tokio::test]
async fn never_ready() {
    let bed = Bed::default();
    let orders = "--say last-words --not-ready the-disk-is-full";
    let (_, text) = times_out(&bed, orders).await;
    says(&text, &["the-disk-is-full", "last-words", "900ms"]);
}

#[tokio::test]
async fn never_listens() {
    let bed = Bed::default();
    let (_, text) = times_out(&bed, "--say loading --never-listen").await;
    says(&text, &["listen", "loading"]);
}

/// It takes connections and says nothing: each ping has its own deadline, and the error says what was waited for.
#[tokio::test]
async fn accepts_and_is_silent() {
    let bed = Bed::default();
    let (_, text) = times_out(&bed, "--silent").await;
    says(&text, &["answer"]);
}

#[tokio::test]
async fn its_pings_hang() {
    let bed = Bed::default();
    let (_, text) = times_out(&bed, "--ping-hangs").await;
    says(&text, &["answer"]);
}

#[tokio::test]
async fn closes_every_connection() {
    let bed = Bed::default();
    let (_, text) = times_out(&bed, "--hang-up").await;
    says(&text, &["connection"]);
}

/// Something else than HTTP/2.
#[tokio::test]
async fn speaks_another_protocol() {
    let bed = Bed::default();
    let (_, text) = times_out(&bed, "--http1").await;
    says(&text, &["http"]);
}

/// An error in the ping's answer may pass; when it does not, it is told.
#[tokio::test]
async fn its_pings_fail() {
    let bed = Bed::default();
    let (_, text) = times_out(&bed, "--ping-fails 13").await;
    says(&text, &["the ping fails"]);
}

/// Somewhere else than it was told.
#[tokio::test]
async fn listens_elsewhere() {
    for bind in ["127.0.0.1:0", "127.0.0.2", "::1"] {
        let bed = Bed::default();
        let (_, text) = times_out(&bed, &format!("--bind {bind}")).await;
        says(&text, &["listen"]);
    }
}

/// It is another service: at once, with the name of the one that was asked for.
#[tokio::test]
async fn serves_something_else() {
    for how in ["", "--unknown-is-404"] {
        let bed = Bed::default();
        let (error, text) = fails_soon(&bed, &format!("--service other.v1.Service {how}")).await;
        assert!(
            matches!(error, SpawnError::Unimplemented { .. }),
            "{error:?}"
        );
        says(&text, &["kv.v1.KvService"]);
    }
}

/// It ends first: its status and its last words are in the error, and nobody waits for the time to be over.
#[tokio::test]
async fn ends_before_it_is_ready() {
    for code in [0, 1, 42, 80] {
        let bed = Bed::default();
        let orders = format!("--say no-such-database --exit {code}");
        let (error, text) = fails_soon(&bed, &orders).await;
        let SpawnError::Exited { exit, .. } = &error else {
            panic!("{error:?}")
        };
        assert_eq!(exit.status.code(), Some(code));
        assert!(!exit.asked);
        assert_eq!(
            exit.tail.last().map(String::as_str),
            Some("no-such-database")
        );
        says(&text, &["no-such-database", &code.to_string()]);
        assert_eq!(bed.records().messages(), ["no-such-database"]);
    }
}

/// In the middle of a ping.
#[tokio::test]
async fn ends_when_it_is_pinged() {
    let bed = Bed::default();
    let (error, text) = fails_soon(&bed, "--ping-exits 7").await;
    assert!(matches!(error, SpawnError::Exited { .. }), "{error:?}");
    says(&text, &["7"]);
}

/// After it had said why it was not ready: both are told.
#[tokio::test]
async fn ends_after_it_was_not_ready() {
    let bed = Bed::default();
    let spawn = bed.spawn(RIG, "--not-ready indexing --pinged @/pinged");
    let kill = async {
        until_file(bed.file("pinged")).await;
        let rig = bed.alive().into_iter().find(|pid| {
            std::fs::read_link(format!("/proc/{pid}/exe"))
                .is_ok_and(|exe| exe.ends_with("grpc_rig"))
        });
        jackfield_testkit::end(rig.expect("it runs"));
    };
    let ((error, text), ()) = tokio::join!(fails(spawn), kill);
    assert!(matches!(error, SpawnError::Exited { .. }), "{error:?}");
    says(&text, &["indexing", "9"]);
}

#[tokio::test]
async fn is_killed_before_it_is_ready() {
    for (signal, name) in [(9, "killed"), (11, "segmentation"), (6, "abort")] {
        let bed = Bed::default();
        let (error, text) = fails_soon(&bed, &format!("--die {signal}")).await;
        let SpawnError::Exited { exit, .. } = &error else {
            panic!("{error:?}")
        };
        assert_eq!(exit.status.signal(), Some(signal), "{name}");
        says(&text, &["signal", &signal.to_string()]);
    }
}

/// Deaf to polite signals, with a family that is as deaf and has left its session.
#[tokio::test]
async fn is_deaf_and_never_ready() {
    let bed = Bed::default();
    let orders = "--deaf --grandchild @/one --grandchild-session @/two --not-ready never";
    let began = Instant::now();
    times_out(&bed, orders).await;
    // The timeout and a grace.
    assert!(
        began.elapsed() < Duration::from_secs(16),
        "{:?}",
        began.elapsed()
    );
    for file in ["one", "two"] {
        assert!(!alive(pid_in(&bed.file(file)).await));
    }
}

/// What it leaves behind does not delay the news.
#[tokio::test]
async fn ends_and_leaves_a_family() {
    let bed = Bed::default();
    let orders = "--grandchild @/one --grandchild-session @/two --say gone --exit 3";
    let (_, text) = fails_soon(&bed, orders).await;
    says(&text, &["gone", "3"]);
    for file in ["one", "two"] {
        assert!(!alive(pid_in(&bed.file(file)).await));
    }
}

#[tokio::test]
async fn there_is_no_such_program() {
    let bed = Bed::default();
    for program in [
        "./no-such-plugin",
        "/no/such/plugin",
        "no-such-plugin-anywhere",
    ] {
        let (error, text) = fails(bed.spawn(program, "")).await;
        assert!(matches!(error, SpawnError::Process { .. }), "{error:?}");
        says(&text, &[program.rsplit('/').next().unwrap()]);
    }
    nothing_in_the_folder(&bed);
}

#[tokio::test]
async fn it_may_not_be_executed() {
    let bed = Bed::default();
    let file = bed.with("plain", "#!/bin/sh\nexit 0\n");
    let (_, text) = fails(bed.spawn("./plain", "")).await;
    says(&text, &["plain"]);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::write(&file, b"\x7fELF nothing of the kind").unwrap();
    let (_, text) = fails(bed.spawn("./plain", "")).await;
    says(&text, &["plain"]);
    // A folder.
    let (_, text) = fails(bed.spawn("./", "")).await;
    assert!(!text.is_empty());
}

#[tokio::test]
async fn there_is_no_such_folder() {
    let bed = Bed::default();
    let (_, text) = fails(bed.spawn(RIG, "").folder(bed.file("nowhere"))).await;
    says(&text, &["nowhere"]);
    let file = bed.with("file", "");
    let (_, text) = fails(bed.spawn(RIG, "").folder(&file)).await;
    says(&text, &["file"]);
    // The working folder is something else.
    let _ = bed.with(".ftl", "");
    let (_, text) = fails(bed.spawn(RIG, "")).await;
    says(&text, &[".ftl"]);
}

/// Given up in the middle: nothing is left, not even of what is deaf.
#[tokio::test]
async fn the_spawn_is_dropped() {
    for orders in [
        "--deaf --not-ready never",
        "--never-listen",
        "--silent",
        "--constructor 100000",
    ] {
        let bed = Bed::default();
        let orders =
            format!("--grandchild @/one --grandchild-session @/two --touch @/runs {orders}");
        let spawn = bed.spawn(RIG, &orders).spawn::<KvClient>();
        let runs = bed.file("runs");
        tokio::select! {
            spawned = spawn => panic!("{}", spawned.is_ok()),
            _ = until_file(&runs) => {}
        }
        bed.until_gone().await;
        for file in ["one", "two"] {
            until_dead(pid_in(&bed.file(file)).await).await;
        }
        eventually(Duration::from_secs(5), "the lease is gone", || {
            std::fs::read_dir(bed.file(".ftl")).unwrap().count() == 0
        })
        .await;
    }
}

/// At any moment of the start.
#[tokio::test]
async fn the_spawn_is_dropped_early() {
    let bed = Bed::default();
    for n in 0..40u64 {
        let spawn = bed
            .spawn(RIG, "--deaf --grandchild-session @/two")
            .spawn::<KvClient>();
        let _ = tokio::time::timeout(Duration::from_micros(n * n * 20), spawn).await;
    }
    bed.until_gone().await;
    eventually(Duration::from_secs(5), "the leases are gone", || {
        std::fs::read_dir(bed.file(".ftl"))
            .into_iter()
            .flatten()
            .count()
            == 0
    })
    .await;
    // And the place is as good as new.
    within(bed.spawn(RIG, "").spawn::<KvClient>())
        .await
        .unwrap();
}

/// Not a test of its own: a host whose spawns fail, and one in ten does not.
#[tokio::test]
async fn host_of_failures() {
    let Some(folder) = as_program() else { return };
    let spawn = |orders: &str| {
        Spawn::new("rig", RIG)
            .folder(&folder)
            .args(orders.split_whitespace())
            .start_timeout(Duration::from_millis(400))
            .spawn::<KvClient>()
    };
    let round = async || {
        for orders in [
            "--exit 1",
            "--not-ready x",
            "--silent",
            "--never-listen",
            "--die 9",
        ] {
            assert!(within(spawn(orders)).await.is_err());
        }
        let plugin = within(spawn("")).await.unwrap();
        within(plugin.stop()).await;
    };
    round().await;
    // What forks, and the init for the next spawn, which is there a moment later.
    let helpers = || children().len() == 2;
    eventually(Duration::from_secs(10), "they are there", helpers).await;
    let before = open_files();
    for _ in 0..5 {
        round().await;
    }
    eventually(
        Duration::from_secs(10),
        "as many open files as before",
        || open_files() <= before,
    )
    .await;
    eventually(Duration::from_secs(10), "no children", || {
        children().is_empty()
    })
    .await;
    let tasks = tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks();
    tell(&json!({ "tasks": tasks }));
}

/// No failure leaves anything in the host: no descriptor, no child, no task.
#[tokio::test]
async fn failures_cost_nothing() {
    let bed = Bed::default();
    let mut program = Again::run("failures::host_of_failures", bed.path(), |_| {});
    let told = program.told().await;
    assert_eq!(told["tasks"], 0);
    assert!(program.ended_well().await);
}
