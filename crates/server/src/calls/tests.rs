//! Plugins over real WebSockets call, an application answers over real HTTP.

use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jackfield::wire::methods::Configure;
use jackfield::{CallOptions, Fault, HostBuilder, InstallationId};
use jackfield_plugin::{Call, CallError, Host, Method, Plugin};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use tokio::sync::{mpsc, oneshot};

use super::{Application, TargetError, methods};
use crate::events::tests::rig::{Installed, Rig, manifest, quick, within};
use crate::secret::Key;
use crate::store::Store;

const API: &str = "https://app.example.org/";
const MINUTE: Duration = Duration::from_secs(60);

/// Any method, by its name.
struct Charge;

impl Method for Charge {
    const NAME: &'static str = "billing/charge";
    type Params = Value;
    type Output = Value;
}

/// A method that nobody maps.
struct Unknown;

impl Method for Unknown {
    const NAME: &'static str = "unknown";
    type Params = Value;
    type Output = Value;
}

struct Seen {
    headers: HeaderMap,
    body: Bytes,
}

/// An application: what it answers is in the path.
struct App {
    url: String,
    seen: mpsc::Receiver<Seen>,
}

impl App {
    async fn start(rig: &Rig) -> Self {
        let (tell, seen) = mpsc::channel(100);
        let answer = move |uri: Uri, headers: HeaderMap, body: Bytes| {
            let tell = tell.clone();
            async move {
                tell.send(Seen { headers, body }).await.unwrap();
                answer(uri.path()).await
            }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = axum::Router::new().fallback(answer);
        rig.tasks.spawn(async move {
            axum::serve(listener, router).await.unwrap();
        });
        Self { url, seen }
    }
}

async fn answer(path: &str) -> Response {
    let problem = |status: StatusCode, body: Value| {
        let kind = [("content-type", "application/problem+json")];
        (status, kind, body.to_string()).into_response()
    };
    match path {
        "/json" => axum::Json(json!({"charged": 7})).into_response(),
        "/list" => axum::Json(json!([1, 2])).into_response(),
        "/empty" => StatusCode::NO_CONTENT.into_response(),
        "/text" => "I am no JSON".into_response(),
        "/moved" => (StatusCode::FOUND, [("location", "/json")]).into_response(),
        "/large" => axum::Json(json!("x".repeat(5000))).into_response(),
        "/refused" => problem(
            StatusCode::UNPROCESSABLE_ENTITY,
            json!({"title": "No", "detail": "no money is left"}),
        ),
        "/long" => problem(StatusCode::BAD_REQUEST, json!({"detail": "ä".repeat(1000)})),
        "/broken" => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        "/slow" => std::future::pending().await,
        other => panic!("nobody asks for {other}"),
    }
}

fn table(builder: HostBuilder, store: &Store, key: &Key) -> HostBuilder {
    let application = Application::new(store.clone(), key.clone(), 4096);
    let (store, key) = (store.clone(), key.clone());
    builder.methods(|table| methods(table, store, key, application, API.to_owned()))
}

async fn rig() -> (Rig, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (Rig::with(folder.path(), quick(), table).await, folder)
}

/// Runs a plugin, and has the host as it sees it.
fn connect(rig: &Rig, installed: &Installed) -> Host {
    let plugin = Plugin::new(&installed.url);
    let host = plugin.host();
    rig.tasks.spawn(async move {
        plugin.run_until(std::future::pending()).await.unwrap();
    });
    host
}

async fn map(rig: &Rig, url: &str) -> String {
    let application = Application::new(rig.store.clone(), rig.key.clone(), 4096);
    let set = application.set(Charge::NAME, url, None, MINUTE, "test");
    set.await.unwrap().1.unwrap()
}

fn fault(error: CallError) -> Fault {
    match error {
        CallError::Refused(fault) => fault,
        other => panic!("{other:?}"),
    }
}

/// RFC 2104, from the hash alone: what is tested is not what tests.
fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut block = [0; 64];
    block[..key.len()].copy_from_slice(key);
    let pad = |with: u8| block.map(|byte| byte ^ with);
    let inner = Sha256::digest([&pad(0x36)[..], message].concat());
    Sha256::digest([&pad(0x5c)[..], &inner].concat()).to_vec()
}

