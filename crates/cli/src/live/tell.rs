//! What happens with a plugin, line by line.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::time::{Duration, SystemTime};

use jackfield::wire::log_record::{Level, LogRecord};
use jackfield::wire::methods::{Configure, Event};
use jackfield::{CallError, Method as _, ReportedState, Session, Status, Transition};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::out::{Out, Style, plain};

/// Tells what happens: `12:03:04.123  state   active`.
#[derive(Debug)]
pub(crate) struct Teller<'a> {
    out: &'a Out,
    session: &'a Session,
    /// The last change of state that was told.
    told: RefCell<Option<Transition>>,
    /// The last line that was told.
    seen: Cell<u64>,
}

impl<'a> Teller<'a> {
    pub(crate) fn new(session: &'a Session, out: &'a Out) -> Self {
        Self {
            out,
            session,
            told: RefCell::new(session.history().pop()),
            seen: Cell::new(0),
        }
    }

    /// All changes of state since the last time, none left out.
    pub(crate) fn states(&self) {
        let status = self.session.status().borrow().clone();
        let history = self.session.history();
        let mut told = self.told.borrow_mut();
        let known = told
            .as_ref()
            .and_then(|told| history.iter().rposition(|t| t == told));
        let from = known.map_or(0, |at| at + 1);
        for (at, transition) in history.iter().enumerate().skip(from) {
            // Only of the last one it is known what else holds.
            let now =
                (at + 1 == history.len() && status.state == transition.state).then_some(&status);
            self.state(transition, now);
            *told = Some(transition.clone());
        }
    }

    fn state(&self, transition: &Transition, status: Option<&Status>) {
        let mut object = json!({ "type": "state" });
        merge(&mut object, &json!(transition));
        let mut text = self.out.style(style_of(transition.state), transition.state);
        if let Some(status) = status {
            if let Some(pid) = status.pid {
                object["pid"] = pid.into();
                text += &format!(" (pid {pid})");
            }
            object["restarts"] = status.restarts.into();
            if let Some(next) = status.next_attempt_at {
                object["next_attempt_at"] =
                    humantime::format_rfc3339_millis(next).to_string().into();
            }
        }
        if let Some(failure) = &transition.error {
            text += &format!(": {}", plain(&failure.message));
            if let Some(next) = status.and_then(|status| status.next_attempt_at) {
                let left = next.duration_since(SystemTime::now()).unwrap_or_default();
                text += &format!("; next attempt in {:.1} s", left.as_secs_f64());
            }
        }
        self.line(transition.at, "state", &object, text);
        // The end of it all tells everything once more; on the way the advice is enough.
        if let Some(hint) = transition
            .error
            .as_ref()
            .and_then(|f| f.details.hint.as_ref())
            && transition.state != ReportedState::Errored
        {
            self.out.say(format_args!("{:>20}  hint: {hint}", ""));
        }
    }

    /// A line that the plugin wrote; one that was told already is not told again.
    pub(crate) fn log(&self, record: &LogRecord) {
        if record.seq <= self.seen.get() {
            return;
        }
        self.seen.set(record.seq);
        let mut object = json!({ "type": "log" });
        merge(&mut object, &json!(record));
        let style = match record.level {
            Level::Error => Style::Bad,
            Level::Warn => Style::Odd,
            Level::Info => Style::Plain,
            Level::Debug | Level::Trace => Style::Dim,
        };
        let level = self
            .out
            .style(style, format_args!("{:<5}", record.level.to_string()));
        let mut text = format!("{level} {}", plain(&record.text));
        if record.partial {
            text.push('…');
        }
        if !record.fields.is_empty() {
            let fields = json!(record.fields).to_string();
            text += &format!(" {}", self.out.style(Style::Dim, plain(&fields)));
        }
        self.line(record.time, &record.stream.to_string(), &object, text);
    }

    /// The number of the last line that was told.
    pub(crate) fn seen(&self) -> u64 {
        self.seen.get()
    }

    /// A call begins.
    pub(super) fn calling(&self, method: &str, params: Option<&RawValue>) {
        let now = SystemTime::now();
        let shown = params.map_or(String::new(), |params| format!(" {}", plain(params.get())));
        let object =
            json!({ "type": "call", "time": time(now), "method": method, "params": params });
        self.line(now, "call", &object, format_args!("{method}{shown}"));
    }

