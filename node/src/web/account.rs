//! First set-up, the own password, and the accounts of this office.

use askama::Template;
use axum::Form;
use axum::extract::{Query, State};
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use serde::Deserialize;

use super::shell::{Frame, Shell, Visitor};
use super::signin::{refusal, signed_in, to_next};
use super::words::word;
use super::{Page, PageError};
use crate::account::{Account, Duty, PASSWORD_CHARS_MIN};
use crate::driver::Replica;
use crate::engine::command::CommandError;
use crate::ops::account::{AccountRequest, NewAccount};

/// A choice of a select.
pub(super) struct ChoiceLine {
    pub(super) id: String,
    pub(super) label: String,
}

fn roles(replica: &Replica, english: bool) -> Vec<ChoiceLine> {
    let line = |(id, label): (String, taizhang_core::catalogue::Text)| ChoiceLine {
        id,
        label: label.in_lang(english).to_owned(),
    };
    replica.roles().into_iter().map(line).collect()
}

fn duties(english: bool) -> Vec<ChoiceLine> {
    let line = |duty: Duty| ChoiceLine {
        id: duty.word().to_owned(),
        label: word(&format!("duty.{}", duty.word()), english).to_owned(),
    };
    Duty::ALL.into_iter().map(line).collect()
}

#[derive(Template)]
#[template(path = "setup.html")]
struct SetUp {
    frame: Frame,
    roles: Vec<ChoiceLine>,
    least: usize,
    error: String,
    typed: SetUpForm,
}

/// The first two accounts.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub struct SetUpForm {
    admin_login: String,
    admin_name: String,
    admin_password: String,
    login: String,
    name: String,
    role: String,
    password: String,
}

fn set_up_page(replica: &Replica, visitor: &Visitor, error: String, typed: SetUpForm) -> Page {
    let page = SetUp {
        frame: Frame::new(replica, visitor),
        roles: roles(replica, visitor.english),
        least: PASSWORD_CHARS_MIN,
        error,
        typed,
    };
    Ok(Html(page.render()?))
}

/// The form of the first set-up.
///
/// # Errors
///
/// [`PageError`].
pub async fn set_up_form(State(replica): State<Replica>, visitor: Visitor) -> Page {
    set_up_page(&replica, &visitor, String::new(), SetUpForm::default())
}

/// Opens the administrator's account and the first one for work, and signs the latter in.
///
/// # Errors
///
/// [`PageError`]; a refusal shows on the form.
pub async fn set_up(
    State(replica): State<Replica>,
    visitor: Visitor,
    Form(form): Form<SetUpForm>,
) -> Result<Response, PageError> {
    let account = |login: &str, name: &str, role: &str, duty, password: &str| NewAccount {
        login: login.to_owned(),
        name: name.to_owned(),
        role: role.to_owned(),
        duty,
        password: password.to_owned(),
    };
    let (login, password) = (form.login.clone(), form.password.clone());
    let both = vec![
        account(&form.admin_login, &form.admin_name, "", Duty::Administrator, &form.admin_password),
        account(&login, &form.name, &form.role, Duty::Reviewer, &password),
    ];
    match replica.add_accounts(both, true).await {
        Ok(()) => Ok(to_next(&signed_in(&replica, &login, password).await?, "/")),
        Err(error) => {
            let error = refusal(&error, visitor.english);
            let typed =
                SetUpForm { admin_password: String::new(), password: String::new(), ..form };
            Ok(set_up_page(&replica, &visitor, error, typed)?.into_response())
        }
    }
}

#[derive(Template)]
#[template(path = "accounts.html")]
struct Accounts {
    shell: Shell,
    administers: bool,
    rows: Vec<AccountLine>,
    roles: Vec<ChoiceLine>,
    duties: Vec<ChoiceLine>,
    least: usize,
    error: String,
    done: String,
}

struct AccountLine {
    account: Account,
    role: String,
    duty: String,
    own: bool,
}

/// What the address bar says after a post.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Done {
    done: String,
}

