//! Pages of a hub: places with freshness and roll-ups, policy versions and their reach.

use std::collections::BTreeMap;

use askama::Template;
use axum::Form;
use axum::extract::{Query, State};
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use serde::Deserialize;
use taizhang_core::catalogue::Localise;
use taizhang_core::id::{Level, PlaceId};
use taizhang_core::time::Date;

use super::shell::{Shell, Visitor, place_name};
use super::words::word;
use super::{Page, PageError};
use crate::driver::{Replica, clock};
use crate::engine::command::CommandError;
use crate::engine::policy::NewPolicy;
use crate::engine::values::{Source, display, parse};
use crate::status::{Coverage, Reach};

/// What the address bar says.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Under {
    under: String,
}

struct PlaceLine {
    name: String,
    link: String,
    code: String,
    values: Vec<String>,
    coverage: String,
    newest: String,
    contact: String,
}

#[derive(Template)]
#[template(path = "places.html")]
struct Places {
    shell: Shell,
    name: String,
    as_of: String,
    heads: Vec<String>,
    rows: Vec<PlaceLine>,
}

fn coverage_text(coverage: &Coverage, english: bool) -> String {
    let t = |key| word(key, english);
    let mut text = format!("{}/{} {}", coverage.reported, coverage.places, t("places.villages"));
    if coverage.oldest.0 > 0 {
        text.push_str(&format!(" · {} {}", t("places.oldest"), coverage.oldest.local_text()));
    }
    if !coverage.missing.is_empty() {
        text.push_str(&format!(" · {} {}", t("places.missing"), coverage.missing.join("、")));
        let named = coverage.missing.len() as u64;
        if coverage.places - coverage.reported > named {
            text.push('…');
        }
    }
    if coverage.parked > 0 {
        text.push_str(&format!(" · {} {}", t("places.parked"), coverage.parked));
    }
    text
}

/// A figure of the own place for the first page: label and value.
pub(super) struct Figure {
    pub(super) label: String,
    pub(super) value: i64,
}

/// Figures of the own place, and their coverage.
pub(super) fn figures(
    replica: &Replica,
    english: bool,
) -> Result<(Vec<Figure>, String), PageError> {
    let place = replica.place();
    let sums: BTreeMap<String, i64> =
        replica.readers().with(|reader| reader.rollup(place))?.into_iter().collect();
    let directives = replica.directives();
    let indicators = directives.catalogue.ledgers.values().flat_map(|ledger| &ledger.indicators);
    let figures = indicators
        .map(|one| Figure {
            label: one.label.in_lang(english).to_owned(),
            value: sums.get(&one.id).copied().unwrap_or(0),
        })
        .collect();
    Ok((figures, coverage_text(&replica.coverage(place)?, english)))
}

/// A place and its children: figures, coverage, freshness.
///
/// # Errors
///
/// [`PageError`].
pub async fn places(
    State(replica): State<Replica>,
    Query(query): Query<Under>,
    visitor: Visitor,
) -> Page {
    let directives = replica.directives();
    let english = visitor.english;
    let under = query.under.parse().unwrap_or_else(|_| replica.place());
    if !directives.tree.is_above_or_same(replica.place(), under) {
        return Err(PageError::NotFound);
    }
    let fresh = replica.freshness()?;
    let indicators: Vec<_> =
        directives.catalogue.ledgers.values().flat_map(|ledger| &ledger.indicators).collect();
    let mut rows = Vec::new();
    for id in std::iter::once(under).chain(directives.tree.children(under)) {
        let Some(place) = directives.tree.place(id) else { continue };
        let sums: BTreeMap<String, i64> =
            replica.readers().with(|reader| reader.rollup(id))?.into_iter().collect();
        let coverage = replica.coverage_of(id, &fresh);
        let values = indicators.iter().map(|indicator| match coverage.reported {
            0 => word("places.no_data", english).to_owned(),
            _ => sums.get(&indicator.id).copied().unwrap_or(0).to_string(),
        });
        let known = fresh.get(&id).cloned().unwrap_or_default();
        let when = |time: taizhang_core::time::UtcMillis| match time.0 {
            0 => "—".to_owned(),
            _ => format!("{} ({})", Replica::ago(time, english), time.local_text()),
        };
        let has_children = place.level > Level::Village && id != under;
        rows.push(PlaceLine {
            name: place.name().to_owned(),
            link: if has_children { id.to_string() } else { String::new() },
            code: place.code().to_owned(),
            values: values.collect(),
            coverage: coverage_text(&coverage, english),
            newest: when(known.newest),
            contact: when(known.contact),
        });
    }
    let page = Places {
        shell: Shell::new(&replica, &visitor)?,
        name: place_name(&directives, under),
        as_of: clock::now().local_text(),
        heads: indicators.iter().map(|one| one.label.in_lang(english).to_owned()).collect(),
        rows,
    };
    Ok(Html(page.render()?))
}

struct Tile {
    name: String,
    held: String,
    applied: String,
    class: &'static str,
}

struct VersionLine {
    doc_no: String,
    title: String,
    publisher: String,
    effective: String,
    values: String,
    places: usize,
    applied: usize,
    tiles: Vec<Tile>,
}

struct ParamLine {
    id: String,
    label: String,
    value: String,
    local: String,
}

#[derive(Template)]
#[template(path = "policy.html")]
struct Policy {
    shell: Shell,
    versions: Vec<VersionLine>,
    params: Vec<ParamLine>,
    may_publish: bool,
    publish_label: String,
    publishable: Vec<ParamLine>,
    errors: Vec<String>,
}

