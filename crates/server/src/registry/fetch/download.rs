//! One download: every hop is checked, and nothing is connected to that was not.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::LOCATION;
use reqwest::{Client, Response};
use tempfile::NamedTempFile;
use tokio::io::AsyncWriteExt as _;
use url::{Host, Url};

use super::FetchError;
use super::address::is_public;
use super::resolve::{Resolve, System};

/// How downloads are done.
pub(in crate::registry) struct Fetch {
    /// Bytes that a package may have.
    pub(super) limit: u64,
    /// Time that all of it may take.
    pub(super) deadline: Duration,
    /// Whether names and addresses of this machine and its networks are fine.
    pub(super) anywhere: bool,
    pub(super) public: fn(IpAddr) -> bool,
    pub(super) resolver: Arc<dyn Resolve>,
}

/// Redirections that are followed.
const HOPS: usize = 5;
const DEADLINE: Duration = Duration::from_secs(30);

impl Fetch {
    /// Packages of up to `limit` bytes, within 30 s; from `anywhere`, or from the public internet.
    pub(in crate::registry) fn new(limit: u64, anywhere: bool) -> Self {
        Self {
            limit,
            deadline: DEADLINE,
            anywhere,
            public: is_public,
            resolver: Arc::new(System),
        }
    }

    /// Downloads into this file, and gives it back.
    pub(in crate::registry) async fn download(
        &self,
        url: &str,
        file: NamedTempFile,
    ) -> Result<NamedTempFile, FetchError> {
        let bounded = tokio::time::timeout(self.deadline, self.follow(url, &file)).await;
        bounded.map_err(|_| FetchError::Timeout {
            url: shown(url),
            limit: self.deadline,
        })??;
        Ok(file)
    }

    async fn follow(&self, url: &str, file: &NamedTempFile) -> Result<(), FetchError> {
        let mut url = Url::parse(url).map_err(|error| refused(url, error.to_string()))?;
        for _ in 0..=HOPS {
            let answer = self.ask(&url).await?;
            let status = answer.status().as_u16();
            match status {
                200 => return self.keep(&url, answer, file).await,
                301 | 302 | 303 | 307 | 308 => {}
                _ => {
                    let url = shown(url.as_str());
                    return Err(FetchError::Status { url, status });
                }
            }
            let next = answer.headers().get(LOCATION);
            let next = next
                .and_then(|next| next.to_str().ok())
                .and_then(|next| url.join(next).ok())
                .ok_or_else(|| refused(url.as_str(), "it redirects to nowhere"))?;
            if url.scheme() == "https" && next.scheme() != "https" {
                return Err(refused(next.as_str(), "an https address redirects to it"));
            }
            url = next;
        }
        Err(refused(
            url.as_str(),
            format!("more than {HOPS} redirections lead to it"),
        ))
    }

    /// Asks this address, and no other: a redirection is an answer.
    async fn ask(&self, url: &Url) -> Result<Response, FetchError> {
        let mut client = Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("jackfield/", env!("CARGO_PKG_VERSION")));
        if let Some((host, addresses)) = self.check(url).await? {
            // What was checked is what is connected to: the name is not looked up again.
            client = client.resolve_to_addrs(&host, &addresses);
        }
        let failed = |source: reqwest::Error| FetchError::Failed {
            url: shown(url.as_str()),
            source: source.without_url(),
        };
        let client = client.build().map_err(failed)?;
        client.get(url.clone()).send().await.map_err(failed)
    }

    /// Whether this may be asked. Of a name, the addresses that it leads to.
    async fn check(&self, url: &Url) -> Result<Option<(String, Vec<SocketAddr>)>, FetchError> {
        let refuse = |why: &str| Err(refused(url.as_str(), why));
        if !matches!(url.scheme(), "http" | "https") {
            return refuse("only http and https are downloaded from");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return refuse("an address with a user is not downloaded from");
        }
        let private = |host: &str, address: IpAddr| FetchError::Private {
            host: host.to_owned(),
            address: address.to_string(),
        };
        let allowed = |address: IpAddr| self.anywhere || (self.public)(address);
        let host = match url.host() {
            None => return refuse("it has no host"),
            Some(Host::Ipv4(address)) if !allowed(address.into()) => {
                return refuse("no public address");
            }
            Some(Host::Ipv6(address)) if !allowed(address.into()) => {
                return refuse("no public address");
            }
            Some(Host::Ipv4(_) | Host::Ipv6(_)) => return Ok(None),
            Some(Host::Domain(host)) => host,
        };
        let name = host.trim_end_matches('.');
        if !self.anywhere && (name == "localhost" || name.ends_with(".localhost")) {
            return refuse("no public address");
        }
        let port = url.port_or_known_default().unwrap_or(80);
        let unknown = |source| FetchError::Unknown {
            host: host.to_owned(),
            source,
        };
        let addresses = self.resolver.resolve(host, port).await.map_err(unknown)?;
        if addresses.is_empty() {
            return Err(unknown(std::io::ErrorKind::NotFound.into()));
        }
        // One that is not public is enough: it is the one that would be tried in the end.
        match addresses.iter().find(|address| !allowed(address.ip())) {
            Some(address) => Err(private(host, address.ip())),
            None => Ok(Some((host.to_owned(), addresses))),
        }
    }

    async fn keep(
        &self,
        url: &Url,
        mut answer: Response,
        file: &NamedTempFile,
    ) -> Result<(), FetchError> {
        let url = shown(url.as_str());
        let limit = self.limit;
        if answer.content_length().is_some_and(|length| length > limit) {
            return Err(FetchError::TooLarge { url, limit });
        }
        let mut file = tokio::fs::File::from_std(file.reopen()?);
        let mut left = limit;
        loop {
            let chunk = answer.chunk().await;
            let chunk = chunk.map_err(|source| FetchError::Failed {
                url: url.clone(),
                source: source.without_url(),
            })?;
            let Some(chunk) = chunk else { break };
            match left.checked_sub(chunk.len() as u64) {
                Some(rest) => left = rest,
                None => return Err(FetchError::TooLarge { url, limit }),
            }
            file.write_all(&chunk).await?;
        }
        Ok(file.flush().await?)
    }
}

/// An address as it may be told: without user, query and fragment.
pub(in crate::registry) fn shown(url: &str) -> String {
    match Url::parse(url) {
        Ok(mut url) => {
            // Fails for addresses that have no user.
            let _ = url.set_username("");
            let _ = url.set_password(None);
            url.set_query(None);
            url.set_fragment(None);
            url.to_string()
        }
        Err(_) => {
            let end = url.find(['?', '#']).unwrap_or(url.len());
            let start = url[..end].rfind('@').map_or(0, |at| at + 1);
            url[start..end].to_owned()
        }
    }
}

fn refused(url: &str, why: impl Into<String>) -> FetchError {
    FetchError::Refused {
        url: shown(url),
        why: why.into(),
    }
}
