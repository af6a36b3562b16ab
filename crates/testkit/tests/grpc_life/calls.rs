//! Calls: deadlines, sizes, connections that break, plugins that stop answering.

use std::time::Duration;

use buffa::Message as _;
use bytes::Bytes;
use connectrpc::ErrorCode;
use connectrpc::client::CallOptions;
use http_body_util::Full;
use jackfield_grpc::KeepAlive;
use jackfield_testkit::grpc::{Bed, KvClient, get, put};
use jackfield_testkit::{alive, eventually, until_file, within};
use kv::{GetRequest, ListRequest};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tonic::codegen::Service as _;

use crate::RIG;

const MIB: usize = 1 << 20;

/// A call with a deadline of its own.
async fn get_within(
    client: &KvClient,
    key: &str,
    timeout: Duration,
) -> Result<String, connectrpc::ConnectError> {
    let request = GetRequest {
        key: key.into(),
        ..GetRequest::default()
    };
    let options = CallOptions::default().with_timeout(timeout);
    let answer = client.get_with_options(request, options).await?;
    Ok(String::from_utf8_lossy(answer.view().value).into_owned())
}

fn prefix(prefix: &str) -> ListRequest {
    ListRequest {
        prefix: prefix.into(),
        ..ListRequest::default()
    }
}

/// The plugin is told, and who does not answer in time is not waited for.
#[tokio::test]
async fn deadlines() {
    let bed = Bed::default();
    let plugin = within(bed.spawn(RIG, "").spawn::<KvClient>())
        .await
        .unwrap();
    let headers = get_within(&plugin.client, "headers", Duration::from_secs(7))
        .await
        .unwrap();
    let headers: Value = serde_json::from_str(&headers).unwrap();
    let timeout = headers["grpc-timeout"].as_str().expect("it is passed on");
    let (digits, unit) = timeout.split_at(timeout.len() - 1);
    assert!(digits.len() <= 8 && "HMSmun".contains(unit), "{timeout}");
    let nanoseconds = digits.parse::<u64>().unwrap()
        * match unit {
            "S" => 1_000_000_000,
            "m" => 1_000_000,
            "u" => 1_000,
            "n" => 1,
            _ => panic!("{timeout}"),
        };
    assert!(
        (6_000_000_000..=7_000_000_000).contains(&nanoseconds),
        "{timeout}"
    );
    let began = Instant::now();
    let late = get_within(&plugin.client, "never", Duration::from_millis(200)).await;
    assert_eq!(late.unwrap_err().code, ErrorCode::DeadlineExceeded);
    let took = began.elapsed();
    assert!(
        took >= Duration::from_millis(190) && took < Duration::from_secs(5),
        "{took:?}"
    );
    // Nothing is the worse for it.
    assert_eq!(get(&plugin.client, "connections").await.unwrap(), "1");
}

/// Where the caller says nothing, the spawn's own.
#[tokio::test]
async fn a_default_deadline() {
    let bed = Bed::default();
    let spawn = bed
        .spawn(RIG, "")
        .default_timeout(Duration::from_millis(300));
    let plugin = within(spawn.spawn::<KvClient>()).await.unwrap();
    let began = Instant::now();
    let late = within(get(&plugin.client, "never")).await;
    assert_eq!(late.unwrap_err().code, ErrorCode::DeadlineExceeded);
    assert!(began.elapsed() < Duration::from_secs(5));
    let longer = get_within(&plugin.client, "slow:600", Duration::from_secs(30)).await;
    assert_eq!(longer.unwrap(), "slow");
}

/// Answers that are too long are refused, and the connection goes on.
#[tokio::test]
async fn limits_on_answers() {
    let bed = Bed::default();
    let spawn = bed.spawn(RIG, "").max_message_size(MIB);
    let plugin = within(spawn.spawn::<KvClient>()).await.unwrap();
    assert_eq!(
        get(&plugin.client, format!("big:{}", MIB - 100))
            .await
            .unwrap()
            .len(),
        MIB - 100
    );
    for size in [MIB + 1, 8 * MIB, 64 * MIB] {
        let error = within(get(&plugin.client, format!("big:{size}")))
            .await
            .unwrap_err();
        assert_eq!(error.code, ErrorCode::ResourceExhausted, "{size}: {error}");
    }
    assert_eq!(get(&plugin.client, "connections").await.unwrap(), "1");
}

