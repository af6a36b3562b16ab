//! `perftools.profiles.Profile`, written by hand: it has a dozen fields that matter here.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pprof::{Report, Symbol};

/// A message being written.
#[derive(Default)]
struct Message(Vec<u8>);

/// Things that are written once and named by their number from then on; 0 names nothing.
struct Numbered<T>(HashMap<T, u64>);

/// Name and file of a function, as numbers of strings.
type Function = (u64, u64);

#[derive(Default)]
struct Writer {
    profile: Message,
    strings: Numbered<String>,
    functions: Numbered<Function>,
    /// Function and line.
    locations: Numbered<(u64, u64)>,
}

/// Writes what was seen: how often, and for how long as far as that tells.
pub(super) fn encode(
    report: &Report,
    began: SystemTime,
    took: Duration,
    period: Duration,
) -> Vec<u8> {
    let mut writer = Writer::default();
    // Number 0 is the empty string.
    writer.profile.bytes(6, b"");
    for (kind, unit) in [("samples", "count"), ("cpu", "nanoseconds")] {
        let kind = writer.kind(kind, unit);
        writer.profile.message(1, &kind);
    }
    for (stack, count) in &report.data {
        let Ok(count) = u64::try_from(*count) else {
            continue;
        };
        // The innermost call comes first, in both.
        let mut locations = Message::default();
        let symbols = stack
            .frames
            .iter()
            .flatten()
            .skip_while(|symbol| is_ours(symbol));
        for symbol in symbols {
            let function = writer.function(&symbol.name(), &symbol.filename());
            locations.varint(writer.location(function, symbol.lineno().into()));
        }
        let mut values = Message::default();
        values.varint(count);
        values.varint(count.saturating_mul(nanos(period)));
        let mut label = Message::default();
        label.number(1, writer.string("thread"));
        label.number(2, writer.string(&stack.thread_name));
        let mut sample = Message::default();
        sample.message(1, &locations);
        sample.message(2, &values);
        sample.message(3, &label);
        writer.profile.message(2, &sample);
    }
    let since = began.duration_since(UNIX_EPOCH).unwrap_or_default();
    writer.profile.number(9, nanos(since));
    writer.profile.number(10, nanos(took));
    let kind = writer.kind("cpu", "nanoseconds");
    writer.profile.message(11, &kind);
    writer.profile.number(12, nanos(period));
    writer.profile.0
}

/// The profiler's own calls, which are within all that it interrupts.
fn is_ours(symbol: &Symbol) -> bool {
    let (name, file) = (symbol.sys_name(), symbol.filename());
    ["pprof", "backtrace"]
        .iter()
        .any(|krate| name.contains(&format!("{krate}::")) || file.contains(&format!("/{krate}-0.")))
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl Writer {
    fn kind(&mut self, kind: &str, unit: &str) -> Message {
        let mut message = Message::default();
        message.number(1, self.string(kind));
        message.number(2, self.string(unit));
        message
    }

    fn string(&mut self, text: &str) -> u64 {
        if text.is_empty() {
            return 0;
        }
        let (number, is_new) = self.strings.number(text.to_owned());
        if is_new {
            self.profile.bytes(6, text.as_bytes());
        }
        number
    }

    fn function(&mut self, name: &str, file: &str) -> u64 {
        let function = (self.string(name), self.string(file));
        let (number, is_new) = self.functions.number(function);
        if is_new {
            let mut message = Message::default();
            message.number(1, number);
            message.number(2, function.0);
            message.number(3, function.0);
            message.number(4, function.1);
            self.profile.message(5, &message);
        }
        number
    }

    fn location(&mut self, function: u64, line: u64) -> u64 {
        let (number, is_new) = self.locations.number((function, line));
        if is_new {
            let mut place = Message::default();
            place.number(1, function);
            place.number(2, line);
            let mut message = Message::default();
            message.number(1, number);
            message.message(4, &place);
            self.profile.message(4, &message);
        }
        number
    }
}

impl<T> Default for Numbered<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T: Eq + Hash> Numbered<T> {
    /// Its number, and whether it has just been given.
    fn number(&mut self, thing: T) -> (u64, bool) {
        let next = self.0.len() as u64 + 1;
        let number = *self.0.entry(thing).or_insert(next);
        (number, number == next)
    }
}

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn number(&mut self, field: u64, value: u64) {
        self.varint(field << 3);
        self.varint(value);
    }

    fn bytes(&mut self, field: u64, value: &[u8]) {
        self.varint(field << 3 | 2);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
    }

    fn message(&mut self, field: u64, message: &Self) {
        self.bytes(field, &message.0);
    }
}
