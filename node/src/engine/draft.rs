//! Drafts of policy versions: one person drafts and submits, another one approves, and only then the
//! version is published (DESIGN §9).
//!
//! A draft is a record of `sys_policy_draft` in the ledger slice of the publishing office, so it never flows
//! down. Its values are written once; what becomes of it are lines of a log, each with its person. The
//! certificate proves the office; that two persons acted is the office's word.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use taizhang_core::catalogue::{Catalogue, FieldKind, Param, Text};
use taizhang_core::directives::{Directives, POLICY_DRAFT};
use taizhang_core::feed::entry::{Action, Person};
use taizhang_core::id::{Actor, AuthorId, Lane, Level, PlaceId, RecordId, SliceId};
use taizhang_core::policy::{
    PolicyVersion, Signed, check_publisher, check_value, combined, members,
};
use taizhang_core::record::edit::creation;
use taizhang_core::record::fold::{LogLine, Row};
use taizhang_core::record::value::Value;
use taizhang_core::time::{Date, UtcMillis};

use super::Engine;
use super::command::{CommandError, Found, refuse};
use super::policy::{NewPolicy, json};
use super::save::LocalEntry;
use super::values::display;

/// What became of a draft.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DraftState {
    /// Written.
    Drafted,
    /// Waits for a second person.
    Submitted,
    /// Sent back with a reason.
    Returned,
    /// Approved by a second person, and thereby published.
    Published,
}

impl DraftState {
    const ALL: [Self; 4] = [Self::Drafted, Self::Submitted, Self::Returned, Self::Published];

    /// The word in the log.
    pub fn word(self) -> &'static str {
        match self {
            Self::Drafted => "drafted",
            Self::Submitted => "submitted",
            Self::Returned => "returned",
            Self::Published => "published",
        }
    }
}

/// A draft to write.
#[derive(Clone, Debug)]
pub struct NewDraft {
    /// What would be published.
    pub policy: NewPolicy,
    /// Why, for whoever approves.
    pub note: String,
    /// The version whose earlier values it restores, if it withdraws one.
    pub withdraws: Option<RecordId>,
}

/// One step of a draft.
#[derive(Clone, Debug)]
pub struct DraftStep {
    /// What was done.
    pub to: DraftState,
    /// By whom, as claimed.
    pub person: Person,
    /// When, by that office's clock.
    pub time: UtcMillis,
    /// Why, when sent back.
    pub reason: String,
    /// The version published.
    pub version: Option<RecordId>,
}

/// A draft as it stands.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Its record.
    pub record: RecordId,
    /// The office that would publish it.
    pub place: PlaceId,
    /// What would be published.
    pub policy: NewPolicy,
    /// Why, for whoever approves.
    pub note: String,
    /// The version whose earlier values it restores.
    pub withdraws: Option<RecordId>,
    /// Who wrote it.
    pub drafter: Person,
    /// When, by that office's clock.
    pub time: UtcMillis,
    /// What became of it, in causal order.
    pub steps: Vec<DraftStep>,
}

fn step(line: &LogLine) -> Option<DraftStep> {
    let text = |column: &str| line.columns.get(column).map(Value::to_string).unwrap_or_default();
    let word = text("to");
    Some(DraftStep {
        to: DraftState::ALL.into_iter().find(|state| state.word() == word)?,
        person: line.writer.person.clone(),
        time: line.writer.time,
        reason: text("reason"),
        version: text("record").parse().ok(),
    })
}

impl Draft {
    /// Reads the row of a draft in the ledger slice of `place`; `None` if it is none.
    pub fn read(record: RecordId, place: PlaceId, row: &Row) -> Option<Self> {
        if row.ledger != POLICY_DRAFT || row.void.is_some() {
            return None;
        }
        Some(Self {
            record,
            place,
            policy: NewPolicy {
                doc_no: row.text("doc_no"),
                title: row.text("title"),
                effective_from: row.text("effective_from"),
                values: serde_json::from_str(&row.text("content")).ok()?,
            },
            note: row.text("note"),
            withdraws: row.text("withdraws").parse().ok(),
            drafter: row.created.person.clone(),
            time: row.created.time,
            steps: row.logs.get("step").into_iter().flatten().filter_map(step).collect(),
        })
    }

    /// Where it stands: published stays so, whatever a colleague wrote apart from it.
    pub fn state(&self) -> DraftState {
        if self.version().is_some() {
            return DraftState::Published;
        }
        self.steps.last().map_or(DraftState::Drafted, |step| step.to)
    }

