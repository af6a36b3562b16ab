//! `jackfield events`

use reqwest::Method;
use serde_json::{Value, json};

use crate::client::show::{ago, number, objects, table, text};
use crate::client::{ClientError, Named, Remote};
use crate::out::{Out, count, plain};

const HELP: &str = "\
An event that a plugin refuses is delivered again, with growing delays; when that has gone on for long enough it is
parked, and the plugin gets those that come after it. A parked event waits until somebody says what becomes of it.

Examples:
  jackfield events parked hello
  jackfield events replay hello 1042              deliver one again
  jackfield events replay hello --all
  jackfield events drop hello 1042                forget it";

/// Show, repeat and drop the events that a plugin refused
#[derive(Debug, clap::Args)]
#[command(after_help = HELP, arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// List those that are parked
    Parked {
        #[command(flatten)]
        plugin: Named,
        #[command(flatten)]
        remote: Remote,
    },
    /// Deliver parked events again
    Replay {
        #[command(flatten)]
        plugin: Named,
        /// The event
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        event: Option<String>,
        /// All that are parked for this plugin
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        remote: Remote,
    },
    /// Forget a parked event
    Drop {
        #[command(flatten)]
        plugin: Named,
        /// The event
        event: String,
        #[command(flatten)]
        remote: Remote,
    },
}

pub(crate) async fn run(args: Args, out: &Out) -> Result<(), ClientError> {
    match args.what {
        What::Parked { plugin, remote } => {
            let client = remote.client()?;
            let id = plugin.id(&client).await?;
            let answer = client.get(&["plugins", &id, "events", "parked"]).await?;
            let row = |event: &Value| {
                vec![
                    id_of(event),
                    plain(text(event, "event")),
                    number(event, "attempts").to_string(),
                    ago(text(event, "parked_at")),
                    if event["replaying"] == true {
                        "again"
                    } else {
                        ""
                    }
                    .to_owned(),
                    plain(text(event, "reason")),
                ]
            };
            let rows = objects(&answer, "parked").iter().map(row).collect();
            let header = ["ID", "EVENT", "ATTEMPTS", "PARKED", "", "REASON"];
            table(out, &answer, &header, rows, "no events are parked");
        }
        What::Replay {
            plugin,
            event,
            all: _,
            remote,
        } => {
            let client = remote.client()?;
            let id = plugin.id(&client).await?;
            let mut path = vec!["plugins", &id, "events", "parked"];
            path.extend(event.as_deref());
            path.push("replay");
            let answer = client.send(client.ask(Method::POST, &path)).await?.body;
            let many = event.map_or_else(|| number(&answer, "replaying"), |_| 1);
            let events = count(usize::try_from(many).unwrap_or(usize::MAX), "event");
            let object = json!({ "type": "replaying", "replaying": many });
            out.result(&object, format_args!("{events} will be delivered again"));
        }
        What::Drop {
            plugin,
            event,
            remote,
        } => {
            let client = remote.client()?;
            let id = plugin.id(&client).await?;
            let path = ["plugins", &id, "events", "parked", &event];
            client.send(client.ask(Method::DELETE, &path)).await?;
            let object = json!({ "type": "dropped", "id": event });
            out.result(&object, format_args!("dropped {event}"));
        }
    }
    Ok(())
}

/// The id of an event: a text, or a number.
fn id_of(event: &Value) -> String {
    match &event["id"] {
        Value::String(id) => plain(id),
        other => other.to_string(),
    }
}
