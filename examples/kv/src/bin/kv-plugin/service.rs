//! The service: the trait was generated from `proto/kv/v1/kv.proto`.

use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use jackfield_plugin::grpc::connectrpc::{
    ConnectError, InboundStream, RequestContext, Response, ServiceRequest, ServiceResult,
    ServiceStream,
};
use kv::sync_request::Step;
use kv::{
    Entry, GetRequest, GetResponse, KvService, ListRequest, LoadResponse, PingRequest,
    PingResponse, PutRequest, PutResponse, SyncRequest, SyncResponse,
};
use tokio::time::Instant;

use crate::store::Store;

#[derive(Debug)]
pub(crate) struct Kv {
    ready_at: Instant,
    store: Store,
}

impl Kv {
    pub(crate) fn new(warm_up: Duration) -> Self {
        Self {
            ready_at: Instant::now() + warm_up,
            store: Store::default(),
        }
    }
}

#[expect(
    refining_impl_trait,
    reason = "the trait allows for more answers than these"
)]
impl KvService for Kv {
    async fn ping(
        &self,
        _: RequestContext,
        _: ServiceRequest<'_, PingRequest>,
    ) -> ServiceResult<PingResponse> {
        let warming_up = Instant::now() < self.ready_at;
        Response::ok(PingResponse {
            not_ready: warming_up.then(|| "warming up".to_owned()),
            ..PingResponse::default()
        })
    }

    async fn get(
        &self,
        _: RequestContext,
        request: ServiceRequest<'_, GetRequest>,
    ) -> ServiceResult<GetResponse> {
        let Some(value) = self.store.get(request.key) else {
            let key = request.key;
            return Err(ConnectError::not_found(format!("no key {key:?}")));
        };
        Response::ok(GetResponse {
            value,
            ..GetResponse::default()
        })
    }

    async fn put(
        &self,
        _: RequestContext,
        request: ServiceRequest<'_, PutRequest>,
    ) -> ServiceResult<PutResponse> {
        let entry = request
            .to_owned_message()
            .entry
            .ok_or_else(|| ConnectError::invalid_argument("an entry is missing"))?;
        Response::ok(PutResponse {
            replaced: self.store.put(entry),
            ..PutResponse::default()
        })
    }

    async fn list(
        &self,
        _: RequestContext,
        request: ServiceRequest<'_, ListRequest>,
    ) -> ServiceResult<ServiceStream<Entry>> {
        let found = self.store.list(request.prefix);
        Response::stream_ok(stream::iter(found).map(Ok))
    }

    async fn load(
        &self,
        _: RequestContext,
        mut entries: InboundStream<Entry>,
    ) -> ServiceResult<LoadResponse> {
        let mut stored = 0;
        while let Some(entry) = entries.try_next().await? {
            self.store.put(entry.to_owned_message());
            stored += 1;
        }
        Response::ok(LoadResponse {
            stored,
            ..LoadResponse::default()
        })
    }

    async fn sync(
        &self,
        _: RequestContext,
        requests: InboundStream<SyncRequest>,
    ) -> ServiceResult<ServiceStream<SyncResponse>> {
        let store = self.store.clone();
        Response::stream_ok(
            requests.map(move |request| answer(&store, request?.to_owned_message())),
        )
    }
}

fn answer(store: &Store, request: SyncRequest) -> Result<SyncResponse, ConnectError> {
    let key = match request.step {
        Some(Step::Get(key)) => key,
        Some(Step::Put(entry)) => {
            let key = entry.key.clone();
            store.put(*entry);
            key
        }
        None => return Err(ConnectError::invalid_argument("a step is missing")),
    };
    Ok(SyncResponse {
        value: store.get(&key),
        key,
        ..SyncResponse::default()
    })
}
