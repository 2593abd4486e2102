//! Verdicts: whether an entry counts. A pure function of the entry, its author's certificate and the
//! directive slices on the path to the slice's place, at the position that its segment `sees`.
//!
//! A void entry is masked, not removed: it stays as evidence and in the document, its operations
//! never count. A parked one waits, and nothing behind it waits with it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::catalogue::{Ledger, Merge};
use crate::directives::{self, Certified, Directives};
use crate::id::{AuthorId, FeedId, Level, SealKey, SliceId, SliceKind};
use crate::place::judging_slices;
use crate::record::change::ScannedChange;
use crate::record::moved::{FROM_FIELD, MOVED_KEY};
use crate::record::state::TransitionLine;
use crate::record::twin;
use crate::record::value::{LEDGER_KEY, STATE_FIELD, VOID_KEY, Value, split_key};
use crate::rights;

/// Directive feeds and how many of their segments the author had applied.
pub type SeesMap = BTreeMap<(SliceId, AuthorId), u64>;

/// Why an entry waits.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "what")]
pub enum Waiting {
    /// A change that it follows.
    Dependency,
    /// A ledger, field or step of a catalogue that is not held yet.
    Catalogue(String),
    /// Directives that its author had applied.
    Directives,
}

/// Why an entry never counts.
#[derive(
    Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize, thiserror::Error,
)]
#[serde(rename_all = "snake_case", tag = "kind", content = "what")]
pub enum VoidReason {
    /// Bytes that are no change of ours.
    #[error("malformed: {0}")]
    Malformed(String),
    /// The author's level may not write this.
    #[error("no authority to write {0}")]
    NoAuthority(String),
    /// The author's key is in no roster that its entry had seen.
    #[error("the author is not in the roster")]
    NotRostered,
    /// The author's place does not hold the slice.
    #[error("the author's place does not hold this slice")]
    OutOfScope,
    /// It stands beyond the line up to which its key counts.
    #[error("the key was revoked; this entry is beyond its line")]
    Revoked,
    /// Its office handed the place over before it was written.
    #[error("the place was handed to another office before this entry")]
    HandedOver,
    /// The ledger does not belong into this slice or lane.
    #[error("ledger {0} does not belong into this slice")]
    WrongSlice(String),
}

/// Whether an entry counts.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// It does.
    Counted,
    /// Not decided yet.
    Parked(Waiting),
    /// It never will.
    Void(VoidReason),
}

/// One change of an entry with the ledger that its record has, if it exists already.
pub struct Judged<'a> {
    /// The change.
    pub change: &'a ScannedChange,
    /// The ledger named by the record's creating change, if that is not this one.
    pub ledger: Option<&'a str>,
}

/// Whether the directives that a segment saw are applied here. Items off the slice's path are not
/// heard: they could park an entry for ever.
pub fn sees_is_applied(slice: SliceId, sees: &SeesMap, directives: &Directives) -> bool {
    let path = judging_slices(slice, &directives.tree);
    if path.is_empty() {
        // The place hangs nowhere yet. Only the city's first entries are judged before there is a tree.
        return directives.tree.root().is_none() && sees.is_empty();
    }
    sees.iter().all(|((seen, author), count)| {
        !path.contains(seen) || directives.applied(*seen, *author) >= *count
    })
}

/// The author's certificate, if its roster entry lies within what the entry had seen.
fn author_at<'a>(
    feed: &FeedId,
    sees: &SeesMap,
    directives: &'a Directives,
) -> Result<&'a Certified, VoidReason> {
    let rostered = directives.roster.get(&feed.author.key).ok_or(VoidReason::NotRostered)?;
    let is_seen = rostered.positions.iter().any(|(slice, author, number)| {
        let own_root = rostered.certified.level == Level::City && *author == feed.author;
        own_root || sees.get(&(*slice, *author)).is_some_and(|count| count > number)
    });
    if is_seen { Ok(&rostered.certified) } else { Err(VoidReason::NotRostered) }
}

