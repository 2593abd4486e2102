//! One encrypted, signed file from one replica to the replicas of one office.
//!
//! Layout: [`MAGIC`], the length of a JSON header (4 bytes, little endian), the header, the sealed body,
//! and the sender's Ed25519 signature over everything before it. The body is zstd, then
//! ChaCha20-Poly1305 (RFC 8439) under a random key; that key is wrapped for each receiver by X25519
//! (RFC 7748) between an ephemeral key and the receiver's seal key in its Montgomery form, so that no
//! further key must be certified (decision 0008).

use std::io::Read as _;

use curve25519_dalek::MontgomeryPoint;
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use serde::{Deserialize, Serialize};
use taizhang_core::directives::{chain_from_text, chain_to_text};
use taizhang_core::feed::segment::verify_seal;
use taizhang_core::id::{Hash, PlaceId, SealKey, hex, unhex};
use taizhang_core::limits;

use crate::identity::chain::{ChainError, CheckedChain, RootOfTrust};
use crate::identity::keys::Identity;

/// First bytes of every such file.
pub const MAGIC: &[u8] = b"taizhang file 1\n";

const SIGNATURE_BYTES: usize = 64;

/// What a file is for.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Certificates and directives for a new or renewed replica.
    Admission,
    /// What a peer lacks.
    Bundle,
}

/// Why a file is refused: in words for the person who brought it.
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    /// Something else.
    #[error("不是本系统的文件 / not a file of this program")]
    NotOurs,
    /// Written by a newer program, or for another purpose.
    #[error("不是这里需要的文件 / a file for another purpose, or of a newer program")]
    Purpose,
    /// Bytes are missing at the end.
    #[error(
        "文件不完整:应为{expected}字节,只有{found}字节,请重新拷贝 / the file is cut off at {found} of \
         {expected} bytes; copy it again"
    )]
    Truncated {
        /// Bytes it should have.
        expected: u64,
        /// Bytes there are.
        found: u64,
    },
    /// Bytes were changed.
    #[error("文件被改动过,未导入 / the file was altered; nothing was taken from it")]
    Altered,
    /// Of another network.
    #[error("文件属于另一个网络 / the file belongs to another network")]
    Network,
    /// Its sender's certificate does not check.
    #[error("发送方证书无效:{0} / the sender's certificate is not valid: {0}")]
    Sender(#[from] ChainError),
    /// Not for this replica.
    #[error("文件是给别的单位的 / the file is for another office")]
    NotForUs,
    /// Above the limits.
    #[error("文件过大 / the file is too large")]
    TooLarge,
}

#[derive(Deserialize, Serialize)]
struct Header {
    kind: Kind,
    root: String,
    chain: String,
    to: PlaceId,
    ephemeral: String,
    /// Content key, wrapped for each receiver by its seal key.
    keys: Vec<(SealKey, String)>,
    body: u64,
}

/// An opened file.
pub struct Opened {
    /// Who wrote it.
    pub sender: CheckedChain,
    /// The network's root.
    pub root: RootOfTrust,
    /// The content.
    pub body: Vec<u8>,
}

fn cipher(key: &[u8; 32]) -> Option<LessSafeKey> {
    UnboundKey::new(&CHACHA20_POLY1305, key).ok().map(LessSafeKey::new)
}

/// Every key here encrypts one message, so that the nonce is zero.
fn seal(key: &[u8; 32], plain: &[u8], about: &[u8]) -> Vec<u8> {
    let mut bytes = plain.to_vec();
    let nonce = Nonce::assume_unique_for_key([0; 12]);
    let sealed = cipher(key)
        .map(|cipher| cipher.seal_in_place_append_tag(nonce, Aad::from(about), &mut bytes));
    debug_assert!(matches!(sealed, Some(Ok(()))), "a key of 32 bytes seals any message");
    bytes
}

