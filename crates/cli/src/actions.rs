//! `--call` and `--event`: what is done with a plugin, in the order in which it was typed.

use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// What was typed, not looked at yet.
#[derive(Debug, Clone, Default)]
pub(crate) struct Typed(Vec<(Kind, String, String)>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Call,
    Event,
}

/// Something to do with a plugin.
#[derive(Debug, Clone)]
pub(crate) enum Action {
    /// Call a method.
    Call {
        /// Its name.
        method: String,
        /// An object or an array; `None` for none.
        params: Option<Box<RawValue>>,
    },
    /// Hand it an event.
    Event {
        /// Its name.
        name: String,
        /// Its payload.
        payload: Map<String, Value>,
    },
}

/// Why it cannot be done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ActionError {
    /// Not JSON.
    #[error("the JSON of --{option} {name} is not JSON: {text}")]
    NotJson {
        option: &'static str,
        name: String,
        text: String,
        source: serde_json::Error,
    },
    /// JSON of the wrong kind.
    #[error("the JSON of --{option} {name} is {found}; {wanted} is wanted")]
    WrongKind {
        option: &'static str,
        name: String,
        found: &'static str,
        wanted: &'static str,
    },
}

impl Typed {
    /// Looks at all of it, before anything is started.
    pub(crate) fn parse(&self) -> Result<Vec<Action>, ActionError> {
        self.0.iter().map(parse).collect()
    }
}

fn parse((kind, name, text): &(Kind, String, String)) -> Result<Action, ActionError> {
    let option = kind.option();
    let value: Value = serde_json::from_str(text).map_err(|source| ActionError::NotJson {
        option,
        name: name.clone(),
        text: text.clone(),
        source,
    })?;
    let wrong = |found, wanted| ActionError::WrongKind {
        option,
        name: name.clone(),
        found: kind_of(found),
        wanted,
    };
    let name = name.clone();
    match (kind, value) {
        (Kind::Call, Value::Null) => Ok(Action::Call {
            method: name,
            params: None,
        }),
        // As it was typed: keys keep their order.
        (Kind::Call, Value::Object(_) | Value::Array(_)) => Ok(Action::Call {
            method: name,
            params: RawValue::from_string(text.clone()).ok(),
        }),
        (Kind::Event, Value::Object(payload)) => Ok(Action::Event { name, payload }),
        (Kind::Call, ref other) => Err(wrong(other, "an object, an array or null")),
        (Kind::Event, ref other) => Err(wrong(other, "an object")),
    }
}

/// What a JSON value is, for people.
pub(crate) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

impl Kind {
    fn option(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Event => "event",
        }
    }
}

impl clap::Args for Typed {
    fn augment_args(command: Command) -> Command {
        let pair = |id: &'static str, name: &'static str| {
            Arg::new(id)
                .long(id)
                .num_args(2)
                .value_names([name, "JSON"])
                .action(ArgAction::Append)
        };
        command
            .arg(
                pair("call", "METHOD")
                    .help("Call a method once the plugin is active, and print its answer; again and again, in order"),
            )
            .arg(
                pair("event", "NAME")
                    .help("Hand the plugin an event that its manifest consumes; in order with the calls"),
            )
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for Typed {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut typed = Vec::new();
        for kind in [Kind::Call, Kind::Event] {
            let option = kind.option();
            let Some(pairs) = matches.get_occurrences::<String>(option) else {
                continue;
            };
            // Each value has a place in the command line; the pair has that of its first.
            let places = matches.indices_of(option).into_iter().flatten().step_by(2);
            for (place, mut pair) in places.zip(pairs) {
                if let (Some(name), Some(json)) = (pair.next(), pair.next()) {
                    typed.push((place, (kind, name.clone(), json.clone())));
                }
            }
        }
        typed.sort_by_key(|(place, _)| *place);
        Ok(Self(typed.into_iter().map(|(_, typed)| typed).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        typed: Typed,
    }

    fn names(line: &[&str]) -> Vec<String> {
        let line = std::iter::once("x").chain(line.iter().copied());
        let actions = Line::parse_from(line).typed.parse().unwrap();
        let name = |action| match action {
            Action::Call { method, .. } => method,
            Action::Event { name, .. } => name,
        };
        actions.into_iter().map(name).collect()
    }

    #[test]
    fn the_order_is_that_of_the_command_line() {
        let line = [
            "--event", "A", "{}", "--call", "b", "null", "--event", "C", "{}", "--call", "d", "[1]",
        ];
        assert_eq!(names(&line), ["A", "b", "C", "d"]);
        assert!(names(&[]).is_empty());
    }

    #[test]
    fn parameters_are_sent_as_they_were_typed() {
        let typed = Typed(vec![(Kind::Call, "m".into(), r#"{"b":1,"a":1.0}"#.into())]);
        let Action::Call { params, .. } = typed.parse().unwrap().remove(0) else {
            panic!("a call");
        };
        assert_eq!(params.unwrap().get(), r#"{"b":1,"a":1.0}"#);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let error = |kind, json: &str| {
            let typed = Typed(vec![(kind, "m".into(), json.into())]);
            typed.parse().unwrap_err().to_string()
        };
        assert_eq!(
            error(Kind::Call, "{a}"),
            "the JSON of --call m is not JSON: {a}"
        );
        assert_eq!(
            error(Kind::Call, "1"),
            "the JSON of --call m is a number; an object, an array or null is wanted"
        );
        assert_eq!(
            error(Kind::Event, "[]"),
            "the JSON of --event m is an array; an object is wanted"
        );
    }
}
