//! Under our own host: over the socket that it hands down, with the token.

use std::time::Duration;

use connectrpc::ErrorCode;
use connectrpc::client::{ClientConfig, HttpClient};
use jackfield_grpc::Level;
use jackfield_testkit::grpc::{Bed, KvClient, Stranger, get, put};
use jackfield_testkit::{alive, eventually, until_file, within};
use kv::KvServiceClient;
use tokio::time::Instant;

use crate::RIG;

/// Ready when its constructor is, without anybody listening on a port meanwhile or afterwards.
#[tokio::test]
async fn over_the_socket() {
    let bed = Bed::default();
    let began = Instant::now();
    let spawn = bed.spawn(RIG, "--constructor 300 --identity mine");
    let plugin = within(spawn.spawn::<KvClient>()).await.unwrap();
    assert!(began.elapsed() >= Duration::from_millis(300));
    assert_eq!(get(&plugin.client, "identity").await.unwrap(), "mine");
    let bind = variable(plugin.child.pid(), "FTL_BIND").unwrap();
    let port = bind.rsplit(':').next().unwrap().to_owned();
    let stranger = tokio::net::TcpStream::connect(format!("127.0.0.1:{port}")).await;
    if stranger.is_ok() {
        // It may listen there as well, but then it tells strangers nothing.
        let config =
            ClientConfig::new(bind.parse().unwrap()).with_protocol(connectrpc::Protocol::Grpc);
        let client = KvServiceClient::new(HttpClient::plaintext_http2_only(), config);
        let ping = client.ping(kv::PingRequest::default()).await;
        assert_eq!(ping.unwrap_err().code, ErrorCode::Unauthenticated);
    }
    let exit = within(plugin.stop()).await;
    assert!(exit.asked && exit.status.success(), "{exit:?}");
    assert!(bed.alive().is_empty());
}

/// A stranger on its port does not concern it, before or after.
#[tokio::test]
async fn a_stranger_on_its_port() {
    let bed = Bed::default();
    let spawn = bed.spawn(
        RIG,
        &format!("--constructor-waits {} --identity mine", bed.file("go")),
    );
    let stranger = async {
        let mut pid = None;
        eventually(Duration::from_secs(20), "it runs", || {
            pid = bed.alive().into_iter().find(|pid| {
                std::fs::read_link(format!("/proc/{pid}/exe"))
                    .is_ok_and(|exe| exe.ends_with("grpc_start_rig"))
            });
            pid.is_some_and(|pid| variable(pid, "FTL_BIND").is_some())
        })
        .await;
        let bind = variable(pid.unwrap(), "FTL_BIND").unwrap();
        let at = jackfield_testkit::grpc::address(&bind);
        let stranger = Stranger::at(env!("CARGO_BIN_EXE_grpc_rig"), at, "").await;
        let _ = bed.with("go", "");
        stranger
    };
    let (plugin, stranger) = tokio::join!(within(spawn.spawn::<KvClient>()), stranger);
    let plugin = plugin.unwrap();
    for _ in 0..20 {
        assert_eq!(get(&plugin.client, "identity").await.unwrap(), "mine");
    }
    stranger.kill().await;
}

/// Its reason while the constructor runs is in the error of a host that gives up.
#[tokio::test]
async fn never_ready() {
    let bed = Bed::default();
    let spawn = bed
        .spawn(RIG, "--constructor 60000")
        .start_timeout(Duration::from_millis(800));
    let error = within(spawn.spawn::<KvClient>()).await.err().unwrap();
    assert!(
        matches!(error, jackfield_grpc::SpawnError::NotReady { .. }),
        "{error:?}"
    );
    assert!(error.to_string().contains("800ms"), "{error}");
    assert!(bed.alive().is_empty());
}

/// What its constructor fails with.
#[tokio::test]
async fn the_constructor_fails() {
    let bed = Bed::default();
    let spawn = bed
        .spawn(RIG, "--constructor-fails no-such-database")
        .spawn::<KvClient>();
    let error = within(spawn).await.err().unwrap();
    assert!(
        matches!(error, jackfield_grpc::SpawnError::Exited { .. }),
        "{error:?}"
    );
    assert!(error.to_string().contains("no-such-database"), "{error}");
}

