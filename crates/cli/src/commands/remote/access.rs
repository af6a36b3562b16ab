//! `jackfield access`

use reqwest::Method;
use serde_json::{Value, json};

use crate::client::show::{text, texts};
use crate::client::{ClientError, Named, Remote};
use crate::out::{Out, plain};

const HELP: &str = "\
A plugin's manifest asks for permissions in the application's API; what it gets is what is granted here. It finds out
where that API is, and its key, by calling access_get.

Examples:
  jackfield access show hello
  jackfield access grant hello CREATE_POST,READ_PROFILE
  jackfield access grant hello --requested       all that its manifest asks for
  jackfield access grant hello --none
  jackfield access rotate hello                  another key; the old one ends";

/// Show and grant what a plugin may do in the application's API
#[derive(Debug, clap::Args)]
#[command(after_help = HELP, arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Show what it asks for and what it has
    Show {
        #[command(flatten)]
        plugin: Named,
        #[command(flatten)]
        remote: Remote,
    },
    /// Grant exactly this
    Grant {
        #[command(flatten)]
        plugin: Named,
        /// What is granted; everything else is taken away
        #[arg(value_name = "PERMISSION", value_delimiter = ',', required_unless_present_any = ["requested", "none"])]
        permissions: Vec<String>,
        /// All that its manifest asks for
        #[arg(long, conflicts_with = "permissions")]
        requested: bool,
        /// Nothing
        #[arg(long, conflicts_with_all = ["permissions", "requested"])]
        none: bool,
        #[command(flatten)]
        remote: Remote,
    },
    /// End its key; it gets another when it asks
    Rotate {
        #[command(flatten)]
        plugin: Named,
        #[command(flatten)]
        remote: Remote,
    },
}

pub(crate) async fn run(args: Args, out: &Out) -> Result<(), ClientError> {
    match args.what {
        What::Show { plugin, remote } => {
            let client = remote.client()?;
            let id = plugin.id(&client).await?;
            show(&client.get(&["plugins", &id, "access"]).await?, out);
        }
        What::Grant {
            plugin,
            permissions,
            requested,
            none: _,
            remote,
        } => {
            let client = remote.client()?;
            let id = plugin.id(&client).await?;
            let path = ["plugins", &id, "access"];
            let granted = if requested {
                client.get(&path).await?["requested"].clone()
            } else {
                json!(permissions)
            };
            let body = json!({ "granted": granted });
            show(&client.put(Method::PUT, &path, &body).await?, out);
        }
        What::Rotate { plugin, remote } => {
            let client = remote.client()?;
            let id = plugin.id(&client).await?;
            let request = client.ask(Method::POST, &["plugins", &id, "access", "rotate"]);
            client.send(request).await?;
            let object = json!({ "type": "rotated", "id": id });
            out.result(&object, "its key has ended; it gets another when it asks");
        }
    }
    Ok(())
}

fn show(access: &Value, out: &Out) {
    let list = |key: &str| match texts(access, key).as_slice() {
        [] => "nothing".to_owned(),
        some => plain(&some.join(", ")),
    };
    let mut lines = vec![
        format!("asks for  {}", list("requested")),
        format!("granted   {}", list("granted")),
    ];
    for (what, key) in [("acts as   ", "handle"), ("its key   ", "token_prefix")] {
        if !text(access, key).is_empty() {
            lines.push(format!("{what}{}", plain(text(access, key))));
        }
    }
    out.result(access, lines.join("\n"));
}
