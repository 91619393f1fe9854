//! Reading: one document or many, lists, and waiting for a version.

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::super::error::ReadError;
use super::super::subscription::Subscription;
use super::{NodeHandle, read_error};
use crate::core::documents::Reading;
use crate::core::engine::Core;
use crate::core::key::{DocKey, check_collection};
use crate::core::version::Version;
use crate::core::watch::{Cursor, Selection};
use crate::core::wire::Seq;
use crate::limits;

/// A document as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadDocument {
    /// Collection.
    pub collection: String,
    /// Id within the collection.
    pub doc_id: String,
    /// Compact JSON text; `None`: there is no such document.
    pub text: Option<String>,
    /// Version of the document, deleted or not.
    pub version: Version,
}

/// A version that an answer must contain.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wanted {
    /// Collection.
    pub collection: String,
    /// Id within the collection.
    pub doc_id: String,
    /// Token of the version; empty: whatever is there.
    pub min_version: String,
}

/// What a list is to have.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ListQuery {
    /// Collection.
    pub collection: String,
    /// Beginning of the ids, and condition on the content; its collections are not looked at.
    pub selection: Selection,
    /// Documents in the answer; 0: all, or [`limits::DEFAULT_PAGE_DOCUMENTS`] where each costs something.
    pub page_size: u32,
    /// Where the page before ended; empty: the first page.
    pub page_token: String,
    /// Whether the texts are wanted, too.
    pub include_content: bool,
    /// Versions that the answer must contain.
    pub after: Vec<Wanted>,
    /// How long to wait for them, in milliseconds.
    pub wait_ms: u32,
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// Ids, ascending.
    pub ids: Vec<String>,
    /// The documents, if they were asked for.
    pub documents: Vec<ReadDocument>,
    /// Asks for the next page; empty: this was the last one.
    pub next_page_token: String,
}

/// What a reader wants to be told of, and from where on.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Watching {
    /// Which documents.
    pub selection: Selection,
    /// Whether the end of the snapshot is told.
    pub markers: bool,
    /// Cursor of the last event that was taken; empty: from the beginning.
    pub resume_cursor: String,
}

impl NodeHandle {
    /// The document's compact JSON text; `None` when it was never written or is deleted.
    pub async fn get(&self, collection: &str, doc_id: &str) -> Result<Option<String>, ReadError> {
        let key = DocKey::new(collection, doc_id)?;
        let Reading { text, seq, .. } = self.shared.with_core(|core| core.read(&key, false)).map_err(read_error)?;
        self.wait_visible(seq).await?;
        Ok(text)
    }

    /// The document with all that is to be told of it, once it contains a version, from whatever node.
    pub async fn read(&self, wanted: &Wanted, wait_ms: u32, with_conflicts: bool) -> Result<Reading, ReadError> {
        let key = self.await_versions(std::slice::from_ref(wanted), wait_ms).await?.remove(0);
        let reading = self.shared.with_core(|core| core.read(&key, with_conflicts)).map_err(read_error)?;
        self.wait_visible(reading.seq).await?;
        Ok(reading)
    }

    /// Reads documents in the order asked for, each at a moment of its own. Fewer than asked for if more would not fit
    /// into [`limits::MAX_ANSWER_BYTES`]; never none.
    pub async fn get_many(&self, wanted: &[Wanted], wait_ms: u32) -> Result<Vec<ReadDocument>, ReadError> {
        if wanted.len() > limits::MAX_DOCUMENTS_READ {
            return Err(ReadError::TooMany {
                what: "documents",
                actual: wanted.len(),
                limit: limits::MAX_DOCUMENTS_READ,
                remedy: "ask in several requests",
            });
        }
        let keys = self.await_versions(wanted, wait_ms).await?;
        self.read_all(&keys).await
    }

    /// Ids of the live documents of a collection, sorted.
    pub async fn list(&self, collection: &str) -> Result<Vec<String>, ReadError> {
        Ok(self.page(&ListQuery { collection: collection.into(), ..ListQuery::default() }).await?.ids)
    }

    /// Ids and texts of the live documents of a collection, sorted by id. Each document is read at a
    /// moment of its own.
    pub async fn scan(&self, collection: &str) -> Result<Vec<(String, String)>, ReadError> {
        let mut found = Vec::new();
        for id in self.list(collection).await? {
            if let Some(text) = self.get(collection, &id).await? {
                found.push((id, text));
            }
        }
        Ok(found)
    }

