//! Requests over HTTP.

use std::time::Duration;

use super::family::{REQUEST_SECONDS, REQUESTS};

/// Counts a request that is being answered. `route` is the pattern that matched, never a path.
pub(crate) fn request(method: &http::Method, route: &str, status: u16, took: Duration) {
    let method = match method.as_str() {
        known @ ("GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS") => known,
        // Whoever invents methods is not to make rows of them.
        _ => "other",
    };
    let (method, route) = (method.to_owned(), route.to_owned());
    metrics::counter!(
        REQUESTS.name,
        "method" => method.clone(), "route" => route.clone(), "status" => status.to_string(),
    )
    .increment(1);
    metrics::histogram!(REQUEST_SECONDS.name, "method" => method, "route" => route)
        .record(took.as_secs_f64());
}
