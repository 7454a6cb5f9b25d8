//! Builders: one package, its builds and rollouts, and devices that ask.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use tidegate_domain::{
    Audience, Build, BuildFacts, BuildId, BuildRejection, BuildSteps, Catalog, Consent, Decision,
    DeviceFacts, Hold, Overlay, PackageName, Percent, Policy, PolicyId, PolicySpec, PolicySubject,
    PolicyTerms, PollRequest, Provenance, Reason, Rejection, Release, Rollout, RolloutId, RolloutSettings,
    RolloutSpec, RolloutState, SdkLevel, Sha256, SignerFingerprint, Signers, Track, VersionCode, decide,
    explain,
};

pub(crate) const PACKAGE: &str = "com.example.app";

/// Who signs, unless a test says otherwise.
pub(crate) const SIGNER: SignerFingerprint = SignerFingerprint([0xaa; 32]);

/// Devices by their unsalted cohort: bucket 688, 2263 and 8990.
pub(crate) const IN_7_PERCENT: &str = "0c5c7fd0a6a3a450";
pub(crate) const IN_23_PERCENT: &str = "abc123";
pub(crate) const IN_90_PERCENT: &str = "dev-001";

pub(crate) fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap()
}

pub(crate) fn version(code: i64) -> VersionCode {
    VersionCode::new(code).unwrap()
}

pub(crate) fn percent(share: i64) -> Percent {
    Percent::new(share).unwrap()
}

/// A build without native code, for every device, of version code `10 × id`.
pub(crate) fn build(id: i64) -> Build {
    Build {
        id: BuildId(id),
        facts: BuildFacts {
            package: PackageName::parse(PACKAGE).unwrap(),
            version_code: version(10 * id),
            version_name: format!("{id}.0"),
            sha256: Sha256([1; 32]),
            size: 1_000_000,
            signers: Signers::one(SIGNER),
            schemes: vec!["v2".to_owned(), "v3".to_owned()],
            min_sdk: 21,
            target_sdk: 35,
            abis: vec![],
            debuggable: false,
            installability: None,
            lineage: vec![],
            warnings: vec![],
        },
        provenance: Provenance {
            notes: "Fixes".to_owned(),
            build_type: "release".to_owned(),
            ci_run_id: "1".to_owned(),
            git_sha: "0000000".to_owned(),
            uploaded_by: "ci".to_owned(),
            uploaded_at: at(0),
        },
        steps: BuildSteps::default(),
    }
}

/// An active rollout of a build to everybody; its id is the build's.
pub(crate) fn release(build: Build) -> Release {
    Release {
        rollout: Rollout {
            id: RolloutId(build.id.0),
            spec: RolloutSpec {
                package: build.facts.package.clone(),
                build: build.id,
                name: String::new(),
                priority: 0,
                revision: 1,
                state: RolloutState::Active,
                is_current: true,
                settings: RolloutSettings::to(Percent::EVERYBODY),
                retry_generation: 1,
                previous: None,
                rolled_back_from: None,
                takes_back: None,
                experiment: None,
                plan: None,
                gate: None,
                consent: Consent::default(),
                keep_previous: false,
                created_by: "ada".to_owned(),
                created_at: at(0),
            },
        },
        build: Arc::new(build),
    }
}

/// The same with another spec.
pub(crate) fn with(mut release: Release, edit: impl FnOnce(&mut RolloutSpec)) -> Release {
    edit(&mut release.rollout.spec);
    release
}

/// The same with other facts in its build.
pub(crate) fn of(mut release: Release, edit: impl FnOnce(&mut BuildFacts)) -> Release {
    edit(&mut Arc::make_mut(&mut release.build).facts);
    release
}

