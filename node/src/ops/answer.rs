//! Answers to requests.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use taizhang_core::directives::Directives;
use taizhang_core::id::{Level, PlaceId, RecordId, SealKey, SliceId, SliceKind};
use taizhang_core::policy::Signed;
use taizhang_core::record::change::Op;
use taizhang_core::record::log::RecordLog;
use taizhang_core::time::UtcMillis;

use super::{OpsError, Progress, Request, find_place, import, mask, sums};
use crate::driver::{Replica, clock};
use crate::engine::draft::check_second;
use crate::engine::values::Source;
use crate::store::read::{ListQuery, Listed};
use crate::viewer::Viewer;

/// Records acted on in one group.
const ACT_CHUNK: usize = 500;

impl Replica {
    /// Answers a request.
    ///
    /// # Errors
    ///
    /// [`OpsError`].
    pub async fn answer(&self, request: Request, progress: Progress) -> Result<Value, OpsError> {
        if let Request::List { ledger, .. }
        | Request::Act { ledger, .. }
        | Request::Export { ledger, .. } = &request
            && !ledger.is_empty()
        {
            let ledger = ledger.clone();
            self.run(move |engine, _| engine.ledger(&ledger).map(|_| ())).await?;
        }
        match request {
            Request::Status => self.status(),
            Request::Stop => {
                self.close();
                Ok(json!({"stopping": true}))
            }
            Request::SyncNow => {
                self.sync_now();
                Ok(json!({"dialling": true}))
            }
            Request::Hashes => self.hashes().await,
            Request::Check { rollups } => self.check(rollups, progress).await,
            Request::Rebuild => {
                self.run_alone(|engine, now| engine.rebuild(now)).await?;
                self.hashes().await
            }
            Request::Audit => self.audit_lines(),
            Request::List { ledger, place, search, state, limit } => {
                let place = place.map(|text| find_place(&self.directives(), &text)).transpose()?;
                let query = ListQuery { ledger, place, search, state, limit, ..Default::default() };
                let (mut rows, total) = self.readers().with(|reader| reader.list(&query))?;
                rows.iter_mut().for_each(|row| self.mask(row));
                Ok(json!({"total": total, "rows": rows.iter().map(listed).collect::<Vec<_>>()}))
            }
            Request::Show { id } => self.show(id),
            Request::History { id } => self.history(id),
            Request::Conflicts => {
                let mut rows = self.readers().with(|reader| reader.conflicts())?;
                rows.iter_mut().for_each(|row| self.mask(row));
                let rows = rows.iter().map(|row| {
                    let conflicts = row.row.as_ref().map(|row| &row.conflicts);
                    json!({"record": row.record, "title": row.title, "conflicts": conflicts})
                });
                Ok(json!({"rows": rows.collect::<Vec<_>>()}))
            }
            Request::Import { path, ledger, preview, person } => {
                import::import(self, &path, &ledger, preview, person, progress).await
            }
            Request::Export { ledger, id, path } => self.export(&ledger, id, &path),
            Request::Token { ask } => self.tokens(ask, "this machine").await,
            Request::FiguresDump { path } => self.figures_dump(path).await,
            Request::Report { ask } => self.report(ask).await,
            Request::Rollup { place } => self.rollup(self.place_or_own(place)?),
            Request::Places { under } => self.places(under),
            Request::PolicyList => Ok(self.policy_list()),
            Request::PolicyReach { doc_no } => self.policy_reach(&doc_no),
            Request::Office { request, person } => self.office(request, person).await,
            Request::Account { ask } => self.account(ask).await,
            Request::BundleExport { to, path, all } => self.bundle_export(&to, &path, all).await,
            Request::BundleImport { paths } => self.bundle_import(&paths).await,
            Request::AdmitFile { place, request, answer } => {
                self.admit_file(&place, &request, &answer).await
            }
            Request::Backup { path } => self.backup(&path).await,
            other => self.write(other, progress).await,
        }
    }

