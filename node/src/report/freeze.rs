//! Freezing: the figures and the frontier of everything read, by content address, filed as a record.

use taizhang_core::catalogue::Report;
use taizhang_core::feed::entry::Person;
use taizhang_core::id::{RecordId, SliceId, hex};
use taizhang_core::limits::FRONTIER_HEADS_MAX;
use taizhang_core::record::attachment::{Attachment, BlobRef, Media};
use taizhang_core::time::{Date, UtcMillis};

use super::due::{due_on, units, versions};
use super::make::Maker;
use super::observe::observe;
use super::period::Period;
use super::{FILING, Made, frontier};
use crate::engine::Engine;
use crate::engine::command::{CommandError, Inputs, refuse};
use crate::engine::values::Source;
use crate::store::StoreError;
use crate::store::blobs::blob_path;
use crate::store::read::Readers;

/// The parameter with the days after a period in which its data still enter, before its report is due.
const GRACE: &str = "late_data_grace_days";

/// Characters of the names of units in a filing.
const UNITS_CHARS_MAX: usize = 200;

/// What to freeze.
#[derive(Clone, Debug)]
pub struct Freeze {
    /// Report id.
    pub report: String,
    /// Period, as [`Period::parse`] reads it.
    pub period: String,
    /// Why there is another version; empty for the first.
    pub reason: String,
    /// Why it is late, if it is.
    pub late_reason: String,
}

/// The first day on which a report may be frozen.
fn first_day(period: Period, grace_days: i64, due: Option<Date>) -> Date {
    let first = period.last().plus_days(grace_days + 1);
    due.map_or(first, |due| first.min(due))
}

impl Engine {
    fn report_of(
        &self,
        report: &str,
        period: &str,
    ) -> Result<(std::sync::Arc<Report>, Period), CommandError> {
        let Some(report) = self.directives.catalogue.reports.get(report) else {
            return refuse(format!("没有报表{report}"), format!("no report {report}"));
        };
        if !report.by.contains(&self.level()) {
            return refuse("这份报表不由本级编制", "this level does not make that report");
        }
        let Some(period) = Period::parse(report.every, period) else {
            return refuse(
                format!("期间「{period}」不对,应如2018-05、2018-Q2、2018"),
                format!("`{period}` is no period of it, such as 2018-05, 2018-Q2 or 2018"),
            );
        };
        Ok((std::sync::Arc::clone(report), period))
    }

    /// Until when the own report of a period is due.
    fn due(
        &self,
        readers: &Readers,
        report: &Report,
        period: Period,
    ) -> Result<Option<Date>, StoreError> {
        let calendar = readers.with(|reader| reader.calendar())?;
        Ok(due_on(&self.directives, &calendar, report, self.place(), period))
    }

    /// That the days have passed in which data of the period still enter its report: what comes later is
    /// late (R-RPT-04). They end before the day on which the report is due, rolled as it may be, so that nobody
    /// is late for having waited.
    fn grace_is_over(
        &self,
        readers: &Readers,
        report: &Report,
        period: Period,
        today: Date,
    ) -> Result<(), CommandError> {
        let due = self.due(readers, report, period)?;
        let grace = self.directives.param(GRACE, self.place(), period.last()).value;
        let days = grace.and_then(|value| value.as_int()).unwrap_or(0);
        let first = first_day(period, days, due);
        if first > today {
            return refuse(
                format!("本期数据可补入到{}日,{first}起可以定稿", first.plus_days(-1)),
                format!("data of the period still enter; it can be frozen from {first}"),
            );
        }
        Ok(())
    }

    fn heads_fit(&self) -> Result<(), CommandError> {
        let heads: usize = self.held.slices.values().map(|one| one.heads.len()).sum();
        if heads > FRONTIER_HEADS_MAX {
            return refuse(
                format!("数据来源超过{FRONTIER_HEADS_MAX}条"),
                format!("it was read from more than {FRONTIER_HEADS_MAX} feeds"),
            );
        }
        Ok(())
    }

