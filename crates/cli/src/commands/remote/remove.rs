//! `jackfield remove`

use reqwest::Method;
use serde_json::json;

use crate::client::{ClientError, Named, Remote};
use crate::out::Out;

/// Remove a plugin, with its state and its log
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    plugin: Named,
    #[command(flatten)]
    remote: Remote,
}

pub(crate) async fn run(args: &Args, out: &Out) -> Result<(), ClientError> {
    let client = args.remote.client()?;
    let id = args.plugin.id(&client).await?;
    client
        .send(client.ask(Method::DELETE, &["plugins", &id]))
        .await?;
    let object = json!({ "type": "removed", "id": id });
    out.result(&object, format_args!("removed {id}"));
    Ok(())
}
