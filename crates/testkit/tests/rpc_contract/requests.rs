//! What the host asks of plugins, to the key.

use std::str::FromStr as _;

use jackfield::wire::Xid;
use jackfield::wire::methods::{
    Configure, Generate, ListModels, Message, Ping, RobotModelProviderGenerate,
    RobotModelProviderListModels, RobotToolCall, Tool, ToolCallParams,
};
use jackfield::{CallError, CallOptions, Session};
use jackfield_testkit::{Dial, RawLine, TestHost, bench_host, manifest, within};
use serde_json::{Value, json};

async fn connected(host: &TestHost) -> (Session, RawLine) {
    let manifest = manifest(json!({"events_consumed": ["EventThreadPublished"]}));
    let (session, token) = host.expect(&manifest).await;
    let line = Dial::external(host, &token).open().await;
    within(session.ready()).await.unwrap();
    (session, line)
}

fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.iter().any(has_null),
        Value::Object(fields) => fields.values().any(has_null),
        _ => false,
    }
}

/// Checks the frame's envelope and takes the id off: the rest is what is compared.
fn envelope(mut frame: Value) -> (String, Value) {
    assert!(!has_null(&frame), "{frame}");
    let id = frame.as_object_mut().unwrap().remove("id").unwrap();
    let id = id.as_str().unwrap().to_owned();
    Xid::from_str(&id).unwrap_or_else(|_| panic!("not a strict xid: {id}"));
    (id, frame)
}

/// Has the host ask, checks what it asks, and answers.
async fn exchange<T>(
    line: &mut RawLine,
    asked: impl Future<Output = T>,
    expected: Value,
    answer: Value,
) -> T {
    let plugin = async {
        let (id, frame) = envelope(line.json().await);
        assert_eq!(frame, expected);
        let mut answer = answer;
        answer["id"] = json!(id);
        answer["jsonrpc"] = json!("2.0");
        line.send(answer.to_string()).await;
    };
    let (asked, ()) = within(async { tokio::join!(asked, plugin) }).await;
    asked
}

#[tokio::test]
async fn ping_and_configure() {
    let host = bench_host(|builder| builder).await;
    let (session, mut line) = connected(&host).await;
    let pong = exchange(
        &mut line,
        session.call::<Ping>(&None),
        json!({"jsonrpc": "2.0", "method": "ping"}),
        json!({"result": {"method": "ping", "pong": true, "status": "healthy", "uptime_seconds": 1.23}}),
    );
    let pong = pong.await.unwrap();
    assert_eq!(pong.uptime_seconds, Some(1.23));
    let config = json!({"a": 1, "b": ["x"], "c": {"d": false}});
    let taken = exchange(
        &mut line,
        session.call::<Configure>(config.as_object().unwrap()),
        json!({"jsonrpc": "2.0", "method": "configure", "params": config}),
        json!({"result": {"method": "configure", "ok": true}}),
    );
    assert!(taken.await.unwrap().ok);
    let nothing = serde_json::Map::new();
    let empty = exchange(
        &mut line,
        session.call::<Configure>(&nothing),
        json!({"jsonrpc": "2.0", "method": "configure", "params": {}}),
        json!({"result": {"method": "configure", "ok": false}}),
    );
    assert!(!empty.await.unwrap().ok);
}

#[tokio::test]
async fn event() {
    let host = bench_host(|builder| builder).await;
    let (_session, mut line) = connected(&host).await;
    let published = async {
        host.publish(
            "EventThreadPublished",
            json!({"id": "c0thread0000000000g0"}),
        )
    };
    let published = exchange(
        &mut line,
        published,
        json!({"jsonrpc": "2.0", "method": "event",
               "params": {"event": "EventThreadPublished", "id": "c0thread0000000000g0"}}),
        json!({"result": {"method": "event", "ok": true}}),
    );
    published.await.unwrap();
}