/// A catalog of one package. The first release is the current one; the server also holds the `stored` builds.
pub(crate) fn catalog_with(serving: Vec<Release>, stored: &[Build]) -> Catalog {
    let serving: Vec<Release> = serving
        .into_iter()
        .enumerate()
        .map(|(at, release)| with(release, |spec| spec.is_current = at == 0))
        .collect();
    let mut known_signers: Vec<_> = serving
        .iter()
        .map(|release| &*release.build)
        .chain(stored)
        .map(|build| (build.facts.version_code, build.facts.signers.clone()))
        .collect();
    known_signers.sort_by_key(|(version, _)| *version);
    known_signers.dedup();
    let builds = serving.iter().map(|release| &*release.build).chain(stored);
    let mut barriers: Vec<_> = builds
        .filter(|build| build.steps.barrier)
        .map(|build| Arc::new(build.clone()))
        .collect();
    barriers.sort_by_key(|build| build.facts.version_code);
    Catalog::new([Track {
        serving,
        barriers,
        known_signers,
        ..Track::empty(PackageName::parse(PACKAGE).unwrap())
    }])
}

pub(crate) fn catalog(serving: Vec<Release>) -> Catalog {
    catalog_with(serving, &[])
}

/// A device that polls: what it runs, what it says of itself and which builds it gave up.
#[derive(Clone, Debug)]
pub(crate) struct Phone {
    pub(crate) id: String,
    pub(crate) installed: VersionCode,
    pub(crate) facts: DeviceFacts<'static>,
    pub(crate) rejections: Vec<BuildRejection>,
    pub(crate) overlay: Overlay,
}

/// A device that states nothing but its id and the version it runs.
pub(crate) fn phone(id: &str, installed: i64) -> Phone {
    Phone {
        id: id.to_owned(),
        installed: version(installed),
        facts: DeviceFacts::default(),
        rejections: vec![],
        overlay: Overlay::default(),
    }
}

/// A policy of all packages.
pub(crate) fn policy(
    id: i64,
    subject: PolicySubject,
    max_version: Option<i64>,
    hold: Option<Hold>,
) -> Policy {
    Policy {
        id: PolicyId(id),
        spec: PolicySpec {
            subject,
            package: None,
            terms: PolicyTerms {
                max_version: max_version.map(version),
                hold,
            },
            remark: format!("reason {id}"),
        },
        created_by: "olga".to_owned(),
        created_at: at(0),
    }
}

impl Phone {
    pub(crate) fn sdk(mut self, sdk: SdkLevel) -> Self {
        self.facts.sdk = Some(sdk);
        self
    }

    pub(crate) fn region(mut self, region: &'static str) -> Self {
        self.facts.region = Some(region.into());
        self
    }

    pub(crate) fn abis(mut self, abis: &'static str) -> Self {
        self.facts.abis = Some(abis.into());
        self
    }

    pub(crate) fn tagged(mut self, tags: &[&str]) -> Self {
        self.overlay = Overlay::new(tags.iter().map(|tag| tag.parse().unwrap()));
        self
    }

    /// It gave a build up for good in a retry generation.
    pub(crate) fn gave_up(self, build: i64, retry_generation: u32) -> Self {
        self.rejects(build, retry_generation, None)
    }

    /// It does not take a build of a retry generation until then.
    pub(crate) fn rejects(mut self, build: i64, retry_generation: u32, until: Option<i64>) -> Self {
        let rejection = Rejection {
            retry_generation,
            until: until.map(at),
        };
        self.rejections.push((BuildId(build), rejection));
        self
    }

    pub(crate) fn poll(&self) -> PollRequest<'_> {
        PollRequest::new(
            &self.id,
            PACKAGE,
            self.installed,
            &self.facts,
            &self.rejections,
            &self.overlay,
        )
    }
}

/// The devices of these regions and models.
pub(crate) fn those_of(regions: &[&str], models: &[&str]) -> Audience {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    Audience::of_lists(owned(regions), owned(models)).unwrap()
}

/// The build offered, or why none is; asked both ways, which must agree.
pub(crate) fn answer(catalog: &Catalog, phone: &Phone) -> Result<i64, Reason> {
    let decision = decide(catalog, &phone.poll(), at(0));
    assert_eq!(explain(catalog, &phone.poll(), at(0)).decision, decision);
    match decision {
        Decision::Offer(offer) => Ok(offer.build.id.0),
        Decision::NoUpdate(reason) => Err(reason),
    }
}
