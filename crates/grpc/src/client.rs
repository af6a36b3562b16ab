//! What a client must be able to do, and how generated ones come to it.

use std::error::Error;

use crate::endpoint::Endpoint;

/// A client of a service that has a unary `Ping` whose answer may carry `not_ready`; FTL calls it a pingable client.
///
/// Implemented in one line for a client that Connect's tools generated ([`connect_client!`](crate::connect_client)) or
/// tonic's ([`tonic_client!`](crate::tonic_client)), in the crate that has the generated code.
pub trait PluginClient: Clone + Send + Sync + 'static {
    /// A client over this endpoint. Connects to nothing; may be called any number of times.
    fn over(endpoint: &Endpoint) -> Self;

    /// Asks once whether the service is ready: `None` or an empty string is yes, another string is why not.
    ///
    /// Sets no deadline of its own: the caller does, and the [`Channel`](crate::Channel) passes it on.
    fn ping(&self) -> impl Future<Output = Result<Option<String>, PingError>> + Send;
}

/// A ping was not answered, or not with an answer.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct PingError {
    /// The server does not know the method (`UNIMPLEMENTED`): no later ping will do better.
    pub unimplemented: bool,
    /// What happened.
    pub message: String,
    /// The client's own error, where there was one.
    #[source]
    pub source: Option<Box<dyn Error + Send + Sync>>,
}

/// What can answer "are you ready?" over an endpoint that it already has.
pub(crate) trait Ping: Send + Sync {
    fn ask(&self) -> impl Future<Output = Result<Option<String>, PingError>> + Send;
}

impl<C: PluginClient> Ping for C {
    fn ask(&self) -> impl Future<Output = Result<Option<String>, PingError>> + Send {
        self.ping()
    }
}

impl PingError {
    /// An error with the client's own as its source.
    pub fn new(unimplemented: bool, source: impl Error + Send + Sync + 'static) -> Self {
        Self {
            unimplemented,
            message: source.to_string(),
            source: Some(Box::new(source)),
        }
    }
}

/// Implements [`PluginClient`] for a client that Connect's tools generated: `connect_client!(KvClient);` with
/// `type KvClient = KvServiceClient<connectrpc::client::ServiceTransport<Channel>>;`.
///
/// To be used in the crate that has the generated code, which must depend on `connectrpc`; elsewhere,
/// `connect_client!(pub struct Kv(KvClient));` makes a type around it that derefs to the client. It speaks gRPC, since
/// many servers speak nothing else, and follows the endpoint's [`Settings`](crate::Settings). The answer's `not_ready`
/// may be `optional string` or `string`.
#[macro_export]
macro_rules! connect_client {
    ($vis:vis struct $name:ident($client:ty)) => {
        $crate::__newtype!($vis $name $client);
        impl $crate::PluginClient for $name {
            fn over(endpoint: &$crate::Endpoint) -> Self {
                Self($crate::__connect_over!(endpoint, $client))
            }
            async fn ping(&self) -> Result<Option<String>, $crate::PingError> {
                $crate::__connect_answer!(<$client>::ping(&self.0, Default::default()).await)
            }
        }
    };
    ($client:ty) => {
        impl $crate::PluginClient for $client {
            fn over(endpoint: &$crate::Endpoint) -> Self {
                $crate::__connect_over!(endpoint, $client)
            }
            async fn ping(&self) -> Result<Option<String>, $crate::PingError> {
                $crate::__connect_answer!(<$client>::ping(self, Default::default()).await)
            }
        }
    };
}

