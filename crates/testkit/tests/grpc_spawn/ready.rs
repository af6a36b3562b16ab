//! From the start to a client: at once, late, and over every address that is meant.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use jackfield_grpc::SpawnError;
use jackfield_testkit::grpc::{Bed, KvClient, address, entry, get, put, stopped};
use jackfield_testkit::within;
use kv::{GetRequest, ListRequest, PingRequest};
use tokio::time::Instant;

use crate::RIG;

/// A plugin that is ready when it listens: a typed client, an endpoint, a child, a working folder; and after the stop
/// nothing of it but the folder.
#[tokio::test]
async fn at_once() {
    let bed = Bed::default();
    let plugin = within(bed.spawn(RIG, "--identity this-one").spawn::<KvClient>())
        .await
        .unwrap();
    assert_eq!(get(&plugin.client, "identity").await.unwrap(), "this-one");
    assert_eq!(
        get(&plugin.client, "pid").await.unwrap(),
        plugin.child.pid().to_string()
    );
    let endpoint = address(&plugin.endpoint.uri().to_string());
    assert!(endpoint.ip().is_loopback() && endpoint.port() != 0);
    let working = std::fs::metadata(bed.file(".ftl")).unwrap();
    assert_eq!(working.permissions().mode() & 0o777, 0o700);
    let exit = stopped(&plugin).await;
    assert!(exit.asked && exit.status.success(), "{exit:?}");
    assert!(bed.alive().is_empty());
    assert_eq!(std::fs::read_dir(bed.file(".ftl")).unwrap().count(), 0);
    // Stopped again, and asked again: the same answer.
    assert_eq!(stopped(&plugin).await.status, exit.status);
    assert_eq!(within(plugin.child.exited()).await.status, exit.status);
}

/// Every kind of call over one connection.
#[tokio::test]
async fn all_kinds_of_calls() {
    let bed = Bed::default();
    let plugin = within(bed.spawn(RIG, "").spawn::<KvClient>())
        .await
        .unwrap();
    let client = &plugin.client;
    assert!(
        client
            .ping(PingRequest::default())
            .await
            .unwrap()
            .view()
            .not_ready
            .is_none()
    );
    assert!(!put(client, "a", b"1".to_vec()).await.unwrap());
    assert!(put(client, "a", b"2".to_vec()).await.unwrap());
    assert_eq!(get(client, "a").await.unwrap(), "2");
    let missing = get(client, "b").await.unwrap_err();
    assert_eq!(missing.code, connectrpc::ErrorCode::NotFound);
    let entries = (0..100).map(|n| entry(&format!("key-{n:03}"), "x"));
    let stored = client
        .load(connectrpc::stream_iter(entries.collect::<Vec<_>>()))
        .await
        .unwrap();
    assert_eq!(stored.view().stored, 100);
    let request = ListRequest {
        prefix: "key-".into(),
        ..ListRequest::default()
    };
    let mut list = client.list(request).await.unwrap();
    let mut count = 0;
    while let Some(message) = list.message().await.unwrap() {
        assert_eq!(message.view().key, format!("key-{count:03}"));
        count += 1;
    }
    assert_eq!(count, 100);
    let mut sync = client.sync().await.unwrap();
    for n in 0..10 {
        let step = kv::SyncRequest::default();
        let step = kv::SyncRequest {
            step: entry(&format!("sync-{n}"), "y").into(),
            ..step
        };
        sync.send(step).await.unwrap();
        let answer = within(sync.message()).await.unwrap().unwrap();
        assert_eq!(answer.view().key, format!("sync-{n}"));
        assert_eq!(answer.view().value, Some(&b"y"[..]));
    }
    sync.close_send();
    assert!(within(sync.message()).await.unwrap().is_none());
    // One connection bore it all.
    assert_eq!(get(client, "connections").await.unwrap(), "1");
}

/// A constructor that takes its time before it listens.
#[tokio::test]
async fn after_a_slow_constructor() {
    let bed = Bed::default();
    let began = Instant::now();
    let spawn = bed.spawn(RIG, "--constructor 700 --identity late");
    let plugin = within(spawn.spawn::<KvClient>()).await.unwrap();
    assert!(began.elapsed() >= Duration::from_millis(700));
    assert_eq!(get(&plugin.client, "identity").await.unwrap(), "late");
}

/// It answers, says why it is not ready, and then is: with a reason that is there but empty.
#[tokio::test]
async fn after_it_was_not() {
    let bed = Bed::default();
    let began = Instant::now();
    let spawn = bed.spawn(RIG, "--not-ready migrating --ready-after 400");
    let plugin = within(spawn.spawn::<KvClient>()).await.unwrap();
    assert!(began.elapsed() >= Duration::from_millis(400));
    assert_eq!(get(&plugin.client, "identity").await.unwrap(), "");
}

