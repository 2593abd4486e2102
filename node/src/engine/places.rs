//! Changes of the hierarchy and of who may write: place events by the city, revocations by the offices
//! above a replica.

use std::collections::BTreeSet;

use taizhang_core::directives::{PLACE_EVENT, REVOCATION};
use taizhang_core::feed::entry::{Action, Person};
use taizhang_core::feed::line::LineItem;
use taizhang_core::id::{Level, PlaceId, RecordId, SealKey, SliceId};
use taizhang_core::place::event::{Listed, PlaceEvent};
use taizhang_core::place::import::nests;
use taizhang_core::record::edit::creation;
use taizhang_core::revocation::Reason;
use taizhang_core::time::{Date, UtcMillis};

use super::Engine;
use super::command::{CommandError, refuse};

impl Engine {
    /// Publishes a place event. The line of a hand-over is filled in here.
    ///
    /// # Errors
    ///
    /// If this is not the city, or the places do not fit the event.
    pub fn place_event(
        &mut self,
        event: PlaceEvent,
        from: &str,
        person: &Person,
        now: UtcMillis,
    ) -> Result<RecordId, CommandError> {
        if self.level() != Level::City {
            return refuse("区划变更由市级发布", "place events are published by the city");
        }
        if Date::parse(from).is_none() {
            return refuse("生效日期应如2018-05-20", "the date is written 2018-05-20");
        }
        let (event, named) = self.checked_event(event)?;
        let Some(common) = self.directives.tree.common_ancestor(&named) else {
            return refuse("没有这个区划", "no such place is known");
        };
        let keys = vec![
            creation(PLACE_EVENT),
            ("from".into(), Some(from.into())),
            ("content".into(), Some(super::policy::json(&event))),
        ];
        let record = RecordId(self.random());
        // Events are ordered by Lamport counter, and each slice counts for itself.
        let last = self.directives.tree.history().last_lamport();
        self.store.raise_lamport(SliceId::directive(common), last)?;
        self.directive(common, Action::Directive, person, record, keys, now)?;
        self.project_own_directives(now)?;
        self.store.audit("place event", &format!("place {}", event.place()), now)?;
        Ok(record)
    }

    /// The event with its line, and the places it names.
    fn checked_event(&self, event: PlaceEvent) -> Result<(PlaceEvent, Vec<PlaceId>), CommandError> {
        let tree = &self.directives.tree;
        let level = |id: PlaceId| tree.place(id).map(|place| place.level);
        let named = match &event {
            PlaceEvent::Add { parent, .. } => vec![*parent],
            PlaceEvent::HandOver { place, to, .. } => vec![*place, *to],
            PlaceEvent::Merge { place, into } => vec![*place, *into],
            PlaceEvent::Recode { place, .. } | PlaceEvent::Rename { place, .. } => vec![*place],
        };
        if named.iter().any(|id| level(*id).is_none()) {
            return refuse("没有这个区划", "no such place is known");
        }
        match event {
            PlaceEvent::HandOver { place, to, .. } => {
                let old = tree.parent(place);
                if level(to) != old.and_then(level) || old == Some(to) {
                    return refuse(
                        "新上级应与原上级同级",
                        "the new parent must be another place of the old parent's level",
                    );
                }
                let line = self.hand_over_line(place, to);
                let lists = self.lists_for(place, to);
                Ok((PlaceEvent::HandOver { place, to, line, lists }, named))
            }
            PlaceEvent::Merge { place, into } if tree.parent(place) != tree.parent(into) => refuse(
                "两地不属同一上级;请先改隶再合并",
                "the places have different parents; hand one over first",
            ),
            PlaceEvent::Merge { place, into } if level(place) != level(into) || place == into => {
                refuse("只能并入同级的另一区划", "a place merges into another of its own level")
            }
            PlaceEvent::Recode { code, .. } if !is_code(&code) => {
                refuse("区划代码应为12位数字", "a code has 12 digits")
            }
            PlaceEvent::Recode { place, code } => {
                self.check_code(&code, tree.parent(place))?;
                Ok((PlaceEvent::Recode { place, code }, named))
            }
            PlaceEvent::Rename { name, .. } if name.trim().is_empty() => {
                refuse("请填写名称", "give a name")
            }
            PlaceEvent::Add { place, .. } if !is_code(place.code()) => {
                refuse("区划代码应为12位数字", "a code has 12 digits")
            }
            PlaceEvent::Add { place, .. } if place.name().trim().is_empty() => {
                refuse("请填写名称", "give a name")
            }
            PlaceEvent::Add { parent, place } => {
                self.check_code(place.code(), Some(parent))?;
                Ok((PlaceEvent::Add { parent, place }, named))
            }
            event => Ok((event, named)),
        }
    }

