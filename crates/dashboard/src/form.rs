//! Reading what a page of ours posts: bounded, from a session, and with its token.

use std::sync::Arc;

use axum::extract::{FromRequest, Request};
use axum::response::{IntoResponse, Response};
use tidegate_service::{Error, Kind, STALE_FORM};

use crate::AppState;
use crate::error::Refusal;
use crate::origin;
use crate::session::Visitor;

/// The largest form, in bytes. A list of chosen devices is the longest thing in one.
pub(crate) const MAX_FORM_BYTES: usize = 256 * 1024;

/// The fields of a form.
#[derive(Default)]
pub(crate) struct Fields(Vec<(String, String)>);

impl Fields {
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        Self(form_urlencoded::parse(bytes).into_owned().collect())
    }

    /// A field's text without the spaces around it; empty when it is not there.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.raw(name).trim()
    }

    /// A field's text as it was typed.
    pub(crate) fn raw(&self, name: &str) -> &str {
        let field = self.0.iter().find(|(field, _)| field == name);
        field.map_or("", |(_, value)| value.as_str())
    }

    /// Whether there is such a field, whatever it holds.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(field, _)| field == name)
    }

    /// The texts of a field that may come several times.
    pub(crate) fn each(&self, name: &str) -> impl Iterator<Item = &str> {
        let fields = self.0.iter().filter(move |(field, _)| field == name);
        fields.map(|(_, value)| value.trim())
    }

    /// A field's text, if there is any.
    pub(crate) fn given(&self, name: &str) -> Option<String> {
        Some(self.text(name))
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    }

    /// Whether a box was ticked.
    pub(crate) fn ticked(&self, name: &str) -> bool {
        !self.raw(name).is_empty()
    }

    /// A field that is a number.
    pub(crate) fn decimal(&self, name: &str) -> Result<f64, Error> {
        self.text(name)
            .parse()
            .map_err(|_| Error::invalid(name, "must be a number"))
    }

    /// A field that is a whole number.
    pub(crate) fn number(&self, name: &str) -> Result<i64, Error> {
        self.text(name)
            .parse()
            .map_err(|_| Error::invalid(name, "must be a whole number"))
    }

    /// What a form says that its page showed: a number of at least 0; none where it says nothing.
    pub(crate) fn seen(&self, name: &str) -> Result<Option<u32>, Error> {
        match self.given(name) {
            None => Ok(None),
            Some(_) => match u32::try_from(self.number(name)?) {
                Ok(seen) => Ok(Some(seen)),
                Err(_) => Err(Error::invalid(name, "must not be negative")),
            },
        }
    }
}

/// A form that somebody of ours sent from a page of ours.
pub(crate) struct Posted {
    pub visitor: Visitor,
    pub fields: Fields,
}

impl FromRequest<Arc<AppState>> for Posted {
    type Rejection = Response;

    async fn from_request(request: Request, app: &Arc<AppState>) -> Result<Self, Response> {
        if origin::is_foreign(request.headers(), request.uri()) {
            return Err(foreign());
        }
        let (mut parts, body) = request.into_parts();
        let visitor = {
            use axum::extract::FromRequestParts as _;
            Visitor::from_request_parts(&mut parts, app).await?
        };
        let fields = read(body).await?;
        if !visitor.made(fields.raw("csrf")) {
            return Err(stale());
        }
        Ok(Self { visitor, fields })
    }
}

/// Reads a form's fields.
pub(crate) async fn read(body: axum::body::Body) -> Result<Fields, Response> {
    let bytes = axum::body::to_bytes(body, MAX_FORM_BYTES).await.map_err(|_| {
        let message = format!("the form is larger than {MAX_FORM_BYTES} bytes or was cut off");
        Refusal(Error::new(Kind::TooLarge, "too_large", message)).into_response()
    })?;
    Ok(Fields::parse(&bytes))
}

/// The refusal of a form that another site's page sent.
pub(crate) fn foreign() -> Response {
    let message = "this form was sent by a page of another site; open the dashboard and do it there";
    Refusal(Error::new(Kind::Forbidden, "foreign_form", message)).into_response()
}

/// The refusal of a form without this session's token.
pub(crate) fn stale() -> Response {
    let message = "this form belongs to another session; go back, load the page again and repeat it";
    Refusal(Error::new(Kind::Forbidden, STALE_FORM, message)).into_response()
}
