//! The JSON Schema of scenario files, so that editors complete and check them.
//!
//! Built by hand from [`fields`], and not derived from the raw structures: those are all texts with positions, and
//! what helps a person (which words there are, what a field means, which of them go together) is not in their types.
//! A test holds it to the structures, another holds every shipped scenario to it. Validation proper is
//! [`crate::Scenario::parse`]; what the schema cannot say (that a group exists, that a fault ends) is said there.

mod fields;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value, json};

use crate::limits;
use crate::model::{Class, Discovery, fault_kinds, peerings, workload_kinds};
use crate::profiles::Profile;

use fields::{Field, Shape, TABLES};

/// The schema, indented, with a newline at the end. `docs/scenario.schema.json` is this.
pub fn text() -> String {
    let mut text = serde_json::to_string_pretty(&schema()).expect("invariant: a schema has text keys only");
    text.push('\n');
    text
}

fn schema() -> Value {
    let mut definitions = Map::new();
    for (name, fields) in TABLES.iter().skip(1) {
        definitions.insert((*name).to_owned(), table(fields));
    }
    if let Some(fault) = definitions.get_mut("fault") {
        fault["allOf"] = fault_kinds().map(|(kind, takes)| only(kind, &takes)).collect();
    }
    let (_, top) = TABLES[0];
    let mut schema = table(top);
    let head = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "ddil scenario",
        "description": "Who is there, how they are linked, who writes what, what goes wrong, and what is expected.",
    });
    let mut whole = head.as_object().cloned().unwrap_or_default();
    whole.extend(schema.as_object_mut().map(std::mem::take).unwrap_or_default());
    whole.insert("definitions".to_owned(), Value::Object(definitions));
    Value::Object(whole)
}

fn table(fields: &[Field]) -> Value {
    let properties: Map<String, Value> = fields.iter().map(|field| (field.name.to_owned(), property(field))).collect();
    let required: Vec<&str> = fields.iter().filter(|field| field.required).map(|field| field.name).collect();
    let mut table = json!({ "type": "object", "additionalProperties": false, "properties": properties });
    if !required.is_empty() {
        table["required"] = json!(required);
    }
    table
}

/// A fault of a kind takes only some of the fields.
fn only(kind: &str, takes: &[&str]) -> Value {
    let always = ["kind", "at", "when", "after", "of"];
    let all = TABLES.iter().find(|(name, _)| *name == "fault").map_or(&[][..], |(_, fields)| fields);
    let foreign = all.iter().map(|field| field.name).filter(|name| !takes.contains(name) && !always.contains(name));
    let foreign: Map<String, Value> = foreign.map(|name| (name.to_owned(), json!(false))).collect();
    json!({ "if": { "properties": { "kind": { "const": kind } } }, "then": { "properties": foreign } })
}

fn property(field: &Field) -> Value {
    let mut property = shape(field.shape);
    property["description"] = json!(field.about);
    property
}

fn shape(shape: Shape) -> Value {
    let words = |words: Vec<(&str, &str)>| -> Value {
        let one = |(word, about): (&str, &str)| match about {
            "" => json!({ "const": word }),
            about => json!({ "const": word, "description": about }),
        };
        json!({ "type": "string", "anyOf": words.into_iter().map(one).collect::<Vec<_>>() })
    };
    let named = |name: &str| fields::WORDS.iter().find(|(word, _)| *word == name).map_or("", |(_, about)| *about);
    let described =
        |names: &mut dyn Iterator<Item = &'static str>| words(names.map(|name| (name, named(name))).collect());
    let text = |pattern: &str, examples: &[&str]| json!({ "type": "string", "pattern": pattern, "examples": examples });
    let name =
        || json!({ "type": "string", "pattern": "^[a-z]([a-z0-9-]*[a-z0-9])?$", "maxLength": limits::NAME_CHARS });
    match shape {
        Shape::Text => json!({ "type": "string" }),
        Shape::Name => name(),
        Shape::Duration => text("^([0-9.]+ *[a-zA-Zµ]+ *)+$", &["250ms", "30s", "12m", "1h 30m"]),
        Shape::Bound => text("^[0-9a-zA-Zµ.+ ]+$", &["3s", "4rtt", "2s + 2rtt"]),
        Shape::Bandwidth => text("^[0-9.]+ *(G|M|k)?bit(/s)?$", &["64kbit", "2Mbit", "1Gbit"]),
        Shape::Size => text("^[0-9.]+ *(GiB|MiB|KiB|MB|kB|B)$", &["1500B", "64KiB"]),
        Shape::Whole(least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
        Shape::Number(least, most) => {
            let mut number = json!({ "type": "number", "minimum": least });
            if let Some(most) = most {
                number["maximum"] = json!(most);
            }
            number
        }
        Shape::Pair => json!({ "type": "array", "items": name(), "minItems": 2, "maxItems": 2 }),
        Shape::Groups => json!({ "anyOf": [name(), { "type": "array", "items": name(), "minItems": 1 }] }),
        Shape::GroupList => json!({ "type": "array", "items": name(), "minItems": 1 }),
        Shape::Islands => json!({ "type": "array", "items": { "type": "array", "items": name(), "minItems": 1 } }),
        Shape::Bool => json!({ "type": "boolean" }),
        Shape::Spread => text("^(uniform|normal|pareto:[0-9.]+)$", &["uniform", "normal", "pareto:2.5"]),
        Shape::Discipline => {
            let examples = ["drop-tail", "codel", "codel:5ms:100ms", "red:8KiB:24KiB:0.1"];
            text("^(drop-tail|codel(:[^:]+:[^:]+)?|red:[^:]+:[^:]+:[0-9.]+)$", &examples)
        }
        Shape::Moment => text("^[0-9a-zA-Zµ. ]+$", &["5m", "4m..6m"]),
        Shape::Lasts => text("^[0-9a-zA-Zµ. ]+$", &["2m", "ever"]),
        Shape::Texts => json!({ "type": "array", "items": { "type": "string" } }),
        Shape::Tables(table) => json!({ "type": "array", "items": { "$ref": format!("#/definitions/{table}") } }),
        Shape::Table(table) => json!({ "allOf": [{ "$ref": format!("#/definitions/{table}") }] }),
        Shape::Profile => described(&mut Profile::ALL.into_iter().map(Profile::name)),
        Shape::Peering => described(&mut peerings()),
        Shape::Discovery => described(&mut Discovery::ALL.into_iter().map(Discovery::name)),
        Shape::WorkloadKind => described(&mut workload_kinds()),
        Shape::FaultKind => described(&mut fault_kinds().map(|(kind, _)| kind)),
        Shape::When => text("^(converged|session|writes:[0-9]+)$", &["converged", "session", "writes:200"]),
        Shape::Classes => {
            let classes = described(&mut Class::ALL.into_iter().map(Class::name));
            json!({ "type": "object", "additionalProperties": classes })
        }
        Shape::Histories => {
            let history =
                text("^(full|latest|window(:[0-9]+)?(:[0-9]+s)?)$", &["full", "latest", "window:20", "window:300s"]);
            json!({ "type": "object", "additionalProperties": history })
        }
    }
}
