//! Which documents an answer of the agent stands for.
//!
//! A whitelist: a document is built from the fields of `docs/agent.md` and nothing else. Texts are bounded, ids are
//! checked, annotations that look like a credential are left out.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::answers::{DeployedPackage, Leaf, Level, PulledPackage, PulledTag, Registry};
use crate::core::key::DocKey;
use crate::limits;

/// The fields of a document, in the order in which they are written.
pub type Fields = Map<String, Value>;

/// The documents of one collection that an answer stands for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Listing {
    /// By document id.
    pub documents: BTreeMap<String, Fields>,
    /// Whether every item could be read. If not, what is missing may well be there, and nothing is removed.
    pub whole: bool,
    /// Items left out because no document can be named after them: an illegal or too long id, or the same twice.
    pub skipped: u32,
    /// Annotations left out: no text, too long, too many, or looking like a credential.
    pub annotations_left_out: u32,
}

/// Where an agent's documents are, besides `platforms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Collection {
    /// What is deployed.
    Deployments,
    /// What is pulled.
    Packages,
}

impl Collection {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Deployments, Self::Packages];

    /// As in the store.
    pub fn name(self) -> &'static str {
        match self {
            Self::Deployments => "deployments",
            Self::Packages => "packages",
        }
    }
}

/// The beginning of the id of every document of an agent.
pub fn id_prefix(agent_id: &str) -> String {
    format!("{agent_id}:")
}

/// `deployments` of an agent.
pub fn deployments(agent_id: &str, packages: Vec<DeployedPackage>) -> Listing {
    let mut candidates = Vec::with_capacity(packages.len());
    let mut listing = Listing { whole: true, ..Listing::default() };
    for package in packages {
        if !package.is_whole() {
            listing.whole = false;
            continue;
        }
        let mut fields = owned_by(agent_id);
        let name = text(&package.name);
        fields.insert("name".into(), name.into());
        put_text(&mut fields, "version", &package.version);
        put_number(&mut fields, "status", &package.status);
        put_text(&mut fields, "flavor", &package.flavor);
        put_text(&mut fields, "namespace_override", &package.namespace_override);
        if let Leaf::Is(annotations) = &package.annotations {
            let all = annotations.texts.len();
            let harmless = annotations.texts.iter().filter(|(key, value)| !looks_secret(key, value));
            let kept: Fields = harmless.map(|(key, value)| (key.clone(), value.as_str().into())).collect();
            listing.annotations_left_out += annotations.left_out + (all - kept.len()) as u32;
            if !kept.is_empty() {
                fields.insert("annotations".into(), Value::Object(kept));
            }
        }
        let qualifier = text(&package.namespace_override).to_owned();
        candidates.push(Candidate { name: name.to_owned(), qualifier, fields });
    }
    listing.take(agent_id, Collection::Deployments, candidates);
    listing
}

/// `packages` of an agent.
pub fn packages(agent_id: &str, registries: &[Registry]) -> Listing {
    let mut candidates = Vec::new();
    let mut listing = Listing { whole: true, ..Listing::default() };
    for registry in registries {
        listing.whole &= registry.is_whole() && !registry.packages.overflown;
        for package in &registry.packages.items {
            listing.whole &= package.is_whole() && !package.tags.overflown;
            for tag in &package.tags.items {
                if !registry.is_whole() || !package.is_whole() || !tag.is_whole() || has_negative(tag) {
                    listing.whole = false;
                    continue;
                }
                candidates.push(pulled(agent_id, registry, package, tag));
            }
        }
    }
    listing.take(agent_id, Collection::Packages, candidates);
    listing
}

fn has_negative(tag: &PulledTag) -> bool {
    [&tag.total_bytes, &tag.pull_info.downloaded_bytes].into_iter().any(|n| n.value().is_some_and(|n| *n < 0))
}

fn pulled(agent_id: &str, registry: &Registry, package: &PulledPackage, tag: &PulledTag) -> Candidate {
    let mut fields = owned_by(agent_id);
    let name = text(&tag.reference).to_owned();
    fields.insert("reference".into(), name.as_str().into());
    put_text(&mut fields, "registry", &registry.name);
    if let Some(host) = registry.host.value().filter(|host| is_host(host)) {
        fields.insert("registry_host".into(), host.as_str().into());
    }
    put_text(&mut fields, "repo_name", &package.repo_name);
    put_text(&mut fields, "package_name", &package.package_name);
    put_text(&mut fields, "arch", &tag.arch);
    put_text(&mut fields, "version", &tag.version);
    put_number(&mut fields, "total_bytes", &tag.total_bytes);
    let (downloaded, status) = (&tag.pull_info.downloaded_bytes, &tag.pull_info.status);
    let mut pull = Fields::new();
    match status.value() {
        Some(Level::Number(number)) => {
            pull.insert("status".into(), (*number).into());
        }
        Some(Level::Name(name)) => {
            pull.insert("status".into(), name.as_str().into());
        }
        None => {}
    }
    if let (Some(downloaded), Some(total)) = (downloaded.value(), tag.total_bytes.value().filter(|total| **total > 0)) {
        pull.insert("complete".into(), (downloaded >= total).into());
    }
    put_number(&mut pull, DOWNLOADED_BYTES, downloaded);
    if !pull.is_empty() {
        fields.insert("pull".into(), Value::Object(pull));
    }
    Candidate { name, qualifier: text(&tag.arch).to_owned(), fields }
}

