//! The methods. What is checked, and how, is the node's business; here requests are taken apart and
//! answers put together.

use connectrpc::{ConnectError as Status, RequestContext, Response, ServiceRequest, ServiceResult, ServiceStream};
use futures::stream;
use peat_proto::server::*;
use tokio_util::sync::CancellationToken;

use super::collections;
use super::error::stopped;
use super::operator;
use super::reads;
use super::typed::{self, Record, RecordError};
use super::writes;
use crate::node::{Content, NodeHandle, Subscription, Write};
use crate::store::Backup;

/// The service over one node.
pub(super) struct Sidecar {
    node: NodeHandle,
    shutdown: CancellationToken,
}

impl Sidecar {
    /// Subscriptions end, with an error, once `shutdown` is cancelled: nothing else would end them.
    pub(super) fn new(node: NodeHandle, shutdown: CancellationToken) -> Self {
        Self { node, shutdown }
    }

    pub(super) async fn put_record<R: Record>(&self, record: Option<&R>) -> Result<(), Status> {
        let record = record.ok_or(RecordError::Missing { record: R::NAME })?;
        typed::check(record)?;
        let over = |current: Option<String>| Ok(typed::to_document(record, current.as_deref())?);
        self.node.modify(R::COLLECTION, record.id(), over).await
    }

    async fn get_records<R: Record>(&self) -> Result<Vec<R>, Status> {
        let documents = self.node.scan(R::COLLECTION).await?;
        Ok(documents.into_iter().map(|(id, text)| typed::from_document(id, &text)).collect())
    }
}

#[expect(refining_impl_trait, reason = "the trait leaves open what a body is; these are the messages themselves")]
impl PeatSidecar for Sidecar {
    async fn get_status(
        &self,
        _: RequestContext,
        _: ServiceRequest<'_, GetStatusRequest>,
    ) -> ServiceResult<GetStatusResponse> {
        Response::ok(operator::status(self.node.status()))
    }

    async fn connect_peer(
        &self,
        _: RequestContext,
        request: ServiceRequest<'_, ConnectPeerRequest>,
    ) -> ServiceResult<ConnectPeerResponse> {
        let addresses = request.addresses.iter().map(|a| (*a).to_owned()).collect();
        self.node.connect_peer(request.endpoint_id, addresses, request.relay_url).await?;
        Response::ok(ConnectPeerResponse::default())
    }

    async fn disconnect_peer(
        &self,
        _: RequestContext,
        request: ServiceRequest<'_, DisconnectPeerRequest>,
    ) -> ServiceResult<DisconnectPeerResponse> {
        self.node.disconnect_peer(request.endpoint_id).await?;
        Response::ok(DisconnectPeerResponse::default())
    }

    async fn list_peers(
        &self,
        _: RequestContext,
        _: ServiceRequest<'_, ListPeersRequest>,
    ) -> ServiceResult<ListPeersResponse> {
        let peers = self.node.list_peers().into_iter().map(operator::peer).collect();
        Response::ok(ListPeersResponse { peers, ..Default::default() })
    }

    async fn put_document(
        &self,
        _: RequestContext,
        request: ServiceRequest<'_, PutDocumentRequest>,
    ) -> ServiceResult<PutDocumentResponse> {
        let write = Write {
            collection: request.collection,
            doc_id: request.doc_id,
            content: Content::Put(request.json_data),
            expected_version: request.expected_version,
        };
        let version = self.node.write_one(write, request.idempotency_key).await?;
        Response::ok(PutDocumentResponse { version, ..Default::default() })
    }

    async fn put_documents(
        &self,
        _: RequestContext,
        request: ServiceRequest<'_, PutDocumentsRequest>,
    ) -> ServiceResult<PutDocumentsResponse> {
        let writes: Vec<Write<'_>> = request
            .documents
            .iter()
            .map(|document| Write {
                collection: document.collection,
                doc_id: document.doc_id,
                content: Content::Put(document.json_data),
                expected_version: document.expected_version,
            })
            .collect();
        let versions = self.node.write_all(&writes, request.idempotency_key).await?;
        Response::ok(PutDocumentsResponse { versions, ..Default::default() })
    }

