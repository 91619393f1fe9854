//! Reading on behind an unknown field.
//!
//! The TOML reader stops at the first field that it does not know, and everything else that is wrong with the file
//! would stay hidden behind it. So the field is blanked out, byte for byte, and the file is read again: positions
//! stay what they are.

use toml::de::{DeTable, DeValue};

/// Blanks out the unknown field that `error` is about. False when it is about something else, or when the file could
/// not be read without the field either.
pub(super) fn blank_out(text: &mut String, error: &toml::de::Error) -> bool {
    let Some(key) = error.span().filter(|_| error.message().starts_with("unknown field")) else { return false };
    let Some(end) = DeTable::parse(text).ok().and_then(|root| value_end(root.get_ref(), key.start)) else {
        return false;
    };
    let blank: String =
        text[key.start..end].chars().map(|c| if c == '\n' { "\n".into() } else { " ".repeat(c.len_utf8()) }).collect();
    let mut without = text.clone();
    without.replace_range(key.start..end, &blank);
    // A table's header, or a field inside braces, leaves something behind that is no TOML.
    if DeTable::parse(&without).is_err() {
        return false;
    }
    *text = without;
    true
}

/// Where the value ends whose key begins at `start`.
fn value_end(table: &DeTable<'_>, start: usize) -> Option<usize> {
    table.iter().find_map(|(key, value)| match value.get_ref() {
        _ if key.span().start == start => Some(value.span().end),
        DeValue::Table(inner) => value_end(inner, start),
        DeValue::Array(items) => items.iter().find_map(|item| match item.get_ref() {
            DeValue::Table(inner) => value_end(inner, start),
            _ => None,
        }),
        _ => None,
    })
}
