//! Reports for pages and commands: drafts, frozen ones, recomputation.

use serde_json::{Value, json};
use taizhang_core::catalogue::Report;
use taizhang_core::feed::entry::Person;
use taizhang_core::id::RecordId;
use taizhang_core::record::attachment::BlobRef;

use super::OpsError;
use crate::driver::{Replica, clock};
use crate::engine::command::{CommandError, refuse};
use crate::report::due::filings;
use crate::report::freeze::Freeze;
use crate::report::make::Maker;
use crate::report::observe::observe;
use crate::report::period::Period;
use crate::report::verify::{Verdict, verify};
use crate::report::{FILING, Made};
use crate::store::StoreError;
use crate::store::blobs::blob_path;

/// What can be asked of reports.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case", tag = "what")]
pub enum ReportRequest {
    /// Declared reports and what is filed.
    List,
    /// The figures as of now.
    Draft {
        /// Report id.
        report: String,
        /// Period.
        period: String,
    },
    /// Keeps a report with everything that it was read from.
    Freeze {
        /// Report id.
        report: String,
        /// Period.
        period: String,
        /// Why there is another version.
        reason: String,
        /// Why it is late.
        late_reason: String,
        /// Who.
        person: Person,
    },
    /// Takes a step of a filing: `filed`, `received`, `revised`.
    Act {
        /// The filing.
        record: RecordId,
        /// State to enter.
        to: String,
        /// Why, where the step asks for it.
        reason: String,
        /// Who.
        person: Person,
    },
    /// Recomputes a frozen report.
    Verify {
        /// The filing.
        record: RecordId,
    },
}

impl Replica {
    /// A report as of now.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn draft_report(&self, report: &Report, period: Period) -> Result<Made, StoreError> {
        let directives = self.directives();
        let folder = self.folder().to_owned();
        let blobs = move |blob: BlobRef| std::fs::read(blob_path(&folder, blob.hash)).ok();
        self.readers().with(|reader| {
            let maker = Maker {
                reader,
                directives: &directives,
                place: self.place(),
                report,
                period,
                as_of: clock::now().date(),
                blobs: &blobs,
            };
            let mut made = maker.make()?;
            observe(&maker, &mut made, clock::now())?;
            Ok(made)
        })
    }

    /// Keeps a report with everything that it was read from.
    ///
    /// # Errors
    ///
    /// Why it cannot be frozen.
    pub async fn freeze_report(
        &self,
        ask: Freeze,
        person: Person,
    ) -> Result<RecordId, CommandError> {
        self.run_alone(move |engine, now| Ok(engine.freeze_report(&ask, &person, now))).await?
    }

    /// Recomputes a frozen report, beside the engine.
    ///
    /// # Errors
    ///
    /// If there is no such report.
    pub async fn verify_report(&self, record: RecordId) -> Result<Verdict, CommandError> {
        let (folder, identity) = (self.folder().to_owned(), self.identity());
        let work = tokio::task::spawn_blocking(move || verify(&folder, &identity, record));
        match work.await {
            Ok(verdict) => verdict,
            Err(error) => refuse(format!("核验中断:{error}"), format!("interrupted: {error}")),
        }
    }

    /// Answers what is asked of reports.
    ///
    /// # Errors
    ///
    /// [`OpsError`].
    pub(super) async fn report(&self, ask: ReportRequest) -> Result<Value, OpsError> {
        let directives = self.directives();
        match ask {
            ReportRequest::List => {
                let places = directives.tree.subtree(self.place());
                let filed = self.readers().with(|reader| filings(reader, &places))?;
                let declared: Vec<Value> = directives
                    .catalogue
                    .reports
                    .values()
                    .map(|one| json!({"id": one.id, "zh": one.label.zh, "en": one.label.en}))
                    .collect();
                Ok(json!({"declared": declared, "total": filed.len(), "rows": filed}))
            }
            ReportRequest::Draft { report, period } => {
                let Some(report) = directives.catalogue.reports.get(&report) else {
                    return Ok(refuse(format!("没有报表{report}"), format!("no report {report}"))?);
                };
                let Some(period) = Period::parse(report.every, &period) else {
                    return Ok(refuse("期间不对", "the period is wrong")?);
                };
                let made = self.draft_report(report, period)?;
                Ok(serde_json::to_value(made).unwrap_or_default())
            }
            ReportRequest::Freeze { report, period, reason, late_reason, person } => {
                let ask = Freeze { report, period, reason, late_reason };
                let record = self.freeze_report(ask, person).await?;
                Ok(json!({"record": record}))
            }
            ReportRequest::Act { record, to, reason, person } => {
                self.run(move |engine, now| {
                    if engine.find(record)?.ledger.id != FILING {
                        return refuse("不是报送登记", "the record is no filed report");
                    }
                    engine.act(record, &to, &reason, &person, now)
                })
                .await?;
                Ok(json!({"record": record}))
            }
            ReportRequest::Verify { record } => {
                let verdict = self.verify_report(record).await?;
                if verdict.problems.is_empty() {
                    return Ok(json!({"segments": verdict.segments, "problems": 0}));
                }
                Err(OpsError::Problems(verdict.problems))
            }
        }
    }
}
