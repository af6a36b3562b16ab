//! A plugin with one method of every kind of call, written out by hand; what the tests of `grpc::start` drive.
//!
//! Real plugins generate their services from a `.proto`. Here the messages of the health service stand in: a request and
//! an answer of one text each.

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use connectrpc_health::wire::HealthCheckRequest as Text;
use futures_util::{StreamExt, stream};
use jackfield_plugin::grpc::connectrpc::{
    ConnectError, RequestContext, Response, Router, ServiceStream, bidi_streaming_handler_fn,
    client_streaming_handler_fn, handler_fn, streaming_handler_fn,
};
use jackfield_plugin::grpc::{Services, Start, Stopping, clap};

const LAB: &str = "lab.v1.Lab";

/// A plugin to try things with.
#[derive(clap::Args)]
#[command(version)]
struct Config {
    /// What `Word` answers.
    #[arg(long, env = "LAB_WORD", default_value = "default")]
    word: String,
    /// Something without a default.
    #[arg(long, env = "LAB_NEEDED")]
    needed: String,
    /// Opened, and read to its end, while constructing.
    #[arg(long, env = "LAB_GATE")]
    gate: Option<PathBuf>,
    /// How starting fails: `error` or `panic` while constructing, `register` or `twice` after.
    #[arg(long, env = "LAB_FAIL")]
    fail: Option<String>,
}

fn main() -> ExitCode {
    if std::env::var_os("LAB_OWN_LOG").is_some() {
        tracing_subscriber::fmt()
            .with_writer(std::io::stderr)
            .init();
    }
    let start = Start::new("lab").max_message_size(64 << 10).grace(grace());
    let stopping = start.stopping();
    start.run(
        async |config: Config| {
            if let Some(gate) = &config.gate {
                // Blocks, as constructors of a hurry do.
                std::fs::read(gate)?;
            }
            match config.fail.as_deref() {
                Some("register" | "twice") => Ok(config),
                Some("error") => Err(Box::<dyn Error + Send + Sync>::from("no luck")),
                Some(_) => panic!("no luck at all"),
                None => Ok(config),
            }
        },
        |config, services| register(&config, services, &stopping),
    )
}

fn grace() -> std::time::Duration {
    let millis = std::env::var("LAB_GRACE")
        .ok()
        .and_then(|text| text.parse().ok());
    std::time::Duration::from_millis(millis.unwrap_or(5000))
}

fn register(config: &Arc<Config>, services: Services, stopping: &Stopping) -> Services {
    let stopping = stopping.clone();
    let services = match config.fail.as_deref() {
        Some("register") => services.http("/raw", async |_| http::Response::new(String::new())),
        Some(_) => services.routes(|router| streams(router, &stopping)),
        None => services,
    };
    services
        .routes(|router| calls(router, config, &stopping))
        .routes(|router| streams(router, &stopping))
        .routes(|router| {
            router.route(
                "lab.v1.Other",
                "Ping",
                handler_fn(async |_, _: Text| ok("")),
            )
        })
        .http("/raw", async |request: http::Request<_>| {
            http::Response::new(format!("{} {}", request.method(), request.uri().path()))
        })
        .http("/busy", async |_| {
            let spun = tokio::task::spawn_blocking(busy).await;
            http::Response::new(format!("{spun:?}"))
        })
        .http("/tree/", async |request: http::Request<_>| {
            http::Response::new(request.uri().path().to_owned())
        })
        .http("/panic", async |_| -> http::Response<String> {
            panic!("raw panic")
        })
}

/// Half a second of work.
#[inline(never)]
fn busy() -> u64 {
    let until = tokio::time::Instant::now() + std::time::Duration::from_millis(500);
    let mut turns: u64 = 0;
    while tokio::time::Instant::now() < until {
        turns = std::hint::black_box((0..10_000).fold(turns, |turns, n: u64| turns ^ n) + 1);
    }
    turns
}

fn calls(router: Router, config: &Arc<Config>, stopping: &Stopping) -> Router {
    let word = config.word.clone();
    let holding = stopping.clone();
    router
        .route_idempotent(LAB, "Ping", handler_fn(async |_, _: Text| ok("")))
        .route_idempotent(
            LAB,
            "Echo",
            handler_fn(async |_, text: Text| ok(&text.service)),
        )
        .route(
            LAB,
            "Word",
            handler_fn(move |_, _: Text| {
                let word = word.clone();
                async move { ok(&word) }
            }),
        )
        .route(
            LAB,
            "Log",
            handler_fn(async |_, text: Text| {
                log(&text.service);
                ok("")
            }),
        )
        .route(
            LAB,
            "Panic",
            handler_fn(async |_, _: Text| -> Answer { panic!("unary panic") }),
        )
        // Ends once the plugin was asked to.
        .route(
            LAB,
            "Hold",
            handler_fn(move |_, _: Text| {
                let stopping = holding.clone();
                async move {
                    tracing::info!("holding");
                    stopping.requested().await;
                    ok("held")
                }
            }),
        )
        .route(
            LAB,
            "Never",
            handler_fn(async |_, _: Text| -> Answer {
                tracing::info!("holding");
                std::future::pending().await
            }),
        )
}

fn streams(router: Router, stopping: &Stopping) -> Router {
    let ticking = stopping.clone();
    router
        // One at once, one after the plugin was asked to end.
        .route_server_stream(
            LAB,
            "Tick",
            streaming_handler_fn(move |_: RequestContext, _: Text| {
                let stopping = ticking.clone();
                async move {
                    let last = stream::once(async move {
                        stopping.requested().await;
                        Ok(text("last"))
                    });
                    all(stream::iter([Ok(text("first"))]).chain(last).boxed())
                }
            }),
        )
        .route_server_stream(
            LAB,
            "PanicLater",
            streaming_handler_fn(async |_: RequestContext, _: Text| {
                let panics = stream::once(async { panic!("stream panic") });
                all(stream::iter([Ok(text("first"))]).chain(panics).boxed())
            }),
        )
        .route_client_stream(
            LAB,
            "Count",
            client_streaming_handler_fn(async |_: RequestContext, texts: ServiceStream<Text>| {
                let count = texts.count().await;
                ok(&count.to_string())
            }),
        )
        .route_bidi_stream(
            LAB,
            "Chat",
            bidi_streaming_handler_fn(async |_: RequestContext, texts: ServiceStream<Text>| {
                all(texts)
            }),
        )
}

type Answer = Result<Response<Text>, ConnectError>;

fn text(text: &str) -> Text {
    Text {
        service: text.to_owned(),
        ..Text::default()
    }
}

fn ok(answer: &str) -> Answer {
    Response::ok(text(answer))
}

fn all(texts: ServiceStream<Text>) -> Result<Response<ServiceStream<Text>>, ConnectError> {
    Response::ok(texts)
}

fn log(what: &str) {
    let span = tracing::info_span!("work", job = 7, place = "outer");
    let _entered = span.enter();
    match what {
        "error" => tracing::error!(error = "inner", count = 3, "outer: inner"),
        "source" => {
            let error = std::io::Error::other("cause");
            tracing::warn!(
                error = &error as &dyn Error,
                place = "here",
                "with <html> & \"quotes\""
            );
        }
        _ => tracing::debug!("quiet"),
    }
}
