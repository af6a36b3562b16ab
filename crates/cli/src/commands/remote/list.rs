//! `jackfield list` and `show`

use reqwest::Method;
use serde_json::{Value, json};

use crate::client::show::{age, ago, number, objects, state, state_words, table, text, texts};
use crate::client::{ClientError, Named, Remote};
use crate::commands::run::warn;
use crate::out::{Out, Style, plain, size};

/// List the plugins on the server
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only those of this mode
    #[arg(long, value_parser = ["supervised", "external"])]
    mode: Option<String>,
    /// Only those in this state: active, inactive, error, starting, connecting, restarting
    #[arg(long)]
    state: Option<String>,
    /// Descriptions, too, and since when
    #[arg(short, long)]
    wide: bool,
    #[command(flatten)]
    remote: Remote,
}

/// Show everything that is known of a plugin
#[derive(Debug, clap::Args)]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    plugin: Named,
    #[command(flatten)]
    remote: Remote,
}

pub(crate) async fn list(args: &Args, out: &Out) -> Result<(), ClientError> {
    let client = args.remote.client()?;
    let filters = [("mode", &args.mode), ("state", &args.state)];
    let filters: Vec<_> = filters
        .into_iter()
        .filter_map(|(key, value)| value.as_ref().map(|value| (key, value)))
        .collect();
    let request = client.ask(Method::GET, &["plugins"]).query(&filters);
    let answer = client.send(request).await?.body;
    let mut header = vec!["ID", "PLUGIN", "NAME", "VERSION", "MODE"];
    if args.wide {
        header.extend(["SINCE", "DESCRIPTION"]);
    }
    header.push("STATE");
    let row = |plugin: &Value| {
        let mut row = vec![
            plain(text(plugin, "id")),
            plain(text(&plugin["manifest"], "id")),
            plain(text(plugin, "name")),
            plain(text(plugin, "version")),
            plain(text(&plugin["connection"], "mode")),
        ];
        if args.wide {
            let description = plain(text(plugin, "description"));
            row.push(ago(text(&plugin["status"], "since")));
            row.push(description.chars().take(60).collect());
        }
        row.push(state_words(plugin, out));
        row
    };
    let rows = objects(&answer, "plugins").iter().map(row).collect();
    let nothing = "no plugins; `jackfield install hello.zip` installs one";
    table(out, &answer, &header, rows, nothing);
    for unreadable in objects(&answer, "unreadable") {
        let (id, why) = (text(unreadable, "id"), plain(text(unreadable, "why")));
        if !out.is_json() {
            warn(out, &format!("{id} cannot be read: {why}"));
        }
    }
    Ok(())
}

pub(crate) async fn show(args: &ShowArgs, out: &Out) -> Result<(), ClientError> {
    let client = args.remote.client()?;
    let id = args.plugin.id(&client).await?;
    let plugin = client.wide(&id).await?;
    if out.is_json() {
        out.result(&plugin, "");
        return Ok(());
    }
    let (manifest, status) = (&plugin["manifest"], &plugin["status"]);
    let name = format!(
        "{} {}",
        plain(text(&plugin, "name")),
        plain(text(&plugin, "version"))
    );
    let mut lines = vec![out.style_result(Style::Bold, name)];
    let mut line = |what: &str, value: String| {
        if !value.is_empty() {
            lines.push(format!("  {what:<14}{value}"));
        }
    };
    line("", plain(text(&plugin, "description")));
    let words = state_words(&plugin, out);
    line(
        "state",
        format!("{words}, for {}", age(text(status, "since"))),
    );
    let wanted = text(&plugin, "wanted");
    if wanted != state(&plugin) {
        line("wanted", plain(wanted));
    }
    line("id", plain(text(&plugin, "id")));
    line("plugin", plain(text(manifest, "id")));
    line("author", plain(text(manifest, "author")));
    line("mode", plain(text(&plugin["connection"], "mode")));
    let package = &plugin["package"];
    if package.is_object() {
        let (version, bytes) = (number(package, "version"), size(number(package, "size")));
        line(
            "package",
            format!(
                "version {version}, {bytes}, {}",
                plain(text(package, "digest"))
            ),
        );
    }
    if let Some(connected) = plugin["connection"]["connected"].as_bool() {
        let token = plain(text(&plugin["connection"], "token_prefix"));
        let word = if connected { "yes" } else { "no" };
        line(
            "connected",
            format!("{word}; its token begins with {token}"),
        );
    }
    if let Some(pid) = status["pid"].as_u64() {
        line("pid", pid.to_string());
    }
    if number(status, "restarts") > 0 {
        line("restarts", number(status, "restarts").to_string());
    }
    line(
        "consumes",
        plain(&texts(manifest, "events_consumed").join(", ")),
    );
    line(
        "asks for",
        plain(&texts(&manifest["access"], "permissions").join(", ")),
    );
    let (at, by) = (
        ago(text(&plugin, "added_at")),
        plain(text(&plugin, "added_by")),
    );
    line(
        "installed",
        [at, by].join(", by ").trim_end_matches(", by ").to_owned(),
    );
    line("changed", ago(text(&plugin, "updated_at")));
    out.result(&json!(null), lines.join("\n"));
    Ok(())
}
