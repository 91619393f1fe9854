//! The methods. What is checked, and how, is the node's business; here requests are taken apart and
//! answers put together.

use connectrpc::{ConnectError as Status, RequestContext, Response, ServiceRequest, ServiceResult, ServiceStream};
use futures::stream;
use peat_proto::server::*;
use tokio_util::sync::CancellationToken;

use super::error::stopped;
use super::operator;
use super::reads;
use super::typed::{self, Record, RecordError};
use crate::node::{NodeHandle, Subscription};

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
        self.node.put(request.collection, request.doc_id, request.json_data).await?;
        Response::ok(PutDocumentResponse::default())
    }

    async fn get_document(
        &self,
        _: RequestContext,
        request: ServiceRequest<'_, GetDocumentRequest>,
    ) -> ServiceResult<GetDocumentResponse> {
        let reading = self.node.get_after(&reads::wanted(&request), request.wait_ms).await?;
        Response::ok(GetDocumentResponse { json_data: reading.text, ..Default::default() })
    }

    async fn delete_document(
        &self,
        _: RequestContext,
        request: ServiceRequest<'_, DeleteDocumentRequest>,
    ) -> ServiceResult<DeleteDocumentResponse> {
        self.node.delete(request.collection, request.doc_id).await?;
        Response::ok(DeleteDocumentResponse::default())
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
