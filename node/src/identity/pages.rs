//! The certificate of the pages: a browser is not a replica, so it is none of the network's. It signs itself;
//! whoever first opens the pages compares its fingerprint with the one that `run` prints.

use std::path::Path;
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};
use taizhang_core::id::{hex, unhex};

use super::issue::{IssueError, base, new_key};
use super::keys::Identity;
use crate::whole::{self, Readable};

const FILE: &str = "pages.json";
/// Days that it is good for: what browsers accept of a certificate.
const DAYS: i64 = 397;
/// Days before its end at which another is made.
const RENEW_DAYS: i64 = 30;

#[derive(Deserialize, Serialize)]
struct PagesFile {
    version: u32,
    names: Vec<String>,
    until_s: i64,
    certificate: String,
    key: String,
}

/// The certificate and key that browsers see.
pub struct PagesCertificate {
    der: Vec<u8>,
    key: KeyPair,
}

impl PagesCertificate {
    /// The one of a data folder; another if it is for other names or near its end.
    ///
    /// # Errors
    ///
    /// In words.
    pub fn of_folder(data: &Path, names: &[String], now_s: i64) -> Result<Self, String> {
        let path = Identity::folder(data).join(FILE);
        if let Ok(text) = std::fs::read_to_string(&path) {
            let damaged = || format!("{}: damaged; delete it and start again", path.display());
            let file: PagesFile = serde_json::from_str(&text).map_err(|_| damaged())?;
            if file.names == names && now_s < file.until_s - RENEW_DAYS * 86_400 {
                let key = KeyPair::from_pem(&file.key).map_err(|_| damaged())?;
                return Ok(Self { der: unhex(&file.certificate).ok_or_else(damaged)?, key });
            }
        }
        let made = Self::generate(names, now_s).map_err(|error| error.to_string())?;
        let file = PagesFile {
            version: 1,
            names: names.to_vec(),
            until_s: now_s + DAYS * 86_400,
            certificate: hex(&made.der),
            key: made.key.serialize_pem(),
        };
        let bytes = serde_json::to_vec_pretty(&file).unwrap_or_default();
        whole::write(&path, &bytes, Readable::Owner)
            .map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(made)
    }

    fn generate(names: &[String], now_s: i64) -> Result<Self, IssueError> {
        let mut params = base("Taizhang", now_s, DAYS)?;
        params.subject_alt_names = CertificateParams::new(names.to_vec())?.subject_alt_names;
        let key = new_key()?;
        let certificate = params.self_signed(&key)?;
        Ok(Self { der: certificate.der().to_vec(), key })
    }

    /// SHA-256 as browsers print it.
    pub fn fingerprint(&self) -> String {
        let digest = ring::digest::digest(&ring::digest::SHA256, &self.der);
        let bytes: Vec<String> = digest.as_ref().iter().map(|one| format!("{one:02X}")).collect();
        bytes.join(":")
    }

    /// For the server.
    ///
    /// # Errors
    ///
    /// If rustls refuses the key.
    pub fn server(&self) -> Result<Arc<ServerConfig>, rustls::Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let key = PrivateKeyDer::try_from(self.key.serialize_der())
            .map_err(|error| rustls::Error::General(error.to_owned()))?;
        let certificate = CertificateDer::from(self.der.clone());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_kept_until_its_names_change_or_its_end_is_near() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(Identity::folder(folder.path())).unwrap();
        let names = vec!["192.0.2.7".to_owned(), "xiang.example".to_owned()];
        let get = |names: &[String], now_s| {
            PagesCertificate::of_folder(folder.path(), names, now_s).unwrap().fingerprint()
        };
        let first = get(&names, 1_600_000_000);
        assert_eq!(first, get(&names, 1_600_000_000 + 86_400));
        let other = get(&names[..1], 1_600_000_000);
        assert_ne!(first, other);
        assert_ne!(other, get(&names[..1], 1_600_000_000 + 380 * 86_400));
    }
}