#[tokio::test]
async fn robot_tool_call() {
    let host = bench_host(|builder| builder).await;
    let (session, mut line) = connected(&host).await;
    let mut params = ToolCallParams {
        account_id: "a".to_owned(),
        arguments: serde_json::Map::new(),
        call_id: "c".to_owned(),
        provider_id: "p".to_owned(),
        robot_id: None,
        session_id: "s".to_owned(),
        tool_id: "t".to_owned(),
    };
    // No robot: no key. No arguments: an object, never a null.
    let bare = json!({"account_id": "a", "arguments": {}, "call_id": "c", "provider_id": "p",
                      "session_id": "s", "tool_id": "t"});
    let done = exchange(
        &mut line,
        session.call::<RobotToolCall>(&params),
        json!({"jsonrpc": "2.0", "method": "robot_tool_call", "params": bare}),
        json!({"result": {"method": "robot_tool_call", "output": {"x": 1}}}),
    );
    assert_eq!(done.await.unwrap().output, Some(json!({"x": 1})));
    params.robot_id = Some("r".to_owned());
    params.arguments = json!({"q": [1]}).as_object().unwrap().clone();
    let mut full = bare;
    full["robot_id"] = json!("r");
    full["arguments"] = json!({"q": [1]});
    let failed = exchange(
        &mut line,
        session.call::<RobotToolCall>(&params),
        json!({"jsonrpc": "2.0", "method": "robot_tool_call", "params": full}),
        json!({"result": {"method": "robot_tool_call", "error": "no"}}),
    );
    assert_eq!(failed.await.unwrap().error.as_deref(), Some("no"));
}

#[tokio::test]
async fn models() {
    let host = bench_host(|builder| builder).await;
    let (session, mut line) = connected(&host).await;
    let of = ListModels {
        provider: "p".to_owned(),
    };
    let models = exchange(
        &mut line,
        session.call::<RobotModelProviderListModels>(&of),
        json!({"jsonrpc": "2.0", "method": "robot_model_provider_list_models",
               "params": {"provider": "p"}}),
        json!({"result": {"method": "robot_model_provider_list_models", "models": [
            {"name": "m", "display_name": "M", "context_window": 8, "max_output_tokens": 4,
             "released_at": "2026-01-01T00:00:00Z", "raw": {"x": null}}, {"name": "bare"}]}}),
    );
    assert_eq!(models.await.unwrap().models.len(), 2);
    let bare = Generate {
        messages: vec![Message {
            role: "user".to_owned(),
            ..Message::default()
        }],
        model: "m".to_owned(),
        provider: "p".to_owned(),
        ..Generate::default()
    };
    let generated = exchange(
        &mut line,
        session.call::<RobotModelProviderGenerate>(&bare),
        json!({"jsonrpc": "2.0", "method": "robot_model_provider_generate",
               "params": {"messages": [{"role": "user"}], "model": "m", "provider": "p"}}),
        json!({"result": {"method": "robot_model_provider_generate", "content": "hello",
            "tool_calls": [{"name": "t"}, {"id": "1", "name": "u", "arguments": {"a": 1}}],
            "finish_reason": "stop"}}),
    );
    assert_eq!(generated.await.unwrap().tool_calls.unwrap().len(), 2);
    let full = Generate {
        messages: vec![Message {
            content: Some("c".to_owned()),
            name: Some("n".to_owned()),
            role: "tool".to_owned(),
            tool_call_id: Some("1".to_owned()),
        }],
        system: Some("s".to_owned()),
        tools: Some(vec![Tool {
            name: "t".to_owned(),
            description: Some("d".to_owned()),
            parameters: Some(json!({"type": "object"}).as_object().unwrap().clone()),
        }]),
        ..bare
    };
    let failed = exchange(
        &mut line,
        session.call::<RobotModelProviderGenerate>(&full),
        json!({"jsonrpc": "2.0", "method": "robot_model_provider_generate", "params": {
            "messages": [{"content": "c", "name": "n", "role": "tool", "tool_call_id": "1"}],
            "model": "m", "provider": "p", "system": "s",
            "tools": [{"name": "t", "description": "d", "parameters": {"type": "object"}}]}}),
        json!({"error": {"code": -32000, "message": "no"}, "result": null}),
    );
    let error = failed.await.unwrap_err().to_string();
    assert!(error.starts_with("RPC error: no"), "{error}");
}

