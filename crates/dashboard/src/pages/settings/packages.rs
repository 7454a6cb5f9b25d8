//! Packages: whose signature their builds carry, which releases wait for a second person, and what is proposed for them.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use tidegate_domain::gate::{GateMode, GateSettings, GateTerms, OnHalt, Tolerance};
use tidegate_domain::{MAX_PACKAGE_NAME_BYTES, PackageName, Plan, Role, SignerFingerprint};
use tidegate_service::{Error, Kind, Package, PackageEdit};

use super::super::build::signers;
use super::sheet::{App, Field, FieldKind, Sheet};
use super::{Query, Tab, done, next_of, no_such_page, page_of};
use crate::error::{Refusal, html};
use crate::form::{Fields, Posted};
use crate::frame::{Frame, Section};
use crate::pages::plan_words;
use crate::session::Visitor;
use crate::show;

#[derive(Template)]
#[template(path = "settings_packages.html")]
struct Page {
    frame: Frame,
    tab: Tab,
    rows: Vec<Row>,
    next: Option<String>,
}

struct Row {
    package: Package,
    path: String,
    /// The API levels that see a signer, and it.
    signers: Vec<(String, String)>,
    /// The steps of its plan, in words; none: the one that is proposed to all.
    plan: Vec<String>,
    gate: String,
    /// What waits for another admin.
    asked: Option<String>,
}

pub(super) async fn page(
    State(app): State<App>,
    visitor: Visitor,
    Query(query): Query,
) -> Result<Response, Refusal> {
    visitor.actor.require(Role::Admin)?;
    let packages = app.packages.list(page_of(&query)?).await?;
    Ok(html(&Page {
        rows: packages.items.into_iter().map(row).collect(),
        next: next_of(packages.next_page_token),
        tab: Tab::Packages,
        frame: Frame::new(&visitor, Section::Settings, "Packages").after(&query),
    }))
}

fn row(package: Package) -> Row {
    let plan = package.plan.as_ref();
    let steps = plan.map(|plan| {
        let steps = plan.steps().iter().zip(package.approval.waits_of(plan));
        steps.map(|(step, waits)| plan_words::step(step, waits)).collect()
    });
    let asked = package.approval_request.as_ref().map(|request| {
        format!(
            "{} asked for “{}”, {}: another admin has to ask for the same",
            request.by,
            request.approval,
            show::utc(request.at)
        )
    });
    Row {
        path: path_of(&package.name),
        signers: package.pin.as_ref().map(signers).unwrap_or_default(),
        plan: steps.unwrap_or_default(),
        gate: gate_words(package.gate),
        asked,
        package,
    }
}

fn gate_words(gate: Option<GateTerms>) -> String {
    let Some(gate) = gate else {
        return "none".to_owned();
    };
    let does = match (gate.settings.mode, gate.on_halt) {
        (GateMode::Watch, _) => "only shows",
        (GateMode::Hold, _) => "does not advance",
        (GateMode::Act, OnHalt::Hold) => "halts",
        (GateMode::Act, OnHalt::RollBack) => "halts and rolls back",
    };
    let failed = gate.settings.failed_percent.as_percent();
    format!("{does} above {failed} % failed")
}

fn path_of(name: &PackageName) -> String {
    format!("{}/{}", Tab::Packages.path(), show::segment(name.as_str()))
}

/// What is changed about a package.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    Pin,
    Unpin,
    Debuggable,
    Approval,
    Plan,
    Gate,
}

impl Verb {
    fn of(word: &str) -> Result<Self, Error> {
        match word {
            "pin" => Ok(Self::Pin),
            "unpin" => Ok(Self::Unpin),
            "debuggable" => Ok(Self::Debuggable),
            "approval" => Ok(Self::Approval),
            "plan" => Ok(Self::Plan),
            "gate" => Ok(Self::Gate),
            _ => Err(no_such_page()),
        }
    }

    fn sheet(self, package: &Package, word: &str) -> Sheet {
        let (title, says, button) = match self {
            Self::Pin => (
                "Pin the signer of",
                "Builds that another certificate signed are refused from now on. Devices would refuse them as well.",
                "Pin",
            ),
            Self::Unpin => (
                "Take the pin from",
                "The next build that is uploaded decides whose signature all later ones carry.",
                "Take the pin away",
            ),
            Self::Debuggable => (
                "Debuggable builds of",
                "Whoever holds a device can read and change what a debuggable app keeps. Allow it for tests alone.",
                "Save",
            ),
            Self::Approval => (
                "Approval of releases of",
                "A release that waits offers nothing until another person approves it. Raising approval holds at once; \
                 lowering it waits until another admin asks for the same.",
                "Save",
            ),
            Self::Plan => (
                "Plan template of",
                "What the promote dialog proposes. Rollouts that have begun stay as they are.",
                "Save",
            ),
            Self::Gate => (
                "Gate template of",
                "What the promote dialog proposes, and what promotions have that do not speak of a gate.",
                "Save",
            ),
        };
        Sheet {
            title: format!("{title} {}", package.name),
            says: vec![says.to_owned()],
            fields: self.fields(package),
            button,
            is_danger: self == Self::Unpin,
            to: format!("{}/{word}", path_of(&package.name)),
            back: Tab::Packages.path(),
        }
    }

