//! `jackfield why`: how a plugin is, and why, in words.

use reqwest::Method;
use serde_json::{Value, json};

use crate::client::show::{age, ago, number, objects, state, state_words, text};
use crate::client::{Client, ClientError, Named, Remote};
use crate::out::{Out, Style, count, plain, size};

const HELP: &str = "\
Everything in one place: the state and since when, what is wanted, what went wrong last with its exit code and the lines
around it, restarts and the next attempt, calls that wait, events that wait or are parked, and what to do.";

/// Say in words how a plugin is, and why
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    #[command(flatten)]
    plugin: Named,
    #[command(flatten)]
    remote: Remote,
}

/// What is known of a plugin.
struct Known {
    plugin: Value,
    facts: Value,
    /// What went wrong last, and when; `null` where nothing is remembered.
    failure: Value,
    failed_at: String,
    /// The last operation on it, if that failed; `null` otherwise.
    operation: Value,
}

pub(crate) async fn run(args: &Args, out: &Out) -> Result<(), ClientError> {
    let client = args.remote.client()?;
    let id = args.plugin.id(&client).await?;
    let known = Known::ask(&client, &id).await?;
    let lines = known.lines(&client, &id).await;
    let advice = known.advice();
    if out.is_json() {
        out.result(
            &json!({
                "plugin": known.plugin, "facts": known.facts, "failure": known.failure,
                "failed_at": known.failed_at, "operation": known.operation, "last_lines": lines,
                "advice": advice,
            }),
            "",
        );
        return Ok(());
    }
    let mut told = known.told(out);
    for line in &lines {
        let bar = out.style_result(Style::Dim, "|");
        told.push(format!("  {bar} {}", plain(line)));
    }
    out.result(&Value::Null, told.join("\n"));
    for advice in advice {
        let hint = out.style(Style::Odd, "hint:");
        out.say(format_args!("{hint} {advice}"));
    }
    Ok(())
}

impl Known {
    async fn ask(client: &Client, id: &str) -> Result<Self, ClientError> {
        let plugin = client.wide(id).await?;
        let facts = client.get(&["plugins", id, "facts"]).await?;
        let failed = |transition: &&Value| transition["error"].is_object();
        let history = objects(&facts, "history");
        let last = history.iter().rev().find(failed);
        let (failure, failed_at) = match last {
            Some(last) => (last["error"].clone(), text(last, "at").to_owned()),
            None => (status_failure(&plugin), String::new()),
        };
        // One that went well since has mended it.
        let jobs = client.get(&["jobs"]).await?;
        let mut jobs = objects(&jobs, "jobs").iter();
        let last = jobs.find(|job| text(job, "plugin") == id && text(job, "state") != "running");
        let failed = last.filter(|job| text(job, "state") == "failed");
        Ok(Self {
            plugin,
            facts,
            failure,
            failed_at,
            operation: failed.cloned().unwrap_or_default(),
        })
    }

