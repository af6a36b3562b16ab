//! A message from the other side: sorted whatever it is, and answered so that it can be sorted again; and trimmed, with
//! long strings in it where a byte of 1 stands.
#![no_main]

use jackfield_wire::frame::{self, Frame, Trimmed};
use libfuzzer_sys::fuzz_target;
use serde_json::value::RawValue;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    trim(&text.replace('\u{1}', &"long ".repeat(100)));
    match Frame::parse(text) {
        Frame::Request {
            id,
            method,
            params,
            traceparent,
        } => {
            let null = RawValue::from_string("null".to_owned()).expect("null is JSON");
            answer(id, Ok(&null));
            let again = frame::request("id", &method, params, traceparent.as_ref());
            let Frame::Request {
                method: same,
                traceparent: same_trace,
                ..
            } = Frame::parse(&again)
            else {
                panic!("a request became something else: {again}");
            };
            assert_eq!((same, same_trace), (method, traceparent));
        }
        Frame::Response { id, outcome } => match outcome {
            Ok(result) => answer(id, Ok(result)),
            Err(fault) => answer(id, Err(&fault)),
        },
        Frame::Malformed { id, fault } => answer(id.as_deref(), Err(&fault)),
    }
});

/// A trimmed text is JSON if the whole is, and becomes that again.
fn trim(text: &str) {
    let Some(trimmed) = Trimmed::of(text) else {
        return;
    };
    let all = serde_json::from_str::<&RawValue>(text).ok();
    let left = serde_json::from_str::<&RawValue>(trimmed.text()).ok();
    assert_eq!(all.is_some(), left.is_some(), "{text}");
    if let (Some(all), Some(left)) = (all, left) {
        assert_eq!(trimmed.whole(left).map(RawValue::get), Some(all.get()));
    }
    if let Frame::Request { method, params, .. } = Frame::parse(trimmed.text())
        && let Some(params) = params.and_then(|params| trimmed.whole(params))
    {
        let Frame::Request {
            method: same,
            params: Some(same_params),
            ..
        } = Frame::parse(text)
        else {
            panic!("a request only when it is trimmed: {text}");
        };
        assert_eq!((same, same_params.get()), (method, params.get()));
    }
}

/// Writes an answer and holds what is read of it against what was written.
fn answer(id: Option<&RawValue>, outcome: Result<&RawValue, &jackfield_wire::Fault>) {
    let text = frame::response(id, outcome);
    let Frame::Response {
        id: same_id,
        outcome: same,
    } = Frame::parse(&text)
    else {
        panic!("a response became something else: {text}");
    };
    assert_eq!(same_id.map(RawValue::get), id.map(RawValue::get));
    match (outcome, same) {
        (Ok(result), Ok(same)) => assert_eq!(result.get(), same.get()),
        (Err(fault), Err(same)) => assert_eq!(fault.code, same.code),
        _ => panic!("an outcome turned: {text}"),
    }
}
