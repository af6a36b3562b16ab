//! `jackfield tokens` and `token`

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::install::dial;
use crate::client::show::{ago, objects, table, text, texts};
use crate::client::{ClientError, Named, Remote};
use crate::out::{Out, Style, plain};

const HELP: &str = "\
Permissions: read (see everything but secrets), operate (start, stop, configure, call), install (install, upgrade,
remove), publish (events), admin (all of it, and tokens, access, methods, audit).

Examples:
  jackfield tokens create ci --permission install,operate --expires 90d
  jackfield tokens list
  jackfield tokens revoke d2g0ln0dr90002s1vqvg";

/// Make, list and revoke the tokens of this API
#[derive(Debug, clap::Args)]
#[command(after_help = HELP, arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Make a token, which is shown once
    Create {
        /// What it is called, here and in the audit log
        name: String,
        /// What it may do; may be repeated
        #[arg(short, long = "permission", required = true, value_delimiter = ',', value_parser = ["read", "operate", "install", "publish", "admin"])]
        permissions: Vec<String>,
        /// For how long it holds: 12h, 90d [default: until it is revoked]
        #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
        expires: Option<Duration>,
        #[command(flatten)]
        remote: Remote,
    },
    /// List them
    List {
        #[command(flatten)]
        remote: Remote,
    },
    /// End one
    Revoke {
        /// Its id, as the list has it
        id: String,
        #[command(flatten)]
        remote: Remote,
    },
}

/// Give an external plugin another token
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct PluginArgs {
    #[command(subcommand)]
    what: PluginWhat,
}

#[derive(Debug, clap::Subcommand)]
enum PluginWhat {
    /// Make another token, which is shown once; the old one ends, and a connection with it
    Rotate {
        #[command(flatten)]
        plugin: Named,
        #[command(flatten)]
        remote: Remote,
    },
}

pub(crate) async fn run(args: Args, out: &Out) -> Result<(), ClientError> {
    match args.what {
        What::Create {
            name,
            permissions,
            expires,
            remote,
        } => {
            let client = remote.client()?;
            let mut body = json!({ "name": name, "permissions": permissions });
            if let Some(expires) = expires {
                body["expires_in_seconds"] = expires.as_secs().into();
            }
            let token = client.put(Method::POST, &["tokens"], &body).await?;
            out.say("shown this once:");
            out.result(&token, plain(text(&token, "token")));
        }
        What::List { remote } => {
            let answer = remote.client()?.get(&["tokens"]).await?;
            let expires = |token: &Value| match text(token, "expires_at") {
                "" => "never".to_owned(),
                at => ago(at),
            };
            let row = |token: &Value| {
                vec![
                    plain(text(token, "id")),
                    plain(text(token, "name")),
                    plain(&texts(token, "permissions").join(",")),
                    ago(text(token, "created_at")),
                    ago(text(token, "used_at")),
                    expires(token),
                ]
            };
            let rows = objects(&answer, "tokens").iter().map(row).collect();
            let header = ["ID", "NAME", "PERMISSIONS", "MADE", "LAST USED", "ENDS"];
            table(out, &answer, &header, rows, "no tokens");
        }
        What::Revoke { id, remote } => {
            let client = remote.client()?;
            let request = client.ask(Method::DELETE, &["tokens", &id]);
            client.send(request).await?;
            let object = json!({ "type": "revoked", "id": id });
            out.result(&object, format_args!("revoked {id}"));
        }
    }
    Ok(())
}

pub(crate) async fn plugin(args: PluginArgs, out: &Out) -> Result<(), ClientError> {
    let PluginWhat::Rotate { plugin, remote } = args.what;
    let client = remote.client()?;
    let id = plugin.id(&client).await?;
    let request = client.ask(Method::POST, &["plugins", &id, "token"]);
    let answer = client.send(request).await?.body;
    let url = dial(&client, text(&answer, "token"));
    let name = out.style(Style::Bold, jackfield::wire::env::RPC_URL);
    out.say(format_args!(
        "the old token has ended. Shown this once, for the environment of the program: {name}={url}"
    ));
    out.result(&answer, plain(text(&answer, "token")));
    Ok(())
}
