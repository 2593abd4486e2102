//! Everything in which people differ.

use askama::Template;
use axum::extract::State;
use axum::response::Html;

use super::Page;
use super::reading::Reading;
use super::record::View;
use super::shell::{Shell, Visitor, place_name};
use crate::driver::Replica;

struct ConflictRow {
    id: String,
    title: String,
    ledger: String,
    place: String,
    what: String,
}

#[derive(Template)]
#[template(path = "conflicts.html")]
struct ConflictsPage {
    shell: Shell,
    rows: Vec<ConflictRow>,
}

/// All records with conflicts.
///
/// # Errors
///
/// [`PageError`].
pub async fn conflicts(State(replica): State<Replica>, visitor: Visitor) -> Page {
    let directives = replica.directives();
    let viewer = visitor.viewer(&replica);
    let rows = replica.readers().with(|reader| reader.conflicts())?;
    let english = visitor.english;
    let reading = Reading { replica: &replica, directives: &directives, viewer, english };
    let rows = rows
        .into_iter()
        .filter_map(|listed| {
            let ledger = directives.catalogue.ledger(&listed.ledger)?;
            let row = listed.row.as_ref()?;
            let (decides, role) = (false, String::new());
            let (failed, reading) = (Vec::new(), &reading);
            let view = View { reading, ledger, row, failed, decides, role };
            let what: Vec<String> = row
                .conflicts
                .iter()
                .map(|one| {
                    let card = view.conflict(one);
                    let values: Vec<String> =
                        card.candidates.iter().map(|one| one.value.clone()).collect();
                    format!("{}: {}", card.field, values.join(" | "))
                })
                .collect();
            Some(ConflictRow {
                id: listed.record.to_string(),
                title: reading.title(&listed.title, ledger, listed.record),
                ledger: ledger.label.in_lang(visitor.english).to_owned(),
                place: place_name(&directives, listed.slice.place),
                what: what.join("；"),
            })
        })
        .collect();
    let page = ConflictsPage { shell: Shell::new(&replica, &visitor)?, rows };
    Ok(Html(page.render()?))
}
