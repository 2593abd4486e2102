//! Reports: what is due, drafts from what is here now, frozen ones with their verification.

use askama::Template;
use axum::Form;
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use serde::Deserialize;
use taizhang_core::id::RecordId;

use super::access::Need;
use super::export::XLSX;
use super::reading::opened;
use super::record::record_id;
use super::report_sheet::book;
use super::report_view::{ReportView, Viewing};
use super::shell::{Frame, Shell, Visitor};
use super::words::word;
use super::{Page, PageError, Posted};
use crate::driver::{Replica, clock};
use crate::engine::command::refuse;
use crate::report::due::{Duty, duties};
use crate::report::freeze::Freeze;
use crate::report::period::Period;
use crate::report::shown::shown;
use crate::report::{FILING, Made, verify};
use crate::store::read::Detail;

/// Months back for which duties are listed.
const MONTHS: usize = 3;

struct DutyLine {
    office: String,
    /// Units of the office that answer for it.
    units: String,
    report: String,
    title: String,
    period: String,
    due_on: String,
    state: String,
    class: &'static str,
    /// The filed report, or the draft.
    link: String,
}

struct ReportLine {
    id: String,
    title: String,
    clause: String,
    period: String,
}

#[derive(Template)]
#[template(path = "reports.html")]
struct Index {
    shell: Shell,
    own: Vec<ReportLine>,
    duties: Vec<DutyLine>,
}

#[derive(Template)]
#[template(path = "report.html")]
struct ReportPage {
    shell: Shell,
    view: ReportView,
    /// A draft, as opposed to a frozen one.
    draft: bool,
    may_freeze: bool,
    version: i64,
    record: String,
    state: String,
    hash: String,
    reason: String,
    late_reason: String,
    before: String,
    after: String,
    sheet: String,
    paper: String,
    verdict: Option<verify::Verdict>,
    errors: Vec<String>,
}

#[derive(Template)]
#[template(path = "report_paper.html")]
struct Paper {
    frame: Frame,
    view: ReportView,
    version: i64,
    hash: String,
}

impl ReportPage {
    fn t<'a>(&self, key: &'a str) -> &'a str {
        self.shell.t(key)
    }
}

impl Paper {
    fn t<'a>(&self, key: &'a str) -> &'a str {
        self.frame.t(key)
    }
}

/// All reports of this office, and what it and its children owe.
///
/// # Errors
///
/// [`PageError`].
pub async fn index(State(replica): State<Replica>, visitor: Visitor) -> Page {
    let directives = replica.directives();
    let english = visitor.english;
    let place = replica.place();
    let level = replica.identity().checked.name.level();
    let today = clock::now().date();
    let offices: Vec<_> = std::iter::once(place).chain(directives.tree.children(place)).collect();
    let mut owed =
        replica.readers().with(|reader| duties(reader, &directives, &offices, today, MONTHS))?;
    owed.sort_by(|one, two| {
        (!one.is_late(today), &two.period).cmp(&(!two.is_late(today), &one.period))
    });
    let line = |duty: &Duty| {
        let report = directives.catalogue.reports.get(&duty.report);
        let filing = duty.filing.as_ref();
        let (key, class) = match (filing.map(|one| one.state.as_str()), duty.is_late(today)) {
            (None, true) => ("report.missing", "bad"),
            (None, false) => ("report.to_file", ""),
            (Some("frozen"), late) => ("report.frozen", if late { "bad" } else { "" }),
            (Some(_), true) => ("report.filed_late", "warn"),
            (Some("received"), false) => ("report.received", "good"),
            (Some(_), false) => ("report.filed", "good"),
        };
        DutyLine {
            office: directives.tree.full_name(duty.place),
            units: duty.units.join("、"),
            title: report.map(|one| one.label.in_lang(english).to_owned()).unwrap_or_default(),
            link: match filing {
                Some(filing) => format!("/reports/filed/{}", filing.record),
                None if duty.place == place => {
                    format!("/reports/{}?period={}", duty.report, duty.period)
                }
                None => String::new(),
            },
            report: duty.report.clone(),
            period: duty.period.clone(),
            due_on: duty.due_on.clone(),
            state: word(key, english).to_owned(),
            class,
        }
    };
    let own = directives.catalogue.reports.values().filter(|one| one.by.contains(&level));
    let page = Index {
        own: own
            .map(|one| ReportLine {
                id: one.id.clone(),
                title: one.label.in_lang(english).to_owned(),
                clause: one.clause.clone(),
                period: Period::of(one.every, today).before().to_string(),
            })
            .collect(),
        duties: owed.iter().map(line).collect(),
        shell: Shell::new(&replica, &visitor)?,
    };
    Ok(Html(page.render()?))
}

