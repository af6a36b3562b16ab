use serde_json::{Value, json};

use super::*;

/// A small manifest with a few keys set or, with `null`, taken away.
fn with(changes: Value) -> Value {
    let mut document = json!({
        "id": "hello", "author": "ann", "name": "Hello", "description": "Says hello",
        "version": "1.0.0", "command": "./hello",
    });
    let Value::Object(changes) = changes else {
        panic!("changes are an object")
    };
    for (key, value) in changes {
        if value.is_null() {
            document.as_object_mut().unwrap().remove(&key);
        } else {
            document[key] = value;
        }
    }
    document
}

fn check(document: &Value) -> ManifestCheck {
    Manifest::check_json(document.to_string().as_bytes())
}

fn texts(found: &[ManifestProblem]) -> Vec<String> {
    found.iter().map(ToString::to_string).collect()
}

fn valid(document: &Value) -> Manifest {
    let check = check(document);
    assert_eq!(texts(&check.problems), [""; 0], "{document}");
    check.manifest.unwrap()
}

fn full() -> Value {
    json!({
        "id": "hello", "author": "ann", "name": "Hello", "description": "Says hello",
        "version": "1.0.0", "command": "./hello", "args": ["-v"],
        "events_consumed": ["EventThreadPublished", "order.paid"],
        "access": {
            "handle": "hello", "name": "Hello", "permissions": ["CREATE_POST"], "bio": "hi",
            "links": [{"text": "home", "url": "https://example.com/a%20b?q=1#top"}],
            "metadata": {"colour": ["red", 1, 1.5]},
        },
        "configuration_schema": {"fields": [
            {"type": "string", "id": "key", "label": "Key", "description": "The key",
             "required": true, "secret": true},
            {"type": "number", "id": "n", "label": "N", "description": "", "default": 0.1,
             "minimum": 0.1, "maximum": 7},
            {"type": "boolean", "id": "b", "label": "B", "description": "", "enum": [true]},
        ]},
        "capabilities": [
            {"type": "robot.llm_provider", "id": "acme-1.x", "version": "1"},
            {"type": "robot.tool_provider", "id": "acme", "version": "1", "name": "Acme",
             "tools": [
                {"id": "t1", "name": "T", "description": "t", "input_schema": {"type": "object"},
                 "output_schema": {"type": "object", "properties": {}}, "title": "TT",
                 "requires_confirmation": true, "requires_workspace": false,
                 "annotations": {"readOnlyHint": true, "openWorldHint": false}},
                {"id": "t2", "name": "T", "description": "t", "input_schema": {"type": "object"}},
             ],
             "toolsets": [{"id": "s", "name": "S", "description": "s", "tools": ["t2", "t1"],
                "instruction": "mind", "requires_workspace": true}]},
        ],
        "transport": "grpc",
        "service": "kv.v1.KvService",
        "homepage": {"any": "thing"},
    })
}

#[test]
fn a_full_manifest_is_read_and_written_back() {
    let document = full();
    let manifest = valid(&document);
    assert_eq!(manifest.transport, Transport::Grpc);
    assert_eq!(manifest.service.as_deref(), Some("kv.v1.KvService"));
    let access = manifest.access.as_ref().unwrap();
    assert_eq!(access.links[0].url, "https://example.com/a%20b?q=1#top");
    let mut written = serde_json::to_value(&manifest).unwrap();
    assert_eq!(Manifest::check_value(&written).manifest.unwrap(), manifest);
    // Our word for a URL becomes the original's, the rest is as it was.
    let go = written["access"]["links"][0]["url"].take();
    assert_eq!(
        go,
        json!({"Scheme": "https", "Host": "example.com", "Path": "/a b", "RawQuery": "q=1", "Fragment": "top"})
    );
    let mut expected = document;
    expected["access"]["links"][0]["url"].take();
    expected["configuration_schema"]["fields"][1]["maximum"] = json!(7.0);
    assert_eq!(written, expected);
}

#[test]
fn yaml_says_the_same_as_json() {
    let yaml = "
# a comment
id: hello
author: ann
name: Hello
description: >
  Says
  hello
version: '1.0'
command: ./hello
args: [-v, on, no]
configuration_schema:
  fields:
    - &field {type: number, id: a, label: A, description: d, default: 1e3}
    - <<: *field
      id: b
";
    let check = Manifest::check_yaml(yaml.as_bytes());
    assert_eq!(texts(&check.problems), [""; 0]);
    let manifest = check.manifest.unwrap();
    assert_eq!(manifest.description, "Says hello\n");
    assert_eq!(manifest.args, ["-v", "on", "no"]);
    let fields = &manifest.configuration_schema.unwrap().fields;
    assert_eq!(fields[1].id, "b");
    assert_eq!(fields[1].default, Some(json!(1000.0)));
}

