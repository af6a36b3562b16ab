//! `jackfield check`

use std::path::PathBuf;

use jackfield_package::{OpenError, PackError, Reason};
use serde_json::{Value, json};

use crate::command_error::{CommandError, source_hint};
use crate::out::{Out, Style, count, plain, size};
use crate::source::{self, Source, SourceError};

const HELP: &str = "\
A folder is checked as the package that it would make. Exit code 1 when something is wrong; what is
merely odd is a warning.

Examples:
  jackfield check hello.zip
  jackfield check hello --json | jq '.problems[].message'";

/// Say everything that is wrong with a package or folder
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// A package (.zip), or the folder of a plugin
    package: PathBuf,
}

/// It was looked at, and is wrong. Every problem was told already.
#[derive(Debug, thiserror::Error)]
#[error("{} found", count(*.0, "problem"))]
pub(crate) struct CheckFailed(usize);

pub(crate) async fn run(args: Args, out: &Out) -> Result<(), CommandError> {
    let shown = args.package.display();
    let source = match source::open(&args.package, out).await {
        Ok(source) => source,
        Err(error) => {
            let problems = problems(&error);
            // It was not even looked at.
            if problems.is_empty() {
                return Err(error.into());
            }
            let hint = source_hint(&error);
            let object = json!({
                "type": "checked", "ok": false, "package": args.package, "problems": problems,
                "warnings": [], "hints": Vec::from_iter(hint),
            });
            let refused = out.style_result(Style::Bad, "refused");
            let mut text = format!("{shown}: {refused}, {}", count(problems.len(), "problem"));
            for problem in &problems {
                let place = problem["place"].as_str().filter(|place| !place.is_empty());
                let place = place.map_or(String::new(), |place| format!("{place}: "));
                let message = problem["message"].as_str().unwrap_or_default();
                text += &format!("\n  {}{}", plain(&place), plain(message));
            }
            if let Some(hint) = hint {
                text += &format!("\n  {} {hint}", out.style_result(Style::Odd, "hint:"));
            }
            out.result(&object, text);
            return Err(CheckFailed(problems.len()).into());
        }
    };
    tell(&args, source, out);
    Ok(())
}

fn tell(args: &Args, source: Source, out: &Out) {
    let package = &source.package;
    let manifest = package.manifest();
    let mut warnings = source.warnings;
    warnings.extend(source::missing_program(manifest));
    let object = json!({
        "type": "checked", "ok": true, "package": args.package, "problems": [], "warnings": warnings,
        "plugin": manifest.id, "version": manifest.version, "files": package.files().len(),
        "bytes": package.size(), "unpacked_bytes": package.unpacked_size(),
        "digest": package.digest().to_string(),
    });
    let mut text = format!(
        "{}: {}, {} {} ({}, {} unpacked)",
        args.package.display(),
        out.style_result(Style::Good, "good"),
        manifest.name,
        manifest.version,
        count(package.files().len(), "file"),
        size(package.unpacked_size()),
    );
    for warning in &warnings {
        let head = out.style_result(Style::Odd, "warning:");
        text += &format!("\n  {head} {}", plain(warning));
    }
    out.result(&object, text);
}

/// All that is wrong, each with its place; nothing where it could not be looked at.
fn problems(error: &SourceError) -> Vec<Value> {
    let problem = |place: String, message: String| json!({ "place": place, "message": message });
    let rejected = match error {
        SourceError::Open(OpenError::Rejected(rejected))
        | SourceError::Pack(PackError::Rejected(rejected)) => rejected,
        SourceError::Pack(PackError::Manifest { path, problems }) => {
            let file = path.file_name().unwrap_or_default().to_string_lossy();
            let told = |one: &jackfield_wire::ManifestProblem| {
                let place = match one.path.as_str() {
                    "" => file.to_string(),
                    path => format!("{file}: {path}"),
                };
                problem(place, one.message.clone())
            };
            return problems.iter().map(told).collect();
        }
        SourceError::Pack(error @ (PackError::NoManifest { .. } | PackError::TooMuch { .. })) => {
            return vec![problem(String::new(), error.to_string())];
        }
        _ => return Vec::new(),
    };
    let told = |reason: &Reason| match reason {
        Reason::Manifest { file, problem: one } => {
            let place = match one.path.as_str() {
                "" => file.clone(),
                path => format!("{file}: {path}"),
            };
            problem(place, one.message.clone())
        }
        other => problem(String::new(), other.to_string()),
    };
    rejected.reasons.iter().map(told).collect()
}
