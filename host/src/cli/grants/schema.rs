//! The JSON schema of a file of grants: docs/grants.schema.json, for editors.

use serde_json::{Map, Value, json};

use super::super::args::{GuestOptions, KnownOption, Takes};

/// Returns the schema, which the options themselves make.
pub fn schema() -> String {
    let about = |text: &str, mut kind: Value| {
        kind["description"] = text.into();
        kind
    };
    let mut keys = Map::new();
    keys.insert(
        "guest".into(),
        about(
            "The guest: a file's path, which starts from this file's folder, or @NAME.",
            json!({ "type": "string", "minLength": 1 }),
        ),
    );
    keys.insert(
        "sha256".into(),
        about(
            "The SHA-256 of the guest's file, as sha256sum prints it. Another file is not run.",
            json!({ "type": "string", "pattern": "^[0-9a-fA-F]{64}$" }),
        ),
    );
    keys.insert(
        "args".into(),
        about(
            "The guest's own arguments. What is typed behind `--` follows them.",
            json!({ "type": "array", "items": { "type": "string" } }),
        ),
    );
    for known in GuestOptions::known() {
        keys.insert(known.key().into(), about(&known.help, kind(&known)));
    }
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A file of grants for `pipehost run`",
        "description": "TOML. The keys are options of `pipehost run`, and paths start from the file's folder.",
        "type": "object",
        "properties": keys,
        "additionalProperties": false,
        "dependentRequired": { "sha256": ["guest"] },
    });
    format!("{schema:#}\n")
}

/// Returns what a key's value may be.
fn kind(known: &KnownOption) -> Value {
    let text = json!({ "type": "string" });
    match known.takes {
        Takes::Nothing => json!({ "type": "boolean" }),
        Takes::Text => text,
        Takes::Amount => json!({ "anyOf": [text, { "type": "integer", "minimum": 0 }] }),
        Takes::MaybeAmount => {
            let number = json!({ "type": "integer", "minimum": 0 });
            json!({ "anyOf": [{ "type": "boolean" }, text, number] })
        }
        Takes::List => {
            let mut kinds = vec![text.clone(), json!({ "type": "array", "items": text })];
            if known.name == "env" {
                kinds.push(json!({
                    "type": "object",
                    "additionalProperties": { "type": "string" },
                    "propertyNames": { "pattern": "^[^=]+$" },
                }));
            }
            json!({ "anyOf": kinds })
        }
    }
}
