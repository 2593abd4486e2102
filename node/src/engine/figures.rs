//! Figures proved against the rows that make them: `check --rollups`.

use std::collections::BTreeMap;

use taizhang_core::id::{RecordId, SliceId};
use taizhang_core::rules::Finding;
use taizhang_core::rules::figures::Additions;

use super::Engine;
use crate::store::StoreError;
use crate::store::rollups::Contribution;

/// Records proved in one step.
const STEP_RECORDS: usize = 500;
/// Problems named; more say nothing new.
const PROBLEMS_MAX: usize = 50;

/// What one step of a proof found.
#[derive(Debug, Default)]
pub struct Proof {
    /// Records looked at.
    pub records: u64,
    /// What is not as the rows say.
    pub problems: Vec<String>,
    /// Where to go on, if more remain.
    pub next: Option<i64>,
}

impl Engine {
    /// Evaluates rules and indicators of the next records anew, and compares with what is stored.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn check_additions(&mut self, from: i64) -> Result<Proof, StoreError> {
        self.settle()?;
        let mut proof = Proof::default();
        for (rowid, slice, record, ledger) in self.store.records_after(from, STEP_RECORDS)? {
            proof.next = Some(rowid);
            if ledger.starts_with("sys_") {
                continue;
            }
            proof.records += 1;
            let (additions, reach) = self.additions_of(slice, record)?;
            let top = self.above(slice).len().saturating_sub(reach);
            let expected =
                additions.into_iter().map(|(at, value)| (at, Contribution { value, reach, top }));
            let stored = self.store.contributions_of(slice.place, record)?;
            if !expected.eq(stored) && proof.problems.len() < PROBLEMS_MAX {
                proof.problems.push(format!(
                    "{ledger} {record} at {}: what it adds to figures is not what its row says",
                    slice.place
                ));
            }
        }
        Ok(proof)
    }

    /// What a record adds by its row as it stands, and how far up.
    fn additions_of(
        &self,
        slice: SliceId,
        record: RecordId,
    ) -> Result<(Additions, usize), StoreError> {
        let Some(row) = self.store.lookup().row_ever(slice, record)? else {
            return Ok(Default::default());
        };
        let Some(ledger) = self.directives.catalogue.ledger(&row.ledger) else {
            return Ok(Default::default());
        };
        let judged = self.judged(slice, record, ledger, &row, self.as_of()?)?;
        Ok((judged.additions, judged.reach))
    }

    /// What rules find on rows that have moved away. Nobody mends these, so it is not stored; but it
    /// tells how they counted.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn findings_of_moved(&mut self) -> Result<BTreeMap<RecordId, Vec<Finding>>, StoreError> {
        self.settle()?;
        let as_of = self.as_of()?;
        let mut found = BTreeMap::new();
        for (slice, record) in self.store.moved()? {
            let Some(row) = self.store.lookup().row_ever(slice, record)? else { continue };
            let ledger = self.directives.catalogue.ledger(&row.ledger);
            let Some(ledger) = ledger.filter(|_| row.moved.is_some()) else { continue };
            let around = self.around(slice);
            let evaluator = &self.evaluator;
            let findings = evaluator.findings_even_moved(ledger, &row, record, &around, as_of);
            found.insert(record, findings);
        }
        Ok(found)
    }

    /// Adds all sums up from the contributions, and compares with what is stored.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn check_sums(&self) -> Result<Vec<String>, StoreError> {
        let expected = self.store.added_up(|place| self.above(SliceId::ledger(place)))?;
        let stored = self.store.sums()?;
        let mut problems = Vec::new();
        for key in expected.keys().chain(stored.keys().filter(|key| !expected.contains_key(key))) {
            let (one, two) = (expected.get(key).copied(), stored.get(key).copied());
            if one != two && problems.len() < PROBLEMS_MAX {
                let (place, indicator, period) = key;
                let (one, two) = (one.unwrap_or(0), two.unwrap_or(0));
                problems.push(format!(
                    "{indicator} {period} of {place}: {two} is stored, the records make {one}"
                ));
            }
        }
        Ok(problems)
    }
}
