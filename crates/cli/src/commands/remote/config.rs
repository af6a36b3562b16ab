//! `jackfield config`

use std::io;
use std::path::PathBuf;

use reqwest::Method;
use serde_json::{Map, Value};

use super::edit;
use crate::client::show::{objects, text};
use crate::client::{Client, ClientError, Named, Remote};
use crate::command_error::CommandError;
use crate::out::{Out, Style, plain};

const HELP: &str = "\
What is set is checked against the fields that the manifest declares, told to the plugin where it is connected, and
kept where the plugin did not refuse it. Secrets are never shown, and stay as they are where they are not set anew.

Examples:
  jackfield config get hello
  jackfield config get hello greeting
  jackfield config set hello greeting=Ahoy 'limits={\"max\":3}'
  jackfield config set hello api_key=-  < key     the value comes from standard input
  jackfield config unset hello greeting           back to its default
  jackfield config edit hello                     in $EDITOR";

/// Show and change a plugin's configuration
#[derive(Debug, clap::Args)]
#[command(after_help = HELP, arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Show it, or one value of it
    Get {
        #[command(flatten)]
        plugin: Named,
        /// One of its keys
        key: Option<String>,
        #[command(flatten)]
        remote: Remote,
    },
    /// Set values: a text, or JSON where the field is none
    Set {
        #[command(flatten)]
        plugin: Named,
        /// What is set; `-` reads the value from standard input
        #[arg(required = true, value_name = "KEY=VALUE", value_parser = crate::commands::run::variable)]
        values: Vec<(String, String)>,
        #[command(flatten)]
        remote: Remote,
    },
    /// Take values away
    Unset {
        #[command(flatten)]
        plugin: Named,
        /// Their keys
        #[arg(required = true, value_name = "KEY")]
        keys: Vec<String>,
        #[command(flatten)]
        remote: Remote,
    },
    /// Change all of it in $VISUAL or $EDITOR
    Edit {
        #[command(flatten)]
        plugin: Named,
        #[command(flatten)]
        remote: Remote,
    },
    /// Show the fields that the manifest declares
    Schema {
        #[command(flatten)]
        plugin: Named,
        #[command(flatten)]
        remote: Remote,
    },
}

/// Why nothing was set.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigCommandError {
    #[error("`{key}` is a {kind}, and `{value}` is none")]
    Value {
        key: String,
        kind: String,
        value: String,
    },
    #[error("`{0}` is not set")]
    NotSet(String),
    #[error("cannot read standard input")]
    Stdin(#[source] io::Error),
    #[error("cannot run the editor `{editor}`")]
    Editor { editor: String, source: io::Error },
    #[error("the editor `{editor}` ended with {status}; nothing was changed")]
    EditorEnded {
        editor: String,
        status: std::process::ExitStatus,
    },
    #[error("cannot keep what is edited in {}", path.display())]
    Draft { path: PathBuf, source: io::Error },
    #[error("{why}\n  nothing was changed; what you wrote is in {}", path.display())]
    BadDraft { why: String, path: PathBuf },
}

/// What is configured, without its secrets, and which secrets are set.
#[derive(Debug)]
pub(super) struct Configured {
    pub(super) values: Map<String, Value>,
    pub(super) secrets: Vec<String>,
}

pub(crate) async fn run(args: Args, out: &Out) -> Result<(), CommandError> {
    match args.what {
        What::Get {
            plugin,
            key,
            remote,
        } => {
            let client = remote.client()?;
            let id = plugin.id(&client).await?;
            show(&read(&client, &id).await?, key.as_deref(), out)
        }
        What::Set {
            plugin,
            values,
            remote,
        } => {
            let client = remote.client()?;
            let id = plugin.id(&client).await?;
            let fields = schema(&client, &id).await?;
            let mut config = read(&client, &id).await?;
            for (key, value) in values {
                let value = match value.as_str() {
                    "-" => super::call::stdin(out).map_err(ConfigCommandError::Stdin)?,
                    _ => value,
                };
                let value = typed(&fields, &key, value.trim_end_matches('\n'))?;
                config.values.insert(key, value);
            }
            write(&client, &id, &config.values, out).await
        }
        What::Unset {
            plugin,
            keys,
            remote,
        } => {
            let client = remote.client()?;
            let id = plugin.id(&client).await?;
            let mut config = read(&client, &id).await?;
            for key in keys {
                if config.secrets.contains(&key) {
                    // A secret that is left out stays as it is.
                    config.values.insert(key, Value::Null);
                } else if config.values.remove(&key).is_none() {
                    return Err(ConfigCommandError::NotSet(key).into());
                }
            }
            write(&client, &id, &config.values, out).await
        }
        What::Edit { plugin, remote } => {
            let client = remote.client()?;
            let id = plugin.id(&client).await?;
            edit::run(&client, &id, out).await
        }
        What::Schema { plugin, remote } => {
            let client = remote.client()?;
            let id = plugin.id(&client).await?;
            fields(&schema(&client, &id).await?, out);
            Ok(())
        }
    }
}

/// What is configured now.
pub(super) async fn read(client: &Client, id: &str) -> Result<Configured, ClientError> {
    let request = client.ask(Method::GET, &["plugins", id, "configuration"]);
    let answer = client.send(request).await?;
    let secrets = answer.headers.get("jackfield-secrets-set");
    let secrets = secrets.and_then(|names| names.to_str().ok()).unwrap_or("");
    Ok(Configured {
        values: answer.body.as_object().cloned().unwrap_or_default(),
        secrets: secrets
            .split(',')
            .map(|name| name.trim().to_owned())
            .filter(|name| !name.is_empty())
            .collect(),
    })
}

