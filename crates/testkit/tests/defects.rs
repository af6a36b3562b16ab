//! The defects of the original, one by one: what it did, and the test that fails on it.
//!
//! Tests without a path are in this file. *package* and *wire* stand for the tests of those crates,
//! *server* for what the library has no part in.
//!
//! | defect | test |
//! |---|---|
//! | R1 stop in back-off | `supervision::stops::during_back_off` |
//! | R2 stop before the process | `supervision::stops::before_the_process_exists`, `while_starting` |
//! | R3 grandchildren survive | `supervision::trees` |
//! | R4 pipes kept open | `logs::one_that_keeps_the_pipe_delays_nothing`, `r04_…` |
//! | R5 crashes never forgotten | `supervision::crashes::crashes_are_forgotten_after_a_while` |
//! | R6 exit 0 is a crash | `supervision::crashes::exit_zero_is_no_crash` |
//! | R7 what cannot work is retried | `supervision::crashes::what_can_never_work_is_not_retried` |
//! | R8 delays cut to whole seconds | `supervision::crashes::back_off_really_waits` |
//! | R9 host death leaves orphans | `supervision::death`, `r09_…` |
//! | R10 kill timer, interrupt only | `supervision::stops::a_deaf_plugin_is_killed_after_the_grace`, `r10_…` |
//! | R11 leaks per run and per load | `r11_…`, `soak` |
//! | R12 archives kept in memory | `r12_…` |
//! | R13 the host's environment leaks | `supervision::places::the_environment_is_exact` |
//! | R14 no isolation | not of this library yet: limits and users are a runtime's affair |
//! | R15 a fixed address | `supervision::places::the_url_is_the_real_one` |
//! | R16 plugins before the door | `r16_…` |
//! | R17 stale errors, no `starting` | `supervision::states` |
//! | R18 late states overwrite | `r18_…` |
//! | R19 watchers block the supervisor | `r19_…` |
//! | S1 slow calls block the reader | `rpc_contract::traffic::a_slow_call_delays_nothing` |
//! | S2 re-entrant calls deadlock | `rpc_contract::traffic::calls_may_be_reentrant` |
//! | S3 a subscription wedges | `s03_…` |
//! | S4 a quick reconnect wedges | `s04_…` |
//! | S5 a lost line stays `active` | `supervision::lines::a_lost_line_leaves_active_at_once` |
//! | S6 32 KiB | `rpc_contract::traffic::large_messages_come_in` |
//! | S7 no JSON-RPC errors | `rpc_contract::answers::each_mistake_has_its_error` |
//! | S8 no `method`, no deadline | `rpc_contract::requests::answers_in_all_shapes`, `s08_…` |
//! | S9 events are dropped | `sessions::events::events_wait_for_the_line` |
//! | S10 no heartbeat | `sessions::external::a_half_open_line_is_noticed` |
//! | S11 tokens burnt early | `supervision::lines::a_failed_handshake_burns_nothing` |
//! | S12 two handshakes pass | `s12_…`, `sessions::external::of_many_dials_at_once_one_is_let_in` |
//! | S13 a dead line is not replaced | `sessions::external::a_half_open_line_makes_room_for_the_next_dial` |
//! | S14 tokens are told | `s14_…`, `rpc_contract::door::the_token_may_come_in_a_header` |
//! | S15 let in while inactive | `sessions::external::one_that_is_not_wanted_is_not_let_in` |
//! | S16 `active` for a dead line | `s16_…` |
//! | S17 reconnect storms | the SDK's tests; `s17_…` for the host's part |
//! | S18 the rate limiter | server |
//! | S19 data races | not expressible in safe Rust; the line has one owner |
//! | S20 calls are not taken back | `s20_…`, `sessions::calls::a_dropped_call_leaves_nothing` |
//! | S21 `access_get` races | server: the application's method |
//! | A1-A8 archives | package (`hostile.rs`, `unpack.rs`), `a01_…` |
//! | A9 a plugin changes its own files | `supervision::places::a_package_that_was_tampered_with_is_put_right` |
//! | A10 what is kept | `supervision::places::upgrades_keep_the_state_and_two_packages` |
//! | M1-M11 | server; M10 wire (`manifest`) |
//! | L1 long lines | `logs::a_line_without_end_comes_in_pieces` |
//! | L2, L3 lines split or lost | `logs::followers_see_each_line_once_over_rotations` |
//! | L4 no tail | `logs::parts_of_a_log` |
//! | L5 three runs | `logs::numbering_goes_on` |
//! | L6 no time, stream, level, quota, end | `logs::levels_are_understood`, `the_quota_holds`, `followers_end_with_the_session` |
//! | L7 polling | `logs::a_line_is_seen_at_once` |
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::path::Path;
use std::time::Duration;

