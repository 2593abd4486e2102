//! Keys and certificates of the offices that are played, issued as real hubs issue them.

use std::sync::Arc;

use ed25519_dalek::SigningKey;
use taizhang_core::id::{AuthorId, Epoch, PlaceId, ReplicaId, SealKey};
use taizhang_node::identity::issue::{LEAF_DAYS, Signer, new_key, public_key};
use taizhang_node::identity::keys::{Authority, Identity};
use taizhang_node::identity::names::ReplicaName;

use super::words;
use crate::chance::Dice;

/// What an office seals with, and by whose word.
pub struct Keys {
    /// Its place.
    pub place: PlaceId,
    /// Its replica.
    pub replica: ReplicaId,
    /// Key and epoch.
    pub author: AuthorId,
    /// The seal key.
    pub seal: SigningKey,
    /// Its chain, leaf first.
    pub chain: Arc<Vec<Vec<u8>>>,
}

impl Keys {
    /// Those of an identity, in an epoch.
    pub fn of(identity: &Identity, epoch: Epoch) -> Self {
        let name = &identity.checked.name;
        Self {
            place: name.place(),
            replica: name.replica,
            author: AuthorId { key: identity.seal_key(), epoch },
            seal: identity.seal.clone(),
            chain: Arc::new(identity.chain.clone()),
        }
    }
}

/// A hub's power to certify what is below it.
pub struct Issuer {
    signer: Signer,
    path: Vec<PlaceId>,
    chain: Vec<Vec<u8>>,
    now_s: i64,
}

fn draw<const N: usize>(dice: &mut Dice) -> [u8; N] {
    let mut bytes = [0; N];
    dice.fill(&mut bytes);
    bytes
}

impl Issuer {
    /// That of an identity.
    ///
    /// # Errors
    ///
    /// If it is no hub's.
    pub fn of(identity: &Identity, now_s: i64) -> Result<Self, String> {
        let authority = identity.authority.as_ref().ok_or("a child without a CA certificate")?;
        Self::with(authority, identity.checked.name.path.clone(), now_s)
    }

    fn with(authority: &Authority, path: Vec<PlaceId>, now_s: i64) -> Result<Self, String> {
        let certificate = authority.chain.first().ok_or("an empty chain")?;
        let signer = Signer::load(certificate, &authority.key_pem).map_err(words)?;
        Ok(Self { signer, path, chain: authority.chain.clone(), now_s })
    }

    /// A replica of a place below. Seal key, epoch and replica are drawn; the certificate's own key is
    /// the machine's chance.
    ///
    /// # Errors
    ///
    /// If no certificate can be made.
    pub fn office(&self, place: PlaceId, dice: &mut Dice) -> Result<Keys, String> {
        let replica = ReplicaId(draw(dice));
        let seal = SigningKey::from_bytes(&draw(dice));
        let key = SealKey(seal.verifying_key().to_bytes());
        let name = ReplicaName { replica, path: self.path_to(place) };
        let tls = public_key(&new_key().map_err(words)?);
        let leaf = self.signer.leaf(&name, &tls, key, self.now_s, LEAF_DAYS).map_err(words)?;
        let chain = std::iter::once(leaf).chain(self.chain.iter().cloned()).collect();
        let author = AuthorId { key, epoch: Epoch(draw(dice)) };
        Ok(Keys { place, replica, author, seal, chain: Arc::new(chain) })
    }

    /// A replica of a hub below, and its power to certify.
    ///
    /// # Errors
    ///
    /// If no certificate can be made.
    pub fn hub(&self, place: PlaceId, dice: &mut Dice) -> Result<(Keys, Self), String> {
        let keys = self.office(place, dice)?;
        let path = self.path_to(place);
        let key = new_key().map_err(words)?;
        let ca = self.signer.ca(&path, &public_key(&key), self.now_s).map_err(words)?;
        let chain = std::iter::once(ca).chain(self.chain.iter().cloned()).collect();
        let authority = Authority { chain, key_pem: key.serialize_pem() };
        Ok((keys, Self::with(&authority, path, self.now_s)?))
    }

    fn path_to(&self, place: PlaceId) -> Vec<PlaceId> {
        self.path.iter().copied().chain([place]).collect()
    }
}
