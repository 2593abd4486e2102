//! The pages: server-rendered, without JavaScript, Chinese first.
//!
//! Every page stands in one table with what it needs; [`access`] refuses what is foreign, not signed in, not
//! allowed or forged before a page sees it.

pub mod access;
pub mod account;
pub mod attach;
pub mod conflicts;
pub mod deeds;
pub mod export;
pub mod form;
pub mod home;
pub mod hub;
pub mod import;
pub mod ledger;
pub mod office;
pub mod print;
mod reading;
pub mod record;
pub mod serve;
pub mod shell;
pub mod signin;
pub mod words;
mod worklist;

use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::{Router, middleware, routing};

use crate::driver::Replica;
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
    Read get "/ledgers/{ledger}/export" export::table;
    Read get "/records/{id}" record::show;
    Read post "/records/{id}/reveal" record::reveal;
    Read get "/records/{id}/blobs/{hash}" attach::show;
    Read get "/records/{id}/print/{form}" print::show;
    Read get "/conflicts" conflicts::conflicts;
    Read get "/places" hub::places;
    Read get "/policy" hub::policy;
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
    Publish post "/policy" hub::publish;
    Office get "/office" office::show;
    Office post "/office/{what}" office::act;
}

/// The pages of a replica, behind their guard.
pub fn router(replica: Replica, site: Site) -> Router {
    let gate = Gate { replica: replica.clone(), site: Arc::new(site) };
    all()
        .fallback(nowhere)
        .layer(DefaultBodyLimit::max(UPLOAD_BYTES_MAX))
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
    Command(#[from] crate::engine::command::CommandError),
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