    fn fields(self, package: &Package) -> Vec<Field> {
        match self {
            Self::Pin => {
                let field = Field::new("signer", "Signer", FieldKind::Line(128));
                vec![field.hint("SHA-256 of the certificate, in hex").required()]
            }
            Self::Unpin => Vec::new(),
            Self::Debuggable => vec![debuggable(package.allow_debuggable)],
            Self::Approval => vec![
                Field::new("approval", "Releases that wait", FieldKind::Line(32))
                    .hint("never, always, or above 5 %")
                    .value(package.approval.to_string())
                    .required(),
                Field::new("break_glass", "Lower it without a second person", FieldKind::Tick)
                    .hint("for when there is none; the audit log says so"),
            ],
            Self::Plan => {
                let field = Field::new("plan", "Plan as JSON", FieldKind::Area(12));
                let hint = "each step with percent, and over, bake, not_before, approve if need be; empty: the plan that is \
                            proposed to all";
                vec![field.hint(hint).value(plan_text(package.plan.as_ref()))]
            }
            Self::Gate => gate_fields(package.gate),
        }
    }

    async fn run(
        self,
        app: &App,
        visitor: &Visitor,
        name: &PackageName,
        fields: &Fields,
    ) -> Result<Package, Error> {
        let (packages, actor) = (&app.packages, &visitor.actor);
        let edit = match self {
            Self::Pin => {
                let signer = SignerFingerprint::parse(fields.text("signer"))?;
                return packages.pin(actor, name, signer).await;
            }
            Self::Unpin => return packages.unpin(actor, name).await,
            Self::Debuggable => {
                let allow = yes_or_no(fields, "debuggable")?;
                return packages.allow_debuggable(actor, name, allow).await;
            }
            Self::Approval => PackageEdit {
                approval: Some(fields.text("approval").parse()?),
                break_glass: fields.ticked("break_glass"),
                ..PackageEdit::default()
            },
            Self::Plan => PackageEdit {
                plan: Some(plan(fields)?),
                ..PackageEdit::default()
            },
            Self::Gate => PackageEdit {
                gate: Some(gate(fields)?),
                ..PackageEdit::default()
            },
        };
        packages.edit(actor, name, edit).await
    }
}

fn debuggable(allowed: bool) -> Field {
    let options = [("no", "refused"), ("yes", "taken in")];
    let options = options.map(|(word, words)| (word.to_owned(), words.to_owned()));
    let field = Field::new(
        "debuggable",
        "Debuggable builds are",
        FieldKind::Choice(options.into()),
    );
    field.value(if allowed { "yes" } else { "no" })
}

fn yes_or_no(fields: &Fields, name: &str) -> Result<bool, Error> {
    match fields.text(name) {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err(Error::invalid(name, "must be yes or no")),
    }
}

fn plan_text(plan: Option<&Plan>) -> String {
    plan.and_then(|plan| serde_json::to_string_pretty(plan).ok())
        .unwrap_or_default()
}

fn plan(fields: &Fields) -> Result<Option<Plan>, Error> {
    let unread = |fault| Error::invalid("plan", format!("does not read: {fault}"));
    match fields.text("plan") {
        "" => Ok(None),
        text => serde_json::from_str(text).map(Some).map_err(unread),
    }
}