fn version_line(replica: &Replica, reach: &Reach, english: bool) -> VersionLine {
    let catalogue = &replica.directives().catalogue;
    let silent = word("policy.silent", english);
    let when = |time: taizhang_core::time::UtcMillis| match time.0 {
        0 => silent.to_owned(),
        _ => time.local_text(),
    };
    let values = reach.values.iter().map(|(id, value)| match catalogue.params.get(id) {
        Some(param) => format!(
            "{} = {}{}",
            param.label.in_lang(english),
            display(&param.kind, value, catalogue, english),
            param.unit.in_lang(english)
        ),
        None => format!("{id} = {value}"),
    });
    VersionLine {
        doc_no: reach.doc_no.clone(),
        title: reach.title.clone(),
        publisher: reach.publisher.clone(),
        effective: reach.effective_from.clone(),
        values: values.collect::<Vec<_>>().join("；"),
        places: reach.places.len(),
        applied: reach.places.iter().filter(|place| place.applied.0 > 0).count(),
        tiles: reach
            .places
            .iter()
            .map(|place| Tile {
                name: place.name.clone(),
                held: when(place.held),
                applied: when(place.applied),
                class: match (place.applied.0 > 0, place.held.0 > 0) {
                    (true, _) => "done",
                    (false, true) => "part",
                    (false, false) => "none",
                },
            })
            .collect(),
    }
}

fn param_lines(replica: &Replica, place: PlaceId, english: bool) -> Vec<ParamLine> {
    let directives = replica.directives();
    let today = clock::now().date();
    let catalogue = &directives.catalogue;
    catalogue
        .params
        .values()
        .map(|param| {
            let found = directives.param(&param.id, place, today);
            let text = |value: &taizhang_core::record::value::Value| {
                let unit = param.unit.in_lang(english);
                format!("{}{unit}", display(&param.kind, value, catalogue, english))
            };
            let mut local = found.local.as_ref().map(|(value, _)| text(value)).unwrap_or_default();
            if found.overridden {
                local.push_str(&format!(" ({})", word("policy.overridden", english)));
            }
            ParamLine {
                id: param.id.clone(),
                label: param.label.in_lang(english).to_owned(),
                value: found
                    .value
                    .as_ref()
                    .map_or_else(|| word("policy.unset", english).to_owned(), text),
                local,
            }
        })
        .collect()
}

fn page(replica: &Replica, visitor: &Visitor, errors: Vec<String>) -> Page {
    let directives = replica.directives();
    let english = visitor.english;
    let level = replica.identity().checked.name.level();
    let versions =
        replica.reach()?.iter().map(|reach| version_line(replica, reach, english)).collect();
    let may = |id: &str| {
        directives.catalogue.params.get(id).is_some_and(|param| {
            level == param.owner || (level == Level::County && param.localise != Localise::None)
        })
    };
    let publishable = param_lines(replica, replica.place(), english)
        .into_iter()
        .filter(|line| may(&line.id))
        .collect();
    let key = if level == Level::City { "policy.publish" } else { "policy.localise" };
    let page = Policy {
        shell: Shell::new(replica, visitor)?,
        versions,
        params: param_lines(replica, replica.place(), english),
        may_publish: level >= Level::County,
        publish_label: word(key, english).to_owned(),
        publishable,
        errors,
    };
    Ok(Html(page.render()?))
}

/// Versions, reach, values in force, and the form to publish.
///
/// # Errors
///
/// [`PageError`].
pub async fn policy(State(replica): State<Replica>, visitor: Visitor) -> Page {
    page(&replica, &visitor, Vec::new())
}

/// Publishes a version.
///
/// # Errors
///
/// [`PageError`]; refusals show on the page.
pub async fn publish(
    State(replica): State<Replica>,
    visitor: Visitor,
    Form(form): Form<BTreeMap<String, String>>,
) -> Result<Response, PageError> {
    let directives = replica.directives();
    let mut errors = Vec::new();
    let mut values = BTreeMap::new();
    for (id, param) in &directives.catalogue.params {
        let text = form.get(&format!("p.{id}")).map_or("", String::as_str);
        let as_field = taizhang_core::catalogue::Field {
            id: id.clone(),
            label: param.label.clone(),
            help: Default::default(),
            kind: param.kind.clone(),
            required: taizhang_core::catalogue::Required::No,
            privacy: 0,
            write: Vec::new(),
            merge: taizhang_core::catalogue::Merge::Fixed,
            resolve: param.owner,
            sealed: Vec::new(),
            group: Default::default(),
            headers: Vec::new(),
            once_by: Vec::new(),
            unconfirmed: None,
        };
        match parse(&as_field, text, Source::People, &directives.catalogue) {
            Ok(Some(value)) => drop(values.insert(id.clone(), value)),
            Ok(None) => {}
            Err(error) => errors.push(error.reason.in_lang(visitor.english).to_owned()),
        }
    }
    let text = |name: &str| form.get(name).map(|text| text.trim().to_owned()).unwrap_or_default();
    let effective_from = match text("effective_from") {
        empty if empty.is_empty() => clock::now().date(),
        given => Date::parse(&given).unwrap_or_else(|| {
            errors.push(format!("{given}: 2018-05-20"));
            clock::now().date()
        }),
    };
    if errors.is_empty() {
        let policy = NewPolicy {
            doc_no: text("doc_no"),
            title: text("title"),
            effective_from: effective_from.to_string(),
            values,
        };
        let person = visitor.person.clone();
        let done =
            replica.run(move |engine, now| engine.publish_policy(&policy, &person, now)).await;
        match done {
            Ok(_) => return Ok(Redirect::to("/policy").into_response()),
            Err(CommandError::Refused(reason)) => {
                errors.push(reason.in_lang(visitor.english).to_owned());
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(page(&replica, &visitor, errors)?.into_response())
}
