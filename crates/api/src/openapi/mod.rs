//! The OpenAPI document, made of the very types and routes that serve.

mod limits;
mod whole;

use axum::Router;
use axum::body::Bytes;
use axum::http::header;
use axum::routing::get;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

/// The frame that the routes are put into.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tidegate",
        description = "Update server for fleets of Android devices. Errors are RFC 9457 problems with a stable `code`.",
        contact(name = "The operators of this server"),
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    modifiers(&Credentials),
    tags(
        (name = "agent", description = "What agents on devices call"),
        (name = "builds", description = "Signed APKs"),
        (name = "rollouts", description = "Offers to a share of the fleet"),
        (name = "experiments", description = "Builds tried side by side"),
        (name = "packages", description = "Whose signature builds must carry"),
        (name = "nudges", description = "Waking devices through FCM"),
        (name = "devices", description = "The fleet"),
        (name = "tags", description = "Labels of the operators' on devices"),
        (name = "policies", description = "Ceilings and holds above all rollouts"),
        (name = "calendars", description = "At which times rollouts reach devices"),
        (name = "audit", description = "Who changed what"),
        (name = "auth", description = "Logging in"),
        (name = "people", description = "Users, service accounts and their tokens"),
        (name = "health", description = "The server itself"),
    )
)]
struct Document;

/// Serves the document of these routes. It is written once, and everybody is handed the same bytes.
pub(crate) fn route(routes: impl IntoIterator<Item = utoipa::openapi::OpenApi>) -> Router {
    let mut document = Document::openapi();
    for paths in routes {
        document.merge(paths);
    }
    document.info.version = env!("CARGO_PKG_VERSION").to_owned();
    // It holds nothing that JSON can't.
    let document = serde_json::to_value(document).unwrap_or_default();
    let text = Bytes::from(whole::made(document).to_string());
    let answer = ([(header::CONTENT_TYPE, "application/json")], text);
    Router::new().route("/openapi.json", get(move || std::future::ready(answer.clone())))
}

struct Credentials;

impl Modify for Credentials {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        let bearer = |description: &str| {
            SecurityScheme::Http(
                HttpBuilder::new()
                    .scheme(HttpAuthScheme::Bearer)
                    .description(Some(description))
                    .build(),
            )
        };
        components.add_security_scheme(
            "admin_token",
            bearer("A token with a role, from a login or the console"),
        );
        components.add_security_scheme("device_token", bearer("A device's token, from its enrolment"));
    }
}
