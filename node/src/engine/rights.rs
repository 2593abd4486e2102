//! Rights: opening, granting, handing back, spending, writing off.

use taizhang_core::directives::Directives;
use taizhang_core::feed::entry::{Action, Person};
use taizhang_core::id::{AuthorId, FeedId, Lane, PlaceId, RecordId, SealKey, SliceId};
use taizhang_core::limits;
use taizhang_core::record::edit::{KeyWrite, creation};
use taizhang_core::record::fold::Row;
use taizhang_core::record::value::Value;
use taizhang_core::rights::{GRANT, RIGHT, RightOp, Run, author_of, author_text, pool_id};
use taizhang_core::time::UtcMillis;

use super::Engine;
use super::command::{CommandError, refuse};
use super::save::LocalEntry;
use crate::store::StoreError;
use crate::store::rights::Movement;

/// The movement that a row of a rights ledger states; the author is who created it.
pub(crate) fn movement_of(id: RecordId, row: &Row, directives: &Directives) -> Option<Movement> {
    let author = row.created.author;
    let owner: PlaceId = row.text("owner").parse().ok()?;
    let name = row.text("name");
    let bound = 0..=limits::RIGHT_AMOUNT_MAX;
    let number = |key: &str| row.fields.get(key).and_then(Value::as_int);
    let amount = number("amount").filter(|amount| *amount > 0 && bound.contains(amount))?;
    let first = number("first").filter(|first| bound.contains(first)).unwrap_or(0);
    let pool = pool_id(owner, &name);
    let other = author_of(&row.text("to"));
    let op = if row.ledger == GRANT { RightOp::Transfer } else { RightOp::parse(&row.text("op"))? };
    let place =
        |author: AuthorId| directives.roster.get(&author.key).map(|known| known.certified.place);
    let (id, from, to) = match op {
        RightOp::Open => {
            let own = row.created.place == owner && id == pool;
            (id, None, own.then_some(author))
        }
        RightOp::Spend => (id, Some(author), None),
        RightOp::Transfer if row.ledger == GRANT => {
            let repeats = row.text("transfer").parse().ok()?;
            let counted = if taizhang_core::sabotaged!(RightCountedTwice) { id } else { repeats };
            (counted, Some(author), other)
        }
        RightOp::Transfer => (id, Some(author), other),
        RightOp::WriteOff => {
            let gone = other?;
            // The remainder of a closed epoch moves by its own key's hand (DESIGN §3).
            let own = gone.key == author.key && directives.closed.contains(&gone);
            let above = place(gone)
                .is_some_and(|lost| directives.tree.is_above_or_same(row.created.place, lost));
            let lost = above && row.created.place == owner && directives.revoked.contains(gone.key);
            if !own && !lost {
                return None;
            }
            (id, Some(gone), Some(author))
        }
    };
    if to.is_none() && from.is_none() {
        return None;
    }
    Some(Movement { id, pool, name, op, from, to, amount, first })
}

impl Engine {
    pub(super) fn right_keys(
        &self,
        ledger: &str,
        op: RightOp,
        owner: PlaceId,
        name: &str,
        amount: i64,
        first: i64,
    ) -> Vec<KeyWrite> {
        vec![
            creation(ledger),
            ("op".into(), Some(op.name().into())),
            ("owner".into(), Some(owner.to_string().into())),
            ("name".into(), Some(name.into())),
            ("amount".into(), Some(amount.into())),
            ("first".into(), Some(first.into())),
        ]
    }

    pub(super) fn put_right(
        &mut self,
        record: RecordId,
        keys: Vec<KeyWrite>,
        person: &Person,
        now: UtcMillis,
    ) -> Result<(), CommandError> {
        let local = LocalEntry {
            slice: SliceId::ledger(self.place()),
            lane: Lane::Urgent,
            action: Action::Act,
            person,
            import: None,
        };
        self.save(&local, &[(record, keys)], now)?;
        Ok(self.settle()?)
    }

