//! The strict check of certificate chains, on links and for seals alike.
//!
//! TLS libraries enforce DNS name constraints and path lengths, but accept a leaf without names, URI
//! or IP names, and extra depth (measured). So every chain is read here, with one rule set.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use taizhang_core::directives::{Certified, ChainReader};
use taizhang_core::id::{Hash, SealKey};
use taizhang_core::limits;
use x509_parser::der_parser::Oid;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::names::{NameError, ReplicaName, ZONE};

/// Extension that carries the Ed25519 seal key: 32 bytes as an OCTET STRING. A private arc under the
/// documentation enterprise number; it names nothing outside this system.
pub const SEAL_KEY_OID: [u64; 10] = [1, 3, 6, 1, 4, 1, 32473, 1, 8414, 1];

/// A chain that passed, and what it says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CheckedChain {
    /// The replica's name.
    pub name: ReplicaName,
    /// Its seal key.
    pub seal_key: SealKey,
    /// Validity of the leaf, in seconds since 1970.
    pub valid_s: (i64, i64),
}

/// Why a chain is refused. Every reason has its own text: it goes into the audit.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ChainError {
    /// Too many, too few or too large certificates.
    #[error(
        "a chain has 1 to {} certificates of at most {} bytes",
        limits::CHAIN_CERTIFICATES_MAX,
        limits::CERTIFICATE_BYTES_MAX
    )]
    Shape,
    /// Not X.509.
    #[error("certificate {0} cannot be read")]
    Unreadable(usize),
    /// It does not lead to our root.
    #[error("the chain does not lead to the root of this network")]
    WrongRoot,
    /// A signature in the chain does not verify.
    #[error("certificate {0} is not signed by the next one")]
    Signature(usize),
    /// An issuing certificate is no CA.
    #[error("certificate {0} issues but is no CA")]
    NotCa(usize),
    /// Deeper than an issuer allows.
    #[error("the chain is deeper than certificate {0} allows")]
    ExtraDepth(usize),
    /// The leaf is a CA.
    #[error("the certificate is a CA's, not a replica's")]
    LeafIsCa,
    /// The leaf has no name.
    #[error("the certificate carries no name")]
    NoName,
    /// The leaf has several names.
    #[error("the certificate carries {0} names; exactly one is allowed")]
    ManyNames(usize),
    /// The leaf's name is no dNSName.
    #[error("the certificate carries a name that is no dNSName ({0})")]
    NameKind(&'static str),
    /// The dNSName is not of our form.
    #[error("the certificate's name is not a replica's: {0}")]
    Name(#[from] NameError),
    /// The name lies outside an issuer's constraint.
    #[error("the name {name} is outside what its issuer may certify ({allowed})")]
    Constraint {
        /// The leaf's name.
        name: String,
        /// The permitted subtree.
        allowed: String,
    },
    /// An issuer other than the root has no name constraint.
    #[error("issuing certificate {0} is not constrained to a subtree")]
    Unconstrained(usize),
    /// The leaf carries no seal key.
    #[error("the certificate carries no seal key")]
    NoSealKey,
    /// Its key was revoked by an office above it.
    #[error("the key of this certificate was revoked; the replica must be admitted again")]
    Revoked,
    /// Not valid at the time asked.
    #[error("the certificate is expired, or not valid yet, by this clock")]
    Expired,
}

/// Verifies chains against one root.
#[derive(Clone, Debug)]
pub struct RootOfTrust {
    root: Vec<u8>,
    /// Issuing certificates whose signature verified, by the hash of theirs and their issuer's bytes: all
    /// villages of a county come by the same few.
    verified: Arc<Mutex<BTreeSet<Hash>>>,
}

/// Issuing certificates remembered: those of the largest city, with room.
const VERIFIED_MAX: usize = 4096;

fn parse(der: &[u8], at: usize) -> Result<X509Certificate<'_>, ChainError> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        _ => Err(ChainError::Unreadable(at)),
    }
}

impl RootOfTrust {
    /// Trusts this root certificate (DER) and nothing else.
    pub fn new(root: Vec<u8>) -> Self {
        Self { root, verified: Arc::default() }
    }

    /// The root certificate.
    pub fn der(&self) -> &[u8] {
        &self.root
    }

    /// BLAKE3 of the root certificate: what enrolment codes carry.
    pub fn fingerprint(&self) -> Hash {
        Hash(*blake3::hash(&self.root).as_bytes())
    }

    /// Checks a chain, leaf first. Validity is not checked here: seals are verified as of the
    /// certificate's start; links call [`Self::check_at`].
    ///
    /// # Errors
    ///
    /// [`ChainError`].
    pub fn check(&self, chain: &[Vec<u8>]) -> Result<CheckedChain, ChainError> {
        let shape_ok = (1..=limits::CHAIN_CERTIFICATES_MAX).contains(&chain.len())
            && chain.iter().all(|der| der.len() <= limits::CERTIFICATE_BYTES_MAX);
        if !shape_ok {
            return Err(ChainError::Shape);
        }
        let root = parse(&self.root, chain.len())?;
        let mut parsed = Vec::with_capacity(chain.len());
        for (at, der) in chain.iter().enumerate() {
            parsed.push(parse(der, at)?);
        }
        if chain.last() == Some(&self.root) && parsed.len() > 1 {
            parsed.pop();
        }
        let top = parsed.last().ok_or(ChainError::Shape)?;
        if !self.is_signed(top, &root) {
            return Err(ChainError::WrongRoot);
        }
        let leaf = &parsed[0];
        let dns = leaf_name(leaf)?;
        for (at, pair) in parsed.windows(2).enumerate() {
            if !self.is_signed(&pair[0], &pair[1]) {
                return Err(ChainError::Signature(at));
            }
            check_issuer(&pair[1], at, &dns)?;
        }
        let name = ReplicaName::parse(&dns)?;
        let validity = leaf.validity();
        Ok(CheckedChain {
            name,
            seal_key: seal_key(leaf)?,
            valid_s: (validity.not_before.timestamp(), validity.not_after.timestamp()),
        })
    }

