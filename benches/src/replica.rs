//! What a subscriber of a node has been told: the view of an application beside it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use peat_proto::client::{ChangeType, SubscribeRequest};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::Failure;
use crate::node::Node;
use crate::workload::COLLECTION;

/// One document as its subscriber knows it.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) json: String,
    /// When the latest version came.
    pub(crate) at: Instant,
    /// How often it was told.
    pub(crate) times: usize,
}

/// A subscription that is read all the time.
pub(crate) struct Replica {
    told: Arc<Mutex<BTreeMap<String, Told>>>,
    news: Arc<Notify>,
    reader: JoinHandle<()>,
}

impl Replica {
    /// Subscribes to the collection that is measured.
    pub(crate) async fn of(node: &mut Node) -> Result<Self, Failure> {
        let request = SubscribeRequest { collections: vec![COLLECTION.into()], ..Default::default() };
        let mut stream = node.client.subscribe(request).await?.into_inner();
        let told: Arc<Mutex<BTreeMap<String, Told>>> = Arc::default();
        let news = Arc::new(Notify::new());
        let (to, wake) = (Arc::clone(&told), Arc::clone(&news));
        let reader = tokio::spawn(async move {
            // It ends with the node; whoever waits for more than came runs into its deadline.
            while let Ok(Some(change)) = stream.message().await {
                let at = Instant::now();
                let mut told = to.lock().expect("no reader panics");
                if change.change_type() == ChangeType::Delete {
                    told.remove(&change.doc_id);
                } else {
                    let json = change.json_data.unwrap_or_default();
                    let times = told.get(&change.doc_id).map_or(0, |before| before.times) + 1;
                    told.insert(change.doc_id, Told { json, at, times });
                }
                drop(told);
                wake.notify_one();
            }
        });
        Ok(Self { told, news, reader })
    }

    /// Looks at what was told so far.
    pub(crate) fn read<T>(&self, look: impl FnOnce(&BTreeMap<String, Told>) -> T) -> T {
        look(&self.told.lock().expect("no reader panics"))
    }

    /// Waits until something holds; the moment it was seen, or none when it did not within the time.
    pub(crate) async fn wait_until(
        &self,
        within: Duration,
        holds: impl Fn(&BTreeMap<String, Told>) -> bool,
    ) -> Option<Instant> {
        let waiting = async {
            while !self.read(&holds) {
                self.news.notified().await;
            }
            Instant::now()
        };
        tokio::time::timeout(within, waiting).await.ok()
    }

    /// Waits until it is told exactly these documents.
    pub(crate) async fn wait_equal(&self, expected: &BTreeMap<String, String>, within: Duration) -> Option<Instant> {
        self.wait_until(within, |told| told.len() == expected.len() && lacks(told, expected) == 0).await
    }
}

/// How many of the documents are missing or differ.
pub(crate) fn lacks(told: &BTreeMap<String, Told>, expected: &BTreeMap<String, String>) -> usize {
    expected.iter().filter(|(id, json)| told.get(*id).is_none_or(|told| told.json != **json)).count()
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.reader.abort();
    }
}
