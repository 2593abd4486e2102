//! Admitting a child: one-time code in, certificates and the path's directives out.

use taizhang_core::feed::segment::{Sealed, Segment};
use taizhang_core::id::{Level, PlaceId, ReplicaId, SealKey, SliceId};
use taizhang_core::place::judging_slices;
use taizhang_core::sync::inbound::{Batch, Verified};
use taizhang_core::time::UtcMillis;

use super::Engine;
use super::command::{CommandError, refuse};
use crate::identity::code::{EnrolmentCode, LIFE_HOURS_MAX, secret_hash};
use crate::identity::found::{Certificates, KeyRequest, certify};
use crate::store::StoreError;
use crate::store::peers::Invitation;

/// What a new child gets.
#[derive(Clone, Debug)]
pub struct Admission {
    /// Its certificates.
    pub certificates: Certificates,
    /// The root certificate.
    pub root: Vec<u8>,
    /// Directive segments of its path, in causal order, its own roster entry included.
    pub segments: Vec<Sealed>,
    /// Chains of their authors.
    pub chains: Vec<Vec<Vec<u8>>>,
}

impl Engine {
    /// Makes a one-time code for a replica of `place`.
    ///
    /// # Errors
    ///
    /// If this replica is no hub, or the place does not hang below it.
    pub fn invite(
        &mut self,
        place: PlaceId,
        addresses: Vec<String>,
        life_hours: i64,
        now: UtcMillis,
    ) -> Result<EnrolmentCode, CommandError> {
        if self.identity.authority.is_none() {
            return refuse("村级节点不能接纳下级", "a village replica admits no children");
        }
        let tree = &self.directives.tree;
        if !tree.is_above_or_same(self.place(), place) || place == self.place() {
            return refuse("该区划不在本级之下", "the place is not below this office");
        }
        // A replica dials its parent, whose certificate it knows: another office's code would lead nowhere.
        if let Some(parent) = tree.dial_parent(place).filter(|parent| *parent != self.place()) {
            let name = tree.full_name(parent);
            return refuse(
                format!("注册码由直接上级{name}生成"),
                format!("the office directly above makes the code: {name}"),
            );
        }
        if !(0..=LIFE_HOURS_MAX).contains(&life_hours) {
            return refuse(
                format!("有效期应在0至{LIFE_HOURS_MAX}小时之间"),
                format!("a code lives 0 to {LIFE_HOURS_MAX} hours"),
            );
        }
        let is_address = |text: &String| {
            text.rsplit_once(':')
                .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
        };
        if addresses.is_empty() || !addresses.iter().all(is_address) {
            return refuse("地址应为 主机:端口", "an address is written host:port");
        }
        let code = EnrolmentCode {
            root: self.identity.root.fingerprint(),
            secret: self.random(),
            expires: now.plus(life_hours * 3_600_000),
            addresses,
        };
        self.store.put_invitation(secret_hash(&code.secret_text()), place, code.expires)?;
        self.store.audit("invite", &format!("code for place {place}"), now)?;
        Ok(code)
    }

    /// Answers an enrolment.
    ///
    /// # Errors
    ///
    /// Used, expired and unknown codes each by their own text; every refusal is audited.
    pub fn admit(
        &mut self,
        secret: &str,
        wanted: &KeyRequest,
        now: UtcMillis,
    ) -> Result<Admission, CommandError> {
        let hash = secret_hash(secret);
        let place = match self.store.invitation(hash, now)? {
            Invitation::Open(place) => place,
            // The answer was lost: the same program asks again.
            Invitation::Used(place, by) if by == Some(wanted.seal_key) => place,
            other => {
                let (zh, en) = match other {
                    Invitation::Used(..) => ("该码已使用过", "this code was used before"),
                    Invitation::Expired => ("该码已过期", "this code has expired"),
                    _ => ("没有这个码", "there is no such code"),
                };
                self.store.audit("enrolment refused", en, now)?;
                return refuse(zh, en);
            }
        };
        self.store.use_invitation(hash, wanted.seal_key, now)?;
        self.admit_at(place, wanted, now)
    }