fn unseal(key: &[u8; 32], sealed: &[u8], about: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = sealed.to_vec();
    let nonce = Nonce::assume_unique_for_key([0; 12]);
    let plain = cipher(key)?.open_in_place(nonce, Aad::from(about), &mut bytes).ok()?;
    Some(plain.to_vec())
}

/// The key that wraps the content key; none if the exchange gives nothing secret.
fn wrapping(shared: MontgomeryPoint, ephemeral: &[u8; 32], receiver: SealKey) -> Option<[u8; 32]> {
    let mut hasher = blake3::Hasher::new_derive_key("taizhang file wrap v1");
    for part in [&shared.0, ephemeral, &receiver.0] {
        hasher.update(part);
    }
    (shared.0 != [0; 32]).then(|| *hasher.finalize().as_bytes())
}

fn digest(bytes: &[u8]) -> Hash {
    let mut hasher = blake3::Hasher::new_derive_key("taizhang file signature v1");
    hasher.update(bytes);
    Hash(*hasher.finalize().as_bytes())
}

/// Writes a file for some seal keys of one place. `chance` is 64 random bytes.
///
/// # Errors
///
/// [`EnvelopeError::TooLarge`].
pub fn write(
    kind: Kind,
    sender: &Identity,
    to: PlaceId,
    receivers: &[SealKey],
    plain: &[u8],
    chance: &[u8; 64],
) -> Result<Vec<u8>, EnvelopeError> {
    if plain.len() > limits::FILE_BODY_BYTES_MAX {
        return Err(EnvelopeError::TooLarge);
    }
    let (content, secret) = chance.split_at(32);
    let content: [u8; 32] = content.try_into().unwrap_or_default();
    let secret: [u8; 32] = secret.try_into().unwrap_or_default();
    let ephemeral = MontgomeryPoint::mul_base_clamped(secret).0;
    let mut keys = Vec::new();
    for receiver in receivers {
        let Ok(point) = VerifyingKey::from_bytes(&receiver.0) else { continue };
        let shared = point.to_montgomery().mul_clamped(secret);
        if let Some(key) = wrapping(shared, &ephemeral, *receiver) {
            keys.push((*receiver, hex(&seal(&key, &content, b""))));
        }
    }
    let packed = zstd::bulk::compress(plain, 3).map_err(|_| EnvelopeError::TooLarge)?;
    let body = seal(&content, &packed, to.0.as_slice());
    let header = Header {
        kind,
        root: hex(sender.root.der()),
        chain: chain_to_text(&sender.chain),
        to,
        ephemeral: hex(&ephemeral),
        keys,
        body: body.len() as u64,
    };
    let header = serde_json::to_vec(&header).map_err(|_| EnvelopeError::NotOurs)?;
    let length = u32::try_from(header.len()).map_err(|_| EnvelopeError::TooLarge)?;
    let mut bytes = [MAGIC, &length.to_le_bytes(), &header, &body].concat();
    let signature = sender.seal.sign(&digest(&bytes).0).to_bytes();
    bytes.extend(signature);
    Ok(bytes)
}

