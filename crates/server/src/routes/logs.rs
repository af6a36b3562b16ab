//! What plugins write, as server-sent events.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::Stream;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use jackfield::wire::Level;
use jackfield::{LogQuery, LogRecord, LogStream, LogsError, Mode};
use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::app::App;
use super::auth::{self, Caller};
use super::extract::{Asked, Id};
use super::operation::Operation;
use super::plugins::Flag;
use super::problem::Problem;
use crate::registry::Installed;
use crate::store::Permission;

/// Which lines.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Which {
    /// Only from then on: RFC 3339, or how long ago: `10m`, `2h 30m`.
    #[param(example = "10m")]
    since: Option<String>,
    /// Only the last so many of those that are there.
    tail: Option<u64>,
    /// Whether to wait for more at the end; `true` where it is left out.
    #[param(inline)]
    follow: Option<Flag>,
    /// Only lines of this level and more serious ones.
    #[param(inline)]
    level: Option<LevelAsked>,
    /// `json` sends whole records: time, stream, level, text and fields.
    #[param(inline)]
    format: Option<Format>,
}

/// Levels, finest first.
#[derive(Debug, Clone, Copy, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
enum LevelAsked {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

/// How a line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
enum Format {
    #[default]
    Text,
    Json,
}

/// A reader of a log, as the body of a response.
struct Events {
    log: LogStream,
    level: Level,
    format: Format,
    app: App,
    draining: CancellationToken,
    /// Whose token this is answered to, and what says that tokens were deleted.
    token: String,
    deletions: watch::Receiver<()>,
    /// When it is looked at again.
    check_at: Instant,
    /// When a sign of life is due.
    alive_at: Instant,
    ended: bool,
}

/// How long nothing is sent before a sign of life is.
const ALIVE: Duration = Duration::from_secs(15);
/// How often it is looked whether the token still counts. One that is deleted ends the stream at once.
const CHECK: Duration = Duration::from_secs(15);
/// How much is sent in one piece, about.
const PIECE: usize = 16 << 10;
const END: &str = "event: end\ndata:\n\n";
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

pub(crate) fn routes(app: &App) -> OpenApiRouter<App> {
    let read = Operation::needs(Permission::Read);
    OpenApiRouter::new().routes(read.guard(app, routes!(logs)))
}

/// What a plugin wrote, and goes on writing, as server-sent events: `id` is the number of the line,
/// `data` the line. `event: end` is the end: of the log without `follow`, of the plugin, of the
/// token, or of the server. A comment every 15 s shows that the stream is alive.
#[utoipa::path(get, path = "/plugins/{id}/logs", operation_id = "PluginGetLogs", tag = "plugins",
    params(("id" = String, Path, description = "The installation."), Which,
        ("Last-Event-ID" = Option<String>, Header, description = "Goes on behind this line.")),
    responses((status = 200, description = "The lines.", body = String, content_type = "text/event-stream")))]
async fn logs(
    State(app): State<App>,
    Id(id): Id,
    Asked(which): Asked<Which>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let installed = app.registry().get(id).await??;
    let query = query(&which, &headers)?;
    let events = Events {
        log: open(&installed, query)?,
        level: which.level.map_or(Level::Trace, Level::from),
        format: which.format.unwrap_or_default(),
        draining: app.draining().clone(),
        token: auth::bearer(&headers).unwrap_or_default().to_owned(),
        deletions: app.tokens().deletions(),
        check_at: Instant::now() + CHECK,
        app,
        alive_at: Instant::now() + ALIVE,
        ended: false,
    };
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/event-stream; charset=utf-8"),
        ),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (
            HeaderName::from_static("x-accel-buffering"),
            HeaderValue::from_static("no"),
        ),
    ];
    Ok((headers, Body::from_stream(events.stream())).into_response())
}

fn open(installed: &Installed, query: LogQuery) -> Result<LogStream, Problem> {
    if installed.record.mode == Mode::External {
        return Err(Problem::wrong(
            "external-plugin",
            LogsError::External.to_string(),
        ));
    }
    let Some(session) = &installed.session else {
        let why = installed.problem.as_deref().unwrap_or("it is not loaded");
        let detail = format!("the plugin's log cannot be read: {why}");
        return Err(Problem::conflict("not-loaded", detail));
    };
    session
        .logs(query)
        .map_err(|error| Problem::wrong("external-plugin", error.to_string()))
}

