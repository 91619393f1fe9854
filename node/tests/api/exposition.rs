//! A strict reader of OpenMetrics text, as far as this project writes it: what it takes, a scraper takes.

use std::collections::{BTreeMap, BTreeSet};

type Labels = BTreeMap<String, String>;

/// A page that was found to be valid.
pub struct Exposition(BTreeMap<(String, Labels), f64>);

impl Exposition {
    /// Reads a page; panics with the line at whatever is not as the format says.
    pub fn parse(text: &str) -> Self {
        let body = text.strip_suffix("# EOF\n").expect("the page ends with # EOF");
        let mut series = BTreeMap::new();
        let mut families = BTreeSet::new();
        // The family that samples belong to, and its type.
        let mut family: Option<(String, String)> = None;
        for line in body.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, help) = help.split_once(' ').expect(line);
                assert!(families.insert(name.to_owned()), "{line}: a second family of this name");
                assert!(is_name(name) && !help.is_empty(), "{line}");
                family = Some((name.to_owned(), String::new()));
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').expect(line);
                let (family, known) = family.as_mut().expect(line);
                assert!(family == name && matches!(kind, "gauge" | "counter" | "info"), "{line}");
                *known = kind.to_owned();
            } else if let Some(unit) = line.strip_prefix("# UNIT ") {
                let (name, unit) = unit.split_once(' ').expect(line);
                let (family, _) = family.as_ref().expect(line);
                assert!(family == name && name.ends_with(&format!("_{unit}")), "{line}");
            } else {
                let (name, labels, value) = sample(line);
                let (family, kind) = family.as_ref().expect(line);
                let suffix = match kind.as_str() {
                    "counter" => "_total",
                    "info" => "_info",
                    _ => "",
                };
                assert_eq!(name, format!("{family}{suffix}"), "{line}");
                assert!(kind != "counter" || value >= 0.0, "{line}");
                assert_eq!(series.insert((name, labels), value), None, "{line}: a second time");
            }
        }
        Self(series)
    }

    /// The value of a series.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let labels: Labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let found = self.0.get(&(name.to_owned(), labels.clone()));
        *found.unwrap_or_else(|| panic!("no {name} with {labels:?} among {:?}", self.0.keys()))
    }

    /// Whether no series has this name.
    pub fn missing(&self, name: &str) -> bool {
        self.0.keys().all(|(found, _)| found != name)
    }
}

fn sample(line: &str) -> (String, Labels, f64) {
    let end = line.find(['{', ' ']).unwrap_or_else(|| panic!("{line}: no value"));
    let (name, mut rest) = line.split_at(end);
    assert!(is_name(name), "{line}");
    let mut labels = Labels::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (label, value) = rest.split_once("=\"").expect(line);
            assert!(is_name(label), "{line}");
            let (value, after) = quoted(value).expect(line);
            assert_eq!(labels.insert(label.to_owned(), value), None, "{line}: a label twice");
            if let Some(after) = after.strip_prefix('}') {
                rest = after;
                break;
            }
            rest = after.strip_prefix(',').expect(line);
        }
    }
    let value = rest.strip_prefix(' ').expect(line).parse().expect(line);
    (name.to_owned(), labels, value)
}

/// The value up to the closing quote, without escapes, and what follows.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                c @ ('\\' | '"') => value.push(c),
                _ => return None,
            },
            '\n' => return None,
            c => value.push(c),
        }
    }
    None
}

fn is_name(text: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphabetic() || c == '_';
    text.starts_with(letter) && text.chars().all(|c| letter(c) || c.is_ascii_digit())
}
