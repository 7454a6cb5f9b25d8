//! Logging in.

use tidegate_proto::v1;
use tidegate_service::{Error, LoginFrom, Users};
use tidegate_signing::ExposeSecret;

use crate::messages::time;

pub(crate) async fn login(
    users: &Users,
    request: v1::LoginRequest,
    from: &LoginFrom,
) -> Result<v1::LoginResponse, Error> {
    let login = users.log_in(&request.name, request.password.into(), from).await?;
    Ok(v1::LoginResponse {
        token: login.token.expose_secret().to_owned(),
        role: login.role.to_string(),
        expires_at: time(login.expires_at),
    })
}
