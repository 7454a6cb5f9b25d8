//! Audiences.

use tidegate_domain::{Audience, Error as Rule, PackageName, Role};
use tidegate_proto::v1;
use tidegate_service::{Actor, Audiences, Error};

/// An audience in either of its forms; none is everybody.
///
/// # Errors
/// What [`Audience::parse`] and [`Audience::of_lists`] refuse, and both forms at once.
pub(crate) fn read(message: Option<v1::Audience>) -> Result<Audience, Rule> {
    let v1::Audience {
        expression,
        regions,
        models,
    } = message.unwrap_or_default();
    match (expression.is_empty(), regions.is_empty() && models.is_empty()) {
        (true, _) => Audience::of_lists(regions, models),
        (false, true) => Audience::parse(&expression),
        (false, false) => {
            let fault = "is either an expression or lists of regions and models, not both";
            Err(Rule::invalid("audience", fault))
        }
    }
}

/// An expression that cannot be read is what is asked about here, and no fault of the request: the answer tells it in
/// parts, so that an editor can point at it.
pub(crate) async fn check(
    audiences: &Audiences,
    actor: &Actor,
    request: v1::CheckAudienceRequest,
) -> Result<v1::CheckAudienceResponse, Error> {
    actor.require(Role::Viewer)?;
    let package = match request.package_name.as_str() {
        "" => None,
        name => Some(PackageName::parse(name)?),
    };
    let audience = match read(request.audience) {
        Ok(audience) => audience,
        Err(Rule::Audience {
            position,
            fault,
            suggestion,
        }) => {
            return Ok(v1::CheckAudienceResponse {
                error: Some(v1::AudienceError {
                    position: i64::try_from(position).unwrap_or(i64::MAX),
                    fault,
                    suggestion,
                }),
                ..v1::CheckAudienceResponse::default()
            });
        }
        Err(error) => return Err(error.into()),
    };
    let reach = audiences.reach(&audience, package.as_ref()).await?;
    let count = |devices: u64| i64::try_from(devices).unwrap_or(i64::MAX);
    Ok(v1::CheckAudienceResponse {
        expression: audience.to_string(),
        devices: count(reach.devices),
        estimated: reach.estimated,
        total: count(reach.total),
        examples: reach.examples.iter().map(ToString::to_string).collect(),
        error: None,
        unknown_tags: reach.unknown_tags.into_iter().collect(),
    })
}