/// Pings that get no answer cost their own deadline, not the whole time.
#[tokio::test]
async fn after_pings_that_hang() {
    let bed = Bed::default();
    let spawn = bed
        .spawn(RIG, "--first-pings-hang 2")
        .start_timeout(Duration::from_secs(30));
    let began = Instant::now();
    let plugin = within(spawn.spawn::<KvClient>()).await.unwrap();
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(get(&plugin.client, "identity").await.unwrap(), "");
}

/// It listens for long before it accepts: what waits in the backlog is answered.
#[tokio::test]
async fn after_it_listened_for_a_while() {
    let bed = Bed::default();
    let began = Instant::now();
    let spawn = bed.spawn(RIG, "--accept-after 400");
    let plugin = within(spawn.spawn::<KvClient>()).await.unwrap();
    assert!(began.elapsed() >= Duration::from_millis(400));
    assert_eq!(get(&plugin.client, "identity").await.unwrap(), "");
}

/// It listens on all addresses of the machine, of either family.
#[tokio::test]
async fn on_wildcard_addresses() {
    for bind in ["0.0.0.0", "::", "127.0.0.1"] {
        let bed = Bed::default();
        let spawn = bed.spawn(RIG, &format!("--bind {bind} --identity {bind}"));
        let plugin = within(spawn.spawn::<KvClient>()).await.unwrap();
        assert_eq!(get(&plugin.client, "identity").await.unwrap(), bind);
    }
}

/// A program that wants the port for itself, and one that would share it.
#[tokio::test]
async fn however_it_binds() {
    for orders in ["--no-reuse", "--reuse-port"] {
        let bed = Bed::default();
        let spawn = bed.spawn(RIG, &format!("{orders} --identity {orders}"));
        let plugin = within(spawn.spawn::<KvClient>()).await.unwrap();
        assert_eq!(get(&plugin.client, "identity").await.unwrap(), orders);
    }
}

/// Behind a script that does not `exec`, found in the folder by its relative path.
#[tokio::test]
async fn behind_a_script() {
    let bed = Bed::default();
    let script = bed.with(
        "launch",
        format!("#!/bin/bash\n{RIG} --identity behind \"$@\"\nexit $?\n"),
    );
    std::fs::set_permissions(script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let plugin = within(bed.spawn("./launch", "").spawn::<KvClient>())
        .await
        .unwrap();
    assert_eq!(get(&plugin.client, "identity").await.unwrap(), "behind");
    let pid: u32 = get(&plugin.client, "pid").await.unwrap().parse().unwrap();
    assert_ne!(pid, plugin.child.pid(), "the script is the child");
    let exit = stopped(&plugin).await;
    assert!(exit.asked, "{exit:?}");
    assert!(!jackfield_testkit::alive(pid));
    assert!(bed.alive().is_empty());
}

/// More clients on the same endpoint, without a ping of their own; and after the plugin they fail.
#[tokio::test]
async fn further_clients() {
    let bed = Bed::default();
    let plugin = within(bed.spawn(RIG, "--identity shared").spawn::<KvClient>())
        .await
        .unwrap();
    let second: KvClient = plugin.endpoint.client();
    let third = second.clone();
    assert_eq!(get(&second, "identity").await.unwrap(), "shared");
    assert_eq!(get(&third, "identity").await.unwrap(), "shared");
    assert_eq!(get(&third, "connections").await.unwrap(), "1");
    stopped(&plugin).await;
    let late = within(second.get(GetRequest::default())).await;
    assert_eq!(late.unwrap_err().code, connectrpc::ErrorCode::Unavailable);
}

/// Without a working folder nothing is written, so that the folder may be one that cannot be.
#[tokio::test]
async fn without_a_working_folder() {
    let bed = Bed::default();
    let spawn = bed.spawn(RIG, "--birth @/birth").no_working_folder();
    let plugin = within(spawn.spawn::<KvClient>()).await.unwrap();
    assert!(!std::fs::exists(bed.file(".ftl")).unwrap());
    stopped(&plugin).await;
    assert!(!std::fs::exists(bed.file(".ftl")).unwrap());
    let spawn = jackfield_grpc::Spawn::new("rig", RIG).folder("/proc/self");
    let plugin = within(spawn.no_working_folder().spawn::<KvClient>())
        .await
        .unwrap();
    assert_eq!(get(&plugin.client, "identity").await.unwrap(), "");
    let with = jackfield_grpc::Spawn::new("rig", RIG).folder("/proc/self");
    let error: SpawnError = within(with.spawn::<KvClient>()).await.err().unwrap();
    assert!(error.to_string().contains(".ftl"), "{error}");
}
