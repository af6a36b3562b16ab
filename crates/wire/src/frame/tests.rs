//! Frames in all shapes.

use super::*;

fn kind(text: &str) -> String {
    match Frame::parse(text) {
        Frame::Request {
            id, method, params, ..
        } => format!(
            "request {} {method} {}",
            id.map_or("-", RawValue::get),
            params.map_or("-", RawValue::get)
        ),
        Frame::Response { id, outcome } => format!(
            "response {} {}",
            id.map_or("-", RawValue::get),
            outcome.map_or_else(|fault| fault.code.to_string(), |r| r.get().to_owned())
        ),
        Frame::Malformed { id, fault } => format!(
            "malformed {} {}",
            id.as_deref().map_or("-", RawValue::get),
            fault.code
        ),
    }
}

/// The original sorted by trying one decoder after the other; whatever none of them took was
/// dropped without an answer, and its caller waited for ever.
#[test]
fn every_shape_is_sorted_by_its_fields() {
    for (text, expected) in [
        (
            r#"{"id":"a","jsonrpc":"2.0","method":"ping"}"#,
            r#"request "a" ping -"#,
        ),
        (
            r#"{"id":7,"method":"m","params":{"x":1}}"#,
            r#"request 7 m {"x":1}"#,
        ),
        (r#"{"method":"m","params":null}"#, "request - m -"),
        (r#"{"id":null,"method":"m"}"#, "request - m -"),
        (
            r#"{"id":"a","result":{"ok":true}}"#,
            r#"response "a" {"ok":true}"#,
        ),
        (r#"{"id":"a","result":null}"#, r#"response "a" null"#),
        (
            r#"{"id":"a","result":null,"error":{"code":-1,"message":"x"}}"#,
            r#"response "a" -1"#,
        ),
        (r#"{"id":"a","result":1,"error":null}"#, r#"response "a" 1"#),
        (
            r#"{"id":"a","error":{"message":"x"}}"#,
            r#"response "a" -32000"#,
        ),
        (r#"{"id":"a","error":"boom"}"#, r#"response "a" -32000"#),
        (r#"{"id":"a"}"#, r#"malformed "a" -32600"#),
        (r#"{"id":"a","method":7}"#, r#"malformed "a" -32600"#),
        (r#"{"id":{},"method":"m"}"#, "malformed - -32600"),
        (
            r#"{"id":"a","method":"m","method":"n"}"#,
            r#"malformed "a" -32600"#,
        ),
        (
            r#"{"id":"a","method":"m","result":1}"#,
            r#"malformed "a" -32600"#,
        ),
        (r#"["a","m"]"#, "malformed - -32600"),
        ("[", "malformed - -32700"),
        ("7", "malformed - -32600"),
        ("", "malformed - -32700"),
        ("{", "malformed - -32700"),
        ("{}", "malformed - -32600"),
        ("hello", "malformed - -32700"),
        (
            r#"{"id":"a","method":"\u0070ing"}"#,
            r#"request "a" ping -"#,
        ),
    ] {
        assert_eq!(kind(text), expected, "{text}");
    }
}

#[test]
fn what_goes_out_is_the_contract_to_the_byte() {
    let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
    assert_eq!(
        request("i", "ping", None, None),
        r#"{"id":"i","jsonrpc":"2.0","method":"ping"}"#
    );
    assert_eq!(
        request("i", "configure", Some(&raw(r#"{"a":1}"#)), None),
        r#"{"id":"i","jsonrpc":"2.0","method":"configure","params":{"a":1}}"#
    );
    assert_eq!(
        request("i", "m", Some(&raw("null")), None),
        request("i", "m", None, None)
    );
    assert_eq!(
        response(Some(&raw("7")), Ok(&raw("{}"))),
        r#"{"id":7,"jsonrpc":"2.0","result":{}}"#
    );
    assert_eq!(
        response(None, Err(&Fault::new(-32700, "no"))),
        r#"{"error":{"code":-32700,"message":"no"},"id":null,"jsonrpc":"2.0"}"#
    );
}

#[test]
fn a_trace_is_taken_where_it_is_one_and_hurts_nobody_where_it_is_not() {
    let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let parent: Traceparent = text.parse().unwrap();
    let framed = request("i", "m", None, Some(&parent));
    assert_eq!(
        framed,
        format!(r#"{{"id":"i","jsonrpc":"2.0","method":"m","traceparent":"{text}"}}"#)
    );
    let parsed = |text: &str| match Frame::parse(text) {
        Frame::Request { traceparent, .. } => traceparent,
        other => panic!("{other:?}"),
    };
    assert_eq!(parsed(&framed), Some(parent));
    for other in [
        "null",
        "7",
        "{}",
        r#""""#,
        r#""00-zz""#,
        r#"["a"]"#,
        "\"x\"",
    ] {
        let framed = format!(r#"{{"method":"m","traceparent":{other}}}"#);
        assert_eq!(parsed(&framed), None, "{other}");
    }
}

/// A frame with a key too many was read a second time into a tree of values, dozens of times the
/// size of its text, to find its id. The depth tells: trees have a limit there.
#[test]
fn the_id_of_a_misfit_is_found_without_making_anything_of_the_rest() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for (id, expected) in [
        ("1.50", "malformed 1.50 -32600"),
        (r#""a","id":"b""#, r#"malformed "b" -32600"#),
        ("null", "malformed - -32600"),
        ("true", "malformed - -32600"),
        ("{}", "malformed - -32600"),
    ] {
        let text = format!(r#"{{"x":{deep},"id":1,"id":{id},"y":{deep}}}"#);
        assert_eq!(kind(&text), expected, "{id}");
    }
}

/// So was the `data` of an error, whether or not anybody waited for it.
#[test]
fn the_data_of_an_error_is_kept_up_to_a_size() {
    let fault = |error: &str| {
        let text = format!(r#"{{"id":"a","error":{error}}}"#);
        match Frame::parse(&text) {
            Frame::Response {
                outcome: Err(fault),
                ..
            } => fault,
            other => panic!("{other:?}"),
        }
    };
    let with = |data: &str| fault(&format!(r#"{{"code":7,"message":"m","data":{data}}}"#));
    assert_eq!(
        with(r#"{"a":[1]}"#).data,
        Some(serde_json::json!({"a": [1]}))
    );
    assert_eq!(with("null"), Fault::new(7, "m"));
    let many = format!("[{}0]", "[],".repeat(MAX_DATA / 3));
    let deep = format!("{}{}", "[".repeat(1_000), "]".repeat(1_000));
    for data in [&many, &deep] {
        assert_eq!(with(data), Fault::new(7, "m"));
    }
    assert_eq!(fault(r#""boom""#).data, Some("boom".into()));
    assert_eq!(fault(&many).data, None);
}

#[test]
fn depth_is_not_recursion() {
    let deep = format!(
        r#"{{"id":"a","method":"m","params":{}1{}}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    assert!(kind(&deep).starts_with(r#"request "a" m"#));
}

#[test]
fn answers_carry_their_method() {
    for (output, expected) in [
        (r#"{"ok":true}"#, r#"{"method":"m","ok":true}"#),
        ("{}", r#"{"method":"m"}"#),
        ("{ }", r#"{"method":"m" }"#),
        (r#"{"method":"own"}"#, r#"{"method":"own"}"#),
        (r#"{"method":null}"#, r#"{"method":null}"#),
        (r#"{"method":1,"method":2}"#, r#"{"method":1,"method":2}"#),
        (r#"{"a":1,"method":{}}"#, r#"{"a":1,"method":{}}"#),
        (
            r#"{"x":{"method":1}}"#,
            r#"{"method":"m","x":{"method":1}}"#,
        ),
        ("[1]", "[1]"),
        ("null", "null"),
        (r#""{""#, r#""{""#),
    ] {
        let output = RawValue::from_string(output.to_owned()).unwrap();
        let expected = format!(r#"{{"id":null,"jsonrpc":"2.0","result":{expected}}}"#);
        assert_eq!(answer(None, "m", &output), expected);
        let written = answer_with(None, "m", |text| serde_json::to_writer(text, &output));
        assert_eq!(written.unwrap(), expected);
    }
}

#[test]
fn parameters_that_are_not_json_yet_make_the_same_request() {
    let params = serde_json::json!({"a": "\"\u{e4}\n", "b": [1, null]});
    let raw = serde_json::value::to_raw_value(&params).unwrap();
    let trace: Traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        .parse()
        .unwrap();
    for trace in [None, Some(&trace)] {
        let with = request_with("i\"d", "m\\n", &params, trace).unwrap();
        assert_eq!(with, request("i\"d", "m\\n", Some(&raw), trace));
    }
    let none = request_with("id", "m", &None::<u8>, None).unwrap();
    assert_eq!(none, r#"{"id":"id","jsonrpc":"2.0","method":"m"}"#);
    assert_eq!(none, request("id", "m", None, None));
}