    /// Live documents of a collection, in the order of their ids, a page at a time. A document that is there while all
    /// pages are read is on exactly one of them, whatever is written meanwhile. Costs what is on the page; with a
    /// filter, what is looked at for it.
    pub async fn page(&self, query: &ListQuery) -> Result<Page, ReadError> {
        check_collection(&query.collection)?;
        let most = page_size(query)?;
        let mut after = parse_page_token(query)?;
        if query.after.len() > limits::MAX_DOCUMENTS_READ {
            return Err(ReadError::TooMany {
                what: "versions in after",
                actual: query.after.len(),
                limit: limits::MAX_DOCUMENTS_READ,
                remedy: "wait for the ones that were written last",
            });
        }
        self.await_versions(&query.after, query.wait_ms).await?;
        let is_read = query.include_content || query.selection.filter.is_some();
        let (mut page, mut seq, mut bytes, mut looked_at, mut is_full) = (Page::default(), 0, 0, 0, false);
        loop {
            let step = match is_read {
                true => (most - page.ids.len()).min(limits::MAX_READS_AT_ONCE),
                false => most - page.ids.len(),
            };
            let prefix = &query.selection.doc_id_prefix;
            let listed = self.shared.with_core(|core| core.list(&query.collection, prefix, &after, step));
            seq = listed.seq.max(seq);
            let mut last = listed.last;
            if is_read {
                looked_at += listed.ids.len();
                let keys: Vec<DocKey> = listed.ids.iter().map(|id| DocKey::bound(&query.collection, id)).collect();
                for reading in self.read_some(&keys, &mut seq)? {
                    let Some(text) = reading.text.as_ref().filter(|text| query.selection.matches(text)) else {
                        continue;
                    };
                    let content = if query.include_content { text.len() } else { 0 };
                    if bytes + content > limits::MAX_ANSWER_BYTES && !page.ids.is_empty() {
                        // This one is the first of the next page.
                        last = page.ids.last().cloned();
                        is_full = true;
                        break;
                    }
                    bytes += content;
                    page.ids.push(reading.doc_id.clone());
                    if query.include_content {
                        page.documents.push(reading);
                    }
                }
            } else {
                bytes += listed.ids.iter().map(String::len).sum::<usize>();
                if bytes > limits::MAX_LIST_BYTES {
                    return Err(ReadError::ListTooLarge { limit: limits::MAX_LIST_BYTES });
                }
                page.ids.extend(listed.ids);
            }
            let Some(last) = last else { break };
            is_full |= page.ids.len() >= most || looked_at >= limits::MAX_FILTERED_PER_PAGE;
            if is_full {
                page.next_page_token = page_token(query, &last);
                break;
            }
            after = last;
            tokio::task::yield_now().await;
        }
        self.wait_visible(seq).await?;
        Ok(page)
    }

    /// Snapshot, then live changes, or what came after a cursor.
    pub fn subscribe(&self, watching: Watching) -> Result<Subscription, ReadError> {
        let Watching { selection, markers, resume_cursor } = watching;
        if selection.collections.len() > limits::MAX_SUBSCRIBED_COLLECTIONS {
            return Err(ReadError::TooMany {
                what: "collections",
                actual: selection.collections.len(),
                limit: limits::MAX_SUBSCRIBED_COLLECTIONS,
                remedy: "subscribe to all (an empty list) and filter",
            });
        }
        selection.collections.iter().try_for_each(|collection| check_collection(collection))?;
        let cursor = match resume_cursor.as_str() {
            "" => None,
            text => Some(Cursor::parse(text)?),
        };
        let open = self.shared.with_core(|core| core.watch_count());
        if open >= limits::MAX_SUBSCRIPTIONS {
            return Err(ReadError::TooMany {
                what: "subscriptions",
                actual: open + 1,
                limit: limits::MAX_SUBSCRIPTIONS,
                remedy: "close one first, or share one stream",
            });
        }
        Ok(Subscription::new(self.shared.clone(), selection, markers, cursor))
    }

