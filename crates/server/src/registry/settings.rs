//! Configurations: what fits a schema, what is kept, what a plugin is told. No I/O.

use jackfield::InstallationId;
use jackfield::Manifest;
use jackfield::wire::manifest::{ConfigurationField, FieldKind};
use serde_json::{Map, Value, json};

use crate::secret::{Key, Unsealable};

/// A configuration as the API shows it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Configuration {
    /// Everything but secrets.
    pub(crate) values: Map<String, Value>,
    /// The secret fields that are set.
    pub(crate) secrets: Vec<String>,
}

/// The one key of an object that stands for a sealed value.
const SEALED: &str = "$sealed";

/// What a plugin is told: what is stored, secrets in the clear, and the schema's defaults for what
/// is not set.
pub(crate) fn effective(
    key: &Key,
    id: InstallationId,
    manifest: &Manifest,
    stored: &Map<String, Value>,
) -> Result<Map<String, Value>, Unsealable> {
    let mut plain = unsealed(key, id, stored)?;
    fill_in(manifest, &mut plain);
    Ok(plain)
}

/// The schema's defaults for what is not set.
pub(super) fn fill_in(manifest: &Manifest, plain: &mut Map<String, Value>) {
    for field in fields(manifest) {
        if let (None, Some(default)) = (plain.get(&field.id), &field.default) {
            plain.insert(field.id.clone(), default.clone());
        }
    }
}

/// What is stored, secrets in the clear.
fn unsealed(
    key: &Key,
    id: InstallationId,
    stored: &Map<String, Value>,
) -> Result<Map<String, Value>, Unsealable> {
    let mut plain = Map::new();
    for (field, value) in stored {
        plain.insert(field.clone(), unseal(key, id, field, value)?);
    }
    Ok(plain)
}

/// One value in the clear.
fn unseal(key: &Key, id: InstallationId, field: &str, value: &Value) -> Result<Value, Unsealable> {
    match sealed(value) {
        None => Ok(value.clone()),
        Some(text) => {
            let bytes = key.unseal(&about(id, field), text)?;
            serde_json::from_slice(&bytes).map_err(|_| Unsealable)
        }
    }
}

/// What is shown.
pub(super) fn shown(manifest: &Manifest, stored: &Map<String, Value>) -> Configuration {
    let mut shown = Configuration::default();
    for (field, value) in stored {
        // A field that was secret under an earlier manifest is still sealed, one that is secret
        // from this one on is not sealed yet: neither is shown.
        if sealed(value).is_some() || is_secret(manifest, field) {
            shown.secrets.push(field.clone());
        } else {
            shown.values.insert(field.clone(), value.clone());
        }
    }
    shown
}

/// What somebody sets, merged with the secrets that stay; in the clear. A secret field that is left
/// out keeps its value, `null` takes it away.
///
/// # Errors
/// A line for each secret that would stay and was sealed with another key: forgetting it silently
/// would make it worse.
pub(super) fn merged(
    key: &Key,
    id: InstallationId,
    manifest: &Manifest,
    set: Map<String, Value>,
    stored: &Map<String, Value>,
) -> Result<Map<String, Value>, Vec<String>> {
    let (mut merged, mut lost) = (set, Vec::new());
    for field in fields(manifest).filter(|field| field.secret) {
        match (merged.get(&field.id), stored.get(&field.id)) {
            (Some(Value::Null), _) => {
                merged.remove(&field.id);
            }
            (Some(_), _) | (None, None) => {}
            (None, Some(kept)) => match unseal(key, id, &field.id, kept) {
                Ok(value) => {
                    merged.insert(field.id.clone(), value);
                }
                Err(Unsealable) => lost.push(format!(
                    "Field \"{}\" must be set again: it was sealed with another key.",
                    field.id
                )),
            },
        }
    }
    if lost.is_empty() {
        Ok(merged)
    } else {
        Err(lost)
    }
}

/// What is stored of it: secrets sealed.
pub(super) fn sealing(
    key: &Key,
    id: InstallationId,
    manifest: &Manifest,
    plain: Map<String, Value>,
) -> Map<String, Value> {
    let seal = |(field, value): (String, Value)| {
        let value = if is_secret(manifest, &field) {
            let text = key.seal(&about(id, &field), value.to_string().as_bytes());
            json!({ SEALED: text })
        } else {
            value
        };
        (field, value)
    };
    plain.into_iter().map(seal).collect()
}

/// Everything that does not fit, a line for each field. Keys that the schema does not know are
/// allowed.
pub(super) fn problems(manifest: &Manifest, plain: &Map<String, Value>) -> Vec<String> {
    let mut problems: Vec<_> = plain
        .iter()
        .filter(|(_, value)| value.get(SEALED).is_some())
        .map(|(field, _)| format!("Field \"{field}\" must not contain \"{SEALED}\"."))
        .collect();
    for field in fields(manifest) {
        let id = &field.id;
        match plain.get(id) {
            None if field.required && field.default.is_none() => {
                problems.push(format!("Field \"{id}\" is required."));
            }
            None => {}
            Some(value) => {
                if let Some(must) = mismatch(field, value) {
                    problems.push(format!("Field \"{id}\" must be {must}."));
                }
            }
        }
    }
    problems
}