    async fn write(&self, request: Request, progress: Progress) -> Result<Value, OpsError> {
        match request {
            Request::Create { ledger, place, inputs, person } => {
                let place = self.place_or_own(place)?;
                let id = self
                    .run(move |engine, now| {
                        let kind = engine.ledger(&ledger)?.slice;
                        let slice = SliceId { kind, place };
                        engine.create(slice, &ledger, &inputs, Source::Data, &person, None, now)
                    })
                    .await?;
                Ok(json!({"record": id}))
            }
            Request::Set { id, inputs, person } => {
                let changed = self
                    .run(move |engine, now| engine.set(id, &inputs, Source::Data, &person, now))
                    .await?;
                Ok(json!({"record": id, "changed": changed}))
            }
            Request::Act { id, ledger, in_state, to, reason, person } => {
                let ids = match id {
                    Some(id) => vec![id],
                    None => self.in_state(&ledger, &in_state)?,
                };
                let total = ids.len();
                for (at, chunk) in ids.chunks(ACT_CHUNK).enumerate() {
                    let (chunk, to, reason, person) =
                        (chunk.to_vec(), to.clone(), reason.clone(), person.clone());
                    self.run(move |engine, now| {
                        chunk.iter().try_for_each(|id| engine.act(*id, &to, &reason, &person, now))
                    })
                    .await?;
                    progress("act", ((at + 1) * ACT_CHUNK).min(total) as u64, total as u64);
                }
                Ok(json!({"records": total, "state": to}))
            }
            Request::Resolve { id, field, choice, person } => {
                self.run(move |engine, now| engine.resolve(id, &field, &choice, &person, now))
                    .await?;
                Ok(json!({"record": id}))
            }
            Request::Void { id, reason, person } => {
                self.run(move |engine, now| engine.void(id, reason.as_deref(), &person, now))
                    .await?;
                Ok(json!({"record": id}))
            }
            other => self.direct(other).await,
        }
    }

    /// Requests of hubs.
    async fn direct(&self, request: Request) -> Result<Value, OpsError> {
        match request {
            Request::PolicyPublish { policy, person, approved_by } => {
                let doc_no = policy.doc_no.clone();
                let record = self
                    .run(move |engine, now| {
                        if approved_by.trim().is_empty() && engine.directives.policies.is_empty() {
                            return engine.publish_policy(&policy, &person, now);
                        }
                        check_second([person.name.as_str()], &approved_by)?;
                        let (draft, drafter) = (String::new(), person.name.clone());
                        let signed = Signed { draft, drafter, approver: approved_by };
                        engine.publish_signed(&policy, &signed, &person, now)
                    })
                    .await?;
                Ok(json!({"record": record, "doc_no": doc_no}))
            }
            Request::CataloguePublish { parts, person } => {
                let count = parts.len();
                let parts: Vec<_> = parts
                    .into_iter()
                    .map(|(name, source)| taizhang_core::catalogue::parse::Part { name, source })
                    .collect();
                self.run(move |engine, now| engine.publish_parts(&parts, &person, now)).await?;
                Ok(json!({"parts": count}))
            }
            Request::Invite { place, addresses, hours } => {
                let place = find_place(&self.directives(), &place)?;
                let code = self
                    .run(move |engine, now| engine.invite(place, addresses, hours, now))
                    .await?;
                let expires = code.expires.local_text();
                Ok(json!({"place": place, "code": code.to_text(), "expires": expires}))
            }
            _ => Ok(Value::Null),
        }
    }

    fn place_or_own(&self, place: Option<String>) -> Result<PlaceId, OpsError> {
        place.map_or(Ok(self.place()), |text| find_place(&self.directives(), &text))
    }

    fn in_state(&self, ledger: &str, state: &str) -> Result<Vec<RecordId>, OpsError> {
        let query = ListQuery {
            ledger: ledger.to_owned(),
            state: state.to_owned(),
            limit: 1_000_000,
            ..Default::default()
        };
        let (rows, _) = self.readers().with(|reader| reader.list(&query))?;
        Ok(rows.into_iter().filter(|row| !row.is_void).map(|row| row.record).collect())
    }

    fn audit_lines(&self) -> Result<Value, OpsError> {
        let lines = self.readers().with(|reader| reader.audit(200))?;
        let rows: Vec<Value> = lines
            .into_iter()
            .map(
                |(time, kind, text)| json!({"time": time.local_text(), "kind": kind, "text": text}),
            )
            .collect();
        Ok(json!({"rows": rows}))
    }

