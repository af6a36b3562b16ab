//! The table of methods.

use jackfield::Session;
use jackfield::rpc::Methods;

use super::Application;
use crate::secret::Key;
use crate::store::Store;

/// Everything that plugins may call. `api_url`: what `access_get` says beside the key.
pub(crate) fn methods(
    table: Methods<Session>,
    _store: Store,
    _key: Key,
    _application: Application,
    _api_url: String,
) -> Methods<Session> {
    let _ = table;
    todo!()
}
