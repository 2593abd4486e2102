//! Taking a workflow step: who may, what must be filled, what it certifies, what it spends.

use taizhang_core::catalogue::{Required, Text, Transition};
use taizhang_core::feed::entry::{Action, Person};
use taizhang_core::id::{Level, RecordId, hex};
use taizhang_core::record::fold::certify;
use taizhang_core::record::state::{Step, TransitionLine};
use taizhang_core::record::value::STATE_FIELD;
use taizhang_core::rules::blocking;
use taizhang_core::time::{Date, UtcMillis};

use super::Engine;
use super::command::{CommandError, Found, missing, refuse};
use super::values::FieldError;

/// A step as a person asks for it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked<'a> {
    /// The state to enter.
    pub to: &'a str,
    /// Why, where the step asks for it.
    pub reason: &'a str,
    /// The business date on which it was done; today if empty.
    pub date: &'a str,
}

impl Engine {
    /// Takes a workflow step.
    ///
    /// # Errors
    ///
    /// Says who may take it, what must be filled, or which rule blocks it.
    pub fn act(
        &mut self,
        id: RecordId,
        to: &str,
        reason: &str,
        person: &Person,
        now: UtcMillis,
    ) -> Result<(), CommandError> {
        self.act_on(id, Asked { to, reason, date: "" }, person, now)
    }

    /// Takes a workflow step that was done on a date.
    ///
    /// # Errors
    ///
    /// As [`Self::act`]; also a date that is none, or lies in the future.
    pub fn act_on(
        &mut self,
        id: RecordId,
        asked: Asked<'_>,
        person: &Person,
        now: UtcMillis,
    ) -> Result<(), CommandError> {
        let found = self.find(id)?;
        let Asked { to, reason, date } = asked;
        if found.row.moved.is_some() {
            return refuse("该记录已迁出", "the record has moved to another place");
        }
        let day = Date::parse(date);
        if !date.is_empty() && day.is_none_or(|day| day > now.date().plus_days(1)) {
            return refuse(
                "日期不对或晚于明天;请核对,必要时请校时",
                "the date is wrong or later than tomorrow; check it, and the clock",
            );
        }
        let step = self.step_for(&found, to)?;
        // Offices inspected reply and mend; what comes of it is the finder's to say.
        if self.level() >= Level::County {
            self.check_finder(&found)?;
        }
        self.check_post(&step, person)?;
        if step.reason && reason.trim().is_empty() {
            return refuse("请填写原因", "give a reason");
        }
        let missing_fields = self.missing_at(&found, &step.requires, to);
        if !missing_fields.is_empty() {
            return Err(CommandError::Fields(missing_fields));
        }
        let changed = found.row.state.as_ref().is_some_and(|state| state.needs_recheck);
        if step.settled && changed {
            return refuse(
                "已核内容有改动(待复核):请先由原审核单位重新审核,或改回原内容",
                "what was certified has changed: it must be reviewed again first, or put back",
            );
        }
        self.check_blocks(&found, to, date, now)?;
        let mut rights = self.step_rights(&found, &step, now)?;
        self.record_spends(&mut rights, person, now)?;
        let mut row = found.row.clone();
        for (field, value) in &rights.fields {
            if let Some(value) = value {
                row.fields.insert(field.clone(), value.clone());
            }
        }
        let certified =
            if step.certifies.is_empty() { String::new() } else { certify(&row, &step.certifies) };
        let line = TransitionLine {
            from: leaves(&step, found.row.state_id().unwrap_or_default()),
            to: to.to_owned(),
            reason: reason.trim().to_owned(),
            certified,
            date: date.to_owned(),
            spends: rights.spends,
            nonce: hex(&self.random::<16>()),
        };
        let text = serde_json::to_string(&line).unwrap_or_default();
        let mut keys = vec![(self.line_key(STATE_FIELD, &text), Some(text.into()))];
        keys.extend(rights.fields);
        self.write(&found, Action::Act, person, keys, now)
    }

