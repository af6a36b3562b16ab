//! What peers that took the subprotocol `jackfield.v1` say to each other beside calls and
//! answers: notifications whose names begin with `$/`, which are never answered.

use jackfield_wire::frame;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

/// Said by both sides at the start: how large a message may be.
pub(crate) const HELLO: &str = "$/hello";
/// A call is taken back.
pub(crate) const CANCEL: &str = "$/cancel";
/// How far a call is.
pub(crate) const PROGRESS: &str = "$/progress";

/// No `$/hello` raises the size of a message above this.
pub(crate) const MAX_MESSAGE: usize = 64 << 20;
/// A report of progress with more bytes than this is dropped: as values it takes a dozen times as
/// many.
pub(crate) const MAX_PROGRESS: usize = 1 << 20;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Hello {
    /// The largest message the sender takes, in bytes.
    pub(crate) max_message: u64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Cancel<'a> {
    #[serde(borrow)]
    pub(crate) id: &'a RawValue,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Progress<'a> {
    #[serde(borrow)]
    pub(crate) id: &'a RawValue,
    #[serde(borrow, default)]
    pub(crate) value: Option<&'a RawValue>,
}

/// The text of a notification.
pub(crate) fn note(method: &str, params: &impl Serialize) -> String {
    let params = to_raw_value(params).expect("numbers, strings and JSON values always serialize");
    frame::notification(method, &params)
}
