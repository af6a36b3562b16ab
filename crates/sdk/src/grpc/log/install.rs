//! Making it the program's log.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;

use super::layer::JsonLines;
use super::level::Level;
use super::panics;

/// Crates under the server, whose steps are not the plugin's. Hosts ask for `debug` as a matter of course.
const BENEATH: [&str; 7] = [
    "connectrpc",
    "h2",
    "hyper",
    "hyper_util",
    "mio",
    "tokio_util",
    "tower",
];

/// Logs to stderr from here on, unless the program has a subscriber of its own; panics are logged in either case.
pub(crate) fn install(scope: &str, level: Level) {
    let beneath = level.0.min(LevelFilter::WARN);
    let targets = Targets::new()
        .with_default(level.0)
        .with_targets(BENEATH.map(|target| (target, beneath)));
    let lines = JsonLines::new(scope).with_filter(targets);
    // An error says that there is one already, which is left in place.
    drop(tracing::subscriber::set_global_default(
        tracing_subscriber::registry().with(lines),
    ));
    panics::install();
}
