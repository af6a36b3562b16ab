//! `jackfield activate`, `deactivate` and `restart`

use reqwest::Method;
use serde_json::json;

use crate::client::show::{result, state};
use crate::client::{Client, ClientError, Named, Remote, operate};
use crate::out::Out;

/// Start a plugin, now and whenever the server starts
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    plugin: Named,
    #[command(flatten)]
    remote: Remote,
}

/// Stop a plugin, until it is activated again
#[derive(Debug, clap::Args)]
pub(crate) struct DeactivateArgs {
    #[command(flatten)]
    args: Args,
}

/// Stop a plugin and start it again
#[derive(Debug, clap::Args)]
pub(crate) struct RestartArgs {
    #[command(flatten)]
    args: Args,
}

pub(crate) async fn activate(args: &Args, out: &Out) -> Result<(), ClientError> {
    set(args, "active", "starting", out).await
}

pub(crate) async fn deactivate(args: &DeactivateArgs, out: &Out) -> Result<(), ClientError> {
    set(&args.args, "inactive", "stopping", out).await
}

async fn set(args: &Args, active: &str, doing: &str, out: &Out) -> Result<(), ClientError> {
    let client = args.remote.client()?;
    let id = args.plugin.id(&client).await?;
    let request = client
        .ask(Method::PATCH, &["plugins", &id, "active"])
        .json(&json!({ "active": active }));
    operate(&client, request, doing, out).await?;
    done(&client, &id, out).await
}

pub(crate) async fn restart(args: &RestartArgs, out: &Out) -> Result<(), ClientError> {
    let client = args.args.remote.client()?;
    let id = args.args.plugin.id(&client).await?;
    let request = client.ask(Method::POST, &["plugins", &id, "restart"]);
    operate(&client, request, "restarting", out).await?;
    done(&client, &id, out).await
}

async fn done(client: &Client, id: &str, out: &Out) -> Result<(), ClientError> {
    let plugin = client.get(&["plugins", id]).await?;
    let done = match state(&plugin) {
        "inactive" => "is stopped",
        "active" => "runs",
        _ => "was asked",
    };
    result(&plugin, done, out);
    Ok(())
}
