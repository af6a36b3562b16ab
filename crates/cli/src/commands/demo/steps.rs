//! What happened, in one line each, and what to look at next.

use std::cell::Cell;
use std::fmt;

use serde_json::json;

use crate::out::{Out, Style};

/// Tells steps, numbered.
#[derive(Debug)]
pub(super) struct Steps<'a> {
    out: &'a Out,
    number: Cell<u32>,
    silent: bool,
}

impl<'a> Steps<'a> {
    pub(super) fn new(out: &'a Out) -> Self {
        Self {
            out,
            number: Cell::new(0),
            silent: false,
        }
    }

    /// For a story that was told already.
    pub(super) fn silent(out: &'a Out) -> Self {
        Self {
            silent: true,
            ..Self::new(out)
        }
    }

    /// A step that held.
    pub(super) fn told(&self, step: &str, text: impl fmt::Display, see: &str) {
        if self.silent {
            return;
        }
        let number = self.number.get() + 1;
        self.number.set(number);
        let text = text.to_string();
        let object = json!({
            "type": "step", "number": number, "step": step, "ok": true, "text": text, "see": see,
        });
        let step = self
            .out
            .style_result(Style::Good, format_args!("{step:<8}"));
        let see = match see {
            "" => String::new(),
            see => format!(
                "\n             {}",
                self.out
                    .style_result(Style::Dim, format_args!("see: {see}"))
            ),
        };
        self.out
            .result(&object, format_args!("{number:>2}  {step} {text}{see}"));
    }
}