use jackfield::ReportedState::{Active, Connecting, Errored, Inactive, Starting, Stopping};
use jackfield::package::{Limits, Package};
use jackfield::wire::method::SUBPROTOCOL;
use jackfield::{
    ActiveState, CallOptions, InstallationId, LogQuery, Manifest, Policy, Session, Spec, Token,
};
use jackfield_testkit::{
    Again, Dial, Program, Rig, alive_with, as_program, bench_host, environment, eventually,
    host_in, manifest, open_files, package, packed, quick, shell, states, tell, tree_of, until,
    until_file, until_state, within,
};
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::time::Instant;

const RIG: &str = env!("CARGO_BIN_EXE_rig");

async fn stop(session: &Session) {
    within(session.set_active_state(ActiveState::Inactive))
        .await
        .unwrap();
}

/// R4: the original waited for the end of the output, which whoever inherited the pipe can put off
/// for ever: the stop timed out, and the plugin stayed `stopping`.
#[tokio::test]
async fn r04_a_kept_pipe_delays_no_stop() {
    let host = bench_host(|builder| builder).await;
    let session = host
        .start(shell("setsid sleep 1000 & exec sleep 1000"))
        .await;
    until_state(&session, Connecting).await;
    let began = Instant::now();
    stop(&session).await;
    assert!(began.elapsed() < quick().stop_grace + Duration::from_secs(3));
    assert_eq!(session.status().borrow().state, Inactive);
}

/// R9: the original killed its plugins at its own end without a word. Here each is asked, and has
/// its grace.
#[tokio::test]
async fn r09_a_shutdown_asks_first() {
    let host = bench_host(|builder| {
        builder.policy(Policy {
            stop_grace: Duration::from_secs(20),
            ..quick()
        })
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    for n in 0..3 {
        let (ready, bye) = (file(&format!("ready{n}")), file(&format!("bye{n}")));
        let script = format!(
            "trap 'sleep 0.2; touch {}; exit 0' INT; touch {}; while :; do sleep 0.02; done",
            bye.display(),
            ready.display()
        );
        host.start(shell(&script)).await;
        until_file(&ready).await;
    }
    let left = within(host.shutdown(Duration::from_secs(20))).await;
    assert!(left.killed.is_empty());
    assert!((0..3).all(|n| file(&format!("bye{n}")).exists()));
}

/// R10: the timer of one stop is not the next one's: stopped, started and stopped again, each stop
/// has its whole grace, and a process that has ended by itself is followed by nothing.
#[tokio::test]
async fn r10_each_stop_has_its_own_grace() {
    let host = bench_host(|builder| builder).await;
    let session = host.install(Rig::new("--deaf --stay").package(RIG));
    for _ in 0..3 {
        session.set_active_state(ActiveState::Active).await.unwrap();
        within(session.ready()).await.unwrap();
        let began = Instant::now();
        stop(&session).await;
        assert!(
            began.elapsed() >= quick().stop_grace,
            "{:?}",
            began.elapsed()
        );
    }
}

/// R11: in the original each run kept a file and a goroutine, each load two more and the archive.
#[tokio::test]
async fn r11_runs_and_loads_leave_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut program = Again::run("r11_host_that_counts", folder.path(), |_| {});
    let told = program.told().await;
    let counts = |key: &str| -> (u64, u64) {
        let pair = told[key].as_array().unwrap();
        (pair[0].as_u64().unwrap(), pair[1].as_u64().unwrap())
    };
    let (files, tasks) = (counts("files"), counts("tasks"));
    assert!(files.1 <= files.0 + 1, "{told}");
    assert!(tasks.1 <= tasks.0, "{told}");
    assert!(program.ended_well().await);
}

/// Not a test of its own: counts what a host holds before and after 21 runs and loads.
#[tokio::test]
async fn r11_host_that_counts() {
    let Some(folder) = as_program() else { return };
    let host = host_in(&folder, |builder| builder).await;
    let package = Rig::new("").package(RIG);
    let round = async || {
        let id = InstallationId::new();
        let session = host.load(Spec::supervised(id, package.clone())).unwrap();
        session.set_active_state(ActiveState::Active).await.unwrap();
        within(session.ready()).await.unwrap();
        let mut follower = session.logs(LogQuery::default().follow()).unwrap();
        within(host.unload(id)).await;
        assert_eq!(within(follower.next()).await, None);
    };
    let metrics = Handle::current().metrics();
    // What is made once is made now; the init for the next launch is there a moment later.
    round().await;
    let helpers = || tree_of(std::process::id()).len() == 2;
    eventually(Duration::from_secs(5), "what forks is there", helpers).await;
    let (files, tasks) = (open_files(), metrics.num_alive_tasks());
    for _ in 0..21 {
        round().await;
    }
    eventually(Duration::from_secs(5), "the tasks end", || {
        metrics.num_alive_tasks() <= tasks
    })
    .await;
    eventually(Duration::from_secs(5), "nothing else is", helpers).await;
    tell(&json!({"files": [files, open_files()], "tasks": [tasks, metrics.num_alive_tasks()]}));
    within(host.shutdown(Duration::from_secs(5))).await;
}

/// R12: the original held each loaded archive, of up to 50 MiB, in memory twice. A package that
/// was opened in a file stays there.
#[tokio::test]
async fn r12_a_package_in_a_file_stays_there() {
    let folder = tempfile::tempdir().unwrap();
    let mut program = Again::run("r12_host_with_large_packages", folder.path(), |_| {});
    let told = program.told().await;
    let grown = told["grown"].as_u64().unwrap();
    let archives = told["archives"].as_u64().unwrap();
    assert!(archives >= 15 << 20, "{told}");
    assert!(grown < archives / 4 * 3, "{told}");
    assert!(program.ended_well().await);
}

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib << 10
}

