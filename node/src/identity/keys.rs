//! Keys and certificates on disk, in `identity/` of the data folder, readable by their owner only.

use std::fs;
use std::path::{Path, PathBuf};

use argon2::Argon2;
use ed25519_dalek::SigningKey;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use serde::{Deserialize, Serialize};
use taizhang_core::directives::{chain_from_text, chain_to_text};
use taizhang_core::id::{SealKey, hex, unhex};

use super::chain::{CheckedChain, RootOfTrust};
use crate::whole::{self, Readable};

/// Why an identity cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file holds something else.
    #[error(
        "{path} is damaged or not of this program; restore the folder `identity` from a backup"
    )]
    Damaged {
        /// Which.
        path: PathBuf,
    },
    /// The chain does not check.
    #[error("the certificate chain is not valid: {0}")]
    Chain(#[from] super::chain::ChainError),
    /// The password does not open the root key.
    #[error("the password does not open this root key file")]
    Password,
}

/// What this replica is and can prove.
#[derive(Clone)]
pub struct Identity {
    /// The root it trusts.
    pub root: RootOfTrust,
    /// Chain of its certificate, leaf first.
    pub chain: Vec<Vec<u8>>,
    /// What that chain says.
    pub checked: CheckedChain,
    /// TLS key, PKCS#8 PEM.
    pub tls_key_pem: String,
    /// Seal key.
    pub seal: SigningKey,
    /// Of a hub: CA chain (CA certificate first) and its key.
    pub authority: Option<Authority>,
    /// Addresses of the parent.
    pub parents: Vec<String>,
}

/// A hub's power to certify its children.
#[derive(Clone)]
pub struct Authority {
    /// CA certificate first, then its issuers, root not included.
    pub chain: Vec<Vec<u8>>,
    /// PKCS#8 PEM.
    pub key_pem: String,
}

#[derive(Deserialize, Serialize)]
struct IdentityFile {
    version: u32,
    root: String,
    chain: String,
    #[serde(default)]
    ca_chain: String,
    parents: Vec<String>,
    /// Beside their certificates: a renewal replaces both at once. Older folders have them in files.
    #[serde(default)]
    tls_key: Option<String>,
    #[serde(default)]
    ca_key: Option<String>,
}

const FILE: &str = "identity.json";
const TLS_KEY: &str = "tls.key.pem";
const SEAL_KEY: &str = "seal.key";
const CA_KEY: &str = "ca.key.pem";

fn write_private(path: &Path, bytes: &[u8]) -> Result<(), KeysError> {
    whole::write(path, bytes, Readable::Owner)
        .map_err(|source| KeysError::File { path: path.to_owned(), source })
}

fn read_text(path: &Path) -> Result<String, KeysError> {
    fs::read_to_string(path).map_err(|source| KeysError::File { path: path.to_owned(), source })
}

impl Identity {
    /// Where it lies in a data folder.
    pub fn folder(data: &Path) -> PathBuf {
        data.join("identity")
    }

    /// Whether a data folder has one.
    pub fn exists(data: &Path) -> bool {
        Self::folder(data).join(FILE).exists()
    }

    /// The public half of the seal key.
    pub fn seal_key(&self) -> SealKey {
        SealKey(self.seal.verifying_key().to_bytes())
    }

    /// Writes it: the seal key, which no renewal changes, and one file with the rest.
    ///
    /// # Errors
    ///
    /// [`KeysError::File`].
    pub fn save(&self, data: &Path) -> Result<(), KeysError> {
        let folder = Self::folder(data);
        fs::create_dir_all(&folder)
            .map_err(|source| KeysError::File { path: folder.clone(), source })?;
        write_private(&folder.join(SEAL_KEY), hex(&self.seal.to_bytes()).as_bytes())?;
        let file = IdentityFile {
            version: 1,
            root: hex(self.root.der()),
            chain: chain_to_text(&self.chain),
            ca_chain: self.authority.as_ref().map(|a| chain_to_text(&a.chain)).unwrap_or_default(),
            parents: self.parents.clone(),
            tls_key: Some(self.tls_key_pem.clone()),
            ca_key: self.authority.as_ref().map(|authority| authority.key_pem.clone()),
        };
        let text = serde_json::to_vec_pretty(&file).unwrap_or_default();
        write_private(&folder.join(FILE), &text)?;
        for old in [TLS_KEY, CA_KEY] {
            // Most folders have none.
            drop(fs::remove_file(folder.join(old)));
        }
        Ok(())
    }

