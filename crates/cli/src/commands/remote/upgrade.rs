//! `jackfield upgrade`, `rollback` and `versions`

use jackfield_package::Digest;
use reqwest::Method;
use serde_json::{Value, json};

use crate::client::show::{ago, number, objects, result, table, text};
use crate::client::{ClientError, Load, Named, Remote, operate};
use crate::out::{Out, plain, size};

const HELP: &str = "\
An active plugin is stopped and the new version started; it counts once it has connected and answered. If it does not,
the version before is started again and nothing has changed. Configuration, state and permissions stay.

Examples:
  jackfield upgrade hello hello.zip
  jackfield upgrade hello ./hello                  the folder as it is now
  jackfield rollback hello                         to the version before
  jackfield rollback hello --to 3                  `jackfield versions hello` lists them";

/// Put another version in a plugin's place; if it does not start, the old one is back
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    #[command(flatten)]
    plugin: Named,
    /// A package (.zip), the folder of the plugin, or the address of a package
    package: String,
    /// The SHA-256 that the package has to have
    #[arg(long, value_name = "SHA256")]
    checksum: Option<Digest>,
    #[command(flatten)]
    remote: Remote,
}

/// Go back to an earlier version
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct RollbackArgs {
    #[command(flatten)]
    plugin: Named,
    /// The version to go back to [default: the one before this one]
    #[arg(long, value_name = "NUMBER")]
    to: Option<u32>,
    #[command(flatten)]
    remote: Remote,
}

/// List the versions of a plugin that are kept
#[derive(Debug, clap::Args)]
pub(crate) struct VersionsArgs {
    #[command(flatten)]
    plugin: Named,
    #[command(flatten)]
    remote: Remote,
}

pub(crate) async fn upgrade(args: Args, out: &Out) -> Result<(), ClientError> {
    let client = args.remote.client()?;
    let id = args.plugin.id(&client).await?;
    let load = Load::read(&args.package, args.checksum, out).await?;
    let request = client.ask(Method::PATCH, &["plugins", &id, "package"]);
    let request = load.put(request, args.checksum, out);
    operate(&client, request, "sending the package", out).await?;
    let plugin = client.get(&["plugins", &id]).await?;
    result(&plugin, "is the version that counts", out);
    Ok(())
}

pub(crate) async fn rollback(args: &RollbackArgs, out: &Out) -> Result<(), ClientError> {
    let client = args.remote.client()?;
    let id = args.plugin.id(&client).await?;
    let body = args.to.map_or(json!({}), |to| json!({ "version": to }));
    let request = client
        .ask(Method::POST, &["plugins", &id, "rollback"])
        .json(&body);
    operate(&client, request, "going back", out).await?;
    let plugin = client.get(&["plugins", &id]).await?;
    result(&plugin, "is the version that counts", out);
    Ok(())
}

pub(crate) async fn versions(args: &VersionsArgs, out: &Out) -> Result<(), ClientError> {
    let client = args.remote.client()?;
    let id = args.plugin.id(&client).await?;
    let answer = client.get(&["plugins", &id, "versions"]).await?;
    let row = |version: &Value| {
        let current = version["current"] == true;
        vec![
            number(version, "number").to_string(),
            if current { "*" } else { "" }.to_owned(),
            plain(text(version, "version")),
            size(number(version, "size")),
            ago(text(version, "added_at")),
            plain(text(version, "added_by")),
            plain(text(version, "source")),
        ]
    };
    let rows = objects(&answer, "versions").iter().map(row).collect();
    let header = ["NUMBER", "", "VERSION", "SIZE", "ADDED", "BY", "FROM"];
    table(
        out,
        &answer,
        &header,
        rows,
        "an external plugin has no versions here",
    );
    Ok(())
}