    async fn patch_document(
        &self,
        _: RequestContext,
        request: ServiceRequest<'_, PatchDocumentRequest>,
    ) -> ServiceResult<PatchDocumentResponse> {
        let write = Write {
            collection: request.collection,
            doc_id: request.doc_id,
            content: Content::Patch(request.json_patch),
            expected_version: request.expected_version,
        };
        let version = self.node.write_one(write, request.idempotency_key).await?;
        Response::ok(PatchDocumentResponse { version, ..Default::default() })
    }

    async fn get_limits(
        &self,
        _: RequestContext,
        _: ServiceRequest<'_, GetLimitsRequest>,
    ) -> ServiceResult<GetLimitsResponse> {
        Response::ok(writes::limits(self.node.limits()))
    }

    async fn get_document(
        &self,
        _: RequestContext,
        request: ServiceRequest<'_, GetDocumentRequest>,
    ) -> ServiceResult<GetDocumentResponse> {
        let wanted = reads::wanted(&request);
        let reading = self.node.read(&wanted, request.wait_ms, request.include_conflicts).await?;
        Response::ok(writes::reading(reading))
    }

    async fn delete_document(
        &self,
        _: RequestContext,
        request: ServiceRequest<'_, DeleteDocumentRequest>,
    ) -> ServiceResult<DeleteDocumentResponse> {
        let write = Write {
            collection: request.collection,
            doc_id: request.doc_id,
            content: Content::Delete,
            expected_version: request.expected_version,
        };
        let version = self.node.write_one(write, request.idempotency_key).await?;
        Response::ok(DeleteDocumentResponse { version, ..Default::default() })
    }

    async fn list_documents(
        &self,
        _: RequestContext,
        request: ServiceRequest<'_, ListDocumentsRequest>,
    ) -> ServiceResult<ListDocumentsResponse> {
        let query = reads::list_query(&request.to_owned_message())?;
        Response::ok(reads::listed(self.node.page(&query).await?))
    }

    async fn get_documents(
        &self,
        _: RequestContext,
        request: ServiceRequest<'_, GetDocumentsRequest>,
    ) -> ServiceResult<GetDocumentsResponse> {
        let wanted = reads::wanted_many(&request.to_owned_message());
        let documents = self.node.get_many(&wanted, request.wait_ms).await?;
        Response::ok(reads::documents(documents, wanted.len()))
    }

    async fn set_collection(
        &self,
        _: RequestContext,
        request: ServiceRequest<'_, SetCollectionRequest>,
    ) -> ServiceResult<SetCollectionResponse> {
        let unknown = |field: &str, given: i32| {
            Status::invalid_argument(format!(
                "{field} {given} is not known to this version; see the contract for its values"
            ))
        };
        let history = request.history;
        let history = history.as_known().ok_or_else(|| unknown("history", history.to_i32()))?;
        let deletion = request.deletion_policy;
        let deletion = deletion.as_known().ok_or_else(|| unknown("deletion_policy", deletion.to_i32()))?;
        let policy = collections::policy(history, deletion, request.retention_seconds)?;
        self.node.set_collection(request.collection, policy).await?;
        Response::ok(SetCollectionResponse::default())
    }

    async fn get_collections(
        &self,
        _: RequestContext,
        _: ServiceRequest<'_, GetCollectionsRequest>,
    ) -> ServiceResult<GetCollectionsResponse> {
        let collections = self.node.collections().into_iter().map(collections::shown).collect();
        Response::ok(GetCollectionsResponse { collections, ..Default::default() })
    }

    async fn put_platform(
        &self,
        _: RequestContext,
        request: ServiceRequest<'_, PutPlatformRequest>,
    ) -> ServiceResult<PutPlatformResponse> {
        self.put_record(request.to_owned_message().platform.as_option()).await?;
        Response::ok(PutPlatformResponse::default())
    }

    async fn get_platforms(
        &self,
        _: RequestContext,
        _: ServiceRequest<'_, GetPlatformsRequest>,
    ) -> ServiceResult<GetPlatformsResponse> {
        let platforms = self.get_records().await?;
        Response::ok(GetPlatformsResponse { platforms, ..Default::default() })
    }

    async fn put_cell(
        &self,
        _: RequestContext,
        request: ServiceRequest<'_, PutCellRequest>,
    ) -> ServiceResult<PutCellResponse> {
        self.put_record(request.to_owned_message().cell.as_option()).await?;
        Response::ok(PutCellResponse::default())
    }

