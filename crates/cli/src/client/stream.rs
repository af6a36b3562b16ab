//! Server-sent events.

use futures_util::{Stream, StreamExt as _};

/// One of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) event: String,
    /// The last id that was sent, with this one or before.
    pub(crate) id: Option<String>,
    pub(crate) data: String,
}

/// All of them, from the body of a response. Lines are taken as long as they are.
#[derive(Debug)]
pub(crate) struct Items<S> {
    body: S,
    /// What is not a whole line yet.
    rest: Vec<u8>,
    item: Item,
    some: bool,
}

impl<S, B, E> Items<S>
where
    S: Stream<Item = Result<B, E>> + Unpin,
    B: AsRef<[u8]>,
{
    pub(crate) fn new(body: S) -> Self {
        Self {
            body,
            rest: Vec::new(),
            item: Item::default(),
            some: false,
        }
    }

    /// The next one; `None` where the response ends. Cancel safe.
    pub(crate) async fn next(&mut self) -> Option<Result<Item, E>> {
        loop {
            while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                let line = String::from_utf8_lossy(&line);
                if let Some(item) = self.line(line.trim_end_matches(['\n', '\r'])) {
                    return Some(Ok(item));
                }
            }
            match self.body.next().await? {
                Ok(bytes) => self.rest.extend_from_slice(bytes.as_ref()),
                Err(error) => return Some(Err(error)),
            }
        }
    }

    fn line(&mut self, line: &str) -> Option<Item> {
        if line.is_empty() {
            let some = std::mem::take(&mut self.some);
            let next = Item {
                id: self.item.id.clone(),
                ..Item::default()
            };
            let item = std::mem::replace(&mut self.item, next);
            return some.then_some(item);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => {
                if self.some && !self.item.data.is_empty() {
                    self.item.data.push('\n');
                }
                self.item.data.push_str(value);
                self.some = true;
            }
            "event" => {
                value.clone_into(&mut self.item.event);
                self.some = true;
            }
            "id" => self.item.id = Some(value.to_owned()),
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn events_come_whole_however_they_are_cut() {
        let text = ": alive\n\nid: 7\ndata: one\n\ndata: {\"a\":1}\r\n\r\nid:8\ndata: ä\ndata: b\n\nevent: end\ndata:\n\n: x\n";
        for size in 1..20 {
            let parts: Vec<Result<Vec<u8>, ()>> = text
                .as_bytes()
                .chunks(size)
                .map(|part| Ok(part.to_vec()))
                .collect();
            let mut items = Items::new(futures_util::stream::iter(parts));
            let mut seen = Vec::new();
            while let Some(Ok(item)) = items.next().await {
                seen.push((item.event, item.id, item.data));
            }
            let id = |id: &str| Some(id.to_owned());
            let expected = [
                (String::new(), id("7"), "one".to_owned()),
                (String::new(), id("7"), "{\"a\":1}".to_owned()),
                (String::new(), id("8"), "ä\nb".to_owned()),
                ("end".to_owned(), id("8"), String::new()),
            ];
            assert_eq!(seen, expected, "in parts of {size}");
        }
    }
}
