//! Requests about the network itself: places, replicas, rights, duplicates, entries held back.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use taizhang_core::feed::entry::Person;
use taizhang_core::id::{PlaceId, RecordId, SealKey};
use taizhang_core::place::event::PlaceEvent;
use taizhang_core::revocation::Reason;
use taizhang_core::rights::author_of;

use super::{OpsError, find_place};
use crate::driver::Replica;
use crate::engine::command::refuse;

/// What can be asked, as it is typed and as it is sent: places, replicas, rights, duplicates and entries
/// held back.
#[derive(Clone, Debug, Deserialize, Serialize, clap::Subcommand)]
#[serde(rename_all = "snake_case", tag = "what")]
pub enum OfficeRequest {
    /// Replicas in the roster / 节点名册
    Replicas,
    /// Revoke a replica's key: what is held of it counts, nothing later does / 吊销节点
    Revoke {
        /// Seal key, or its first characters (see `replicas`).
        key: String,
        /// replaced, lost or compromised.
        #[arg(long)]
        reason: String,
    },
    /// Publish a place event, at the city / 区划变更
    PlaceEvent {
        /// add, hand-over, merge, recode or rename.
        kind: String,
        /// Place id or code; of add the parent.
        place: String,
        /// New parent, successor, new code or new name.
        to: String,
        /// Of add, the new place's 12-digit code.
        #[arg(long, default_value = "")]
        code: String,
        /// First day, YYYY-MM-DD.
        #[arg(long)]
        from: String,
    },
    /// Move a record, and what refers to it, to another place / 迁移
    Move {
        /// Record id.
        id: RecordId,
        /// Place id or code.
        to: String,
        /// First day there.
        #[arg(long)]
        date: String,
        /// Why.
        #[arg(long)]
        reason: String,
    },
    /// Carry later edits of a moved record over to the new one / 转交
    CarryOver {
        /// The old record.
        id: RecordId,
    },
    /// Entries that do not count here / 未计入的修改
    HeldBack,
    /// Write one of them again in your name / 采纳
    Adopt {
        /// As listed.
        arrival: u64,
        /// As listed.
        entry: usize,
    },
    /// Records of one identity / 重复登记
    Duplicates,
    /// Decide on such a pair / 重复认定
    Same {
        /// As listed.
        item: String,
        /// They are not the same.
        #[arg(long)]
        different: bool,
        /// Why.
        #[arg(long)]
        reason: String,
    },
    /// Rights and who holds them / 额度
    Rights,
    /// Open a right at this office / 开立额度
    RightOpen {
        /// Name, e.g. industry_subsidy_total:2018, office:pay, workshop_no.
        name: String,
        /// Amount in its unit, money in fen.
        amount: i64,
    },
    /// Give a share away / 划拨额度
    RightTransfer {
        /// Pool, as listed.
        pool: RecordId,
        /// Seal key of the receiver, or its first characters.
        to: String,
        /// Amount.
        amount: i64,
    },
    /// Take back what a lost replica holds / 核销额度
    RightWriteOff {
        /// Pool, as listed.
        pool: RecordId,
        /// Holder, as listed.
        holder: String,
    },
}

impl Replica {
    fn key_of(&self, text: &str) -> Result<SealKey, OpsError> {
        let directives = self.directives();
        let mut found = directives.roster.keys().filter(|key| key.to_string().starts_with(text));
        match (found.next(), found.next()) {
            (Some(key), None) if !text.is_empty() => Ok(*key),
            (Some(_), Some(_)) => Ok(refuse(
                format!("「{text}」对应多个节点,请多写几位"),
                format!("`{text}` names several replicas; give more of it"),
            )?),
            _ => Ok(refuse(
                format!("名册中没有节点「{text}」"),
                format!("no replica `{text}` is in the roster"),
            )?),
        }
    }

    fn replicas(&self) -> Value {
        let directives = self.directives();
        let rows = directives.roster.values().map(|known| {
            let one = &known.certified;
            json!({
                "key": one.key, "replica": one.replica, "level": one.level, "place_id": one.place,
                "place": directives.tree.full_name(one.place),
                "revoked": directives.revoked.contains(one.key),
                "own": one.key == self.identity().seal_key(),
                "below": one.place != self.place()
                    && directives.tree.is_above_or_same(self.place(), one.place),
            })
        });
        json!({"rows": rows.collect::<Vec<_>>()})
    }

