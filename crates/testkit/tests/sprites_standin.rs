//! The stand-in of the Sprites service: the official client's ordinary operations, and the faults.

#[path = "sprites_standin/client.rs"]
mod client;

use std::process::Stdio;
use std::time::Duration;

use jackfield_testkit::peers::prepared;
use jackfield_testkit::sprites::{Break, Fault, Op, Service, Settings};
use jackfield_testkit::{alive, eventually};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use client::{Came, Line, ask, ask_as, done, soon, with_sprite};

const LONG: Duration = Duration::from_secs(20);
const ECHO: &str = "echo ready; exec cat";

/// The stand-in is as faithful as this: the official client does not notice. It ends by itself.
#[tokio::test(flavor = "multi_thread")]
async fn the_official_client_does_its_ordinary_operations() {
    let service = Service::start().await;
    service.next(Op::Create, Fault::rate_limited(7));
    let client = tokio::process::Command::new(prepared("sprites-go/client"))
        .args(["-limits", "-base", service.base_url()])
        .args(["-key", service.api_key()])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let client = tokio::time::timeout(Duration::from_secs(90), client).await;
    let client = client.expect("it ends").expect("it runs");
    let printed = String::from_utf8_lossy(&client.stdout);
    let failed = String::from_utf8_lossy(&client.stderr);
    assert!(client.status.success(), "{printed}{failed}");
    assert!(printed.ends_with("ok all\n"), "{printed}");
    let checks = printed.lines().filter(|line| line.starts_with("ok "));
    assert!(checks.count() > 100, "{printed}");
    assert!(!service.key_in_url());
    assert_eq!(service.sprites(), [""; 0]);
}

#[tokio::test]
async fn answers_are_errors_on_order() {
    let service = with_sprite(Service::start().await).await;
    for status in [401, 403, 404, 409, 429, 500, 503] {
        service.next(Op::Get, Fault::status(status));
        let answer = ask(&service, "GET /v1/sprites/s", "").await.unwrap();
        assert_eq!(answer.status, status);
        assert!(answer.json()["error"].is_string() && answer.json()["message"].is_string());
        done(&service, "GET /v1/sprites/s", "").await;
    }
    service.next(Op::Create, Fault::rate_limited(3));
    let answer = ask(&service, "POST /v1/sprites", r#"{"name":"t"}"#)
        .await
        .unwrap();
    assert_eq!(
        (answer.status, answer.header("retry-after")),
        (429, Some("3"))
    );
    assert_eq!(answer.json()["error"], "sprite_creation_rate_limited");
    service.times(Op::List, 2, Fault::quota());
    service.nth(Op::List, 1, Fault::plain(502, "bad gateway"));
    let mut met = Vec::new();
    for _ in 0..5 {
        met.push(ask(&service, "GET /v1/sprites", "").await.unwrap().status);
    }
    assert_eq!(met, [403, 403, 200, 502, 200]);
    service.always(Op::Delete, Fault::Cut(0));
    for _ in 0..3 {
        assert!(ask(&service, "DELETE /v1/sprites/s", "").await.is_none());
    }
    service.clear(Op::Delete);
    done(&service, "DELETE /v1/sprites/s", "").await;
}

#[tokio::test]
async fn the_record_knows_who_asked_for_what() {
    let service = with_sprite(Service::start().await).await;
    let refused = ask_as(&service, "stranger", "GET /v1/sprites/s", "")
        .await
        .unwrap();
    assert_eq!(refused.status, 401);
    assert!(!service.key_in_url());
    Line::script(&service, "true", "&env=TOKEN%3Dhush").await;
    let requests = service.requests();
    assert!(!format!("{requests:?}").contains("hush"));
    let exec = requests.last().unwrap();
    assert_eq!(
        (exec.op, exec.status, exec.value("cmd")),
        (Op::Exec, Some(101), Some("/bin/sh"))
    );
    let key = service.api_key().replace('/', "%2F");
    done(&service, &format!("GET /v1/sprites?token={key}"), "").await;
    assert!(service.key_in_url());
}

/// What came before the connection broke is in the file, so that nobody can take it for whole.
#[tokio::test]
async fn an_upload_breaks_off() {
    let service = with_sprite(Service::start().await).await;
    let file = service.folder("s").join("plugin/a");
    service.nth(Op::Write, 1, Fault::Cut(4));
    let write =
        |path| format!("PUT /v1/sprites/s/fs/write?path={path}&mode=0755&mkdirParents=true");
    done(&service, &write("/plugin/first"), "1").await;
    assert!(
        ask(&service, &write("/plugin/a"), "0123456789")
            .await
            .is_none()
    );
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "0123");
    let requests = service.requests();
    let broken = requests.last().unwrap();
    assert_eq!((broken.status, broken.bytes), (None, 4));
    assert_eq!(service.uploads("s"), ["/plugin/first"]);
    done(&service, &write("/plugin/a"), "0123456789").await;
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "0123456789");
    assert_eq!(service.uploads("s"), ["/plugin/first", "/plugin/a"]);
}