fn gate_fields(gate: Option<GateTerms>) -> Vec<Field> {
    let terms = gate.unwrap_or_default();
    let settings = terms.settings;
    let modes = [
        ("none", "there is no gate"),
        (GateMode::Watch.as_str(), "it only shows"),
        (GateMode::Hold.as_str(), "it does not let the plan advance"),
        (GateMode::Act.as_str(), "it halts the rollout as well"),
    ];
    let after = [
        (OnHalt::Hold.as_str(), "it stays halted until somebody has looked"),
        (OnHalt::RollBack.as_str(), "it is rolled back"),
    ];
    let options = |words: &[(&str, &str)]| {
        let words = words
            .iter()
            .map(|(word, words)| ((*word).to_owned(), (*words).to_owned()));
        FieldKind::Choice(words.collect())
    };
    let tick = |name, label, is_ticked| {
        let field = Field::new(name, label, FieldKind::Tick);
        field.value(if is_ticked { "yes" } else { "" })
    };
    let share = |name, label, tolerance: Tolerance| {
        let field = Field::new(name, label, FieldKind::Line(8));
        field
            .hint("percent, from 0.01 to 50")
            .value(tolerance.as_percent().to_string())
    };
    vec![
        Field::new("mode", "When something is wrong", options(&modes))
            .value(gate.map_or("none", |gate| gate.settings.mode.as_str())),
        share(
            "failed_percent",
            "Installations that may fail",
            settings.failed_percent,
        ),
        share(
            "corrupt_percent",
            "Files that may arrive damaged",
            settings.corrupt_percent,
        ),
        tick("lost", "Devices that fall silent count", settings.lost),
        tick("crashing", "Crashes count", settings.crashing),
        tick(
            "holdback",
            "Keep 5 % back from steps above 90 %, to compare with",
            settings.holdback,
        ),
        Field::new("on_halt", "After a halt", options(&after)).value(terms.on_halt.as_str()),
        tick(
            "roll_back_forced",
            "A roll-back takes devices back that run it already",
            terms.roll_back_forced,
        ),
    ]
}

fn gate(fields: &Fields) -> Result<Option<GateTerms>, Error> {
    let mode = match fields.text("mode") {
        "none" => return Ok(None),
        word => word.parse()?,
    };
    let settings = GateSettings {
        mode,
        failed_percent: Tolerance::of_percent("failed_percent", fields.decimal("failed_percent")?)?,
        corrupt_percent: Tolerance::of_percent("corrupt_percent", fields.decimal("corrupt_percent")?)?,
        lost: fields.ticked("lost"),
        crashing: fields.ticked("crashing"),
        holdback: fields.ticked("holdback"),
    };
    let on_halt = fields.text("on_halt").parse::<OnHalt>()?;
    let forced = fields.ticked("roll_back_forced");
    let terms = GateTerms::default().changed(settings, Some(on_halt), Some(forced))?;
    Ok(Some(terms))
}

fn add_sheet() -> Sheet {
    let name = Field::new("package_name", "Package", FieldKind::Line(MAX_PACKAGE_NAME_BYTES));
    Sheet {
        title: "Add a package".to_owned(),
        says: vec![
            "The first build that is uploaded adds its package by itself. Add it before that when the first one is \
             debuggable, or when its signer is to be pinned beforehand."
                .to_owned(),
        ],
        fields: vec![name.hint("such as com.example.app").required(), debuggable(false)],
        button: "Add",
        is_danger: false,
        to: format!("{}/add", Tab::Packages.path()),
        back: Tab::Packages.path(),
    }
}

pub(super) async fn add_page(visitor: Visitor) -> Result<Response, Refusal> {
    visitor.actor.require(Role::Admin)?;
    Ok(add_sheet().page(&visitor))
}

pub(super) async fn add(
    State(app): State<App>,
    Posted { visitor, fields }: Posted,
) -> Result<Response, Refusal> {
    visitor.actor.require(Role::Admin)?;
    let added = added(&app, &visitor, &fields).await;
    add_sheet().answer(&visitor, &fields, added, |_| {
        done(Tab::Packages.path(), "package_added")
    })
}

/// One that is there keeps what it has.
async fn added(app: &App, visitor: &Visitor, fields: &Fields) -> Result<Package, Error> {
    let name = PackageName::parse(fields.text("package_name"))?;
    match app.packages.get(&name).await {
        Ok(_) => Err(Error::invalid(
            "package_name",
            "is there already: change it in the list",
        )),
        Err(error) if error.kind == Kind::NotFound => {
            let allow = yes_or_no(fields, "debuggable")?;
            app.packages.allow_debuggable(&visitor.actor, &name, allow).await
        }
        Err(error) => Err(error),
    }
}

pub(super) async fn verb_page(
    State(app): State<App>,
    visitor: Visitor,
    Path((name, word)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    visitor.actor.require(Role::Admin)?;
    let verb = Verb::of(&word)?;
    let package = app.packages.get(&PackageName::parse(&name)?).await?;
    Ok(verb.sheet(&package, &word).page(&visitor))
}

pub(super) async fn act(
    State(app): State<App>,
    Path((name, word)): Path<(String, String)>,
    Posted { visitor, fields }: Posted,
) -> Result<Response, Refusal> {
    visitor.actor.require(Role::Admin)?;
    let (verb, name) = (Verb::of(&word)?, PackageName::parse(&name)?);
    let before = app.packages.get(&name).await?;
    let changed = verb.run(&app, &visitor, &name, &fields).await;
    verb.sheet(&before, &word)
        .answer(&visitor, &fields, changed, |package| {
            let waits = verb == Verb::Approval && package.approval_request.is_some();
            let what = if waits {
                "approval_asked"
            } else {
                "package_changed"
            };
            done(Tab::Packages.path(), what)
        })
}
