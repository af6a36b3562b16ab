//! Lines on stderr, and errors as text.

use std::error::Error;
use std::io::Write;

/// Writes a line in one piece. One that cannot be written is lost: a log is no reason to fail.
pub(crate) fn write_line(line: &str) {
    let mut bytes = Vec::with_capacity(line.len() + 1);
    bytes.extend_from_slice(line.as_bytes());
    bytes.push(b'\n');
    drop(std::io::stderr().lock().write_all(&bytes));
}

/// An error and what caused it, outermost first; what a message quotes is not said twice.
pub(crate) fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let message = error.to_string();
        if !text.ends_with(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        cause = error.source();
    }
    text
}