/// Opens a file that was written for `seal`. With `root`, the file must be of that network.
///
/// # Errors
///
/// [`EnvelopeError`], by what is wrong first.
pub fn open(
    kind: Kind,
    bytes: &[u8],
    seal: &SigningKey,
    root: Option<&RootOfTrust>,
) -> Result<Opened, EnvelopeError> {
    let (header, start) = header_of(bytes)?;
    let expected = (start as u64).saturating_add(header.body) + SIGNATURE_BYTES as u64;
    let found = bytes.len() as u64;
    if found < expected {
        return Err(EnvelopeError::Truncated { expected, found });
    }
    if found > expected {
        return Err(EnvelopeError::Altered);
    }
    if header.kind != kind {
        return Err(EnvelopeError::Purpose);
    }
    let of_file = RootOfTrust::new(unhex(&header.root).ok_or(EnvelopeError::Altered)?);
    if root.is_some_and(|root| root.der() != of_file.der()) {
        return Err(EnvelopeError::Network);
    }
    let chain = chain_from_text(&header.chain).ok_or(EnvelopeError::Altered)?;
    let sender = of_file.check(&chain)?;
    let (signed, signature) = bytes.split_at(bytes.len() - SIGNATURE_BYTES);
    let signature = signature.try_into().map_err(|_| EnvelopeError::Altered)?;
    if !verify_seal(sender.seal_key, digest(signed), &signature) {
        return Err(EnvelopeError::Altered);
    }
    let own = SealKey(seal.verifying_key().to_bytes());
    let wrapped = header.keys.iter().find(|(key, _)| *key == own);
    let wrapped = wrapped.and_then(|(_, text)| unhex(text)).ok_or(EnvelopeError::NotForUs)?;
    let content = unwrap_key(&header.ephemeral, &wrapped, seal, own);
    let content = content.ok_or(EnvelopeError::Altered)?;
    let packed = unseal(&content, &signed[start..], header.to.0.as_slice());
    let body = unpack(&packed.ok_or(EnvelopeError::Altered)?)?;
    Ok(Opened { sender, root: of_file, body })
}

fn header_of(bytes: &[u8]) -> Result<(Header, usize), EnvelopeError> {
    let after = bytes.strip_prefix(MAGIC).ok_or(EnvelopeError::NotOurs)?;
    let found = bytes.len() as u64;
    let at_least = |expected: u64| EnvelopeError::Truncated { expected, found };
    let (length, after) =
        after.split_first_chunk::<4>().ok_or_else(|| at_least(MAGIC.len() as u64 + 4))?;
    let length = u32::from_le_bytes(*length) as usize;
    if length > limits::FILE_HEADER_BYTES_MAX {
        return Err(EnvelopeError::Altered);
    }
    let start = MAGIC.len() + 4 + length;
    let header = after.get(..length).ok_or_else(|| at_least(start as u64))?;
    let header: Header = serde_json::from_slice(header).map_err(|_| EnvelopeError::Altered)?;
    if header.body > limits::FILE_BODY_BYTES_MAX as u64 {
        return Err(EnvelopeError::TooLarge);
    }
    Ok((header, start))
}

fn unwrap_key(
    ephemeral: &str,
    wrapped: &[u8],
    seal: &SigningKey,
    own: SealKey,
) -> Option<[u8; 32]> {
    let ephemeral: [u8; 32] = unhex(ephemeral)?.try_into().ok()?;
    let shared = MontgomeryPoint(ephemeral).mul_clamped(seal.to_scalar_bytes());
    let key = wrapping(shared, &ephemeral, own)?;
    unseal(&key, wrapped, b"")?.try_into().ok()
}

/// Bounded: what a few bytes unpack to is their writer's choice.
fn unpack(packed: &[u8]) -> Result<Vec<u8>, EnvelopeError> {
    let decoder = zstd::stream::read::Decoder::new(packed).map_err(|_| EnvelopeError::Altered)?;
    let mut body = Vec::new();
    let limit = limits::FILE_BODY_BYTES_MAX as u64;
    let mut bounded = decoder.take(limit + 1);
    bounded.read_to_end(&mut body).map_err(|_| EnvelopeError::Altered)?;
    if body.len() as u64 > limit { Err(EnvelopeError::TooLarge) } else { Ok(body) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_bytes_that_unpack_without_end_are_given_up() {
        let zeros = vec![0; limits::FILE_BODY_BYTES_MAX + 1];
        let bomb = zstd::bulk::compress(&zeros, 3).unwrap();
        assert!(bomb.len() < 16 * 1024);
        assert!(matches!(unpack(&bomb), Err(EnvelopeError::TooLarge)));
        let fits = zstd::bulk::compress(&zeros[1..], 3).unwrap();
        assert_eq!(unpack(&fits).unwrap().len(), limits::FILE_BODY_BYTES_MAX);
    }
}
