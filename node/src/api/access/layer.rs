//! The gate around the service: a layer that sees the head of every request before its body is read, and an interceptor
//! that sees the request itself, and stays beside its stream.

use std::convert::Infallible;
use std::future::{Future, poll_fn, ready};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use connectrpc::interceptor::{StreamRequest, StreamResponse, UnaryRequest, UnaryResponse};
use connectrpc::{
    ConnectError as Status, ConnectRpcBody, ConnectRpcService, Dispatcher, Interceptor, Next, NextStream, PayloadStream,
};
use futures::{StreamExt, stream};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Request, Response};
use hyper::body::Body;
use tower::Service;

use super::gate::{Gate, Pass};
use super::scope::{Method, Route};
use crate::limits;

/// The service behind its gate, if it has one.
pub(in crate::api) struct Gated<D> {
    service: ConnectRpcService<D>,
    gate: Option<Arc<Gate>>,
}

impl<D> Clone for Gated<D> {
    fn clone(&self) -> Self {
        Self { service: self.service.clone(), gate: self.gate.clone() }
    }
}

impl<D: Dispatcher> Gated<D> {
    /// Open to everybody.
    pub(in crate::api) fn open(service: ConnectRpcService<D>) -> Self {
        Self { service, gate: None }
    }

    /// Behind a gate.
    pub(in crate::api) fn behind(self, gate: Option<Arc<Gate>>) -> Self {
        match gate {
            None => self,
            Some(gate) => Self { service: self.service.with_interceptor(Usher(gate.clone())), gate: Some(gate) },
        }
    }
}

impl<D, B> Service<Request<B>> for Gated<D>
where
    D: Dispatcher,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    type Response = Response<ConnectRpcBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request<B>>::poll_ready(&mut self.service, context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let Some(gate) = &self.gate else { return self.service.call(request) };
        let entered = match Route::of(request.uri().path()) {
            Route::Open => Ok(None),
            Route::Guarded(method) => gate.enter(request.headers(), method).map(Some),
            // What is not in the table is nowhere, also if somebody forgot its row; but only a token learns that.
            Route::Unknown => gate.enter(request.headers(), &Method::ANY).and_then(|_| {
                let path = request.uri().path().trim_start_matches('/');
                let path: String = path.chars().take(200).collect();
                Err(Status::unimplemented(format!("method not found: {path}")))
            }),
        };
        match entered {
            Ok(pass) => {
                if let Some(pass) = pass {
                    request.extensions_mut().insert(pass);
                }
                self.service.call(request)
            }
            Err(refused) => {
                let response = refused.into_http_response(request.headers());
                if is_grpc(request.headers()) {
                    return Box::pin(ready(Ok(response)));
                }
                Box::pin(async move {
                    discard(request.into_body()).await;
                    Ok(response)
                })
            }
        }
    }
}

/// Who speaks gRPC expects an answer at any time.
fn is_grpc(headers: &HeaderMap) -> bool {
    let told = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    told.starts_with("application/grpc") && !told.starts_with("application/grpc-web")
}

/// Takes a body off the wire, for a while, and keeps nothing of it. Plain HTTP clients do not look for an answer
/// before they have sent everything, and would see a broken connection instead of the refusal.
async fn discard<B: Body<Data = Bytes>>(body: B) {
    let mut body = pin!(body);
    let mut left = limits::MAX_REQUEST_BYTES;
    let all = async {
        while let Some(Ok(frame)) = poll_fn(|context| body.as_mut().poll_frame(context)).await {
            left = left.saturating_sub(frame.data_ref().map_or(1, Bytes::len).max(1));
            if left == 0 {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(limits::REFUSED_BODY_TIME, all).await;
}

/// Looks at the collections, and ends streams whose token is good no more.
struct Usher(Arc<Gate>);

impl Usher {
    /// What the layer found; `None`: whatever it is, it is open.
    fn pass(context: &connectrpc::RequestContext) -> Result<Option<(Pass, &'static Method)>, Status> {
        match (Route::of(context.path().unwrap_or_default()), context.extensions().get::<Pass>()) {
            (Route::Open, _) => Ok(None),
            (Route::Guarded(method), Some(pass)) => Ok(Some((*pass, method))),
            (Route::Guarded(_) | Route::Unknown, _) => Err(Status::internal("a request went around the gate")),
        }
    }
}

#[connectrpc::async_trait]
impl Interceptor for Usher {
    async fn intercept_unary(&self, request: UnaryRequest, next: Next<'_>) -> Result<UnaryResponse, Status> {
        if let Some((pass, method)) = Self::pass(&request.ctx)? {
            self.0.reach(pass, method, &request.payload)?;
        }
        next.run(request).await
    }

    async fn intercept_streaming(
        &self,
        request: StreamRequest,
        mut inbound: PayloadStream,
        next: NextStream<'_>,
    ) -> Result<StreamResponse, Status> {
        let Some((pass, method)) = Self::pass(&request.ctx)? else { return next.run(request, inbound).await };
        // Before the look: what changes between the two is noticed by the stream.
        let era = self.0.era();
        let mut named = vec![];
        // A method that names collections has one request; what streams requests names none, and must not be waited for.
        if method.reads_its_request() {
            let Some(first) = inbound.next().await.transpose()? else { return next.run(request, inbound).await };
            // Whoever's token is for everything may be given less while the stream is open.
            named = method.named(&first)?;
            inbound = Box::pin(stream::iter([Ok(first)]).chain(inbound));
        }
        self.0.recheck(pass, method, &named)?;
        let response = next.run(request, inbound).await?;
        let watched = Watched { gate: self.0.clone(), pass, method, named, era };
        Ok(response.map_body(|body| watched.over(body)))
    }
}

/// A stream that is open.
struct Watched {
    gate: Arc<Gate>,
    pass: Pass,
    method: &'static Method,
    named: Vec<String>,
    era: u64,
}

impl Watched {
    /// The stream until its token is good no more. It costs an item a look at a number and a lock that hardly anybody wants.
    fn over(self, body: PayloadStream) -> PayloadStream {
        Box::pin(stream::unfold(Some((self, body)), |state| async move {
            let (mut watched, mut body) = state?;
            loop {
                tokio::select! {
                    biased;
                    () = watched.gate.after(watched.era) => {
                        watched.era = watched.gate.era();
                        if let Err(refused) = watched.gate.recheck(watched.pass, watched.method, &watched.named) {
                            return Some((Err(refused), None));
                        }
                    }
                    item = body.next() => return item.map(|item| (item, Some((watched, body)))),
                }
            }
        }))
    }
}