#[tokio::test]
async fn a_mapped_method_reaches_the_application_signed() {
    let (rig, _folder) = rig().await;
    let mut app = App::start(&rig).await;
    let secret = map(&rig, &format!("{}/json", app.url)).await;
    let mut asking = manifest(&[]);
    asking["access"] = json!({"handle": "Till", "name": "Till", "permissions": []});
    let installed = rig.install(&asking).await;
    let host = connect(&rig, &installed);
    let answer = within(host.call::<Charge>(&json!({"cents": 5})))
        .await
        .unwrap();
    assert_eq!(answer["charged"], 7);

    let Seen { headers, body } = within(app.seen.recv()).await.unwrap();
    let header = |name: &str| headers[name].to_str().unwrap();
    let signed = format!(
        "{}.{}.{}",
        header("webhook-id"),
        header("webhook-timestamp"),
        std::str::from_utf8(&body).unwrap()
    );
    let secret = STANDARD
        .decode(secret.strip_prefix("whsec_").unwrap())
        .unwrap();
    let expected = STANDARD.encode(hmac(&secret, signed.as_bytes()));
    assert_eq!(header("webhook-signature"), format!("v1,{expected}"));
    assert_eq!(header("content-type"), "application/json");
    assert_eq!(header("jackfield-deadline-ms"), "60000");
    let id = installed.session.id().to_string();
    let body: Value = serde_json::from_slice(&body).unwrap();
    let expected = json!({
        "id": header("webhook-id"), "method": "billing/charge", "params": {"cents": 5},
        "plugin": {
            "installation_id": id, "id": "p", "name": "Plugin", "version": "1.0.0",
            "handle": format!("till-{}", &id[16..]),
        },
    });
    assert_eq!(body, expected);

    // Every call has an id of its own: applications tell repeated requests by it.
    within(host.call::<Charge>(&Value::Null)).await.unwrap();
    let again = within(app.seen.recv()).await.unwrap();
    assert_ne!(again.headers["webhook-id"], headers["webhook-id"]);
    rig.stop().await;
}

#[tokio::test]
async fn the_trace_of_a_call_goes_on_to_the_application() {
    const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let (rig, _folder) = rig().await;
    let mut app = App::start(&rig).await;
    map(&rig, &format!("{}/json", app.url)).await;
    let installed = rig.install(&manifest(&[])).await;
    let plugin = Plugin::new(&installed.url).method::<Charge, _>(async |call: Call, params| {
        let answer = call.host.call::<Charge>(&params).await;
        answer.map_err(|error| Fault::server(error.to_string()))
    });
    rig.tasks.spawn(async move {
        plugin.run_until(std::future::pending()).await.unwrap();
    });
    within(installed.session.ready()).await.unwrap();
    let options = CallOptions {
        traceparent: Some(TRACE.parse().unwrap()),
        ..CallOptions::default()
    };
    let nothing = json!({});
    let call = installed.session.call_with::<Charge>(&nothing, options);
    within(call).await.unwrap();
    let seen = within(app.seen.recv()).await.unwrap();
    let told = seen.headers["traceparent"].to_str().unwrap();
    // The same trace; the span may be another one.
    assert_eq!(told[..36], TRACE[..36]);
    rig.stop().await;
}

#[tokio::test]
async fn what_the_application_answers_is_what_the_plugin_is_told() {
    let (rig, _folder) = rig().await;
    let app = App::start(&rig).await;
    let installed = rig.install(&manifest(&[])).await;
    let host = connect(&rig, &installed);
    for (path, expected) in [
        ("/json", json!({"charged": 7, "method": "billing/charge"})),
        ("/list", json!([1, 2])),
        ("/empty", json!({"method": "billing/charge"})),
    ] {
        map(&rig, &format!("{}{path}", app.url)).await;
        let answer = within(host.call::<Charge>(&json!({}))).await.unwrap();
        assert_eq!(answer, expected, "{path}");
    }
    for (path, expected, status) in [
        ("/text", "is no JSON", None),
        ("/moved", "302", Some(302)),
        ("/large", "larger than 4096 bytes", None),
        ("/refused", "no money is left", Some(422)),
        ("/broken", "500", Some(500)),
        ("/long", "ääää", Some(400)),
    ] {
        map(&rig, &format!("{}{path}", app.url)).await;
        let error = within(host.call::<Charge>(&json!({}))).await.unwrap_err();
        let fault = fault(error);
        assert_eq!(fault.code, Fault::SERVER_ERROR, "{path}");
        assert!(fault.message.contains(expected), "{path}: {fault}");
        assert!(fault.message.len() <= 1024, "{path}");
        let told = fault.data.and_then(|data| data["status"].as_i64());
        assert_eq!(told, status, "{path}");
    }
    rig.stop().await;
}

#[tokio::test]
async fn nobody_waits_for_an_application_that_is_silent_or_not_there() {
    let (rig, _folder) = rig().await;
    let mut app = App::start(&rig).await;
    let installed = rig.install(&manifest(&[])).await;
    let host = connect(&rig, &installed);
    let application = Application::new(rig.store.clone(), rig.key.clone(), 4096);
    let short = Duration::from_millis(50);
    let slow = format!("{}/slow", app.url);
    let set = application.set(Charge::NAME, &slow, None, short, "test");
    set.await.unwrap();
    let error = within(host.call::<Charge>(&json!({}))).await.unwrap_err();
    assert!(fault(error).message.contains("within 50ms"));
    within(app.seen.recv()).await.unwrap();

    // A port that nobody has any more.
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = format!("http://{}/secret-path", free.local_addr().unwrap());
    drop(free);
    map(&rig, &gone).await;
    let error = within(host.call::<Charge>(&json!({}))).await.unwrap_err();
    let told = fault(error).message;
    assert!(
        told.contains("cannot be reached") && !told.contains("secret-path"),
        "{told}"
    );

    let error = within(host.call::<Unknown>(&json!({}))).await.unwrap_err();
    assert_eq!(fault(error).code, Fault::METHOD_NOT_FOUND);
    rig.stop().await;
}

