//! What a step of a workflow spends: an office, a share of a budget, a cap, a number.

use taizhang_core::catalogue::Transition;
use taizhang_core::feed::entry::Person;
use taizhang_core::id::{AuthorId, RecordId};
use taizhang_core::record::edit::KeyWrite;
use taizhang_core::record::value::Value;
use taizhang_core::rights::{RIGHT, RightOp, pool_id, spend_id};
use taizhang_core::time::UtcMillis;

use super::Engine;
use super::command::{CommandError, Found, refuse};
use crate::store::StoreError;

/// What a step needs beside its line.
#[derive(Debug, Default)]
pub(crate) struct StepRights {
    /// Id of the spend that the line cites.
    pub(crate) spends: String,
    /// Fields filled by the step.
    pub(crate) fields: Vec<KeyWrite>,
    /// Entries to write first.
    spend: Vec<(RecordId, Vec<KeyWrite>)>,
}

impl Engine {
    /// What a step spends, and the fields it fills. Nothing is written yet.
    pub(crate) fn step_rights(
        &mut self,
        found: &Found,
        step: &Transition,
        now: UtcMillis,
    ) -> Result<StepRights, CommandError> {
        let mut rights = StepRights::default();
        if step.office.is_none() && step.spend.is_none() && step.number.is_none() {
            return Ok(rights);
        }
        self.settle()?;
        if let Some(office) = &step.office {
            self.held_pool(&format!("office:{office}"), 1)?.map_or_else(
                || {
                    refuse(
                        "该步骤由指定的财务节点办理,本机不持有此职权",
                        "this step belongs to the replica that holds the office; it is not here",
                    )
                },
                |_| Ok(()),
            )?;
        }
        let year = found.row.business_date(&found.ledger).year;
        if let Some(spend) = &step.spend {
            let amount = found.row.fields.get(&spend.amount).and_then(Value::as_int).unwrap_or(0);
            if let Some(cap) = &spend.cap {
                self.within_cap(found, spend, cap, amount, year, &step.to, &mut rights)?;
            } else {
                let name = format!("{}:{year}", spend.pool);
                self.spend(&name, amount, found.id, &step.to, &mut rights)?;
            }
        }
        if let Some(number) = &step.number
            && !found.row.fields.contains_key(&number.field)
        {
            let first = self.spend(&number.series, 1, found.id, &step.to, &mut rights)?;
            let code = self.directives.tree.place(self.place());
            let code = code.map(|place| place.code_on(now.date()).to_owned()).unwrap_or_default();
            let text = format!("{}-{first:04}", code.get(..6).unwrap_or(&code));
            rights.fields.push((number.field.clone(), Some(text.into())));
        }
        Ok(rights)
    }

    /// A pool of that name of which the own author holds `amount`.
    fn held_pool(&self, name: &str, amount: i64) -> Result<Option<RecordId>, StoreError> {
        for pool in self.store.pools(name)? {
            if self.holding(pool, name, self.author)?.0 >= amount {
                return Ok(Some(pool));
            }
        }
        Ok(None)
    }

    fn spend(
        &mut self,
        name: &str,
        amount: i64,
        record: RecordId,
        step: &str,
        rights: &mut StepRights,
    ) -> Result<i64, CommandError> {
        let pool = match self.held_pool(name, amount)? {
            Some(pool) => pool,
            None => match self.store.pools(name)?.first() {
                Some(pool) => *pool,
                None => {
                    return refuse(
                        format!("尚未取得额度「{name}」;请由上级开立或划拨"),
                        format!("no share of `{name}` is held here; the office above opens it"),
                    );
                }
            },
        };
        let first = self.take_from(pool, name, amount)?;
        let (owner, name) = self.pool_of(pool)?;
        let mut keys = self.right_keys(RIGHT, RightOp::Spend, owner, &name, amount, first);
        keys.push(("cites".into(), Some(record.to_string().into())));
        let id = spend_id(pool, record, step);
        rights.spends = id.to_string();
        rights.spend.push((id, keys));
        Ok(first)
    }

    /// A cap for one value of a field and one year, kept by the office that pays.
    #[expect(clippy::too_many_arguments, reason = "the parts of one cap")]
    fn within_cap(
        &mut self,
        found: &Found,
        spend: &taizhang_core::catalogue::Spend,
        cap: &str,
        amount: i64,
        year: i32,
        step: &str,
        rights: &mut StepRights,
    ) -> Result<(), CommandError> {
        let day = found.row.business_date(&found.ledger);
        let limit = self.directives.param(cap, found.slice.place, day).value;
        let Some(limit) = limit.as_ref().and_then(Value::as_int) else { return Ok(()) };
        let name = format!("cap:{}:{}:{year}", spend.pool, found.row.text(&spend.by));
        let pool = pool_id(self.place(), &name);
        let own = |author: AuthorId| self.place_of(author) == Some(self.place());
        let spent = self.store.spent(pool, own)?;
        if spent.saturating_add(amount) > limit {
            let yuan = super::values::yuan;
            return refuse(
                format!(
                    "超控制额:本年已付{},本次{},上限{}",
                    yuan(spent),
                    yuan(amount),
                    yuan(limit)
                ),
                format!(
                    "above the cap: {} paid, {} now, {} allowed",
                    yuan(spent),
                    yuan(amount),
                    yuan(limit)
                ),
            );
        }
        let mut keys = self.right_keys(RIGHT, RightOp::Spend, self.place(), &name, amount, 0);
        keys.push(("cites".into(), Some(found.id.to_string().into())));
        let id = spend_id(pool, found.id, step);
        rights.spends = id.to_string();
        rights.spend.push((id, keys));
        Ok(())
    }

    /// Records the spends of a step, before the step cites them.
    pub(crate) fn record_spends(
        &mut self,
        rights: &mut StepRights,
        person: &Person,
        now: UtcMillis,
    ) -> Result<(), CommandError> {
        for (id, keys) in std::mem::take(&mut rights.spend) {
            self.put_right(id, keys, person, now)?;
        }
        Ok(())
    }
}
