//! A large message without what is long in it, so that its members are found quickly.

use serde::Deserialize;
use serde::de::value::{BorrowedStrDeserializer, Error, MapDeserializer};
use serde_json::value::RawValue;

/// A JSON text from whose long strings the middle was taken. It is JSON if and only if the whole text is, and is read in a
/// fraction of the time: what was taken is looked at 64 bytes at once, and only for what ends a string or may not be in
/// one. Keys may have lost something, too: what stands beside a part counts if [`whole`](Self::whole) finds that.
#[derive(Debug)]
pub struct Trimmed<'a> {
    whole: &'a str,
    text: String,
    cuts: Vec<Cut>,
}

/// Something that was taken out.
#[derive(Debug)]
struct Cut {
    /// Where it stood, in what is left.
    at: usize,
    length: usize,
}

/// Where the text is read.
#[derive(Clone, Copy)]
enum Place {
    Outside,
    InString,
    Escaped,
}

/// So much at the beginning of a string, and after the first letter of an escape, is never taken: no digit of a `\u00e9`.
/// And no key becomes one that means something, for those are shorter.
const LEAD: usize = 16;
/// What is taken at least.
const WORTH: usize = 256;
/// A text of which more than this and an eighth is left is better read as it is.
const REST: usize = 4 << 10;

impl<'a> Trimmed<'a> {
    /// `None` where little could be taken out. Takes memory for what is left of the text.
    #[must_use]
    pub fn of(whole: &'a str) -> Option<Self> {
        let bytes = whole.as_bytes();
        let mut trimmed = Self {
            whole,
            text: String::new(),
            cuts: Vec::new(),
        };
        let (mut at, mut kept) = (0, 0);
        let (mut place, mut plain, mut looked_at) = (Place::Outside, 0, 0);
        while let Some(byte) = bytes.get(at) {
            at += 1;
            looked_at += 1;
            if looked_at > REST + at / 8 {
                return None;
            }
            place = match (place, byte) {
                (Place::Outside, b'"') | (Place::Escaped, _) => {
                    plain = 0;
                    Place::InString
                }
                (Place::InString, b'"') => Place::Outside,
                (Place::InString, b'\\') => Place::Escaped,
                (place, _) => {
                    plain += 1;
                    place
                }
            };
            if matches!(place, Place::InString) && plain == LEAD {
                let from = whole.ceil_char_boundary(at);
                let to = whole.floor_char_boundary(at + plain_bytes(&bytes[at..]));
                if to.saturating_sub(from) >= WORTH {
                    trimmed.text.push_str(&whole[kept..from]);
                    let (at_cut, length) = (trimmed.text.len(), to - from);
                    trimmed.cuts.push(Cut { at: at_cut, length });
                    (at, kept) = (to, to);
                }
            }
        }
        trimmed.text.push_str(&whole[kept..]);
        (!trimmed.cuts.is_empty()).then_some(trimmed)
    }

    /// What is left.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What became this part of [`text`](Self::text). `None` where it is not one, or where something was taken out
    /// elsewhere than there.
    #[must_use]
    pub fn whole(&self, part: &RawValue) -> Option<&'a RawValue> {
        let part = part.get();
        let begin = (part.as_ptr() as usize).checked_sub(self.text.as_ptr() as usize)?;
        let end = begin.checked_add(part.len())?;
        let within = |cut: &Cut| (begin..end).contains(&cut.at);
        if end > self.text.len() || !self.cuts.iter().all(within) {
            return None;
        }
        let taken: usize = self.cuts.iter().map(|cut| cut.length).sum();
        Some(known(&self.whole[begin..end + taken]))
    }
}

/// How many of the first bytes neither end a string nor may not be in one, in whole blocks.
fn plain_bytes(bytes: &[u8]) -> usize {
    const BLOCK: usize = 64;
    let (blocks, _) = bytes.as_chunks::<BLOCK>();
    // Without a branch, so that it is done for many bytes at once.
    let is_plain = |block: &&[u8; BLOCK]| {
        let special = block.iter().fold(0, |special, &byte| {
            special | u8::from(byte < 0x20) | u8::from(byte == b'"') | u8::from(byte == b'\\')
        });
        special == 0
    };
    blocks.iter().take_while(is_plain).count() * BLOCK
}