    /// That a code is free (R-REG-02) and continues that of the parent (R-REG-01). That of a merged place stays
    /// its own: old sheets and papers name it.
    fn check_code(&self, code: &str, parent: Option<PlaceId>) -> Result<(), CommandError> {
        let tree = &self.directives.tree;
        if tree.by_code(code).is_some() {
            return refuse("R-REG-02 该区划代码已在用", "R-REG-02 this code is in use");
        }
        let parent = parent.and_then(|id| tree.place(id));
        if parent.is_some_and(|parent| !nests(code, parent.code(), parent.level)) {
            return refuse(
                "R-REG-01 区划代码与上级代码不衔接",
                "R-REG-01 the code does not continue that of the parent",
            );
        }
        Ok(())
    }

    /// The paths to the place and to its new parent.
    fn lists_for(&self, place: PlaceId, to: PlaceId) -> Vec<Listed> {
        let tree = &self.directives.tree;
        let (old, new) = (tree.path(place), tree.path(to));
        old.into_iter()
            .skip(1)
            .chain(new.into_iter().skip(1))
            .filter_map(|id| {
                Some(Listed { parent: tree.parent(id)?, place: tree.place(id)?.clone() })
            })
            .collect()
    }

    /// What is held of the old ancestors' feeds in the slices that change hands.
    fn hand_over_line(&self, place: PlaceId, to: PlaceId) -> Vec<LineItem> {
        let tree = &self.directives.tree;
        let old: BTreeSet<PlaceId> = tree
            .path(place)
            .into_iter()
            .filter(|upper| *upper != place && !tree.is_above_or_same(*upper, to))
            .collect();
        let below: BTreeSet<PlaceId> = tree.subtree(place).into_iter().collect();
        self.line_items(|slice, key| {
            let author = self.directives.roster.get(&key).map(|known| known.certified.place);
            below.contains(&slice.place) && author.is_some_and(|place| old.contains(&place))
        })
    }

    fn line_items(&self, wanted: impl Fn(SliceId, SealKey) -> bool) -> Vec<LineItem> {
        let mut items = Vec::new();
        for (slice, frontier) in &self.held.slices {
            for ((lane, author), head) in &frontier.heads {
                if wanted(*slice, author.key) {
                    let (slice, lane, author) = (*slice, *lane, *author);
                    let (count, last) = (head.count, head.hash);
                    items.push(LineItem { slice, lane, author, count, last });
                }
            }
        }
        items
    }

    /// Revokes a replica's key: what is held of it here counts, nothing after it does.
    ///
    /// # Errors
    ///
    /// If the key is not of an office below this one.
    pub fn revoke(
        &mut self,
        key: SealKey,
        reason: Reason,
        person: &Person,
        now: UtcMillis,
    ) -> Result<RecordId, CommandError> {
        let Some(known) = self.directives.roster.get(&key).map(|known| known.certified.clone())
        else {
            return refuse("名册中没有这个节点", "no such replica is in the roster");
        };
        let tree = &self.directives.tree;
        if known.place == self.place() || !tree.is_above_or_same(self.place(), known.place) {
            return refuse(
                "只能吊销本级以下单位的节点",
                "only replicas of offices below this one can be revoked here",
            );
        }
        self.flush(now)?;
        if self.directives.revoked.contains(key) && self.store.is_written_off(key)? {
            return refuse(
                "该节点的额度已核销,吊销范围不能再扩大",
                "rights of this replica were written off; its line cannot move any more",
            );
        }
        let line = self.line_items(|_, author| author == key);
        let keys = vec![
            creation(REVOCATION),
            ("key".into(), Some(key.to_string().into())),
            ("reason".into(), Some(reason.name().into())),
            ("line".into(), Some(super::policy::json(&line))),
        ];
        let record = RecordId(self.random());
        self.directive(known.place, Action::Directive, person, record, keys, now)?;
        self.project_own_directives(now)?;
        let text = format!("replica {} of place {}: {}", known.replica, known.place, reason.name());
        self.store.audit("revoked", &text, now)?;
        Ok(record)
    }

    /// Whether this replica's own key is revoked.
    pub fn is_revoked(&self) -> bool {
        self.directives.revoked.contains(self.author.key)
    }
}

fn is_code(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}
