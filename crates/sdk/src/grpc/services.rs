//! What a plugin serves.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use connectrpc::{Interceptor, Router, ServiceRegister};
use http::{Request, Response};
use tower_service::Service;

use super::answer::BoxError;
use super::paths::{Body, Paths};

/// The services and plain HTTP paths of a plugin, which its `register` adds to.
#[must_use = "what is added counts only in the value that is given back"]
#[derive(Default)]
pub struct Services {
    pub(crate) router: Router,
    pub(crate) paths: Paths,
    pub(crate) interceptors: Vec<Arc<dyn Interceptor>>,
    /// Paths that were given twice.
    pub(crate) twice: Vec<String>,
}

impl Services {
    /// Adds a service that `connectrpc-build` has generated the trait of. Any number may be added; reflection and
    /// health know them all.
    ///
    /// A type that implements several such traits is added by [`routes`](Self::routes) instead, since which one is meant
    /// cannot be told from the type.
    ///
    /// # Panics
    /// If the service is there already. In `register` that ends the program as if the constructor had failed.
    #[expect(
        clippy::should_implement_trait,
        reason = "services are not numbers, and nobody reads `services.add(kv)` as a sum"
    )]
    pub fn add<S: ?Sized, Marker>(self, service: Arc<S>) -> Self
    where
        Arc<S>: ServiceRegister<Marker>,
    {
        self.routes(|router| router.add_service(service))
    }

    /// Adds to Connect's own router: `services.routes(|router| KvServiceExt::register(kv, router))`.
    ///
    /// # Panics
    /// As [`add`](Self::add).
    pub fn routes(mut self, add: impl FnOnce(Router) -> Router) -> Self {
        self.router = add(self.router);
        self
    }

    /// Puts an interceptor around every call of every service; the first is the outermost.
    pub fn interceptor(mut self, interceptor: impl Interceptor) -> Self {
        self.interceptors.push(Arc::new(interceptor));
        self
    }

    /// Answers plain HTTP requests for a path, whatever their verb, by a function. A path that ends in a slash is that
    /// of everything below it; the longest wins. Such paths come before services, and are behind the host's token as
    /// services are.
    ///
    /// ```
    /// # use jackfield_plugin::grpc::Services;
    /// # fn register(services: Services) -> Services {
    /// services.http("/about", async |_request| http::Response::new("a plugin".to_owned()))
    /// # }
    /// ```
    ///
    /// The same path twice ends the program as if the constructor had failed.
    pub fn http<F, A, B>(mut self, path: &str, function: F) -> Self
    where
        F: Fn(Request<Body>) -> A + Send + Sync + 'static,
        A: Future<Output = Response<B>> + Send + 'static,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        if !self.paths.add(path, function) {
            self.twice.push(path.to_owned());
        }
        self
    }

    /// As [`http`](Self::http), by a tower service: a router of axum's, for one. It sees the whole path.
    pub fn http_service<S, B>(mut self, path: &str, service: S) -> Self
    where
        S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send + 'static,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        if !self.paths.add_service(path, service) {
            self.twice.push(path.to_owned());
        }
        self
    }

    /// The full names of all services.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .router
            .methods()
            .filter_map(|method| Some(method.rsplit_once('/')?.0.to_owned()))
            .collect();
        names.sort();
        names.dedup();
        names
    }
}

impl std::fmt::Debug for Services {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Services")
            .field("services", &self.names())
            .field("paths", &self.paths)
            .finish_non_exhaustive()
    }
}