#[test]
fn every_problem_is_found_at_once_with_its_place() {
    let document = json!({
        "id": "-x", "author": 7, "name": "", "command": "a\u{0}", "args": [1, "x"],
        "events_consumed": "EventThreadPublished",
        "access": {"handle": [], "links": [{"text": "x"}, {"url": 1}, 5], "permissions": [null]},
        "configuration_schema": {"fields": [
            {"id": "a"}, {"type": "text", "id": "b"}, {"type": "number", "id": "c", "default": "1"},
            {"type": "number", "id": "d", "minimum": 2, "maximum": 1, "enum": [1, "2"]},
        ]},
        "capabilities": [
            null, {"type": "robot.cook"}, {},
            {"type": "robot.llm_provider", "id": "_a", "version": ""},
            {"type": "robot.tool_provider", "id": "a-b", "version": "1", "tools": [
                {"id": "t", "name": "n", "description": "d", "input_schema": {"type": "array"}},
                {"id": "t", "name": "n", "description": "d", "input_schema": {"type": "object"}},
                {"name": "n", "description": "d"},
            ], "toolsets": [
                {"id": "s", "name": "n", "description": "d", "tools": ["t", "t", "u"]},
                {"id": "s", "name": "n", "description": "d", "tools": []},
            ]},
            {"type": "robot.tool_provider", "id": "b", "version": "1"},
        ],
        "transport": "carrier pigeon",
        "service": "/kv.v1.KvService/Ping",
    });
    let check = check(&document);
    assert!(check.manifest.is_none());
    assert_eq!(
        texts(&check.problems),
        [
            "author: must be a string, not a number; write it in quotes",
            "id: takes letters, digits and hyphens, and neither begins nor ends with a hyphen",
            "name: is empty",
            "args[0]: must be a string, not a number; write it in quotes",
            "command: has a NUL character",
            "events_consumed: must be a list, not a string",
            "access.handle: must be a string, not a list",
            "access.permissions[0]: must be a string, not null",
            "access.links[0].url: is missing",
            "access.links[1].url: must be a string, not a number; write it in quotes",
            "access.links[2]: must be an object, not a number",
            "configuration_schema.fields[0].type: is missing",
            "configuration_schema.fields[1].type: must be `string`, `number` or `boolean`",
            "configuration_schema.fields[2].default: must be a number, not a string",
            "configuration_schema.fields[3].minimum: is more than `maximum`",
            "configuration_schema.fields[3].enum[1]: must be a number, not a string",
            "capabilities[0]: must be an object, not null",
            "capabilities[1].type: must be `robot.llm_provider` or `robot.tool_provider`",
            "capabilities[2].type: is missing",
            "capabilities[3].id: begins with a letter or digit and takes letters, digits, `.`, `_` and `-`",
            "capabilities[3].version: is empty",
            "capabilities[4].id: begins with a letter or digit and takes letters, digits and `_`",
            "capabilities[4].tools[0].input_schema.type: must be `object`",
            "capabilities[4].tools[1].id: `t` is the id of another tool too",
            "capabilities[4].tools[2].id: is missing",
            "capabilities[4].tools[2].input_schema: is missing",
            "capabilities[4].toolsets[0].tools[1]: `t` stands here twice",
            "capabilities[4].toolsets[0].tools[2]: the provider has no tool `u`",
            "capabilities[4].toolsets[1].tools: names no tool",
            "capabilities[4].toolsets[1].id: `s` is the id of another toolset too",
            "capabilities[5].tools: is missing",
            "transport: must be `websocket` or `grpc`",
            "service: must be the full name of a gRPC service, such as `kv.v1.KvService`",
        ]
    );
}

#[test]
fn ids_keep_the_alphabet_of_the_original() {
    for (id, good) in [
        ("a", true),
        ("A-9", true),
        ("a--b", true),
        ("", false),
        ("-a", false),
        ("a-", false),
        ("a b", false),
        ("a_b", false),
        ("ä", false),
        ("a\n", false),
    ] {
        for key in ["id", "author"] {
            let check = check(&with(json!({key: id})));
            assert_eq!(check.manifest.is_some(), good, "{key} {id:?}");
        }
    }
}

/// The original measures bytes, so that 34 characters can be too many of some scripts.
#[test]
fn a_name_has_a_hundred_characters() {
    assert!(
        check(&with(json!({"name": "界".repeat(100)})))
            .manifest
            .is_some()
    );
    assert_eq!(
        texts(&check(&with(json!({"name": "a".repeat(101)}))).problems),
        ["name: has more than 100 characters"]
    );
}