/// Judges one entry in segment `number`. The caller has checked [`sees_is_applied`].
pub fn judge(
    feed: &FeedId,
    number: u64,
    sees: &SeesMap,
    changes: &[Judged<'_>],
    directives: &Directives,
) -> Verdict {
    if directives.line(feed).is_some_and(|line| number >= line) {
        return Verdict::Void(VoidReason::Revoked);
    }
    if let Some(verdict) = judge_first(feed, changes, directives) {
        return verdict;
    }
    let certified = match author_at(feed, sees, directives) {
        Ok(certified) => certified,
        Err(_) if directives.tree.root().is_none() => {
            return Verdict::Parked(Waiting::Directives);
        }
        Err(reason) => return Verdict::Void(reason),
    };
    let first = directives.tree.root().is_none()
        && certified.level == Level::City
        && certified.place == feed.slice.place;
    if !first && directives.tree.place(feed.slice.place).is_none() {
        return Verdict::Parked(Waiting::Directives);
    }
    if !directives.tree.was_above(certified.place, feed.slice.place, sees) {
        return Verdict::Void(VoidReason::OutOfScope);
    }
    if directives.tree.handed_line(feed, certified.place).is_some_and(|line| number >= line) {
        return Verdict::Void(VoidReason::HandedOver);
    }
    for judged in changes {
        let verdict = judge_change(feed, judged, certified, sees, directives);
        if verdict != Verdict::Counted {
            return verdict;
        }
    }
    Verdict::Counted
}

/// The base case: a city hub's own roster entry, and the first tree row, count by the root's
/// signature on its chain, before any roster or tree is known (DESIGN §6).
fn judge_first(feed: &FeedId, changes: &[Judged<'_>], directives: &Directives) -> Option<Verdict> {
    if feed.slice.kind != SliceKind::Directive || directives.roster.contains_key(&feed.author.key) {
        return None;
    }
    let [Judged { change, ledger: None }] = changes else { return None };
    let text = |key: &str| {
        change.ops.iter().find(|op| op.key == key)?.value.as_ref().and_then(Value::as_text)
    };
    if text(LEDGER_KEY) != Some(directives::ROSTER) {
        return None;
    }
    let chain = directives::chain_from_text(text("chain")?)?;
    let certified = directives.reader().read(&chain).ok()?;
    let own = certified.key == feed.author.key
        && certified.level == Level::City
        && certified.place == feed.slice.place;
    own.then_some(Verdict::Counted)
}

fn judge_change(
    feed: &FeedId,
    judged: &Judged<'_>,
    certified: &Certified,
    sees: &SeesMap,
    directives: &Directives,
) -> Verdict {
    let change = judged.change;
    let named = change
        .ops
        .iter()
        .find(|op| op.key == LEDGER_KEY)
        .and_then(|op| op.value.as_ref().and_then(Value::as_text));
    let creates = change.deps.is_empty();
    let id = match (judged.ledger, named) {
        (Some(_), Some(_)) if !creates => {
            return Verdict::Void(VoidReason::NoAuthority(LEDGER_KEY.into()));
        }
        (Some(known), Some(named)) if known != named => {
            return Verdict::Void(VoidReason::WrongSlice(named.into()));
        }
        (Some(known), _) => known,
        (None, Some(named)) if creates => named,
        _ => return Verdict::Void(VoidReason::Malformed("no ledger is named".into())),
    };
    let Some(ledger) = directives.catalogue.ledger(id) else {
        return Verdict::Parked(Waiting::Catalogue(id.to_owned()));
    };
    let place_level = directives
        .tree
        .place(feed.slice.place)
        .map(|place| place.level)
        .or_else(|| (certified.place == feed.slice.place).then_some(certified.level));
    let fits = !ledger.closed
        && ledger.slice == feed.slice.kind
        && ledger.lane == feed.lane
        && place_level.is_some_and(|level| ledger.scope.contains(&level));
    if !fits {
        return Verdict::Void(VoidReason::WrongSlice(id.to_owned()));
    }
    if let Some(reason) = judge_place(feed, ledger, certified, sees, directives) {
        return Verdict::Void(reason);
    }
    if ledger.id == directives::REVOCATION && !revokes_own(feed, change, directives) {
        return Verdict::Void(VoidReason::NoAuthority(ledger.id.clone()));
    }
    let from_above = certified.place != feed.slice.place && certified.level > Level::Village;
    let carries = change.ops.iter().any(|op| split_key(&op.key).0 == FROM_FIELD);
    let writer = Writer { level: certified.level, carries };
    for op in &change.ops {
        let marks = op.key == MOVED_KEY || split_key(&op.key).0 == FROM_FIELD;
        if marks && !from_above {
            return Verdict::Void(VoidReason::NoAuthority(op.key.clone()));
        }
        if marks || op.key == LEDGER_KEY {
            continue;
        }
        let verdict = judge_key(ledger, writer, creates, &op.key, op.value.as_ref());
        if verdict != Verdict::Counted {
            return verdict;
        }
        let (field, element) = split_key(&op.key);
        let once = field == STATE_FIELD
            || ledger.field(field).is_some_and(|field| field.merge == Merge::Log);
        if once && element.is_some() && (!op.preds.is_empty() || op.value.is_none()) {
            return Verdict::Void(VoidReason::NoAuthority(op.key.clone()));
        }
    }
    Verdict::Counted
}

/// Whether a revocation names a key of the place in whose slice it stands, so that its author is above
/// the key: no key can mask one of its own level or above (DESIGN §2).
fn revokes_own(feed: &FeedId, change: &ScannedChange, directives: &Directives) -> bool {
    let named = change.ops.iter().filter(|op| op.key == "key");
    named.filter_map(|op| op.value.as_ref()?.as_text()).all(|text| {
        let known = text.parse().ok().and_then(|key: SealKey| directives.roster.get(&key));
        known.is_some_and(|known| known.certified.place == feed.slice.place)
    })
}

/// Place relations of directive ledgers: fixed in the program (DESIGN §2).
fn judge_place(
    feed: &FeedId,
    ledger: &Ledger,
    certified: &Certified,
    sees: &SeesMap,
    directives: &Directives,
) -> Option<VoidReason> {
    let own_place = certified.place == feed.slice.place;
    if feed.slice.kind == SliceKind::Ledger {
        // A holder writes what it does with a right, decisions on duplicates, and drafts of its policy,
        // in its own slice.
        let own_only =
            matches!(ledger.id.as_str(), rights::RIGHT | twin::SAME | directives::POLICY_DRAFT);
        return (own_only && !own_place).then(|| VoidReason::NoAuthority(ledger.id.clone()));
    }
    let allowed = match ledger.id.as_str() {
        directives::TREE | directives::CATALOGUE | directives::PLACE_EVENT => {
            certified.level == Level::City
        }
        directives::ROSTER | directives::REVOCATION | rights::GRANT => {
            !own_place && directives.tree.was_above(certified.place, feed.slice.place, sees)
        }
        _ => own_place,
    };
    (!allowed).then(|| VoidReason::NoAuthority(ledger.id.clone()))
}

/// By which authority a key is written.
#[derive(Clone, Copy)]
struct Writer {
    level: Level,
    /// The office above two places carries a record over: what it and the levels below it may write,
    /// fixed fields included, but no steps.
    carries: bool,
}

impl Writer {
    fn may(self, levels: &[Level]) -> bool {
        levels.contains(&self.level) || self.carries && levels.iter().any(|one| *one <= self.level)
    }
}

fn judge_key(
    ledger: &Ledger,
    writer: Writer,
    creates: bool,
    key: &str,
    value: Option<&Value>,
) -> Verdict {
    let no_authority = || Verdict::Void(VoidReason::NoAuthority(key.to_owned()));
    let malformed = |what: &str| Verdict::Void(VoidReason::Malformed(format!("{key}: {what}")));
    let (id, element) = split_key(key);
    match (id, element) {
        (VOID_KEY, None) => {
            let writes = ledger.fields.iter().any(|field| writer.may(&field.write));
            if writes { Verdict::Counted } else { no_authority() }
        }
        (STATE_FIELD, Some(_)) => {
            let Some(workflow) = &ledger.workflow else { return malformed("no workflow") };
            let line = value.and_then(Value::as_text);
            let Some(line) =
                line.and_then(|text| serde_json::from_str::<TransitionLine>(text).ok())
            else {
                return malformed("no transition line");
            };
            let mut steps = workflow
                .transitions
                .iter()
                .filter(|step| step.to == line.to && step.from.contains(&line.from))
                .peekable();
            if steps.peek().is_none() {
                let step = format!("{}: {} → {}", ledger.id, line.from, line.to);
                return Verdict::Parked(Waiting::Catalogue(step));
            }
            if !writer.carries && steps.any(|step| step.by.contains(&writer.level)) {
                Verdict::Counted
            } else {
                no_authority()
            }
        }
        _ => {
            let Some(field) = ledger.field(id) else {
                return Verdict::Parked(Waiting::Catalogue(format!("{}.{id}", ledger.id)));
            };
            let has_elements = matches!(field.merge, Merge::Set | Merge::Log);
            if has_elements != element.is_some() {
                return malformed("an element where none belongs, or none where one does");
            }
            if field.merge == Merge::Set && !matches!(value, None | Some(Value::Bool(true))) {
                return malformed("a set holds truth values");
            }
            let fixed = field.merge == Merge::Fixed && !creates && !writer.carries;
            if fixed || !writer.may(&field.write) {
                return no_authority();
            }
            Verdict::Counted
        }
    }
}
