//! Founding a network, asking for a certificate, and answering such a request.

use std::path::Path;

use ed25519_dalek::{Signer as _, SigningKey};
use rcgen::KeyPair;
use taizhang_core::feed::segment::verify_seal;
use taizhang_core::id::{Hash, PlaceId, ReplicaId, SealKey, hex, unhex};

use super::chain::RootOfTrust;
use super::issue::{
    CA_DAYS, IssueError, LEAF_DAYS, Signer, new_key, public_key, request, request_key, root,
};
use super::keys::{Authority, Identity, KeysError, forget_pending, load_pending, save_pending};
use super::names::ReplicaName;

/// Why a network cannot be founded or a child not certified.
#[derive(Debug, thiserror::Error)]
pub enum FoundError {
    /// A certificate could not be made.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// An identity could not be read or written.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// This replica may not certify others.
    #[error("this replica has no CA certificate; only hubs admit children")]
    NoAuthority,
    /// The seal key's proof of possession fails.
    #[error("the request is not sealed by the seal key that it names")]
    SealProof,
    /// The reply is not for this request.
    #[error("the reply certifies another key, or does not lead to the root of the code")]
    WrongReply,
}

/// A new network: the city's identity, and the root key to be kept off-line.
pub struct Founded {
    /// The first city hub.
    pub identity: Identity,
    /// Root key, PKCS#8 PEM.
    pub root_key_pem: String,
}

/// Makes the root and the first city hub.
///
/// # Errors
///
/// [`FoundError`].
pub fn found(
    city: PlaceId,
    replica: ReplicaId,
    seal: [u8; 32],
    now_s: i64,
) -> Result<Founded, FoundError> {
    let root_key = new_key()?;
    let root_der = root(&root_key, now_s)?.der().to_vec();
    let root_key_pem = root_key.serialize_pem();
    let signer = Signer::load(&root_der, &root_key_pem)?;
    let path = vec![city];
    let ca_key = new_key()?;
    let ca = signer.ca(&path, &public_key(&ca_key), now_s)?;
    let authority = Authority { chain: vec![ca.clone()], key_pem: ca_key.serialize_pem() };
    let tls_key = new_key()?;
    let seal = SigningKey::from_bytes(&seal);
    let name = ReplicaName { replica, path };
    let seal_key = SealKey(seal.verifying_key().to_bytes());
    let leaf = Signer::load(&ca, &authority.key_pem)?.leaf(
        &name,
        &public_key(&tls_key),
        seal_key,
        now_s,
        LEAF_DAYS,
    )?;
    let root = RootOfTrust::new(root_der);
    let chain = vec![leaf, ca];
    let checked = root.check(&chain).map_err(KeysError::from)?;
    let identity = Identity {
        root,
        chain,
        checked,
        tls_key_pem: tls_key.serialize_pem(),
        seal,
        authority: Some(authority),
        parents: Vec::new(),
    };
    Ok(Founded { identity, root_key_pem })
}

/// Keys made for an enrolment.
pub struct NewKeys {
    tls: KeyPair,
    ca: KeyPair,
    seal: SigningKey,
}

/// What is sent to the parent.
#[derive(Clone, Debug)]
pub struct KeyRequest {
    /// PKCS#10 DER of the TLS key.
    pub request: Vec<u8>,
    /// Seal key.
    pub seal_key: SealKey,
    /// Its seal over the request.
    pub seal: [u8; 64],
    /// PKCS#10 DER of the CA key, for a hub.
    pub ca_request: Vec<u8>,
}

/// What a parent answers.
#[derive(Clone, Debug)]
pub struct Certificates {
    /// Chain of the replica, leaf first.
    pub chain: Vec<Vec<u8>>,
    /// Chain of its CA; empty for a village.
    pub ca_chain: Vec<Vec<u8>>,
}

fn proof(request: &[u8]) -> Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"taizhang enrolment proof v1");
    hasher.update(request);
    Hash(*hasher.finalize().as_bytes())
}

impl NewKeys {
    /// Makes keys; the seal key from given random bytes.
    ///
    /// # Errors
    ///
    /// [`FoundError`].
    pub fn generate(seal: [u8; 32]) -> Result<Self, FoundError> {
        Ok(Self { tls: new_key()?, ca: new_key()?, seal: SigningKey::from_bytes(&seal) })
    }

    /// The seal key.
    pub fn seal_key(&self) -> SigningKey {
        self.seal.clone()
    }

