//! Sprites as such: is it there, make it, delete it.

use http::Method;
use serde_json::json;

use super::Client;
use crate::error::{ServiceError, Verdict};
use crate::secret::encode;

impl Client {
    /// Whether there is a sprite of this name.
    pub(crate) async fn has_sprite(&self, name: &str) -> Result<bool, ServiceError> {
        let call = self.call("find the sprite", Method::GET, path(name));
        match self.send(call).await {
            Ok(_) => Ok(true),
            Err(error) if error.verdict() == Verdict::Missing => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Makes one. One that is there already is as good.
    pub(crate) async fn create_sprite(&self, name: &str) -> Result<(), ServiceError> {
        let mut call = self
            .call("make a sprite", Method::POST, "/v1/sprites".to_owned())
            .json(&json!({ "name": name }));
        call.deadline = self.timing.create;
        match self.send(call).await {
            // A name that is taken is refused in more than one way.
            Err(error) if matches!(error.verdict(), Verdict::Conflict | Verdict::Failed) => {
                match self.has_sprite(name).await {
                    Ok(true) => Ok(()),
                    _ => Err(error),
                }
            }
            done => done.map(drop),
        }
    }

    /// Deletes one and all that is in it. One that is not there is as good.
    pub(crate) async fn delete_sprite(&self, name: &str) -> Result<(), ServiceError> {
        let call = self.call("delete the sprite", Method::DELETE, path(name));
        match self.send(call).await {
            Err(error) if error.verdict() == Verdict::Missing => Ok(()),
            done => done.map(drop),
        }
    }
}

fn path(name: &str) -> String {
    format!("/v1/sprites/{}", encode(name))
}