    /// It was answered. For people the answer to a call of theirs is the result of it all, and on
    /// standard output; what the contract itself asks is answered by yes or no.
    pub(super) fn answered(&self, method: &str, answer: &Value, took: Duration, taken: bool) {
        let now = SystemTime::now();
        let ms = took.as_secs_f64() * 1000.0;
        let object = json!({
            "type": "answer", "time": time(now), "method": method, "ok": taken,
            "result": answer, "took_ms": ms,
        });
        let word = match taken {
            true => self.out.style(Style::Good, "answered"),
            false => self.out.style(
                Style::Bad,
                "refused: the plugin answered that it is not ok,",
            ),
        };
        self.line(
            now,
            "answer",
            &object,
            format_args!("{method} {word} after {ms:.1} ms"),
        );
        if !self.out.is_json() && !matches!(method, Configure::NAME | Event::NAME) {
            self.out.result(&object, answer);
        }
    }

    /// It was not answered, or with an error.
    pub(super) fn refused(
        &self,
        method: &str,
        error: &CallError,
        error_object: &Value,
        hint: Option<&str>,
        took: Duration,
    ) {
        let now = SystemTime::now();
        let object = json!({
            "type": "answer", "time": time(now), "method": method, "ok": false,
            "error": error_object, "hint": hint, "took_ms": took.as_secs_f64() * 1000.0,
        });
        let failed = self.out.style(Style::Bad, "failed");
        let text = plain(&error.to_string());
        self.line(
            now,
            "answer",
            &object,
            format_args!("{method} {failed}: {text}"),
        );
        if let Some(hint) = hint {
            self.out.say(format_args!("{:>20}  hint: {hint}", ""));
        }
    }

    /// Something that is said while nothing happens.
    pub(super) fn waiting(&self, text: impl fmt::Display) {
        let now = SystemTime::now();
        let text = text.to_string();
        let object = json!({ "type": "waiting", "time": time(now), "text": text });
        self.line(now, "state", &object, self.out.style(Style::Dim, text));
    }

    fn line(&self, at: SystemTime, kind: &str, object: &Value, text: impl fmt::Display) {
        if self.out.is_json() {
            return self.out.tell(object, "");
        }
        let at = self.out.style(Style::Dim, clock(at));
        self.out
            .tell(object, format_args!("{at}  {kind:<6}  {text}"));
    }
}

/// What a plugin answered, without the method's name that the contract wants in it.
pub(super) fn answer(method: &str, answer: &RawValue) -> Value {
    let mut answer = serde_json::from_str(answer.get()).unwrap_or(Value::Null);
    if let Value::Object(fields) = &mut answer
        && fields.get("method").is_some_and(|name| name == method)
    {
        fields.remove("method");
    }
    answer
}

fn style_of(state: ReportedState) -> Style {
    match state {
        ReportedState::Active => Style::Good,
        ReportedState::Errored => Style::Bad,
        ReportedState::Restarting => Style::Odd,
        ReportedState::Inactive
        | ReportedState::Starting
        | ReportedState::Connecting
        | ReportedState::Stopping => Style::Bold,
    }
}

fn merge(into: &mut Value, from: &Value) {
    if let (Value::Object(into), Value::Object(from)) = (into, from) {
        into.extend(from.clone());
    }
}

fn time(at: SystemTime) -> String {
    humantime::format_rfc3339_millis(at).to_string()
}

/// `12:03:04.123`, in UTC.
fn clock(at: SystemTime) -> String {
    time(at)[11..23].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_shown_without_its_method() {
        let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
        let shown = |text| answer("greet", &raw(text)).to_string();
        assert_eq!(shown(r#"{"method":"greet","a":1}"#), r#"{"a":1}"#);
        assert_eq!(
            shown(r#"{"method":"own","a":1}"#),
            r#"{"a":1,"method":"own"}"#
        );
        assert_eq!(shown("[1]"), "[1]");
    }

    #[test]
    fn the_clock_is_that_of_the_day() {
        assert_eq!(
            clock(SystemTime::UNIX_EPOCH + Duration::from_millis(3_723_004)),
            "01:02:03.004"
        );
    }
}