    /// Badge and counts.
    ///
    /// # Errors
    ///
    /// [`OpsError`].
    pub fn status(&self) -> Result<Value, OpsError> {
        let badge = self.badge()?;
        let directives = self.directives();
        let (ledgers, rules, masked) = self.readers().with(|reader| {
            Ok((reader.ledger_counts()?, reader.rule_counts()?, reader.masked_counts()?))
        })?;
        let ledgers: BTreeMap<String, u64> =
            ledgers.into_iter().filter(|(id, _)| !id.starts_with("sys_")).collect();
        let rules: BTreeMap<String, Value> = rules
            .into_iter()
            .map(|(rule, failed, unchecked)| {
                (rule, json!({"failed": failed, "unchecked": unchecked}))
            })
            .collect();
        let name = &self.identity().checked.name;
        let defects: Vec<String> =
            directives.catalogue_errors.iter().map(ToString::to_string).collect();
        Ok(json!({
            "place": directives.tree.full_name(name.place()),
            "place_id": name.place(),
            "level": name.level(),
            "replica": name.replica,
            "badge": badge,
            "links": self.links(),
            "records": ledgers,
            "rules": rules,
            "parked": masked.0,
            "void": masked.1,
            "catalogue_defects": defects,
        }))
    }

    async fn hashes(&self) -> Result<Value, OpsError> {
        self.run(|engine, now| Ok(engine.flush(now)?)).await?;
        let rows = self.readers().with(|reader| {
            let mut rows = Vec::new();
            for slice in reader.slices()? {
                let hash = reader.slice_hash(slice)?;
                rows.push(json!({"slice": slice.to_string(), "hash": hash}));
            }
            Ok(rows)
        })?;
        Ok(json!({"rows": rows}))
    }

    /// Proves segments, and that every figure is what its records say, from the rows on.
    async fn check(&self, rollups_only: bool, progress: Progress) -> Result<Value, OpsError> {
        let (mut segments, mut problems) = (0, Vec::new());
        if !rollups_only {
            progress("segments", 0, 1);
            (segments, problems) = self.run(|engine, _| Ok(engine.store.check_segments()?)).await?;
            progress("segments", 1, 1);
        }
        let (mut cursor, mut records) = (Some(0), 0);
        while let Some(from) = cursor {
            let step = self.run(move |engine, _| Ok(engine.check_additions(from)?)).await?;
            records += step.records;
            problems.extend(step.problems);
            cursor = step.next;
            progress("records", records, 0);
        }
        problems.extend(self.run(|engine, _| Ok(engine.check_sums()?)).await?);
        if problems.is_empty() {
            Ok(json!({"segments": segments, "records": records, "problems": 0}))
        } else {
            Err(OpsError::Problems(problems))
        }
    }

    /// Masks a list line for this office's level.
    fn mask(&self, listed: &mut Listed) {
        let level = self.identity().checked.name.level();
        let directives = self.directives();
        let ledger = directives.catalogue.ledger(&listed.ledger);
        if let (Some(row), Some(ledger)) = (&mut listed.row, ledger) {
            mask::row(row, ledger, level, &directives.catalogue);
            listed.title = Viewer::machine(level).title(&listed.title, ledger);
        }
    }

    fn show(&self, id: RecordId) -> Result<Value, OpsError> {
        let mut detail =
            self.readers().with(|reader| reader.detail(id))?.ok_or(OpsError::Record(id))?;
        let directives = self.directives();
        if let Some(ledger) = directives.catalogue.ledger(&detail.ledger) {
            let level = self.identity().checked.name.level();
            mask::row(&mut detail.row, ledger, level, &directives.catalogue);
        }
        let receipts = self.record_receipts(detail.slice, &detail.log)?;
        let findings = detail.findings.iter().map(|(rule, severity, outcome, reason)| {
            json!({"rule": rule, "severity": severity, "outcome": outcome, "reason": reason})
        });
        Ok(json!({
            "record": id,
            "slice": detail.slice.to_string(),
            "ledger": detail.ledger,
            "row": detail.row,
            "findings": findings.collect::<Vec<_>>(),
            "receipts": receipts,
        }))
    }

