//! The schema is complete, and right about what is shipped.

use serde_json::Value;

use super::*;
use crate::library::{library, starter};

/// Fields of the raw structures, by table: the source itself is asked, so that none can be forgotten.
fn written() -> Vec<(String, Vec<String>)> {
    let source = include_str!("../model/raw.rs");
    let mut tables = Vec::new();
    for part in source.split("pub(super) struct Raw").skip(1) {
        let (name, body) = part.split_once('{').unwrap();
        let body = &body[..body.find("\n}").unwrap()];
        let mut fields = Vec::new();
        let mut renamed = None;
        for line in body.lines().map(str::trim) {
            if let Some(rest) = line.split("rename = \"").nth(1) {
                renamed = rest.split('"').next().map(str::to_owned);
            }
            if let Some(rest) = line.strip_prefix("pub(super) ") {
                let name = rest.split(':').next().unwrap().trim_start_matches("r#");
                fields.push(renamed.take().unwrap_or_else(|| name.to_owned()));
            }
        }
        tables.push((name.trim().to_lowercase(), fields));
    }
    tables
}

#[test]
fn every_field_that_is_read_is_in_it() {
    let written = written();
    assert_eq!(written.len(), TABLES.len(), "tables: {:?}", written.iter().map(|(name, _)| name).collect::<Vec<_>>());
    for (name, fields) in written {
        let (_, known) = TABLES.iter().find(|(table, _)| *table == name).unwrap_or_else(|| panic!("no table {name}"));
        let mut known: Vec<&str> = known.iter().map(|field| field.name).collect();
        let mut fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        known.sort_unstable();
        fields.sort_unstable();
        assert_eq!(known, fields, "{name}: add what is new to schema/fields.rs, with a line that says what it means");
    }
}

#[test]
fn every_word_says_what_it_means() {
    let words = workload_kinds().chain(fault_kinds().map(|(kind, _)| kind)).chain(peerings());
    let words = words.chain(Profile::ALL.map(Profile::name)).chain(Class::ALL.map(Class::name));
    for word in words {
        assert!(fields::WORDS.iter().any(|(known, _)| *known == word), "add `{word}` to WORDS of schema/fields.rs");
    }
}

/// `PEAT_WRITE_DOCS=1 cargo test -p peat-scenarios schema` writes it.
#[test]
fn the_committed_file_is_this_schema() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/scenario.schema.json");
    if std::env::var_os("PEAT_WRITE_DOCS").is_some() {
        std::fs::write(path, text()).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(committed == text(), "docs/scenario.schema.json is old: run this test with PEAT_WRITE_DOCS=1");
}

/// As much of JSON Schema as the schema uses, patterns aside; another keyword is a panic.
fn problems(schema: &Value, root: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    if schema == &Value::Bool(false) {
        return found.push(format!("{at}: not allowed"));
    }
    for (keyword, rule) in schema.as_object().unwrap() {
        let valid = |schema: &Value| {
            let mut inner = Vec::new();
            problems(schema, root, value, at, &mut inner);
            inner.is_empty()
        };
        let good = match keyword.as_str() {
            "type" => match rule.as_str().unwrap() {
                "object" => value.is_object(),
                "array" => value.is_array(),
                "string" => value.is_string(),
                "integer" => value.is_i64(),
                "number" => value.is_number(),
                "boolean" => value.is_boolean(),
                other => panic!("type {other}"),
            },
            "const" => value == rule,
            "anyOf" => rule.as_array().unwrap().iter().any(valid),
            "allOf" => {
                rule.as_array().unwrap().iter().for_each(|schema| problems(schema, root, value, at, found));
                true
            }
            "if" => {
                if valid(rule) {
                    problems(&schema["then"], root, value, at, found);
                }
                true
            }
            "$ref" => {
                let name = rule.as_str().unwrap().strip_prefix("#/definitions/").unwrap();
                problems(&root["definitions"][name], root, value, at, found);
                true
            }
            "required" => rule.as_array().unwrap().iter().all(|name| value.get(name.as_str().unwrap()).is_some()),
            "properties" | "additionalProperties" => {
                for (name, inner) in value.as_object().into_iter().flatten() {
                    let at = format!("{at}.{name}");
                    match (keyword.as_str(), schema["properties"].get(name)) {
                        ("properties", Some(rule)) => problems(rule, root, inner, &at, found),
                        ("additionalProperties", None) => problems(rule, root, inner, &at, found),
                        _ => {}
                    }
                }
                true
            }
            "items" => {
                let items = value.as_array().into_iter().flatten().enumerate();
                items.for_each(|(n, item)| problems(rule, root, item, &format!("{at}[{n}]"), found));
                true
            }
            "minimum" => value.as_f64().is_none_or(|value| value >= rule.as_f64().unwrap()),
            "maximum" => value.as_f64().is_none_or(|value| value <= rule.as_f64().unwrap()),
            "minItems" => value.as_array().is_none_or(|items| items.len() as u64 >= rule.as_u64().unwrap()),
            "maxItems" => value.as_array().is_none_or(|items| items.len() as u64 <= rule.as_u64().unwrap()),
            "maxLength" => value.as_str().is_none_or(|text| text.len() as u64 <= rule.as_u64().unwrap()),
            "$schema" | "title" | "description" | "examples" | "definitions" | "then" | "pattern" => true,
            other => panic!("keyword {other}"),
        };
        if !good {
            found.push(format!("{at}: {keyword} {rule}, not {value}"));
        }
    }
}

fn checked(text: &str) -> Vec<String> {
    let value: Value = toml::from_str(text).unwrap();
    let schema = schema();
    let mut found = Vec::new();
    problems(&schema, &schema, &value, "", &mut found);
    found
}

#[test]
fn every_shipped_scenario_is_as_it_says() {
    for shipped in library() {
        assert_eq!(checked(shipped.text), [""; 0], "{}", shipped.name);
    }
    assert_eq!(checked(&starter("my-island").unwrap()), [""; 0]);
}

/// The pieces of the guide: each is part of a scenario.
#[test]
fn the_guide_teaches_what_the_schema_says() {
    let page = include_str!("../../../docs/scenarios.md");
    let (guide, _) = page.split_once("## Reference").unwrap();
    let pieces: Vec<&str> = guide.split("```toml").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(pieces.len() >= 4);
    for piece in pieces {
        let whole = format!("name = \"a\"\npurpose = \"b\"\nduration = \"5m\"\n{piece}\n[[cluster]]\nname = \"c\"\n");
        assert_eq!(checked(&whole), [""; 0], "{piece}");
    }
}

#[test]
fn slips_are_found() {
    let good = starter("my-island").unwrap();
    let slips = [
        ("kind = \"partition\"", "kind = \"partitoin\""),
        ("kind = \"partition\"", "kind = \"partition\"\nnode = \"ship-node-0\""),
        ("profile = \"satcom-leo\"", "profile = \"satcom\""),
        ("converge_within", "converge_wihtin"),
        ("count = 2", "count = 0"),
        ("every = \"15s\"", "every = 15"),
        ("purpose = ", "porpoise = "),
    ];
    for (right, wrong) in slips {
        let text = good.replacen(right, wrong, 1);
        assert!(text != good && !checked(&text).is_empty(), "{wrong}");
    }
}