    async fn get_cells(
        &self,
        _: RequestContext,
        _: ServiceRequest<'_, GetCellsRequest>,
    ) -> ServiceResult<GetCellsResponse> {
        let cells = self.get_records().await?;
        Response::ok(GetCellsResponse { cells, ..Default::default() })
    }

    async fn put_track(
        &self,
        _: RequestContext,
        request: ServiceRequest<'_, PutTrackRequest>,
    ) -> ServiceResult<PutTrackResponse> {
        self.put_record(request.to_owned_message().track.as_option()).await?;
        Response::ok(PutTrackResponse::default())
    }

    async fn get_tracks(
        &self,
        _: RequestContext,
        _: ServiceRequest<'_, GetTracksRequest>,
    ) -> ServiceResult<GetTracksResponse> {
        let tracks = self.get_records().await?;
        Response::ok(GetTracksResponse { tracks, ..Default::default() })
    }

    async fn put_command(
        &self,
        _: RequestContext,
        request: ServiceRequest<'_, PutCommandRequest>,
    ) -> ServiceResult<PutCommandResponse> {
        self.put_record(request.to_owned_message().command.as_option()).await?;
        Response::ok(PutCommandResponse::default())
    }

    async fn get_commands(
        &self,
        _: RequestContext,
        _: ServiceRequest<'_, GetCommandsRequest>,
    ) -> ServiceResult<GetCommandsResponse> {
        let commands = self.get_records().await?;
        Response::ok(GetCommandsResponse { commands, ..Default::default() })
    }

    async fn subscribe(
        &self,
        _: RequestContext,
        request: ServiceRequest<'_, SubscribeRequest>,
    ) -> ServiceResult<ServiceStream<DocumentChange>> {
        let subscription = self.node.subscribe(reads::watching(request.to_owned_message())?)?;
        Response::ok(changes(subscription, self.shutdown.clone()))
    }

    async fn start_sync(
        &self,
        _: RequestContext,
        _: ServiceRequest<'_, StartSyncRequest>,
    ) -> ServiceResult<StartSyncResponse> {
        self.node.start_sync().await;
        Response::ok(StartSyncResponse::default())
    }

    async fn stop_sync(
        &self,
        _: RequestContext,
        _: ServiceRequest<'_, StopSyncRequest>,
    ) -> ServiceResult<StopSyncResponse> {
        self.node.stop_sync().await;
        Response::ok(StopSyncResponse::default())
    }

    async fn get_sync_stats(
        &self,
        _: RequestContext,
        _: ServiceRequest<'_, GetSyncStatsRequest>,
    ) -> ServiceResult<GetSyncStatsResponse> {
        Response::ok(operator::stats(self.node.sync_stats(), &self.node.admissions()))
    }

    async fn backup(
        &self,
        _: RequestContext,
        _: ServiceRequest<'_, BackupRequest>,
    ) -> ServiceResult<ServiceStream<BackupChunk>> {
        Response::ok(chunks(self.node.backup()?, self.shutdown.clone()))
    }
}

/// The subscription as a stream. It holds no event of its own: the next one is asked for only when the
/// connection can take it, so a slow reader costs nothing but its dirty set. The first error ends it.
fn changes(subscription: Subscription, shutdown: CancellationToken) -> ServiceStream<DocumentChange> {
    Box::pin(stream::unfold(Some((subscription, shutdown)), |state| async move {
        let (mut subscription, shutdown) = state?;
        let next = tokio::select! {
            biased;
            () = shutdown.cancelled() => None,
            next = subscription.next() => next,
        };
        Some(match next {
            Some(Ok(event)) => (Ok(reads::change(event)), Some((subscription, shutdown))),
            Some(Err(error)) => (Err(error.into()), None),
            None => (Err(stopped()), None),
        })
    }))
}

/// A backup as a stream: a chunk is read only when the connection can take it. The first error ends it.
fn chunks(backup: Backup, shutdown: CancellationToken) -> ServiceStream<BackupChunk> {
    Box::pin(stream::unfold(Some((backup, shutdown)), |state| async move {
        let (mut backup, shutdown) = state?;
        if shutdown.is_cancelled() {
            return Some((Err(stopped()), None));
        }
        match backup.chunk() {
            Ok(Some(data)) => Some((Ok(BackupChunk { data, ..Default::default() }), Some((backup, shutdown)))),
            Ok(None) => None,
            Err(error) => Some((Err(error.into()), None)),
        }
    }))
}
