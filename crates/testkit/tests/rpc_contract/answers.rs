//! What the host answers, to the byte where it matters.

use jackfield::wire::method::SUBPROTOCOL;
use jackfield::wire::methods::{
    Access, AccessGet, Config, GetConfig, GetConfigParams, RobotRun, RobotRunParams, RobotRunResult,
};
use jackfield::{Call, Fault, HostBuilder, RawJson, Session};
use jackfield_testkit::{Dial, RawLine, TestHost, bench_host, manifest, within};
use serde_json::{Value, json};

async fn dial(host: &TestHost, with: impl FnOnce(Dial) -> Dial) -> (Session, RawLine) {
    let (session, token) = host.expect(&manifest(json!({}))).await;
    let line = with(Dial::external(host, &token)).open().await;
    within(session.ready()).await.unwrap();
    (session, line)
}

/// An application with a method of each kind.
fn application(builder: HostBuilder) -> HostBuilder {
    builder
        .method::<GetConfig>(async |_call: Call<Session>, params: GetConfigParams| {
            let all = json!({"a": 1, "b": "x", "c": null});
            let mut config = all.as_object().unwrap().clone();
            config.retain(|key, _| params.keys.is_empty() || params.keys.contains(key));
            Ok(Config { config })
        })
        .method::<AccessGet>(async |_call: Call<Session>, _params| {
            Ok(Access {
                access_key: "sdbak_secret".to_owned(),
                api_base_url: "http://localhost:8000".to_owned(),
            })
        })
        .method::<RobotRun>(async |_call: Call<Session>, params: RobotRunParams| {
            match params.message.as_str() {
                "" => Ok(RobotRunResult {
                    error: Some("message must not be empty".to_owned()),
                    ..RobotRunResult::default()
                }),
                "panic" => panic!("as asked"),
                "fault" => Err(Fault::new(-32042, "no").data_for_test()),
                _ => Ok(RobotRunResult {
                    session_id: params.session_id.unwrap_or("new".to_owned()),
                    ..RobotRunResult::default()
                }),
            }
        })
        .methods(|methods| {
            methods.raw("raw", |call, params| async move {
                let id = call.id().map(|id| id.get().to_owned());
                let params = params.map(|params| params.get().to_owned());
                Ok(RawJson::of(&json!({"id": id, "params": params})).unwrap())
            })
        })
}

/// A fault with data.
trait DataForTest {
    fn data_for_test(self) -> Self;
}

impl DataForTest for Fault {
    fn data_for_test(mut self) -> Self {
        self.data = Some(json!({"why": 1}));
        self
    }
}

