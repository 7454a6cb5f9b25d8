//! The OpenAPI document, made of the very types and routes that serve.

use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

/// The frame that the routes are put into.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tidegate",
        description = "Update server for fleets of Android devices. Errors are RFC 9457 problems with a stable `code`.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    modifiers(&Credentials),
    tags(
        (name = "agent", description = "What agents on devices call"),
        (name = "builds", description = "Signed APKs"),
        (name = "rollouts", description = "Offers to a share of the fleet"),
        (name = "packages", description = "Whose signature builds must carry"),
        (name = "nudges", description = "Waking devices through FCM"),
        (name = "devices", description = "The fleet"),
        (name = "audit", description = "Who changed what"),
        (name = "auth", description = "Users"),
        (name = "health", description = "The server itself"),
    )
)]
pub(crate) struct Document;

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