    /// The lines around what went wrong: those that the failure remembers, or the last of the log.
    async fn lines(&self, client: &Client, id: &str) -> Vec<String> {
        let failure = match &self.failure {
            Value::Null => &self.operation["problem"]["failure"],
            failure => failure,
        };
        if failure.is_null() {
            return Vec::new();
        }
        let remembered: Vec<String> = failure["details"]["last_lines"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect();
        if !remembered.is_empty() {
            return remembered;
        }
        let request = client
            .ask(Method::GET, &["plugins", id, "logs"])
            .query(&[("follow", "false"), ("tail", "10")]);
        // Whoever asks why is told the rest also where there is no log.
        let Ok(response) = client.open(request).await else {
            return Vec::new();
        };
        let mut items = crate::client::Items::new(response.bytes_stream());
        let mut lines = Vec::new();
        while let Some(Ok(item)) = items.next().await {
            if item.event != "end" {
                lines.push(item.data);
            }
        }
        lines
    }

    fn told(&self, out: &Out) -> Vec<String> {
        let (plugin, facts) = (&self.plugin, &self.facts);
        let status = &plugin["status"];
        let name = format!(
            "{} {}",
            plain(text(plugin, "name")),
            plain(text(plugin, "version"))
        );
        let name = out.style_result(Style::Bold, name);
        let words = state_words(plugin, out);
        let mut told = vec![format!("{name} is {words}")];
        if !text(status, "since").is_empty() {
            told.push(format!("  for {}", age(text(status, "since"))));
        }
        let external = text(&plugin["connection"], "mode") == "external";
        match (text(plugin, "wanted"), state(plugin)) {
            ("active", "active") | ("", _) => {}
            ("inactive", _) => told.push("  nobody wants it to run".to_owned()),
            ("active", "connecting") if external => {
                told.push("  its program has not dialed in".to_owned());
            }
            (wanted, _) => told.push(format!("  wanted: {}", plain(wanted))),
        }
        if number(status, "restarts") > 0 {
            let restarts = usize::try_from(number(status, "restarts")).unwrap_or(usize::MAX);
            let restarts = count(restarts, "restart");
            told.push(format!("  {restarts} since it was started"));
        }
        if !text(status, "next_attempt_at").is_empty() {
            let next = ago(text(status, "next_attempt_at"));
            told.push(format!("  next attempt {next}"));
        }
        let calls = &facts["open_calls"];
        let (to, from) = (number(calls, "to_plugin"), number(calls, "from_plugin"));
        if to + from > 0 {
            told.push(format!("  calls that wait: {to} to it, {from} from it"));
        }
        told.extend(events(&facts["events"]));
        if number(facts, "memory_bytes") > 0 {
            let memory = size(number(facts, "memory_bytes"));
            let processes = facts["processes"].as_u64().map_or_else(String::new, |n| {
                format!(" in {}", count(usize::try_from(n).unwrap_or(0), "process"))
            });
            told.push(format!("  {memory}{processes}"));
        }
        if !self.operation.is_null() {
            let (kind, at) = (
                text(&self.operation, "kind"),
                text(&self.operation, "ended_at"),
            );
            let detail = text(&self.operation["problem"], "detail");
            let detail = plain(detail.lines().next().unwrap_or_default());
            let kind = plain(kind);
            told.push(format!("the last {kind} failed {}: {detail}", ago(at)));
        }
        if !self.failure.is_null() {
            told.push(self.failed());
        }
        told
    }

    fn failed(&self) -> String {
        let details = &self.failure["details"];
        let mut words = format!(
            "what went wrong last: {}",
            plain(text(&self.failure, "message"))
        );
        let mut more = Vec::new();
        if let Some(code) = details["exit_code"].as_i64() {
            more.push(format!("exit code {code}"));
        }
        if let Some(signal) = details["signal"].as_i64() {
            more.push(format!("signal {signal}"));
        }
        // That it ended is said.
        if !matches!(text(details, "stage"), "" | "exit") {
            more.push(format!("at {}", plain(text(details, "stage"))));
        }
        if !self.failed_at.is_empty() {
            more.push(ago(&self.failed_at));
        }
        if !more.is_empty() {
            words += &format!(" ({})", more.join(", "));
        }
        words
    }

    fn advice(&self) -> Vec<String> {
        let (id, state) = (text(&self.plugin, "id"), state(&self.plugin));
        let mut advice = Vec::new();
        let hint = text(&self.failure["details"], "hint");
        if !hint.is_empty() {
            advice.push(plain(hint));
        }
        if number(&self.facts["events"], "parked") > 0 {
            advice.push(format!(
                "look at what it refused: jackfield events parked {id}"
            ));
        }
        let external = text(&self.plugin["connection"], "mode") == "external";
        match state {
            "error" => advice.push(format!("when it is mended: jackfield activate {id}; an earlier version: jackfield rollback {id}")),
            "inactive" if !external => advice.push(format!("start it: jackfield activate {id}")),
            "connecting" if external => advice.push(format!(
                "start its program with its token; where that is lost: jackfield token rotate {id}"
            )),
            "connecting" => advice.push("it has to dial the address in JACKFIELD_RPC_URL when it starts".to_owned()),
            _ => {}
        }
        advice
    }
}

/// Where the status itself tells what went wrong.
fn status_failure(plugin: &Value) -> Value {
    let status = &plugin["status"];
    if text(status, "message").is_empty() {
        return Value::Null;
    }
    json!({ "message": status["message"], "details": status["details"] })
}

fn events(events: &Value) -> Vec<String> {
    let mut told = Vec::new();
    let mut line = |key: &str, words: &str| {
        if number(events, key) > 0 {
            told.push(format!("  {words}: {}", number(events, key)));
        }
    };
    line("waiting", "events that wait for it");
    line("attempts", "attempts with the one it is at");
    line("parked", "events that it refused, parked");
    line("missed", "events that it missed, for it was down too long");
    told
}