/// Which period, and whether on paper or as a sheet.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Wanted {
    period: String,
    /// `paper` or `xlsx`.
    form: String,
}

fn view_of(replica: &Replica, visitor: &Visitor, made: &Made, linked: bool) -> ReportView {
    let directives = replica.directives();
    let (english, viewer) = (visitor.english, visitor.viewer(replica));
    Viewing { directives: &directives, english, viewer, linked }.view(made)
}

/// The report on paper or as a sheet, if one of these is wanted.
fn other_form(
    replica: &Replica,
    visitor: &Visitor,
    made: &Made,
    form: &str,
    (version, hash): (i64, &str),
) -> Result<Option<Response>, PageError> {
    let mut view = view_of(replica, visitor, made, false);
    if version > 0 {
        let t = |key| word(key, visitor.english);
        view.mark = format!("{} {version} · {} {hash}", t("report.version"), t("report.hash"));
    }
    match form {
        "paper" => {
            let frame = Frame::new(replica, visitor);
            let page = Paper { frame, view, version, hash: hash.to_owned() };
            Ok(Some(Html(page.render()?).into_response()))
        }
        "xlsx" => {
            let made = tokio::task::block_in_place(|| book(&view, visitor.english));
            let bytes = made.map_err(|error| PageError::Sheet(error.to_string()))?;
            let name = format!("attachment; filename=\"{}-{}.xlsx\"", view.id, view.period);
            let text = format!("{} took report {} {}", visitor.login(), view.id, view.period);
            replica.later(move |engine, now| engine.store.audit("exported", &text, now));
            let heads = [(header::CONTENT_TYPE, XLSX), (header::CONTENT_DISPOSITION, &name)];
            Ok(Some((heads, bytes).into_response()))
        }
        _ => Ok(None),
    }
}

fn draft_page(
    replica: &Replica,
    visitor: &Visitor,
    id: &str,
    wanted: &Wanted,
    errors: Vec<String>,
) -> Result<Response, PageError> {
    let directives = replica.directives();
    let report = directives.catalogue.reports.get(id).ok_or(PageError::NotFound)?;
    let today = clock::now().date();
    let last = Period::of(report.every, today).before();
    let asked = Period::parse(report.every, &wanted.period);
    let period = asked.filter(|period| period.first() <= today).unwrap_or(last);
    let made = tokio::task::block_in_place(|| replica.draft_report(report, period))?;
    if let Some(response) = other_form(replica, visitor, &made, &wanted.form, (0, ""))? {
        return Ok(response);
    }
    let link = |period: Period| format!("/reports/{id}?period={period}");
    let own = link(period);
    let page = ReportPage {
        shell: Shell::new(replica, visitor)?,
        view: view_of(replica, visitor, &made, true),
        draft: true,
        may_freeze: visitor.may(Need::Decide, replica)
            && period.last() < today
            && report.by.contains(&replica.identity().checked.name.level()),
        version: 0,
        record: String::new(),
        state: String::new(),
        hash: String::new(),
        reason: String::new(),
        late_reason: String::new(),
        before: link(period.before()),
        after: link(period.after()),
        sheet: format!("{own}&form=xlsx"),
        paper: format!("{own}&form=paper"),
        verdict: None,
        errors,
    };
    Ok(Html(page.render()?).into_response())
}

/// A draft of what is here now.
///
/// # Errors
///
/// [`PageError::NotFound`] for an unknown report.
pub async fn draft(
    State(replica): State<Replica>,
    Path(id): Path<String>,
    Query(wanted): Query<Wanted>,
    visitor: Visitor,
) -> Result<Response, PageError> {
    draft_page(&replica, &visitor, &id, &wanted, Vec::new())
}

/// What is typed to freeze.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct FreezeForm {
    period: String,
    reason: String,
    late_reason: String,
}