    /// Makes a report from everything that is here, and keeps it with what it was read from. Makes its
    /// own transactions; writing waits meanwhile.
    ///
    /// # Errors
    ///
    /// If the period is not over, figures do not balance, or a further version gives no reason.
    pub fn freeze_report(
        &mut self,
        ask: &Freeze,
        person: &Person,
        now: UtcMillis,
    ) -> Result<RecordId, CommandError> {
        let (report, period) = self.report_of(&ask.report, &ask.period)?;
        if period.last() >= now.date() {
            return refuse("本期尚未结束,不能定稿", "the period is not over yet");
        }
        let (readers, place) = (Readers::new(self.store.folder()), self.place());
        self.grace_is_over(&readers, &report, period, now.date())?;
        self.come_to_rest(now)?;
        let text = period.to_string();
        let made_before = readers.with(|reader| versions(reader, place, &report.id, &text))?;
        let version = 1 + made_before;
        if version > 1 && ask.reason.trim().is_empty() {
            return refuse("再次定稿请填写修订原因", "give the reason for another version");
        }
        let made = self.make_report(&readers, &report, period, now)?;
        if let Some((office, what)) =
            made.figures.tables.iter().flat_map(|table| &table.unbalanced).next()
        {
            return refuse(
                format!("{office}：{}，不能定稿", what.zh),
                format!("{office}: {}; it cannot be frozen", what.en),
            );
        }
        let due = self.due(&readers, &report, period)?;
        let late = due.is_some_and(|due| due < now.date());
        if late && ask.late_reason.trim().is_empty() {
            return refuse("已过报送期限,请填写迟报原因", "it is late: say why");
        }
        self.heads_fit()?;
        let (content, bytes) = (to_json(&made), frontier::to_bytes(&self.held));
        let mut inputs = Inputs::from([
            ("report".to_owned(), report.id.clone()),
            ("period".to_owned(), text.clone()),
            ("version".to_owned(), version.to_string()),
            ("due_on".to_owned(), due.map(|day| day.to_string()).unwrap_or_default()),
            ("figures_hash".to_owned(), figures_hash(&made)),
            ("reason".to_owned(), ask.reason.clone()),
            ("late_reason".to_owned(), ask.late_reason.clone()),
            ("content_hash".to_owned(), hex(blake3::hash(&content).as_bytes())),
            ("frontier_hash".to_owned(), hex(blake3::hash(&bytes).as_bytes())),
            ("content".to_owned(), self.keep(&content, &format!("{} {text}", report.id))?),
            ("frontier".to_owned(), self.keep(&bytes, "frontier")?),
        ]);
        inputs.extend(self.answering(&readers, &report, period)?);
        let slice = SliceId::ledger(place);
        self.begin()?;
        let written = self.create(slice, FILING, &inputs, Source::Data, person, None, now);
        match written {
            Ok(record) => Ok(self.commit().map(|()| record)?),
            Err(error) => {
                self.abort();
                Err(error)
            }
        }
    }

    /// Cuts the tail and projects all that is held, so that rows and frontier say the same.
    fn come_to_rest(&mut self, now: UtcMillis) -> Result<(), StoreError> {
        loop {
            self.transaction(|engine| engine.flush(now))?;
            while self.transaction(|engine| engine.project(now, usize::MAX))? {}
            if !self.needs_healing() {
                return Ok(());
            }
            self.heal(now)?;
        }
    }

    /// The report as of now, with what was seen of the network.
    fn make_report(
        &self,
        readers: &Readers,
        report: &Report,
        period: Period,
        now: UtcMillis,
    ) -> Result<Made, StoreError> {
        let folder = self.store.folder().to_owned();
        let blobs = move |blob: BlobRef| std::fs::read(blob_path(&folder, blob.hash)).ok();
        readers.with(|reader| {
            let maker = Maker {
                reader,
                directives: &self.directives,
                place: self.place(),
                report,
                period,
                as_of: now.date(),
                blobs: &blobs,
            };
            let mut made = maker.make()?;
            observe(&maker, &mut made, now)?;
            Ok(made)
        })
    }

    /// The field of the filing that names the units which answer for it; none if it names none, or they are
    /// too many for it.
    fn answering(
        &self,
        readers: &Readers,
        report: &Report,
        period: Period,
    ) -> Result<Option<(String, String)>, StoreError> {
        let (directives, place) = (&self.directives, self.place());
        let names = readers
            .with(|reader| units(reader, directives, report, place, period.last()))?
            .join("、");
        let fits = !names.is_empty() && names.chars().count() <= UNITS_CHARS_MAX;
        let field = report.units.as_ref().filter(|_| fits);
        Ok(field.map(|units| (units.field.clone(), names)))
    }

    /// Puts bytes on disk, and gives the member that names them.
    fn keep(&self, bytes: &[u8], name: &str) -> Result<String, CommandError> {
        if bytes.len() as u64 > taizhang_core::limits::BLOB_BYTES_MAX {
            return refuse("报表超过16MB", "the report is larger than 16 MB");
        }
        let blob = self.store.put_blob(bytes)?;
        Ok(Attachment { blob, media: Media::Data, thumb: None, name: name.to_owned() }.member())
    }
}

/// A report as bytes: equal reports, equal bytes.
pub fn to_json(made: &Made) -> Vec<u8> {
    serde_json::to_vec(made).unwrap_or_default()
}

/// What recomputation must give again, as one word that people can compare.
pub fn figures_hash(made: &Made) -> String {
    let bytes = serde_json::to_vec(&made.figures).unwrap_or_default();
    hex(&blake3::hash(&bytes).as_bytes()[..16])
}

#[cfg(test)]
mod tests {
    use taizhang_core::catalogue::report::Every;

    use super::*;

    #[test]
    fn days_of_grace_end_before_the_report_is_due() {
        let may = Period::parse(Every::Month, "2018-05").unwrap();
        let day = |text| Date::parse(text).unwrap();
        for (grace, due, first) in [
            (0, Some("2018-06-05"), "2018-06-01"),
            (3, Some("2018-06-05"), "2018-06-04"),
            (10, Some("2018-06-05"), "2018-06-05"),
            (10, Some("2018-06-08"), "2018-06-08"),
            (10, None, "2018-06-11"),
        ] {
            assert_eq!(first_day(may, grace, due.map(day)), day(first), "{grace} {due:?}");
        }
    }
}