    /// The version that it became.
    pub fn version(&self) -> Option<RecordId> {
        self.steps.iter().find_map(|step| step.version)
    }

    /// Names of those who had a hand in it: whoever drafted or submitted it cannot approve it.
    pub fn hands(&self) -> impl Iterator<Item = &str> {
        let submitted = self.steps.iter().filter(|step| step.to == DraftState::Submitted);
        let names = submitted.map(|step| step.person.name.as_str());
        names.chain([self.drafter.name.as_str()])
    }

    /// What the directives say once it is published, as far as policy goes.
    pub fn published_in(&self, directives: &Directives, level: Level) -> Directives {
        let mut after = directives.clone();
        let version = PolicyVersion {
            record: self.record,
            place: self.place,
            level,
            doc_no: self.policy.doc_no.clone(),
            title: self.policy.title.clone(),
            effective_from: self.policy.effective_from.clone(),
            values: self.policy.values.clone(),
            published: self.time,
            person: self.drafter.name.clone(),
            // Later than whatever is published by now.
            lamport: u64::MAX,
            actor: Actor::default(),
            position: (AuthorId::default(), 0),
            signed: Signed::default(),
        };
        after.policies.entry(self.place).or_default().push(version);
        after
    }
}

/// A name without what is easily added to it: blanks and marks make nobody another person.
fn plain(name: &str) -> String {
    name.chars().filter(|one| one.is_alphanumeric()).collect()
}

/// Refuses an approver who had a hand in what is approved, by name.
///
/// # Errors
///
/// That a second person is needed.
pub fn check_second<'a>(
    hands: impl IntoIterator<Item = &'a str>,
    approver: &str,
) -> Result<(), CommandError> {
    let approver = plain(approver);
    let mut names = hands.into_iter().map(plain);
    if approver.is_empty() || names.any(|name| name.is_empty() || name == approver) {
        return refuse(
            "须由另一人批准:起草或提交的人不能批准自己的版本",
            "a second person approves: whoever drafted or submitted a version does not",
        );
    }
    Ok(())
}

/// The values that would hold on a day if a version of an office had not been published, as a version of that
/// office would say them; and the parameters of it that would have none, which no version can say.
pub fn earlier(
    directives: &Directives,
    version: &PolicyVersion,
    day: Date,
) -> (BTreeMap<String, Value>, Vec<String>) {
    let mut without = directives.clone();
    without.policies.entry(version.place).or_default().retain(|one| one.record != version.record);
    let (mut values, mut unset) = (BTreeMap::new(), Vec::new());
    for id in version.values.keys() {
        let found = without.param(id, version.place, day);
        let owner = without.catalogue.params.get(id).map(|param| param.owner);
        let is_owner = owner == Some(version.level);
        let standing = if is_owner { found.upper } else { found.local.or(found.upper) };
        match standing {
            Some((value, _)) => drop(values.insert(id.clone(), value)),
            None => unset.push(id.clone()),
        }
    }
    (values, unset)
}

/// What keeps an office from publishing a version: every parameter with its bounds and who sets it, and the
/// version that it withdraws, if there is one.
pub fn problems(
    directives: &Directives,
    place: PlaceId,
    level: Level,
    policy: &NewPolicy,
    withdraws: Option<RecordId>,
) -> Vec<Text> {
    let mut found = Vec::new();
    if policy.doc_no.trim().is_empty() || policy.values.is_empty() {
        found.push(Text {
            zh: "请填写文号和至少一个参数".into(),
            en: "give a document number and at least one parameter".into(),
        });
    }
    let Some(from) = Date::parse(&policy.effective_from) else {
        found.push(Text {
            zh: "生效日期应如2018-05-20".into(),
            en: "the effective date is written 2018-05-20".into(),
        });
        return found;
    };
    let own = directives.policies.get(&place).map_or(&[][..], Vec::as_slice);
    let withdrawn = own.iter().find(|version| Some(version.record) == withdraws);
    if let Some(begins) = withdrawn.map(|version| &version.effective_from)
        && policy.effective_from < *begins
    {
        found.push(Text {
            zh: format!("被废止的版本{begins}才生效,生效日期不能早于该日"),
            en: format!(
                "the version withdrawn begins on {begins}; this one must not begin earlier"
            ),
        });
    }
    for (id, value) in &policy.values {
        let Some(param) = directives.catalogue.params.get(id) else {
            found.push(Text { zh: format!("没有参数{id}"), en: format!("no parameter {id}") });
            continue;
        };
        let upper = directives.param(id, place, from).upper.map(|(value, _)| value);
        found.extend(problem(&directives.catalogue, param, level, value, upper.as_ref()));
    }
    found
}