/// What a value would have to be, when it is something else.
fn mismatch(field: &ConfigurationField, value: &Value) -> Option<String> {
    if !field.kind.fits(value) {
        let kind = match field.kind {
            FieldKind::String => "a string",
            FieldKind::Number => "a number",
            FieldKind::Boolean => "a boolean",
        };
        return Some(format!("{kind} value"));
    }
    if !field.choices.is_empty() && !field.choices.iter().any(|choice| same(choice, value)) {
        let choices: Vec<_> = field.choices.iter().map(Value::to_string).collect();
        return Some(format!("one of {}", choices.join(", ")));
    }
    let number = value.as_f64()?;
    if let Some(least) = field.minimum.filter(|least| number < *least) {
        return Some(format!("at least {least}"));
    }
    let most = field.maximum.filter(|most| number > *most)?;
    Some(format!("at most {most}"))
}

/// 1 and 1.0 are the same number, whichever way somebody wrote them.
fn same(one: &Value, other: &Value) -> bool {
    one == other || (one.is_number() && one.as_f64() == other.as_f64())
}

/// The fields that can be set: one without an id cannot.
fn fields(manifest: &Manifest) -> impl Iterator<Item = &ConfigurationField> {
    let schema = manifest.configuration_schema.iter();
    schema
        .flat_map(|schema| &schema.fields)
        .filter(|field| !field.id.trim().is_empty())
}

fn is_secret(manifest: &Manifest, id: &str) -> bool {
    fields(manifest).any(|field| field.secret && field.id == id)
}

fn sealed(value: &Value) -> Option<&str> {
    let object = value.as_object().filter(|object| object.len() == 1)?;
    object.get(SEALED)?.as_str()
}

fn about(id: InstallationId, field: &str) -> String {
    format!("config:{id}:{field}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let document = jackfield_testkit::manifest(json!({"configuration_schema": {"fields": [
            {"type": "string", "id": "name", "label": "", "description": "", "required": true},
            {"type": "number", "id": "size", "label": "", "description": "",
             "minimum": 1, "maximum": 9.5, "default": 3},
            {"type": "boolean", "id": "loud", "label": "", "description": ""},
            {"type": "string", "id": "mode", "label": "", "description": "", "enum": ["a", "b"]},
            {"type": "number", "id": "one", "label": "", "description": "", "enum": [1]},
            {"type": "string", "id": "key", "label": "", "description": "", "secret": true},
        ]}}));
        Manifest::check_value(&document).into_result().unwrap()
    }

    fn map(value: Value) -> Map<String, Value> {
        match value {
            Value::Object(map) => map,
            other => panic!("{other} is no object"),
        }
    }

    #[test]
    fn every_field_that_does_not_fit_is_named() {
        let problems = |value| problems(&manifest(), &map(value));
        assert_eq!(problems(json!({"name": "n"})), [""; 0]);
        assert_eq!(
            problems(json!({"name": "n", "other": {"a": 1}, "one": 1.0})),
            [""; 0]
        );
        assert_eq!(
            problems(json!({"size": 0.5, "loud": "yes", "mode": "c", "one": 2})),
            [
                "Field \"name\" is required.",
                "Field \"size\" must be at least 1.",
                "Field \"loud\" must be a boolean value.",
                "Field \"mode\" must be one of \"a\", \"b\".",
                "Field \"one\" must be one of 1.",
            ]
        );
        assert_eq!(
            problems(json!({"name": null, "size": 10, "other": {"$sealed": "x"}})),
            [
                "Field \"other\" must not contain \"$sealed\".",
                "Field \"name\" must be a string value.",
                "Field \"size\" must be at most 9.5.",
            ]
        );
    }

    #[test]
    fn a_secret_that_is_left_out_stays_and_null_takes_it_away() {
        let folder = tempfile::tempdir().unwrap();
        let key = Key::open(folder.path()).unwrap();
        let (id, manifest) = (InstallationId::new(), manifest());
        let kept = map(json!({"name": "old", "key": "hidden"}));
        let kept = sealing(&key, id, &manifest, kept);
        let merge = |value: Value| merged(&key, id, &manifest, map(value), &kept).unwrap();
        assert_eq!(merge(json!({})), map(json!({"key": "hidden"})));
        assert_eq!(merge(json!({"key": "new"})), map(json!({"key": "new"})));
        assert_eq!(
            merge(json!({"key": null, "name": "n"})),
            map(json!({"name": "n"}))
        );

        let folder = tempfile::tempdir().unwrap();
        let other = Key::open(folder.path()).unwrap();
        let merge = |value: Value| merged(&other, id, &manifest, map(value), &kept);
        let lost = "Field \"key\" must be set again: it was sealed with another key.";
        assert_eq!(merge(json!({})).unwrap_err(), [lost]);
        assert!(merge(json!({"key": "new"})).is_ok());
        assert!(merge(json!({"key": null})).is_ok());
    }

    #[test]
    fn secrets_are_sealed_and_not_shown_and_defaults_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let key = Key::open(folder.path()).unwrap();
        let (id, manifest) = (InstallationId::new(), manifest());
        let plain = map(json!({"name": "n", "key": "hidden", "own": [1]}));
        let stored = sealing(&key, id, &manifest, plain);
        assert!(!json!(stored).to_string().contains("hidden"));
        let shown = shown(&manifest, &stored);
        assert_eq!(shown.values, map(json!({"name": "n", "own": [1]})));
        assert_eq!(shown.secrets, ["key"]);
        assert_eq!(
            effective(&key, id, &manifest, &stored).unwrap(),
            map(json!({"name": "n", "key": "hidden", "own": [1], "size": 3}))
        );
        assert!(effective(&key, InstallationId::new(), &manifest, &stored).is_err());
    }
}
