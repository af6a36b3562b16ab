//! Every frame gets what it deserves, over a real WebSocket.

use std::time::Duration;

use crate::common::*;
use futures_util::{SinkExt, StreamExt};
use jackfield_rpc::{CallError, CallOptions, Limits, Options};
use jackfield_wire::Fault;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

/// The original dropped what it could not sort, unknown methods, bad parameters and foreign ids
/// without a word, and the caller waited for ever.
#[tokio::test]
async fn bad_frames_get_their_error_and_the_line_lives() {
    let (mut client, peer, tasks) = raw_client(methods(), quiet()).await;
    let table: &[(&str, Value, i64, &str)] = &[
        ("{", Value::Null, -32700, "not JSON"),
        ("hello", Value::Null, -32700, "not JSON"),
        ("", Value::Null, -32700, "not JSON"),
        ("[]", Value::Null, -32600, "batches"),
        (
            r#"[{"id":1,"method":"echo"}]"#,
            Value::Null,
            -32600,
            "batches",
        ),
        ("7", Value::Null, -32600, "invalid request"),
        ("{}", Value::Null, -32600, "expected"),
        (r#"{"id":"a"}"#, json!("a"), -32600, "expected"),
        (
            r#"{"id":"a","method":7}"#,
            json!("a"),
            -32600,
            "not a string",
        ),
        (
            r#"{"id":{},"method":"echo"}"#,
            Value::Null,
            -32600,
            "an id is",
        ),
        (
            r#"{"id":"a","method":"echo","result":1}"#,
            json!("a"),
            -32600,
            "both",
        ),
        (r#"{"id":"a","method":"nope"}"#, json!("a"), -32601, "nope"),
        (r#"{"id":17,"method":"nope"}"#, json!(17), -32601, "nope"),
        (
            r#"{"id":1.50,"method":"nope"}"#,
            json!(1.50),
            -32601,
            "nope",
        ),
        (r#"{"method":"nope"}"#, Value::Null, -32601, "nope"),
        (
            r#"{"method":"$/cancel","params":{"id":1}}"#,
            Value::Null,
            -32601,
            "$/cancel",
        ),
        (
            r#"{"id":"a","method":"double"}"#,
            json!("a"),
            -32602,
            "number",
        ),
        (
            r#"{"id":"a","method":"double","params":[]}"#,
            json!("a"),
            -32602,
            "double",
        ),
        (
            r#"{"id":"a","method":"double","params":{"number":"x"}}"#,
            json!("a"),
            -32602,
            "u64",
        ),
        (
            r#"{"id":"a","method":"refuse"}"#,
            json!("a"),
            -32000,
            "not today",
        ),
        (
            r#"{"id":"a","method":"panic"}"#,
            json!("a"),
            -32603,
            "panicked",
        ),
    ];
    for (frame, id, code, words) in table {
        say(&mut client, *frame).await;
        let text = hear(&mut client).await;
        let answer: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(answer["id"], *id, "{frame} -> {text}");
        assert_eq!(answer["error"]["code"], *code, "{frame} -> {text}");
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(message.contains(words), "{frame} -> {text}");
        assert_eq!(answer["jsonrpc"], "2.0");
        assert!(answer.get("result").is_none());
    }
    assert!(peer.is_open());

    // Answers to nothing are never answered: what comes next is the echo's.
    for frame in [
        r#"{"id":"a","result":1}"#,
        r#"{"id":null,"error":{"code":-32700,"message":"x"}}"#,
        r#"{"result":1}"#,
        r#"{"id":"9m4e2mr0ui3e8a215n4g","result":1}"#,
        r#"{"id":"a","error":"boom"}"#,
    ] {
        say(&mut client, frame).await;
    }
    client.send(Message::binary(vec![0, 159])).await.unwrap();
    say(
        &mut client,
        r#"{"id":"e","method":"echo","params":{"x":[1, 2]}}"#,
    )
    .await;
    assert_eq!(
        hear(&mut client).await,
        r#"{"id":"e","jsonrpc":"2.0","result":{"method":"echo","x":[1,2]}}"#
    );

    drop(peer);
    hear_close(&mut client).await;
    drop(client);
    all_gone(&tasks).await;
}

/// One SDK makes ids that strict readers refuse, so its calls were dropped; ids are the caller's
/// business.
#[tokio::test]
async fn ids_come_back_byte_for_byte() {
    let (mut client, peer, tasks) = raw_client(methods(), quiet()).await;
    for id in [
        r#""9m4e2mr0ui3e8a215n4v""#,
        r#""\u0061\/b""#,
        r#""""#,
        "0",
        "-7",
        "1e2",
        "1.500",
        "123456789012345678901234567890",
    ] {
        say(
            &mut client,
            format!(r#"{{"id": {id} ,"method":"double","params":{{"number":1}}}}"#),
        )
        .await;
        assert_eq!(
            hear(&mut client).await,
            format!(r#"{{"id":{id},"jsonrpc":"2.0","result":2}}"#)
        );
    }
    let long = format!("\"{}\"", "x".repeat(5000));
    for method in ["echo", "nope"] {
        say(
            &mut client,
            format!(r#"{{"id":{long},"method":"{method}"}}"#),
        )
        .await;
        let answer: Value = serde_json::from_str(&hear(&mut client).await).unwrap();
        assert_eq!(answer["id"], Value::Null);
        assert_eq!(answer["error"]["code"], -32600);
    }
    let name = "m".repeat(100_000);
    say(&mut client, format!(r#"{{"id":1,"method":"{name}"}}"#)).await;
    assert!(hear(&mut client).await.len() < 2000);
    drop(client);
    soon(peer.closed()).await;
    all_gone(&tasks).await;
}

/// Ids that are made here are xids as strict readers want them, results are taken with `method`
/// and without, and errors become errors.
#[tokio::test]
async fn what_goes_out_is_the_contract() {
    let (mut client, peer, tasks) = raw_client(methods(), quiet()).await;
    let script = async {
        let mut ids = Vec::new();
        for answer in [
            r#""result":{"method":"echo","ok":true}"#,
            r#""result":{"ok":true}"#,
            r#""result":null"#,
            r#""error":{"code":-32601,"message":"none here"}"#,
            r#""error":{"code":-32000,"message":"no"},"result":null"#,
        ] {
            let text = hear(&mut client).await;
            let asked: Value = serde_json::from_str(&text).unwrap();
            let id = asked["id"].as_str().unwrap().to_owned();
            assert_eq!(
                text,
                format!(r#"{{"id":"{id}","jsonrpc":"2.0","method":"echo","params":{{"a":1}}}}"#)
            );
            assert!(id.parse::<jackfield_wire::Xid>().is_ok(), "{id}");
            say(&mut client, format!(r#"{{"id":"{id}",{answer}}}"#)).await;
            ids.push(id);
        }
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 5);
        client
    };
    let calls = async {
        let call = || echo(&peer, json!({"a": 1}));
        assert_eq!(call().await.unwrap(), json!({"method": "echo", "ok": true}));
        assert_eq!(call().await.unwrap(), json!({"ok": true}));
        assert_eq!(call().await.unwrap(), Value::Null);
        let refused = call().await.unwrap_err();
        assert_eq!(refused.to_string(), "RPC error: none here (code -32601)");
        let refused = call().await.unwrap_err();
        assert!(matches!(refused, CallError::Refused(fault) if fault == Fault::server("no")));
    };
    let (client, ()) = soon(async { tokio::join!(script, calls) }).await;
    assert_eq!(peer.open_calls(), 0);
    drop(client);
    soon(peer.closed()).await;
    all_gone(&tasks).await;
}

#[tokio::test]
async fn an_answer_of_the_wrong_shape_is_an_error_of_that_call() {
    let (mut client, peer, tasks) = raw_client(methods(), quiet()).await;
    let params = DoubleParams { number: 1 };
    let (answer, ()) = tokio::join!(peer.call::<Double>(&params), async {
        let asked: Value = serde_json::from_str(&hear(&mut client).await).unwrap();
        say(
            &mut client,
            json!({"id": asked["id"], "result": "two"}).to_string(),
        )
        .await;
    });
    assert!(matches!(answer, Err(CallError::BadAnswer { method, .. }) if method == "double"));
    assert!(peer.is_open());
    drop(client);
    soon(peer.closed()).await;
    all_gone(&tasks).await;
}

/// A message above the original's 32 KiB closed the connection without a word to the caller.
#[tokio::test]
async fn sizes_are_errors_and_not_the_end_of_the_line() {
    let options = small(Limits {
        max_in: 10_000,
        max_out: 5_000,
        hard_max_in: 100_000,
        ..Limits::default()
    });
    let (mut client, peer, tasks) = raw_client(methods(), options).await;
    let pad = "x".repeat(20_000);

    say(
        &mut client,
        format!(r#"{{"id":"big","method":"echo","params":{{"pad":"{pad}"}}}}"#),
    )
    .await;
    let text = hear(&mut client).await;
    assert!(
        text.contains("-32600") && text.contains(r#""id":"big""#),
        "{text}"
    );
    assert!(text.contains("at most 10000"), "{text}");

    // Of what is too large nothing but the id is looked for, whatever else may be wrong with it.
    for (text, id) in [
        (format!(r#"{{"id":"b","id":"c","x":"{pad}"}}"#), json!("c")),
        (format!("[\"{pad}\"]"), Value::Null),
        (pad.clone(), Value::Null),
    ] {
        say(&mut client, text).await;
        let answer: Value = serde_json::from_str(&hear(&mut client).await).unwrap();
        assert_eq!(answer["id"], id);
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(message.contains("at most 10000"), "{message}");
    }

    let half = "x".repeat(8_000);
    say(
        &mut client,
        format!(r#"{{"id":"out","method":"echo","params":{{"pad":"{half}"}}}}"#),
    )
    .await;
    let text = hear(&mut client).await;
    assert!(
        text.contains("-32603") && text.contains(r#""id":"out""#),
        "{text}"
    );
    assert!(text.contains("at most 5000"), "{text}");

    let too_large = peer
        .call::<Echo>(&json!({ "pad": half }))
        .await
        .unwrap_err();
    assert!(
        matches!(too_large, CallError::TooLarge { size, limit: 5000 } if size > 8_000),
        "{too_large}"
    );
    assert_eq!(peer.open_calls(), 0);

    let (answer, ()) = tokio::join!(echo(&peer, json!({})), async {
        let asked: Value = serde_json::from_str(&hear(&mut client).await).unwrap();
        say(
            &mut client,
            json!({"id": asked["id"], "result": pad}).to_string(),
        )
        .await;
    });
    assert!(matches!(
        answer,
        Err(CallError::AnswerTooLarge { limit: 10_000, .. })
    ));
    let (answer, ()) = tokio::join!(echo(&peer, json!({})), async {
        let asked: Value = serde_json::from_str(&hear(&mut client).await).unwrap();
        say(
            &mut client,
            json!({"error": {"code": 1, "message": pad}, "id": asked["id"]}).to_string(),
        )
        .await;
    });
    assert!(matches!(
        answer,
        Err(CallError::AnswerTooLarge { limit: 10_000, .. })
    ));
    assert!(peer.is_open());

    // Beyond the hard limit nothing is read, and the other side is told which rule it broke.
    say(&mut client, "x".repeat(100_001)).await;
    assert_eq!(hear_close(&mut client).await.0, 1009);
    let cause = soon(peer.closed()).await;
    assert!(cause.reason.contains("100001"), "{cause}");
    drop(client);
    all_gone(&tasks).await;
}

/// The hard limit holds for the sum of many small fragments as well.
#[tokio::test]
async fn fragments_are_counted_together() {
    use tokio_tungstenite::tungstenite::protocol::frame::Frame;
    use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
    let options = small(Limits {
        hard_max_in: 1_000,
        ..Limits::default()
    });
    let (mut client, peer, tasks) = raw_client(methods(), options).await;
    for index in 0..12 {
        let data = if index == 0 {
            Data::Text
        } else {
            Data::Continue
        };
        let frame = Frame::message(vec![b'x'; 100], OpCode::Data(data), false);
        client.send(Message::Frame(frame)).await.unwrap();
    }
    assert_eq!(hear_close(&mut client).await.0, 1009);
    soon(peer.closed()).await;
    drop(client);
    all_gone(&tasks).await;
}

#[tokio::test]
async fn text_that_is_not_utf8_ends_the_line_with_1007() {
    use tokio_tungstenite::tungstenite::protocol::frame::Frame;
    use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
    let (mut client, peer, tasks) = raw_client(methods(), quiet()).await;
    let frame = Frame::message(vec![0xff, 0xfe], OpCode::Data(Data::Text), true);
    client.send(Message::Frame(frame)).await.unwrap();
    assert_eq!(hear_close(&mut client).await.0, 1007);
    soon(peer.closed()).await;
    drop(client);
    all_gone(&tasks).await;
}

/// The original answered pings only between two inbound calls.
#[tokio::test]
async fn pings_are_answered_while_calls_run_and_nothing_is_written() {
    let (mut client, peer, tasks) = raw_client(methods(), quiet()).await;
    say(&mut client, r#"{"id":1,"method":"hang"}"#).await;
    for round in 0..3u8 {
        client
            .send(Message::Ping(vec![round].into()))
            .await
            .unwrap();
        let pong = soon(client.next()).await.unwrap().unwrap();
        assert_eq!(pong, Message::Pong(vec![round].into()));
    }
    assert_eq!(peer.inbound_calls(), 1);
    drop(client);
    soon(peer.finished()).await;
    assert_eq!(peer.inbound_calls(), 0);
    all_gone(&tasks).await;
}

#[tokio::test]
async fn an_answer_that_comes_late_is_nobodys_business() {
    let (mut client, peer, tasks) = raw_client(methods(), quiet()).await;
    let options = CallOptions {
        deadline: Some(Duration::from_millis(1)),
        ..CallOptions::default()
    };
    let params = json!({});
    let call = peer.call_with::<Echo>(&params, options);
    let error = soon(call).await.unwrap_err();
    assert!(matches!(error, CallError::Deadline { .. }), "{error}");
    assert_eq!(peer.open_calls(), 0);

    // It may have been sent or not; a second call surely is.
    let (answer, ()) = tokio::join!(echo(&peer, json!({"second": true})), async {
        loop {
            let asked: Value = serde_json::from_str(&hear(&mut client).await).unwrap();
            let id = &asked["id"];
            say(&mut client, json!({"id": id, "result": 1}).to_string()).await;
            say(&mut client, json!({"id": id, "result": 2}).to_string()).await;
            if asked["params"]["second"] == true {
                return;
            }
        }
    });
    assert_eq!(answer.unwrap(), 1);
    say(&mut client, r#"{"id":1,"method":"echo"}"#).await;
    hear(&mut client).await;
    assert!(peer.is_open());
    drop(client);
    soon(peer.closed()).await;
    all_gone(&tasks).await;
}

#[tokio::test]
async fn a_peer_that_asked_for_nothing_sees_nothing_but_the_contract() {
    let (mut client, peer, tasks) = raw_client(
        methods().raw("report", async |call: jackfield_rpc::Call<()>, _params| {
            call.progress(&json!(1));
            Ok(raw(&json!({})))
        }),
        Options {
            heartbeat: None,
            ..Options::default()
        },
    )
    .await;
    // A call that is taken back after it was sent, and a report of progress.
    {
        let call = peer.call_raw("hang", None, CallOptions::default());
        tokio::pin!(call);
        tokio::select! {
            answer = &mut call => panic!("{answer:?}"),
            text = hear(&mut client) => assert!(text.contains(r#""method":"hang""#)),
        }
    }
    say(&mut client, r#"{"id":"r","method":"report"}"#).await;
    assert_eq!(
        hear(&mut client).await,
        r#"{"id":"r","jsonrpc":"2.0","result":{"method":"report"}}"#
    );
    peer.close(jackfield_wire::CloseCause::closed());
    let (code, reason) = hear_close(&mut client).await;
    assert_eq!((code, reason.as_str()), (1000, "closed"));
    drop(client);
    all_gone(&tasks).await;
}

/// Hanging up on somebody who is still writing resets the connection, and the reason is lost.
#[tokio::test]
async fn whoever_sends_far_too_much_can_finish_and_hear_why() {
    let options = small(Limits {
        hard_max_in: 1_000,
        ..Limits::default()
    });
    let (mut client, peer, tasks) = raw_client(methods(), options).await;
    soon(client.send(Message::text("x".repeat(16 << 20))))
        .await
        .unwrap();
    assert_eq!(hear_close(&mut client).await.0, 1009);
    soon(peer.closed()).await;
    drop(client);
    all_gone(&tasks).await;
}
