//! Mutual TLS: TLS 1.3 with our own strict chain check on both sides.
//!
//! Two application protocols on one port: `h2` needs a client certificate; `taizhang-enrol/1` does
//! not, and only enrolment is served on it.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, ServerConfig,
    SignatureScheme,
};
use taizhang_core::id::{Hash, PlaceId, SealKey};

use crate::driver::clock;
use crate::identity::chain::{ChainError, RootOfTrust};
use crate::identity::keys::Identity;

/// Sync and health.
pub const ALPN_SYNC: &[u8] = b"h2";
/// Enrolment.
pub const ALPN_ENROL: &[u8] = b"taizhang-enrol/1";

/// Tells somebody why a peer was refused.
pub type Refusals = Arc<dyn Fn(String) + Send + Sync>;

/// Whether a key is revoked by the directives applied here: asked on every connect.
pub type Revoked = Arc<dyn Fn(SealKey) -> bool + Send + Sync>;

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn chain_of(end: &CertificateDer<'_>, rest: &[CertificateDer<'_>]) -> Vec<Vec<u8>> {
    std::iter::once(end).chain(rest).map(|der| der.to_vec()).collect()
}

fn tls_error(error: &ChainError) -> Error {
    Error::InvalidCertificate(match error {
        ChainError::Expired => CertificateError::Expired,
        ChainError::Revoked => CertificateError::Revoked,
        ChainError::WrongRoot => CertificateError::UnknownIssuer,
        _ => CertificateError::ApplicationVerificationFailure,
    })
}

/// Checks children: chain, name and validity by the parent's clock.
struct ChildVerifier {
    root: RootOfTrust,
    revoked: Revoked,
    provider: Arc<CryptoProvider>,
    refused: Refusals,
}

impl std::fmt::Debug for ChildVerifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ChildVerifier")
    }
}

impl ClientCertVerifier for ChildVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let now_s = clock::now().0.div_euclid(1000);
        let checked = self.root.check_at(&chain_of(end, rest), now_s).and_then(|checked| {
            if (self.revoked)(checked.seal_key) { Err(ChainError::Revoked) } else { Ok(checked) }
        });
        match checked {
            Ok(_) => Ok(ClientCertVerified::assertion()),
            Err(error) => {
                (self.refused)(format!("a peer's certificate was refused: {error}"));
                Err(tls_error(&error))
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 is not offered".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Whom a child expects to meet.
#[derive(Debug)]
enum Expected {
    /// The parent's place, by its certificate.
    Place(RootOfTrust, PlaceId),
    /// The root whose fingerprint an enrolment code carries; it comes with the chain.
    Fingerprint(Hash),
}

struct ParentVerifier {
    expected: Expected,
    revoked: Revoked,
    provider: Arc<CryptoProvider>,
}

impl std::fmt::Debug for ParentVerifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ParentVerifier({:?})", self.expected)
    }
}

impl ServerCertVerifier for ParentVerifier {
    fn verify_server_cert(
        &self,
        end: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let mut chain = chain_of(end, rest);
        // Validity is judged at our clock clamped into the chain's: the parent's clock decides
        // expiry (DESIGN §6), a wrong one here must not lock the office out.
        let checked = match &self.expected {
            Expected::Place(root, place) => root.check(&chain).and_then(|checked| {
                let found = checked.name.place();
                if (self.revoked)(checked.seal_key) {
                    Err(ChainError::Revoked)
                } else if found == *place {
                    Ok(checked)
                } else {
                    Err(ChainError::WrongRoot)
                }
            }),
            Expected::Fingerprint(fingerprint) => {
                let root = chain.pop().map(RootOfTrust::new).ok_or(ChainError::Shape);
                root.and_then(|root| {
                    if root.fingerprint() == *fingerprint {
                        root.check(&chain)
                    } else {
                        Err(ChainError::WrongRoot)
                    }
                })
            }
        };
        checked.map(|_| ServerCertVerified::assertion()).map_err(|error| tls_error(&error))
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 is not offered".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn own_chain(identity: &Identity, with_root: bool) -> Vec<CertificateDer<'static>> {
    let root = with_root.then(|| identity.root.der().to_vec());
    identity.chain.iter().cloned().chain(root).map(CertificateDer::from).collect()
}

fn own_key(identity: &Identity) -> Result<PrivateKeyDer<'static>, Error> {
    let key = rcgen::KeyPair::from_pem(&identity.tls_key_pem)
        .map_err(|error| Error::General(format!("the key in identity.json: {error}")))?;
    Ok(PrivatePkcs8KeyDer::from(key.serialize_der()).into())
}

/// The two configurations of a listening hub: for children, and for enrolments.
///
/// # Errors
///
/// If key and certificate do not belong together.
pub fn server_configs(
    identity: &Identity,
    refused: Refusals,
    revoked: Revoked,
) -> Result<(Arc<ServerConfig>, Arc<ServerConfig>), Error> {
    let root = identity.root.clone();
    let verifier = Arc::new(ChildVerifier { root, revoked, provider: provider(), refused });
    let builder = || {
        ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
    };
    let mut sync = builder()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(own_chain(identity, false), own_key(identity)?)?;
    let mut enrol = builder()?
        .with_no_client_auth()
        .with_single_cert(own_chain(identity, true), own_key(identity)?)?;
    sync.alpn_protocols = vec![ALPN_SYNC.to_vec()];
    enrol.alpn_protocols = vec![ALPN_ENROL.to_vec()];
    for config in [&mut sync, &mut enrol] {
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    Ok((Arc::new(sync), Arc::new(enrol)))
}

fn client(
    expected: Expected,
    revoked: Revoked,
) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>, Error> {
    let verifier = Arc::new(ParentVerifier { expected, revoked, provider: provider() });
    Ok(ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier))
}

/// For dialling the parent.
///
/// # Errors
///
/// If key and certificate do not belong together.
pub fn client_config(
    identity: &Identity,
    parent: PlaceId,
    revoked: Revoked,
) -> Result<Arc<ClientConfig>, Error> {
    let mut config = client(Expected::Place(identity.root.clone(), parent), revoked)?
        .with_client_auth_cert(own_chain(identity, false), own_key(identity)?)?;
    config.alpn_protocols = vec![ALPN_SYNC.to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    Ok(Arc::new(config))
}

/// For asking a parent for a certificate.
///
/// # Errors
///
/// Never in practice.
pub fn enrol_config(root: Hash) -> Result<Arc<ClientConfig>, Error> {
    let mut config =
        client(Expected::Fingerprint(root), Arc::new(|_| false))?.with_no_client_auth();
    config.alpn_protocols = vec![ALPN_ENROL.to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    Ok(Arc::new(config))
}
