//! The table of methods.

use jackfield::rpc::{Call, Methods};
use jackfield::wire::methods::{AccessGet, GetConfig};
use jackfield::{Fault, Session};

use super::{Application, access, config};
use crate::observe;
use crate::secret::Key;
use crate::store::{Record, Store};

/// Everything that plugins may call. `api_url`: what `access_get` says beside the key.
///
/// Handlers read the database and hold nothing: a plugin may call them while it is being configured.
pub(crate) fn methods(
    table: Methods<Session>,
    store: Store,
    key: Key,
    application: Application,
    api_url: String,
) -> Methods<Session> {
    let (records, seal) = (store.clone(), key.clone());
    table
        .method::<GetConfig, _, _>(move |call, asked| {
            let (store, key) = (records.clone(), seal.clone());
            async move {
                let answer =
                    async { config::get(&record(&store, &call).await?, &key, &asked.keys) };
                observe::answered(&call, answer).await
            }
        })
        .method::<AccessGet, _, _>(move |call, _params| {
            let (store, key, url) = (store.clone(), key.clone(), api_url.clone());
            async move {
                let answer = async { access::get(&record(&store, &call).await?, &key, &url) };
                observe::answered(&call, answer).await
            }
        })
        .fallback(move |call, params| {
            let application = application.clone();
            async move {
                observe::answered(&call, application.forward(&call, params.as_deref())).await
            }
        })
}

/// The caller's own record.
async fn record(store: &Store, call: &Call<Session>) -> Result<Record, Fault> {
    let id = call.context.id();
    match store.record(id).await {
        Ok(Some(record)) => Ok(record),
        Ok(None) => Err(Fault::internal("this plugin is being removed")),
        Err(error) => {
            tracing::warn!(%id, method = &*call.method, %error, "a plugin's call is not answered");
            Err(Fault::internal("the database does not answer; try again"))
        }
    }
}