/// Freezes a report; the page says what keeps it from being frozen.
///
/// # Errors
///
/// [`PageError`].
pub async fn freeze(
    State(replica): State<Replica>,
    Path(id): Path<String>,
    visitor: Visitor,
    Form(form): Form<FreezeForm>,
) -> Result<Response, PageError> {
    let wanted = Wanted { period: form.period.clone(), form: String::new() };
    let ask = Freeze {
        report: id.clone(),
        period: form.period,
        reason: form.reason,
        late_reason: form.late_reason,
    };
    match replica.freeze_report(ask, visitor.person.clone()).await {
        Ok(record) => Ok(Redirect::to(&format!("/reports/filed/{record}")).into_response()),
        Err(crate::engine::command::CommandError::Refused(reason)) => {
            let reason = reason.in_lang(visitor.english).to_owned();
            draft_page(&replica, &visitor, &id, &wanted, vec![reason])
        }
        Err(error) => Err(error.into()),
    }
}

fn frozen(replica: &Replica, detail: &Detail, english: bool) -> Result<Made, PageError> {
    verify::frozen(replica.folder(), detail).or_else(|reason| {
        let zh = format!("报表内容还没有传到这里:{reason}");
        let text = if english { reason } else { zh };
        refuse(text.clone(), text).map_err(PageError::Command)
    })
}

fn filed_page(
    replica: &Replica,
    visitor: &Visitor,
    record: RecordId,
    form: &str,
    verdict: Option<verify::Verdict>,
) -> Result<Response, PageError> {
    let detail = opened(replica, record)?;
    let directives = replica.directives();
    let made = frozen(replica, &detail, visitor.english)?;
    let made = shown(made, &directives, replica.place());
    let version = detail.row.fields.get("version").and_then(|value| value.as_int()).unwrap_or(1);
    let hash = detail.row.text("figures_hash");
    if let Some(response) = other_form(replica, visitor, &made, form, (version, &hash))? {
        return Ok(response);
    }
    let ledger = directives.catalogue.ledger(&detail.ledger);
    let state = detail.row.state_id().unwrap_or_default();
    let label = ledger.map(|ledger| crate::report::make::state_label(ledger, state));
    let own = format!("/reports/filed/{record}");
    let page = ReportPage {
        shell: Shell::new(replica, visitor)?,
        view: view_of(replica, visitor, &made, true),
        draft: false,
        may_freeze: false,
        version,
        record: record.to_string(),
        state: label.unwrap_or_default().in_lang(visitor.english).to_owned(),
        hash,
        reason: detail.row.text("reason"),
        late_reason: detail.row.text("late_reason"),
        before: String::new(),
        after: format!("/reports/{}?period={}", made.report, made.period),
        sheet: format!("{own}?form=xlsx"),
        paper: format!("{own}?form=paper"),
        verdict,
        errors: Vec::new(),
    };
    Ok(Html(page.render()?).into_response())
}

/// A frozen report, as it was frozen: of another office's, what shows at this one.
///
/// # Errors
///
/// [`PageError::NotFound`]; a refusal while its content is on its way.
pub async fn filed(
    State(replica): State<Replica>,
    Path(id): Path<String>,
    Query(wanted): Query<Wanted>,
    visitor: Visitor,
) -> Result<Response, PageError> {
    filed_page(&replica, &visitor, record_id(&id)?, &wanted.form, None)
}

/// Recomputes a frozen report and shows what came of it.
///
/// # Errors
///
/// [`PageError`].
pub async fn check(
    State(replica): State<Replica>,
    Path(id): Path<String>,
    visitor: Visitor,
) -> Result<Response, PageError> {
    let record = record_id(&id)?;
    let verdict = replica.verify_report(record).await?;
    filed_page(&replica, &visitor, record, "", Some(verdict))
}

/// Files a frozen report with the level above.
///
/// # Errors
///
/// As taking the step `filed` does.
pub async fn file(
    State(replica): State<Replica>,
    Path(id): Path<String>,
    visitor: Visitor,
) -> Posted {
    let record = record_id(&id)?;
    let person = visitor.person;
    replica
        .run(move |engine, now| {
            if engine.find(record)?.ledger.id != FILING {
                return refuse("不是报表", "the record is no filed report");
            }
            engine.act(record, "filed", "", &person, now)
        })
        .await?;
    Ok(Redirect::to(&format!("/reports/filed/{id}")))
}
