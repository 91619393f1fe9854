//! One self-contained HTML page: style, code and data in one file that asks nobody for anything.
//!
//! What is drawn, and how it is used, is in `docs/reports.md`; the page itself is in `html/`. It is vanilla
//! JavaScript on a canvas: a hundred nodes with thousands of events are too many elements for a document, and a
//! library would be most of the file.

mod columns;
mod finding;
mod page;
#[cfg(test)]
mod tests;

use serde::Serialize;

pub(super) use columns::sessions;

use super::Report;

const SHELL: &str = include_str!("html/page.html");
const STYLE: &str = include_str!("html/page.css");
const SCRIPTS: [&str; 6] = [
    include_str!("html/model.js"),
    include_str!("html/lanes.js"),
    include_str!("html/charts.js"),
    include_str!("html/chrome.js"),
    include_str!("html/keys.js"),
    include_str!("html/selftest.js"),
];

impl Report<'_> {
    /// The page. Everything in it is bounded: 5 MB at most.
    pub fn html(&self) -> String {
        let data = block(&page::Page::of(self));
        let nonce = nonce(&data);
        let mut out = String::with_capacity(SHELL.len() + data.len() + 128 * 1024);
        let mut rest = SHELL;
        // Of what is filled in, nothing is looked at again: a document id that reads like a placeholder stays one.
        while let Some((before, after)) = rest.split_once("{{") {
            let (name, after) = after.split_once("}}").expect("invariant: the shell closes its placeholders");
            out.push_str(before);
            match name {
                "title" => out.push_str(&escape(&format!("{} {}", self.verdict, self.record.meta.scenario))),
                "nonce" => out.push_str(&nonce),
                "style" => out.push_str(STYLE),
                "data" => out.push_str(&data),
                "script" => SCRIPTS.iter().for_each(|script| out.push_str(script)),
                other => unreachable!("invariant: the shell has no placeholder {other}"),
            }
            rest = after;
        }
        out.push_str(rest);
        out
    }
}

/// JSON that cannot end the element that it is in, nor begin another one: there is no `<`, `>` or `&` in it.
fn block(value: &impl Serialize) -> String {
    let json = serde_json::to_string(value).expect("invariant: the page has text keys only");
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            // These stand only inside of strings, where an escape means the same.
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => out.push_str(&format!("\\u{:04x}", c as u32)),
            other => out.push(other),
        }
    }
    out
}

/// Lets the page's own scripts run and no others: whoever wanted to smuggle one in would have to know a number that
/// depends on what he smuggles. FNV-1a; escaping is what the safety rests on, this is the second lock.
fn nonce(data: &str) -> String {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    format!("{:016x}", data.bytes().fold(0xcbf2_9ce4_8422_2325, step))
}

/// Text as HTML.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}