/// Moves while a package is pulled. Told with the next change of anything else, and no reason to write by itself.
const DOWNLOADED_BYTES: &str = "downloaded_bytes";

/// What of a document is worth a write: everything but how far a pull is.
pub fn content(document: &Fields) -> Fields {
    let mut content = document.clone();
    if let Some(Value::Object(pull)) = content.get_mut("pull") {
        pull.shift_remove(DOWNLOADED_BYTES);
    }
    content
}

/// A document that has no id yet.
struct Candidate {
    name: String,
    /// Tells it from others of the same name.
    qualifier: String,
    fields: Fields,
}

impl Listing {
    /// Names the documents. The first of a name, by qualifier, gets the id of the contract, further ones have their
    /// qualifier behind it; so ids do not depend on the order of the answer.
    fn take(&mut self, agent_id: &str, collection: Collection, mut candidates: Vec<Candidate>) {
        candidates.sort_by(|a, b| (&a.name, &a.qualifier).cmp(&(&b.name, &b.qualifier)));
        let mut before: Option<String> = None;
        for Candidate { name, qualifier, fields } in candidates {
            let again = before.as_deref() == Some(&name);
            let id = match again {
                false => format!("{}{name}", id_prefix(agent_id)),
                true => format!("{}{name}:{qualifier}", id_prefix(agent_id)),
            };
            let legal = is_name(&name) && DocKey::new(collection.name(), id.as_str()).is_ok();
            if !legal || (again && qualifier.is_empty()) || self.documents.contains_key(&id) {
                self.skipped += 1;
            } else if self.documents.len() == limits::MAX_AGENT_DOCUMENTS {
                self.skipped += 1;
                self.whole = false;
            } else {
                self.documents.insert(id, fields);
            }
            before = Some(name);
        }
    }
}

fn owned_by(agent_id: &str) -> Fields {
    Fields::from_iter([(AGENT_ID.into(), Value::from(agent_id))])
}

/// Says whose a document is: nothing without it is ever removed.
pub const AGENT_ID: &str = "agent_id";

fn text(leaf: &Leaf<String>) -> &str {
    leaf.value().map_or("", String::as_str)
}

/// What is empty is left out, as proto3 JSON would; and what looks like a credential that somebody typed into it.
fn put_text(fields: &mut Fields, key: &str, leaf: &Leaf<String>) {
    if let Some(value) = leaf.value().filter(|value| !value.is_empty() && !looks_secret(key, value)) {
        fields.insert(key.into(), value.as_str().into());
    }
}

fn put_number(fields: &mut Fields, key: &str, leaf: &Leaf<i64>) {
    if let Some(value) = leaf.value() {
        fields.insert(key.into(), (*value).into());
    }
}

/// Names and image references have no spaces, and no credentials: `user:password@host/image` is neither.
fn is_name(name: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || "._-/:+~@".contains(c);
    if name.is_empty() || !name.chars().all(legal) || name.contains("://") {
        return false;
    }
    // An @ stands before a digest only: sha256:hex.
    match name.split_once('@') {
        None => true,
        Some((_, digest)) => digest.split_once(':').is_some_and(|(algorithm, hex)| {
            algorithm.chars().all(|c| c.is_ascii_alphanumeric()) && hex.bytes().all(|b| b.is_ascii_hexdigit())
        }),
    }
}

/// A host with or without a port and a path; nothing that may hold a user and a password.
fn is_host(host: &str) -> bool {
    !host.is_empty()
        && host.chars().all(|c| c.is_ascii_alphanumeric() || "._-:/[]".contains(c))
        && !host.contains("://")
}

/// Words of keys that credentials are kept under.
const SECRET_WORDS: [&str; 9] =
    ["password", "passwd", "passphrase", "token", "secret", "credential", "apikey", "privatekey", "accesskey"];

/// Whether a text looks like a credential, by its key, or by its value as PEM, a web token or a URL with a
/// password have it. A safety net: what is secret has no business in an annotation.
fn looks_secret(key: &str, value: &str) -> bool {
    let word: String = key.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    let lower = value.to_ascii_lowercase();
    let user_in_url = value.split("://").skip(1).any(|rest| {
        let authority = rest.split(['/', '?', '#', ' ']).next().unwrap_or_default();
        authority.contains('@')
    });
    let web_token = value
        .split(|c: char| c.is_whitespace() || "\"',;=".contains(c))
        .any(|word| word.starts_with("eyJ") && word.bytes().filter(|b| *b == b'.').count() == 2);
    SECRET_WORDS.iter().any(|secret| word.contains(secret))
        || SECRET_WORDS[..4]
            .iter()
            .any(|secret| lower.contains(&format!("{secret}=")) || lower.contains(&format!("{secret}:")))
        || value.contains("-----BEGIN")
        || lower.starts_with("bearer ")
        || lower.starts_with("basic ")
        || user_in_url
        || web_token
}

#[cfg(test)]
mod tests;