    /// Certifies the keys of a request for a place below, by the word of a person here: a new replica, or,
    /// if its seal key is known, the same one for another term.
    ///
    /// # Errors
    ///
    /// If the place does not hang below this office, the key is revoked or of another place, or the
    /// request does not prove its keys.
    pub fn admit_at(
        &mut self,
        place: PlaceId,
        wanted: &KeyRequest,
        now: UtcMillis,
    ) -> Result<Admission, CommandError> {
        let tree = &self.directives.tree;
        if !tree.is_above_or_same(self.place(), place) || place == self.place() {
            return refuse("该区划不在本级之下", "the place is not below this office");
        }
        if self.directives.revoked.contains(wanted.seal_key) {
            return refuse(
                "该节点的密钥已被吊销,请重新注册",
                "this replica's key was revoked; it must make new keys",
            );
        }
        let path = self.certified_path(place);
        let known = self.directives.roster.get(&wanted.seal_key);
        let known = known.map(|known| (known.certified.place, known.certified.replica));
        let replica = match known {
            Some((at, _)) if at != place => {
                return refuse("该节点属于另一个单位", "this replica is of another place");
            }
            Some((_, replica)) => replica,
            None => ReplicaId(self.random()),
        };
        let certified = certify(&self.identity, &path, replica, wanted, now.0.div_euclid(1000));
        let certificates =
            certified.or_else(|error| refuse(error.to_string(), error.to_string()))?;
        if known.is_none() {
            self.roster(place, &replica.to_string(), &certificates.chain, now)?;
            self.project_own_directives(now)?;
        }
        let word = if known.is_some() { "renewed" } else { "enrolled" };
        self.store.audit(word, &format!("replica {replica} of place {place}"), now)?;
        let (segments, chains) = self.path_directives(place)?;
        Ok(Admission { certificates, root: self.identity.root.der().to_vec(), segments, chains })
    }

    /// The path in the certificate of a place below: this office's own, and one place of each level below
    /// it. A merged place hangs below one of its own level in the tree; it is certified beside it.
    fn certified_path(&self, place: PlaceId) -> Vec<PlaceId> {
        let (tree, name) = (&self.directives.tree, &self.identity.checked.name);
        let below = |id: &PlaceId| tree.place(*id).is_some_and(|one| one.level < name.level());
        let mut upwards: Vec<PlaceId> =
            std::iter::successors(Some(place), |at| tree.dial_parent(*at))
                .take(Level::ALL.len())
                .filter(below)
                .collect();
        upwards.reverse();
        [name.path.clone(), upwards].concat()
    }

    /// Gives a replica that shows its present certificate another term.
    ///
    /// # Errors
    ///
    /// If the certificate is of another network, of another key or place, or no longer valid by this
    /// clock: then a person gives consent with a code.
    pub fn renew(
        &mut self,
        chain: &[Vec<u8>],
        wanted: &KeyRequest,
        now: UtcMillis,
    ) -> Result<Admission, CommandError> {
        let checked = self.identity.root.check(chain);
        let checked = checked.or_else(|error| refuse(error.to_string(), error.to_string()))?;
        let known = self.directives.roster.contains_key(&wanted.seal_key);
        if checked.seal_key != wanted.seal_key || !known {
            return refuse("证书与密钥不符", "the certificate is of another key");
        }
        if now.0.div_euclid(1000) > checked.valid_s.1 {
            return refuse(
                "证书已过期,请上级生成注册码后再加入",
                "the certificate has expired; join again with a code from the parent",
            );
        }
        self.admit_at(checked.name.place(), wanted, now)
    }

    /// Segments of the directive slices on the path to `place`, in order of arrival.
    #[expect(clippy::type_complexity, reason = "segments and chains")]
    fn path_directives(
        &self,
        place: PlaceId,
    ) -> Result<(Vec<Sealed>, Vec<Vec<Vec<u8>>>), StoreError> {
        let path = judging_slices(SliceId::ledger(place), &self.directives.tree);
        let (mut segments, mut chains) = (Vec::new(), Vec::new());
        let mut authors: Vec<SealKey> = Vec::new();
        let mut after = 0;
        loop {
            let found = self.store.segments_after(after, 256)?;
            let Some(last) = found.last() else { break };
            after = last.arrival;
            for stored in found {
                let Ok(header) = Segment::header(&stored.sealed.plain) else { continue };
                if !path.contains(&header.feed.slice) {
                    continue;
                }
                let key = header.feed.author.key;
                if !authors.contains(&key) {
                    authors.push(key);
                    chains.extend(self.store.chain(key)?);
                }
                segments.push(stored.sealed);
            }
        }
        Ok((segments, chains))
    }

    /// Takes the directives of an admission into a new replica: before any entry is written.
    ///
    /// # Errors
    ///
    /// If a segment does not verify: the parent is not who the code named.
    pub fn take_admission(
        &mut self,
        segments: Vec<Sealed>,
        chains: Vec<Vec<Vec<u8>>>,
        now: UtcMillis,
    ) -> Result<(), CommandError> {
        let mut batch = Batch { chains, segments: Vec::new() };
        for sealed in segments {
            match sealed.open() {
                Ok(segment) => batch.segments.push(Verified {
                    feed: segment.feed,
                    number: segment.number,
                    previous: segment.previous,
                    hash: sealed.hash(),
                    sealed,
                }),
                Err(error) => return refuse(error.to_string(), error.to_string()),
            }
        }
        self.ingest(&batch, now)?;
        while self.project(now, usize::MAX)? {
            self.settle()?;
        }
        Ok(())
    }
}
