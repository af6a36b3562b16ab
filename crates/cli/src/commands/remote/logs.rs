//! `jackfield logs`

use std::time::Duration;

use jackfield::wire::log_record::{Level, LogRecord};
use reqwest::Method;
use tokio::time::{Instant, sleep};

use crate::client::{Client, ClientError, Item, Items, Named, Remote};
use crate::out::{Out, Style, plain};

const HELP: &str = "\
Lines go to standard output, errors in red. Whoever follows is told every line once, also when the connection breaks.

Examples:
  jackfield logs hello                       the last 200 lines
  jackfield logs hello -f                    and those that come
  jackfield logs hello --since 10m --level warn
  jackfield logs hello --since 2026-01-31T12:00:00Z --tail 100000
  jackfield logs hello --json | jq -r 'select(.level == \"error\").text'";

/// Show what a plugin wrote
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    #[command(flatten)]
    plugin: Named,
    /// Go on with the lines that come, until Ctrl-C
    #[arg(short, long)]
    follow: bool,
    /// The last lines only [default: 200, or all with --since]
    #[arg(long, value_name = "LINES")]
    tail: Option<u64>,
    /// Lines since this time (RFC 3339) or for this long (10m)
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Lines of at least this level: trace, debug, info, warn, error
    #[arg(long, value_parser = ["trace", "debug", "info", "warn", "error"])]
    level: Option<String>,
    /// Show when each line was written, too
    #[arg(short, long)]
    time: bool,
    #[command(flatten)]
    remote: Remote,
}

/// For how long a connection that broke is made again.
const OUTLAST: Duration = Duration::from_secs(60);

/// A stream has no end of its own: the server says every 15 s that it is still there, and drains at some time.
const STREAM: Duration = Duration::from_secs(30 * 24 * 3600);

pub(crate) async fn run(args: &Args, out: &Out) -> Result<(), ClientError> {
    let client = args.remote.client()?;
    let id = args.plugin.id(&client).await?;
    let mut last: Option<String> = None;
    // Since when nothing was answered.
    let mut away: Option<Instant> = None;
    loop {
        match part(args, &client, &id, &mut last, &mut away, out).await {
            Ok(()) => return Ok(()),
            Err(error) if args.follow && passes(&error) => {
                let since = *away.get_or_insert_with(Instant::now);
                if since.elapsed() > OUTLAST {
                    return Err(error);
                }
                if since.elapsed() < Duration::from_millis(100) {
                    out.say(format_args!("{error}; trying again …"));
                }
                sleep(Duration::from_secs(1)).await;
            }
            Err(error) => return Err(error),
        }
    }
}

/// What another attempt may mend.
fn passes(error: &ClientError) -> bool {
    match error {
        ClientError::Unreachable { .. } | ClientError::Silent { .. } => true,
        ClientError::Problem(problem) => problem.status() == 503,
        _ => false,
    }
}

/// One connection, until its end.
async fn part(
    args: &Args,
    client: &Client,
    id: &str,
    last: &mut Option<String>,
    away: &mut Option<Instant>,
    out: &Out,
) -> Result<(), ClientError> {
    let mut query = vec![
        ("format", "json".to_owned()),
        ("follow", args.follow.to_string()),
    ];
    let default = (args.since.is_none()).then_some(200);
    let tail = args.tail.or(default).filter(|_| last.is_none());
    query.extend(tail.map(|lines| ("tail", lines.to_string())));
    query.extend(args.since.clone().map(|since| ("since", since)));
    query.extend(args.level.clone().map(|level| ("level", level)));
    let mut request = client
        .ask(Method::GET, &["plugins", id, "logs"])
        .query(&query)
        .timeout(STREAM);
    if let Some(last) = &*last {
        request = request.header("last-event-id", last);
    }
    let response = client.open(request).await?;
    *away = None;
    let mut items = Items::new(response.bytes_stream());
    while let Some(item) = items.next().await {
        let item = item.map_err(|error| client.unreachable(error))?;
        if item.event == "end" {
            if args.follow {
                out.say("the log ends here: the plugin was removed, or the server stops");
            }
            return Ok(());
        }
        line(&item, args.time, out);
        last.clone_from(&item.id);
        if out.is_broken() {
            return Ok(());
        }
    }
    Ok(())
}

fn line(item: &Item, time: bool, out: &Out) {
    let Ok(record) = serde_json::from_str::<LogRecord>(&item.data) else {
        // What is no record is shown as it is.
        return out.result(&item.data.clone().into(), plain(&item.data));
    };
    if out.is_json() {
        return out.result(&serde_json::json!(record), "");
    }
    let style = match record.level {
        Level::Error => Style::Bad,
        Level::Warn => Style::Odd,
        Level::Info => Style::Plain,
        Level::Debug | Level::Trace => Style::Dim,
    };
    let mut text = out.style_result(style, plain(&record.text));
    if !record.fields.is_empty() {
        let fields = plain(&serde_json::json!(record.fields).to_string());
        text = format!("{text} {}", out.style_result(Style::Dim, fields));
    }
    if time {
        let at = humantime::format_rfc3339_millis(record.time);
        text = format!("{} {text}", out.style_result(Style::Dim, at));
    }
    out.result(&serde_json::Value::Null, text);
}
