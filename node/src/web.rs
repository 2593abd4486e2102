//! The pages: server-rendered, complete without JavaScript, Chinese first.
//!
//! Every page stands in one table with what it needs; [`access`] refuses what is foreign, not signed in, not
//! allowed or forged before a page sees it.

pub mod about;
pub mod access;
pub mod account;
pub mod api;
pub mod attach;
mod below;
pub mod board;
mod chart;
pub mod conflicts;
pub mod deeds;
pub mod draft;
pub mod draft_form;
pub mod export;
pub mod form;
pub mod health;
pub mod home;
pub mod hub;
pub mod import;
pub mod inspection;
pub mod ledger;
pub mod live;
pub mod metrics;
pub mod office;
pub mod overview;
pub mod policy;
pub mod print;
pub mod reach;
mod reading;
pub mod record;
mod report_sheet;
mod report_view;
pub mod reports;
pub mod round;
pub mod scheduled;
pub mod serve;
pub mod shell;
pub mod signin;
pub mod tokens;
pub mod trace;
pub mod words;
mod worklist;

use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::{Extension, Router, middleware, routing};

use crate::driver::Replica;
use crate::engine::command::CommandError;
use crate::ops::OpsError;
use access::{Gate, Need, Route, Site};

/// Bytes of an uploaded file; forms are bounded by their guard.
const UPLOAD_BYTES_MAX: usize = 64 * 1024 * 1024;
const CSS: &str = include_str!("../static/app.css");

macro_rules! routes {
    ($($need:ident $method:ident $path:literal $handler:path;)*) => {
        /// Every page with what it needs: there is no other.
        pub const ROUTES: &[Route] =
            &[$(Route { method: stringify!($method), path: $path, need: Need::$need }),*];

        fn all() -> Router<Replica> {
            Router::new()$(.route($path, routing::$method($handler)))*
        }
    };
}

routes! {
    Nothing get "/static/app.css" css;
    Nothing get "/lang" home::set_language;
    Nothing get "/signin" signin::sign_in_form;
    Nothing post "/signin" signin::sign_in;
    Token get "/api/v1/openapi.json" api::description;
    Token get "/api/v1/ledgers" api::ledgers;
    Token get "/api/v1/ledgers/{ledger}" api::records;
    Token get "/api/v1/records/{place}/{record}" api::record;
    Token get "/api/v1/places" api::places;
    Token get "/api/v1/indicators" api::indicators;
    TokenFigures get "/api/v1/figures" api::figures;
    TokenFigures get "/api/v1/policy" api::policy;
    TokenFigures get "/api/v1/policy/{record}/reach" api::reach;
    TokenFigures get "/api/v1/reports" api::reports;
    TokenFigures get "/api/v1/reports/{record}" api::report;
    TokenMetrics get "/metrics" metrics::show;
    Administer get "/tokens" tokens::show;
    Administer post "/tokens/add" tokens::add;
    Administer post "/tokens/withdraw" tokens::withdraw;
    SetUp get "/setup" account::set_up_form;
    SetUp post "/setup" account::set_up;
    Session post "/signout" signin::sign_out;
    Session get "/accounts" account::show;
    Session post "/accounts/password" account::change_password;
    Administer post "/accounts/add" account::add;
    Administer post "/accounts/change" account::change;
    Read get "/" home::show;
    Read get "/sync" home::sync;
    Read post "/sync" home::sync_now;
    Read get "/ledgers" ledger::index;
    Read get "/ledgers/{ledger}" ledger::show;
    Read get "/ledgers/{ledger}/about" about::show;
    Read get "/ledgers/{ledger}/export" export::table;
    Nothing get "/public" board::public_index;
    Nothing get "/public/{ledger}/{board}" board::public;
    Read get "/boards" board::index;
    Read get "/boards/{ledger}/{board}" board::show;
    Read get "/records/{id}" record::show;
    Read post "/records/{id}/reveal" record::reveal;
    Read get "/records/{id}/blobs/{hash}" attach::show;
    Read get "/records/{id}/print/{form}" print::show;
    Read get "/records/{id}/trace" trace::show;
    Inspect get "/rounds" round::index;
    Inspect post "/rounds" inspection::open;
    Inspect get "/rounds/{id}" round::show;
    Inspect post "/rounds/{id}/place" inspection::place;
    Inspect post "/rounds/{id}/step" inspection::step;
    Inspect post "/rounds/{id}/finding" inspection::finding;
    Inspect post "/records/{id}/ticket" inspection::ticket;
    Read get "/conflicts" conflicts::conflicts;
    Read get "/places" hub::places;
    Nothing get "/static/live.js" live::script;
    Read get "/live" live::events;
    Read get "/overview" overview::show;
    Read get "/health" health::show;
    Read get "/health/export" health::export;
    Read get "/reports" reports::index;
    Read get "/reports/{report}" reports::draft;
    Read get "/reports/filed/{id}" reports::filed;
    Read post "/reports/filed/{id}/verify" reports::check;
    Decide post "/reports/{report}/freeze" reports::freeze;
    Decide post "/reports/filed/{id}/file" reports::file;
    Read get "/policy" policy::show;
    Read get "/policy/{id}/reach" reach::show;
    Read get "/policy/{id}/reach/export" reach::export;
    Draft get "/policy/draft" draft_form::new;
    Draft post "/policy/draft" draft_form::create;
    Draft get "/policy/draft/{id}" draft::show;
    Draft post "/policy/draft/{id}/preview" draft::preview;
    Draft post "/policy/draft/{id}/submit" draft::submit;
    Publish post "/policy/draft/{id}/approve" draft::approve;
    Publish post "/policy/draft/{id}/return" draft::send_back;
    Publish post "/policy/{id}/reach/notice" reach::notice;
    Write get "/ledgers/{ledger}/new" form::new;
    Write post "/ledgers/{ledger}/new" form::create;
    Write get "/ledgers/{ledger}/import" import::form;
    Write post "/ledgers/{ledger}/import" import::upload;
    Write get "/ledgers/{ledger}/import/{sheet}" import::show;
    Write post "/ledgers/{ledger}/import/{sheet}" import::play;
    Write get "/records/{id}/edit" form::edit;
    Write post "/records/{id}/edit" form::update;
    Write post "/records/{id}/attach/{field}" attach::add;
    Write post "/records/{id}/detach/{field}" attach::remove;
    Write post "/records/{id}/void" deeds::void;
    Decide post "/records/{id}/act" deeds::act;
    Decide post "/records/{id}/resolve" deeds::resolve;
    Office get "/office" office::show;
    Office post "/office/{what}" office::act;
}