/// Implements [`PluginClient`] for a client that tonic's tools generated: `tonic_client!(KvClient);` with
/// `type KvClient = kv_service_client::KvServiceClient<Channel>;`.
///
/// To be used in the crate that has the generated code, which must depend on `tonic`; elsewhere,
/// `tonic_client!(pub struct Kv(KvClient));`. Follows the endpoint's [`Settings`](crate::Settings) but for gzip, which
/// tonic has behind a feature of its own: with that, `tonic_client!(KvClient, gzip);` follows it, too.
#[macro_export]
macro_rules! tonic_client {
    ($vis:vis struct $name:ident($client:ty) $(, $gzip:ident)?) => {
        $crate::__newtype!($vis $name $client);
        impl $crate::PluginClient for $name {
            fn over(endpoint: &$crate::Endpoint) -> Self {
                Self($crate::__tonic_over!(endpoint, $client $(, $gzip)?))
            }
            async fn ping(&self) -> Result<Option<String>, $crate::PingError> {
                let mut client = self.0.clone();
                $crate::__tonic_answer!(
                    <$client>::ping(&mut client, ::tonic::Request::new(Default::default())).await
                )
            }
        }
    };
    ($client:ty $(, $gzip:ident)?) => {
        impl $crate::PluginClient for $client {
            fn over(endpoint: &$crate::Endpoint) -> Self {
                $crate::__tonic_over!(endpoint, $client $(, $gzip)?)
            }
            async fn ping(&self) -> Result<Option<String>, $crate::PingError> {
                let mut client = self.clone();
                $crate::__tonic_answer!(
                    <$client>::ping(&mut client, ::tonic::Request::new(Default::default())).await
                )
            }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __newtype {
    ($vis:vis $name:ident $client:ty) => {
        /// A client of a plugin.
        #[derive(Clone)]
        $vis struct $name($client);
        impl ::core::fmt::Debug for $name {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                f.write_str(stringify!($name))
            }
        }
        impl ::core::ops::Deref for $name {
            type Target = $client;
            fn deref(&self) -> &$client {
                &self.0
            }
        }
        impl ::core::ops::DerefMut for $name {
            fn deref_mut(&mut self) -> &mut $client {
                &mut self.0
            }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __connect_over {
    ($endpoint:expr, $client:ty) => {{
        let settings = $endpoint.settings();
        let mut config = ::connectrpc::client::ClientConfig::new($endpoint.uri().clone())
            .with_protocol(::connectrpc::Protocol::Grpc)
            .with_default_max_message_size(settings.max_message_size);
        if settings.gzip {
            config = config.compress_requests("gzip");
        }
        <$client>::new(
            ::connectrpc::client::ServiceTransport::new($endpoint.channel()),
            config,
        )
    }};
}

#[doc(hidden)]
#[macro_export]
macro_rules! __connect_answer {
    ($answer:expr) => {
        match $answer {
            Ok(answer) => Ok($crate::__private::Reason::reason(
                answer.into_owned().not_ready,
            )),
            Err(error) => Err($crate::PingError::new(
                error.code == ::connectrpc::ErrorCode::Unimplemented,
                error,
            )),
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __tonic_over {
    ($endpoint:expr, $client:ty) => {
        <$client>::new($endpoint.channel())
            .max_decoding_message_size($endpoint.settings().max_message_size)
            .max_encoding_message_size($endpoint.settings().max_message_size)
    };
    ($endpoint:expr, $client:ty, gzip) => {{
        let client = $crate::__tonic_over!($endpoint, $client)
            .accept_compressed(::tonic::codec::CompressionEncoding::Gzip);
        match $endpoint.settings().gzip {
            true => client.send_compressed(::tonic::codec::CompressionEncoding::Gzip),
            false => client,
        }
    }};
}

#[doc(hidden)]
#[macro_export]
macro_rules! __tonic_answer {
    ($answer:expr) => {
        match $answer {
            Ok(answer) => Ok($crate::__private::Reason::reason(
                answer.into_inner().not_ready,
            )),
            Err(status) => Err($crate::PingError::new(
                status.code() == ::tonic::Code::Unimplemented,
                status,
            )),
        }
    };
}

/// For the macros alone.
#[doc(hidden)]
pub mod __private {
    /// What generated code makes of the field `not_ready`.
    pub trait Reason {
        fn reason(self) -> Option<String>;
    }

    impl Reason for Option<String> {
        fn reason(self) -> Option<String> {
            self
        }
    }

    impl Reason for String {
        fn reason(self) -> Option<String> {
            Some(self)
        }
    }
}
