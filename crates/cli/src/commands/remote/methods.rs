//! `jackfield methods`

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::call::stdin;
use crate::client::Remote;
use crate::client::show::{ago, number, objects, table, text};
use crate::command_error::CommandError;
use crate::out::{Out, plain};

const HELP: &str = "\
A method that is mapped here may be called by every plugin: the call goes to the application as a signed POST (Standard
Webhooks), and its answer to the plugin.

Examples:
  jackfield methods set create_post https://app.example.org/plugins/create-post
  jackfield methods set create_post https://app.example.org/… --secret-stdin < secret
  jackfield methods list
  jackfield methods remove create_post";

/// Map methods that plugins call to endpoints of the application
#[derive(Debug, clap::Args)]
#[command(after_help = HELP, arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// List them
    List {
        #[command(flatten)]
        remote: Remote,
    },
    /// Map a method, or change where it goes
    Set {
        /// The method
        name: String,
        /// The endpoint of the application
        url: String,
        /// How long the application has for its answer [default: as the server says]
        #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
        timeout: Option<Duration>,
        /// Read the secret that signs from standard input, instead of having one made
        #[arg(long)]
        secret_stdin: bool,
        #[command(flatten)]
        remote: Remote,
    },
    /// Map it no more
    Remove {
        /// The method
        name: String,
        #[command(flatten)]
        remote: Remote,
    },
}

pub(crate) async fn run(args: Args, out: &Out) -> Result<(), CommandError> {
    match args.what {
        What::List { remote } => {
            let answer = remote.client()?.get(&["methods"]).await?;
            let row = |method: &Value| {
                vec![
                    plain(text(method, "name")),
                    plain(text(method, "url")),
                    format!("{} ms", number(method, "timeout_ms")),
                    ago(text(method, "updated_at")),
                    plain(text(method, "updated_by")),
                ]
            };
            let rows = objects(&answer, "methods").iter().map(row).collect();
            let header = ["METHOD", "ENDPOINT", "TIMEOUT", "CHANGED", "BY"];
            table(out, &answer, &header, rows, "no methods are mapped");
        }
        What::Set {
            name,
            url,
            timeout,
            secret_stdin,
            remote,
        } => {
            let client = remote.client()?;
            let mut body = json!({ "url": url });
            if let Some(timeout) = timeout {
                let millis = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
                body["timeout_ms"] = millis.into();
            }
            if secret_stdin {
                body["secret"] = stdin(out)?.trim().into();
            }
            let answer = client.put(Method::PUT, &["methods", &name], &body).await?;
            out.say(format_args!("{name} goes to {url}"));
            match text(&answer, "secret") {
                "" => out.result(&answer, format_args!("{name}: its secret is as it was")),
                secret => {
                    out.say("the secret that its requests are signed with, shown this once:");
                    out.result(&answer, plain(secret));
                }
            }
        }
        What::Remove { name, remote } => {
            let client = remote.client()?;
            let request = client.ask(Method::DELETE, &["methods", &name]);
            client.send(request).await?;
            let object = json!({ "type": "removed", "method": name });
            out.result(&object, format_args!("{name} is not mapped any more"));
        }
    }
    Ok(())
}
