//! `jackfield audit`

use reqwest::Method;
use serde_json::Value;

use crate::client::show::{objects, table, text};
use crate::client::{ClientError, Remote};
use crate::out::{Out, plain};

/// Show who did what
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only what was done to this: the id of an installation, of a token, the name of a method
    #[arg(long)]
    target: Option<String>,
    /// Older ones than this, as `next` of an answer in JSON says
    #[arg(long, value_name = "ID")]
    before: Option<String>,
    /// How many, the newest first
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 50)]
    limit: u32,
    #[command(flatten)]
    remote: Remote,
}

pub(crate) async fn run(args: &Args, out: &Out) -> Result<(), ClientError> {
    let client = args.remote.client()?;
    let mut query = vec![("limit", args.limit.to_string())];
    query.extend(args.target.clone().map(|target| ("target", target)));
    query.extend(args.before.clone().map(|before| ("before", before)));
    let request = client.ask(Method::GET, &["audit"]).query(&query);
    let answer = client.send(request).await?.body;
    let row = |entry: &Value| {
        let done = match &entry["done"] {
            Value::Bool(false) => "failed",
            _ => "",
        };
        let detail = match &entry["detail"] {
            Value::String(text) => plain(text.lines().next().unwrap_or_default()),
            Value::Null => String::new(),
            other => plain(&other.to_string()),
        };
        vec![
            plain(text(entry, "at")),
            plain(text(entry, "actor")),
            plain(text(entry, "action")),
            plain(text(entry, "target")),
            done.to_owned(),
            detail.chars().take(100).collect(),
        ]
    };
    let rows = objects(&answer, "entries").iter().map(row).collect();
    let header = ["AT", "WHO", "WHAT", "TO", "", "DETAIL"];
    table(out, &answer, &header, rows, "nothing");
    Ok(())
}