fn query(which: &Which, headers: &HeaderMap) -> Result<LogQuery, Problem> {
    let mut query = LogQuery::default();
    if let Some(since) = &which.since {
        query = query.since(time(since)?);
    }
    if let Some(tail) = which.tail {
        query = query.tail(tail);
    }
    if which.follow.is_none_or(Flag::is_yes) {
        query = query.follow();
    }
    if let Some(last) = headers.get(LAST_EVENT_ID) {
        let number = last.to_str().ok().and_then(|text| text.trim().parse().ok());
        let wrong = || Problem::wrong("invalid-header", "`Last-Event-ID` is the number of a line");
        query = query.after(number.ok_or_else(wrong)?);
    }
    Ok(query)
}

/// RFC 3339, or how long ago.
fn time(text: &str) -> Result<SystemTime, Problem> {
    if let Ok(ago) = humantime::parse_duration(text) {
        let then = SystemTime::now().checked_sub(ago);
        return Ok(then.unwrap_or(SystemTime::UNIX_EPOCH));
    }
    humantime::parse_rfc3339_weak(text)
        .or_else(|_| humantime::parse_rfc3339(text))
        .map_err(|_| {
            let detail = "`since` is a time (RFC 3339) or how long ago: `10m`";
            Problem::wrong("invalid-query", detail)
        })
}

impl Events {
    fn stream(self) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
        futures_util::stream::unfold(self, async |mut events| {
            let piece = events.next().await?;
            Some((Ok(Bytes::from(piece)), events))
        })
    }

    /// Whether the token still counts. While the database is away, what was so stays so.
    async fn may_read(&self) -> bool {
        match self.app.recognise(&self.token).await {
            Ok(known) => known.is_some_and(|known| Caller::from(known).may(Permission::Read)),
            Err(_) => true,
        }
    }

    /// The next piece of the response: as many lines as are there.
    async fn next(&mut self) -> Option<String> {
        if self.ended {
            return None;
        }
        let mut piece = String::new();
        loop {
            let event = tokio::select! {
                biased;
                () = self.draining.cancelled() => Event::End,
                Ok(()) = self.deletions.changed() => Event::Check,
                () = tokio::time::sleep_until(self.check_at) => Event::Check,
                record = self.log.next() => record.map_or(Event::End, Event::Line),
                () = std::future::ready(()), if !piece.is_empty() => Event::Send,
                () = tokio::time::sleep_until(self.alive_at) => Event::Alive,
            };
            match event {
                Event::Line(record) => {
                    if record.level >= self.level {
                        write(&mut piece, &record, self.format);
                    }
                    if piece.len() < PIECE {
                        continue;
                    }
                }
                Event::Check => {
                    self.check_at = Instant::now() + CHECK;
                    if self.may_read().await {
                        continue;
                    }
                    self.ended = true;
                    piece.push_str(END);
                }
                Event::Alive => piece.push_str(": alive\n\n"),
                Event::End => {
                    self.ended = true;
                    piece.push_str(END);
                }
                Event::Send => {}
            }
            self.alive_at = Instant::now() + ALIVE;
            return Some(piece);
        }
    }
}

enum Event {
    Line(LogRecord),
    End,
    Check,
    Alive,
    Send,
}

/// One record as an event.
fn write(piece: &mut String, record: &LogRecord, format: Format) {
    let _ = writeln!(piece, "id: {}", record.seq);
    match format {
        Format::Json => data(piece, &serde_json::to_string(record).unwrap_or_default()),
        Format::Text => data(piece, &line(record)),
    }
    piece.push('\n');
}

/// The line: of one that was JSON, its message and the other fields.
fn line(record: &LogRecord) -> String {
    if record.fields.is_empty() {
        return record.text.clone();
    }
    let mut object = serde_json::Map::new();
    object.insert("level".to_owned(), record.level.to_string().into());
    object.insert("msg".to_owned(), record.text.clone().into());
    object.extend(record.fields.clone());
    serde_json::Value::Object(object).to_string()
}

/// A text as `data:`; whatever ends lines in event streams begins another one.
fn data(piece: &mut String, text: &str) {
    let text = text.strip_suffix('\r').unwrap_or(text);
    for part in text.split(['\r', '\n']) {
        let _ = writeln!(piece, "data: {part}");
    }
}

impl From<LevelAsked> for Level {
    fn from(level: LevelAsked) -> Self {
        match level {
            LevelAsked::Trace => Self::Trace,
            LevelAsked::Debug => Self::Debug,
            LevelAsked::Info => Self::Info,
            LevelAsked::Warn => Self::Warn,
            LevelAsked::Error => Self::Error,
        }
    }
}
