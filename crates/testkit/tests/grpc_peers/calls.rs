//! The calls of the service, by the client that Connect's tools generate and by tonic's.

use std::time::Duration;

use connectrpc::client::CallOptions;
use connectrpc::{ConnectError, ErrorCode};
use futures_util::stream;
use jackfield_grpc::PluginClient;
use jackfield_testkit::tonic_kv;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// How a call failed: the code in gRPC's words, the plugin's message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failed {
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

/// Asks for a key, or stores an entry.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Get(&'static str),
    Put(&'static str, Vec<u8>),
}

/// A key, and what is stored under it.
pub(crate) type Found = (String, Option<Vec<u8>>);

pub(crate) trait Calls: PluginClient {
    fn put(&self, key: &str, value: Vec<u8>) -> impl Future<Output = Result<bool, Failed>> + Send;
    fn get(&self, key: &str) -> impl Future<Output = Result<Vec<u8>, Failed>> + Send;
    fn list(
        &self,
        prefix: &str,
    ) -> impl Future<Output = Result<Vec<(String, Vec<u8>)>, Failed>> + Send;
    fn load(
        &self,
        entries: Vec<(String, Vec<u8>)>,
    ) -> impl Future<Output = Result<u64, Failed>> + Send;
    /// Each step is sent when the one before was answered.
    fn sync(&self, steps: Vec<Step>) -> impl Future<Output = Result<Vec<Found>, Failed>> + Send;
    /// A two-way stream that gets one answer, says so, and then waits for more with this deadline.
    fn wait(
        &self,
        within: Duration,
        open: CancellationToken,
    ) -> impl Future<Output = Failed> + Send;
}

impl Calls for kv::KvClient {
    async fn put(&self, key: &str, value: Vec<u8>) -> Result<bool, Failed> {
        let request = kv::PutRequest {
            entry: entry(key, value).into(),
            ..Default::default()
        };
        Ok(Self::put(self, request).await?.view().replaced)
    }

    async fn get(&self, key: &str) -> Result<Vec<u8>, Failed> {
        let request = kv::GetRequest {
            key: key.to_owned(),
            ..Default::default()
        };
        Ok(Self::get(self, request).await?.into_owned().value)
    }

    async fn list(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, Failed> {
        let request = kv::ListRequest {
            prefix: prefix.to_owned(),
            ..Default::default()
        };
        let mut listed = Self::list(self, request).await?;
        let mut all = Vec::new();
        while let Some(entry) = listed.message::<kv::Entry>().await? {
            let entry = entry.to_owned_message();
            all.push((entry.key, entry.value));
        }
        Ok(all)
    }

    async fn load(&self, entries: Vec<(String, Vec<u8>)>) -> Result<u64, Failed> {
        let entries = entries
            .into_iter()
            .map(|(key, value)| entry(&key, value))
            .collect::<Vec<_>>();
        let answer = Self::load(self, stream::iter(entries)).await?;
        Ok(answer.view().stored)
    }

    async fn sync(&self, steps: Vec<Step>) -> Result<Vec<Found>, Failed> {
        let mut both = Self::sync(self).await?;
        let mut answers = Vec::new();
        for step in steps {
            both.send(step.into()).await?;
            let answer = both.message::<kv::SyncResponse>().await?;
            let answer = answer.expect("an answer").to_owned_message();
            answers.push((answer.key, answer.value));
        }
        both.close_send();
        assert!(both.message::<kv::SyncResponse>().await?.is_none());
        Ok(answers)
    }

    async fn wait(&self, within: Duration, open: CancellationToken) -> Failed {
        let waited = async {
            let options = CallOptions::default().with_timeout(within);
            let mut both = self.sync_with_options(options).await?;
            both.send(Step::Get("nothing").into()).await?;
            both.message::<kv::SyncResponse>().await?;
            open.cancel();
            both.message::<kv::SyncResponse>().await
        };
        waited.await.expect_err("nobody answers").into()
    }
}

impl Calls for tonic_kv::KvClient {
    async fn put(&self, key: &str, value: Vec<u8>) -> Result<bool, Failed> {
        let request = tonic_kv::PutRequest {
            entry: Some(tonic_entry(key, value)),
        };
        let answer = Self::put(&mut self.clone(), request).await?;
        Ok(answer.into_inner().replaced)
    }

    async fn get(&self, key: &str) -> Result<Vec<u8>, Failed> {
        let request = tonic_kv::GetRequest {
            key: key.to_owned(),
        };
        Ok(Self::get(&mut self.clone(), request)
            .await?
            .into_inner()
            .value)
    }

