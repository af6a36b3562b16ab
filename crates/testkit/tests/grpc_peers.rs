//! gRPC plugins as other people write them, in Go, Python and Node, beside one made with `start`: each spawned, and
//! called with clients of both makers. And each language's own clients against the plugin made with `start`.

#![expect(clippy::unwrap_used, reason = "tests may")]

#[path = "grpc_peers/calls.rs"]
mod calls;
#[path = "grpc_peers/foreign.rs"]
mod foreign;
#[path = "grpc_peers/peer.rs"]
mod peer;

use std::time::Duration;

use futures_util::future::join_all;
use jackfield_grpc::{Exit, ExitStatus, Level, Plugin, SpawnError, Stream};
use jackfield_testkit::tonic_kv;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::calls::{Calls, Failed, Step};
use crate::peer::{Bed, Peer};

macro_rules! table {
    ($scenarios:tt) => {
        table!(@ rust Rust $scenarios);
        table!(@ go Go $scenarios);
        table!(@ grpcio Grpcio $scenarios);
        table!(@ python_connect PythonConnect $scenarios);
        table!(@ node Node $scenarios);
    };
    (@ $peer:ident $name:ident $scenarios:tt) => {
        mod $peer {
            table!(@@ connect (kv::KvClient) $name $scenarios);
            table!(@@ tonic (jackfield_testkit::tonic_kv::KvClient) $name $scenarios);
        }
    };
    (@@ $module:ident ($client:ty) $peer:ident { $($scenario:ident)* }) => {
        mod $module {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $scenario() {
                    crate::$scenario::<$client>(crate::Peer::$peer).await;
                }
            )*
        }
    };
}

