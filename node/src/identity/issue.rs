//! Making certificates: the root, CA certificates below it, and replicas' leaves.

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CustomExtension, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    NameConstraints, PKCS_ECDSA_P256_SHA256, PublicKeyData as _, SanType, SerialNumber,
    SubjectPublicKeyInfo,
};
use rustls_pki_types::CertificateDer;
use taizhang_core::id::{PlaceId, SealKey};
use x509_parser::prelude::{ASN1Time, FromDer as _, X509CertificationRequest};

use super::chain::SEAL_KEY_OID;
use super::names::{ReplicaName, subtree};

/// Days a replica's certificate lives: an office may be offline for months (DESIGN §6).
pub const LEAF_DAYS: i64 = 400;
/// Days a CA certificate lives.
pub const CA_DAYS: i64 = 3650;
/// Days the root lives.
pub const ROOT_DAYS: i64 = 7300;
/// Seconds by which validity starts early, for clocks that are a little behind.
const EARLY_S: i64 = 86_400;

/// Why a certificate could not be made.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// The certificate library refused.
    #[error("certificate: {0}")]
    Rcgen(#[from] rcgen::Error),
    /// The request does not prove possession of its key.
    #[error("the certificate request is not signed by its own key")]
    Request,
    /// The key is of another kind.
    #[error("the request's key is not ECDSA P-256")]
    KeyKind,
    /// No randomness.
    #[error("the system gives no random bytes")]
    Randomness,
    /// A time out of range.
    #[error("a time is out of range")]
    Time,
}

/// Parameters with a name, a term and a random serial number.
pub(super) fn base(
    common_name: &str,
    from_s: i64,
    days: i64,
) -> Result<CertificateParams, IssueError> {
    let time = |seconds: i64| {
        ASN1Time::from_timestamp(seconds)
            .map(|time| time.to_datetime())
            .map_err(|_| IssueError::Time)
    };
    let mut params = CertificateParams::default();
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    params.distinguished_name = name;
    params.not_before = time(from_s - EARLY_S)?;
    params.not_after = time(from_s + days * 86_400)?;
    let mut serial = [0; 16];
    getrandom::fill(&mut serial).map_err(|_| IssueError::Randomness)?;
    serial[0] = (serial[0] & 0x7f) | 0x40;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// A new ECDSA P-256 key.
///
/// # Errors
///
/// [`IssueError`].
pub fn new_key() -> Result<KeyPair, IssueError> {
    Ok(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?)
}

/// The root of a network, signed by itself.
///
/// # Errors
///
/// [`IssueError`].
pub fn root(key: &KeyPair, now_s: i64) -> Result<Certificate, IssueError> {
    let mut params = base("Taizhang root", now_s, ROOT_DAYS)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(3));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params.self_signed(key)?)
}

/// Something that can sign certificates: a certificate (DER) with its key.
pub struct Signer {
    issuer: Issuer<'static, KeyPair>,
}

impl Signer {
    /// Reads a CA certificate and its key.
    ///
    /// # Errors
    ///
    /// [`IssueError`].
    pub fn load(certificate: &[u8], key_pem: &str) -> Result<Self, IssueError> {
        let key = KeyPair::from_pem(key_pem)?;
        let issuer = Issuer::from_ca_cert_der(&CertificateDer::from(certificate), key)?;
        Ok(Self { issuer })
    }

    /// A CA certificate for a hub, constrained to its subtree, with the depth left below it.
    ///
    /// # Errors
    ///
    /// [`IssueError`].
    pub fn ca(&self, path: &[PlaceId], spki: &[u8], now_s: i64) -> Result<Vec<u8>, IssueError> {
        let mut random = [0; 4];
        getrandom::fill(&mut random).map_err(|_| IssueError::Randomness)?;
        let place = path.last().copied().unwrap_or_default();
        let mut params =
            base(&format!("CA {place} {:08x}", u32::from_le_bytes(random)), now_s, CA_DAYS)?;
        let below = u8::try_from(3_usize.saturating_sub(path.len())).unwrap_or(0);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(below));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![GeneralSubtree::DnsName(subtree(path))],
            excluded_subtrees: Vec::new(),
        });
        Ok(params.signed_by(&p256(spki)?, &self.issuer)?.der().to_vec())
    }

    /// A replica's leaf: exactly one name, the seal key beside it.
    ///
    /// # Errors
    ///
    /// [`IssueError`].
    pub fn leaf(
        &self,
        name: &ReplicaName,
        spki: &[u8],
        seal_key: SealKey,
        now_s: i64,
        days: i64,
    ) -> Result<Vec<u8>, IssueError> {
        let names = vec![SanType::DnsName(name.dns().try_into()?)];
        self.leaf_with(names, spki, Some(seal_key), now_s, days)
    }

    /// A leaf with any names: the tests of refusals need wrong ones.
    ///
    /// # Errors
    ///
    /// [`IssueError`].
    pub fn leaf_with(
        &self,
        names: Vec<SanType>,
        spki: &[u8],
        seal_key: Option<SealKey>,
        now_s: i64,
        days: i64,
    ) -> Result<Vec<u8>, IssueError> {
        let mut params = base("Taizhang replica", now_s, days)?;
        params.subject_alt_names = names;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.custom_extensions = seal_key
            .map(|key| {
                let mut content = vec![0x04, 0x20];
                content.extend(key.0);
                CustomExtension::from_oid_content(&SEAL_KEY_OID, content)
            })
            .into_iter()
            .collect();
        Ok(params.signed_by(&p256(spki)?, &self.issuer)?.der().to_vec())
    }
}

fn p256(spki: &[u8]) -> Result<SubjectPublicKeyInfo, IssueError> {
    let spki = SubjectPublicKeyInfo::from_der(spki)?;
    if spki.algorithm() == &PKCS_ECDSA_P256_SHA256 { Ok(spki) } else { Err(IssueError::KeyKind) }
}

/// A certificate request that proves possession of `key`.
///
/// # Errors
///
/// [`IssueError`].
pub fn request(key: &KeyPair) -> Result<Vec<u8>, IssueError> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = DistinguishedName::new();
    Ok(params.serialize_request(key)?.der().to_vec())
}

/// The public key of a request (SPKI DER), after checking its own signature.
///
/// # Errors
///
/// [`IssueError::Request`].
pub fn request_key(der: &[u8]) -> Result<Vec<u8>, IssueError> {
    let (rest, request) =
        X509CertificationRequest::from_der(der).map_err(|_| IssueError::Request)?;
    if !rest.is_empty() || request.verify_signature().is_err() {
        return Err(IssueError::Request);
    }
    Ok(request.certification_request_info.subject_pki.raw.to_vec())
}

/// The SPKI of a key pair.
pub fn public_key(key: &KeyPair) -> Vec<u8> {
    key.subject_public_key_info()
}
