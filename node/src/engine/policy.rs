//! Directives that people and the program write: tree, catalogue, roster, policy versions.

use std::collections::BTreeMap;

use taizhang_core::catalogue::parse::{Part, head};
use taizhang_core::directives::{
    CATALOGUE, POLICY, ROSTER, SYSTEM_CATALOGUE, TREE, chain_to_text, parsed,
};
use taizhang_core::feed::entry::{Action, Person};
use taizhang_core::id::{Lane, PlaceId, RecordId, SliceId, hex};
use taizhang_core::place::Place;
use taizhang_core::policy::Signed;
use taizhang_core::record::edit::{KeyWrite, creation};
use taizhang_core::record::value::Value;
use taizhang_core::time::UtcMillis;

use super::Engine;
use super::command::{CommandError, refuse};
use super::save::{LocalEntry, SaveError};

/// A policy version to publish.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub struct NewPolicy {
    /// 文号
    pub doc_no: String,
    /// Title for people.
    pub title: String,
    /// First day, `YYYY-MM-DD`.
    pub effective_from: String,
    /// Parameter to value, canonical (分, ISO dates).
    pub values: BTreeMap<String, Value>,
}

/// Children listed in one entry: 64 KiB at 200 bytes a child with room.
const CHILDREN_PER_ENTRY: usize = 100;

impl Engine {
    pub(crate) fn directive(
        &mut self,
        place: PlaceId,
        action: Action,
        person: &Person,
        record: RecordId,
        keys: Vec<KeyWrite>,
        now: UtcMillis,
    ) -> Result<(), SaveError> {
        let slice = SliceId::directive(place);
        let local = LocalEntry { slice, lane: Lane::Directive, action, person, import: None };
        self.save(&local, &[(record, keys)], now)
    }

    /// The program itself, as the name of an entry's person.
    pub fn program() -> Person {
        Person { name: "taizhang".into(), role: "program".into() }
    }

    /// Writes the city's first directives: own roster entry, tree, catalogue, first policy version.
    /// `children` lists, for every place that has some, its children.
    ///
    /// # Errors
    ///
    /// [`CommandError`].
    pub fn found_city(
        &mut self,
        city: &Place,
        children: &[(PlaceId, Vec<Place>)],
        parts: &[Part],
        now: UtcMillis,
    ) -> Result<(), CommandError> {
        let program = Self::program();
        let replica = self.identity.checked.name.replica;
        let chain = self.identity.chain.clone();
        self.roster(self.place(), &replica.to_string(), &chain, now)?;
        self.project_own_directives(now)?;
        let mut first = Some(("own".to_owned(), Some(json(city))));
        let empty = [(city.id, Vec::new())];
        let lists = if children.is_empty() { &empty[..] } else { children };
        for (parent, list) in lists {
            // What an entry sees is the path to its place, which the lists before it make known.
            if *parent != city.id && self.directives.tree.path(*parent).is_empty() {
                self.project_own_directives(now)?;
            }
            for chunk in list.chunks(CHILDREN_PER_ENTRY).chain(list.is_empty().then_some(&[][..])) {
                let record = RecordId(self.random());
                let mut keys = vec![creation(TREE)];
                keys.extend(first.take());
                for place in chunk {
                    let line = BTreeMap::from([("place", json(place))]);
                    let text = serde_json::to_string(&line).unwrap_or_default();
                    let nonce = hex(&self.random::<16>());
                    keys.push((format!("child/{nonce}"), Some(text.into())));
                }
                self.directive(*parent, Action::Directive, &program, record, keys, now)?;
            }
            if *parent == city.id {
                self.project_own_directives(now)?;
            }
        }
        self.project_own_directives(now)?;
        self.publish_parts(parts, &program, now)?;
        let values: BTreeMap<String, Value> = self
            .directives
            .catalogue
            .params
            .values()
            .filter_map(|param| Some((param.id.clone(), param.initial.clone()?)))
            .collect();
        let policy = NewPolicy {
            doc_no: "商办〔2018〕21号".into(),
            title: "脱贫攻坚五个实施意见".into(),
            effective_from: "2018-04-09".into(),
            values,
        };
        self.publish_policy(&policy, &program, now).map(|_| ())
    }

