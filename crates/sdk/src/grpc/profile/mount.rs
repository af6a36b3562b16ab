//! The paths, which are those of Go's programs.

use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use pprof::{ProfilerGuard, ProfilerGuardBuilder};

use super::super::paths::{Body, Paths};
use super::super::stopping::Stopping;
use super::encode::encode;

/// Samples a second; what Go takes. It divides a second evenly.
const FREQUENCY: i32 = 100;
const SECONDS: u64 = 30;
const MOST_SECONDS: u64 = 600;
/// Code that must not be interrupted to have its stack walked: it may hold what the walk needs.
const NOT_WITHIN: [&str; 4] = ["libc", "libgcc", "pthread", "vdso"];

type Answer = Response<Full<Bytes>>;

/// Adds the paths, where the plugin has none of its own there. Only for a plugin that answers its host alone.
pub(crate) fn mount(paths: &mut Paths, stopping: &Stopping) {
    let stopping = stopping.clone();
    paths.add("/debug/pprof/profile", move |request| {
        let stopping = stopping.clone();
        async move { profile(&request, &stopping).await }
    });
    paths.add("/debug/pprof/cmdline", async |_| cmdline());
}

fn cmdline() -> Answer {
    let words: Vec<Vec<u8>> = std::env::args_os()
        .map(|word| word.as_bytes().to_vec())
        .collect();
    answer("text/plain; charset=utf-8", words.join(&0))
}

/// Waits, then tells what ran meanwhile. A plugin that is asked to end tells what it has so far.
async fn profile(request: &Request<Body>, stopping: &Stopping) -> Answer {
    let Some(seconds) = seconds(request.uri().query().unwrap_or_default()) else {
        return told(
            StatusCode::BAD_REQUEST,
            "seconds must be a number from 1 to 600\n",
        );
    };
    // Finding what not to interrupt takes a while.
    let profiler = tokio::task::spawn_blocking(|| {
        ProfilerGuardBuilder::default()
            .frequency(FREQUENCY)
            .blocklist(&NOT_WITHIN)
            .build()
    });
    let profiler = match profiler.await {
        Ok(Ok(profiler)) => profiler,
        Ok(Err(pprof::Error::Running)) => {
            return told(StatusCode::CONFLICT, "a profile is being taken already\n");
        }
        Ok(Err(error)) => return failed(&error),
        Err(error) => return failed(&error),
    };
    let began = SystemTime::now();
    tokio::select! {
        () = tokio::time::sleep(Duration::from_secs(seconds)) => {}
        () = stopping.requested() => {}
    }
    let took = began.elapsed().unwrap_or_default();
    // So does finding the names of functions.
    match tokio::task::spawn_blocking(move || packed(&profiler, began, took)).await {
        Ok(Ok(packed)) => answer("application/octet-stream", packed),
        Ok(Err(error)) => failed(&*error),
        Err(error) => failed(&error),
    }
}

fn packed(
    profiler: &ProfilerGuard<'_>,
    began: SystemTime,
    took: Duration,
) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
    let report = profiler.report().build()?;
    let period = Duration::from_secs(1) / FREQUENCY.unsigned_abs();
    let profile = encode(&report, began, took, period);
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(&profile)?;
    Ok(packed.finish()?)
}

/// `seconds=N`; 30 where it is not said.
fn seconds(query: &str) -> Option<u64> {
    let said = query
        .split('&')
        .find_map(|part| part.strip_prefix("seconds="));
    let seconds = said.map_or(Some(SECONDS), |said| said.parse().ok())?;
    (1..=MOST_SECONDS).contains(&seconds).then_some(seconds)
}

fn answer(kind: &'static str, body: Vec<u8>) -> Answer {
    let mut answer = Response::new(Full::from(body));
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}

fn told(status: StatusCode, why: &'static str) -> Answer {
    let mut answer = answer("text/plain; charset=utf-8", why.into());
    *answer.status_mut() = status;
    answer
}

fn failed(error: &dyn std::error::Error) -> Answer {
    tracing::warn!(%error, "No profile can be taken");
    told(
        StatusCode::INTERNAL_SERVER_ERROR,
        "no profile can be taken; the plugin's log says why\n",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_bounded() {
        for (query, expected) in [
            ("", Some(30)),
            ("debug=1&seconds=5", Some(5)),
            ("seconds=0", None),
            ("seconds=601", None),
            ("seconds=x", None),
        ] {
            assert_eq!(seconds(query), expected, "{query}");
        }
    }
}