/// The original takes these, and so must we; what is odd is a warning.
#[test]
fn what_the_original_takes_is_taken() {
    for document in [
        json!({"id": "a", "author": "b", "name": "c"}),
        with(json!({"description": null, "version": null})),
        with(json!({"command": ""})),
        with(json!({"events_consumed": ["EventPostLiked", "EventPostLiked"]})),
        with(json!({"access": {}})),
        with(json!({"configuration_schema": {}})),
        with(json!({"configuration_schema": {"fields": [{"type": "string"}, {"type": "string"}]}})),
        with(json!({"capabilities": []})),
        with(json!({"capabilities": [
            {"type": "robot.tool_provider", "id": "0_", "version": "0", "tools": []}
        ]})),
    ] {
        valid(&document);
    }
    let nulls = r#"{"id":"a","author":"b","name":"c","description":null,"version":null,"command":null,
        "args":null,"events_consumed":null,"access":null,"configuration_schema":null,"capabilities":null}"#;
    assert!(Manifest::check_json(nulls.as_bytes()).manifest.is_some());
}

/// A second entry made the original's session refuse every later connection.
#[test]
fn an_event_that_stands_there_twice_counts_once() {
    let document = with(
        json!({"events_consumed": ["EventPostLiked", "mine", "EventPostLiked", "EventPostLike"]}),
    );
    let check = check(&document);
    assert_eq!(
        texts(&check.warnings),
        [
            "events_consumed[2]: `EventPostLiked` stands here twice and counts once",
            "events_consumed[3]: `EventPostLike`: did you mean `EventPostLiked`?",
        ]
    );
    assert_eq!(
        check.manifest.unwrap().events_consumed,
        ["EventPostLiked", "mine", "EventPostLike"]
    );
}

/// The original reads a string here as an error for the whole manifest.
#[test]
fn a_link_is_a_string_or_the_fields_of_go() {
    for (url, text) in [
        (json!("https://example.com"), "https://example.com"),
        (
            json!({"Scheme": "https", "Host": "example.com"}),
            "https://example.com",
        ),
        (
            json!({"Scheme": "https", "Host": "h", "Path": "/a b", "RawQuery": "x=1", "Fragment": "é",
                "User": null, "ForceQuery": false, "OmitHost": false, "Opaque": ""}),
            "https://h/a%20b?x=1#%C3%A9",
        ),
        (json!({"Scheme": "mailto", "Opaque": "a@b"}), "mailto:a@b"),
        (json!({"Path": "/x", "RawPath": "/%78"}), "/%78"),
    ] {
        let manifest = valid(&with(
            json!({"access": {"links": [{"text": "x", "url": url}]}}),
        ));
        assert_eq!(manifest.access.as_ref().unwrap().links[0].url, text);
        let again = valid(&serde_json::to_value(&manifest).unwrap());
        assert_eq!(again, manifest, "{text}");
    }
}

/// In the original `COMMAND` sets the command, and of `id` and `ID` the last one wins: what one
/// reader checked is not what another one runs.
#[test]
fn keys_are_matched_exactly() {
    let check_only = check(&with(json!({"COMMAND": "./evil", "command": null})));
    assert_eq!(
        texts(&check_only.warnings),
        ["COMMAND: unknown key: did you mean `command`?"]
    );
    let manifest = check_only.manifest.unwrap();
    assert_eq!(manifest.command, None);
    assert!(
        manifest.extra.is_empty(),
        "the original would read it as the command"
    );

    for key in ["COMMAND", "Command"] {
        let both = check(&with(json!({key: "./evil"})));
        assert_eq!(
            texts(&both.problems),
            [format!(
                "{key}: differs from `command` by case alone, and both are there"
            )]
        );
    }
    let folded = check(&with(json!({"arg\u{17f}": ["x"], "args": []})));
    assert!(folded.manifest.is_none());
}

#[test]
fn a_key_that_is_written_twice_is_a_problem_in_both_formats() {
    let json = br#"{"id":"a","author":"b","name":"c","id":"z","x":[{},{"k":1,"k":2}]}"#;
    let yaml = b"id: a\nauthor: b\nname: c\nid: z\nx: [{}, {k: 1, k: 2}]\n";
    for check in [Manifest::check_json(json), Manifest::check_yaml(yaml)] {
        assert_eq!(
            texts(&check.problems),
            [
                "id: this key is written twice",
                "x[1].k: this key is written twice"
            ]
        );
        assert!(check.manifest.is_none());
    }
}