    fn history(&self, id: RecordId) -> Result<Value, OpsError> {
        let detail =
            self.readers().with(|reader| reader.detail(id))?.ok_or(OpsError::Record(id))?;
        let directives = self.directives();
        let ledger = directives.catalogue.ledger(&detail.ledger);
        let level = self.identity().checked.name.level();
        let rows = detail.log.changes.iter().map(|change| {
            let origin = &change.origin;
            let seen = |key: &str, value: &taizhang_core::record::value::Value| match ledger {
                Some(ledger) => mask::value(ledger, key, value, level, &directives.catalogue),
                None => value.clone(),
            };
            let named = |key: &str| match ledger {
                Some(ledger) => mask::key(ledger, key, level),
                None => key.to_owned(),
            };
            let value = |op: &Op| json!(op.value.as_ref().map(|one| seen(&op.key, one)));
            let writes: BTreeMap<String, Value> =
                change.ops.iter().map(|op| (named(&op.key), value(op))).collect();
            json!({
                "time": origin.time.local_text(),
                "place": directives.tree.full_name(origin.place),
                "level": origin.level,
                "person": origin.person.name,
                "role": origin.person.role,
                "device": origin.author.key.short(),
                "counted": origin.counted,
                "writes": writes,
            })
        });
        Ok(json!({"record": id, "rows": rows.collect::<Vec<_>>()}))
    }

    /// When the offices on the path of a record's place had all of it, by their receipts.
    pub(crate) fn record_receipts(
        &self,
        slice: SliceId,
        log: &RecordLog,
    ) -> Result<Vec<(Level, Option<UtcMillis>)>, OpsError> {
        let directives = self.directives();
        let (positions, receipts) =
            self.readers().with(|reader| Ok((reader.positions(log)?, reader.receipts(slice)?)))?;
        let path = directives.tree.path(slice.place);
        let mut found = Vec::new();
        for place in path.iter().rev() {
            let Some(level) = directives.tree.place(*place).map(|place| place.level) else {
                continue;
            };
            let covering = receipts.iter().filter(|receipt| {
                place_of(&directives, receipt.issuer.key) == Some(*place)
                    && positions.iter().all(|position| {
                        position.is_some_and(|(feed, number)| {
                            receipt.held.head(feed.lane, feed.author).count > number
                        })
                    })
            });
            let time = if *place == self.place() {
                log.changes.iter().map(|change| change.origin.time).max()
            } else {
                covering.map(|receipt| receipt.time).min()
            };
            found.push((level, time));
        }
        Ok(found)
    }

    fn export(
        &self,
        ledger: &str,
        id: Option<RecordId>,
        path: &std::path::Path,
    ) -> Result<Value, OpsError> {
        let file = |reason: String| OpsError::File { path: path.to_owned(), reason };
        if let Some(id) = id {
            if mask::applies(self.identity().checked.name.level()) {
                return Err(file(
                    "the city exports no record of single people / 市级不导出个人记录".into(),
                ));
            }
            let changes = self.readers().with(|reader| {
                let Some(detail) = reader.detail(id)? else { return Ok(None) };
                reader.raw_changes(id, &detail.log).map(Some)
            })?;
            let changes = changes.ok_or(OpsError::Record(id))?;
            let count = changes.len();
            let bytes = taizhang_core::record::edit::document(changes).map_err(file)?;
            std::fs::write(path, bytes).map_err(|error| file(error.to_string()))?;
            return Ok(json!({"record": id, "changes": count, "file": path}));
        }
        let mut text = String::new();
        let (mut offset, mut count) = (0, 0);
        loop {
            let query =
                ListQuery { ledger: ledger.to_owned(), limit: 1000, offset, ..Default::default() };
            let (mut rows, _) = self.readers().with(|reader| reader.list(&query))?;
            if rows.is_empty() {
                break;
            }
            rows.iter_mut().for_each(|row| self.mask(row));
            offset += rows.len();
            for row in rows.iter().filter(|row| !row.is_void) {
                text.push_str(&listed(row).to_string());
                text.push('\n');
                count += 1;
            }
        }
        std::fs::write(path, text).map_err(|error| file(error.to_string()))?;
        Ok(json!({"records": count, "file": path}))
    }

