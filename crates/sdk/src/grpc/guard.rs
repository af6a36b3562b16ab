//! A panic in a service's code is that call's failure, in whichever protocol it was made.

use std::panic::AssertUnwindSafe;

use bytes::Bytes;
use connectrpc::dispatcher::{RequestStream, StreamingResult, UnaryResult};
use connectrpc::{
    CodecFormat, ConnectError, Dispatcher, EncodedStream, MethodDescriptor, Payload, RequestContext,
};
use futures_util::{FutureExt, StreamExt, stream};

/// Catches what the code behind it throws.
///
/// Logging is the panic hook's: it knows where.
pub(crate) struct Guard<D>(pub(crate) D);

/// What a caller is told. Not what the panic said, which is for the log.
pub(crate) fn panicked() -> ConnectError {
    ConnectError::internal("the plugin panicked while it handled this call; its log says where")
}

impl<D: Dispatcher> Dispatcher for Guard<D> {
    fn lookup(&self, path: &str) -> Option<MethodDescriptor> {
        self.0.lookup(path)
    }

    fn call_unary(
        &self,
        path: &str,
        ctx: RequestContext,
        request: Payload,
        format: CodecFormat,
    ) -> UnaryResult {
        unary(|| self.0.call_unary(path, ctx, request, format))
    }

    fn call_server_streaming(
        &self,
        path: &str,
        ctx: RequestContext,
        request: Bytes,
        format: CodecFormat,
    ) -> StreamingResult {
        streaming(|| self.0.call_server_streaming(path, ctx, request, format))
    }

    fn call_client_streaming(
        &self,
        path: &str,
        ctx: RequestContext,
        requests: RequestStream,
        format: CodecFormat,
    ) -> UnaryResult {
        unary(|| self.0.call_client_streaming(path, ctx, requests, format))
    }

    fn call_bidi_streaming(
        &self,
        path: &str,
        ctx: RequestContext,
        requests: RequestStream,
        format: CodecFormat,
    ) -> StreamingResult {
        streaming(|| self.0.call_bidi_streaming(path, ctx, requests, format))
    }
}

fn unary(call: impl FnOnce() -> UnaryResult) -> UnaryResult {
    match std::panic::catch_unwind(AssertUnwindSafe(call)) {
        Ok(answer) => AssertUnwindSafe(answer)
            .catch_unwind()
            .map(|answer| answer.unwrap_or_else(|_| Err(panicked())))
            .boxed(),
        Err(_) => std::future::ready(Err(panicked())).boxed(),
    }
}

fn streaming(call: impl FnOnce() -> StreamingResult) -> StreamingResult {
    match std::panic::catch_unwind(AssertUnwindSafe(call)) {
        Ok(answer) => AssertUnwindSafe(answer)
            .catch_unwind()
            .map(|answer| match answer {
                Ok(answer) => answer.map(|response| response.map_body(messages)),
                Err(_) => Err(panicked()),
            })
            .boxed(),
        Err(_) => std::future::ready(Err(panicked())).boxed(),
    }
}

/// The messages up to the panic, then the failure.
fn messages(messages: EncodedStream) -> EncodedStream {
    stream::unfold(Some(messages), async |messages| {
        let mut messages = messages?;
        match AssertUnwindSafe(messages.next()).catch_unwind().await {
            Ok(Some(message)) => Some((message, Some(messages))),
            Ok(None) => None,
            Err(_) => Some((Err(panicked()), None)),
        }
    })
    .boxed()
}
