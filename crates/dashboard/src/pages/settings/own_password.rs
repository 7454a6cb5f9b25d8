//! Changing one's own password, which everybody may who knows the old one.

use axum::extract::State;
use axum::http::request::Parts;
use axum::response::Response;
use tidegate_service::Error;

use super::people::{password, password_field};
use super::sheet::{App, Field, FieldKind, Sheet};
use crate::error::Refusal;
use crate::form::{Fields, Posted};
use crate::origin;
use crate::pages::login::{login_from, welcome};
use crate::session::Visitor;

fn sheet() -> Sheet {
    let old = FieldKind::Password("current-password");
    Sheet {
        title: "Change my password".to_owned(),
        says: vec!["You stay logged in here and are logged out everywhere else.".to_owned()],
        fields: vec![
            Field::new("old_password", "Old password", old),
            password_field("new_password", "New password"),
            password_field("again", "New password once more"),
        ],
        button: "Change password",
        is_danger: false,
        to: "/settings/password".to_owned(),
        back: "/",
    }
}

pub(super) async fn page(visitor: Visitor) -> Response {
    sheet().page(&visitor)
}

pub(super) async fn change(
    State(app): State<App>,
    parts: Parts,
    Posted { visitor, fields }: Posted,
) -> Result<Response, Refusal> {
    let from = login_from(&parts.headers, &parts.extensions);
    let changed = async {
        check_typed(&fields)?;
        let (old, new) = (
            password(&fields, "old_password"),
            password(&fields, "new_password"),
        );
        app.users
            .change_own_password(&visitor.actor, old, new, &from)
            .await
    };
    let changed = changed.await;
    let https = origin::is_https(&parts.headers);
    sheet().answer(&visitor, &fields, changed, |login| {
        welcome(&app, &login, "/?done=password_changed", https)
    })
}

fn check_typed(fields: &Fields) -> Result<(), Error> {
    if fields.raw("new_password") == fields.raw("again") {
        return Ok(());
    }
    Err(Error::invalid(
        "again",
        "must be the new password once more: the two differ",
    ))
}
