//! `jackfield call` and `publish`

use std::io::{self, IsTerminal as _, Read as _};
use std::time::Duration;

use reqwest::Method;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::actions::kind_of;
use crate::client::show::{text, texts};
use crate::client::{ClientError, Named, Remote};
use crate::command_error::CommandError;
use crate::exit::Exit;
use crate::out::{Out, count, plain};

const HELP: &str = "\
Examples:
  jackfield call hello greet '{\"name\":\"you\"}'
  jackfield call hello ping                        what every plugin answers
  jackfield call hello import - < big.json         parameters from standard input
  jackfield publish EventThreadPublished '{\"id\":\"1\"}'
  jackfield publish EventThreadPublished '{\"id\":\"1\"}' --key order-17   once, however often it is repeated";

/// Call a method of a plugin
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    #[command(flatten)]
    plugin: Named,
    /// The method
    method: String,
    /// Its parameters, an object or an array; `-` reads them from standard input
    #[arg(value_name = "JSON")]
    params: Option<String>,
    /// How long the plugin has for its answer [default: as the server is told]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    timeout: Option<Duration>,
    #[command(flatten)]
    remote: Remote,
}

/// Publish an event to the plugins that consume it
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct PublishArgs {
    /// The event's name
    event: String,
    /// Its payload, an object; `-` reads it from standard input
    #[arg(value_name = "JSON")]
    payload: Option<String>,
    /// Whatever is published with this key again is the same event, and is not delivered twice
    #[arg(long)]
    key: Option<String>,
    #[command(flatten)]
    remote: Remote,
}

/// Why what was typed cannot be sent.
#[derive(Debug, thiserror::Error)]
enum InputError {
    #[error("cannot read standard input")]
    Stdin(#[source] io::Error),
    #[error("this is not JSON: {text}")]
    NotJson {
        text: String,
        source: serde_json::Error,
    },
    #[error("this is {found}; {wanted} is wanted")]
    WrongKind {
        found: &'static str,
        wanted: &'static str,
    },
}

pub(crate) async fn call(args: &Args, out: &Out) -> Result<(), CommandError> {
    let params = args.params.as_deref().map(|typed| input(typed, out));
    let params = params.transpose()?.flatten();
    if let Some((_, kind @ (Value::Bool(_) | Value::Number(_) | Value::String(_)))) = &params {
        let (found, wanted) = (kind_of(kind), "an object, an array or null");
        return Err(InputError::WrongKind { found, wanted }.into());
    }
    let client = args.remote.client()?;
    let id = args.plugin.id(&client).await?;
    #[derive(serde::Serialize)]
    struct Body<'a> {
        method: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        params: Option<Box<RawValue>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        deadline_ms: Option<u64>,
    }
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let body = Body {
        method: &args.method,
        // As it was typed: keys keep their order.
        params: params.map(|(raw, _)| raw),
        deadline_ms: args.timeout.map(millis),
    };
    let mut request = client
        .ask(Method::POST, &["plugins", &id, "call"])
        .json(&body);
    if let Some(timeout) = args.timeout {
        request = request.timeout(timeout + Duration::from_secs(30));
    }
    let answer = client.send(request).await;
    let answer = answer.map_err(ClientError::not_taken)?.body;
    let mut result = answer["result"].clone();
    // The contract has the method's name in it; whoever called it knows it.
    if let Value::Object(fields) = &mut result
        && fields
            .get("method")
            .is_some_and(|name| name == &args.method)
    {
        fields.remove("method");
    }
    if io::stdout().is_terminal() {
        out.result(&answer, format_args!("{result:#}"));
    } else {
        out.result(&answer, result);
    }
    Ok(())
}

pub(crate) async fn publish(args: &PublishArgs, out: &Out) -> Result<(), CommandError> {
    let payload = args.payload.as_deref().map(|typed| input(typed, out));
    let payload = match payload.transpose()?.flatten() {
        None => json!({}),
        Some((_, payload @ Value::Object(_))) => payload,
        Some((_, other)) => {
            let (found, wanted) = (kind_of(&other), "an object");
            return Err(InputError::WrongKind { found, wanted }.into());
        }
    };
    let client = args.remote.client()?;
    let body = json!({ "event": args.event, "payload": payload });
    let mut request = client.ask(Method::POST, &["events"]).json(&body);
    if let Some(key) = &args.key {
        request = request.header("idempotency-key", key);
    }
    let answer = client.send(request).await;
    let answer = answer.map_err(ClientError::not_taken)?.body;
    let consumers = texts(&answer, "consumers").len();
    let repeated = if answer["repeated"] == true {
        "; it was published before with this key"
    } else {
        ""
    };
    let event = plain(text(&answer, "event"));
    let id = plain(text(&answer, "id"));
    let to = count(consumers, "plugin");
    out.result(
        &answer,
        format_args!("{event} is event {id}, for {to}{repeated}"),
    );
    Ok(())
}

/// What was typed, or what comes in; `None` for null.
fn input(typed: &str, out: &Out) -> Result<Option<(Box<RawValue>, Value)>, InputError> {
    let text = match typed {
        "-" => stdin(out).map_err(InputError::Stdin)?,
        other => other.to_owned(),
    };
    let not_json = |source| InputError::NotJson {
        text: plain(&text.chars().take(80).collect::<String>()),
        source,
    };
    let value: Value = serde_json::from_str(&text).map_err(not_json)?;
    if value.is_null() {
        return Ok(None);
    }
    let raw = serde_json::from_str(&text).map_err(not_json)?;
    Ok(Some((raw, value)))
}

/// All of standard input.
pub(super) fn stdin(out: &Out) -> io::Result<String> {
    if io::stdin().is_terminal() {
        out.say("reading standard input; Ctrl-D ends it");
    }
    let mut text = String::new();
    io::stdin().read_to_string(&mut text)?;
    Ok(text)
}

impl From<InputError> for CommandError {
    fn from(error: InputError) -> Self {
        let exit = match &error {
            InputError::Stdin(_) => Exit::Refused,
            InputError::NotJson { .. } | InputError::WrongKind { .. } => Exit::Usage,
        };
        Self::new(exit, error).hint("quote JSON for the shell: '{\"name\": \"you\"}'")
    }
}
