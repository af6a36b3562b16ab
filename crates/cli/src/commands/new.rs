//! `jackfield new`

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::out::{Out, Style};
use crate::templates::{Language, fill};

const HELP: &str = "\
Examples:
  jackfield new hello --lang python && jackfield run hello --call greet '{\"name\":\"you\"}'
  jackfield new hello --lang node --name \"Hello, world\" --author me
  jackfield new hello --lang rust --sdk ~/src/jackfield/crates/sdk";

/// Write a plugin that works: a method, an event, a setting
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// The folder to write; its name becomes the plugin's id
    folder: PathBuf,
    /// What the plugin is written in
    #[arg(long)]
    lang: Language,
    /// Its name for people [default: made of the folder's name]
    #[arg(long)]
    name: Option<String>,
    /// Who writes it [default: the user's name]
    #[arg(long)]
    author: Option<String>,
    /// Write into a folder that is not empty, and over files that are there
    #[arg(long)]
    force: bool,
    /// Rust: the folder of the crate jackfield-plugin, instead of its published version
    #[arg(long, value_name = "FOLDER")]
    sdk: Option<PathBuf>,
}

/// Why nothing was written, or not everything.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NewError {
    #[error("no id can be made of the folder's name {0:?}")]
    Id(String),
    #[error("{0:?} cannot be a plugin's author")]
    Author(String),
    #[error("{0:?} cannot be a plugin's name")]
    Name(String),
    #[error("the crate jackfield-plugin is not in {}", path.display())]
    Sdk { path: PathBuf, source: io::Error },
    #[error("{} is not empty", .0.display())]
    NotEmpty(PathBuf),
    #[error("{} is not a folder", .0.display())]
    NotAFolder(PathBuf),
    #[error("cannot write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
}

pub(crate) fn run(args: &Args, out: &Out) -> Result<(), NewError> {
    let files = write(args)?;
    let folder = args.folder.display();
    let object = json!({
        "type": "created", "folder": args.folder, "language": args.lang.name(), "files": files,
    });
    let text = format!(
        "{}: a plugin in {}: {}",
        out.style_result(Style::Good, &folder),
        args.lang.name(),
        files.join(", ")
    );
    out.result(&object, text);
    out.say("next:");
    if args.lang == Language::Rust {
        out.say(format_args!(
            "  cargo build --release --manifest-path {folder}/Cargo.toml"
        ));
    }
    out.say(format_args!(
        "  jackfield run {folder} --call greet '{{\"name\": \"you\"}}'"
    ));
    out.say(format_args!("  jackfield pack {folder}"));
    out.say(format_args!(
        "  jackfield install {folder} --activate   # on a server: jackfield serve"
    ));
    Ok(())
}

/// Writes a plugin; gives the names of its files.
pub(crate) fn plugin(folder: &Path, lang: Language) -> Result<Vec<&'static str>, NewError> {
    write(&Args {
        folder: folder.to_owned(),
        lang,
        name: None,
        author: Some("jackfield".to_owned()),
        force: false,
        sdk: None,
    })
}

fn write(args: &Args) -> Result<Vec<&'static str>, NewError> {
    let folder = &args.folder;
    // `.` has a name, too.
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.clone());
    let own = absolute.file_name().unwrap_or_default().to_string_lossy();
    let id = slug(&own).ok_or_else(|| NewError::Id(own.to_string()))?;
    let name = args.name.clone().unwrap_or_else(|| title(&id));
    let writable = |letter: char| !letter.is_control() && !matches!(letter, '"' | '\\' | '{' | '}');
    if name.trim().is_empty() || name.chars().count() > 100 || !name.chars().all(writable) {
        return Err(NewError::Name(name));
    }
    let author = match &args.author {
        Some(author) if slug(author).as_deref() == Some(author) => author.clone(),
        Some(author) => return Err(NewError::Author(author.clone())),
        None => user().unwrap_or_else(|| "me".to_owned()),
    };
    let sdk = sdk(args.sdk.as_deref())?;
    make_folder(folder, args.force)?;

    let lower = id.to_ascii_lowercase();
    // As it is, a name could begin with a digit, be a word of Rust, or that of a dependency.
    let crate_name = format!("plugin-{lower}");
    let words = [
        ("id", id.as_str()),
        ("name", &name),
        ("author", &author),
        ("crate", &crate_name),
        ("sdk", &sdk),
    ];
    for (name, text) in args.lang.files() {
        let path = folder.join(name);
        let failed = |source| NewError::Write {
            path: path.clone(),
            source,
        };
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(failed)?;
        }
        fs::write(&path, fill(text, &words)).map_err(failed)?;
    }
    Ok(args.lang.files().iter().map(|(name, _)| *name).collect())
}

fn make_folder(folder: &Path, force: bool) -> Result<(), NewError> {
    let failed = |source| NewError::Write {
        path: folder.to_owned(),
        source,
    };
    match fs::read_dir(folder) {
        Ok(mut entries) => match entries.next() {
            Some(_) if !force => Err(NewError::NotEmpty(folder.to_owned())),
            _ => Ok(()),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(folder).map_err(failed)
        }
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            Err(NewError::NotAFolder(folder.to_owned()))
        }
        Err(error) => Err(failed(error)),
    }
}

/// Where the template's Cargo.toml finds the SDK.
fn sdk(path: Option<&Path>) -> Result<String, NewError> {
    let Some(path) = path else {
        return Ok("\"0.1\"".to_owned());
    };
    let failed = |source| NewError::Sdk {
        path: path.to_owned(),
        source,
    };
    let path = path.canonicalize().map_err(failed)?;
    let manifest = fs::read_to_string(path.join("Cargo.toml")).map_err(failed)?;
    if !manifest.contains("name = \"jackfield-plugin\"") {
        return Err(failed(io::Error::other(
            "its Cargo.toml is of another crate",
        )));
    }
    Ok(format!("{{ path = {:?} }}", path.display().to_string()))
}

/// A text in the alphabet of ids: letters, digits, and hyphens between them.
fn slug(text: &str) -> Option<String> {
    let mut slug = String::new();
    for letter in text.chars() {
        if letter.is_ascii_alphanumeric() {
            slug.push(letter);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    let slug = slug.trim_end_matches('-');
    (!slug.is_empty()).then(|| slug.to_owned())
}

/// `my-plugin` for people: `My plugin`.
fn title(id: &str) -> String {
    let words = id.replace('-', " ");
    let mut letters = words.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    first.into_iter().chain(letters).take(100).collect()
}

fn user() -> Option<String> {
    slug(&std::env::var("USER").ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_made_of_any_name() {
        assert_eq!(slug("My first_plugin!").as_deref(), Some("My-first-plugin"));
        assert_eq!(slug("--a--").as_deref(), Some("a"));
        assert_eq!(slug("§"), None);
        assert_eq!(title("my-plugin"), "My plugin");
    }
}
