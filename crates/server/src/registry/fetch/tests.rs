//! Against a real little server, with a resolver that knows more names than there are.

use std::collections::HashMap;
use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tempfile::NamedTempFile;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::address::is_public;
use super::resolve::Resolve;
use super::{Fetch, FetchError, shown};

/// Answers each path with what is written here, bytes for bytes, and closes. What is not here is
/// never answered.
struct Site {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    _task: JoinSet<()>,
}

impl Site {
    async fn open(pages: &[(&str, &str)]) -> Self {
        let pages: HashMap<String, String> = pages
            .iter()
            .map(|(path, answer)| ((*path).to_owned(), (*answer).to_owned()))
            .collect();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut open = Vec::new();
            while let Ok((mut socket, _)) = listener.accept().await {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    match socket.read_u8().await {
                        Ok(byte) => head.push(byte),
                        Err(_) => break,
                    }
                }
                let head = String::from_utf8(head).unwrap();
                let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
                let answer = pages.get(&path).cloned();
                log.lock().unwrap().push(path);
                match answer {
                    Some(answer) => {
                        let _ = socket.write_all(answer.as_bytes()).await;
                    }
                    None => open.push(socket),
                }
            }
        });
        Self {
            address,
            asked,
            _task: task,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// By a name that only our resolver knows.
    fn named(&self, path: &str) -> String {
        format!("http://packages.example:{}{path}", self.address.port())
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// Says the next of these each time it is asked, and the last for ever.
struct Names {
    answers: Vec<Vec<IpAddr>>,
    asked: AtomicUsize,
}

impl Resolve for Names {
    fn resolve<'a>(
        &'a self,
        _host: &'a str,
        port: u16,
    ) -> BoxFuture<'a, std::io::Result<Vec<SocketAddr>>> {
        let turn = self.asked.fetch_add(1, Ordering::SeqCst);
        let answer = &self.answers[turn.min(self.answers.len() - 1)];
        let addresses = answer.iter().map(|ip| (*ip, port).into()).collect();
        Box::pin(async { Ok(addresses) })
    }
}

fn names(answers: &[&[&str]]) -> Arc<Names> {
    let parsed = answers.iter().map(|turn| {
        let turn = turn.iter().map(|address| address.parse().unwrap());
        turn.collect()
    });
    Arc::new(Names {
        answers: parsed.collect(),
        asked: AtomicUsize::new(0),
    })
}

/// 127.0.0.1, where the tests' server is, passes for public; the rest of the rules hold.
fn fetch(names: &Arc<Names>) -> Fetch {
    let mut fetch = Fetch::new(1000, false);
    fetch.public = |address| address == IpAddr::from(Ipv4Addr::LOCALHOST) || is_public(address);
    fetch.resolver = Arc::clone(names) as Arc<dyn Resolve>;
    fetch
}

async fn download(fetch: &Fetch, url: &str) -> Result<String, FetchError> {
    let file = NamedTempFile::new().unwrap();
    let mut file = fetch.download(url, file).await?;
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    Ok(text)
}

const PAGE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\nconnection: close\r\n\r\nzip";

