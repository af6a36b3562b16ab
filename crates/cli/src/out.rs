//! What goes to the terminal, or to a program that reads it.

use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal};
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

/// Where everything is told. For people: results on standard output, everything else on standard
/// error. For programs (`--json`): one JSON object per line on standard output, and nothing else.
#[derive(Debug)]
pub(crate) struct Out {
    json: bool,
    colour_out: bool,
    colour_err: bool,
    /// Nobody reads any more.
    broken: AtomicBool,
}

/// A little colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    Dim,
    Bold,
    Good,
    Odd,
    Bad,
}

impl Out {
    pub(crate) fn new(json: bool) -> Self {
        Self {
            json,
            colour_out: colour(&io::stdout()),
            colour_err: colour(&io::stderr()),
            broken: AtomicBool::new(false),
        }
    }

    /// Whether a program reads it.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Whether a person sees it as it comes, on a terminal.
    pub(crate) fn is_live(&self) -> bool {
        !self.json && io::stderr().is_terminal()
    }

    /// Whether nobody reads any more: `jackfield … | head`.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    /// A result.
    pub(crate) fn result(&self, json: &Value, text: impl fmt::Display) {
        if self.json {
            self.write(io::stdout(), json);
        } else {
            self.write(io::stdout(), text);
        }
    }

    /// What happens on the way.
    pub(crate) fn tell(&self, json: &Value, text: impl fmt::Display) {
        if self.json {
            self.write(io::stdout(), json);
        } else {
            self.say(text);
        }
    }

    /// What is for programs alone.
    pub(crate) fn tell_program(&self, json: &Value) {
        if self.json {
            self.write(io::stdout(), json);
        }
    }

    /// What is for people alone.
    pub(crate) fn say(&self, text: impl fmt::Display) {
        if !self.json {
            self.write(io::stderr(), text);
        }
    }

    /// A text as it looks on standard error.
    pub(crate) fn style(&self, style: Style, text: impl fmt::Display) -> String {
        style.paint(text, self.colour_err)
    }

    /// A text as it looks on standard output.
    pub(crate) fn style_result(&self, style: Style, text: impl fmt::Display) -> String {
        style.paint(text, self.colour_out)
    }

    /// One write for the whole line: lines of several threads do not mix.
    fn write(&self, mut to: impl io::Write, line: impl fmt::Display) {
        if to.write_all(format!("{line}\n").as_bytes()).is_err() {
            self.broken.store(true, Ordering::Relaxed);
        }
    }
}

impl Style {
    fn paint(self, text: impl fmt::Display, colour: bool) -> String {
        let code = match self {
            _ if !colour => return text.to_string(),
            Self::Plain => return text.to_string(),
            Self::Dim => 2,
            Self::Bold => 1,
            Self::Good => 32,
            Self::Odd => 33,
            Self::Bad => 31,
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// Whether a stream takes colour: a terminal, and nobody asked for none (<https://no-color.org>).
pub(crate) fn colour(stream: &impl IsTerminal) -> bool {
    let set = |key| std::env::var_os(key).is_some_and(|value| !value.is_empty());
    stream.is_terminal() && !set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|t| t != "dumb")
}

/// A text that a plugin wrote, safe to show: it cannot move the cursor or paint the terminal.
pub(crate) fn plain(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_control() && letter != '\t' {
            let _ = write!(safe, "{}", letter.escape_default());
        } else {
            safe.push(letter);
        }
    }
    safe
}

/// A count with its noun: `1 file`, `2 files`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    let s = match (number, noun.ends_with('s')) {
        (1, _) => "",
        (_, true) => "es",
        (_, false) => "s",
    };
    format!("{number} {noun}{s}")
}

/// A size for people: `17 B`, `4.2 KiB`.
pub(crate) fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "KiB", "MiB"] {
        if value < 1024.0 {
            let places = usize::from(unit != "B");
            return format!("{value:.places$} {unit}");
        }
        value /= 1024.0;
    }
    format!("{value:.1} GiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_cannot_paint_the_terminal() {
        assert_eq!(plain("a\tb \u{1b}[2Jc\r"), "a\tb \\u{1b}[2Jc\\r");
    }

    #[test]
    fn sizes_and_counts_read_well() {
        assert_eq!(size(17), "17 B");
        assert_eq!(size(4300), "4.2 KiB");
        assert_eq!(size(50 << 20), "50.0 MiB");
        assert_eq!(size(3 << 30), "3.0 GiB");
        assert_eq!(count(1, "file"), "1 file");
        assert_eq!(count(0, "file"), "0 files");
        assert_eq!(count(2, "process"), "2 processes");
    }

    #[test]
    fn colour_is_left_out_where_it_is_not_wanted() {
        assert_eq!(Style::Bad.paint("x", false), "x");
        assert_eq!(Style::Bad.paint("x", true), "\x1b[31mx\x1b[0m");
        assert_eq!(Style::Plain.paint("x", true), "x");
    }
}
