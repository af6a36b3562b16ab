//! Downloads from addresses that somebody typed: only what is public is asked.

use std::time::Duration;

/// Why a package was not downloaded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    /// The URL itself will not do: scheme, user, no host, a private or special address.
    #[error("{url}: {why}")]
    Refused {
        /// Without query.
        url: String,
        /// Why.
        why: String,
    },
    /// The name leads to an address that is not public.
    #[error("{host} leads to {address}, which is no public address")]
    Private { host: String, address: String },
    /// It answered, and not with a package.
    #[error("{url} answered {status}")]
    Status { url: String, status: u16 },
    /// More bytes than a package may have.
    #[error("{url} has more than {limit} bytes")]
    TooLarge { url: String, limit: u64 },
    /// It took longer than that, all in all.
    #[error("{url} took longer than {0:?}", limit)]
    Timeout { url: String, limit: Duration },
    /// It cannot be reached, or broke off.
    #[error("cannot download {url}")]
    Failed { url: String, source: reqwest::Error },
    /// It cannot be written here.
    #[error("cannot keep what is downloaded")]
    Io(#[from] std::io::Error),
}