    /// Whether `issuer` names and signs `child`.
    fn is_signed(&self, child: &X509Certificate<'_>, issuer: &X509Certificate<'_>) -> bool {
        if child.issuer().as_raw() != issuer.subject().as_raw() {
            return false;
        }
        let mut hasher = blake3::Hasher::new();
        for part in [child.as_raw(), issuer.as_raw()] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        let key = Hash(*hasher.finalize().as_bytes());
        let known = self.verified.lock().is_ok_and(|verified| verified.contains(&key));
        if known {
            return true;
        }
        let signed = child.verify_signature(Some(issuer.public_key())).is_ok();
        if signed
            && child.is_ca()
            && let Ok(mut verified) = self.verified.lock()
        {
            if verified.len() >= VERIFIED_MAX {
                verified.clear();
            }
            verified.insert(key);
        }
        signed
    }

    /// Checks a chain for a link at a time, in seconds since 1970.
    ///
    /// # Errors
    ///
    /// [`ChainError`], `Expired` among them.
    pub fn check_at(&self, chain: &[Vec<u8>], now_s: i64) -> Result<CheckedChain, ChainError> {
        let checked = self.check(chain)?;
        for (at, der) in chain.iter().enumerate() {
            let certificate = parse(der, at)?;
            let validity = certificate.validity();
            if now_s < validity.not_before.timestamp() || now_s > validity.not_after.timestamp() {
                return Err(ChainError::Expired);
            }
        }
        Ok(checked)
    }
}

fn leaf_name(leaf: &X509Certificate<'_>) -> Result<String, ChainError> {
    if leaf.is_ca() {
        return Err(ChainError::LeafIsCa);
    }
    let names = leaf.subject_alternative_name().map_err(|_| ChainError::Unreadable(0))?;
    let names = names.map(|names| names.value.general_names.clone()).unwrap_or_default();
    for name in &names {
        let kind = match name {
            GeneralName::DNSName(_) => continue,
            GeneralName::IPAddress(_) => "IP address",
            GeneralName::URI(_) => "URI",
            _ => "other",
        };
        return Err(ChainError::NameKind(kind));
    }
    match names.as_slice() {
        [GeneralName::DNSName(dns)] => Ok((*dns).to_owned()),
        [] => Err(ChainError::NoName),
        many => Err(ChainError::ManyNames(many.len())),
    }
}

/// Checks that `issuer` (number `at` + 1) may have issued what stands below it.
fn check_issuer(issuer: &X509Certificate<'_>, at: usize, dns: &str) -> Result<(), ChainError> {
    let number = at + 1;
    let basic = issuer.basic_constraints().ok().flatten().filter(|basic| basic.value.ca);
    let Some(basic) = basic else { return Err(ChainError::NotCa(number)) };
    let below = u32::try_from(at).unwrap_or(u32::MAX);
    if basic.value.path_len_constraint.is_none_or(|allowed| below > allowed) {
        return Err(ChainError::ExtraDepth(number));
    }
    let constraints = issuer.name_constraints().ok().flatten();
    let permitted: Vec<&str> = constraints
        .iter()
        .flat_map(|constraints| constraints.value.permitted_subtrees.iter().flatten())
        .filter_map(|subtree| match &subtree.base {
            GeneralName::DNSName(dns) => Some(*dns),
            _ => None,
        })
        .collect();
    let [allowed] = permitted.as_slice() else { return Err(ChainError::Unconstrained(number)) };
    let inside = dns.strip_suffix(allowed).is_some_and(|rest| rest.ends_with('.'));
    if inside && allowed.ends_with(ZONE) {
        return Ok(());
    }
    Err(ChainError::Constraint { name: dns.to_owned(), allowed: (*allowed).to_owned() })
}

fn seal_key(leaf: &X509Certificate<'_>) -> Result<SealKey, ChainError> {
    let oid = Oid::from(&SEAL_KEY_OID).map_err(|_| ChainError::NoSealKey)?;
    let extension = leaf.get_extension_unique(&oid).ok().flatten().ok_or(ChainError::NoSealKey)?;
    extension
        .value
        .strip_prefix(&[0x04, 0x20])
        .and_then(SealKey::from_slice)
        .ok_or(ChainError::NoSealKey)
}

impl ChainReader for RootOfTrust {
    fn read(&self, chain: &[Vec<u8>]) -> Result<Certified, String> {
        let checked = self.check(chain).map_err(|error| error.to_string())?;
        Ok(Certified {
            key: checked.seal_key,
            place: checked.name.place(),
            replica: checked.name.replica,
            level: checked.name.level(),
        })
    }
}
