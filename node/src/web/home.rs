//! The first page, the sync page, language and person.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::{Html, IntoResponse, Redirect, Response};
use serde::Deserialize;
use taizhang_core::catalogue::{Catalogue, Ledger};

use super::access::Need;
use super::shell::{Shell, Visitor, onward, place_name, set_cookie};
use super::words::word;
use super::worklist::WorkLine;
use super::{Page, PageError, Posted};
use crate::driver::Replica;
use crate::store::StoreError;
use crate::store::read::Reader;

struct RuleLine {
    id: String,
    text: String,
    ledger: String,
    failed: u64,
    unchecked: u64,
}

/// A ledger with its count.
pub struct LedgerLine {
    /// Ledger id.
    pub id: String,
    /// Name.
    pub label: String,
    /// Records that are not void.
    pub count: u64,
}

#[derive(Template)]
#[template(path = "home.html")]
struct Home {
    shell: Shell,
    is_clear: bool,
    work: Vec<WorkLine>,
    conflicts: u64,
    parked: u64,
    void: u64,
    rules: Vec<RuleLine>,
    chain: Vec<String>,
    figures: Vec<super::hub::Figure>,
    coverage: String,
    ledgers: Vec<LedgerLine>,
}

/// Ledgers of one opinion of the document.
pub struct Chapter {
    /// Its name.
    pub label: String,
    /// Its ledgers, by name.
    pub ledgers: Vec<LedgerLine>,
}

/// The opinions of the document in its order, by the sign with which its clauses are cited.
const OPINIONS: [(&str, &str); 5] = [
    ("〔增", "income"),
    ("〔厕", "toilet"),
    ("〔志", "motivation"),
    ("〔车", "workshop"),
    ("〔三", "implementation"),
];

/// Ledgers of this replica with their counts, by the opinion on which each rests.
pub fn chapters(replica: &Replica, english: bool) -> Result<Vec<Chapter>, PageError> {
    let counts = replica.readers().with(|reader| reader.ledger_counts())?;
    let directives = replica.directives();
    let catalogue = &directives.catalogue;
    let label = |of: &str| match of {
        "" => word("home.other_ledgers", english).to_owned(),
        of => catalogue.value_label("opinion", of, english),
    };
    let names = OPINIONS.iter().map(|(_, of)| *of).chain([""]);
    let mut chapters: Vec<Chapter> =
        names.map(|of| Chapter { label: label(of), ledgers: Vec::new() }).collect();
    for ledger in catalogue.ledgers_for_people() {
        let at = OPINIONS.iter().position(|(sign, _)| ledger.clause.starts_with(sign));
        let count = counts.iter().find(|(id, _)| *id == ledger.id).map_or(0, |(_, count)| *count);
        let (id, label) = (ledger.id.clone(), ledger.label.in_lang(english).to_owned());
        chapters[at.unwrap_or(OPINIONS.len())].ledgers.push(LedgerLine { id, label, count });
    }
    chapters.retain(|chapter| !chapter.ledgers.is_empty());
    Ok(chapters)
}

/// Findings by rule, and by ledger where a rule stands in several: rule, ledger, failed, unchecked.
fn findings(
    reader: &Reader<'_>,
    catalogue: &Catalogue,
) -> Result<Vec<(String, String, u64, u64)>, StoreError> {
    let mut counts = Vec::new();
    for (id, failed, unchecked) in reader.rule_counts()? {
        let has = |ledger: &&Arc<Ledger>| ledger.rules.iter().any(|rule| rule.id == id);
        let of: Vec<&Arc<Ledger>> = catalogue.ledgers.values().filter(has).collect();
        if let [_, _, ..] = of.as_slice() {
            let by_ledger = reader.rule_by_ledger(&id)?.into_iter();
            counts.extend(by_ledger.map(|(ledger, one, two)| (id.clone(), ledger, one, two)));
        } else {
            let ledger = of.first().map(|one| one.id.clone()).unwrap_or_default();
            counts.push((id, ledger, failed, unchecked));
        }
    }
    Ok(counts)
}

