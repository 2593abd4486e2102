//! One-time enrolment codes: where the parent is, which root to trust, and a secret.
//!
//! ```text
//!   TZ-<base32 of: version 1 · fingerprint 32 · secret 16 · expiry · addresses · checksum 4>
//! ```

use taizhang_core::codec::{Reader, Writer};
use taizhang_core::id::{Hash, hex};
use taizhang_core::time::UtcMillis;

/// Hours a code can be used unless the operator says otherwise.
pub const LIFE_HOURS: i64 = 72;
/// Hours a code may live at most: a quarter of a year.
pub const LIFE_HOURS_MAX: i64 = 24 * 92;
/// Wrong secrets before a parent stops answering enrolments for a minute.
pub const WRONG_SECRETS_MAX: u32 = 5;
const ADDRESSES_MAX: usize = 8;
const ADDRESS_BYTES_MAX: usize = 256;
/// No 0, 1, i, l, o, u: they are misread.
const ALPHABET: &[u8; 32] = b"23456789abcdefghjkmnpqrstvwxyzAE";

/// What a code carries.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EnrolmentCode {
    /// Fingerprint of the root to trust.
    pub root: Hash,
    /// 16 random bytes, used once.
    pub secret: [u8; 16],
    /// By the parent's clock.
    pub expires: UtcMillis,
    /// `host:port` of the parent, tried in order.
    pub addresses: Vec<String>,
}

/// A text that is no code.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("this is not an enrolment code; copy it whole, from TZ- to its end")]
pub struct CodeError;

impl EnrolmentCode {
    /// The code as text.
    pub fn to_text(&self) -> String {
        let mut writer = Writer::new();
        writer.byte(1);
        writer.raw(&self.root.0);
        writer.raw(&self.secret);
        writer.int(self.expires.0);
        writer.len(self.addresses.len());
        for address in &self.addresses {
            writer.text(address);
        }
        let sum = blake3::hash(&writer.bytes);
        writer.raw(&sum.as_bytes()[..4]);
        format!("TZ-{}", encode(&writer.bytes))
    }

    /// Reads a code; blanks and line ends inside are ignored.
    ///
    /// # Errors
    ///
    /// [`CodeError`].
    pub fn parse(text: &str) -> Result<Self, CodeError> {
        let compact: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let bytes = decode(compact.strip_prefix("TZ-").ok_or(CodeError)?).ok_or(CodeError)?;
        let at = bytes.len().checked_sub(4).ok_or(CodeError)?;
        let (content, sum) = bytes.split_at(at);
        if blake3::hash(content).as_bytes()[..4] != *sum {
            return Err(CodeError);
        }
        Self::read(&mut Reader::new(content)).ok_or(CodeError)
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        if reader.byte().ok()? != 1 {
            return None;
        }
        let root = Hash(reader.array().ok()?);
        let secret = reader.array().ok()?;
        let expires = UtcMillis(reader.int().ok()?);
        let mut addresses = Vec::new();
        for _ in 0..reader.len(ADDRESSES_MAX).ok()? {
            addresses.push(reader.text(ADDRESS_BYTES_MAX).ok()?.to_owned());
        }
        reader.finish().ok()?;
        Some(Self { root, secret, expires, addresses })
    }

    /// The secret as it is sent.
    pub fn secret_text(&self) -> String {
        hex(&self.secret)
    }
}

/// What a parent keeps of a secret.
pub fn secret_hash(secret: &str) -> Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"taizhang enrolment v1");
    hasher.update(secret.as_bytes());
    Hash(*hasher.finalize().as_bytes())
}

fn encode(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.chunks(5) {
        let mut word = [0_u8; 8];
        word[3..3 + chunk.len()].copy_from_slice(chunk);
        let word = u64::from_be_bytes(word);
        let digits = (chunk.len() * 8).div_ceil(5);
        for at in 0..digits {
            let digit = (word >> (35 - 5 * at)) & 31;
            text.push(char::from(ALPHABET[usize::try_from(digit).unwrap_or(0)]));
        }
    }
    text
}

fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for chunk in text.as_bytes().chunks(8) {
        let mut word = 0_u64;
        for (at, c) in chunk.iter().enumerate() {
            let digit = ALPHABET.iter().position(|known| known == c)?;
            word |= (digit as u64) << (35 - 5 * at);
        }
        let count = chunk.len() * 5 / 8;
        bytes.extend_from_slice(word.to_be_bytes().get(3..3 + count)?);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> EnrolmentCode {
        EnrolmentCode {
            root: Hash([7; 32]),
            secret: [9; 16],
            expires: UtcMillis(1_800_000_000_000),
            addresses: vec!["127.0.0.1:7443".into(), "hub.example:7443".into()],
        }
    }

    #[test]
    fn a_code_is_read_back_even_when_it_was_broken_into_lines() {
        let text = sample().to_text();
        assert_eq!(EnrolmentCode::parse(&text), Ok(sample()));
        let broken = format!("  {}\n {} ", &text[..20], &text[20..]);
        assert_eq!(EnrolmentCode::parse(&broken), Ok(sample()));
    }

    #[test]
    fn every_changed_character_is_noticed() {
        let text = sample().to_text();
        for at in 3..text.len() {
            let mut wrong = text.clone();
            let other = if &text[at..=at] == "a" { "b" } else { "a" };
            wrong.replace_range(at..=at, other);
            assert_eq!(EnrolmentCode::parse(&wrong), Err(CodeError), "{at}");
        }
        assert_eq!(EnrolmentCode::parse(&text[..text.len() - 1]), Err(CodeError));
    }
}