fn redirect(to: &str) -> String {
    format!(
        "HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    )
}

const GONE: &str = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
const EMPTY: &str = "HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";
const ASTRAY: &str = "HTTP/1.1 302 Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

#[tokio::test]
async fn what_lies_there_is_downloaded_and_redirections_are_followed() {
    let names = names(&[&["127.0.0.1"]]);
    let site = Site::open(&[("/a.zip", PAGE), ("/old?k=v", &redirect("/a.zip"))]).await;
    let fetch = fetch(&names);
    let found = download(&fetch, &site.url("/a.zip")).await;
    assert_eq!(found.unwrap(), "zip");
    let found = download(&fetch, &site.named("/old?k=v")).await;
    assert_eq!(found.unwrap(), "zip");
    assert_eq!(site.asked(), ["/a.zip", "/old?k=v", "/a.zip"]);
    assert_eq!(names.asked.load(Ordering::SeqCst), 2, "once for each hop");
}

#[tokio::test]
async fn other_answers_are_no_packages() {
    let names = names(&[&["127.0.0.1"]]);
    let loops = redirect("/loop");
    let pages = [
        ("/gone", GONE),
        ("/empty", EMPTY),
        ("/loop", &loops),
        ("/astray", ASTRAY),
    ];
    let site = Site::open(&pages).await;
    let fetch = fetch(&names);
    for (path, expected) in [("/gone", 404), ("/empty", 204)] {
        match download(&fetch, &site.url(path)).await {
            Err(FetchError::Status { status, .. }) => assert_eq!(status, expected),
            other => panic!("{other:?}"),
        }
    }
    for path in ["/loop", "/astray"] {
        let refused = download(&fetch, &site.url(path)).await;
        assert!(
            matches!(refused, Err(FetchError::Refused { .. })),
            "{refused:?}"
        );
    }
    let asked = site.asked();
    let loops = asked.iter().filter(|path| *path == "/loop").count();
    assert_eq!(loops, 6, "the first, and five redirections");
}

#[tokio::test]
async fn a_redirection_into_a_private_network_is_not_followed() {
    let site = Site::open(&[
        ("/literal", &redirect("http://127.0.0.2/latest")),
        ("/odd", &redirect("http://0x7f.2/latest")),
        ("/mapped", &redirect("http://[::ffff:10.0.0.1]/")),
        ("/named", &redirect("http://metadata.example/")),
        ("/user", &redirect("http://me:secret@packages.example/")),
        ("/file", &redirect("file:///etc/passwd")),
        ("/local", &redirect("http://LOCALHOST:80/")),
    ])
    .await;
    let names = names(&[&["169.254.169.254"]]);
    let fetch = fetch(&names);
    for path in ["/literal", "/odd", "/mapped", "/user", "/file", "/local"] {
        let refused = download(&fetch, &site.url(path)).await;
        let Err(FetchError::Refused { url, .. }) = refused else {
            panic!("{path}: {refused:?}");
        };
        assert!(!url.contains("secret"), "{url}");
    }
    let refused = download(&fetch, &site.url("/named")).await;
    assert!(
        matches!(refused, Err(FetchError::Private { .. })),
        "{refused:?}"
    );
}

/// The second answer of the resolver would be where a check and a connect that look the name up one
/// after the other are led apart.
#[tokio::test]
async fn a_name_is_looked_up_once_and_one_private_address_is_enough() {
    let site = Site::open(&[("/a.zip", PAGE)]).await;
    let rebinding = names(&[&["127.0.0.1"], &["127.0.0.9"]]);
    let found = download(&fetch(&rebinding), &site.named("/a.zip")).await;
    assert_eq!(found.unwrap(), "zip");
    assert_eq!(rebinding.asked.load(Ordering::SeqCst), 1);

    let mixed = names(&[&["127.0.0.1", "10.0.0.1"]]);
    let refused = download(&fetch(&mixed), &site.named("/a.zip")).await;
    assert!(
        matches!(refused, Err(FetchError::Private { .. })),
        "{refused:?}"
    );
    assert_eq!(site.asked().len(), 1);
}

#[tokio::test]
async fn an_address_that_is_not_public_is_not_even_asked() {
    let fetch = Fetch::new(1000, false);
    let bad = [
        "http://127.0.0.1/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0177.0.0.1/",
        "http://127.1/",
        "http://[::1]/",
        "http://[::ffff:7f00:1]/",
        "http://[::127.0.0.1]/",
        "http://[fe80::1%25eth0]/",
        "http://[64:ff9b::7f00:1]/",
        "http://localhost/",
        "http://localhost./",
        "http://a.LocalHost/",
        "http://\u{ff11}27.0.0.1/",
        "ftp://example.org/",
        "http://u@example.org/",
        "http:///",
        "packages",
        "",
    ];
    for url in bad {
        let refused = download(&fetch, url).await;
        assert!(
            matches!(refused, Err(FetchError::Refused { .. })),
            "{url}: {refused:?}"
        );
    }
}

#[tokio::test]
async fn where_private_downloads_are_allowed_only_the_addresses_are() {
    let site = Site::open(&[("/a.zip", PAGE)]).await;
    let fetch = Fetch::new(1000, true);
    let found = download(&fetch, &site.url("/a.zip")).await;
    assert_eq!(found.unwrap(), "zip");
    let named = format!("http://localhost:{}/a.zip", site.address.port());
    assert_eq!(download(&fetch, &named).await.unwrap(), "zip");
    let refused = download(&fetch, &site.url("/a.zip").replace("//", "//u@")).await;
    assert!(
        matches!(refused, Err(FetchError::Refused { .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn what_is_too_large_or_too_slow_is_given_up() {
    let body = "x".repeat(1001);
    let told = format!("HTTP/1.1 200 OK\r\ncontent-length: 1001\r\n\r\n{body}");
    let untold = format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{body}");
    let chunked =
        format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3e9\r\n{body}\r\n0\r\n\r\n");
    let fits = format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{}", &body[1..]);
    let broken = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\nconnection: close\r\n\r\nzip";
    let pages = [
        ("/told", told.as_str()),
        ("/untold", &untold),
        ("/chunked", &chunked),
        ("/fits", &fits),
        ("/broken", broken),
    ];
    let site = Site::open(&pages).await;
    let mut fetch = Fetch::new(1000, true);
    for path in ["/told", "/untold", "/chunked"] {
        let refused = download(&fetch, &site.url(path)).await;
        assert!(
            matches!(refused, Err(FetchError::TooLarge { limit: 1000, .. })),
            "{path}: {refused:?}"
        );
    }
    assert_eq!(
        download(&fetch, &site.url("/fits")).await.unwrap().len(),
        1000
    );
    let broken = download(&fetch, &site.url("/broken")).await;
    assert!(
        matches!(broken, Err(FetchError::Failed { .. })),
        "{broken:?}"
    );
    fetch.deadline = Duration::from_millis(50);
    let slow = download(&fetch, &site.url("/never")).await;
    assert!(matches!(slow, Err(FetchError::Timeout { .. })), "{slow:?}");
}

#[test]
fn neither_user_nor_query_is_told() {
    assert_eq!(shown("https://u:p@h/a?t=1#f"), "https://h/a");
    assert_eq!(shown("no url u:p@h/a?t=1"), "h/a");
}
