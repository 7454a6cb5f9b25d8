//! Experiments: how they begin and end, and what there were.

use tidegate_domain::{
    self as domain, Experiment, ExperimentChange, ExperimentId, ExperimentStart, PackageName, Rollout, Track,
};

use crate::store::run;
use crate::{Actor, Attempts, Error, Page, Paged, Store};

/// Which experiments; everything left out matches all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExperimentFilter {
    /// Of this package.
    pub package: Option<PackageName>,
}

/// An experiment, and the rollouts that are its arms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExperimentWithArms {
    /// The experiment.
    pub experiment: Experiment,
    /// Its arms in their order, those that ended as well.
    pub arms: Vec<Rollout>,
}

/// What changing an experiment did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExperimentChanged {
    /// The experiment as it stands.
    pub now: ExperimentWithArms,
    /// Whether anything was written.
    pub changed: bool,
}

impl Store {
    /// Begins an experiment by a pure rule, as [`Store::change_track`] changes a track: in one transaction that holds the
    /// package for itself, with all arms, one audit entry (target `package/<name>`) and the catalog's epoch. The rule is
    /// handed the experiments whose arms serve.
    ///
    /// # Errors
    /// [`Error::Rule`] when the rule refuses; [`Error::NotFound`], [`Error::BuildDeleted`] for a build of an arm. Nothing
    /// was written then.
    pub async fn start_experiment<F>(
        &self,
        package: PackageName,
        actor: Actor,
        rule: F,
    ) -> Result<ExperimentChanged, Error>
    where
        F: Fn(&Track, &[Experiment], &Attempts) -> Result<ExperimentStart, domain::Error> + Send + 'static,
    {
        run!(self, urgent, experiments::start(&package, &actor, &rule))
    }

    /// Concludes an experiment by a pure rule, in one transaction: its arms, the base, what is said of the experiment, one
    /// audit entry with how it stood before and after, and the catalog's epoch. A rule that leaves the experiment as it
    /// is writes nothing.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Rule`] when the rule refuses; [`Error::BuildDeleted`] for the winner. Nothing was
    /// written then.
    pub async fn conclude_experiment<F>(
        &self,
        id: ExperimentId,
        actor: Actor,
        rule: F,
    ) -> Result<ExperimentChanged, Error>
    where
        F: Fn(&Track, &ExperimentWithArms, &Attempts) -> Result<ExperimentChange, domain::Error>
            + Send
            + 'static,
    {
        run!(self, urgent, experiments::conclude(id, &actor, &rule))
    }

    /// One experiment.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn experiment(&self, id: ExperimentId) -> Result<ExperimentWithArms, Error> {
        run!(self, snapshot, experiments::get(id))
    }

    /// The experiments that match, newest first.
    ///
    /// # Errors
    /// [`Error::Rule`] for a page token that no page gave.
    pub async fn experiments(
        &self,
        filter: ExperimentFilter,
        page: Page,
    ) -> Result<Paged<ExperimentWithArms>, Error> {
        run!(self, snapshot, experiments::list(&filter, &page))
    }
}