    /// A step of one post is taken by whoever holds it: as far as this replica knows its people.
    fn check_post(&self, step: &Transition, person: &Person) -> Result<(), CommandError> {
        match &step.role {
            Some(role) if person.role != *role => {
                let label =
                    self.directives.catalogue.roles.get(role).map(|role| role.label.clone());
                let label = label.unwrap_or_default();
                refuse(
                    format!("该步骤由{}本人办理", label.zh),
                    format!("this step is taken by the {} in person", label.en.to_lowercase()),
                )
            }
            _ => Ok(()),
        }
    }

    /// The step to a state that this office may take now.
    fn step_for(&self, found: &Found, to: &str) -> Result<Transition, CommandError> {
        let Some(workflow) = &found.ledger.workflow else {
            return refuse("该台账没有流程", "this ledger has no workflow");
        };
        let from = found.row.state_id().unwrap_or_default();
        let level = self.level();
        let fits = |step: &&Transition| {
            step.to == to && (step.ordered || step.from.iter().any(|one| one == from))
        };
        let label = |id: &str, english: bool| match workflow.states.iter().find(|one| one.id == id)
        {
            Some(state) => state.label.in_lang(english).to_owned(),
            None => id.to_owned(),
        };
        let steps: Vec<&Transition> = workflow.transitions.iter().filter(fits).collect();
        let Some(first) = steps.first() else {
            return refuse(
                format!("当前状态「{}」不能转为「{}」", label(from, false), label(to, false)),
                format!("no step leads from {} to {}", label(from, true), label(to, true)),
            );
        };
        match steps.iter().find(|step| step.by.contains(&level)) {
            Some(step) => Ok((*step).clone()),
            None => {
                let (zh, en) = Level::words(&first.by);
                refuse(format!("该步骤由{zh}办理"), format!("this step is taken by: {en}"))
            }
        }
    }

    fn missing_at(&self, found: &Found, requires: &[String], to: &str) -> Vec<FieldError> {
        let row = &found.row;
        let empty = |id: &str| {
            !row.fields.contains_key(id) && !row.sets.contains_key(id) && !row.logs.contains_key(id)
        };
        found
            .ledger
            .fields
            .iter()
            .filter(|field| {
                let at_state =
                    matches!(&field.required, Required::At(at) if at.iter().any(|one| one == to));
                (at_state || requires.contains(&field.id)) && empty(&field.id)
            })
            .map(missing)
            .collect()
    }

    /// A rule that blocks a step is evaluated on the row as it would be after it.
    fn check_blocks(
        &mut self,
        found: &Found,
        to: &str,
        date: &str,
        now: UtcMillis,
    ) -> Result<(), CommandError> {
        let mut after = found.row.clone();
        if let Some(state) = &mut after.state {
            state.state = to.to_owned();
            let (level, time) = (self.level(), now);
            let (reason, date) = (String::new(), date.to_owned());
            state.steps.push(Step { to: to.to_owned(), level, time, reason, date });
        }
        self.settle()?;
        let findings = self.findings_as(found.slice, found.id, &found.ledger, &after, now);
        let blocked: Vec<Text> = blocking(&found.ledger, &findings, to)
            .filter_map(|finding| {
                let rule = taizhang_core::rules::rule_of(&found.ledger, &finding.rule)?;
                Some(Text {
                    zh: format!("{} {}", rule.id, rule.text.zh),
                    en: format!("{} {}", rule.id, rule.text.en),
                })
            })
            .collect();
        if blocked.is_empty() {
            return Ok(());
        }
        let all = |pick: fn(&Text) -> &str| blocked.iter().map(pick).collect::<Vec<_>>().join("; ");
        refuse(all(|text| &text.zh), all(|text| &text.en))
    }
}

/// The state that a step leaves: the present one, or of an ordered step taken early its own.
fn leaves(step: &Transition, state: &str) -> String {
    let present = step.from.iter().any(|one| one == state);
    let own = step.from.first().filter(|_| !present);
    own.cloned().unwrap_or_else(|| state.to_owned())
}