/// Not a test of its own: loads and starts plugins with packages of 3 MiB each.
#[tokio::test]
async fn r12_host_with_large_packages() {
    let Some(folder) = as_program() else { return };
    let mut noise = vec![0u8; 3 << 20];
    let mut random = jackfield_testkit::Random::new(1);
    noise.chunks_mut(8).for_each(|chunk| {
        chunk.copy_from_slice(&random.number().to_le_bytes());
    });
    let manifest = manifest(json!({"command": RIG}));
    let packed = packed(&manifest, &[("noise", &noise)]);
    let archive = folder.join("package.zip");
    std::fs::write(&archive, &packed.bytes).unwrap();
    drop((packed, noise));
    let host = host_in(&folder.join("data"), |builder| builder).await;
    let (mut before, mut archives) = (0, 0);
    for round in 0..7 {
        let package = Package::open(&archive, &Limits::default()).unwrap();
        let size = package.size();
        let session = host
            .load(Spec::supervised(InstallationId::new(), package))
            .unwrap();
        session.set_active_state(ActiveState::Active).await.unwrap();
        within(session.ready()).await.unwrap();
        // The first rounds are for what is made once.
        match round {
            0 => {}
            1 => before = resident(),
            _ => archives += size,
        }
    }
    tell(&json!({"archives": archives, "grown": resident().saturating_sub(before)}));
    within(host.shutdown(Duration::from_secs(5))).await;
}

/// R16: the original started plugins before its server listened, and the supervised ones do not
/// dial twice. Here the door is open before anything can be loaded.
#[tokio::test]
async fn r16_the_door_is_open_first() {
    let host = bench_host(|builder| {
        builder.policy(Policy {
            restarts: 0,
            ..quick()
        })
    })
    .await;
    std::net::TcpStream::connect(host.local_addr().unwrap()).unwrap();
    let session = host.run(Rig::new("").package(RIG)).await;
    assert_eq!(session.status().borrow().restarts, 0);
}