/// There is a limit where nobody set one.
#[tokio::test]
async fn limits_by_default() {
    let bed = Bed::default();
    let plugin = within(bed.spawn(RIG, "").spawn::<KvClient>())
        .await
        .unwrap();
    assert_eq!(
        get(&plugin.client, format!("big:{}", 3 * MIB))
            .await
            .unwrap()
            .len(),
        3 * MIB
    );
    let error = within(get(&plugin.client, format!("big:{}", 256 * MIB)))
        .await
        .unwrap_err();
    assert_eq!(error.code, ErrorCode::ResourceExhausted, "{error}");
}

/// Thirty-two mebibytes there and back, where that is allowed.
#[tokio::test]
async fn large_messages() {
    let bed = Bed::default();
    let spawn = bed.spawn(RIG, "").max_message_size(40 * MIB);
    let plugin = within(spawn.spawn::<KvClient>()).await.unwrap();
    let value: Vec<u8> = (0..32 * MIB).map(|n| b'a' + (n % 23) as u8).collect();
    within(put(&plugin.client, "large", value.clone()))
        .await
        .unwrap();
    let back = within(get(&plugin.client, "large")).await.unwrap();
    assert!(back.as_bytes() == value, "it came back changed");
}

/// Many at once on one connection, slow ones among them: none waits for another.
#[tokio::test]
async fn many_at_once() {
    let bed = Bed::default();
    let plugin = within(bed.spawn(RIG, "").spawn::<KvClient>())
        .await
        .unwrap();
    let mut calls = JoinSet::new();
    let hang = plugin.client.clone();
    let hanging = async move { get(&hang, "never").await };
    let mut hanging = Box::pin(hanging);
    assert!(futures_util::poll!(&mut hanging).is_pending());
    for n in 0..1000 {
        let client = plugin.client.clone();
        calls.spawn(async move {
            let key = if n % 2 == 0 { "slow:50" } else { "identity" };
            within(get(&client, key)).await.unwrap();
        });
    }
    while let Some(call) = calls.join_next().await {
        call.unwrap();
    }
    assert!(futures_util::poll!(&mut hanging).is_pending());
}

/// The connection breaks under the call: an error for the call, and the next one has a new connection. However often.
#[tokio::test]
async fn connections_that_break() {
    let bed = Bed::default();
    let plugin = within(bed.spawn(RIG, "--identity still").spawn::<KvClient>())
        .await
        .unwrap();
    for round in 2..8 {
        let cut = within(get(&plugin.client, "cut")).await;
        assert_eq!(cut.unwrap_err().code, ErrorCode::Unavailable);
        assert_eq!(
            within(get(&plugin.client, "identity")).await.unwrap(),
            "still"
        );
        assert_eq!(
            get(&plugin.client, "connections").await.unwrap(),
            round.to_string()
        );
    }
    assert!(alive(plugin.child.pid()));
}

/// A hundred calls meet a connection that has just broken: one new connection for all, and none fails but those that
/// were on the old one.
#[tokio::test]
async fn one_connection_for_all() {
    let bed = Bed::default();
    let plugin = within(bed.spawn(RIG, "--identity still").spawn::<KvClient>())
        .await
        .unwrap();
    assert!(within(get(&plugin.client, "cut")).await.is_err());
    let calls = (0..100).map(|_| get(&plugin.client, "identity"));
    for answer in within(futures_util::future::join_all(calls)).await {
        assert_eq!(answer.unwrap(), "still");
    }
    assert_eq!(get(&plugin.client, "connections").await.unwrap(), "2");
}

