//! What can be called: a name, the type of its parameters and the type of its answer.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

/// The WebSocket subprotocol whose speakers may use more than the original contract: cancellation,
/// larger messages, progress.
pub const SUBPROTOCOL: &str = "jackfield.v1";

/// Something that one side can ask of the other.
///
/// An application's own methods implement this with a name and two types; the provided functions
/// are for methods whose JSON on the wire differs from that of their types.
///
/// ```
/// use jackfield_wire::Method;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Greeting { name: String }
///
/// struct Greet;
/// impl Method for Greet {
///     const NAME: &'static str = "greet";
///     type Params = Greeting;
///     type Output = String;
/// }
/// ```
pub trait Method: 'static {
    /// The name on the wire.
    const NAME: &'static str;
    /// What is asked with. Serializes to a JSON object, or to `null` for "none".
    type Params: Serialize + DeserializeOwned + Send + 'static;
    /// What is answered.
    type Output: Serialize + DeserializeOwned + Send + 'static;

    /// Writes the JSON of an answer to the end of `text`. By default the answer itself. Whoever
    /// writes it on a line puts the method's name beside it, see
    /// [`frame::answer_with`](crate::frame::answer_with).
    ///
    /// # Errors
    /// When the answer does not serialize, for instance a map with keys that are not strings.
    fn encode(
        output: &Self::Output,
        asked: &Asked<'_>,
        text: &mut Vec<u8>,
    ) -> Result<(), serde_json::Error> {
        let _ = asked;
        serde_json::to_writer(text, output)
    }

    /// An answer from its JSON. By default with or without the method's name in it.
    ///
    /// # Errors
    /// When the JSON is not an answer of this method.
    fn decode(result: &RawValue) -> Result<Self::Output, serde_json::Error> {
        serde_json::from_str(result.get())
    }

    /// Parameters from their JSON. Missing ones are read as `null`, then as `{}`.
    ///
    /// # Errors
    /// When the JSON does not fit the parameters' type.
    fn decode_params(params: Option<&RawValue>) -> Result<Self::Params, serde_json::Error> {
        match params {
            Some(params) => serde_json::from_str(params.get()),
            None => serde_json::from_str("null").or_else(|_| serde_json::from_str("{}")),
        }
    }
}

/// Who asked, as far as the shape of an answer depends on it.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The request's id as it came; `None` where it had none.
    pub id: Option<&'a RawValue>,
    /// The program at the other end.
    pub client: &'a Client,
}

/// What is known of the program at the other end of a line, from its handshake.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Client {
    /// Its `User-Agent`.
    pub user_agent: Option<String>,
    /// Whether it asked for [`SUBPROTOCOL`].
    pub speaks_v1: bool,
}
