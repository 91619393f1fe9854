//! What a replica holds, as an application would read it.

use std::collections::BTreeMap;

use peat_proto::client::{GetDocumentRequest, ListDocumentsRequest};
use tonic::Status;

use super::{Client, Logbook};
use crate::plan::DocKey;
use crate::record::FinalDoc;

/// Reads every document of these collections.
pub async fn documents(
    mut client: Client,
    collections: &[String],
    journal: &impl Logbook,
) -> Result<BTreeMap<DocKey, FinalDoc>, Status> {
    let mut docs = BTreeMap::new();
    for collection in collections {
        let request = ListDocumentsRequest { collection: collection.clone(), ..Default::default() };
        for doc_id in client.list_documents(request).await?.into_inner().doc_ids {
            let request =
                GetDocumentRequest { collection: collection.clone(), doc_id: doc_id.clone(), ..Default::default() };
            // A document that is listed and not found was deleted in between.
            let read = client.get_document(request).await?.into_inner();
            let Some(json) = read.json_data else { continue };
            journal.write(|record, _| {
                let key = record.key(collection, &doc_id);
                let json = Some(record.intern(&json));
                // The version names the heads.
                docs.insert(key, FinalDoc { json, heads: Some(read.version) });
            });
        }
    }
    Ok(docs)
}
