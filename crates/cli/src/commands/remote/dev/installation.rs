//! The plugin's external installation on the server: found or made, and told of the manifest as it is.

use std::path::Path;

use jackfield::Manifest;
use reqwest::Method;
use serde_json::{Value, json};

use super::run::{DevError, say};
use super::wire::line;
use crate::client::show::{objects, text};
use crate::client::{Client, ClientError};
use crate::command_error::CommandError;
use crate::commands::run::warn;
use crate::out::{Out, plain};
use crate::source;

/// The external installation of the plugin, with its manifest as it is now and a token of ours.
pub(super) async fn prepare(
    client: &Client,
    manifest: &Manifest,
    out: &Out,
) -> Result<(String, String), CommandError> {
    let plugins = client.get(&["plugins"]).await?;
    let external = |plugin: &&Value| {
        text(&plugin["connection"], "mode") == "external"
            && text(&plugin["manifest"], "id") == manifest.id
    };
    let found: Vec<_> = objects(&plugins, "plugins")
        .iter()
        .filter(external)
        .collect();
    let ids = || found.iter().map(|plugin| text(plugin, "id").to_owned());
    let made = match found.as_slice() {
        [] => {
            let body = json!({ "mode": "external", "manifest": manifest });
            client.put(Method::POST, &["plugins"], &body).await?
        }
        [one] => {
            let id = text(one, "id");
            let path = ["plugins", id, "manifest"];
            client.put(Method::PATCH, &path, &json!(manifest)).await?;
            let request = client.ask(Method::POST, &["plugins", id, "token"]);
            let token = client.send(request).await?.body["token"].clone();
            json!({ "id": id, "connection": { "token": token } })
        }
        _ => return Err(DevError::Several(manifest.id.clone(), ids().collect()).into()),
    };
    let id = text(&made, "id").to_owned();
    let token = text(&made["connection"], "token").to_owned();
    let object = json!({ "type": "installed", "id": id, "new": found.is_empty() });
    let how = if found.is_empty() {
        "is installed"
    } else {
        "is known there, and has another token"
    };
    let base = client.base().as_str().trim_end_matches('/');
    line(
        out,
        &object,
        "server",
        format_args!("{} {how} ({id} at {base})", plain(&manifest.name)),
    );
    Ok((id, token))
}

/// The manifest as it is now, where it holds and is another one; the server knows it then.
pub(super) async fn reread(
    client: &Client,
    id: &str,
    path: &Path,
    before: &Manifest,
    out: &Out,
) -> Option<Manifest> {
    let now = match source::manifest(path, out).await {
        Ok((now, _)) => now,
        Err(error) => {
            warn(out, &format!("the manifest stays as it was: {error}"));
            return None;
        }
    };
    let body = json!(now);
    if body == json!(before) {
        return None;
    }
    let told: Result<_, ClientError> = client
        .put(Method::PATCH, &["plugins", id, "manifest"], &body)
        .await;
    match told {
        Ok(_) => {
            say(
                out,
                "manifest",
                "the server knows the manifest as it is now",
            );
            Some(now)
        }
        Err(error) => {
            warn(
                out,
                &format!(
                    "the server does not take the manifest: {}",
                    plain(&error.to_string())
                ),
            );
            None
        }
    }
}