    /// Sums of a place and its children, each with coverage.
    ///
    /// # Errors
    ///
    /// [`OpsError`].
    pub fn rollup(&self, place: PlaceId) -> Result<Value, OpsError> {
        let directives = self.directives();
        let fresh = self.freshness()?;
        let mut rows = Vec::new();
        for id in std::iter::once(place).chain(directives.tree.children(place)) {
            let coverage = self.coverage_of(id, &fresh);
            let values = self.readers().with(|reader| Ok(sums(reader.rollup(id)?)))?;
            let name = directives.tree.place(id).map(|place| place.name().to_owned());
            rows.push(
                json!({"place": name, "place_id": id, "values": values, "coverage": coverage}),
            );
        }
        Ok(json!({"as_of": clock::now().local_text(), "rows": rows}))
    }

    fn places(&self, under: Option<String>) -> Result<Value, OpsError> {
        let directives = self.directives();
        let list = match under {
            Some(text) => directives.tree.children(find_place(&directives, &text)?),
            None => directives.tree.iter().map(|place| place.id).collect(),
        };
        let rows: Vec<Value> = list
            .iter()
            .filter_map(|id| directives.tree.place(*id))
            .map(|one| {
                json!({"id": one.id, "code": one.code(), "name": one.name(), "level": one.level})
            })
            .collect();
        Ok(json!({"total": rows.len(), "rows": rows}))
    }

    fn policy_list(&self) -> Value {
        let directives = self.directives();
        let versions: Vec<Value> = directives
            .policies
            .values()
            .flatten()
            .map(|version| {
                json!({
                    "doc_no": version.doc_no,
                    "title": version.title,
                    "place": directives.tree.full_name(version.place),
                    "effective_from": version.effective_from,
                    "values": version.values,
                    "record": version.record,
                })
            })
            .collect();
        let today = clock::now().date();
        let rows: Vec<Value> = directives
            .catalogue
            .params
            .values()
            .map(|param| {
                let found = directives.param(&param.id, self.place(), today);
                let local = found.local.map(|(value, _)| value);
                json!({
                    "param": param.id, "zh": param.label.zh, "value": found.value,
                    "local": local, "overridden": found.overridden,
                })
            })
            .collect();
        json!({"versions": versions, "rows": rows})
    }

    fn policy_reach(&self, doc_no: &str) -> Result<Value, OpsError> {
        let directives = self.directives();
        let mut versions: Vec<_> = directives.policies.values().flatten().collect();
        versions.retain(|version| doc_no.is_empty() || version.doc_no == doc_no);
        versions.sort_by_key(|version| std::cmp::Reverse((version.published, version.record)));
        let rows: Result<Vec<Value>, OpsError> = versions
            .into_iter()
            .map(|version| Ok(json!(self.reach_of(&directives, version)?)))
            .collect();
        Ok(json!({"rows": rows?}))
    }
}

/// The place of a key, by the roster.
pub(crate) fn place_of(directives: &Directives, key: SealKey) -> Option<PlaceId> {
    directives.roster.get(&key).map(|known| known.certified.place)
}

/// A list line as JSON.
fn listed(row: &Listed) -> Value {
    let fields = row.row.as_ref().map(|row| {
        let mut fields = json!(row.fields);
        if let Value::Object(map) = &mut fields {
            for (id, set) in &row.sets {
                map.insert(id.clone(), json!(set));
            }
            for (id, lines) in &row.logs {
                let lines: Vec<_> = lines.iter().map(|line| &line.columns).collect();
                map.insert(id.clone(), json!(lines));
            }
        }
        fields
    });
    let kind = if row.slice.kind == SliceKind::Ledger { "ledger" } else { "directive" };
    json!({
        "record": row.record, "ledger": row.ledger, "title": row.title, "state": row.state,
        "conflicts": row.conflicts, "findings": row.findings, "void": row.is_void,
        "place": row.slice.place, "kind": kind, "changed": row.changed.local_text(),
        "fields": fields,
    })
}
