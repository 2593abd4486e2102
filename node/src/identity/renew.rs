//! Terms of certificates: when another one is asked for, and the city's own, which nobody above renews.

use super::found::{FoundError, NewKeys, certify};
use super::keys::Identity;

/// Percent of a term after which another one is asked for (DESIGN §6).
const DUE_PERCENT: i64 = 60;

/// Whether it is time for another term.
pub fn is_due(identity: &Identity, now_s: i64) -> bool {
    let (from, until) = identity.checked.valid_s;
    now_s - from >= (until - from) / 100 * DUE_PERCENT
}

/// The city's hub gives itself another term by its own CA; gives nothing if it is not time, or not the city.
///
/// # Errors
///
/// [`FoundError`].
pub fn renew_city(identity: &Identity, now_s: i64) -> Result<Option<Identity>, FoundError> {
    let name = &identity.checked.name;
    if name.path.len() > 1 || !is_due(identity, now_s) {
        return Ok(None);
    }
    let keys = NewKeys::generate(identity.seal.to_bytes())?;
    let mut wanted = keys.request()?;
    wanted.ca_request.clear();
    let certificates = certify(identity, &name.path, name.replica, &wanted, now_s)?;
    let fresh = keys.accept(identity.root.clone(), certificates, identity.parents.clone())?;
    Ok(Some(Identity { authority: identity.authority.clone(), ..fresh }))
}