    /// The keys of a data folder's request, which stay in it until the answer is taken: who lost the answer
    /// asks again. A folder with an identity asks under its seal key, a new one under the one given.
    ///
    /// # Errors
    ///
    /// [`FoundError`].
    pub fn for_folder(data: &Path, seal: [u8; 32]) -> Result<Self, FoundError> {
        if let Some(keys) = Self::load(data)? {
            return Ok(keys);
        }
        let known = Identity::exists(data).then(|| Identity::load(data)).transpose()?;
        let keys = Self::generate(known.map_or(seal, |known| known.seal.to_bytes()))?;
        keys.save(data)?;
        Ok(keys)
    }

    fn save(&self, data: &Path) -> Result<(), FoundError> {
        let keys = (self.tls.serialize_pem(), self.ca.serialize_pem(), hex(&self.seal.to_bytes()));
        let bytes = serde_json::to_vec(&keys).unwrap_or_default();
        Ok(save_pending(data, &bytes)?)
    }

    /// The keys of a request under way in a data folder.
    ///
    /// # Errors
    ///
    /// [`FoundError`].
    pub fn load(data: &Path) -> Result<Option<Self>, FoundError> {
        let Some((path, bytes)) = load_pending(data)? else { return Ok(None) };
        let damaged = || KeysError::Damaged { path: path.clone() };
        let (tls, ca, seal): (String, String, String) =
            serde_json::from_slice(&bytes).map_err(|_| damaged())?;
        let key = |pem: &str| KeyPair::from_pem(pem).map_err(|_| damaged());
        let seal = unhex(&seal).and_then(|bytes| bytes.try_into().ok()).ok_or_else(damaged)?;
        Ok(Some(Self { tls: key(&tls)?, ca: key(&ca)?, seal: SigningKey::from_bytes(&seal) }))
    }

    /// Forgets them: the answer has come.
    ///
    /// # Errors
    ///
    /// [`FoundError`].
    pub fn forget(data: &Path) -> Result<(), FoundError> {
        Ok(forget_pending(data)?)
    }

    /// The request for certificates.
    ///
    /// # Errors
    ///
    /// [`FoundError`].
    pub fn request(&self) -> Result<KeyRequest, FoundError> {
        let request_der = request(&self.tls)?;
        let seal = self.seal.sign(&proof(&request_der).0).to_bytes();
        Ok(KeyRequest {
            ca_request: request(&self.ca)?,
            seal_key: SealKey(self.seal.verifying_key().to_bytes()),
            request: request_der,
            seal,
        })
    }

    /// Turns the answer into an identity, after checking it against the root and the keys.
    ///
    /// # Errors
    ///
    /// [`FoundError::WrongReply`].
    pub fn accept(
        self,
        root: RootOfTrust,
        certificates: Certificates,
        parents: Vec<String>,
    ) -> Result<Identity, FoundError> {
        let checked = root.check(&certificates.chain).map_err(KeysError::from)?;
        if checked.seal_key.0 != self.seal.verifying_key().to_bytes() {
            return Err(FoundError::WrongReply);
        }
        let authority = (!certificates.ca_chain.is_empty())
            .then(|| Authority { chain: certificates.ca_chain, key_pem: self.ca.serialize_pem() });
        Ok(Identity {
            root,
            chain: certificates.chain,
            checked,
            tls_key_pem: self.tls.serialize_pem(),
            seal: self.seal,
            authority,
            parents,
        })
    }
}

/// Certifies a child at `path`: what the request claims of names is ignored.
///
/// # Errors
///
/// [`FoundError`].
pub fn certify(
    issuer: &Identity,
    path: &[PlaceId],
    replica: ReplicaId,
    wanted: &KeyRequest,
    now_s: i64,
) -> Result<Certificates, FoundError> {
    let authority = issuer.authority.as_ref().ok_or(FoundError::NoAuthority)?;
    let certificate = authority.chain.first().ok_or(FoundError::NoAuthority)?;
    if !verify_seal(wanted.seal_key, proof(&wanted.request), &wanted.seal) {
        return Err(FoundError::SealProof);
    }
    let signer = Signer::load(certificate, &authority.key_pem)?;
    let name = ReplicaName { replica, path: path.to_vec() };
    let spki = request_key(&wanted.request)?;
    let days = LEAF_DAYS.min(CA_DAYS);
    let mut chain = vec![signer.leaf(&name, &spki, wanted.seal_key, now_s, days)?];
    chain.extend(authority.chain.iter().cloned());
    let mut ca_chain = Vec::new();
    if path.len() < 4 && !wanted.ca_request.is_empty() {
        ca_chain.push(signer.ca(path, &request_key(&wanted.ca_request)?, now_s)?);
        ca_chain.extend(authority.chain.iter().cloned());
    }
    Ok(Certificates { chain, ca_chain })
}
