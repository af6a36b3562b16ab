//! `jackfield jobs`

use reqwest::Method;
use serde_json::{Value, json};

use crate::client::show::{ago, objects, table, text};
use crate::client::{ClientError, Problem, Remote};
use crate::out::{Out, plain};

/// List operations, or wait for one
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Show this one
    job: Option<String>,
    /// Wait for its end
    #[arg(short, long, requires = "job")]
    wait: bool,
    #[command(flatten)]
    remote: Remote,
}

pub(crate) async fn run(args: &Args, out: &Out) -> Result<(), ClientError> {
    let client = args.remote.client()?;
    let Some(id) = &args.job else {
        let answer = client.get(&["jobs"]).await?;
        let rows = objects(&answer, "jobs").iter().map(row).collect();
        let header = ["ID", "WHAT", "PLUGIN", "BEGAN", "STATE"];
        table(out, &answer, &header, rows, "no operations");
        return Ok(());
    };
    let mut job = client.get(&["jobs", id]).await?;
    while args.wait && text(&job, "state") == "running" {
        let ask = client.ask(Method::GET, &["jobs", id]);
        job = client.send(ask.query(&[("wait", "30")])).await?.body;
    }
    let answer = json!({ "jobs": [job] });
    if out.is_json() {
        out.result(&answer["jobs"][0], "");
    } else {
        let rows = objects(&answer, "jobs").iter().map(row).collect();
        table(
            out,
            &answer,
            &["ID", "WHAT", "PLUGIN", "BEGAN", "STATE"],
            rows,
            "",
        );
    }
    match answer["jobs"][0]["problem"].as_object() {
        Some(problem) if args.wait => Err(Problem::new(problem.clone(), client.base()).into()),
        _ => Ok(()),
    }
}

fn row(job: &Value) -> Vec<String> {
    let mut state = plain(text(job, "state"));
    let more = match text(job, "state") {
        "running" => text(job, "doing"),
        "failed" => text(&job["problem"], "detail"),
        _ => "",
    };
    if !more.is_empty() {
        state += &format!(": {}", plain(more.lines().next().unwrap_or_default()));
    }
    vec![
        plain(text(job, "id")),
        plain(text(job, "kind")),
        plain(text(job, "plugin")),
        ago(text(job, "started_at")),
        state,
    ]
}