    async fn read_all(&self, keys: &[DocKey]) -> Result<Vec<ReadDocument>, ReadError> {
        let (mut found, mut bytes, mut seq) = (Vec::with_capacity(keys.len()), 0, 0);
        'all: for some in keys.chunks(limits::MAX_READS_AT_ONCE) {
            for reading in self.read_some(some, &mut seq)? {
                bytes += reading.text.as_ref().map_or(0, String::len);
                if bytes > limits::MAX_ANSWER_BYTES && !found.is_empty() {
                    break 'all;
                }
                found.push(reading);
            }
            if keys.len() > limits::MAX_READS_AT_ONCE {
                tokio::task::yield_now().await;
            }
        }
        self.wait_visible(seq).await?;
        Ok(found)
    }

    /// Reads a few at once; `seq` becomes the number that must be durable before they may be shown.
    fn read_some(&self, keys: &[DocKey], seq: &mut Seq) -> Result<Vec<ReadDocument>, ReadError> {
        let mut read = |core: &mut Core, key: &DocKey| {
            let Reading { text, version, seq: of, .. } = core.read(key, false)?;
            *seq = (*seq).max(of);
            let (collection, doc_id) = (key.collection().to_owned(), key.id().to_owned());
            Ok(ReadDocument { collection, doc_id, text, version })
        };
        self.shared
            .with_core(|core| keys.iter().map(|key| read(core, key)).collect::<Result<_, _>>())
            .map_err(read_error)
    }

    /// Waits until every version is here and durable. Returns the keys.
    async fn await_versions(&self, wanted: &[Wanted], wait_ms: u32) -> Result<Vec<DocKey>, ReadError> {
        let wait = Duration::from_millis(wait_ms.into());
        if wait > limits::MAX_READ_WAIT {
            return Err(ReadError::WaitTooLong {
                given_ms: wait_ms,
                limit_ms: limits::MAX_READ_WAIT.as_millis() as u32,
            });
        }
        let mut keys = Vec::with_capacity(wanted.len());
        let mut versions = Vec::new();
        for (index, Wanted { collection, doc_id, min_version }) in wanted.iter().enumerate() {
            let key = DocKey::new(collection, doc_id)?;
            if !min_version.is_empty() {
                let version = Version::parse(min_version).map_err(|source| ReadError::Version { source })?;
                versions.push((index, version));
            }
            keys.push(key);
        }
        if !versions.is_empty() {
            let all = async {
                for (index, version) in &versions {
                    self.await_version(&keys[*index], version, wait_ms).await?;
                }
                Ok::<_, ReadError>(())
            };
            // Looks once also if there is no time to wait.
            match tokio::time::timeout(wait, all).await {
                Ok(done) => done?,
                Err(_) => {
                    let missing = self.first_missing(&keys, &versions)?;
                    return Err(ReadError::NotYet { key: missing, waited_ms: wait_ms });
                }
            }
        }
        Ok(keys)
    }

    async fn await_version(&self, key: &DocKey, version: &Version, wait_ms: u32) -> Result<(), ReadError> {
        let contains = |core: &mut Core| core.contains(key, version);
        let mut seq = self.shared.with_core(contains).map_err(read_error)?;
        if seq.is_none() {
            if wait_ms == 0 {
                return Err(ReadError::NotYet { key: key.to_string(), waited_ms: 0 });
            }
            let changed = self.shared.wait_for_change(key.clone())?;
            loop {
                seq = self.shared.with_core(contains).map_err(read_error)?;
                if seq.is_some() {
                    break;
                }
                changed.notified().await;
            }
        }
        match seq {
            Some(seq) => self.wait_visible(seq).await,
            None => Ok(()),
        }
    }

    /// Which document a wait that ran out was for.
    fn first_missing(&self, keys: &[DocKey], versions: &[(usize, Version)]) -> Result<String, ReadError> {
        for (index, version) in versions {
            let key = &keys[*index];
            if self.shared.with_core(|core| core.contains(key, version)).map_err(read_error)?.is_none() {
                return Ok(key.to_string());
            }
        }
        // It arrived in the last moment, or waits for the disk.
        Ok(keys[versions[0].0].to_string())
    }
}

fn page_size(query: &ListQuery) -> Result<usize, ReadError> {
    let is_cheap = !query.include_content && query.selection.filter.is_none();
    match query.page_size as usize {
        0 if is_cheap && query.page_token.is_empty() => Ok(usize::MAX),
        0 => Ok(limits::DEFAULT_PAGE_DOCUMENTS),
        size if size > limits::MAX_PAGE_DOCUMENTS => {
            Err(ReadError::PageSize { given: query.page_size, limit: limits::MAX_PAGE_DOCUMENTS })
        }
        size => Ok(size),
    }
}

/// What a page token is good for.
fn list_fingerprint(query: &ListQuery) -> [u8; 4] {
    let collections = [query.collection.clone()].into();
    Selection { collections, ..query.selection.clone() }.fingerprint()
}

/// Base64 of the fingerprint of what is listed and the last id that was looked at.
fn page_token(query: &ListQuery, last: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode([&list_fingerprint(query), last.as_bytes()].concat())
}

/// The id that a page begins after; empty: at the beginning.
fn parse_page_token(query: &ListQuery) -> Result<String, ReadError> {
    if query.page_token.is_empty() {
        return Ok(String::new());
    }
    let longest = (limits::MAX_DOC_ID_BYTES + 4).div_ceil(3) * 4;
    let bytes = Some(&query.page_token).filter(|token| token.len() <= longest);
    let bytes = bytes.and_then(|token| BASE64_URL_SAFE_NO_PAD.decode(token).ok()).ok_or(ReadError::PageToken)?;
    let (fingerprint, last) = bytes.split_first_chunk().ok_or(ReadError::PageToken)?;
    if *fingerprint != list_fingerprint(query) {
        return Err(ReadError::PageTokenOfAnother);
    }
    String::from_utf8(last.to_vec()).map_err(|_| ReadError::PageToken)
}