/// R18: in the original states were told late: right after a stop the session still said
/// `stopping`, and a late `restarting` could cover `active`.
#[tokio::test]
async fn r18_what_was_answered_is_what_is_told() {
    let host = bench_host(|builder| builder).await;
    let session = host.install(Rig::new("").package(RIG));
    for _ in 0..20 {
        session.set_active_state(ActiveState::Active).await.unwrap();
        assert_eq!(session.status().borrow().state, Starting);
        within(session.ready()).await.unwrap();
        stop(&session).await;
        let status = session.status().borrow().clone();
        assert_eq!((status.state, status.pid), (Inactive, None));
        assert_eq!(*states(&session).last().unwrap(), Inactive);
    }
}

/// R19: events of the original's supervisor went through a channel of 32, and when nobody read it
/// the supervisor stood still. Whoever watches a status may sleep as long as they like.
#[tokio::test]
async fn r19_a_sleeping_watcher_delays_nothing() {
    let host = bench_host(|builder| {
        builder.policy(Policy {
            restarts: 60,
            delay: Duration::from_millis(1),
            delay_cap: Duration::from_millis(1),
            ..quick()
        })
    })
    .await;
    let session = host.install(shell("exit 1"));
    let sleeping = session.status();
    session.set_active_state(ActiveState::Active).await.unwrap();
    until_state(&session, Errored).await;
    assert_eq!(sleeping.borrow().state, Errored);
    assert_eq!(session.history().len(), 64, "bounded");
}

/// S3: a duplicate in `events_consumed` passed the original's check and then wedged the session:
/// "plugin already connected" until it was loaded anew.
#[tokio::test]
async fn s03_a_duplicate_subscription_wedges_nothing() {
    let twice = json!({"events_consumed": ["EventPostLiked", "EventPostLiked"]});
    let checked = Manifest::check_value(&manifest(twice.clone()));
    // Refused with a reason, or taken as one.
    if checked.manifest.is_none() {
        assert!(!checked.problems.is_empty());
        return;
    }
    let host = bench_host(|builder| builder).await;
    let (session, token) = host.expect(&manifest(twice)).await;
    for _ in 0..2 {
        let mut program = Program::dial(&host, &token).await;
        until_state(&session, Active).await;
        host.publish("EventPostLiked", json!({"n": 1})).unwrap();
        host.publish("EventPostLiked", json!({"n": 2})).unwrap();
        let events = program.events(2).await;
        assert_eq!((&events[0]["n"], &events[1]["n"]), (&json!(1), &json!(2)));
        drop(program);
        until_state(&session, Connecting).await;
    }
}

/// S4: a program that came back before the original had put its old line away was refused with
/// 1008, and never let in again.
#[tokio::test]
async fn s04_a_quick_reconnect_wedges_nothing() {
    let host = bench_host(|builder| builder).await;
    let consumer = manifest(json!({"events_consumed": ["EventPostLiked"]}));
    let (session, token) = host.expect(&consumer).await;
    for round in 0..100 {
        let mut tries = 0;
        let line = loop {
            let reply = Dial::external(&host, &token).send().await;
            if reply.status == 101 {
                break reply.line().await;
            }
            // Still busy with the old one: come back.
            assert_eq!(reply.status, 503);
            tries += 1;
            assert!(tries < 1000, "wedged in round {round}");
        };
        if round % 3 == 0 {
            until_state(&session, Active).await;
            host.publish("EventPostLiked", json!({"n": round})).unwrap();
        }
        drop(line);
    }
    until_state(&session, Connecting).await;
    let mut program = Program::dial(&host, &token).await;
    until_state(&session, Active).await;
    host.publish("EventPostLiked", json!({"n": "last"}))
        .unwrap();
    eventually(Duration::from_secs(30), "the last event", || {
        program.taken().iter().any(|event| event["n"] == "last")
    })
    .await;
    program.events(1).await;
}