    /// Opens a pool at the own place. Only the place's first replica may, so that a budget is never
    /// opened twice while apart.
    ///
    /// # Errors
    ///
    /// If another replica of the place came first, or the pool is open.
    pub fn open_right(
        &mut self,
        name: &str,
        amount: i64,
        person: &Person,
        now: UtcMillis,
    ) -> Result<RecordId, CommandError> {
        if name.trim().is_empty() || name.starts_with("cap:") || amount <= 0 {
            return refuse("请填写名称和大于零的数额", "give a name and an amount above zero");
        }
        if name.starts_with("office:") && amount != 1 {
            return refuse("职权只有一份,数额为1", "an office is one: the amount is 1");
        }
        if amount > limits::RIGHT_AMOUNT_MAX {
            let max = limits::RIGHT_AMOUNT_MAX;
            return refuse(format!("数额不能超过{max}"), format!("an amount is at most {max}"));
        }
        if self.first_of_place() != Some(self.author.key) {
            return refuse(
                "额度由本单位首台节点开立,再划给其他节点",
                "a right is opened by the first replica of an office and then passed on",
            );
        }
        let (owner, pool) = (self.place(), pool_id(self.place(), name));
        self.settle()?;
        if self.store.movements(pool)?.iter().any(|one| one.op == RightOp::Open) {
            return refuse("该额度已开立", "this right is open already");
        }
        let keys = self.right_keys(RIGHT, RightOp::Open, owner, name, amount, 1);
        self.put_right(pool, keys, person, now)?;
        Ok(pool)
    }

    /// The replica of the own place that was enrolled first and is not revoked.
    fn first_of_place(&self) -> Option<SealKey> {
        let own = self.directives.roster.iter().filter(|(key, known)| {
            known.certified.place == self.place() && !self.directives.revoked.contains(**key)
        });
        own.min_by_key(|(key, known)| (known.lamport, **key)).map(|(key, _)| *key)
    }

