//! Bytes to a plain tree, with what a tree cannot show: keys that were written twice.

use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::options::{DuplicateKeyPolicy, NonFiniteFloatPolicy};

use super::check::{Format, MAX_MANIFEST_BYTES};
use super::walk::{Walk, push_key};

/// Levels of nesting, in both formats.
const MAX_DEPTH: usize = 64;

/// What one document of the permitted size can need, aliases replayed; a bomb needs more.
const MAX_YAML_NODES: usize = 100_000;

pub(super) fn read(bytes: &[u8], format: Format, walk: &mut Walk) -> Option<Value> {
    if bytes.len() > MAX_MANIFEST_BYTES {
        let message = format!(
            "has {} bytes; {MAX_MANIFEST_BYTES} are allowed",
            bytes.len()
        );
        walk.problem("", message);
        return None;
    }
    let text = match std::str::from_utf8(bytes) {
        // Some editors put a byte order mark in front.
        Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text),
        Err(error) => {
            walk.problem("", format!("is not UTF-8: {error}"));
            return None;
        }
    };
    let tree = Tree::default();
    let read = match format {
        Format::Json => json(text, &tree),
        Format::Yaml => yaml(text, &tree),
    };
    for path in tree.into_duplicates() {
        walk.problem(path, "this key is written twice");
    }
    match read {
        Ok(document) => Some(document),
        Err(message) => {
            walk.problem("", message);
            None
        }
    }
}

fn json(text: &str, tree: &Tree) -> Result<Value, String> {
    let explain = |error: serde_json::Error| format!("is not JSON: {error}");
    let mut from = serde_json::Deserializer::from_str(text);
    let document = tree.node(0).deserialize(&mut from).map_err(explain)?;
    from.end().map_err(explain)?;
    Ok(document)
}

fn yaml(text: &str, tree: &Tree) -> Result<Value, String> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            flow_nesting_limit: MAX_DEPTH,
            max_documents: 1,
            max_nodes: MAX_YAML_NODES,
            max_events: 4 * MAX_YAML_NODES,
            max_aliases: 1_000,
            max_anchors: 1_000,
            max_recorded_anchor_events: MAX_YAML_NODES,
            max_recorded_anchor_bytes: 4 * MAX_MANIFEST_BYTES,
            max_total_scalar_bytes: 4 * MAX_MANIFEST_BYTES,
            max_merge_keys: 1_000,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: MAX_YAML_NODES,
            max_replay_stack_depth: 16,
        },
        // The tree below sees both and says where.
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        strict_booleans: true,
        non_finite_float_policy: NonFiniteFloatPolicy::Reject,
        with_snippet: false,
    };
    let document = serde_saphyr::with_deserializer_from_str_with_options(text, options, |from| {
        tree.node(0).deserialize(from)
    });
    document.map_err(|error| format!("is not YAML: {error}"))
}

/// Notes of the keys that come twice while a tree is built.
#[derive(Debug, Default)]
struct Tree(RefCell<Notes>);

#[derive(Debug, Default)]
struct Notes {
    here: Vec<Step>,
    duplicates: Vec<String>,
}

#[derive(Debug)]
enum Step {
    Key(String),
    Index(usize),
}

impl Tree {
    fn node(&self, depth: usize) -> Node<'_> {
        Node { tree: self, depth }
    }

    fn into_duplicates(self) -> Vec<String> {
        self.0.into_inner().duplicates
    }

    fn enter(&self, step: Step) {
        self.0.borrow_mut().here.push(step);
    }

    fn leave(&self) {
        self.0.borrow_mut().here.pop();
    }

    /// Notes that the key of the last step was there before.
    fn twice(&self) {
        let mut notes = self.0.borrow_mut();
        let mut path = String::new();
        for step in &notes.here {
            match step {
                Step::Key(key) => push_key(&mut path, key),
                Step::Index(index) => path.push_str(&format!("[{index}]")),
            }
        }
        if notes.duplicates.len() < 1_000 {
            notes.duplicates.push(path);
        }
    }
}

#[derive(Clone, Copy)]
struct Node<'t> {
    tree: &'t Tree,
    depth: usize,
}

impl Node<'_> {
    fn inner<E: Error>(self) -> Result<Self, E> {
        if self.depth == MAX_DEPTH {
            return Err(E::custom(format_args!(
                "nested deeper than {MAX_DEPTH} levels"
            )));
        }
        Ok(Self {
            depth: self.depth + 1,
            ..self
        })
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    // YAML's large integers; JSON's arrive as floating numbers by themselves.
    fn visit_i128<E: Error>(self, value: i128) -> Result<Value, E> {
        self.visit_f64(value as f64)
    }

    fn visit_u128<E: Error>(self, value: u128) -> Result<Value, E> {
        self.visit_f64(value as f64)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        match Number::from_f64(value) {
            Some(number) => Ok(Value::Number(number)),
            None => Err(E::custom("a number is not finite")),
        }
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut entries = Vec::new();
        self.tree.enter(Step::Index(0));
        while let Some(entry) = from.next_element_seed(inner)? {
            entries.push(entry);
            self.tree.leave();
            self.tree.enter(Step::Index(entries.len()));
        }
        self.tree.leave();
        Ok(Value::Array(entries))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut map = Map::new();
        while let Some(key) = from.next_key::<String>()? {
            self.tree.enter(Step::Key(key.clone()));
            if map.contains_key(&key) {
                self.tree.twice();
            }
            map.insert(key, from.next_value_seed(inner)?);
            self.tree.leave();
        }
        Ok(Value::Object(map))
    }
}