/// The fields that the manifest declares.
pub(super) async fn schema(client: &Client, id: &str) -> Result<Value, ClientError> {
    client.get(&["plugins", id, "configuration-schema"]).await
}

/// Replaces it.
pub(super) async fn put(
    client: &Client,
    id: &str,
    values: &Map<String, Value>,
) -> Result<Value, ClientError> {
    let path = ["plugins", id, "configuration"];
    let body = Value::Object(values.clone());
    let put = client.put(Method::PATCH, &path, &body).await;
    put.map_err(ClientError::not_taken)
}

async fn write(
    client: &Client,
    id: &str,
    values: &Map<String, Value>,
    out: &Out,
) -> Result<(), CommandError> {
    let now = put(client, id, values).await?;
    out.result(&now, "configured");
    Ok(())
}

fn show(config: &Configured, key: Option<&str>, out: &Out) -> Result<(), CommandError> {
    if let Some(key) = key {
        let Some(value) = config.values.get(key) else {
            if config.secrets.iter().any(|name| name == key) {
                out.say("it is set, and secret");
                return Ok(());
            }
            return Err(ConfigCommandError::NotSet(key.to_owned()).into());
        };
        match value {
            Value::String(text) => out.result(value, plain(text)),
            other => out.result(other, other),
        }
        return Ok(());
    }
    let all = Value::Object(config.values.clone());
    out.result(&all, format_args!("{all:#}"));
    if !config.secrets.is_empty() {
        let secrets = plain(&config.secrets.join(", "));
        out.say(format_args!("set, and secret: {secrets}"));
    }
    Ok(())
}

fn fields(schema: &Value, out: &Out) {
    if out.is_json() {
        return out.result(schema, "");
    }
    if objects(schema, "fields").is_empty() {
        return out.say("the manifest declares no fields: anything may be set");
    }
    for field in objects(schema, "fields") {
        let name = out.style_result(Style::Bold, plain(text(field, "id")));
        let mut words = vec![plain(text(field, "type"))];
        for word in ["required", "secret"] {
            if field[word] == true {
                words.push(word.to_owned());
            }
        }
        if !field["default"].is_null() {
            words.push(format!("default {}", plain(&field["default"].to_string())));
        }
        if let Some(values) = field["enum"].as_array() {
            let values: Vec<_> = values.iter().map(ToString::to_string).collect();
            words.push(plain(&format!("one of {}", values.join(", "))));
        }
        let labels = [text(field, "label"), text(field, "description")];
        let label = labels.map(plain).join(" ");
        out.result(
            &Value::Null,
            format_args!("{name} ({}) {}", words.join(", "), label.trim()),
        );
    }
}

/// A value as its field wants it; JSON where that is what it looks like and no field says otherwise.
fn typed(schema: &Value, key: &str, value: &str) -> Result<Value, ConfigCommandError> {
    let mut fields = objects(schema, "fields").iter();
    let kind = fields
        .find(|field| text(field, "id") == key)
        .map(|field| text(field, "type"));
    let json = serde_json::from_str::<Value>(value);
    let fits = |fits: bool, json: Value| {
        fits.then_some(json)
            .ok_or_else(|| ConfigCommandError::Value {
                key: key.to_owned(),
                kind: kind.unwrap_or_default().to_owned(),
                value: value.to_owned(),
            })
    };
    match (kind, json) {
        (Some("string"), _) | (_, Err(_)) if !matches!(kind, Some("number" | "boolean")) => {
            Ok(value.into())
        }
        (Some("number"), json) => {
            let json = json.unwrap_or_default();
            fits(json.is_number(), json)
        }
        (Some("boolean"), json) => {
            let json = json.unwrap_or_default();
            fits(json.is_boolean(), json)
        }
        (_, json) => Ok(json.unwrap_or_else(|_| value.into())),
    }
}

impl From<ConfigCommandError> for CommandError {
    fn from(error: ConfigCommandError) -> Self {
        use crate::exit::Exit;
        let (exit, hint) = match &error {
            ConfigCommandError::Value { .. } => (
                Exit::Usage,
                Some("`jackfield config schema <plugin>` shows what each field takes"),
            ),
            ConfigCommandError::NotSet(_) => (
                Exit::Refused,
                Some("`jackfield config get <plugin>` shows what is set"),
            ),
            ConfigCommandError::Editor { .. } => (Exit::Refused, Some("name another in EDITOR")),
            ConfigCommandError::BadDraft { .. } => (Exit::Call, None),
            _ => (Exit::Refused, None),
        };
        let new = Self::new(exit, error);
        hint.into_iter().fold(new, Self::hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_what_their_fields_want() {
        let schema = json!({"fields": [
            {"id": "text", "type": "string"}, {"id": "count", "type": "number"}, {"id": "on", "type": "boolean"},
        ]});
        let typed = |key, value| typed(&schema, key, value);
        assert_eq!(typed("text", "1").unwrap(), json!("1"));
        assert_eq!(typed("count", "1.5").unwrap(), json!(1.5));
        assert_eq!(typed("on", "true").unwrap(), json!(true));
        assert_eq!(typed("other", "[1]").unwrap(), json!([1]));
        assert_eq!(typed("other", "a b").unwrap(), json!("a b"));
        let error = typed("count", "many").unwrap_err().to_string();
        assert_eq!(error, "`count` is a number, and `many` is none");
        assert!(typed("on", "1").is_err());
    }
}
