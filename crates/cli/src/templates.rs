//! The plugins that `jackfield new` writes.

use clap::ValueEnum;

/// What a plugin is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Language {
    /// With the crate jackfield-plugin
    Rust,
    /// 3.10 or newer; nothing to install
    Python,
    /// 18 or newer; nothing to install
    Node,
}

/// One file of a template: its name and its text, with `{{words}}` to be filled in.
pub(crate) type File = (&'static str, &'static str);

macro_rules! files {
    ($folder:literal: $($name:literal from $file:literal),+ $(,)?) => {
        &[$(($name, include_str!(concat!("../templates/", $folder, "/", $file)))),+]
    };
}

const RUST: &[File] = files!("rust":
    "manifest.json" from "manifest.json",
    // Not by its own name: Cargo would take the template for a crate.
    "Cargo.toml" from "Cargo.toml.in",
    "src/main.rs" from "src/main.rs",
    ".gitignore" from "gitignore",
    "README.md" from "README.md",
);

const PYTHON: &[File] = files!("python":
    "manifest.json" from "manifest.json",
    "plugin.py" from "plugin.py",
    "jackfield.py" from "jackfield.py",
    "README.md" from "README.md",
);

const NODE: &[File] = files!("node":
    "manifest.json" from "manifest.json",
    "plugin.mjs" from "plugin.mjs",
    "jackfield.mjs" from "jackfield.mjs",
    "README.md" from "README.md",
);

impl Language {
    /// Its files.
    pub(crate) fn files(self) -> &'static [File] {
        match self {
            Self::Rust => RUST,
            Self::Python => PYTHON,
            Self::Node => NODE,
        }
    }

    /// Its name for people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Rust => "Rust",
            Self::Python => "Python",
            Self::Node => "Node",
        }
    }
}

/// Fills in the words.
pub(crate) fn fill(text: &str, words: &[(&str, &str)]) -> String {
    words.iter().fold(text.to_owned(), |text, (word, value)| {
        text.replace(&format!("{{{{{word}}}}}"), value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_filled_in() {
        let words = ["id", "name", "author", "crate", "sdk"].map(|word| (word, "x"));
        for language in [Language::Rust, Language::Python, Language::Node] {
            for (name, text) in language.files() {
                assert!(!fill(text, &words).contains("{{"), "{language:?} {name}");
            }
        }
        assert_eq!(
            fill("a {{id}} {{name}}", &[("id", "1"), ("name", "2")]),
            "a 1 2"
        );
    }
}
