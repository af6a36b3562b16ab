//! Ends: asked for and not, polite and not, with a family and without.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use jackfield_grpc::Signal;
use jackfield_testkit::grpc::{Bed, KvClient, Stranger, get, pid_in, until_dead};
use jackfield_testkit::{alive, end, eventually, within};
use tokio::time::Instant;

use crate::RIG;

/// Longer than a scheduler's whim, shorter than any grace.
const PROMPT: Duration = Duration::from_secs(4);

/// A stop is a signal, of the caller's choice, and what the plugin says upon it is told.
#[tokio::test]
async fn a_signal_of_choice() {
    for (signal, name) in [(Signal::Interrupt, "INT"), (Signal::Terminate, "TERM")] {
        let bed = Bed::default();
        let spawn = bed.spawn(RIG, "").stop_signal(signal);
        let plugin = within(spawn.spawn::<KvClient>()).await.unwrap();
        let began = Instant::now();
        let exit = within(plugin.stop()).await;
        assert!(exit.asked && exit.status.code() == Some(0), "{exit:?}");
        assert!(began.elapsed() < PROMPT);
        assert_eq!(bed.records().messages(), [format!("signal {name}")]);
        assert!(bed.alive().is_empty());
    }
}

/// Who does not hear is killed when the grace is over, and not before.
#[tokio::test]
async fn deaf() {
    let bed = Bed::default();
    let grace = Duration::from_millis(600);
    let spawn = bed
        .spawn(RIG, "--deaf --grandchild-session @/two")
        .grace(grace);
    let plugin = within(spawn.spawn::<KvClient>()).await.unwrap();
    let began = Instant::now();
    plugin.child.stop();
    // It goes on answering meanwhile.
    let signals = get(&plugin.client, "signals").await;
    let exit = within(plugin.child.exited()).await;
    let took = began.elapsed();
    assert!(took >= grace && took < grace + PROMPT, "{took:?}");
    assert!(exit.asked && exit.status.signal() == Some(9), "{exit:?}");
    assert!(signals.is_ok());
    assert!(!alive(pid_in(&bed.file("two")).await));
    assert!(bed.alive().is_empty());
}

/// A kill does not wait, also in the middle of a grace.
#[tokio::test]
async fn killed() {
    for stop_first in [false, true] {
        let bed = Bed::default();
        let spawn = bed
            .spawn(RIG, "--deaf --grandchild @/one")
            .grace(Duration::from_secs(600));
        let plugin = within(spawn.spawn::<KvClient>()).await.unwrap();
        if stop_first {
            plugin.child.stop();
        }
        plugin.child.kill();
        let began = Instant::now();
        let exit = within(plugin.child.exited()).await;
        assert!(began.elapsed() < PROMPT);
        assert!(exit.asked && exit.status.signal() == Some(9), "{exit:?}");
        assert!(bed.alive().is_empty());
    }
}

/// The program is a script, the plugin its child, with children of its own: a stop reaches the plugin, and leaves
/// nothing.
#[tokio::test]
async fn a_family_behind_a_script() {
    for trap in ["", "trap '' INT TERM"] {
        let bed = Bed::default();
        let orders = format!(
            "--grandchild {} --grandchild-session {}",
            bed.file("one"),
            bed.file("two")
        );
        let script = bed.with(
            "launch",
            format!("#!/bin/bash\n{trap}\n{RIG} {orders}\necho after: $?\n"),
        );
        std::fs::set_permissions(script, std::fs::Permissions::from_mode(0o755)).unwrap();
        let spawn = bed.spawn("./launch", "").grace(Duration::from_secs(2));
        let plugin = within(spawn.spawn::<KvClient>()).await.unwrap();
        let rig: u32 = get(&plugin.client, "pid").await.unwrap().parse().unwrap();
        let exit = within(plugin.stop()).await;
        assert!(exit.asked, "{exit:?}");
        assert!(!alive(rig));
        for file in ["one", "two"] {
            assert!(!alive(pid_in(&bed.file(file)).await));
        }
        assert!(bed.alive().is_empty());
        // The plugin itself heard of it, unless the script had seen to it that signals are ignored.
        if trap.is_empty() {
            let messages = bed.records().messages();
            assert!(
                messages
                    .iter()
                    .any(|message| message == "signal INT" || message == "signal TERM"),
                "{messages:?}"
            );
        }
    }
}

