use std::collections::HashSet;

use serde_json::Value;

use super::model::{ConfigurationField, ConfigurationSchema, FieldKind};
use super::walk::{Object, Walk};

const KEYS: &[&str] = &["fields"];
const FIELD_KEYS: &[&str] = &[
    "type",
    "id",
    "label",
    "description",
    "default",
    "required",
    "enum",
    "minimum",
    "maximum",
    "secret",
];

pub(super) fn check(root: &Object<'_>, walk: &mut Walk) -> Option<ConfigurationSchema> {
    let key = "configuration_schema";
    let schema = walk.object(root.get(key)?, root.at(key), KEYS)?;
    let mut seen = HashSet::new();
    let mut fields = Vec::new();
    for (path, value) in walk.list(&schema, "fields") {
        let Some(field) = walk.object(value, path, FIELD_KEYS) else {
            continue;
        };
        let id = walk.wanted_text(&field, "id");
        if !id.is_empty() && !seen.insert(id.clone()) {
            walk.warn(
                field.at("id"),
                format!("`{id}` is the id of another field too"),
            );
        }
        fields.extend(check_field(&field, id, walk));
    }
    Some(ConfigurationSchema { fields })
}

fn check_field(field: &Object<'_>, id: String, walk: &mut Walk) -> Option<ConfigurationField> {
    let kind = walk.required_text(field, "type");
    let label = walk.text(field, "label").unwrap_or_default();
    let description = walk.text(field, "description").unwrap_or_default();
    let required = walk.flag(field, "required").unwrap_or(false);
    let secret = walk.flag(field, "secret").unwrap_or(false);
    let minimum = walk.number(field, "minimum");
    let maximum = walk.number(field, "maximum");
    if minimum
        .zip(maximum)
        .is_some_and(|(least, most)| least > most)
    {
        walk.problem(field.at("minimum"), "is more than `maximum`");
    }
    let kind = match kind?.as_str() {
        "string" => FieldKind::String,
        "number" => FieldKind::Number,
        "boolean" => FieldKind::Boolean,
        _ => {
            walk.problem(field.at("type"), "must be `string`, `number` or `boolean`");
            return None;
        }
    };
    if kind != FieldKind::Number && (minimum.is_some() || maximum.is_some()) {
        walk.warn(
            field.at("type"),
            "`minimum` and `maximum` bound numbers only",
        );
    }
    let mut choices: Vec<Value> = Vec::new();
    for (path, choice) in walk.list(field, "enum") {
        if fits(kind, choice, path, walk) {
            choices.push(choice.clone());
        }
    }
    let default = field
        .get("default")
        .filter(|value| fits(kind, value, field.at("default"), walk))
        .cloned();
    if let Some(default) = &default {
        let number = default.as_f64();
        let outside = |bound: Option<f64>, beyond: fn(f64, f64) -> bool| {
            number
                .zip(bound)
                .is_some_and(|(it, bound)| beyond(it, bound))
        };
        if !choices.is_empty() && !choices.contains(default) {
            walk.warn(field.at("default"), "is none of the values in `enum`");
        }
        if outside(minimum, |it, least| it < least) || outside(maximum, |it, most| it > most) {
            walk.warn(field.at("default"), "is outside of `minimum` and `maximum`");
        }
    }
    Some(ConfigurationField {
        kind,
        id,
        label,
        description,
        default,
        required,
        choices,
        minimum,
        maximum,
        secret,
    })
}

fn fits(kind: FieldKind, value: &Value, path: String, walk: &mut Walk) -> bool {
    let wanted = match kind {
        FieldKind::String => "a string",
        FieldKind::Number => "a number",
        FieldKind::Boolean => "true or false",
    };
    let fits = kind.fits(value);
    if !fits {
        walk.wrong_kind(path, wanted, value);
    }
    fits
}