#[test]
fn unknown_keys_are_warnings_with_a_hint_and_are_kept() {
    let document = with(json!({
        "comand": "x", "homepage": "y", "configuration_schema": {"fields": [
            {"type": "string", "id": "a", "lable": "A", "help": 1}
        ]}, "weird key": 1,
    }));
    let check = check(&document);
    assert_eq!(
        texts(&check.warnings),
        [
            "comand: unknown key: did you mean `command`?",
            "homepage: unknown key",
            "[\"weird key\"]: unknown key",
            "configuration_schema.fields[0].help: unknown key",
            "configuration_schema.fields[0].lable: unknown key: did you mean `label`?",
        ]
    );
    let manifest = check.manifest.unwrap();
    assert_eq!(manifest.extra["homepage"], "y");
    assert_eq!(manifest.extra["comand"], "x");
}

#[test]
fn a_document_that_is_none_says_why() {
    for (bytes, format, message) in [
        (
            &b""[..],
            Format::Json,
            "is not JSON: EOF while parsing a value at line 1 column 0",
        ),
        (
            b"{}x",
            Format::Json,
            "is not JSON: trailing characters at line 1 column 3",
        ),
        (b"[]", Format::Json, "must be an object, not a list"),
        (b"null", Format::Json, "must be an object, not null"),
        (
            b"\xff",
            Format::Json,
            "is not UTF-8: invalid utf-8 sequence of 1 bytes from index 0",
        ),
        (b"", Format::Yaml, "must be an object, not null"),
        (b"hello", Format::Yaml, "must be an object, not a string"),
    ] {
        let check = Manifest::check(bytes, format);
        assert_eq!(texts(&check.problems), [message]);
    }
    for yaml in [
        "a: [",
        "a: b\n---\nc: d\n",
        "a: *x",
        "a: .nan",
        "\t- x: y",
        "a: &a [*a]",
        "{? {} : 1}",
    ] {
        let check = Manifest::check_yaml(yaml.as_bytes());
        assert!(check.manifest.is_none(), "{yaml:?}");
        assert_eq!(check.problems.len(), 1, "{yaml:?} {:?}", check.problems);
    }
    let marked = format!("\u{feff}{}", with(json!({})));
    assert!(Manifest::check_json(marked.as_bytes()).manifest.is_some());
}

#[test]
fn what_is_too_large_too_deep_or_a_bomb_is_refused() {
    let long = with(json!({"description": "x".repeat(MAX_MANIFEST_BYTES)}));
    assert!(texts(&check(&long).problems)[0].contains("1048576 are allowed"));
    for depth in [63, 64, 100_000] {
        let nested = format!(
            r#"{{"id":"a","author":"b","name":"c","x":{}{}}}"#,
            "[".repeat(depth),
            "]".repeat(depth)
        );
        for check in [
            Manifest::check_json(nested.as_bytes()),
            Manifest::check_yaml(nested.as_bytes()),
        ] {
            assert_eq!(
                check.manifest.is_some(),
                depth == 63,
                "{depth} {:?}",
                check.problems
            );
        }
    }
    let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
    for level in 1..10 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(",");
        bomb.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
    }
    let check = Manifest::check_yaml(bomb.as_bytes());
    assert_eq!(check.problems.len(), 1, "{:?}", check.problems);
    let strange = vec!["[]"; 100_000].join(",");
    let many = Manifest::check_json(format!(r#"{{"args":[{strange}]}}"#).as_bytes());
    assert_eq!(many.problems.len(), 201);
    assert_eq!(many.problems[200].message, "and 99803 more");
}

#[test]
fn a_package_needs_a_command() {
    for command in [json!(null), json!(""), json!("  ")] {
        // Beside other problems too, not only once those are gone.
        let document = with(json!({"command": command, "id": "a b"})).to_string();
        let check = Manifest::check_packaged(document.as_bytes(), Format::Json);
        assert_eq!(check.problems.len(), 2, "{:?}", check.problems);
        assert_eq!(
            texts(&check.problems)[1],
            "command: is missing; a package needs the command that starts the plugin"
        );
        assert!(valid(&with(json!({"command": command}))).args.is_empty());
    }
    let good = with(json!({})).to_string();
    let check = Manifest::check_packaged(good.as_bytes(), Format::Json);
    assert_eq!(check.problems, []);
}

#[test]
fn the_error_has_a_line_for_each_problem() {
    let error = Manifest::parse(b"{}", Format::Json).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the manifest is not valid:\n  id: is missing\n  author: is missing\n  name: is missing"
    );
}

#[test]
fn the_events_are_42_and_each_is_there_once() {
    let unique: std::collections::HashSet<_> = STORYDEN_EVENTS.iter().collect();
    assert_eq!(unique.len(), 42);
}