/// What of a value its vocabulary does not have; weights name every part of theirs once.
fn out_of_vocabulary(catalogue: &Catalogue, param: &Param, value: &Value) -> Option<Text> {
    let (FieldKind::Enum(vocab) | FieldKind::Set(vocab) | FieldKind::Weights(vocab)) = &param.kind
    else {
        return None;
    };
    let text = value.as_text().unwrap_or_default();
    let values = catalogue.vocabs.get(vocab).map_or(&[][..], |vocab| vocab.values.as_slice());
    let mut known: Vec<&str> = values.iter().map(|(id, _)| id.as_str()).collect();
    let mut given: Vec<&str> = match &param.kind {
        FieldKind::Enum(_) => vec![text],
        FieldKind::Weights(_) => {
            text.split(',').map(|pair| pair.split('=').next().unwrap_or_default().trim()).collect()
        }
        _ => members(text),
    };
    let (zh, en) = (&param.label.zh, &param.label.en);
    if let Some(unknown) = given.iter().find(|one| !known.contains(one)) {
        return Some(Text {
            zh: format!("R-PAR-01 参数「{zh}」没有选项{unknown}"),
            en: format!("R-PAR-01 {en}: there is no choice {unknown}"),
        });
    }
    if !matches!(param.kind, FieldKind::Weights(_)) {
        return None;
    }
    known.sort_unstable();
    given.sort_unstable();
    (known != given).then(|| Text {
        zh: format!("R-PAR-01 参数「{zh}」须列出全部各项一次:{}", known.join("、")),
        en: format!("R-PAR-01 {en}: each of these once: {}", known.join(", ")),
    })
}

/// What is wrong with one value.
fn problem(
    catalogue: &Catalogue,
    param: &Param,
    level: Level,
    value: &Value,
    upper: Option<&Value>,
) -> Option<Text> {
    let (zh, en) = (&param.label.zh, &param.label.en);
    if check_publisher(param, level).is_err() {
        let owner = param.owner;
        return Some(Text {
            zh: format!("参数「{zh}」由{}设定,本级不能调整", owner.zh()),
            en: format!("{en}: set by the {} level, not here", owner.name()),
        });
    }
    let shown = |value: &Value, english| display(&param.kind, value, catalogue, english);
    if let Err(reason) = check_value(param, value) {
        let bound = |bound: Option<i64>| match bound {
            Some(bound) => shown(&Value::Int(bound), false),
            None => "-".to_owned(),
        };
        let (min, max, value) = (bound(param.min), bound(param.max), shown(value, false));
        return Some(Text {
            zh: format!("R-PAR-01 参数「{zh}」不能为{value},允许范围{min}至{max}"),
            en: format!("R-PAR-01 {en}: {reason}"),
        });
    }
    if let Some(unknown) = out_of_vocabulary(catalogue, param, value) {
        return Some(unknown);
    }
    let upper = upper.filter(|_| level != param.owner)?;
    (combined(param.localise, upper, value) != *value).then(|| Text {
        zh: format!(
            "R-PAR-01 参数「{zh}」弱于上级现行值{},不能发布{}",
            shown(upper, false),
            shown(value, false)
        ),
        en: format!(
            "R-PAR-01 {en}: {} is weaker than {}, which the upper level has set",
            shown(value, true),
            shown(upper, true)
        ),
    })
}

impl Engine {
    /// Refuses a version that this office may not publish.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it.
    pub(crate) fn check_policy(
        &self,
        policy: &NewPolicy,
        withdraws: Option<RecordId>,
    ) -> Result<(), CommandError> {
        let found = problems(&self.directives, self.place(), self.level(), policy, withdraws);
        if found.is_empty() {
            return Ok(());
        }
        let joined = |texts: Vec<&str>| texts.join("; ");
        refuse(
            joined(found.iter().map(|text| text.zh.as_str()).collect()),
            joined(found.iter().map(|text| text.en.as_str()).collect()),
        )
    }

