//! Why a download failed.

use std::time::Duration;

/// Why a package was not downloaded. Addresses are told without user and query.
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
    /// The name leads nowhere.
    #[error("the address of {host} cannot be found")]
    Unknown {
        host: String,
        source: std::io::Error,
    },
    /// It answered, and not with a package.
    #[error("{url} answered {status}")]
    Status { url: String, status: u16 },
    /// More bytes than a package may have.
    #[error("{url} has more than {limit} bytes")]
    TooLarge { url: String, limit: u64 },
    /// It took longer than that, all in all.
    #[error("{url} took longer than {limit:?}")]
    Timeout { url: String, limit: Duration },
    /// It cannot be reached, or broke off.
    #[error("cannot download {url}")]
    Failed { url: String, source: reqwest::Error },
    /// It cannot be written here.
    #[error("cannot keep what is downloaded")]
    Io(#[from] std::io::Error),
}