#[tokio::test]
async fn secrets_are_made_or_taken_and_never_kept_in_the_clear() {
    let (rig, _folder) = rig().await;
    let application = Application::new(rig.store.clone(), rig.key.clone(), 4096);
    let url = "http://localhost:1/x";
    let given = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let set = application.set("m", url, Some(given), MINUTE, "somebody");
    let (target, made) = set.await.unwrap();
    assert_eq!(made, None);
    assert!(!target.secret.contains("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"));
    let kept = rig.store.target("m").await.unwrap().unwrap();
    assert_eq!(
        (kept.url.as_str(), kept.updated_by.as_str()),
        (url, "somebody")
    );
    assert_eq!(kept.timeout, MINUTE);
    let opened = rig.key.unseal("method:m", &kept.secret).unwrap();
    assert_eq!(opened, given.as_bytes());
    // What was sealed for one method is worth nothing for another.
    assert!(rig.key.unseal("method:n", &kept.secret).is_err());

    let wrong = application
        .set("m", url, Some("whsec_AA"), MINUTE, "x")
        .await;
    assert!(matches!(wrong, Err(TargetError::Secret)));
    for timeout in [Duration::ZERO, Duration::from_secs(3601)] {
        let wrong = application.set("m", url, None, timeout, "x").await;
        assert!(matches!(wrong, Err(TargetError::Timeout)));
    }
    rig.stop().await;
}

#[tokio::test]
async fn a_plugin_reads_its_configuration_even_while_it_is_configured() {
    let (rig, _folder) = rig().await;
    let mut asking = manifest(&[]);
    asking["configuration_schema"] = json!({"fields": [
        {"type": "string", "id": "greeting", "label": "", "description": "", "default": "hello"},
        {"type": "number", "id": "limit", "label": "", "description": ""},
        {"type": "string", "id": "password", "label": "", "description": "", "secret": true},
    ]});
    asking["access"] = json!({"handle": "p", "name": "P", "permissions": ["read"]});
    let installed = rig.install(&asking).await;
    let id = installed.session.id();
    let sealed = seal(&rig.key, id, "password", &json!("s3cret"));
    let mut stored = Map::new();
    stored.insert("limit".to_owned(), json!(3));
    stored.insert("password".to_owned(), sealed);
    assert!(rig.store.set_config(id, &stored).await.unwrap());

    let (tell, told) = oneshot::channel();
    let tell = std::sync::Mutex::new(Some(tell));
    let plugin = Plugin::new(&installed.url).on_configure(move |host: Host, _config: Value| {
        let tell = tell.lock().unwrap().take();
        async move {
            let all: Value = host.get_config(&[]).await?;
            let some: Value = host.get_config(&["limit", "nothing"]).await?;
            let access = host.get_access().await?;
            tell.unwrap().send((all, some, access)).unwrap();
            Ok(())
        }
    });
    rig.tasks.spawn(async move {
        plugin.run_until(std::future::pending()).await.unwrap();
    });
    within(installed.session.ready()).await.unwrap();
    let nothing = Map::new();
    let configured = installed.session.call::<Configure>(&nothing);
    assert!(within(configured).await.unwrap().ok);
    let (all, some, access) = within(told).await.unwrap();
    let expected = json!({"greeting": "hello", "limit": 3, "password": "s3cret"});
    assert_eq!(all, expected);
    assert_eq!(some, json!({"limit": 3}));
    assert_eq!(
        access.access_key,
        rig.key
            .access_token(id, rig.record(&installed).await.access_generation)
    );
    assert!(access.access_key.starts_with("sdbak_"));
    assert_eq!(access.api_base_url, API.trim_end_matches('/'));
    rig.stop().await;
}

#[tokio::test]
async fn who_asks_for_no_access_gets_none() {
    let (rig, _folder) = rig().await;
    let installed = rig.install(&manifest(&[])).await;
    let host = connect(&rig, &installed);
    let fault = fault(within(host.get_access()).await.unwrap_err());
    assert_eq!(fault.code, Fault::METHOD_NOT_FOUND);
    assert_eq!(fault.message, "manifest does not request access");
    rig.stop().await;
}

fn seal(key: &Key, id: InstallationId, field: &str, value: &Value) -> Value {
    let sealed = key.seal(
        &format!("config:{id}:{field}"),
        value.to_string().as_bytes(),
    );
    json!({ "$sealed": sealed })
}
