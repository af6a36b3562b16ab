//! An operation that takes its time: begun, watched, over.

use indicatif::{ProgressBar, ProgressStyle};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::Value;

use super::show::text;
use super::{Client, ClientError, Problem};
use crate::out::{Out, plain};

/// What an operation is doing, for people: one line that changes on a terminal, a line for each change elsewhere.
#[derive(Debug)]
pub(crate) struct Words<'a> {
    out: &'a Out,
    line: Option<ProgressBar>,
    last: String,
}

impl<'a> Words<'a> {
    pub(crate) fn new(out: &'a Out) -> Self {
        let line = out.is_live().then(|| {
            let line = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
                line.set_style(style);
            }
            line.enable_steady_tick(std::time::Duration::from_millis(120));
            line
        });
        let last = String::new();
        Self { out, line, last }
    }

    pub(crate) fn say(&mut self, doing: &str) {
        if doing.is_empty() || doing == self.last {
            return;
        }
        doing.clone_into(&mut self.last);
        let doing = plain(doing);
        match &self.line {
            Some(line) => line.set_message(doing),
            None => self.out.say(format_args!("{doing} …")),
        }
    }
}

impl Drop for Words<'_> {
    fn drop(&mut self) {
        if let Some(line) = &self.line {
            line.finish_and_clear();
        }
    }
}

/// Asks for an operation without waiting for its answer in one long request, tells what it does, and returns when it is
/// over. When this is given up half-way the operation goes on.
pub(crate) async fn operate(
    client: &Client,
    request: RequestBuilder,
    doing: &str,
    out: &Out,
) -> Result<(), ClientError> {
    let mut words = Words::new(out);
    words.say(doing);
    let answer = client
        .send(request.header("prefer", "respond-async"))
        .await?;
    if answer.status != StatusCode::ACCEPTED {
        return Ok(());
    }
    let mut job = answer.body;
    // On a terminal words are seen to change; elsewhere nobody looks that closely.
    let wait = if out.is_live() { "1" } else { "20" };
    loop {
        match text(&job, "state") {
            "done" => return Ok(()),
            "failed" => return Err(failed(&job, client)),
            _ => {}
        }
        // Its first word says no more than ours.
        if text(&job, "doing") != "beginning" {
            words.say(text(&job, "doing"));
        }
        let ask = client.ask(Method::GET, &["jobs", text(&job, "id")]);
        job = client.send(ask.query(&[("wait", wait)])).await?.body;
    }
}

fn failed(job: &Value, client: &Client) -> ClientError {
    let body = job["problem"].as_object().cloned().unwrap_or_default();
    Problem::new(body, client.base()).into()
}