/// The pages of a replica, behind their guard.
pub fn router(replica: Replica, site: Site) -> Router {
    let gate = Gate { replica: replica.clone(), site: Arc::new(site), wrong: Arc::default() };
    all()
        .fallback(nowhere)
        .layer(DefaultBodyLimit::max(UPLOAD_BYTES_MAX))
        .layer(Extension(Arc::<board::Boards>::default()))
        .layer(middleware::from_fn_with_state(gate, access::guard))
        .with_state(replica)
}

async fn nowhere() -> PageError {
    PageError::NotFound
}

async fn css() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], CSS)
}

/// What goes wrong on a page.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// The operation was refused or failed.
    #[error(transparent)]
    Ops(#[from] OpsError),
    /// The command was refused or failed.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
    /// The template failed.
    #[error("the page could not be made: {0}")]
    Template(#[from] askama::Error),
    /// A sheet could not be taken or made.
    #[error("文件处理失败:{0} / the file could not be handled: {0}")]
    Sheet(String),
    /// Nothing is there.
    #[error("没有找到 / not found")]
    NotFound,
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::NotFound | Self::Ops(OpsError::Record(_)) => StatusCode::NOT_FOUND,
            Self::Store(_) | Self::Template(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Command(CommandError::Busy(_)) => StatusCode::TOO_MANY_REQUESTS,
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        };
        let text = self.to_string().replace('&', "&amp;").replace('<', "&lt;");
        let page = format!(
            "<!DOCTYPE html><meta charset=utf-8><link rel=stylesheet href=/static/app.css>\
             <main><h1>无法完成 / This cannot be done</h1><div class=errors>{text}</div>\
             <p><a href=\"/\">返回 / Back</a></p></main>"
        );
        (status, Html(page)).into_response()
    }
}

/// A page, or why there is none.
pub type Page = Result<Html<String>, PageError>;

/// Where a post leads, or why it did nothing.
pub type Posted = Result<Redirect, PageError>;
