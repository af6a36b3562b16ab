//! `access_get`.

use jackfield::wire::methods::Access;
use jackfield::{Fault, InstallationId, Manifest};

use crate::secret::Key;
use crate::store::Record;

/// The longest handle.
const HANDLE: usize = 30;

/// The key that stands for this installation, the same until an operator rotates it, and where it is
/// good. (A refusal is an ordinary error: the SDKs that exist read that as well as one within the
/// answer.)
pub(super) fn get(record: &Record, key: &Key, api_url: &str) -> Result<Access, Fault> {
    if record.manifest.access.is_none() {
        return Err(Fault::new(
            Fault::METHOD_NOT_FOUND,
            "manifest does not request access",
        ));
    }
    Ok(Access {
        access_key: key.access_token(record.id, record.access_generation),
        api_base_url: api_url.trim_end_matches('/').to_owned(),
    })
}

/// The name that an installation has as an account: what its manifest asks for, in lower case and
/// without what no handle takes, and the end of its id. At most 30 characters. `None`: it asks for no
/// access.
pub(crate) fn handle(manifest: &Manifest, id: InstallationId) -> Option<String> {
    let asked = &manifest.access.as_ref()?.handle;
    let id = id.to_string();
    let end = &id[id.len() - 4..];
    let clean: String = asked
        .to_lowercase()
        .chars()
        .map(|c| match c {
            'a'..='z' | '0'..='9' | '-' | '_' => c,
            _ => '-',
        })
        .take(HANDLE - end.len() - 1)
        .collect();
    let clean = clean.trim_matches('-');
    let clean = if clean.is_empty() { "plugin" } else { clean };
    Some(format!("{clean}-{end}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn asking(handle: &str) -> Manifest {
        let manifest = json!({
            "id": "p", "author": "a", "name": "p", "description": "", "version": "1",
            "access": {"handle": handle, "name": "P", "permissions": []},
        });
        Manifest::check_value(&manifest).into_result().unwrap()
    }

    #[test]
    fn handles_are_short_clean_and_tell_installations_apart() {
        let id: InstallationId = "9m4e2mr0ui3e8a215n4g".parse().unwrap();
        for (asked, expected) in [
            ("greeter", "greeter-5n4g"),
            ("The Greeter!", "the-greeter-5n4g"),
            ("Ünder_score", "nder_score-5n4g"),
            ("???", "plugin-5n4g"),
            (
                "a-very-long-handle-that-goes-on-and-on",
                "a-very-long-handle-that-g-5n4g",
            ),
        ] {
            let handle = handle(&asking(asked), id).unwrap();
            assert_eq!(handle, expected);
            assert!(handle.len() <= HANDLE);
        }
    }
}
