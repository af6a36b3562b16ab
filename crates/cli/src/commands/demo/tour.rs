//! The demo from its first step to its last, and what it takes on its command line.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use jackfield::{Ended, Failure, Policy, ReportedState};
use jackfield_package::{Limits, OpenError, PackError, PackOptions, Package, pack};
use serde_json::json;
use tokio::time::Instant;

use super::steps::Steps;
use super::story;
use crate::commands::new::{self, NewError};
use crate::out::{Out, count, size};
use crate::place::Place;
use crate::progress;
use crate::setup::{Setup, SetupError, Temporary};
use crate::signals::Signals;
use crate::templates::Language;

const HELP: &str = "\
Writes a plugin in Python (or Node), packs, checks and runs it, calls it, kills it, waits until it
is back by itself, stops it and looks whether anything is left; then the same with one in Rust.
Works in a temporary folder. Exit code 0 when all of it held.";

/// Show it all: a plugin written, packed, run, called, killed, back by itself, stopped
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// The first plugin's language [default: python where there is python3, otherwise node]
    #[arg(long, value_parser = parse_lang)]
    lang: Option<Language>,
}

fn parse_lang(text: &str) -> Result<Language, &'static str> {
    match text {
        "python" => Ok(Language::Python),
        "node" => Ok(Language::Node),
        _ => Err("python or node is expected; the second plugin is in Rust"),
    }
}

/// What did not hold.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DemoError {
    #[error("neither python3 nor node is here, and the demo's plugin is written in one of them")]
    NoLanguage,
    #[error("cannot work in a temporary folder")]
    Folder(#[source] io::Error),
    #[error(transparent)]
    New(#[from] NewError),
    #[error(transparent)]
    Pack(#[from] PackError),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Setup(#[from] SetupError),
    #[error("the plugin failed: {0}")]
    Failed(Box<Failure>),
    #[error(transparent)]
    Ended(#[from] Ended),
    #[error("{what} took longer than {within:?}")]
    TooLong {
        what: &'static str,
        within: Duration,
    },
    #[error("the plugin has no process")]
    NoProcess,
    #[error("the call failed")]
    Call(#[from] jackfield::CallError),
    #[error("the plugin answered {0}, which is not what was asked for")]
    Answer(serde_json::Value),
    #[error("cannot kill process {pid}")]
    Kill { pid: u32, source: io::Error },
    #[error("the plugin was stopped and says that it is {0}")]
    NotStopped(ReportedState),
    #[error("still running: {}", .0.iter().map(u32::to_string).collect::<Vec<_>>().join(", "))]
    Left(Vec<u32>),
    #[error("interrupted")]
    Interrupted,
}

pub(crate) async fn run(args: Args, temporary: &Temporary, out: &Out) -> Result<(), DemoError> {
    let mut signals = Signals::listen().map_err(SetupError::Signals)?;
    let folder = temporary.folder()?;
    tokio::select! {
        done = demo(&args, &folder, temporary, out) => done,
        () = signals.next() => Err(DemoError::Interrupted),
    }
}

async fn demo(
    args: &Args,
    folder: &Path,
    temporary: &Temporary,
    out: &Out,
) -> Result<(), DemoError> {
    let steps = Steps::new(out);
    let began = Instant::now();
    let language = match args.lang {
        Some(language) => language,
        None => progress::blocking(out, "looking for python3 and node", language)
            .await
            .ok_or(DemoError::NoLanguage)?,
    };
    let package = write_and_pack(&steps, language, folder)?;
    let bench = Setup {
        place: Place::Here,
        data: Some(folder.join("data")),
        listen: None,
        policy: Policy::default(),
        config: serde_json::Map::new(),
    };
    let bench = bench.build(temporary).await?;
    story::tell(&steps, &bench, package, &folder.join("data")).await?;
    bench.host.shutdown(Duration::from_secs(5)).await;

    let package = rust_package(&folder.join("rust"))?;
    let bench = Setup {
        place: Place::Here,
        data: Some(folder.join("rust-data")),
        listen: None,
        policy: Policy {
            delay: Duration::from_millis(100),
            ..Policy::default()
        },
        config: serde_json::Map::new(),
    };
    let bench = bench.build(temporary).await?;
    let began_rust = Instant::now();
    story::tell(
        &Steps::silent(out),
        &bench,
        package,
        &folder.join("rust-data"),
    )
    .await?;
    bench.host.shutdown(Duration::from_secs(5)).await;
    steps.told(
        "in Rust",
        format_args!(
            "the same with a plugin in Rust: run, called, killed, back, stopped, gone, in {:.1?}",
            began_rust.elapsed()
        ),
        "jackfield new hello --lang rust",
    );

    let took = began.elapsed();
    let object = json!({ "type": "end", "ok": true, "took_ms": took.as_millis() as u64 });
    let mut text = format!(
        "\nEverything held, in {took:.1?}. Next, one of your own:\n  \
         jackfield new hello --lang python\n  \
         jackfield run hello --call greet '{{\"name\": \"you\"}}'"
    );
    if let Ok(program) = std::env::current_exe() {
        text += &format!("\nwhere `jackfield` is {}", program.display());
    }
    out.result(&object, text);
    Ok(())
}

/// A language of which the programs are here.
fn language() -> Option<Language> {
    let works = |program: &str, arguments: [&str; 2]| {
        let mut command = Command::new(program);
        command.args(arguments);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let python = "import sys; sys.exit(sys.version_info < (3, 10))";
    if works("python3", ["-c", python]) {
        return Some(Language::Python);
    }
    let node = "process.exit(parseInt(process.versions.node) < 18)";
    works("node", ["-e", node]).then_some(Language::Node)
}

fn write_and_pack(
    steps: &Steps<'_>,
    language: Language,
    folder: &Path,
) -> Result<Package, DemoError> {
    let (source, archive) = (folder.join("hello"), folder.join("hello.zip"));
    let name = language.name();
    let files = new::plugin(&source, language)?;
    let see = format!("jackfield new hello --lang {}", name.to_lowercase());
    steps.told(
        "written",
        format_args!("a plugin in {name}: {}", files.join(", ")),
        &see,
    );

    let packed = pack(&source, &PackOptions::default())?;
    fs::write(&archive, &packed.bytes).map_err(DemoError::Folder)?;
    let (files, bytes) = (
        count(packed.files.len(), "file"),
        size(packed.bytes.len() as u64),
    );
    steps.told(
        "packed",
        format_args!("hello.zip: {files}, {bytes}"),
        "jackfield pack hello",
    );

    let package = Package::open(&archive, &Limits::default())?;
    let digest = package.digest().to_string();
    let digest = digest.get(..12).unwrap_or_default();
    steps.told(
        "checked",
        format_args!("every rule of packages and manifests holds; digest {digest}…"),
        "jackfield check hello.zip",
    );
    Ok(package)
}

/// A package whose command is this program, which has the template's plugin in Rust in it.
fn rust_package(folder: &Path) -> Result<Package, DemoError> {
    fs::create_dir_all(folder).map_err(DemoError::Folder)?;
    let program = std::env::current_exe().map_err(DemoError::Folder)?;
    let manifest = json!({
        "id": "hello-rust", "author": "jackfield", "name": "Hello in Rust",
        "description": "The demo's plugin in Rust.", "version": "0.1.0",
        "command": program, "args": ["demo-plugin"],
    });
    let path = folder.join("manifest.json");
    fs::write(path, manifest.to_string()).map_err(DemoError::Folder)?;
    Ok(Package::from_folder(folder, &PackOptions::default())?)
}