/// The plugin ends its connections as HTTP/2 has it, again and again: what is under way ends well, what is new goes
/// over a new one, and nobody notices.
#[tokio::test]
async fn connections_that_are_ended() {
    let bed = Bed::default();
    let plugin = within(bed.spawn(RIG, "--identity still").spawn::<KvClient>())
        .await
        .unwrap();
    let hold = bed.folder("hold");
    let held = get(&plugin.client, format!("hold:{hold}"));
    let calls = async {
        until_file(format!("{hold}/began")).await;
        for _ in 0..20 {
            let goaway = get(&plugin.client, "goaway");
            let calls = (0..20).map(|_| get(&plugin.client, "identity"));
            let (said, answers) =
                within(async { tokio::join!(goaway, futures_util::future::join_all(calls)) }).await;
            assert_eq!(said.unwrap(), "said");
            for answer in answers {
                assert_eq!(answer.unwrap(), "still");
            }
        }
        std::fs::write(format!("{hold}/go"), "").unwrap();
    };
    let (held, ()) = tokio::join!(held, calls);
    assert_eq!(held.unwrap(), "held");
    let connections: u32 = get(&plugin.client, "connections")
        .await
        .unwrap()
        .parse()
        .unwrap();
    assert!(connections > 1, "{connections}");
}

/// Who wants to know that the connection has gone is told: not before, and whatever ended it.
#[tokio::test]
async fn a_lost_connection_is_told() {
    let bed = Bed::default();
    let plugin = within(bed.spawn(RIG, "").spawn::<KvClient>())
        .await
        .unwrap();
    let channel = plugin.endpoint.channel();
    for how in ["cut", "exit:1"] {
        assert_eq!(get(&plugin.client, "identity").await.unwrap(), "");
        let mut lost = Box::pin(channel.lost());
        assert!(futures_util::poll!(&mut lost).is_pending(), "{how}");
        assert!(within(get(&plugin.client, how)).await.is_err());
        within(lost).await;
    }
    // There is none any more.
    within(channel.lost()).await;
    assert!(within(channel.connect()).await.is_err());
}

/// Streams break with an error, not with an end.
#[tokio::test]
async fn streams_that_break() {
    for how in ["cut", "crash", "kill"] {
        let bed = Bed::default();
        let plugin = within(bed.spawn(RIG, "").spawn::<KvClient>())
            .await
            .unwrap();
        let order = if how == "crash" { "crash:3" } else { "tick" };
        let mut stream = within(plugin.client.list(prefix(order))).await.unwrap();
        assert!(within(stream.message()).await.unwrap().is_some());
        match how {
            "cut" => assert!(within(get(&plugin.client, "cut")).await.is_err()),
            "kill" => plugin.child.kill(),
            _ => {}
        }
        let error = loop {
            match within(stream.message()).await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("{how}: the stream ended as if it were whole"),
                Err(error) => break error,
            }
        };
        assert!(
            matches!(error.code, ErrorCode::Unavailable | ErrorCode::Internal),
            "{how}: {error}"
        );
    }
}

/// Who drops a stream does not hold the plugin up.
#[tokio::test]
async fn streams_that_are_dropped() {
    let bed = Bed::default();
    let plugin = within(bed.spawn(RIG, "").spawn::<KvClient>())
        .await
        .unwrap();
    for _ in 0..50 {
        let mut stream = within(plugin.client.list(prefix("tick"))).await.unwrap();
        assert!(within(stream.message()).await.unwrap().is_some());
    }
    assert_eq!(
        within(get(&plugin.client, "connections")).await.unwrap(),
        "1"
    );
}

/// A consumer that takes its time: the plugin waits, other calls do not.
#[tokio::test]
async fn a_stream_that_is_read_slowly() {
    let bed = Bed::default();
    let plugin = within(bed.spawn(RIG, "").spawn::<KvClient>())
        .await
        .unwrap();
    let mut stream = within(plugin.client.list(prefix("count:100000")))
        .await
        .unwrap();
    for n in 0..20 {
        assert_eq!(
            within(stream.message()).await.unwrap().unwrap().view().key,
            n.to_string()
        );
        assert_eq!(within(get(&plugin.client, "identity")).await.unwrap(), "");
    }
    let mut count = 20;
    while within(stream.message()).await.unwrap().is_some() {
        count += 1;
    }
    assert_eq!(count, 100_000);
}