/// What must be done today, what is wrong, what has arrived.
///
/// # Errors
///
/// [`PageError`].
pub async fn show(State(replica): State<Replica>, visitor: Visitor) -> Page {
    let shell = Shell::new(&replica, &visitor)?;
    let english = visitor.english;
    let directives = replica.directives();
    let (counts, masked, conflicts) = replica.readers().with(|reader| {
        let counts = findings(reader, &directives.catalogue)?;
        Ok((counts, reader.masked_counts()?, reader.conflict_count()?))
    })?;
    let rules: Vec<RuleLine> = counts
        .into_iter()
        .map(|(id, ledger, failed, unchecked)| {
            let of = directives.catalogue.ledger(&ledger);
            let rule = of.and_then(|of| of.rules.iter().find(|rule| rule.id == id));
            let text = rule.map(|rule| rule.text.in_lang(english).to_owned()).unwrap_or_default();
            RuleLine { id, text, ledger, failed, unchecked }
        })
        .collect();
    let place = replica.place();
    let chain = replica.run(move |engine, now| Ok(engine.place_findings(place, now))).await?;
    let is_village = directives.tree.children(place).is_empty();
    let chain: Vec<String> = chain
        .into_iter()
        .filter(|_| is_village)
        .map(|(rule, _, reason)| {
            let text = directives
                .catalogue
                .ledgers
                .values()
                .flat_map(|ledger| &ledger.rules)
                .find(|one| one.id == rule)
                .map(|one| one.text.in_lang(english).to_owned());
            format!("{} {reason}", text.unwrap_or_default())
        })
        .collect();
    let work = super::worklist::lines(&replica, english)?;
    let (figures, coverage) = super::hub::figures(&replica, english)?;
    let page = Home {
        figures,
        coverage,
        is_clear: work.is_empty()
            && conflicts == 0
            && masked == (0, 0)
            && rules.is_empty()
            && chain.is_empty(),
        conflicts,
        parked: masked.0,
        void: masked.1,
        rules,
        chain,
        ledgers: chapters(&replica, english)?
            .into_iter()
            .flat_map(|chapter| chapter.ledgers)
            .filter(|ledger| ledger.count > 0)
            .collect(),
        work,
        shell,
    };
    Ok(Html(page.render()?))
}

/// The language link.
#[derive(Deserialize)]
pub struct LanguageQuery {
    to: String,
    #[serde(default)]
    back: String,
}

/// Switches the language and goes back.
pub async fn set_language(Query(query): Query<LanguageQuery>) -> Response {
    let lang = if query.to == "en" { "en" } else { "zh" };
    ([(header::SET_COOKIE, set_cookie("lang", lang))], Redirect::to(onward(&query.back)))
        .into_response()
}

struct LinkLine {
    peer: String,
    state: String,
    inbound: u64,
    outbound: u64,
    error: String,
}

struct AuditLine {
    time: String,
    kind: String,
    text: String,
}

#[derive(Template)]
#[template(path = "sync.html")]
struct SyncPage {
    shell: Shell,
    export: String,
    links: Vec<LinkLine>,
    /// Whether this account reads the audit.
    audited: bool,
    audit: Vec<AuditLine>,
}

/// Links; and, for the administrator, the audit.
///
/// # Errors
///
/// [`PageError`].
pub async fn sync(State(replica): State<Replica>, visitor: Visitor) -> Page {
    let directives = replica.directives();
    let english = visitor.english;
    let links = replica
        .links()
        .into_iter()
        .map(|link| LinkLine {
            peer: place_name(&directives, link.place),
            state: word(
                if link.connected { "sync.connected" } else { "sync.disconnected" },
                english,
            )
            .to_owned(),
            inbound: link.inbound,
            outbound: link.outbound,
            error: link.error,
        })
        .collect();
    // Who saw and took what is not everybody's to read.
    let audited = visitor.may(Need::Administer, &replica);
    let lines =
        if audited { replica.readers().with(|reader| reader.audit(50))? } else { Vec::new() };
    let audit = lines
        .into_iter()
        .map(|(time, kind, text)| AuditLine { time: time.local_text(), kind, text })
        .collect();
    let export = super::scheduled::status(&replica, english);
    let shell = Shell::new(&replica, &visitor)?;
    let page = SyncPage { shell, export, links, audited, audit };
    Ok(Html(page.render()?))
}

/// 立即同步
///
/// # Errors
///
/// Never.
pub async fn sync_now(State(replica): State<Replica>) -> Posted {
    replica.sync_now();
    Ok(Redirect::to("/sync"))
}