    fn event(&self, request: &OfficeRequest) -> Result<PlaceEvent, OpsError> {
        let OfficeRequest::PlaceEvent { kind, place, to, code, from } = request else {
            return Err(OpsError::Place(String::new()));
        };
        let directives = self.directives();
        let id = find_place(&directives, place)?;
        Ok(match kind.as_str() {
            "hand-over" => PlaceEvent::HandOver {
                place: id,
                to: find_place(&directives, to)?,
                line: Vec::new(),
                lists: Vec::new(),
            },
            "merge" => PlaceEvent::Merge { place: id, into: find_place(&directives, to)? },
            "recode" => PlaceEvent::Recode { place: id, code: to.clone() },
            "rename" => PlaceEvent::Rename { place: id, name: to.clone() },
            "add" => {
                let level = directives.tree.place(id).and_then(|parent| parent.level.below());
                let Some(level) = level else { return Err(OpsError::Place(place.clone())) };
                let dated = |value: &String| {
                    vec![taizhang_core::place::Dated { from: from.clone(), value: value.clone() }]
                };
                let mut new = PlaceId::default();
                crate::driver::machine::chance()(&mut new.0);
                let place = taizhang_core::place::Place {
                    id: new,
                    level,
                    names: dated(to),
                    codes: dated(code),
                };
                PlaceEvent::Add { parent: id, place }
            }
            other => {
                return Ok(refuse(
                    format!("没有「{other}」这种变更"),
                    format!("no event `{other}`: add, hand-over, merge, recode, rename"),
                )?);
            }
        })
    }

    /// Answers a request about the network.
    ///
    /// # Errors
    ///
    /// [`OpsError`].
    pub async fn office(&self, request: OfficeRequest, person: Person) -> Result<Value, OpsError> {
        use OfficeRequest as Ask;
        Ok(match request {
            Ask::Replicas => self.replicas(),
            Ask::Revoke { key, reason } => {
                let key = self.key_of(&key)?;
                let Some(reason) = Reason::parse(&reason) else {
                    return Ok(refuse(
                        "原因应为 replaced、lost 或 compromised",
                        "the reason is replaced, lost or compromised",
                    )?);
                };
                self.run(move |engine, now| engine.revoke(key, reason, &person, now)).await?;
                json!({"revoked": key})
            }
            Ask::PlaceEvent { ref from, .. } => {
                let (event, from) = (self.event(&request)?, from.clone());
                let place = event.place();
                self.run(move |engine, now| engine.place_event(event, &from, &person, now)).await?;
                json!({"place": place})
            }
            Ask::Move { id, to, date, reason } => {
                let to = find_place(&self.directives(), &to)?;
                let new = self
                    .run(move |engine, now| {
                        engine.move_record(id, to, &date, &reason, &person, now)
                    })
                    .await?;
                json!({"record": id, "new": new})
            }
            Ask::CarryOver { id } => {
                self.run(move |engine, now| engine.carry_over(id, &person, now)).await?;
                json!({"record": id})
            }
            Ask::HeldBack => {
                let mut rows = self.run(|engine, _| Ok(engine.held_back()?)).await?;
                // What does not count was judged by no field's privacy: the city sees none of its values.
                if super::mask::applies(self.identity().checked.name.level()) {
                    let writes = rows.iter_mut().flat_map(|row| &mut row.writes);
                    writes.for_each(|(_, value)| "***".clone_into(value));
                }
                json!({"rows": rows})
            }
            Ask::Adopt { arrival, entry } => {
                self.run(move |engine, now| engine.adopt(arrival, entry, &person, now)).await?;
                json!({"adopted": arrival})
            }
            Ask::Duplicates => {
                let rows = self.run(|engine, _| Ok(engine.duplicates()?)).await?;
                json!({"rows": rows})
            }
            Ask::Same { item, different, reason } => {
                let same = !different;
                self.run(move |engine, now| engine.decide_same(&item, same, &reason, &person, now))
                    .await?;
                json!({"decided": same})
            }
            other => return self.right(other, person).await,
        })
    }

    async fn right(&self, request: OfficeRequest, person: Person) -> Result<Value, OpsError> {
        use OfficeRequest as Ask;
        Ok(match request {
            Ask::RightOpen { name, amount } => {
                let pool = self
                    .run(move |engine, now| engine.open_right(&name, amount, &person, now))
                    .await?;
                json!({"pool": pool})
            }
            Ask::RightTransfer { pool, to, amount } => {
                let to = self.key_of(&to)?;
                self.run(move |engine, now| engine.transfer_right(pool, to, amount, &person, now))
                    .await?;
                json!({"pool": pool, "to": to, "amount": amount})
            }
            Ask::RightWriteOff { pool, holder } => {
                let Some(holder) = author_of(&holder) else {
                    return Ok(refuse(
                        "持有者应为96位十六进制",
                        "the holder is 96 hexadecimal characters",
                    )?);
                };
                let amount = self
                    .run(move |engine, now| engine.write_off_right(pool, holder, &person, now))
                    .await?;
                json!({"pool": pool, "amount": amount})
            }
            _ => {
                let directives = self.directives();
                let own = self.run(|engine, _| Ok(engine.author)).await?;
                let rows = self.run(|engine, _| Ok(engine.balances()?)).await?;
                let rows = rows.iter().map(|one| {
                    let place = super::answer::place_of(&directives, one.holder.key);
                    json!({
                        "name": one.name, "pool": one.pool, "amount": one.amount,
                        "holder": taizhang_core::rights::author_text(one.holder),
                        "place": place.map(|place| directives.tree.full_name(place)),
                        "own": one.holder == own,
                        "gone": directives.revoked.contains(one.holder.key)
                            || directives.closed.contains(&one.holder),
                        "uncovered": one.amount < 0,
                    })
                });
                json!({"rows": rows.collect::<Vec<_>>()})
            }
        })
    }
}