    /// Publishes catalogue parts; refused as a whole if the catalogue would not be sound.
    ///
    /// # Errors
    ///
    /// Every defect with file, line and key.
    pub fn publish_parts(
        &mut self,
        parts: &[Part],
        person: &Person,
        now: UtcMillis,
    ) -> Result<(), CommandError> {
        let heads: Result<Vec<(String, u32)>, _> = parts.iter().map(head).collect();
        let heads = match heads {
            Ok(heads) => heads,
            Err(error) => return refuse(error.to_string(), error.to_string()),
        };
        let names: Vec<String> = heads.iter().map(|(name, _)| name.clone()).collect();
        let mut all = vec![Part { name: "system".into(), source: SYSTEM_CATALOGUE.into() }];
        all.extend(self.directives.parts_without(&names));
        all.extend(parts.iter().cloned());
        if let Err(errors) = parsed(&all) {
            let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
            return refuse(lines.join("\n"), lines.join("\n"));
        }
        for (part, (name, version)) in parts.iter().zip(heads) {
            let record = RecordId(self.random());
            let keys = vec![
                creation(CATALOGUE),
                ("name".into(), Some(name.into())),
                ("version".into(), Some(Value::Int(version.into()))),
                ("source".into(), Some(part.source.clone().into())),
            ];
            self.directive(self.place(), Action::Publish, person, record, keys, now)?;
        }
        self.project_own_directives(now)?;
        Ok(())
    }

    /// Writes a roster entry for a replica of `place`.
    ///
    /// # Errors
    ///
    /// [`SaveError`].
    pub fn roster(
        &mut self,
        place: PlaceId,
        replica: &str,
        chain: &[Vec<u8>],
        now: UtcMillis,
    ) -> Result<(), SaveError> {
        let record = RecordId(self.random());
        let keys = vec![
            creation(ROSTER),
            ("place".into(), Some(place.to_string().into())),
            ("replica".into(), Some(replica.into())),
            ("chain".into(), Some(chain_to_text(chain).into())),
        ];
        self.directive(place, Action::Directive, &Self::program(), record, keys, now)
    }

    /// Publishes a policy version in the own place's directive slice.
    ///
    /// # Errors
    ///
    /// Names the parameter, its bounds and who sets it.
    pub fn publish_policy(
        &mut self,
        policy: &NewPolicy,
        person: &Person,
        now: UtcMillis,
    ) -> Result<RecordId, CommandError> {
        self.publish_signed(policy, &Signed::default(), person, now)
    }

    /// Publishes a version with the names of who drafted and approved it.
    ///
    /// # Errors
    ///
    /// Everything that keeps this office from publishing it.
    pub(crate) fn publish_signed(
        &mut self,
        policy: &NewPolicy,
        signed: &Signed,
        person: &Person,
        now: UtcMillis,
    ) -> Result<RecordId, CommandError> {
        self.check_policy(policy, None)?;
        let record = RecordId(self.random());
        let mut keys = vec![
            creation(POLICY),
            ("doc_no".into(), Some(policy.doc_no.clone().into())),
            ("title".into(), Some(policy.title.clone().into())),
            ("effective_from".into(), Some(policy.effective_from.clone().into())),
            ("content".into(), Some(json(&policy.values))),
        ];
        let signatures = [
            ("draft", &signed.draft),
            ("drafter", &signed.drafter),
            ("approver", &signed.approver),
        ];
        for (key, text) in signatures.into_iter().filter(|(_, text)| !text.is_empty()) {
            keys.push((key.to_owned(), Some(text.as_str().into())));
        }
        self.directive(self.place(), Action::Publish, person, record, keys, now)?;
        self.project_own_directives(now)?;
        Ok(record)
    }
}

/// A value as JSON text.
pub(crate) fn json(value: &impl serde::Serialize) -> Value {
    Value::Text(serde_json::to_string(value).unwrap_or_default())
}
