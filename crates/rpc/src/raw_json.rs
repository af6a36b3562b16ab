//! JSON that is passed on as it came.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use tokio_tungstenite::tungstenite::Utf8Bytes;
use yoke::Yoke;

/// JSON as its text: parameters or an answer. What was part of a large message is still that
/// message, and holds its memory; it was not copied out of it.
///
/// Dereferences to a [`RawValue`]. Made of one, of a box of one, or of anything that serializes.
pub struct RawJson(Kept);

enum Kept {
    Own(Box<RawValue>),
    Within(Yoke<&'static RawValue, Arc<Utf8Bytes>>),
}

impl RawJson {
    /// The JSON of a value.
    ///
    /// # Errors
    /// When it does not serialize, for instance a map with keys that are not strings.
    pub fn of(value: &impl Serialize) -> Result<Self, serde_json::Error> {
        serde_json::value::to_raw_value(value).map(Self::from)
    }

    /// The part of a message that `find` finds in it.
    pub(crate) fn within(
        message: Utf8Bytes,
        find: impl for<'a> FnOnce(&'a str) -> Option<&'a RawValue>,
    ) -> Option<Self> {
        Yoke::try_attach_to_cart(Arc::new(message), |message| {
            find(message.as_str()).ok_or(())
        })
        .ok()
        .map(|found| Self(Kept::Within(found)))
    }
}

/// The text of some JSON, not copied where it is part of a message.
impl From<RawJson> for Bytes {
    fn from(json: RawJson) -> Self {
        match json.0 {
            Kept::Own(own) => Box::<str>::from(own).into_boxed_bytes().into(),
            Kept::Within(found) => {
                let message = Self::from(Utf8Bytes::clone(found.backing_cart()));
                message.slice_ref(found.get().get().as_bytes())
            }
        }
    }
}

impl Deref for RawJson {
    type Target = RawValue;

    fn deref(&self) -> &RawValue {
        match &self.0 {
            Kept::Own(own) => own,
            Kept::Within(found) => found.get(),
        }
    }
}

impl From<Box<RawValue>> for RawJson {
    fn from(own: Box<RawValue>) -> Self {
        Self(Kept::Own(own))
    }
}

impl From<&RawValue> for RawJson {
    fn from(other: &RawValue) -> Self {
        other.to_owned().into()
    }
}

/// Copied where it is part of a message.
impl From<RawJson> for Box<RawValue> {
    fn from(json: RawJson) -> Self {
        match json.0 {
            Kept::Own(own) => own,
            Kept::Within(found) => (*found.get()).to_owned(),
        }
    }
}

impl Clone for RawJson {
    fn clone(&self) -> Self {
        Self(match &self.0 {
            Kept::Own(own) => Kept::Own(own.clone()),
            Kept::Within(found) => Kept::Within(found.clone()),
        })
    }
}

impl Serialize for RawJson {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (**self).serialize(serializer)
    }
}

impl fmt::Display for RawJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.get())
    }
}

impl fmt::Debug for RawJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}