#[tokio::test]
async fn how_many_at_once() {
    let service = with_sprite(Service::start().await).await;
    service.always(Op::Write, Fault::Hold);
    let write = async |path: &str| {
        done(
            &service,
            &format!("PUT /v1/sprites/s/fs/write?path={path}"),
            "x",
        )
        .await;
    };
    let released = async {
        let held = |requests: &[jackfield_testkit::sprites::Request]| {
            let held = requests.iter().filter(|request| request.op == Op::Write);
            held.filter(|request| request.status.is_none()).count() == 3
        };
        service.until("three are held", held).await;
        service.clear(Op::Write);
    };
    tokio::join!(write("/a"), write("/b"), write("/c"), released);
    write("/d").await;
    assert_eq!(service.most_at_once(Op::Write), 3);
    assert_eq!(service.uploads("s").len(), 4);
}

#[tokio::test]
async fn all_is_slow() {
    let service = with_sprite(Service::start().await).await;
    let delay = Duration::from_millis(60);
    service.slow(delay);
    let began = tokio::time::Instant::now();
    done(&service, "GET /v1/sprites/s", "").await;
    assert!(began.elapsed() >= delay);
}

/// However a line breaks, the process goes on, and can be found and joined again with all that it
/// said.
#[tokio::test]
async fn lines_break() {
    let service = with_sprite(Service::start().await).await;
    for how in [Break::Close, Break::Reset, Break::Silent] {
        let mut line = Line::script(&service, ECHO, "").await;
        let id = line.session().await;
        line.said("ready\n").await;
        line.send(vec![0, b'x', b'\n']).await;
        line.said("x\n").await;
        assert_eq!(service.break_lines("s", how), 1);
        let mut second = Line::open(&service, &format!("exec/{id}")).await.unwrap();
        assert_eq!(second.session().await, id);
        second.said("ready\n").await;
        second.said("x\n").await;
        second.send(vec![0, b'y', b'\n']).await;
        second.said("y\n").await;
        match how {
            Break::Close => assert_eq!(line.next().await, Came::Closed(1001)),
            Break::Reset => assert_eq!(line.next().await, Came::Lost),
            Break::Silent => {
                line.send(Message::Ping(vec![].into())).await;
                second.send(Message::Ping(vec![].into())).await;
                assert_eq!(second.next().await, Came::Pong);
                assert_eq!(line.at_once(), None);
            }
        }
        done(&service, &format!("POST /v1/sprites/s/exec/{id}/kill"), "").await;
        assert_eq!(second.next().await, Came::Exit(128 + 15));
        assert_eq!(second.next().await, Came::Closed(1000));
        let gone = Line::open(&service, &format!("exec/{id}")).await;
        assert_eq!(gone.unwrap_err(), 404);
    }
}

/// The exit is lost, and so is a start: the process is there although nobody was told.
#[tokio::test]
async fn what_is_to_be_said_is_lost() {
    let service = with_sprite(Service::start().await).await;
    service.next(Op::Exec, Fault::NoExit(Break::Close));
    let mut line = Line::script(&service, "echo out", "").await;
    line.session().await;
    line.said("out\n").await;
    assert_eq!(line.next().await, Came::Closed(1001));
    let list = done(&service, "GET /v1/sprites/s/exec", "").await.json();
    assert_eq!(list, json!({"sessions": []}));

    service.next(Op::Exec, Fault::Started(Break::Reset));
    let mut line = Line::script(&service, ECHO, "").await;
    assert_eq!(line.next().await, Came::Lost);
    let list = done(&service, "GET /v1/sprites/s/exec", "").await.json();
    let id = &list["sessions"][0]["id"];
    let mut second = Line::open(&service, &format!("exec?id={id}"))
        .await
        .unwrap();
    second.session().await;
    second.said("ready\n").await;
    assert_eq!(service.pids("s").len(), 1);
}

/// A process without a line ends after the time that the service or the request gives it.
#[tokio::test]
async fn a_process_nobody_looks_at_ends() {
    let settings = Settings {
        after_disconnect: Duration::from_millis(30),
        exit_as_text: true,
        ..Settings::default()
    };
    let service = with_sprite(Service::with(settings).await).await;
    let mut stays = Line::script(&service, ECHO, "&max_run_after_disconnect=0").await;
    let mut watched = Line::script(&service, ECHO, "").await;
    let mut ends = Line::script(&service, ECHO, "").await;
    for line in [&mut stays, &mut watched, &mut ends] {
        line.session().await;
        line.said("ready\n").await;
    }
    assert_eq!(service.pids("s").len(), 3);
    drop(stays);
    drop(ends);
    eventually(LONG, "one has ended", || service.pids("s").len() == 2).await;
    watched.send(vec![4]).await;
    let exit = json!({"type": "exit", "exit_code": 0});
    assert_eq!(watched.next().await, Came::Text(exit));
    eventually(LONG, "one is left", || service.pids("s").len() == 1).await;
}

