//! What it is given, in every form, and what it does where that runs out.

use std::process::Stdio;
use std::time::Duration;

use jackfield_testkit::within;
use rustix::process::Signal;
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::Instant;

use crate::RIG;
use crate::bench::{Place, Started, curl, get};

/// Addresses as hosts write them.
#[tokio::test]
async fn addresses() {
    for form in [
        "http://127.0.0.1:PORT",
        "http://127.0.0.1:PORT/",
        "http://localhost:PORT",
        "http://0.0.0.0:PORT",
    ] {
        let place = Place::hold();
        let port = place.address.port().to_string();
        let mut started = Started::with("", |command| {
            command.env("FTL_BIND", form.replace("PORT", &port));
        });
        started.place = place;
        let started = started.ready().await;
        assert_eq!(
            get(&started.client(), "number").await.unwrap(),
            "7",
            "{form}"
        );
    }
}

/// A descriptor that is no socket that listens is passed over, and the address counts.
#[tokio::test]
async fn descriptors_that_are_none() {
    for (number, prefix) in [
        ("abc", ""),
        ("", ""),
        ("-1", ""),
        ("999999999999", ""),
        ("77", ""),
        ("3", "exec 3</dev/null;"),
        ("3", "exec 3>&-;"),
        ("0", ""),
        ("2", ""),
    ] {
        let place = Place::hold();
        let child = Command::new("sh")
            .args(["-c", &format!("{prefix} exec {RIG}")])
            .env("FTL_BIND", place.url(""))
            .env("JACKFIELD_LISTEN_FD", number)
            .env_remove("JACKFIELD_TOKEN")
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut started = Started::of(child, place);
        let ready = async {
            started.until_it_listens().await;
            started.ready().await
        };
        let started = within(ready).await;
        assert_eq!(
            get(&started.client(), "number").await.unwrap(),
            "7",
            "{number:?} {prefix}"
        );
    }
}

/// A socket that listens is all that is needed: no address then.
#[tokio::test]
async fn a_descriptor_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let script = "import os, socket, sys\n\
        s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(64)\n\
        os.dup2(s.fileno(), 3); os.set_inheritable(3, True)\n\
        os.execve(sys.argv[2], [sys.argv[2]], {'JACKFIELD_LISTEN_FD': '3'})";
    let child = Command::new("python3")
        .args(["-c", script])
        .arg(&path)
        .arg(RIG)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    jackfield_testkit::eventually(Duration::from_secs(20), "the socket", || path.exists()).await;
    let socket = path.display().to_string();
    let unix = [
        "--unix-socket",
        &socket,
        "-H",
        "content-type: application/json",
    ];
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let args = [&unix[..], &[version]].concat();
        let url = "http://localhost/kv.v1.KvService/Get";
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let answer = curl(&args, Some(br#"{"key":"number"}"#), url).await;
            if answer.status == 200 {
                assert_eq!(answer.text(), r#"{"value":"Nw=="}"#);
                break;
            }
            assert!(Instant::now() < deadline, "{answer:?}");
        }
    }
    drop(child);
}

/// A second signal does not wait for the grace.
#[tokio::test]
async fn a_second_signal() {
    let folder = tempfile::tempdir().unwrap();
    let mut started = Started::run("--grace 600000").ready().await;
    let client = started.client();
    let order = format!("hold:{}", folder.path().display());
    let call = get(&client, &order);
    tokio::pin!(call);
    tokio::select! {
        answer = &mut call => panic!("{answer:?}"),
        _ = jackfield_testkit::until_file(folder.path().join("began")) => {}
    }
    started.signal(Signal::TERM);
    // It has heard the first one when it takes no more connections.
    let closed = async { while TcpStream::connect(started.address).await.is_ok() {} };
    within(closed).await;
    started.signal(Signal::TERM);
    let (ended, answer) = within(async { tokio::join!(started.ended(), call) }).await;
    assert!(answer.is_err());
    assert_eq!(ended.0, Some(0));
}

/// More connections than it may have descriptors: those in excess wait, and when the others are gone all is well.
#[tokio::test]
async fn out_of_descriptors() {
    let place = Place::hold();
    let child = Command::new("sh")
        .args(["-c", &format!("ulimit -n 40; exec {RIG}")])
        .env("FTL_BIND", place.url(""))
        .env_remove("JACKFIELD_TOKEN")
        .env_remove("JACKFIELD_LISTEN_FD")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let started = Started::of(child, place).ready().await;
    let client = started.client();
    assert_eq!(get(&client, "number").await.unwrap(), "7");
    let mut many = Vec::new();
    for _ in 0..100 {
        many.push(TcpStream::connect(started.address).await.unwrap());
    }
    // The connection there is goes on.
    assert_eq!(within(get(&client, "number")).await.unwrap(), "7");
    drop(many);
    assert_eq!(within(get(&started.client(), "number")).await.unwrap(), "7");
}

/// What many say at once, and what it says of itself with odd characters: one line each, JSON each.
#[tokio::test]
async fn logs_of_many() {
    let mut started = Started::run("").ready().await;
    let client = started.client();
    let calls = (0..200).map(|n| {
        let client = client.clone();
        async move { get(&client, &format!("log:{n} \"a\"\n\u{1b}\\\u{0}\u{2028}ö")).await }
    });
    for said in within(futures_util::future::join_all(calls)).await {
        said.unwrap();
    }
    started.signal(Signal::TERM);
    let (_, lines) = started.ended().await;
    let mut count = 0;
    for line in lines {
        let record: serde_json::Value =
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}"));
        let message = record["message"].as_str().unwrap();
        count += usize::from(message.ends_with(" \"a\"\n\u{1b}\\\u{0}\u{2028}ö"));
    }
    assert_eq!(count, 200 * 3, "info, warn and error of each");
}

/// Headers by the megabyte, requests that are none, hundreds of connections: nothing of it ends the process or slows
/// others down.
#[tokio::test]
async fn rude_clients() {
    let started = Started::run("").ready().await;
    let client = started.client();
    let mut idle = Vec::new();
    for n in 0..300 {
        let stream = TcpStream::connect(started.address).await.unwrap();
        let bytes: &[u8] = match n % 5 {
            0 => b"",
            1 => b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            2 => b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff",
            3 => b"GET / HTTP/9.9\r\n\r\n",
            _ => b"\0\0\0\0\0\0\0\0",
        };
        let _ = stream.try_write(bytes);
        idle.push(stream);
    }
    let long = format!("x-long: {}", "y".repeat(900_000));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("headers");
    std::fs::write(&file, long).unwrap();
    let file = format!("@{}", file.display());
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let answer = curl(&[version, "-H", &file], None, &started.url("/raw")).await;
        assert!(
            answer.status == 0 || answer.status == 200 || answer.status >= 400,
            "{answer:?}"
        );
    }
    for _ in 0..20 {
        assert_eq!(within(get(&client, "number")).await.unwrap(), "7");
    }
    assert_eq!(within(get(&started.client(), "number")).await.unwrap(), "7");
    drop(idle);
}
