//! People, service accounts and their tokens.

use std::sync::Arc;

use tidegate_proto::v1;
use tidegate_proto::v1::people_service_server::PeopleService;
use tidegate_service::{AdminTokens, ServiceAccounts, Users};
use tonic::{Request, Response, Status};

use super::actor;
use crate::problem::status;
use crate::verbs;

pub(super) struct Service {
    pub users: Arc<Users>,
    pub service_accounts: Arc<ServiceAccounts>,
    pub tokens: Arc<AdminTokens>,
}

#[tonic::async_trait]
impl PeopleService for Service {
    async fn log_out(
        &self,
        request: Request<v1::LogOutRequest>,
    ) -> Result<Response<v1::LogOutResponse>, Status> {
        call!(request, verbs::people::log_out, self.users)
    }

    async fn list_users(
        &self,
        request: Request<v1::ListUsersRequest>,
    ) -> Result<Response<v1::ListUsersResponse>, Status> {
        call!(request, verbs::people::list_users, self.users)
    }

    async fn add_user(&self, request: Request<v1::AddUserRequest>) -> Result<Response<v1::User>, Status> {
        call!(request, verbs::people::add_user, self.users)
    }

    async fn disable_user(
        &self,
        request: Request<v1::DisableUserRequest>,
    ) -> Result<Response<v1::User>, Status> {
        call!(request, verbs::people::disable_user, self.users)
    }

    async fn enable_user(
        &self,
        request: Request<v1::EnableUserRequest>,
    ) -> Result<Response<v1::User>, Status> {
        call!(request, verbs::people::enable_user, self.users)
    }

    async fn set_user_role(
        &self,
        request: Request<v1::SetUserRoleRequest>,
    ) -> Result<Response<v1::User>, Status> {
        call!(request, verbs::people::set_user_role, self.users)
    }

    async fn set_user_password(
        &self,
        request: Request<v1::SetUserPasswordRequest>,
    ) -> Result<Response<v1::User>, Status> {
        call!(request, verbs::people::set_user_password, self.users)
    }

    async fn remove_user(
        &self,
        request: Request<v1::RemoveUserRequest>,
    ) -> Result<Response<v1::RemoveUserResponse>, Status> {
        call!(request, verbs::people::remove_user, self.users)
    }

    async fn list_service_accounts(
        &self,
        request: Request<v1::ListServiceAccountsRequest>,
    ) -> Result<Response<v1::ListServiceAccountsResponse>, Status> {
        call!(
            request,
            verbs::people::list_service_accounts,
            self.service_accounts
        )
    }

    async fn add_service_account(
        &self,
        request: Request<v1::AddServiceAccountRequest>,
    ) -> Result<Response<v1::IssuedToken>, Status> {
        call!(request, verbs::people::add_service_account, self.service_accounts)
    }

    async fn add_service_token(
        &self,
        request: Request<v1::AddServiceTokenRequest>,
    ) -> Result<Response<v1::IssuedToken>, Status> {
        call!(request, verbs::people::add_service_token, self.service_accounts)
    }

    async fn remove_service_account(
        &self,
        request: Request<v1::RemoveServiceAccountRequest>,
    ) -> Result<Response<v1::RemoveServiceAccountResponse>, Status> {
        call!(
            request,
            verbs::people::remove_service_account,
            self.service_accounts
        )
    }

    async fn list_tokens(
        &self,
        request: Request<v1::ListTokensRequest>,
    ) -> Result<Response<v1::ListTokensResponse>, Status> {
        call!(request, verbs::people::list_tokens, self.tokens)
    }

    async fn revoke_token(
        &self,
        request: Request<v1::RevokeTokenRequest>,
    ) -> Result<Response<v1::AdminToken>, Status> {
        call!(request, verbs::people::revoke_token, self.tokens)
    }
}