    /// What every author holds of every pool, those under work included.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn balances(&mut self) -> Result<Vec<crate::store::rights::Balance>, StoreError> {
        self.settle()?;
        self.store.balances()
    }

    /// Gives an amount of a pool to another author: of this place, of one below, or of one above.
    ///
    /// # Errors
    ///
    /// If less is held here, or the receiver is no such office.
    pub fn transfer_right(
        &mut self,
        pool: RecordId,
        to: SealKey,
        amount: i64,
        person: &Person,
        now: UtcMillis,
    ) -> Result<RecordId, CommandError> {
        let Some(place) = self.directives.roster.get(&to).map(|known| known.certified.place) else {
            return refuse("名册中没有这个节点", "no such replica is in the roster");
        };
        let tree = &self.directives.tree;
        let related = tree.is_above_or_same(self.place(), place)
            || tree.is_above_or_same(place, self.place());
        let epoch = self.store.last_epoch(to)?;
        let (Some(epoch), true, false) =
            (epoch, related, self.directives.revoked.contains(to) || to == self.author.key)
        else {
            return refuse(
                "只能划给本单位、上级或下级在用的节点",
                "rights go to replicas in use of this office, of one above or one below",
            );
        };
        let to = AuthorId { key: to, epoch };
        let (owner, name) = self.pool_of(pool)?;
        let first = self.take_from(pool, &name, amount)?;
        let mut keys = self.right_keys(RIGHT, RightOp::Transfer, owner, &name, amount, first);
        keys.push(("to".into(), Some(author_text(to).into())));
        let record = RecordId(self.random());
        self.put_right(record, keys, person, now)?;
        if place != self.place() && self.directives.tree.is_above_or_same(self.place(), place) {
            let mut keys = self.right_keys(GRANT, RightOp::Transfer, owner, &name, amount, first);
            keys.push(("to".into(), Some(author_text(to).into())));
            keys.push(("transfer".into(), Some(record.to_string().into())));
            let grant = RecordId(self.random());
            self.directive(place, Action::Directive, person, grant, keys, now)?;
            self.project_own_directives(now)?;
        }
        Ok(record)
    }

    /// Takes back the remainder of a holder whose key is revoked: a person states that the machine is
    /// gone. Only the first replica of the office that opened the pool may, and only when all that
    /// counts of the holder is here, so that nothing comes back twice. A replica itself takes over
    /// what its own closed epochs held.
    ///
    /// # Errors
    ///
    /// If the holder may still spend, something of it is still under way, or nothing is left.
    pub fn write_off_right(
        &mut self,
        pool: RecordId,
        holder: AuthorId,
        person: &Person,
        now: UtcMillis,
    ) -> Result<i64, CommandError> {
        let own = holder.key == self.author.key && self.directives.closed.contains(&holder);
        if !own && !self.directives.revoked.contains(holder.key) {
            return refuse(
                "该节点仍可使用额度;请先吊销其证书",
                "this replica may still spend; revoke its key first",
            );
        }
        let (owner, name) = self.pool_of(pool)?;
        if !own && (owner != self.place() || self.first_of_place() != Some(self.author.key)) {
            return refuse(
                "额度由开立单位的首台节点核销",
                "a right is written off by the first replica of the office that opened it",
            );
        }
        let under_way = |(feed, count): (FeedId, u64)| self.held.head(feed).count < count;
        if self.is_behind()? || self.directives.revoked.counted(holder.key).any(under_way) {
            return refuse(
                "该节点吊销前的记录尚未全部到达,请待同步完成后核销",
                "not all that counts of this replica has arrived here; wait for it",
            );
        }
        let (mut amount, runs) = self.holding(pool, &name, holder)?;
        if !own {
            // What one of its epochs overspent, another had: its work was written again (DESIGN §4).
            amount = amount.min(self.store.held_by_key(pool, holder.key)?);
        }
        if amount <= 0 {
            return refuse("该节点没有剩余额度", "nothing is left with this replica");
        }
        let parts = if self.is_series(&name) { runs } else { vec![(0, amount)] };
        for (first, amount) in parts {
            let mut keys = self.right_keys(RIGHT, RightOp::WriteOff, owner, &name, amount, first);
            keys.push(("to".into(), Some(author_text(holder).into())));
            let record = RecordId(self.random());
            self.put_right(record, keys, person, now)?;
        }
        let text = format!("{amount} of {name} held by {holder}");
        self.store.audit("right written off", &text, now)?;
        Ok(amount)
    }

    pub(super) fn pool_of(&mut self, pool: RecordId) -> Result<(PlaceId, String), CommandError> {
        self.settle()?;
        let name = self.store.movements(pool)?.first().map(|one| one.name.clone());
        let places = self.directives.tree.iter().map(|place| place.id);
        let found = name.and_then(|name| {
            let owner = places.into_iter().find(|place| pool_id(*place, &name) == pool)?;
            Some((owner, name))
        });
        found.map_or_else(|| refuse("没有这个额度", "no such right is known here"), Ok)
    }

    /// Whether a pool of that name holds numbers, not an amount.
    fn is_series(&self, name: &str) -> bool {
        let flows =
            self.directives.catalogue.ledgers.values().filter_map(|one| one.workflow.as_ref());
        flows
            .flat_map(|flow| &flow.transitions)
            .any(|step| step.number.as_ref().is_some_and(|number| number.series == name))
    }

    pub(super) fn place_of(&self, author: AuthorId) -> Option<PlaceId> {
        self.directives.roster.get(&author.key).map(|known| known.certified.place)
    }

    /// What an author holds of a pool, and of a series its runs. All that offices below have moved stands
    /// here, so what they hand up, or take over from an epoch of their own, counts as far as they had it.
    pub(super) fn holding(
        &self,
        pool: RecordId,
        name: &str,
        holder: AuthorId,
    ) -> Result<(i64, Vec<Run>), StoreError> {
        let tree = &self.directives.tree;
        let is_checked =
            |giver: AuthorId, taker: AuthorId| match (self.place_of(giver), self.place_of(taker)) {
                (Some(from), Some(to)) => {
                    giver.key == taker.key || (from != to && tree.is_above_or_same(to, from))
                }
                _ => true,
            };
        self.store.holding(pool, holder, self.is_series(name), is_checked)
    }

    /// Checks that so much is held here; gives the first number to take, of a series.
    pub(super) fn take_from(
        &self,
        pool: RecordId,
        name: &str,
        amount: i64,
    ) -> Result<i64, CommandError> {
        let (held, runs) = self.holding(pool, name, self.author)?;
        let held = if taizhang_core::sabotaged!(RightSpentTwice) { i64::MAX } else { held };
        if amount <= 0 || held < amount {
            return refuse(
                format!("额度不足:本机剩余{held},需要{amount};请向上级申请划拨"),
                format!("this replica holds {held}, {amount} is needed; ask the office above"),
            );
        }
        let run = runs.iter().find(|run| run.1 >= amount);
        if run.is_none() && self.is_series(name) {
            let longest = runs.iter().map(|run| run.1).max().unwrap_or(0);
            return refuse(
                format!("号段不连续:一次最多划拨{longest}个"),
                format!("the numbers held are in pieces: at most {longest} at once"),
            );
        }
        Ok(run.or_else(|| runs.first()).map_or(0, |run| run.0))
    }
}
