use std::fmt;

use serde_json::Value;
use thiserror::Error;

use super::events::STORYDEN_EVENTS;
use super::model::{Manifest, Transport};
use super::walk::{Object, Walk};
use super::{access, capabilities, configuration, document, hint};

/// The largest document that is read: 1 MiB, the original's limit.
pub const MAX_MANIFEST_BYTES: usize = 1024 * 1024;

const KEYS: &[&str] = &[
    "id",
    "author",
    "name",
    "description",
    "version",
    "command",
    "args",
    "events_consumed",
    "access",
    "configuration_schema",
    "capabilities",
    "transport",
    "service",
];

/// What a manifest is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `manifest.json`.
    Json,
    /// `manifest.yaml` or `manifest.yml`; YAML 1.2's types, so that `on` and `no` are text.
    Yaml,
}

impl Format {
    /// The format of a manifest's file name, `None` for a name that a manifest cannot have.
    ///
    /// ```
    /// # use jackfield_wire::manifest::Format;
    /// assert_eq!(Format::of_file_name("manifest.yml"), Some(Format::Yaml));
    /// assert_eq!(Format::of_file_name("package.json"), None);
    /// ```
    #[must_use]
    pub fn of_file_name(name: &str) -> Option<Self> {
        match name {
            "manifest.json" => Some(Self::Json),
            "manifest.yaml" | "manifest.yml" => Some(Self::Yaml),
            _ => None,
        }
    }
}

/// Something that is wrong with a manifest, or odd, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestProblem {
    /// The place in the document, such as `capabilities[0].tools[2].id`; empty for the whole of it.
    pub path: String,
    /// What is wrong there, for people.
    pub message: String,
}

impl fmt::Display for ManifestProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.path, self.message)
        }
    }
}

/// All that a check found.
#[derive(Clone, Debug, Default)]
pub struct ManifestCheck {
    /// The manifest; `Some` exactly when there are no problems.
    pub manifest: Option<Manifest>,
    /// What makes it unusable. At most 200 are listed; one more says how many there were.
    pub problems: Vec<ManifestProblem>,
    /// What is odd: unknown keys, things said twice, things left out. Bounded like the problems.
    pub warnings: Vec<ManifestProblem>,
}

impl ManifestCheck {
    /// The manifest, or all the problems. The warnings are dropped.
    ///
    /// # Errors
    /// There was a problem.
    pub fn into_result(self) -> Result<Manifest, InvalidManifest> {
        self.manifest.ok_or(InvalidManifest {
            problems: self.problems,
        })
    }
}

/// A manifest with problems; the text has a line for each.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the manifest is not valid:{}", lines(.problems))]
pub struct InvalidManifest {
    /// Never empty.
    pub problems: Vec<ManifestProblem>,
}

fn lines(problems: &[ManifestProblem]) -> String {
    problems.iter().fold(String::new(), |mut text, problem| {
        text.push_str("\n  ");
        text.push_str(&problem.to_string());
        text
    })
}

impl Manifest {
    /// Checks a document and reports everything that is wrong with it.
    ///
    /// Bounded: documents over [`MAX_MANIFEST_BYTES`] or nested deeper than 64 levels are a problem,
    /// and so is YAML whose aliases grow beyond what such a document can hold.
    #[must_use]
    pub fn check(bytes: &[u8], format: Format) -> ManifestCheck {
        Self::check_for(bytes, format, Use::Any)
    }

    /// [`Manifest::check`] of the manifest of a package, which must have a command: a plugin that
    /// dials in needs none.
    #[must_use]
    pub fn check_packaged(bytes: &[u8], format: Format) -> ManifestCheck {
        Self::check_for(bytes, format, Use::Packaged)
    }

    fn check_for(bytes: &[u8], format: Format, meant: Use) -> ManifestCheck {
        let mut walk = Walk::default();
        let document = document::read(bytes, format, &mut walk);
        let manifest = document.and_then(|document| check_root(&document, meant, &mut walk));
        walk.finish(manifest)
    }

    /// [`Manifest::check`] of a JSON document.
    #[must_use]
    pub fn check_json(bytes: &[u8]) -> ManifestCheck {
        Self::check(bytes, Format::Json)
    }

    /// [`Manifest::check`] of a YAML document.
    #[must_use]
    pub fn check_yaml(bytes: &[u8]) -> ManifestCheck {
        Self::check(bytes, Format::Yaml)
    }

    /// Checks a document that was read already; keys that were written twice can no longer be seen.
    #[must_use]
    pub fn check_value(document: &Value) -> ManifestCheck {
        let mut walk = Walk::default();
        let manifest = check_root(document, Use::Any, &mut walk);
        walk.finish(manifest)
    }

