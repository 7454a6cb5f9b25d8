//! A sheet: a question with its fields, as a page of its own or in a dialog, and shown again with what was typed after a
//! refusal.

use std::sync::Arc;

use askama::Template;
use axum::response::{IntoResponse, Response};
use tidegate_service::Error;

use crate::AppState;
use crate::error::{Refusal, html, status};
use crate::form::Fields;
use crate::frame::{Frame, Section};
use crate::session::Visitor;

/// What the handlers of this folder share.
pub(super) type App = Arc<AppState>;

/// What a sheet asks.
pub(super) struct Sheet {
    pub title: String,
    /// What follows from it, a paragraph each.
    pub says: Vec<String>,
    pub fields: Vec<Field>,
    pub button: &'static str,
    /// Whether it takes something away.
    pub is_danger: bool,
    /// Where it is sent.
    pub to: String,
    /// The page that it was opened from.
    pub back: &'static str,
}

/// One thing that it asks for.
pub(super) struct Field {
    name: &'static str,
    label: &'static str,
    hint: &'static str,
    kind: FieldKind,
    value: String,
    is_required: bool,
}

/// How something is asked for.
pub(super) enum FieldKind {
    /// A line, of at most so many characters.
    Line(usize),
    /// A whole number within these bounds.
    Number(i64, i64),
    /// A password: `current-password` or `new-password`, by which browsers know what it is.
    Password(&'static str),
    /// One of these words, each with what it is called.
    Choice(Vec<(String, String)>),
    /// Yes or no.
    Tick,
    /// A text of several lines, such as JSON.
    Area(usize),
    /// What was seen when the sheet was opened.
    Hidden,
}

impl Field {
    pub(super) fn new(name: &'static str, label: &'static str, kind: FieldKind) -> Self {
        Self {
            name,
            label,
            hint: "",
            kind,
            value: String::new(),
            is_required: false,
        }
    }

    pub(super) fn hint(self, hint: &'static str) -> Self {
        Self { hint, ..self }
    }

    pub(super) fn value(self, value: impl Into<String>) -> Self {
        Self {
            value: value.into(),
            ..self
        }
    }

    pub(super) fn required(self) -> Self {
        Self {
            is_required: true,
            ..self
        }
    }

    /// With what was typed, which a password is not shown with.
    fn typed(&mut self, fields: &Fields) {
        match self.kind {
            FieldKind::Password(_) => {}
            _ => fields.raw(self.name).clone_into(&mut self.value),
        }
    }
}

#[derive(Template)]
#[template(path = "settings_sheet.html")]
struct Page {
    frame: Frame,
    sheet: Sheet,
    error: Option<String>,
}

impl Sheet {
    pub(super) fn page(self, visitor: &Visitor) -> Response {
        self.page_with(visitor, None)
    }

    fn page_with(self, visitor: &Visitor, error: Option<String>) -> Response {
        html(&Page {
            frame: Frame::new(visitor, Section::Settings, self.title.clone()),
            sheet: self,
            error,
        })
    }

    /// The sheet again, with what was typed and why it was refused. What nobody can mend on it is a page of its own.
    pub(super) fn refused(
        mut self,
        visitor: &Visitor,
        fields: &Fields,
        error: Error,
    ) -> Result<Response, Refusal> {
        if matches!(
            error.kind,
            tidegate_service::Kind::Forbidden | tidegate_service::Kind::NotFound
        ) {
            return Err(error.into());
        }
        for field in &mut self.fields {
            field.typed(fields);
        }
        let page = self.page_with(visitor, Some(error.message));
        Ok((status(error.kind), page).into_response())
    }

    /// After the deed: to where `done` leads, or the sheet again with why not.
    pub(super) fn answer<T>(
        self,
        visitor: &Visitor,
        fields: &Fields,
        result: Result<T, Error>,
        done: impl FnOnce(T) -> Response,
    ) -> Result<Response, Refusal> {
        match result {
            Ok(made) => Ok(done(made)),
            Err(error) => self.refused(visitor, fields, error),
        }
    }
}