    async fn list(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, Failed> {
        let request = tonic_kv::ListRequest {
            prefix: prefix.to_owned(),
        };
        let mut listed = Self::list(&mut self.clone(), request).await?.into_inner();
        let mut all = Vec::new();
        while let Some(entry) = listed.message().await? {
            all.push((entry.key, entry.value));
        }
        Ok(all)
    }

    async fn load(&self, entries: Vec<(String, Vec<u8>)>) -> Result<u64, Failed> {
        let entries = entries
            .into_iter()
            .map(|(key, value)| tonic_entry(&key, value))
            .collect::<Vec<_>>();
        let answer = Self::load(&mut self.clone(), stream::iter(entries)).await?;
        Ok(answer.into_inner().stored)
    }

    async fn sync(&self, steps: Vec<Step>) -> Result<Vec<Found>, Failed> {
        let (send, requests) = questions();
        // Some servers say nothing, not even that they take the call, before there is a question.
        let mut steps = steps.into_iter();
        send.send(steps.next().expect("a step").into())
            .await
            .expect("room");
        let mut both = Self::sync(&mut self.clone(), requests).await?.into_inner();
        let mut answers = Vec::new();
        loop {
            let answer = both.message().await?.expect("an answer");
            answers.push((answer.key, answer.value));
            let Some(step) = steps.next() else {
                break;
            };
            send.send(step.into()).await.expect("room");
        }
        drop(send);
        assert!(both.message().await?.is_none());
        Ok(answers)
    }

    async fn wait(&self, within: Duration, open: CancellationToken) -> Failed {
        let (send, requests) = questions();
        let waited = async {
            send.send(Step::Get("nothing").into()).await.expect("room");
            let mut request = tonic::Request::new(requests);
            request.set_timeout(within);
            let mut both = Self::sync(&mut self.clone(), request).await?.into_inner();
            both.message().await?;
            open.cancel();
            both.message().await
        };
        let failed = waited.await.expect_err("nobody answers").into();
        drop(send);
        failed
    }
}

impl From<ConnectError> for Failed {
    fn from(error: ConnectError) -> Self {
        let code = match error.code {
            ErrorCode::NotFound => "NOT_FOUND",
            ErrorCode::DeadlineExceeded => "DEADLINE_EXCEEDED",
            ErrorCode::ResourceExhausted => "RESOURCE_EXHAUSTED",
            ErrorCode::Unauthenticated => "UNAUTHENTICATED",
            ErrorCode::Unavailable => "UNAVAILABLE",
            _ => "another",
        };
        let message = error.message.clone().unwrap_or_default();
        Self { code, message }
    }
}

impl From<tonic::Status> for Failed {
    fn from(status: tonic::Status) -> Self {
        let code = match status.code() {
            tonic::Code::NotFound => "NOT_FOUND",
            tonic::Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
            tonic::Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
            tonic::Code::Unauthenticated => "UNAUTHENTICATED",
            tonic::Code::Unavailable => "UNAVAILABLE",
            _ => "another",
        };
        let message = status.message().to_owned();
        Self { code, message }
    }
}

impl From<Step> for kv::SyncRequest {
    fn from(step: Step) -> Self {
        use kv::sync_request::Step as Of;
        Self {
            step: Some(match step {
                Step::Get(key) => Of::Get(key.to_owned()),
                Step::Put(key, value) => Of::from(entry(key, value)),
            }),
            ..Self::default()
        }
    }
}

impl From<Step> for tonic_kv::SyncRequest {
    fn from(step: Step) -> Self {
        use tonic_kv::sync_request::Step as Of;
        Self {
            step: Some(match step {
                Step::Get(key) => Of::Get(key.to_owned()),
                Step::Put(key, value) => Of::Put(tonic_entry(key, value)),
            }),
        }
    }
}

fn entry(key: &str, value: Vec<u8>) -> kv::Entry {
    kv::Entry {
        key: key.to_owned(),
        value,
        ..Default::default()
    }
}

fn tonic_entry(key: &str, value: Vec<u8>) -> tonic_kv::Entry {
    tonic_kv::Entry {
        key: key.to_owned(),
        value,
    }
}

/// A stream of requests, and where they come from.
fn questions() -> (
    mpsc::Sender<tonic_kv::SyncRequest>,
    impl futures_util::Stream<Item = tonic_kv::SyncRequest> + Send + 'static,
) {
    let (send, receive) = mpsc::channel(1);
    let requests = stream::unfold(receive, |mut receive: mpsc::Receiver<_>| async {
        Some((receive.recv().await?, receive))
    });
    (send, requests)
}
