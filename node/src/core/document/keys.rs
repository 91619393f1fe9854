//! How JSON keys are spelled inside Automerge maps, and how their order is kept.
//!
//! Control keys begin with U+0001. In the map of incarnation `n` (empty text for 0, which is also
//! what every nested map uses, decimal for others):
//!
//! | Automerge key | means |
//! |---|---|
//! | `key` | field `key`, incarnation 0, unless empty or beginning with U+0001 |
//! | `U+0001 n k key` | field `key`; for incarnation 0 only those that the line above excludes |
//! | `U+0001 n o` | order hint: JSON array of keys |
//! | `U+0001 t` | tombstone (root only): timestamp in milliseconds |
//! | `U+0001 g` | current incarnation (root only): unsigned integer; the largest visible one counts |

use std::borrow::Cow;

use super::limits::MAX_ORDER_HINT_BYTES;
use super::scalar::render_string;

const CONTROL: char = '\u{1}';
/// Root key of the tombstone.
pub(super) const TOMBSTONE_KEY: &str = "\u{1}t";
/// Root key of the incarnation number.
pub(super) const INCARNATION_KEY: &str = "\u{1}g";

/// The key space of one incarnation.
#[derive(Debug, Clone)]
pub(super) struct KeySpace {
    field_prefix: String,
    hint_key: String,
    first: bool,
}

/// What an Automerge key holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning<'a> {
    Field(&'a str),
    OrderHint,
    /// A control key, or a field of another incarnation.
    Other,
}

impl KeySpace {
    /// The space of an incarnation; nested maps use that of incarnation 0.
    pub(super) fn of_incarnation(incarnation: u64) -> Self {
        let number = if incarnation == 0 { String::new() } else { incarnation.to_string() };
        Self {
            field_prefix: format!("{CONTROL}{number}k"),
            hint_key: format!("{CONTROL}{number}o"),
            first: incarnation == 0,
        }
    }

    pub(super) fn hint_key(&self) -> &str {
        &self.hint_key
    }

    pub(super) fn encode<'a>(&self, key: &'a str) -> Cow<'a, str> {
        if self.first && !needs_escape(key) {
            Cow::Borrowed(key)
        } else {
            Cow::Owned(format!("{}{key}", self.field_prefix))
        }
    }

    pub(super) fn decode<'a>(&self, stored: &'a str) -> Meaning<'a> {
        if !needs_escape(stored) {
            return if self.first { Meaning::Field(stored) } else { Meaning::Other };
        }
        match stored.strip_prefix(&self.field_prefix) {
            // An escape that was not needed would be a second spelling of a plain key.
            Some(key) if !self.first || needs_escape(key) => Meaning::Field(key),
            Some(_) => Meaning::Other,
            None if stored == self.hint_key => Meaning::OrderHint,
            None => Meaning::Other,
        }
    }
}

fn needs_escape(key: &str) -> bool {
    key.is_empty() || key.starts_with(CONTROL)
}

/// Position of each of `sorted_keys` (ascending) when rendered with `hint`: first the keys that the
/// hint names, in its order, then the others, ascending.
pub(super) fn rendered_order(sorted_keys: &[&str], hint: Option<&str>) -> Vec<usize> {
    let named: Vec<String> = hint.and_then(|hint| serde_json::from_str(hint).ok()).unwrap_or_default();
    let mut taken = vec![false; sorted_keys.len()];
    let mut order = Vec::with_capacity(sorted_keys.len());
    for key in &named {
        if let Ok(index) = sorted_keys.binary_search(&key.as_str())
            && !taken[index]
        {
            taken[index] = true;
            order.push(index);
        }
    }
    order.extend((0..sorted_keys.len()).filter(|&index| !taken[index]));
    order
}

/// What to do with the order hint of a map.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum HintEdit {
    Keep,
    Remove,
    Write(String),
}

/// The cheapest edit after which a map that holds exactly `wanted` renders in that order.
///
/// A new hint names only the shortest beginning after which the rest ascends, so that appending
/// keys in order costs nothing.
pub(super) fn plan_hint(wanted: &[&str], current: Option<&str>) -> HintEdit {
    let ascending_from = (1..wanted.len()).rev().find(|&i| wanted[i - 1] > wanted[i]).unwrap_or(0);
    if ascending_from == 0 && current.is_none() {
        return HintEdit::Keep;
    }
    let mut sorted = wanted.to_vec();
    sorted.sort_unstable();
    let renders_as_wanted = |hint: Option<&str>| {
        rendered_order(&sorted, hint).into_iter().map(|index| sorted[index]).eq(wanted.iter().copied())
    };
    if renders_as_wanted(current) {
        return HintEdit::Keep;
    }
    if ascending_from == 0 {
        return HintEdit::Remove;
    }
    // The tail after the prefix must be the ascending list of everything not named, which holds for
    // any suffix that ascends.
    let mut hint = String::from("[");
    for (index, key) in wanted[..ascending_from].iter().enumerate() {
        if index > 0 {
            hint.push(',');
        }
        render_string(key, &mut hint);
    }
    hint.push(']');
    match (hint.len() <= MAX_ORDER_HINT_BYTES, current) {
        (true, _) => HintEdit::Write(hint),
        (false, Some(_)) => HintEdit::Remove,
        (false, None) => HintEdit::Keep,
    }
}