/// S8: in the original an event had no deadline: a plugin that did not acknowledge one got no
/// other, and the queue in front of it grew without bound.
#[tokio::test]
async fn s08_an_event_that_is_not_acknowledged_has_a_deadline() {
    let host = bench_host(|builder| {
        builder.policy(Policy {
            call_deadline: Duration::from_millis(100),
            event_queue: 4,
            ..quick()
        })
    })
    .await;
    let consumer = manifest(json!({"events_consumed": ["EventPostLiked"]}));
    let (session, token) = host.expect(&consumer).await;
    let mut line = Dial::external(&host, &token).open().await;
    within(session.ready()).await.unwrap();
    let mut dropped = 0;
    for n in 0..20 {
        let published = host.publish("EventPostLiked", json!({"n": n})).unwrap();
        dropped += published.dropped.len();
    }
    assert!(dropped >= 14, "the queue is bounded: {dropped}");
    for n in 0..4 {
        assert_eq!(line.json().await["params"]["n"], n);
    }
}

/// S12: reading and renewing the secret was not one step in the original: of two handshakes with
/// one token both could pass. Of all that try at once exactly one becomes the line.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn s12_one_token_one_line() {
    let host = bench_host(|builder| builder).await;
    for _ in 0..5 {
        let session = host.start(Rig::new("--never-dial").package(RIG)).await;
        let pid = until(&session, |s| s.state == Connecting && s.pid.is_some())
            .await
            .pid;
        let url = environment(pid.unwrap()).await["JACKFIELD_RPC_URL"].clone();
        let mut dials = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let dial = Dial::url(&host, &url);
            dials.spawn(async move {
                let reply = dial.send().await;
                (reply.status == 101).then_some(reply)
            });
        }
        let mut lines = Vec::new();
        while let Some(reply) = within(dials.join_next()).await {
            if let Some(reply) = reply.unwrap() {
                lines.push(Program::on(reply.line().await));
            }
        }
        within(session.ready()).await.unwrap();
        let mut open = 0;
        for line in lines {
            match tokio::time::timeout(Duration::from_millis(500), line.end()).await {
                Ok(end) => assert_eq!(end.map(|(code, _)| code), Some(1013)),
                Err(_) => open += 1,
            }
        }
        assert_eq!(open, 1);
        let seen = states(&session);
        assert_eq!(seen.iter().filter(|state| **state == Active).count(), 1);
        host.unload(session.id()).await;
    }
}

/// S14: the original's tokens stood in logs, in errors and in `ps`. Here they are in the child's
/// environment and nowhere else.
#[tokio::test]
async fn s14_tokens_are_not_told() {
    let host = bench_host(|builder| builder).await;
    let session = host.start(Rig::new("--never-dial").package(RIG)).await;
    let pid = until(&session, |s| s.state == Connecting && s.pid.is_some())
        .await
        .pid
        .unwrap();
    let url = environment(pid).await["JACKFIELD_RPC_URL"].clone();
    let (_, token) = url.split_once("token=").unwrap();
    let external = Token::external();
    let secrets = [&token[20..], &external.reveal()[6..]];
    let spec = Spec::external(
        InstallationId::new(),
        Manifest::check_value(&manifest(json!({})))
            .into_result()
            .unwrap(),
        external.hash(),
    );
    let credential = jackfield::Credential::from_query(&format!("token={}", external.reveal()));
    let refused = host.admit(credential.clone()).await.unwrap_err();
    let mut told = vec![
        format!("{session:?} {:?} {:?}", &*host, session.status().borrow()),
        format!("{spec:?} {external:?} {credential:?} {refused:?} {refused}"),
        host.rpc_url().to_owned(),
        serde_json::to_string(&*session.status().borrow()).unwrap(),
    ];
    for process in std::fs::read_dir("/proc").unwrap() {
        let arguments = process.unwrap().path().join("cmdline");
        told.extend(std::fs::read(arguments).map(|text| String::from_utf8_lossy(&text).into()));
    }
    // Nor in a file that outlives the process.
    let mut folders = vec![host.folder().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                told.push(String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into());
            }
        }
    }
    for text in told {
        for secret in secrets {
            assert!(!text.contains(secret), "a secret is told: {text}");
        }
    }
}

