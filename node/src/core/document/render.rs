//! Compact JSON text, of what the document holds and of what a client sent.

use super::json::{Json, JsonObject};
use super::scalar::render_string;
use super::view::{MapNode, Node};

/// The compact text of a map as the document holds it.
pub(super) fn render_map(map: &MapNode, out: &mut String) {
    let entries = map.fields.iter().map(|field| (field.key.as_str(), &field.node));
    object(entries, out, render_node);
}

/// The compact text of a value as the document holds it.
pub(super) fn render_node(node: &Node, out: &mut String) {
    match node {
        Node::Scalar(scalar) => scalar.render(out),
        Node::List(list) => array(&list.items, out, render_node),
        Node::Map(map) => render_map(map, out),
    }
}

/// The compact text of a value as the client sent it.
pub(super) fn render_json(json: &Json, out: &mut String) {
    match json {
        Json::Scalar(scalar) => scalar.render(out),
        Json::List(items) => array(items, out, render_json),
        Json::Map(entries) => object(entries.iter().map(|(key, json)| (key.as_str(), json)), out, render_json),
    }
}

impl std::fmt::Display for JsonObject {
    /// The compact text that [`Document::render`](super::Document::render) returns after a put.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut out = String::new();
        object(self.0.iter().map(|(key, json)| (key.as_str(), json)), &mut out, render_json);
        f.write_str(&out)
    }
}

fn array<T>(items: &[T], out: &mut String, render: fn(&T, &mut String)) {
    out.push('[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        render(item, out);
    }
    out.push(']');
}

fn object<'a, T: 'a>(entries: impl Iterator<Item = (&'a str, &'a T)>, out: &mut String, render: fn(&T, &mut String)) {
    out.push('{');
    for (index, (key, value)) in entries.enumerate() {
        if index > 0 {
            out.push(',');
        }
        render_string(key, out);
        out.push(':');
        render(value, out);
    }
    out.push('}');
}