    /// The manifest in a document.
    ///
    /// # Errors
    /// All the problems of the document.
    pub fn parse(bytes: &[u8], format: Format) -> Result<Self, InvalidManifest> {
        Self::check(bytes, format).into_result()
    }

    /// The manifest as indented JSON with a line end, as it is put into a package.
    #[must_use]
    pub fn to_json(&self) -> String {
        let json = serde_json::to_string_pretty(self);
        json.expect("strings, numbers and plain maps always serialize") + "\n"
    }
}

/// What a manifest is checked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Any,
    Packaged,
}

fn check_root(document: &Value, meant: Use, walk: &mut Walk) -> Option<Manifest> {
    let root = walk.object(document, "", KEYS)?;
    let id = walk.required_text(&root, "id");
    let author = walk.required_text(&root, "author");
    for (key, value) in [("id", &id), ("author", &author)] {
        if value.as_deref().is_some_and(|value| !is_slug(value)) {
            walk.problem(
                root.at(key),
                "takes letters, digits and hyphens, and neither begins nor ends with a hyphen",
            );
        }
    }
    let name = walk.required_text(&root, "name");
    match name.as_deref().map(|name| name.chars().count()) {
        Some(0) => walk.problem(root.at("name"), "is empty"),
        Some(101..) => walk.problem(root.at("name"), "has more than 100 characters"),
        _ => {}
    }
    let description = walk.wanted_text(&root, "description");
    let version = walk.wanted_text(&root, "version");
    let command = walk.text(&root, "command");
    if meant == Use::Packaged && command.as_deref().is_none_or(|it| it.trim().is_empty()) {
        let message = "is missing; a package needs the command that starts the plugin";
        walk.problem(root.at("command"), message);
    }
    let args = walk.texts(&root, "args");
    let nul = |text: &String| text.contains('\0');
    if command.as_ref().is_some_and(nul) {
        walk.problem(root.at("command"), "has a NUL character");
    }
    if let Some(index) = args.iter().position(nul) {
        walk.problem(format!("args[{index}]"), "has a NUL character");
    }
    let events_consumed = events(&root, walk);
    let access = access::check(&root, walk);
    let configuration_schema = configuration::check(&root, walk);
    let capabilities = capabilities::check(&root, walk);
    let transport = transport(&root, walk);
    let service = service(&root, transport, walk);
    Some(Manifest {
        id: id?,
        author: author?,
        name: name?,
        description,
        version,
        command,
        args,
        events_consumed,
        access,
        configuration_schema,
        capabilities,
        transport,
        service,
        extra: root.unknown(KEYS),
    })
}

fn events(root: &Object<'_>, walk: &mut Walk) -> Vec<String> {
    let mut events: Vec<String> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for (index, event) in walk.texts(root, "events_consumed").into_iter().enumerate() {
        let path = || format!("events_consumed[{index}]");
        if event.is_empty() {
            walk.problem(path(), "is empty");
        } else if !seen.insert(event.clone()) {
            walk.warn(
                path(),
                format!("`{event}` stands here twice and counts once"),
            );
        } else {
            if !STORYDEN_EVENTS.contains(&event.as_str())
                && let Some(meant) = hint::nearest(&event, &STORYDEN_EVENTS)
            {
                walk.warn(path(), format!("`{event}`: did you mean `{meant}`?"));
            }
            events.push(event);
        }
    }
    events
}

fn transport(root: &Object<'_>, walk: &mut Walk) -> Transport {
    match walk.text(root, "transport").as_deref() {
        None | Some("websocket") => Transport::WebSocket,
        Some("grpc") => Transport::Grpc,
        Some(_) => {
            walk.problem(root.at("transport"), "must be `websocket` or `grpc`");
            Transport::default()
        }
    }
}

fn service(root: &Object<'_>, transport: Transport, walk: &mut Walk) -> Option<String> {
    let service = walk.text(root, "service")?;
    if !is_service(&service) {
        walk.problem(
            root.at("service"),
            "must be the full name of a gRPC service, such as `kv.v1.KvService`",
        );
    } else if transport != Transport::Grpc {
        walk.warn(root.at("service"), "counts only with `transport: grpc`");
    }
    Some(service)
}

/// The full name of a service: identifiers with dots between them.
fn is_service(name: &str) -> bool {
    name.split('.').all(|part| {
        part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}

/// The alphabet of a manifest's `id` and `author`.
fn is_slug(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || c == '-';
    text.chars().all(inner)
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric())
}