#[tokio::test]
async fn one_operation_after_the_other_on_a_control_channel() {
    let service = with_sprite(Service::start().await).await;
    service.next(Op::Control, Fault::status(404));
    assert_eq!(Line::open(&service, "control").await.unwrap_err(), 404);
    let mut line = Line::open(&service, "control").await.unwrap();
    let complete = || Came::Text(json!({"type": "op.complete"}));
    line.operate(json!({"cmd": ["cat"], "stdin": "true"})).await;
    line.session().await;
    line.send(b"raw".to_vec()).await;
    line.said("raw").await;
    line.send(vec![4]).await;
    assert_eq!(line.next().await, Came::Exit(0));
    assert_eq!(line.next().await, complete());
    line.send(r#"{"type":"release"}"#).await;

    let failed = |words| Came::Text(json!({"type": "op.error", "args": {"error": words}}));
    service.next(Op::Start, Fault::plain(500, "no room"));
    line.operate(json!({"cmd": ["true"]})).await;
    assert_eq!(line.next().await, failed("500: no room"));
    line.operate(json!({"id": "7"})).await;
    assert_eq!(line.next().await, failed("There is no such thing"));

    line.operate(json!({"cmd": "true", "dir": "/"})).await;
    line.session().await;
    assert_eq!(line.next().await, Came::Exit(0));
    assert_eq!(line.next().await, complete());
    service.next(Op::Start, Fault::Started(Break::Silent));
    line.operate(json!({"cmd": ["sleep", "1000"]})).await;
    eventually(LONG, "it runs", || service.pids("s").len() == 1).await;
    assert_eq!(line.at_once(), None);
}

#[tokio::test]
async fn signals_by_frame_or_by_call() {
    const TRAP: &str = "trap 'exit 9' INT; echo ready; while :; do sleep 0.02; done";
    let service = with_sprite(Service::start().await).await;
    let mut line = Line::script(&service, TRAP, "").await;
    let header = line
        .response
        .headers()
        .get("x-sprite-capabilities")
        .unwrap();
    assert_eq!(header, "signal");
    line.session().await;
    line.said("ready\n").await;
    line.send(r#"{"type":"signal","signal":"INT"}"#).await;
    assert_eq!(line.next().await, Came::Exit(9));

    service.set_signals(false);
    let mut line = Line::script(&service, ECHO, "").await;
    assert_eq!(line.response.headers().get("x-sprite-capabilities"), None);
    let id = line.session().await;
    line.said("ready\n").await;
    line.send(r#"{"type":"signal","signal":"KILL"}"#).await;
    line.send(vec![0, b'x']).await;
    line.said("x").await;
    let kill = |id: &str, query| format!("POST /v1/sprites/s/exec/{id}/kill?{query}");
    let killed = done(&service, &kill(&id, "signal=KILL&timeout=0s"), "").await;
    assert_eq!(killed.body.lines().count(), 1);
    assert_eq!(line.next().await, Came::Exit(128 + 9));
    let gone = ask(&service, &kill(&id, "signal=INT&timeout=0s"), "")
        .await
        .unwrap();
    assert_eq!(gone.status, 410);
    let unknown = ask(&service, &kill("1", "signal=INT"), "").await.unwrap();
    assert_eq!(unknown.status, 404);

    let deaf = "trap '' TERM; echo ready; while :; do sleep 0.02; done";
    let mut line = Line::script(&service, deaf, "").await;
    let id = line.session().await;
    line.said("ready\n").await;
    let killed = done(&service, &kill(&id, "timeout=50ms"), "").await;
    let events: Vec<serde_json::Value> = killed
        .body
        .lines()
        .map(|event| serde_json::from_str(event).unwrap())
        .collect();
    let kinds: Vec<_> = events.iter().map(|event| &event["type"]).collect();
    assert_eq!(kinds, ["signal", "timeout", "killed", "complete"]);
    assert_eq!(events[3]["exit_code"], 128 + 9);
}

/// Nothing outlives the sprite or the service, not even what went into a session of its own.
#[tokio::test]
async fn nothing_is_left_behind() {
    const FLIGHT: &str = "setsid sleep 1000 & echo $!; exec cat";
    let mut service = with_sprite(Service::start().await).await;
    for dropped in [false, true] {
        let mut line = Line::script(&service, FLIGHT, "&max_run_after_disconnect=0").await;
        line.session().await;
        let Came::Out(fled) = line.next().await else {
            panic!("no id");
        };
        let mut pids = service.pids("s");
        pids.push(fled.trim().parse().unwrap());
        let root = service.root().to_owned();
        if dropped {
            drop(service);
            eventually(LONG, "all have ended", || {
                !pids.iter().any(|pid| alive(*pid))
            })
            .await;
            assert!(!root.exists());
            return;
        }
        soon(done(&service, "DELETE /v1/sprites/s", "")).await;
        eventually(LONG, "all have ended", || {
            !pids.iter().any(|pid| alive(*pid))
        })
        .await;
        assert!(!service.folder("s").exists());
        service = with_sprite(service).await;
    }
}
