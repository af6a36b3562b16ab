//! `jackfield install`

use std::path::PathBuf;

use jackfield_package::Digest;
use reqwest::Method;
use serde_json::{Value, json};

use crate::client::show::{result, text};
use crate::client::{Client, Load, Remote, operate};
use crate::command_error::CommandError;
use crate::commands::run::warn;
use crate::out::{Out, Style};
use crate::source;

const HELP: &str = "\
A folder is packed first, as `jackfield pack` does. An address is fetched by the server. What is installed is not
started without --activate.

Examples:
  jackfield install hello.zip --activate
  jackfield install ./hello                        the folder as it is now
  jackfield install https://example.org/hello.zip --checksum 2c26b46b…
  jackfield install --external hello/manifest.json a program that you start yourself: its token is shown once";

/// Install a plugin from a package, a folder or an address
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// A package (.zip), the folder of a plugin, or the address of a package
    #[arg(required_unless_present = "external", conflicts_with = "external")]
    package: Option<String>,
    /// Install a program that you start yourself and that dials in, from its manifest or folder
    #[arg(long, value_name = "MANIFEST", conflicts_with_all = ["activate", "checksum"])]
    external: Option<PathBuf>,
    /// Start it, and wait until it is active
    #[arg(short, long)]
    activate: bool,
    /// Grant it all permissions in the application's API that its manifest asks for
    #[arg(long)]
    grant: bool,
    /// The SHA-256 that the package has to have
    #[arg(long, value_name = "SHA256")]
    checksum: Option<Digest>,
    #[command(flatten)]
    remote: Remote,
}

pub(crate) async fn run(args: Args, out: &Out) -> Result<(), CommandError> {
    let client = args.remote.client()?;
    let request = client.ask(Method::POST, &["plugins"]);
    let request = if args.grant {
        request.query(&[("grant", "requested")])
    } else {
        request
    };
    if let Some(path) = &args.external {
        let (manifest, warnings) = source::manifest(path, out).await?;
        for warning in &warnings {
            warn(out, warning);
        }
        let body = json!({ "mode": "external", "manifest": manifest });
        let plugin = client.send(request.json(&body)).await?.body;
        external(&client, &plugin, out);
        return Ok(());
    }
    let typed = args.package.unwrap_or_default();
    let load = Load::read(&typed, args.checksum, out).await?;
    let request = load.put(request, args.checksum, out);
    let mut plugin = client.send(request).await?.body;
    if !args.activate {
        result(&plugin, "is installed", out);
        let id = text(&plugin, "id");
        out.say(format_args!("next: jackfield activate {id}"));
        return Ok(());
    }
    let id = text(&plugin, "id").to_owned();
    let request = client
        .ask(Method::PATCH, &["plugins", &id, "active"])
        .json(&json!({ "active": "active" }));
    operate(&client, request, "starting", out).await?;
    plugin = client.get(&["plugins", &id]).await?;
    result(&plugin, "is installed", out);
    Ok(())
}

/// The one place where its token is shown.
fn external(client: &Client, plugin: &Value, out: &Out) {
    let url = dial(client, text(&plugin["connection"], "token"));
    result(plugin, "is installed", out);
    let name = out.style(Style::Bold, jackfield::wire::env::RPC_URL);
    out.say(format_args!(
        "start the program with this in its environment; the token is not shown again:\n{name}={url}"
    ));
}

/// Where an external plugin dials in.
pub(super) fn dial(client: &Client, token: &str) -> String {
    let mut url = client.base().clone();
    let scheme = if url.scheme() == "https" { "wss" } else { "ws" };
    let _ = url.set_scheme(scheme);
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().push("rpc");
    }
    url.set_query(Some(&format!("token={token}")));
    url.into()
}