fn accounts_page(replica: &Replica, visitor: &Visitor, error: String, done: &str) -> Page {
    let english = visitor.english;
    let administers = visitor.duty() == Some(Duty::Administrator);
    let roles = roles(replica, english);
    let all = replica.readers().with(|reader| reader.accounts())?;
    let rows = all.into_iter().filter(|one| administers || one.login == visitor.login());
    let rows = rows.map(|account| AccountLine {
        role: roles
            .iter()
            .find(|role| role.id == account.role)
            .map(|role| role.label.clone())
            .unwrap_or_default(),
        duty: word(&format!("duty.{}", account.duty.word()), english).to_owned(),
        own: account.login == visitor.login(),
        account,
    });
    let page = Accounts {
        administers,
        rows: rows.collect(),
        duties: duties(english),
        least: PASSWORD_CHARS_MIN,
        error,
        done: if done.is_empty() {
            String::new()
        } else {
            word("account.done", english).to_owned()
        },
        shell: Shell::new(replica, visitor)?,
        roles,
    };
    Ok(Html(page.render()?))
}

/// The own account; an administrator sees all.
///
/// # Errors
///
/// [`PageError`].
pub async fn show(
    State(replica): State<Replica>,
    Query(after): Query<Done>,
    visitor: Visitor,
) -> Page {
    accounts_page(&replica, &visitor, String::new(), &after.done)
}

fn after(
    replica: &Replica,
    visitor: &Visitor,
    result: Result<(), PageError>,
) -> Result<Response, PageError> {
    let error = match result {
        Ok(()) => return Ok(Redirect::to("/accounts?done=1").into_response()),
        Err(PageError::Command(error @ CommandError::Refused(_))) => {
            refusal(&error, visitor.english)
        }
        Err(PageError::Ops(crate::ops::OpsError::Command(error @ CommandError::Refused(_)))) => {
            refusal(&error, visitor.english)
        }
        Err(other) => return Err(other),
    };
    let page = accounts_page(replica, visitor, error, "")?;
    Ok((axum::http::StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
}

/// A new password for the own account.
#[derive(Deserialize)]
pub struct PasswordForm {
    present: String,
    password: String,
}

/// Changes the own password; all sessions of the account end.
///
/// # Errors
///
/// [`PageError`]; a refusal shows on the page.
pub async fn change_password(
    State(replica): State<Replica>,
    visitor: Visitor,
    Form(form): Form<PasswordForm>,
) -> Result<Response, PageError> {
    let changed = replica.change_password(visitor.login(), form.present, form.password).await;
    after(&replica, &visitor, changed.map_err(PageError::from))
}

/// Opens an account.
///
/// # Errors
///
/// [`PageError`]; a refusal shows on the page.
pub async fn add(
    State(replica): State<Replica>,
    visitor: Visitor,
    Form(form): Form<NewAccount>,
) -> Result<Response, PageError> {
    let done = replica.account(AccountRequest::Add(form)).await;
    after(&replica, &visitor, done.map(|_| ()).map_err(PageError::from))
}

/// What an administrator does with an account.
#[derive(Deserialize)]
pub struct ChangeForm {
    login: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    disabled: Option<bool>,
}

/// Sets another's password, or closes or opens an account.
///
/// # Errors
///
/// [`PageError`]; a refusal shows on the page.
pub async fn change(
    State(replica): State<Replica>,
    visitor: Visitor,
    Form(form): Form<ChangeForm>,
) -> Result<Response, PageError> {
    if form.disabled == Some(true) && form.login == visitor.login() {
        let own = CommandError::Refused(taizhang_core::catalogue::Text {
            zh: "不能停用自己的账号".into(),
            en: "the own account cannot be closed".into(),
        });
        return after(&replica, &visitor, Err(own.into()));
    }
    let (login, password) = (form.login, form.password);
    let request = match form.disabled {
        Some(disabled) => AccountRequest::Disable { login, disabled },
        None => AccountRequest::Reset { login, password },
    };
    let done = replica.account(request).await;
    after(&replica, &visitor, done.map(|_| ()).map_err(PageError::from))
}