table!({
    is_waited_for_while_it_is_not_ready
    answers_calls_and_streams
    packs_what_is_big
    has_its_lines_as_records_to_the_last
});

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_is_given_up_with_its_own_reason() {
    join_all(Peer::ALL.map(is_given_up_with_its_own_reason)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_ends_though_a_stream_is_open() {
    join_all(Peer::ALL.map(ends_though_a_stream_is_open::<kv::KvClient>)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_ends_though_a_stream_of_tonics_is_open() {
    join_all(Peer::ALL.map(ends_though_a_stream_is_open::<tonic_kv::KvClient>)).await;
}

async fn is_waited_for_while_it_is_not_ready<C: Calls>(peer: Peer) {
    let bed = Bed::new();
    let began = Instant::now();
    let spawn = bed.spawn(peer).env("KV_NOT_READY_MS", "400");
    let plugin: Plugin<C> = spawn.spawn().await.unwrap();
    assert!(began.elapsed() >= Duration::from_millis(400));
    let not_ready = plugin.client.ping().await.unwrap();
    assert_eq!(not_ready.unwrap_or_default(), "");
    // Who knows more than `FTL_BIND` is on the socket that has no port.
    assert_eq!(plugin.endpoint.port().is_none(), peer.is_ours());
    let another: C = plugin.endpoint.client();
    assert!(!another.put("extra", vec![1]).await.unwrap());
    assert!(plugin.client.put("extra", vec![2]).await.unwrap());
    bed.finish(plugin).await;
}

async fn is_given_up_with_its_own_reason(peer: Peer) {
    // Some take long to say anything, the more so when all of them begin at once.
    for seconds in [2, 4, 8, 16, 32] {
        let bed = Bed::new();
        let spawn = bed.spawn(peer).env("KV_NOT_READY_MS", "3600000");
        let spawn = spawn.start_timeout(Duration::from_secs(seconds));
        let error = spawn.spawn::<kv::KvClient>().await.unwrap_err();
        assert!(matches!(error, SpawnError::NotReady { .. }), "{error:?}");
        bed.until_gone().await;
        if error.to_string().contains("warming up") {
            return;
        }
    }
    panic!("{peer:?} never said why it is not ready");
}

async fn answers_calls_and_streams<C: Calls>(peer: Peer) {
    let bed = Bed::new();
    let plugin: Plugin<C> = bed.ready(peer).await;
    let kv = &plugin.client;

    let odd = b"blue \x00\xff".to_vec();
    assert!(!kv.put("colour", b"red".to_vec()).await.unwrap());
    assert!(kv.put("colour", odd.clone()).await.unwrap());
    assert_eq!(kv.get("colour").await.unwrap(), odd);
    let Failed { code, message } = kv.get("nowhere \u{2602}").await.unwrap_err();
    assert_eq!(code, "NOT_FOUND");
    assert_eq!(message, "no key \"nowhere \u{2602}\"");

    let entries: Vec<_> = (0..200_u8)
        .map(|n| (format!("load/{n:03}"), vec![n]))
        .collect();
    assert_eq!(kv.load(entries.clone()).await.unwrap(), 200);
    assert_eq!(kv.list("load/").await.unwrap(), entries);
    assert_eq!(kv.list("load/19").await.unwrap(), entries[190..]);
    assert_eq!(kv.list("none").await.unwrap(), []);
    assert_eq!(kv.load(Vec::new()).await.unwrap(), 0);

    let answers = kv.sync(vec![
        Step::Get("shape"),
        Step::Put("shape", b"round".to_vec()),
        Step::Get("shape"),
        // A value that is empty is a value.
        Step::Put("shape", Vec::new()),
        Step::Get("shape"),
    ]);
    let shape = |value: Option<&[u8]>| ("shape".to_owned(), value.map(<[u8]>::to_vec));
    let round = Some(&b"round"[..]);
    let expected = [None, round, round, Some(&[][..]), Some(&[])].map(shape);
    assert_eq!(answers.await.unwrap(), expected);

    let began = Instant::now();
    let within = Duration::from_millis(300);
    let failed = kv.wait(within, CancellationToken::new()).await;
    assert_eq!(failed.code, "DEADLINE_EXCEEDED", "{failed:?}");
    assert!(began.elapsed() >= within && began.elapsed() < Duration::from_secs(10));
    // The connection is as good as before.
    assert_eq!(kv.get("colour").await.unwrap(), odd);
    bed.finish(plugin).await;
}

async fn packs_what_is_big<C: Calls>(peer: Peer) {
    let bed = Bed::new();
    let plugin: Plugin<C> = bed.spawn(peer).gzip(true).spawn().await.unwrap();
    let big = b"jackfield ".repeat(300_000);
    plugin.client.put("big", big.clone()).await.unwrap();
    assert!(plugin.client.get("big").await.unwrap() == big);
    bed.finish(plugin).await;
}

async fn has_its_lines_as_records_to_the_last<C: Calls>(peer: Peer) {
    let bed = Bed::new();
    let plugin: Plugin<C> = bed.ready(peer).await;
    let entries: Vec<_> = (0..300)
        .map(|n| (format!("{n} \"<\u{e9}"), vec![]))
        .collect();
    plugin.client.load(entries.clone()).await.unwrap();
    let pid = plugin.child.pid();
    bed.finish(plugin).await;
    let records = bed.records();
    let stored: Vec<_> = records
        .iter()
        .filter(|record| record.message == "stored")
        .collect();
    assert_eq!(stored.len(), entries.len(), "of {pid}: {records:#?}");
    for (record, (key, _)) in stored.iter().zip(&entries) {
        assert_eq!(record.level, Level::Debug);
        assert_eq!(record.attributes.get("key"), Some(key));
        assert_eq!((&*record.scope, &*record.module), ("kv", "table"));
        assert_eq!(record.stream, Stream::Stderr);
    }
    // Times are the plugin's own, and in order.
    assert!(stored.is_sorted_by_key(|record| record.at));
    let odd: Vec<_> = records
        .iter()
        .filter(|record| record.level > Level::Info)
        .collect();
    assert!(odd.is_empty(), "{odd:#?}");
}

async fn ends_though_a_stream_is_open<C: Calls>(peer: Peer) {
    let bed = Bed::new();
    let spawn = bed.spawn(peer).grace(Duration::from_secs(60));
    let plugin: Plugin<C> = spawn.spawn().await.unwrap();
    let open = CancellationToken::new();
    let waits = plugin.client.wait(Duration::from_secs(3600), open.clone());
    let stops = async {
        open.cancelled().await;
        plugin.stop().await
    };
    let both = async { tokio::join!(waits, stops) };
    let both = tokio::time::timeout(Duration::from_secs(50), both).await;
    let (failed, exit): (Failed, Exit) = both.expect("both end");
    assert_ne!(failed.code, "DEADLINE_EXCEEDED", "{failed:?}");
    assert_eq!(exit.status, ExitStatus::Code(0), "{exit:?}");
    bed.until_gone().await;
}