/// S16: made inactive and active again, the original could say `active` for the line that was
/// just being closed.
#[tokio::test]
async fn s16_a_closed_line_is_never_active_again() {
    let host = bench_host(|builder| builder).await;
    let (session, token) = host.expect(&manifest(json!({}))).await;
    for _ in 0..20 {
        let program = Program::dial(&host, &token).await;
        until_state(&session, Active).await;
        let (off, on) = tokio::join!(
            session.set_active_state(ActiveState::Inactive),
            session.set_active_state(ActiveState::Active)
        );
        off.unwrap();
        on.unwrap();
        assert_eq!(within(program.end()).await.unwrap().0, 1000);
        until_state(&session, Connecting).await;
        let seen = states(&session);
        let last = &seen[seen.len().saturating_sub(3)..];
        assert!(!last[1..].contains(&Active), "{seen:?}");
        assert!(
            last.contains(&Stopping) || last.contains(&Inactive),
            "{seen:?}"
        );
    }
}

/// S17: programs that are let in and hung up on at once come back without pause. The host hangs up
/// on nobody it has let in, but when it is told to.
#[tokio::test]
async fn s17_nobody_is_let_in_to_be_hung_up_on() {
    let host = bench_host(|builder| builder).await;
    let (session, token) = host.expect(&manifest(json!({}))).await;
    stop(&session).await;
    for _ in 0..50 {
        let reply = Dial::external(&host, &token).send().await;
        assert_eq!(reply.status, 503, "refused before the upgrade");
        assert!(reply.header("retry-after").is_some());
    }
}

/// S20: a call whose caller has gone was carried out in the original all the same. Those who speak
/// `jackfield.v1` are told.
#[tokio::test]
async fn s20_a_call_is_taken_back() {
    let host = bench_host(|builder| builder).await;
    let (session, token) = host.expect(&manifest(json!({}))).await;
    let dial = Dial::external(&host, &token).header("Sec-WebSocket-Protocol", SUBPROTOCOL);
    let mut line = dial.open().await;
    within(session.ready()).await.unwrap();
    assert_eq!(line.json().await["method"], "$/hello");
    let deadline = CallOptions {
        deadline: Some(Duration::from_millis(100)),
        ..CallOptions::default()
    };
    for options in [CallOptions::default(), deadline] {
        let call = session.call_raw("long", None, options);
        let _ = tokio::time::timeout(Duration::from_millis(300), call).await;
        let (request, cancel) = (line.json().await, line.json().await);
        assert_eq!(request["method"], "long");
        assert_eq!(
            cancel,
            json!({"jsonrpc": "2.0", "method": "$/cancel", "params": {"id": request["id"]}})
        );
    }
    assert_eq!(session.open_calls(), (0, 0));
}

/// A1: in the original a plugin that left a link in its own folder had the next package written
/// through it, anywhere on the disk.
#[tokio::test]
async fn a01_links_of_a_plugin_are_not_followed() {
    let host = bench_host(|builder| builder).await;
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("file"), "untouched").unwrap();
    let id = InstallationId::new();
    let load = |version: &str| {
        let manifest = manifest(json!({"command": RIG, "version": version}));
        let package = package(&manifest, &[("data/file", version.as_bytes())]);
        host.load(Spec::supervised(id, package)).unwrap()
    };
    let mut cwd = String::new();
    for version in ["1.0.0", "2.0.0", "1.0.0", "2.0.0"] {
        let session = load(version);
        session.set_active_state(ActiveState::Active).await.unwrap();
        within(session.ready()).await.unwrap();
        let env = session
            .call_raw("env", None, CallOptions::default())
            .await
            .unwrap();
        let env: Value = serde_json::from_str(env.get()).unwrap();
        env["cwd"].as_str().unwrap().clone_into(&mut cwd);
        let data = Path::new(&cwd).join("data");
        assert_eq!(std::fs::read_to_string(data.join("file")).unwrap(), version);
        // What a hostile plugin leaves behind, below its package and above it.
        std::fs::remove_dir_all(&data).unwrap();
        std::os::unix::fs::symlink(outside.path(), &data).unwrap();
        let state = env["env"]["JACKFIELD_STATE_DIR"].as_str().unwrap();
        let _ = std::os::unix::fs::symlink(outside.path(), Path::new(state).join("link"));
        host.unload(id).await;
    }
    let untouched = std::fs::read_to_string(outside.path().join("file")).unwrap();
    assert_eq!(untouched, "untouched");
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 1);
    // And removing the installation follows none either.
    host.uninstall(id).await.unwrap();
    assert!(outside.path().join("file").exists());
    assert!(alive_with(&host.mark()).is_empty());
}
