//! The secret that the host made for this process.

use std::fmt;
use std::hint::black_box;

use http::{HeaderMap, HeaderName};
use jackfield_wire::grpc;

pub(crate) const HEADER: HeaderName = HeaderName::from_static(grpc::TOKEN_HEADER);

/// What every request must carry.
pub(crate) struct Token(Vec<u8>);

impl Token {
    /// None where the host made none. Set to nothing is not set.
    pub(crate) fn from_env() -> Option<Self> {
        let token = std::env::var_os(grpc::TOKEN)?.into_encoded_bytes();
        (!token.is_empty()).then_some(Self(token))
    }

    /// Whether the request carries it, once.
    pub(crate) fn is_in(&self, headers: &HeaderMap) -> bool {
        let mut given = headers.get_all(HEADER).iter();
        match (given.next(), given.next()) {
            (Some(given), None) => same(&self.0, given.as_bytes()),
            _ => false,
        }
    }
}

/// Takes as long wherever they differ.
fn same(one: &[u8], other: &[u8]) -> bool {
    let differences = one
        .iter()
        .zip(other)
        .fold(0, |seen, (one, other)| black_box(seen | (one ^ other)));
    one.len() == other.len() && differences == 0
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_very_token_opens() {
        let token = Token(b"secret".to_vec());
        let with = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(HEADER, value.parse().unwrap());
            }
            token.is_in(&headers)
        };
        assert!(with(&["secret"]));
        for wrong in [
            &["secre"][..],
            &["secrets"],
            &["Secret"],
            &[""],
            &[],
            &["secret", "secret"],
        ] {
            assert!(!with(wrong), "{wrong:?}");
        }
    }
}
