//! How handlers come to their use cases: each takes those that it calls as `State`, and none sees the others.

use std::sync::Arc;

use axum::extract::FromRef;
use tidegate_service::{
    AdminTokens, Audiences, AuditLog, Authenticator, Builds, Calendars, Devices, Downloads, Experiments,
    Fleet, Forecasts, Nudges, Packages, Patches, Policies, Readiness, Reports, Rollouts, ServiceAccounts,
    Tags, Uploads, Users,
};
use utoipa_axum::router::OpenApiRouter;

use crate::{Api, MetricsPage};

/// The state of the REST routes.
#[derive(Clone)]
pub(crate) struct AppState(pub Arc<Api>);

/// Routes whose handlers take their use cases out of the state.
pub(crate) type Routes = OpenApiRouter<AppState>;

/// Gives handlers these of [`Api`]'s fields.
macro_rules! give {
    ($($field:ident: $use_case:ty,)+) => {
        $(impl FromRef<AppState> for $use_case {
            fn from_ref(AppState(api): &AppState) -> Self {
                api.$field.clone()
            }
        })+
    };
}

give! {
    audiences: Arc<Audiences>,
    audit: Arc<AuditLog>,
    authenticator: Arc<Authenticator>,
    builds: Arc<Builds>,
    calendars: Arc<Calendars>,
    devices: Arc<Devices>,
    downloads: Arc<Downloads>,
    experiments: Arc<Experiments>,
    fleet: Arc<Fleet>,
    forecasts: Arc<Forecasts>,
    metrics: Option<Arc<dyn MetricsPage>>,
    nudges: Arc<Nudges>,
    packages: Arc<Packages>,
    patches: Arc<Patches>,
    policies: Arc<Policies>,
    readiness: Arc<Readiness>,
    reports: Arc<Reports>,
    rollouts: Arc<Rollouts>,
    service_accounts: Arc<ServiceAccounts>,
    tags: Arc<Tags>,
    tokens: Arc<AdminTokens>,
    uploads: Arc<Uploads>,
    users: Arc<Users>,
}
