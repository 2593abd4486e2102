//! Enrolment and renewal where there is no network: a request goes up as a file, the answer comes down as
//! one, encrypted to the seal key of the request.

use std::path::Path;

use ed25519_dalek::SigningKey;
use serde::{Deserialize, Serialize};
use taizhang_core::id::{PlaceId, SealKey, hex, unhex};
use taizhang_core::time::UtcMillis;

use super::envelope::{self, Kind};
use crate::engine::admit::Admission;
use crate::engine::command::{CommandError, refuse, refuse_as};
use crate::engine::{Engine, Surroundings};
use crate::identity::chain::RootOfTrust;
use crate::identity::found::{KeyRequest, NewKeys};
use crate::identity::keys::Identity;
use crate::transport::admission::{admission_from_bytes, admission_to_bytes};

/// Characters of the root's fingerprint that a person compares: 64 bits.
pub const FINGERPRINT_CHARS: usize = 16;

#[derive(Deserialize, Serialize)]
struct RequestFile {
    taizhang_request: u32,
    request: String,
    seal_key: SealKey,
    seal: String,
    ca_request: String,
}

/// Writes the request of a data folder, whose new keys stay in it until the answer comes. A folder that
/// has an identity asks for its renewal under the same seal key.
///
/// # Errors
///
/// In words.
pub fn request(data: &Path, seal: [u8; 32]) -> Result<Vec<u8>, String> {
    let keys = NewKeys::for_folder(data, seal).map_err(|error| error.to_string())?;
    let wanted = keys.request().map_err(|error| error.to_string())?;
    let file = RequestFile {
        taizhang_request: 1,
        request: hex(&wanted.request),
        seal_key: wanted.seal_key,
        seal: hex(&wanted.seal),
        ca_request: hex(&wanted.ca_request),
    };
    serde_json::to_vec_pretty(&file).map_err(|error| error.to_string())
}

/// Reads a request file.
///
/// # Errors
///
/// If it is none.
pub fn read_request(bytes: &[u8]) -> Result<KeyRequest, CommandError> {
    let wanted = serde_json::from_slice::<RequestFile>(bytes).ok().and_then(|file| {
        Some(KeyRequest {
            request: unhex(&file.request)?,
            seal_key: file.seal_key,
            seal: unhex(&file.seal)?.try_into().ok()?,
            ca_request: unhex(&file.ca_request)?,
        })
    });
    wanted.map_or_else(|| refuse("不是注册申请文件", "this is no enrolment request"), Ok)
}

/// Admits, or renews, the replica that a person brought a request of; the answer as a file.
///
/// # Errors
///
/// If this office may not admit it, by the reason.
pub fn answer(
    engine: &mut Engine,
    place: PlaceId,
    wanted: &KeyRequest,
    now: UtcMillis,
) -> Result<Vec<u8>, CommandError> {
    let admission = engine.admit_at(place, wanted, now)?;
    let plain = admission_to_bytes(admission);
    let chance: [u8; 64] = engine.random();
    let (kind, key) = (Kind::Admission, [wanted.seal_key]);
    let file = envelope::write(kind, &engine.identity, place, &key, &plain, &chance);
    file.or_else(refuse_as)
}

/// Takes the answer into the data folder that asked; gives its identity. A new replica needs the first
/// characters of the root's fingerprint from its parent, on paper or by telephone.
///
/// # Errors
///
/// In words; the keys stay, so that another answer can be taken.
pub fn accept(
    data: &Path,
    file: &[u8],
    fingerprint: &str,
    parents: Vec<String>,
    outside: Surroundings,
    now: UtcMillis,
) -> Result<Identity, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let keys = NewKeys::load(data).map_err(|error| text(&error))?;
    let keys = keys.ok_or("该目录没有待答复的申请 / this folder has no request under way")?;
    let seal: SigningKey = keys.seal_key();
    let old = Identity::exists(data).then(|| Identity::load(data)).transpose();
    let old = old.map_err(|error| text(&error))?;
    let root = old.as_ref().map(|old| old.root.clone());
    let opened = envelope::open(Kind::Admission, file, &seal, root.as_ref());
    let opened = opened.map_err(|error| text(&error))?;
    let found = opened.root.fingerprint().to_string();
    let typed = fingerprint.to_lowercase();
    if old.is_none() && (typed.len() < FINGERPRINT_CHARS || !found.starts_with(&typed)) {
        return Err(format!(
            "根证书指纹为 {}…,请与上级核对后用 --root 填写 / the root's fingerprint is {}…; compare it \
             with the parent and give it with --root",
            &found[..FINGERPRINT_CHARS],
            &found[..FINGERPRINT_CHARS]
        ));
    }
    let admission = admission_from_bytes(&opened.body);
    let admission = admission.ok_or("文件内容无法读取 / the content cannot be read")?;
    let parents = match old {
        Some(old) if parents.is_empty() => old.parents,
        _ => parents,
    };
    let engine = settle(data, keys, opened.root, admission, parents, outside, now)?;
    Ok((*engine.identity).clone())
}

/// Takes a parent's answer to the keys that wait in a data folder, which then holds a replica.
///
/// # Errors
///
/// In words; the keys stay, so that it can be done again.
pub fn settle(
    data: &Path,
    keys: NewKeys,
    root: RootOfTrust,
    admission: Admission,
    parents: Vec<String>,
    outside: Surroundings,
    now: UtcMillis,
) -> Result<Engine, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let identity = keys.accept(root, admission.certificates, parents);
    let identity = identity.map_err(|error| text(&error))?;
    let mut engine =
        Engine::open(data, identity.clone(), outside, now).map_err(|error| text(&error))?;
    engine.begin().map_err(|error| text(&error))?;
    engine
        .take_admission(admission.segments, admission.chains, now)
        .map_err(|error| text(&error))?;
    engine.commit().map_err(|error| text(&error))?;
    identity.save(data).map_err(|error| text(&error))?;
    NewKeys::forget(data).map_err(|error| text(&error))?;
    Ok(engine)
}