#[tokio::test]
async fn get_config() {
    let host = bench_host(application).await;
    let (_session, mut line) = dial(&host, |dial| dial).await;
    let all = json!({"a": 1, "b": "x", "c": null});
    for (params, config) in [
        ("", all.clone()),
        (r#","params":{}"#, all.clone()),
        (r#","params":null"#, all.clone()),
        (r#","params":{"keys":[]}"#, all.clone()),
        (r#","params":{"keys":["a"]}"#, json!({"a": 1})),
        (
            r#","params":{"keys":["b","a","nope"],"more":1}"#,
            json!({"a": 1, "b": "x"}),
        ),
    ] {
        let request = format!(r#"{{"id":"x","jsonrpc":"2.0","method":"get_config"{params}}}"#);
        assert_eq!(
            line.ask(&request).await,
            json!({"id": "x", "jsonrpc": "2.0",
                   "result": {"config": config, "method": "get_config"}}),
            "{request}"
        );
    }
}

/// The two SDKs want two shapes, and neither takes the other's: it goes by the `User-Agent`.
#[tokio::test]
async fn access_get_in_the_shape_of_each_sdk() {
    let host = bench_host(application).await;
    let go_url = json!({"Scheme": "http", "Opaque": "", "User": null, "Host": "localhost:8000",
        "Path": "", "Fragment": "", "RawQuery": "", "RawPath": "", "RawFragment": "",
        "ForceQuery": false, "OmitHost": false});
    let go = json!({"access_key": "sdbak_secret", "api_base_url": go_url});
    let python = json!({"access_key": "sdbak_secret", "apibase_url": "http://localhost:8000"});
    for (agent, shape) in [
        (Some("Go-http-client/1.1"), &go),
        (Some("Python/3.12 websockets/15.0.1"), &python),
        (Some("something else"), &go),
        (None, &go),
    ] {
        let (_session, mut line) = dial(&host, |dial| match agent {
            Some(agent) => dial.header("User-Agent", agent),
            None => dial,
        })
        .await;
        let answer = line
            .ask(r#"{"id":"an id","jsonrpc":"2.0","method":"access_get"}"#)
            .await;
        let nested =
            json!({"id": "an id", "jsonrpc": "2.0", "method": "access_get", "result": shape});
        assert_eq!(
            answer,
            json!({"id": "an id", "jsonrpc": "2.0", "result": nested}),
            "{agent:?}"
        );
    }
}

#[tokio::test]
async fn robot_run() {
    let host = bench_host(application).await;
    let (_session, mut line) = dial(&host, |dial| dial).await;
    let run = |message: &str| {
        json!({"id": "x", "jsonrpc": "2.0", "method": "robot_run",
               "params": {"message": message, "robot_id": "r"}})
    };
    assert_eq!(
        line.ask(run("go")).await,
        json!({"id": "x", "jsonrpc": "2.0", "result": {"method": "robot_run", "session_id": "new"}})
    );
    let error = line.ask(run("")).await;
    assert_eq!(error["result"]["error"], "message must not be empty");
    let fault = line.ask(run("fault")).await;
    assert_eq!(
        fault["error"],
        json!({"code": -32042, "message": "no", "data": {"why": 1}})
    );
    assert!(fault.get("result").is_none_or(Value::is_null));
    // A panic is an error of that call alone.
    let panicked = line.ask(run("panic")).await;
    assert_eq!(panicked["error"]["code"], -32603);
    assert!(line.ask(run("go")).await.get("result").is_some());
}

/// What the application does not provide is said, and so is every other mistake; the original was
/// silent and left the caller waiting.
#[tokio::test]
async fn each_mistake_has_its_error() {
    let host = bench_host(|builder| builder).await;
    let (session, mut line) = dial(&host, |dial| dial).await;
    for (request, id, code) in [
        (
            r#"{"id":"1","jsonrpc":"2.0","method":"access_get"}"#,
            json!("1"),
            -32601,
        ),
        (
            r#"{"id":"1","jsonrpc":"2.0","method":"get_config"}"#,
            json!("1"),
            -32601,
        ),
        (
            r#"{"id":"1","method":"robot_run","params":{}}"#,
            json!("1"),
            -32601,
        ),
        (r#"{"id":"1","method":"nonsense"}"#, json!("1"), -32601),
        (r#"{"id":"1","method":""}"#, json!("1"), -32601),
        ("{", Value::Null, -32700),
        ("", Value::Null, -32700),
        ("hello", Value::Null, -32700),
        (r#"{"id":"1","method":"x"} trailing"#, Value::Null, -32700),
        (r#"{"id":"1","method":"x",}"#, Value::Null, -32700),
        ("[]", Value::Null, -32600),
        (r#"[{"id":"1","method":"ping"}]"#, Value::Null, -32600),
        ("7", Value::Null, -32600),
        ("null", Value::Null, -32600),
        (r#""text""#, Value::Null, -32600),
        ("{}", Value::Null, -32600),
        (r#"{"jsonrpc":"2.0","id":"1"}"#, json!("1"), -32600),
        (r#"{"id":"1","method":7}"#, json!("1"), -32600),
        (r#"{"id":"1","method":null}"#, json!("1"), -32600),
    ] {
        let answer = line.ask(request).await;
        assert_eq!(answer["error"]["code"], code, "{request}: {answer}");
        assert_eq!(answer["id"], id, "{request}: {answer}");
        assert_eq!(answer["jsonrpc"], "2.0");
        assert!(answer["error"]["message"].is_string());
        assert!(answer.get("result").is_none_or(Value::is_null));
    }
    assert_eq!(session.open_calls(), (0, 0));
}

#[tokio::test]
async fn bad_parameters_are_said() {
    let host = bench_host(application).await;
    let (_session, mut line) = dial(&host, |dial| dial).await;
    for params in [
        json!({"keys": "a"}),
        json!({"keys": [1]}),
        json!("text"),
        json!(7),
    ] {
        let request = json!({"id": "1", "method": "get_config", "params": params});
        let answer = line.ask(&request).await;
        assert_eq!(answer["error"]["code"], -32602, "{request}: {answer}");
        assert_eq!(answer["id"], "1");
    }
    let run = json!({"id": "1", "method": "robot_run", "params": {"message": "m"}});
    let answer = line.ask(run).await;
    assert_eq!(answer["error"]["code"], -32602);
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(message.contains("robot_id"), "{message}");
}

/// Ids are the plugin's: they come back byte for byte, whatever they are.
#[tokio::test]
async fn ids_are_echoed_byte_for_byte() {
    let host = bench_host(application).await;
    let (_session, mut line) = dial(&host, |dial| dial).await;
    for id in [
        r#""c0000000000000000000""#,
        r#""Z""#,
        r#""""#,
        r#""\u0041\ud83d\ude00 \" \\ \/ \n""#,
        "\"\u{1F600} ünicode\"",
        "0",
        "-1",
        "7",
        "1.50",
        "1e3",
        "12345678901234567890123456789",
        "-0.0",
    ] {
        for method in ["raw", "nonsense"] {
            line.send(format!(
                r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}"}}"#
            ))
            .await;
            let answer = line.text().await;
            assert!(answer.contains(&format!(r#""id":{id}"#)), "{id}: {answer}");
        }
    }
    let long = format!("\"{}\"", "x".repeat(1_000));
    line.send(format!(r#"{{"id":{long},"method":"raw"}}"#))
        .await;
    assert!(line.text().await.contains(&long));
    // There is a bound, and it is told.
    let long = "x".repeat(10_000);
    let answer = line.ask(json!({"id": long, "method": "raw"})).await;
    assert_eq!(
        (&answer["id"], &answer["error"]["code"]),
        (&Value::Null, &json!(-32600))
    );
    // As the original does: a request without an id is answered with `null`.
    for request in [r#"{"method":"raw"}"#, r#"{"id":null,"method":"raw"}"#] {
        let answer = line.ask(request).await;
        assert_eq!(answer["id"], Value::Null, "{request}");
        assert!(answer.get("result").is_some(), "{request}: {answer}");
    }
}

/// `jsonrpc` is not looked at, keys may come in any order, and unknown ones are passed over.
#[tokio::test]
async fn requests_in_all_shapes() {
    let host = bench_host(application).await;
    let (_session, mut line) = dial(&host, |dial| dial).await;
    for request in [
        r#"{"params":{"a":1},"method":"raw","jsonrpc":"1.0","id":"x"}"#,
        r#"{"extra":[{"method":"no","id":"no"}],"id":"x","params":{"a":1},"method":"raw"}"#,
        " \n\t{ \"id\" : \"x\" , \"method\" : \"r\\u0061w\" , \"params\" : {\"a\":1} } ",
    ] {
        let answer = line.ask(request).await;
        assert_eq!(answer["id"], "x");
        assert_eq!(
            answer["result"],
            json!({"id": "\"x\"", "method": "raw", "params": r#"{"a":1}"#}),
            "{request}"
        );
    }
}

/// Deep nesting neither ends the host nor the line.
#[tokio::test]
async fn deep_nesting_is_survived() {
    let host = bench_host(application).await;
    let (_session, mut line) = dial(&host, |dial| dial).await;
    for depth in [100, 1_000, 200_000] {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        for method in ["raw", "get_config", "nonsense"] {
            let request = format!(r#"{{"id":"x","method":"{method}","params":{open}{close}}}"#);
            let answer = line.ask(request).await;
            assert!(answer.get("result").is_some() || answer.get("error").is_some());
        }
        // As an id, an answer, and all there is.
        let frames = [
            format!(r#"{{"id":{open}{close},"method":"raw"}}"#),
            format!("{open}{close}"),
            open.clone(),
            "{\"x\":".repeat(depth),
        ];
        for frame in frames {
            line.send(frame).await;
            let answer = line.text().await;
            assert!(answer.contains("error") || answer.contains("result"));
        }
        line.send(format!(r#"{{"id":"none","result":{open}{close}}}"#))
            .await;
    }
    let answer = line.ask(r#"{"id":"x","method":"raw"}"#).await;
    assert_eq!(answer["id"], "x");
}

/// Peers that speak `jackfield.v1` get the same answers.
#[tokio::test]
async fn the_extended_protocol_changes_no_answer() {
    let host = bench_host(application).await;
    let (_session, mut line) = dial(&host, |dial| {
        dial.header("Sec-WebSocket-Protocol", SUBPROTOCOL)
    })
    .await;
    assert_eq!(line.json().await["method"], "$/hello");
    let answer = line
        .ask(r#"{"id":"x","method":"get_config","params":{"keys":["a"]}}"#)
        .await;
    assert_eq!(
        answer,
        json!({"id": "x", "jsonrpc": "2.0", "result": {"config": {"a": 1}, "method": "get_config"}})
    );
}
