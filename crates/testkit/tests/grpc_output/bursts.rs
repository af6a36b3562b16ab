//! Much at once, and the last words: nothing is lost, and nobody waits for it in vain.

use std::time::Duration;

use jackfield_grpc::Stream;
use jackfield_testkit::grpc::{Bed, KvClient, get, pid_in};
use jackfield_testkit::{alive, within};
use tokio::time::Instant;

use crate::RIG;

/// Three thousand lines and an exit: all of them have come when the exit is told, each time.
#[tokio::test]
async fn the_last_lines_before_a_crash() {
    let expected: Vec<String> = (0..3000).map(|n| format!("line {n}")).collect();
    for _ in 0..10 {
        let bed = Bed::default();
        let spawn = bed.spawn(RIG, "--flood 3000 --exit 42").spawn::<KvClient>();
        let error = within(spawn).await.err().unwrap();
        assert!(error.to_string().contains("42"), "{error}");
        assert_eq!(bed.records().messages(), expected);
    }
}

/// The same for a plugin that was ready.
#[tokio::test]
async fn the_last_words_of_a_plugin_that_ran() {
    for n in 0..20 {
        let bed = Bed::default();
        let spawn = bed.spawn(RIG, "--flood 500");
        let plugin = within(spawn.spawn::<KvClient>()).await.unwrap();
        get(&plugin.client, format!("say:goodbye {n}"))
            .await
            .unwrap();
        let (crash, exit) = tokio::join!(get(&plugin.client, "exit:9"), plugin.child.exited());
        assert!(crash.is_err());
        assert_eq!(exit.status.code(), Some(9));
        assert_eq!(exit.tail.last().unwrap(), &format!("goodbye {n}"));
        let messages = bed.records().messages();
        assert_eq!(messages.len(), 501);
        assert_eq!(messages.last().unwrap(), &format!("goodbye {n}"));
    }
}

/// Both outputs, as fast as they go: none is lost, and each is in order.
#[tokio::test]
async fn both_outputs_at_once() {
    let bed = Bed::default();
    let spawn = bed
        .spawn(RIG, "--flood-both 20000 --exit 1")
        .spawn::<KvClient>();
    within(spawn).await.err().unwrap();
    let records = bed.records().all();
    assert_eq!(records.len(), 20_000);
    for (stream, first) in [(Stream::Stderr, 0), (Stream::Stdout, 1)] {
        let lines = records.iter().filter(|record| record.stream == stream);
        let lines: Vec<String> = lines.map(|record| record.message.clone()).collect();
        let expected: Vec<String> = (first..20_000)
            .step_by(2)
            .map(|n| format!("line {n}"))
            .collect();
        assert!(lines == expected, "{stream:?}");
    }
}

/// A family that keeps the outputs open delays nothing: neither the news of the end nor the end of the records.
#[tokio::test]
async fn a_family_that_holds_the_output() {
    let bed = Bed::default();
    let orders = "--grandchild @/one --grandchild-session @/two";
    let plugin = within(bed.spawn(RIG, orders).spawn::<KvClient>())
        .await
        .unwrap();
    let began = Instant::now();
    let (crash, exit) = tokio::join!(get(&plugin.client, "exit:4"), plugin.child.exited());
    assert!(crash.is_err());
    assert_eq!(exit.status.code(), Some(4));
    assert!(
        began.elapsed() < Duration::from_secs(4),
        "{:?}",
        began.elapsed()
    );
    for file in ["one", "two"] {
        assert!(!alive(pid_in(&bed.file(file)).await));
    }
}

/// A flood from one plugin does not hold up another, nor its own calls.
#[tokio::test]
async fn a_flood_beside_calls() {
    let flooded = Bed::default();
    let bed = Bed::default();
    let spawn = flooded.spawn("bash", "").arg("-c").arg(format!(
        "(while :; do echo flood; done) & exec {RIG} --identity loud"
    ));
    let loud = within(spawn.spawn::<KvClient>()).await.unwrap();
    let quiet = within(bed.spawn(RIG, "--identity quiet").spawn::<KvClient>())
        .await
        .unwrap();
    for _ in 0..20 {
        assert_eq!(within(get(&loud.client, "identity")).await.unwrap(), "loud");
        assert_eq!(
            within(get(&quiet.client, "identity")).await.unwrap(),
            "quiet"
        );
    }
    let exit = within(loud.stop()).await;
    assert!(exit.asked && flooded.alive().is_empty());
}