    /// Reads it.
    ///
    /// # Errors
    ///
    /// [`KeysError`].
    pub fn load(data: &Path) -> Result<Self, KeysError> {
        let folder = Self::folder(data);
        let path = folder.join(FILE);
        let damaged = || KeysError::Damaged { path: path.clone() };
        let file: IdentityFile = serde_json::from_str(&read_text(&path)?).map_err(|_| damaged())?;
        let root = RootOfTrust::new(unhex(&file.root).ok_or_else(damaged)?);
        let chain = chain_from_text(&file.chain).ok_or_else(damaged)?;
        let checked = root.check(&chain)?;
        let seal_path = folder.join(SEAL_KEY);
        let seal = unhex(read_text(&seal_path)?.trim())
            .and_then(|bytes| <[u8; 32]>::try_from(bytes).ok())
            .map(|bytes| SigningKey::from_bytes(&bytes))
            .filter(|key| key.verifying_key().to_bytes() == checked.seal_key.0)
            .ok_or(KeysError::Damaged { path: seal_path })?;
        let key = |kept: Option<String>, old| kept.map_or_else(|| read_text(&folder.join(old)), Ok);
        let authority = match chain_from_text(&file.ca_chain) {
            Some(chain) => Some(Authority { chain, key_pem: key(file.ca_key, CA_KEY)? }),
            None => None,
        };
        let tls_key_pem = key(file.tls_key, TLS_KEY)?;
        Ok(Self { root, chain, checked, tls_key_pem, seal, authority, parents: file.parents })
    }
}

fn pending(data: &Path) -> PathBuf {
    Identity::folder(data).join("pending.json")
}

/// Writes the keys of a request under way.
pub(super) fn save_pending(data: &Path, bytes: &[u8]) -> Result<(), KeysError> {
    let folder = Identity::folder(data);
    fs::create_dir_all(&folder)
        .map_err(|source| KeysError::File { path: folder.clone(), source })?;
    write_private(&pending(data), bytes)
}

/// Reads them, if there are any.
pub(super) fn load_pending(data: &Path) -> Result<Option<(PathBuf, Vec<u8>)>, KeysError> {
    let path = pending(data);
    match fs::read(&path) {
        Ok(bytes) => Ok(Some((path, bytes))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(KeysError::File { path, source }),
    }
}

/// Deletes them.
pub(super) fn forget_pending(data: &Path) -> Result<(), KeysError> {
    let path = pending(data);
    fs::remove_file(&path).map_err(|source| KeysError::File { path, source })
}

#[derive(Deserialize, Serialize)]
struct RootKeyFile {
    version: u32,
    salt: String,
    nonce: String,
    sealed: String,
}

/// Memory in KiB and passes of Argon2id for the root key file: it is opened a few times a year.
const ROOT_KEY_COST: (u32, u32) = (65_536, 3);

fn root_cipher(password: &str, salt: &[u8]) -> Option<LessSafeKey> {
    let (memory, passes) = ROOT_KEY_COST;
    let params = argon2::Params::new(memory, passes, 1, Some(32)).ok()?;
    let argon = Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
    let mut key = [0; 32];
    argon.hash_password_into(password.as_bytes(), salt, &mut key).ok()?;
    UnboundKey::new(&CHACHA20_POLY1305, &key).ok().map(LessSafeKey::new)
}

/// Writes the root key, encrypted under a password (Argon2id, ChaCha20-Poly1305). Keep the file
/// off-line.
///
/// # Errors
///
/// [`KeysError`].
pub fn save_root_key(path: &Path, key_pem: &str, password: &str) -> Result<(), KeysError> {
    let (mut salt, mut nonce) = ([0; 16], [0; 12]);
    let random = getrandom::fill(&mut salt).and_then(|()| getrandom::fill(&mut nonce));
    random.map_err(|_| KeysError::Password)?;
    let cipher = root_cipher(password, &salt).ok_or(KeysError::Password)?;
    let mut sealed = key_pem.as_bytes().to_vec();
    cipher
        .seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(b"taizhang root key v1"),
            &mut sealed,
        )
        .map_err(|_| KeysError::Password)?;
    let file =
        RootKeyFile { version: 1, salt: hex(&salt), nonce: hex(&nonce), sealed: hex(&sealed) };
    write_private(path, &serde_json::to_vec_pretty(&file).unwrap_or_default())
}

/// Opens a root key file.
///
/// # Errors
///
/// [`KeysError::Password`] if the password is wrong.
pub fn load_root_key(path: &Path, password: &str) -> Result<String, KeysError> {
    let damaged = || KeysError::Damaged { path: path.to_owned() };
    let file: RootKeyFile = serde_json::from_str(&read_text(path)?).map_err(|_| damaged())?;
    let salt = unhex(&file.salt).ok_or_else(damaged)?;
    let nonce = unhex(&file.nonce)
        .and_then(|bytes| <[u8; 12]>::try_from(bytes).ok())
        .ok_or_else(damaged)?;
    let mut sealed = unhex(&file.sealed).ok_or_else(damaged)?;
    let cipher = root_cipher(password, &salt).ok_or(KeysError::Password)?;
    let plain = cipher
        .open_in_place(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(b"taizhang root key v1"),
            &mut sealed,
        )
        .map_err(|_| KeysError::Password)?;
    String::from_utf8(plain.to_vec()).map_err(|_| damaged())
}