/// How it ended by itself: a code, a signal, its last lines; not asked for.
#[tokio::test]
async fn exits_are_values() {
    for (order, code, signal) in [
        ("exit:0", Some(0), None),
        ("exit:42", Some(42), None),
        ("exit:255", Some(255), None),
        ("die:9", None, Some(9)),
        ("die:11", None, Some(11)),
    ] {
        let bed = Bed::default();
        let plugin = within(bed.spawn(RIG, "--say first --say last").spawn::<KvClient>())
            .await
            .unwrap();
        let began = Instant::now();
        let end = async { tokio::join!(get(&plugin.client, order), plugin.child.exited()) };
        let (crash, exit) = within(end).await;
        assert_eq!(crash.unwrap_err().code, connectrpc::ErrorCode::Unavailable);
        assert!(began.elapsed() < PROMPT);
        assert_eq!((exit.status.code(), exit.status.signal()), (code, signal));
        assert!(!exit.asked);
        assert_eq!(exit.tail, ["first", "last"]);
        // Whoever asks later hears the same, and a stop of what has ended is no more than that.
        let later = within(plugin.stop()).await;
        assert_eq!((later.status, later.asked), (exit.status, false));
        // A call to what has ended fails, and at once.
        let began = Instant::now();
        let late = within(get(&plugin.client, "identity")).await;
        assert_eq!(late.unwrap_err().code, connectrpc::ErrorCode::Unavailable);
        assert!(began.elapsed() < PROMPT);
    }
}

/// Killed by somebody else: not asked for.
#[tokio::test]
async fn killed_from_outside() {
    let bed = Bed::default();
    let plugin = within(
        bed.spawn(RIG, "--grandchild-session @/two")
            .spawn::<KvClient>(),
    )
    .await
    .unwrap();
    end(plugin.child.pid());
    let exit = within(plugin.child.exited()).await;
    assert!(!exit.asked && exit.status.signal() == Some(9), "{exit:?}");
    assert!(!alive(pid_in(&bed.file("two")).await));
}

/// After the end, signals, stops and kills go nowhere: not to whoever has the number now. (That it is nobody's number
/// at the time cannot be brought about; that none of them fails or hangs can be shown.)
#[tokio::test]
async fn after_the_end_nobody_is_hit() {
    let bed = Bed::default();
    let plugin = within(bed.spawn(RIG, "").spawn::<KvClient>())
        .await
        .unwrap();
    let bystander = Stranger::run("sleep", "1000");
    within(plugin.stop()).await;
    plugin.child.signal(Signal::Kill);
    plugin.child.kill();
    plugin.child.stop();
    within(plugin.child.exited()).await;
    assert!(alive(bystander.pid()));
    bystander.kill().await;
}

/// A handle that is dropped takes its plugin along, whatever else of it is held.
#[tokio::test]
async fn dropped() {
    let bed = Bed::default();
    let orders = "--deaf --grandchild @/one --grandchild-session @/two";
    let plugin = within(bed.spawn(RIG, orders).spawn::<KvClient>())
        .await
        .unwrap();
    let (client, endpoint, exited) = (
        plugin.client.clone(),
        plugin.endpoint.clone(),
        plugin.child.exited(),
    );
    let pid = plugin.child.pid();
    drop(plugin);
    let exit = tokio::time::timeout(Duration::from_secs(15), exited).await;
    let exit = exit.expect("it ends without being waited for");
    assert!(exit.asked, "{exit:?}");
    assert!(!alive(pid));
    bed.until_gone().await;
    for file in ["one", "two"] {
        until_dead(pid_in(&bed.file(file)).await).await;
    }
    assert!(within(get(&client, "identity")).await.is_err());
    let late: KvClient = endpoint.client();
    assert!(within(get(&late, "identity")).await.is_err());
}

/// A stop that nobody waits for any more goes on.
#[tokio::test]
async fn a_stop_that_is_dropped() {
    let bed = Bed::default();
    let spawn = bed.spawn(RIG, "--deaf").grace(Duration::from_millis(300));
    let plugin = within(spawn.spawn::<KvClient>()).await.unwrap();
    let waited = tokio::time::timeout(Duration::from_millis(1), plugin.stop()).await;
    assert!(waited.is_err());
    let exit = within(plugin.child.exited()).await;
    assert!(exit.asked, "{exit:?}");
}

/// Stopped by many at once: one answer.
#[tokio::test]
async fn stopped_by_many() {
    let bed = Bed::default();
    let plugin = within(bed.spawn(RIG, "").spawn::<KvClient>())
        .await
        .unwrap();
    let stops = (0..20).map(|_| plugin.stop());
    for exit in within(futures_util::future::join_all(stops)).await {
        assert!(exit.asked && exit.status.success(), "{exit:?}");
    }
    assert_eq!(bed.records().messages().len(), 1, "one signal");
}

/// A signal that is no stop reaches it, and it goes on.
#[tokio::test]
async fn other_signals() {
    let bed = Bed::default();
    let plugin = within(bed.spawn(RIG, "--deaf").spawn::<KvClient>())
        .await
        .unwrap();
    plugin.child.signal(Signal::Terminate);
    let mut signals = String::new();
    let deadline = Instant::now() + Duration::from_secs(20);
    while signals != "TERM" && Instant::now() < deadline {
        signals = get(&plugin.client, "signals").await.unwrap();
    }
    assert_eq!(signals, "TERM");
    plugin.child.kill();
    within(plugin.child.exited()).await;
    eventually(PROMPT, "nothing is left", || bed.alive().is_empty()).await;
}
