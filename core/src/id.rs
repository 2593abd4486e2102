//! Identifiers: opaque bytes with one text form (lower-case hex).
//!
//! None of them is ever built from an administrative code or an identity number (DESIGN §2, §3).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A text that is not an identifier of the expected length.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{found}` is not an id of {expected_chars} hexadecimal characters")]
pub struct IdError {
    /// The text that was given.
    pub found: String,
    /// How many hexadecimal characters the id has.
    pub expected_chars: usize,
}

/// Writes bytes as lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// Reads lower- or upper-case hexadecimal; `None` if a character or the length is wrong.
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident, $len:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// Length in bytes.
            pub const LEN: usize = $len;

            /// The bytes, if there are exactly as many as the id has.
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self)
            }

            /// The first eight hexadecimal characters, for people and logs.
            pub fn short(&self) -> String {
                hex(&self.0[..4])
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.short())
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                unhex(text)
                    .and_then(|bytes| Self::from_slice(&bytes))
                    .ok_or_else(|| IdError { found: text.to_owned(), expected_chars: $len * 2 })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

id_type!(
    /// A node of the hierarchy. Stable and opaque: codes and names are dated attributes.
    PlaceId, 8);
id_type!(
    /// One replica of a place, chosen by the issuer of its certificate.
    ReplicaId, 8);
id_type!(
    /// One ledger record: random, so that two offices never make the same one.
    RecordId, 16);
id_type!(
    /// An Ed25519 seal key.
    SealKey, 32);
id_type!(
    /// A random start of a feed: 16 bytes, never a counter (DESIGN §4).
    Epoch, 16);
id_type!(
    /// BLAKE3 of a segment, or of other sealed bytes.
    Hash, 32);
id_type!(
    /// Automerge's id of the author: BLAKE3 over key and epoch, cut to 16 bytes.
    Actor, 16);
id_type!(
    /// One import: its entries are all or nothing in the local commit.
    ImportId, 8);

/// One replica's seal key in one epoch: who a feed belongs to.
#[derive(
    Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize,
)]
pub struct AuthorId {
    /// The key that seals.
    pub key: SealKey,
    /// The epoch in which it seals.
    pub epoch: Epoch,
}

impl AuthorId {
    /// The Automerge actor of this author (DESIGN §4).
    pub fn actor(&self) -> Actor {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"taizhang actor v1");
        hasher.update(&self.key.0);
        hasher.update(&self.epoch.0);
        let mut actor = [0; Actor::LEN];
        actor.copy_from_slice(&hasher.finalize().as_bytes()[..Actor::LEN]);
        Actor(actor)
    }
}

impl fmt::Display for AuthorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.key.short(), self.epoch.short())
    }
}

/// A level of the hierarchy; a greater one has more authority (M > C > T > V in DOMAIN.md §0.4).
#[derive(
    Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// 村
    #[default]
    Village,
    /// 乡镇
    Township,
    /// 县
    County,
    /// 市
    City,
}

impl Level {
    /// All levels, the lowest first.
    pub const ALL: [Self; 4] = [Self::Village, Self::Township, Self::County, Self::City];

    /// The word used in catalogues, files and on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Village => "village",
            Self::Township => "township",
            Self::County => "county",
            Self::City => "city",
        }
    }

    /// The word for people, in Chinese.
    pub fn zh(self) -> &'static str {
        match self {
            Self::Village => "村级",
            Self::Township => "乡级",
            Self::County => "县级",
            Self::City => "市级",
        }
    }

    /// Some levels for people: in Chinese, in English.
    pub fn words(levels: &[Self]) -> (String, String) {
        let list = |word: fn(Self) -> &'static str, comma: &str| {
            levels.iter().map(|level| word(*level)).collect::<Vec<_>>().join(comma)
        };
        (list(Self::zh, "、"), list(Self::name, ", "))
    }

    /// The level of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.name() == name)
    }

    /// The level directly below; a village has none.
    pub fn below(self) -> Option<Self> {
        match self {
            Self::Village => None,
            Self::Township => Some(Self::Village),
            Self::County => Some(Self::Township),
            Self::City => Some(Self::County),
        }
    }
}

/// What a slice carries and which way it flows (DESIGN §2).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SliceKind {
    /// Policy, tree, roster, catalogue, registers: flows down.
    Directive,
    /// Records: flow up.
    Ledger,
}

/// What is replicated together: the ledgers, or the directives, of one place.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct SliceId {
    /// Directives sort first, so that they are sent first.
    pub kind: SliceKind,
    /// The place whose slice it is.
    pub place: PlaceId,
}

impl SliceId {
    /// The directive slice of a place.
    pub fn directive(place: PlaceId) -> Self {
        Self { kind: SliceKind::Directive, place }
    }

    /// The ledger slice of a place.
    pub fn ledger(place: PlaceId) -> Self {
        Self { kind: SliceKind::Ledger, place }
    }
}

impl fmt::Display for SliceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            SliceKind::Directive => "directive",
            SliceKind::Ledger => "ledger",
        };
        write!(f, "{kind}:{}", self.place)
    }
}

impl FromStr for SliceId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        match text.split_once(':') {
            Some(("directive", place)) => Ok(Self::directive(place.parse()?)),
            Some(("ledger", place)) => Ok(Self::ledger(place.parse()?)),
            _ => Err(IdError { found: text.to_owned(), expected_chars: PlaceId::LEN * 2 }),
        }
    }
}

/// Urgency class. Causal order is kept within one; lanes go out in this order.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lane {
    /// The only lane of a directive slice.
    Directive,
    /// Ledgers whose records others wait for.
    Urgent,
    /// All other ledgers.
    Ordinary,
}

impl Lane {
    /// All lanes in sending order.
    pub const ALL: [Self; 3] = [Self::Directive, Self::Urgent, Self::Ordinary];

    /// The byte used in canonical forms and on the wire.
    pub fn code(self) -> u8 {
        match self {
            Self::Directive => 0,
            Self::Urgent => 1,
            Self::Ordinary => 2,
        }
    }

    /// The lane of that byte.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|lane| lane.code() == code)
    }

    /// Whether a slice of that kind has this lane.
    pub fn belongs_to(self, kind: SliceKind) -> bool {
        (self == Self::Directive) == (kind == SliceKind::Directive)
    }
}

/// One author's append-only log in one slice and lane.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct FeedId {
    /// The slice.
    pub slice: SliceId,
    /// The lane.
    pub lane: Lane,
    /// The author.
    pub author: AuthorId,
}

impl fmt::Display for FeedId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}@{}", self.slice, self.lane.code(), self.author)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_forms_are_read_back() {
        let place = PlaceId([0, 1, 2, 3, 250, 251, 252, 255]);
        assert_eq!(place.to_string().parse(), Ok(place));
        let slice = SliceId::ledger(place);
        assert_eq!(slice.to_string().parse(), Ok(slice));
        assert!("xyz".parse::<PlaceId>().is_err());
        assert_eq!(unhex("0g"), None);
    }

    #[test]
    fn an_actor_depends_on_key_and_epoch() {
        let one = AuthorId { key: SealKey([1; 32]), epoch: Epoch([1; 16]) };
        let two = AuthorId { key: SealKey([1; 32]), epoch: Epoch([2; 16]) };
        assert_ne!(one.actor(), two.actor());
    }
}