/// Answers without `method` are as good as those with it; the original waited for ever. An error
/// counts whatever stands beside it.
#[tokio::test]
async fn answers_in_all_shapes() {
    let host = bench_host(|builder| builder).await;
    let (session, mut line) = connected(&host).await;
    let ping = json!({"jsonrpc": "2.0", "method": "ping"});
    for answer in [
        json!({"result": {"pong": true}}),
        json!({"result": {"pong": true, "method": "ping", "more": [1]}, "error": null}),
        json!({"result": {"pong": true}, "trace": "x"}),
    ] {
        let pong = exchange(&mut line, session.call::<Ping>(&None), ping.clone(), answer);
        assert!(pong.await.unwrap().pong);
    }
    for (answer, told) in [
        (json!({"error": {"code": -32601, "message": "no"}}), "no"),
        (
            json!({"error": {"code": -32000, "message": "no"}, "result": null}),
            "no",
        ),
        (json!({"error": {"message": "codeless"}}), "codeless"),
        (json!({"error": {}}), "RPC error"),
        (json!({"error": "just a text"}), ""),
        (json!({"result": "not a pong"}), "ping"),
        (json!({"result": null}), "ping"),
    ] {
        let call = session.call::<Ping>(&None);
        let error = exchange(&mut line, call, ping.clone(), answer.clone()).await;
        let error = error.unwrap_err();
        assert!(matches!(error, CallError::Call(_)));
        assert!(error.to_string().contains(told), "{answer}: {error}");
    }
    assert_eq!(session.open_calls(), (0, 0));
}

/// Answers to nothing, twice, or with ids of another's: passed over.
#[tokio::test]
async fn answers_that_nothing_waits_for() {
    let host = bench_host(|builder| builder).await;
    let (session, mut line) = connected(&host).await;
    for stray in [
        json!({"id": "c0000000000000000000", "jsonrpc": "2.0", "result": {"pong": true}}),
        json!({"id": 7, "result": {}}),
        json!({"id": null, "result": {}}),
        json!({"id": null, "error": {"code": 1, "message": "x"}}),
        json!({"result": {"pong": true}}),
    ] {
        line.send(stray.to_string()).await;
    }
    let call = session.call::<Ping>(&None);
    let plugin = async {
        let frame = line.json().await;
        assert_eq!(frame["method"], "ping", "strays are not answered");
        let answer = json!({"id": frame["id"], "result": {"pong": true}}).to_string();
        line.send(answer.clone()).await;
        line.send(answer).await;
    };
    let (pong, ()) = within(async { tokio::join!(call, plugin) }).await;
    assert!(pong.unwrap().pong);
    let again = exchange(
        &mut line,
        session.call::<Ping>(&None),
        json!({"jsonrpc": "2.0", "method": "ping"}),
        json!({"result": {"pong": true}}),
    );
    assert!(again.await.unwrap().pong);
}

/// Every id is new, and none is another session's.
#[tokio::test]
async fn ids_are_strict_and_never_repeat() {
    let host = bench_host(|builder| builder).await;
    let (session, mut line) = connected(&host).await;
    let mut ids = std::collections::BTreeSet::new();
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let session = session.clone();
        calls.spawn(async move { session.call_raw("x", None, CallOptions::default()).await });
    }
    for _ in 0..200 {
        let (id, _) = envelope(line.json().await);
        assert!(ids.insert(id));
    }
}

/// Peers that did not ask for more get the bare contract: a call that is taken back is not said,
/// no greeting, no progress.
#[tokio::test]
async fn others_see_nothing_of_the_extensions() {
    let host = bench_host(|builder| {
        builder.methods(|methods| {
            methods.raw("progress", |call, _params| async move {
                call.progress(&json!(0.5));
                Ok(jackfield::RawJson::of(&json!({})).unwrap())
            })
        })
    })
    .await;
    let (session, mut line) = connected(&host).await;
    let call = session.call_raw("taken_back", None, CallOptions::default());
    let dropped = tokio::time::timeout(std::time::Duration::from_millis(50), call).await;
    dropped.unwrap_err();
    line.send(r#"{"id":1,"method":"progress"}"#).await;
    line.send(r#"{"id":2,"method":"$/cancel","params":{"id":1}}"#)
        .await;
    assert_eq!(line.json().await["method"], "taken_back");
    let (first, second) = (line.json().await, line.json().await);
    for frame in [&first, &second] {
        assert!(frame.get("method").is_none(), "{frame}");
    }
    let refused = [first, second].into_iter().find(|frame| frame["id"] == 2);
    assert_eq!(refused.unwrap()["error"]["code"], -32601);
}