/// What it logs comes as records; a panic does, too, and its host hears INTERNAL.
#[tokio::test]
async fn logs() {
    let bed = Bed::default();
    let plugin = within(bed.spawn(RIG, "").spawn::<KvClient>())
        .await
        .unwrap();
    get(&plugin.client, "log:hello").await.unwrap();
    bed.records().until("hello").await;
    let panic = get(&plugin.client, "panic").await.unwrap_err();
    assert_eq!(panic.code, ErrorCode::Internal, "{panic}");
    let record = bed.records().until("a secret of the panic").await;
    assert_eq!(record.level, Level::Error);
    let hello = bed
        .records()
        .all()
        .into_iter()
        .find(|record| record.message == "hello")
        .unwrap();
    assert_eq!(hello.attributes["answer"], "42");
    assert_eq!(hello.scope, "rig");
    within(plugin.stop()).await;
    let levels: Vec<Level> = bed
        .records()
        .all()
        .into_iter()
        .filter(|record| record.message == "hello")
        .map(|record| record.level)
        .collect();
    assert_eq!(
        levels,
        [Level::Debug, Level::Info, Level::Warn, Level::Error]
    );
}

/// A stop lets a call that is under way end, within the host's grace.
#[tokio::test]
async fn a_stop_drains() {
    let bed = Bed::default();
    let plugin = within(
        bed.spawn(RIG, "")
            .grace(Duration::from_secs(30))
            .spawn::<KvClient>(),
    )
    .await;
    let plugin = plugin.unwrap();
    let hold = bed.folder("hold");
    let call = get(&plugin.client, format!("hold:{hold}"));
    let stop = async {
        until_file(format!("{hold}/began")).await;
        plugin.child.stop();
        std::fs::write(format!("{hold}/go"), "").unwrap();
        plugin.child.exited().await
    };
    let (call, exit) = within(async { tokio::join!(call, stop) }).await;
    assert_eq!(call.unwrap(), "held");
    assert!(exit.asked && exit.status.success(), "{exit:?}");
}

/// gzip and large messages, where both sides were told.
#[tokio::test]
async fn gzip_and_size() {
    let bed = Bed::default();
    let spawn = bed
        .spawn(RIG, "--max-message-size 50000000")
        .gzip(true)
        .max_message_size(50_000_000);
    let plugin = within(spawn.spawn::<KvClient>()).await.unwrap();
    let headers = get(&plugin.client, "headers").await.unwrap();
    let headers: serde_json::Value = serde_json::from_str(&headers).unwrap();
    assert!(
        headers["grpc-accept-encoding"]
            .as_str()
            .unwrap()
            .contains("gzip"),
        "{headers}"
    );
    assert_eq!(headers["grpc-encoding"], "gzip", "{headers}");
    let value = vec![b'v'; 32 << 20];
    within(put(&plugin.client, "large", value.clone()))
        .await
        .unwrap();
    assert!(
        within(get(&plugin.client, "large"))
            .await
            .unwrap()
            .as_bytes()
            == value
    );
}

/// A crash in a call: an error, a value, and nothing left.
#[tokio::test]
async fn a_crash() {
    let bed = Bed::default();
    let plugin = within(bed.spawn(RIG, "").spawn::<KvClient>())
        .await
        .unwrap();
    let (crash, exit) =
        within(async { tokio::join!(get(&plugin.client, "exit:42"), plugin.child.exited()) }).await;
    assert_eq!(crash.unwrap_err().code, ErrorCode::Unavailable);
    assert_eq!(exit.status.code(), Some(42));
    assert!(!alive(plugin.child.pid()));
    let late = within(get(&plugin.client, "identity")).await;
    assert_eq!(late.unwrap_err().code, ErrorCode::Unavailable);
}

/// Thirty at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thirty_at_once() {
    let bed = Bed::default();
    let spawns = (0..30).map(|n| {
        let spawn = bed.spawn(RIG, &format!("--constructor 300 --identity {n}"));
        async move {
            let plugin = spawn.spawn::<KvClient>().await.unwrap();
            assert_eq!(
                get(&plugin.client, "identity").await.unwrap(),
                n.to_string()
            );
            plugin
        }
    });
    let plugins = within(futures_util::future::join_all(spawns)).await;
    drop(plugins);
    bed.until_gone().await;
}

fn variable(pid: u32, name: &str) -> Option<String> {
    let environment = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
    let environment = String::from_utf8_lossy(&environment).into_owned();
    let mut variables = environment
        .split('\0')
        .filter_map(|pair| pair.split_once('='));
    variables
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value.to_owned())
}