/// The process stands still: a call with a deadline ends with it, one without ends, too, since nobody answers on the
/// line; and when the process goes on, so do calls.
#[tokio::test]
async fn a_stopped_plugin_is_noticed() {
    let bed = Bed::default();
    let keep_alive = KeepAlive {
        interval: Some(Duration::from_millis(400)),
        timeout: Duration::from_millis(600),
        while_idle: false,
    };
    let spawn = bed.spawn(RIG, "--identity back").keep_alive(keep_alive);
    let plugin = within(spawn.spawn::<KvClient>()).await.unwrap();
    let pid = Pid::from_raw(i32::try_from(plugin.child.pid()).unwrap()).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    let late = get_within(&plugin.client, "identity", Duration::from_millis(200)).await;
    assert_eq!(late.unwrap_err().code, ErrorCode::DeadlineExceeded);
    let began = Instant::now();
    let lost = within(get(&plugin.client, "identity")).await;
    assert_eq!(lost.unwrap_err().code, ErrorCode::Unavailable);
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "{:?}",
        began.elapsed()
    );
    kill_process(pid, Signal::CONT).unwrap();
    eventually(Duration::from_secs(10), "it runs", || {
        alive(plugin.child.pid())
    })
    .await;
    let back = within(get_within(
        &plugin.client,
        "identity",
        Duration::from_secs(30),
    ))
    .await;
    assert_eq!(back.unwrap(), "back");
    assert!(within(plugin.stop()).await.asked);
}

/// It stops itself within a call, and is stopped: the kill reaches it all the same.
#[tokio::test]
async fn a_stopped_plugin_can_be_stopped() {
    let bed = Bed::default();
    let spawn = bed.spawn(RIG, "").grace(Duration::from_millis(500));
    let plugin = within(spawn.spawn::<KvClient>()).await.unwrap();
    let late = get_within(&plugin.client, "stop", Duration::from_millis(300)).await;
    assert_eq!(late.unwrap_err().code, ErrorCode::DeadlineExceeded);
    let exit = within(plugin.stop()).await;
    assert!(exit.asked, "{exit:?}");
    assert!(bed.alive().is_empty());
}

/// What the plugin answers as an error comes as it is.
#[tokio::test]
async fn errors_of_the_plugin() {
    let bed = Bed::default();
    let plugin = within(bed.spawn(RIG, "").spawn::<KvClient>())
        .await
        .unwrap();
    for code in 1..=16 {
        let error = get(&plugin.client, format!("fail:{code}:because"))
            .await
            .unwrap_err();
        assert_eq!(error.code.grpc_code(), code);
        assert_eq!(error.message.as_deref(), Some("because"));
    }
}

/// Over an open connection a call is sent when it is made; nobody needs to poll it. Dropped, it is reset, and the connection
/// stays. A runtime is not needed for that much.
#[tokio::test]
async fn a_call_that_is_not_polled() {
    let bed = Bed::default();
    let plugin = within(bed.spawn(RIG, "").spawn::<KvClient>())
        .await
        .unwrap();
    let hold = bed.folder("hold");
    let request = GetRequest {
        key: format!("hold:{hold}"),
        ..GetRequest::default()
    };
    // Not compressed, so many bytes.
    let message = request.encode_to_vec();
    let mut body = vec![0];
    body.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    body.extend(message);
    let request = http::Request::post("http://plugin/kv.v1.KvService/Get")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::new(Bytes::from(body)))
        .unwrap();
    let mut channel = plugin.endpoint.channel();
    let call = std::thread::spawn(move || channel.call(request));
    let call = call.join().unwrap();
    within(until_file(format!("{hold}/began"))).await;
    drop(call);
    assert_eq!(get(&plugin.client, "connections").await.unwrap(), "1");
}

/// A call under way when the plugin is stopped ends with an error, soon.
#[tokio::test]
async fn a_call_in_a_stop() {
    let bed = Bed::default();
    let plugin = within(bed.spawn(RIG, "").spawn::<KvClient>())
        .await
        .unwrap();
    let hold = bed.folder("hold");
    let call = get(&plugin.client, format!("hold:{hold}"));
    let stop = async {
        until_file(format!("{hold}/began")).await;
        plugin.stop().await
    };
    let (call, exit) = within(async { tokio::join!(call, stop) }).await;
    assert_eq!(call.unwrap_err().code, ErrorCode::Unavailable);
    assert!(exit.asked);
}
