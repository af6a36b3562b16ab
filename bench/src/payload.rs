//! What is sent.

use serde::{Deserialize, Serialize};

/// The parameters and the answer of an echo.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Text {
    /// Letters.
    pub text: String,
}

/// An echo, as a plugin's author would write it.
#[derive(Debug)]
pub struct Echo;

impl jackfield::Method for Echo {
    const NAME: &'static str = "echo";
    type Params = Text;
    type Output = Text;
}

/// An echo of JSON as it comes.
pub const RAW_ECHO: &str = "raw_echo";

/// The object without its letters.
const FRAME: usize = r#"{"text":""}"#.len();

impl Text {
    /// Parameters of that many bytes.
    #[must_use]
    pub fn of(bytes: usize) -> Self {
        Self {
            text: "x".repeat(bytes.saturating_sub(FRAME)),
        }
    }
}

/// The same as JSON.
#[must_use]
pub fn json(bytes: usize) -> String {
    format!(r#"{{"text":"{}"}}"#, Text::of(bytes).text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_the_size_that_is_asked_for() {
        assert_eq!(json(200).len(), 200);
        assert_eq!(serde_json::to_string(&Text::of(200)).unwrap(), json(200));
    }
}
