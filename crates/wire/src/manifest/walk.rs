use serde_json::{Map, Value};

use super::check::{ManifestCheck, ManifestProblem};
use super::hint;
use super::model::Manifest;

/// As many problems, and as many warnings, as are kept.
const MOST: usize = 200;

/// Collects what is wrong while a document is walked.
#[derive(Debug, Default)]
pub(super) struct Walk {
    problems: Found,
    warnings: Found,
}

#[derive(Debug, Default)]
struct Found {
    kept: Vec<ManifestProblem>,
    lost: usize,
}

/// An object of the document and its place.
#[derive(Debug)]
pub(super) struct Object<'v> {
    pub(super) map: &'v Map<String, Value>,
    path: String,
}

impl Found {
    fn push(&mut self, path: impl Into<String>, message: impl Into<String>) {
        if self.kept.len() == MOST {
            self.lost += 1;
            return;
        }
        self.kept.push(ManifestProblem {
            path: path.into(),
            message: message.into(),
        });
    }

    fn finish(mut self) -> Vec<ManifestProblem> {
        if self.lost > 0 {
            self.kept.push(ManifestProblem {
                path: String::new(),
                message: format!("and {} more", self.lost),
            });
        }
        self.kept
    }
}

impl Walk {
    pub(super) fn problem(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.problems.push(path, message);
    }

    pub(super) fn warn(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.warnings.push(path, message);
    }

    pub(super) fn finish(self, manifest: Option<Manifest>) -> ManifestCheck {
        let problems = self.problems.finish();
        ManifestCheck {
            manifest: manifest.filter(|_| problems.is_empty()),
            problems,
            warnings: self.warnings.finish(),
        }
    }

    /// The value as an object whose keys are all known; a stranger is a warning.
    pub(super) fn object<'v>(
        &mut self,
        value: &'v Value,
        path: impl Into<String>,
        known: &[&'static str],
    ) -> Option<Object<'v>> {
        let path = path.into();
        let Value::Object(map) = value else {
            self.wrong_kind(path, "an object", value);
            return None;
        };
        let object = Object { map, path };
        for key in map.keys().filter(|key| !known.contains(&key.as_str())) {
            self.unknown_key(&object, key, known);
        }
        Some(object)
    }

    fn unknown_key(&mut self, object: &Object<'_>, key: &str, known: &[&'static str]) {
        let twin = known
            .iter()
            .copied()
            .find(|known| hint::same_but_for_case(known, key));
        match (twin, hint::nearest(key, known)) {
            // Two readers of one document must not see two different plugins.
            (Some(twin), _) if object.map.contains_key(twin) => self.problem(
                object.at(key),
                format!("differs from `{twin}` by case alone, and both are there"),
            ),
            (Some(meant), _) | (None, Some(meant)) => self.warn(
                object.at(key),
                format!("unknown key: did you mean `{meant}`?"),
            ),
            (None, None) => self.warn(object.at(key), "unknown key"),
        }
    }

    /// The text under a key. Missing and `null` are `None`.
    pub(super) fn text(&mut self, of: &Object<'_>, key: &str) -> Option<String> {
        match of.get(key)? {
            Value::String(text) => Some(text.clone()),
            other => {
                self.wrong_kind(of.at(key), "a string", other);
                None
            }
        }
    }

    /// As [`text`](Self::text), and a missing one is a problem.
    pub(super) fn required_text(&mut self, of: &Object<'_>, key: &str) -> Option<String> {
        if of.get(key).is_none() {
            self.problem(of.at(key), "is missing");
        }
        self.text(of, key)
    }

    /// As [`text`](Self::text), and an empty or missing one is worth a word.
    pub(super) fn wanted_text(&mut self, of: &Object<'_>, key: &str) -> String {
        let text = self.text(of, key).unwrap_or_default();
        if text.is_empty() && of.get(key).is_none_or(Value::is_string) {
            let what = if of.get(key).is_none() {
                "missing"
            } else {
                "empty"
            };
            self.warn(of.at(key), format!("is {what}"));
        }
        text
    }

    pub(super) fn flag(&mut self, of: &Object<'_>, key: &str) -> Option<bool> {
        match of.get(key)? {
            Value::Bool(flag) => Some(*flag),
            other => {
                self.wrong_kind(of.at(key), "true or false", other);
                None
            }
        }
    }

    pub(super) fn number(&mut self, of: &Object<'_>, key: &str) -> Option<f64> {
        let value = of.get(key)?;
        if value.as_f64().is_none() {
            self.wrong_kind(of.at(key), "a number", value);
        }
        value.as_f64()
    }

    /// The entries under a key with their places. Missing and `null` are an empty list.
    pub(super) fn list<'v>(&mut self, of: &Object<'v>, key: &str) -> Vec<(String, &'v Value)> {
        let path = of.at(key);
        match of.get(key) {
            None => Vec::new(),
            Some(Value::Array(entries)) => entries
                .iter()
                .enumerate()
                .map(|(index, entry)| (format!("{path}[{index}]"), entry))
                .collect(),
            Some(other) => {
                self.wrong_kind(path, "a list", other);
                Vec::new()
            }
        }
    }

    pub(super) fn texts(&mut self, of: &Object<'_>, key: &str) -> Vec<String> {
        let mut texts = Vec::new();
        for (path, entry) in self.list(of, key) {
            match entry {
                Value::String(text) => texts.push(text.clone()),
                other => self.wrong_kind(path, "a string", other),
            }
        }
        texts
    }

    pub(super) fn wrong_kind(&mut self, path: impl Into<String>, wanted: &str, found: &Value) {
        let (found, cure) = match found {
            Value::Null => ("null", ""),
            Value::Bool(_) => ("a boolean", "; write it in quotes"),
            Value::Number(_) => ("a number", "; write it in quotes"),
            Value::String(_) => ("a string", ""),
            Value::Array(_) => ("a list", ""),
            Value::Object(_) => ("an object", ""),
        };
        let cure = if wanted == "a string" { cure } else { "" };
        self.problem(path, format!("must be {wanted}, not {found}{cure}"));
    }
}

impl<'v> Object<'v> {
    /// The value under a key; `null` counts as absent, as it does for the original.
    pub(super) fn get(&self, key: &str) -> Option<&'v Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    /// The place of a key of this object.
    pub(super) fn at(&self, key: &str) -> String {
        let mut path = self.path.clone();
        push_key(&mut path, key);
        path
    }

    /// The keys that are not known, as they were, but for those that a reader which ignores case
    /// would take for known ones.
    pub(super) fn unknown(&self, known: &[&str]) -> Map<String, Value> {
        self.map
            .iter()
            .filter(|(key, _)| {
                !known
                    .iter()
                    .any(|known| hint::same_but_for_case(known, key))
            })
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }
}

/// Appends a key to a place: `a.b`, or `a["b c"]` where it is no plain word.
pub(super) fn push_key(path: &mut String, key: &str) {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '$');
    if !key.is_empty() && key.chars().all(plain) {
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(key);
        return;
    }
    let shown: String = key.chars().take(60).collect();
    path.push_str(&format!("[{shown:?}]"));
}