    /// Writes a draft. Its values are fixed: a change is another draft.
    ///
    /// # Errors
    ///
    /// Everything that keeps this office from publishing it.
    pub fn draft_policy(
        &mut self,
        draft: &NewDraft,
        person: &Person,
        now: UtcMillis,
    ) -> Result<RecordId, CommandError> {
        self.check_policy(&draft.policy, draft.withdraws)?;
        if plain(&person.name).is_empty() {
            return refuse("起草须署名", "a draft bears the name of whoever wrote it");
        }
        let record = RecordId(self.random());
        let policy = &draft.policy;
        let mut keys = vec![
            creation(POLICY_DRAFT),
            ("doc_no".into(), Some(policy.doc_no.trim().into())),
            ("title".into(), Some(policy.title.trim().into())),
            ("effective_from".into(), Some(policy.effective_from.as_str().into())),
            ("content".into(), Some(json(&policy.values))),
        ];
        if !draft.note.trim().is_empty() {
            keys.push(("note".into(), Some(draft.note.trim().into())));
        }
        if let Some(version) = draft.withdraws {
            keys.push(("withdraws".into(), Some(version.to_string().into())));
        }
        let local = LocalEntry {
            slice: SliceId::ledger(self.place()),
            lane: Lane::Urgent,
            action: Action::Create,
            person,
            import: None,
        };
        self.save(&local, &[(record, keys)], now)?;
        Ok(record)
    }

    /// A draft of this office with its record.
    fn draft(&mut self, record: RecordId) -> Result<(Found, Draft), CommandError> {
        let found = self.find(record)?;
        let own = SliceId::ledger(self.place());
        match Draft::read(record, found.slice.place, &found.row).filter(|_| found.slice == own) {
            Some(draft) => Ok((found, draft)),
            None => refuse("没有这份草案", "this office has no such draft"),
        }
    }

    fn add_step(
        &mut self,
        found: &Found,
        to: DraftState,
        rest: &[(&str, String)],
        person: &Person,
        now: UtcMillis,
    ) -> Result<(), CommandError> {
        let mut columns: BTreeMap<&str, Value> =
            rest.iter().map(|(column, text)| (*column, text.as_str().into())).collect();
        columns.insert("to", to.word().into());
        let text = serde_json::to_string(&columns).unwrap_or_default();
        let key = self.line_key("step", &text);
        self.write(found, Action::Act, person, vec![(key, Some(text.into()))], now)
    }

    /// Submits a draft for approval.
    ///
    /// # Errors
    ///
    /// If it was submitted before, or cannot be published.
    pub fn submit_draft(
        &mut self,
        record: RecordId,
        person: &Person,
        now: UtcMillis,
    ) -> Result<(), CommandError> {
        let (found, draft) = self.draft(record)?;
        if draft.state() != DraftState::Drafted {
            return refuse("该草案已提交过", "this draft was submitted before");
        }
        self.check_policy(&draft.policy, draft.withdraws)?;
        self.add_step(&found, DraftState::Submitted, &[], person, now)
    }

    /// Approves a submitted draft and publishes it. Gives the version's record.
    ///
    /// # Errors
    ///
    /// If the person had a hand in the draft, or it cannot be published any more.
    pub fn approve_draft(
        &mut self,
        record: RecordId,
        person: &Person,
        now: UtcMillis,
    ) -> Result<RecordId, CommandError> {
        let (found, draft) = self.draft(record)?;
        if draft.state() != DraftState::Submitted {
            return refuse("该草案不在待批准状态", "this draft does not wait for approval");
        }
        check_second(draft.hands(), &person.name)?;
        self.check_policy(&draft.policy, draft.withdraws)?;
        let signed = Signed {
            draft: record.to_string(),
            drafter: draft.drafter.name.clone(),
            approver: person.name.clone(),
        };
        let version = self.publish_signed(&draft.policy, &signed, person, now)?;
        let rest = [("record", version.to_string())];
        self.add_step(&found, DraftState::Published, &rest, person, now)?;
        Ok(version)
    }

    /// Sends a submitted draft back.
    ///
    /// # Errors
    ///
    /// If it does not wait for approval, or there is no reason.
    pub fn return_draft(
        &mut self,
        record: RecordId,
        reason: &str,
        person: &Person,
        now: UtcMillis,
    ) -> Result<(), CommandError> {
        let (found, draft) = self.draft(record)?;
        if draft.state() != DraftState::Submitted {
            return refuse("该草案不在待批准状态", "this draft does not wait for approval");
        }
        if reason.trim().is_empty() {
            return refuse("退回须填写原因", "give the reason for sending it back");
        }
        let rest = [("reason", reason.trim().to_owned())];
        self.add_step(&found, DraftState::Returned, &rest, person, now)
    }
}
