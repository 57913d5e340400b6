//! Checks JSON against the part of JSON Schema 2020-12 that this project's schemas use. A crate for all of
//! it would change the features of crates below the engine, so that tests would build a second engine.

#![allow(unreachable_pub, reason = "each test binary uses it as a module of its own")]

use serde_json::{Map, Value};

/// Returns what is wrong with `value`, each with the place, or nothing if `schema` permits it.
///
/// # Panics
/// If the schema has a keyword that is not looked at here: what is ignored would permit anything.
pub fn faults(schema: &Value, value: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    check(schema, value, "$", &mut faults);
    faults
}

fn check(schema: &Value, value: &Value, at: &str, faults: &mut Vec<String>) {
    for (keyword, wanted) in schema.as_object().expect("a schema is an object") {
        let fits = match &**keyword {
            "$schema" | "$id" | "title" | "description" | "examples" => true,
            "type" => names(wanted).iter().any(|name| is_of(name, value)),
            "const" => value == wanted,
            "enum" => wanted.as_array().unwrap().contains(value),
            "minimum" => value.as_f64().is_none_or(|number| number >= wanted.as_f64().unwrap()),
            "maximum" => value.as_f64().is_none_or(|number| number <= wanted.as_f64().unwrap()),
            "required" => value
                .as_object()
                .is_none_or(|object| names(wanted).iter().all(|name| object.contains_key(*name))),
            "additionalProperties" => {
                assert_eq!(wanted, false, "{at}: only `false` is looked at");
                value.as_object().is_none_or(|object| {
                    object.keys().all(|key| schema["properties"].get(key).is_some())
                })
            }
            "properties" => {
                let none = Map::new();
                for (key, value) in value.as_object().unwrap_or(&none) {
                    if let Some(schema) = wanted.get(key) {
                        check(schema, value, &format!("{at}.{key}"), faults);
                    }
                }
                true
            }
            "items" => {
                for (index, value) in value.as_array().into_iter().flatten().enumerate() {
                    check(wanted, value, &format!("{at}[{index}]"), faults);
                }
                true
            }
            _ => panic!("{at}: the keyword `{keyword}` is not looked at"),
        };
        if !fits {
            faults.push(format!("{at}: {value} does not fit {keyword}: {wanted}"));
        }
    }
}

/// Returns the strings of a string or of a list.
fn names(wanted: &Value) -> Vec<&str> {
    match wanted {
        Value::Array(list) => list.iter().map(|it| it.as_str().unwrap()).collect(),
        one => vec![one.as_str().unwrap()],
    }
}

fn is_of(name: &str, value: &Value) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        _ => panic!("there is no type `{name}`"),
    }
}

/// Returns the places of all fields that have no description.
pub fn undescribed(schema: &Value) -> Vec<String> {
    let mut found = Vec::new();
    look(schema, "$", &mut found);
    found
}

fn look(schema: &Value, at: &str, found: &mut Vec<String>) {
    for (key, field) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let at = format!("{at}.{key}");
        if field.get("description").and_then(Value::as_str).is_none_or(str::is_empty) {
            found.push(at.clone());
        }
        look(field, &at, found);
    }
    if let Some(items) = schema.get("items") {
        look(items, &format!("{at}[]"), found);
    }
}