/// What is known to be JSON, without looking at it again: as it is handed from one `serde_json` to another one. Whatever
/// that does not take is read anew.
fn known(json: &str) -> &RawValue {
    handed(json).unwrap_or_else(|| serde_json::from_str(json).expect("what was trimmed is JSON"))
}

fn handed(json: &str) -> Option<&RawValue> {
    let raw = BorrowedStrDeserializer::<Error>::new(json);
    let members = [("$serde_json::private::RawValue", raw)].into_iter();
    <&RawValue>::deserialize(MapDeserializer::<_, Error>::new(members)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn long(filling: &str) -> String {
        filling.repeat(64 * 1024 / filling.len() + 1)
    }

    /// What the whole of the trimmed text becomes.
    fn round(text: &str) -> Option<String> {
        let trimmed = Trimmed::of(text)?;
        let all: &RawValue = serde_json::from_str(trimmed.text()).ok()?;
        Some(trimmed.whole(all)?.get().to_owned())
    }

    #[test]
    fn what_was_taken_out_is_there_again() {
        let (plain, wide) = (long("x"), long("äöü€𝄞"));
        for text in [
            format!(r#"{{"text":"{plain}"}}"#),
            format!(r#"["{wide}","{plain}",[],"short"]"#),
            format!(r#"{{"a":"\u00e4\"{plain}\\","b":"{wide}\n{plain}"}}"#),
            format!(r#"{{"{plain}":1,"{wide}":2}}"#),
        ] {
            let trimmed = Trimmed::of(&text).unwrap();
            assert!(trimmed.text().len() < text.len() / 4);
            assert_eq!(round(&text), Some(text));
        }
    }

    #[test]
    fn only_the_part_that_holds_all_of_it_is_found() {
        let plain = long("x");
        let text = format!(r#"{{"a":{{"b":"{plain}"}},"c":[1]}}"#);
        let trimmed = Trimmed::of(&text).unwrap();
        let members: std::collections::HashMap<&str, &RawValue> =
            serde_json::from_str(trimmed.text()).unwrap();
        let whole = trimmed.whole(members["a"]).unwrap();
        assert_eq!(whole.get(), format!(r#"{{"b":"{plain}"}}"#));
        assert!(trimmed.whole(members["c"]).is_none());
        assert!(trimmed.whole(RawValue::TRUE).is_none());
    }

    /// A few bytes at the end of a string are left in it, and so of a key.
    #[test]
    fn no_key_becomes_one_that_means_something() {
        let plain = long("x");
        for key in [
            format!("tracepar{plain}ent"),
            format!(r"\u0072esul{plain}t"),
            format!(r"\u0070arams{plain}"),
        ] {
            let text = format!(r#"{{"{key}":"{plain}"}}"#);
            let trimmed = Trimmed::of(&text).unwrap();
            let members: std::collections::HashMap<String, &RawValue> =
                serde_json::from_str(trimmed.text()).unwrap();
            let (key, value) = members.into_iter().next().unwrap();
            assert!(key.len() > "traceparent".len(), "{key}");
            assert!(trimmed.whole(value).is_none());
        }
    }

    #[test]
    fn what_is_no_json_does_not_become_any() {
        let plain = long("x");
        for text in [
            format!("{{\"text\":\"{plain}\n{plain}\"}}"),
            format!(r#"{{"text":"{plain}"#),
            format!(r#"{{"text":"{plain}"{plain}"}}"#),
            format!(r#"{{"text":"\u00{plain}"}}"#),
            format!(r#"{{"text":"{plain}\"#),
            format!(r#"{{"text":{plain}}}"#),
        ] {
            assert!(serde_json::from_str::<&RawValue>(&text).is_err());
            assert_eq!(round(&text), None);
        }
    }

    #[test]
    fn where_little_can_be_taken_out_nothing_is() {
        for filling in [r#"{"a":1},"#, r#""twelve bytes","#] {
            let text = format!("[{}0]", long(filling));
            assert!(Trimmed::of(&text).is_none());
        }
        assert!(Trimmed::of("").is_none());
        assert!(Trimmed::of(r#"{"text":"x"}"#).is_none());
    }

    /// `serde_json` may come to hand over raw JSON in another way; all would still be right, and slow.
    #[test]
    fn what_is_known_to_be_json_is_not_read_again() {
        assert_eq!(handed("[1 ,2]").unwrap().get(), "[1 ,2]");
    }
}
