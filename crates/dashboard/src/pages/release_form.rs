//! What the dialog of a new release asks, and the terms that it comes to.

use tidegate_domain::gate::GateTerms;
use tidegate_domain::{
    Audience, BuildId, CalendarName, InstallCondition, InstallTerms, PackageName, Percent, Promotion,
    RolloutCalendars, RolloutSettings,
};
use tidegate_service::{Error, Page as PageOf, Reach};

use super::deadline::deadline;
use super::plan_choice::{self, PlanChoice, USUAL_GATE};
use super::slice_choice::{SliceChoice, slice};
use crate::AppState;
use crate::form::Fields;
use crate::show;

/// Above this share a promotion or a raise has to be confirmed, in percent.
pub(crate) const CONFIRM_ABOVE: u8 = 25;

/// The shares to pick at once.
pub(crate) const PICKS: [u8; 6] = [1, 5, 10, 25, 50, 100];

/// The share that the dialog proposes.
const FIRST_SHARE: f64 = 10.0;

/// How many calendars can be chosen.
const CALENDARS_SHOWN: u32 = 200;

/// How many of the devices that an audience takes are named.
const EXAMPLES_SHOWN: usize = 3;

/// What the form holds, for showing it again.
pub(crate) struct Form {
    /// As it was typed.
    pub percent: String,
    /// The word for the plan that is chosen; none: a share at once.
    pub by_plan: Option<&'static str>,
    pub audience: String,
    pub wifi_only: bool,
    pub must_install: bool,
    pub keep_previous: bool,
    pub retry_failed: bool,
    pub slice: SliceChoice,
    pub download_calendar: String,
    pub install_calendar: String,
    /// What devices wait for before they install.
    pub conditions: Vec<Tick>,
    /// From when on nobody waits any more, in UTC.
    pub install_deadline: String,
    /// At more failures than this, in percent, its gate stops it; empty: it has none.
    pub failed_percent: String,
    /// What the gate does: `none` where there is none, `usual` where a plan alone has one, else what follows a halt.
    pub on_halt: String,
    /// Whether the package proposes no gate, so that there is a usual one.
    pub is_gate_free: bool,
    /// Whether something of it is not as it is proposed, so that it is to be seen.
    pub is_open: bool,
}

/// A condition for the installation.
pub(crate) struct Tick {
    pub value: &'static str,
    pub words: &'static str,
    pub is_ticked: bool,
}

impl Form {
    /// As it is shown first, with what is proposed of a gate.
    pub(crate) fn new(proposed: Option<GateTerms>) -> Self {
        Self {
            failed_percent: plan_choice::failed_percent(proposed),
            on_halt: proposed
                .map_or(USUAL_GATE, |gate| gate.on_halt.as_str())
                .to_owned(),
            percent: FIRST_SHARE.to_string(),
            by_plan: None,
            audience: String::new(),
            wifi_only: false,
            must_install: false,
            keep_previous: true,
            retry_failed: false,
            slice: SliceChoice::usual(),
            install_deadline: String::new(),
            download_calendar: String::new(),
            install_calendar: String::new(),
            conditions: conditions(|_| false),
            is_gate_free: proposed.is_none(),
            is_open: false,
        }
    }

    /// As it was sent.
    pub(crate) fn of(fields: &Fields, proposed: Option<GateTerms>) -> Self {
        let usual = Self::new(proposed);
        let mut form = Self {
            percent: fields.text("rollout_percent").to_owned(),
            by_plan: plan_choice::asked_plan(fields),
            audience: fields.text("audience").to_owned(),
            wifi_only: fields.ticked("wifi_only"),
            must_install: fields.ticked("must_install"),
            keep_previous: fields.ticked("keep_previous"),
            retry_failed: fields.ticked("retry_failed"),
            slice: SliceChoice::of(fields),
            install_deadline: fields.text("install_deadline").to_owned(),
            download_calendar: fields.text("download_calendar").to_owned(),
            install_calendar: fields.text("install_calendar").to_owned(),
            conditions: conditions(|name| fields.each("install_when").any(|ticked| ticked == name)),
            failed_percent: fields.text("failed_percent").to_owned(),
            on_halt: fields.text("on_halt").to_owned(),
            is_gate_free: usual.is_gate_free,
            is_open: false,
        };
        if !fields.has("failed_percent") {
            (form.failed_percent, form.on_halt) = (usual.failed_percent.clone(), usual.on_halt.clone());
        }
        if form.by_plan.is_some() && form.percent.is_empty() {
            form.percent.clone_from(&usual.percent);
        }
        let is_open = form.folded() != usual.folded();
        form.is_open = is_open;
        form
    }

    /// What stands in the folded part.
    fn folded(&self) -> impl PartialEq + '_ {
        let ticked = self.conditions.iter().filter(|tick| tick.is_ticked).count();
        (
            [
                self.wifi_only,
                self.must_install,
                self.keep_previous,
                self.retry_failed,
            ],
            [
                &self.download_calendar,
                &self.install_calendar,
                &self.failed_percent,
                &self.on_halt,
                &self.install_deadline,
            ],
            &self.slice,
            ticked,
        )
    }

    /// The share that it begins with, in percent; 0 where none is typed.
    pub(crate) fn share(&self, choice: &PlanChoice) -> f64 {
        match self.by_plan {
            Some(word) => choice.first(word),
            None => self.percent.parse().unwrap_or(0.0),
        }
    }

    /// Whether the share is taken of some devices only.
    pub(crate) fn is_narrowed(&self) -> bool {
        !self.audience.is_empty() || self.slice != SliceChoice::usual()
    }
}

fn conditions(is_ticked: impl Fn(&str) -> bool) -> Vec<Tick> {
    let words = |condition| match condition {
        InstallCondition::Charging => "while charging",
        InstallCondition::Idle => "while nobody uses the device",
        InstallCondition::AppConsents => "when the app says that it may be replaced",
    };
    let all = InstallCondition::ALL.into_iter().map(|condition| Tick {
        value: condition.as_str(),
        words: words(condition),
        is_ticked: is_ticked(condition.as_str()),
    });
    all.collect()
}

/// The calendars that can be chosen.
pub(crate) async fn calendars(app: &AppState) -> Result<Vec<String>, Error> {
    let page = PageOf::new(Some(CALENDARS_SHOWN), None)?;
    let calendars = app.calendars.list(page).await?.items;
    Ok(calendars
        .into_iter()
        .map(|stored| stored.calendar.name.to_string())
        .collect())
}

/// Whom the audience takes that was typed; nothing is told of everybody.
pub(crate) async fn reach(
    app: &AppState,
    fields: &Fields,
    package: &PackageName,
) -> Result<Option<String>, Error> {
    let audience = audience(fields)?;
    if audience.is_everybody() {
        return Ok(None);
    }
    let reach = app.audiences.reach(&audience, Some(package)).await?;
    Ok(Some(sentence(&reach)))
}

/// The audience that was typed; nothing is everybody.
fn audience(fields: &Fields) -> Result<Audience, Error> {
    match fields.text("audience") {
        "" => Ok(Audience::everybody()),
        text => Ok(Audience::parse(text)?),
    }
}

fn sentence(reach: &Reach) -> String {
    let about = if reach.estimated { "about " } else { "" };
    let devices = show::many(reach.total, "device");
    let mut said = format!("The audience is {about}{} of {devices} now", reach.devices);
    if !reach.examples.is_empty() {
        let examples = reach.examples.iter().take(EXAMPLES_SHOWN);
        let examples: Vec<&str> = examples.map(|id| id.as_str()).collect();
        said.push_str(": ");
        said.push_str(&examples.join(", "));
        if reach.devices > u64::try_from(examples.len()).unwrap_or(u64::MAX) {
            said.push_str(", …");
        }
    }
    said.push('.');
    let unknown: Vec<&str> = reach.unknown_tags.iter().map(String::as_str).collect();
    if !unknown.is_empty() {
        said.push_str(" No device has these tags: ");
        said.push_str(&unknown.join(", "));
        said.push('.');
    }
    said
}

/// What is asked for, and the build that was current when the dialog was opened.
pub(crate) fn promotion(
    fields: &Fields,
    proposed: Option<GateTerms>,
) -> Result<(Promotion, Option<BuildId>), Error> {
    let promotion = terms(fields, proposed)?;
    let settings = &promotion.settings;
    confirmed(fields, settings.percent, settings.must_install)?;
    let seen = match fields.text("current") {
        "" => None,
        _ => Some(BuildId(fields.number("current")?)),
    };
    Ok((promotion, seen))
}

/// What is asked for.
pub(crate) fn terms(fields: &Fields, proposed: Option<GateTerms>) -> Result<Promotion, Error> {
    let plan = plan_choice::chosen(fields)?;
    let gate = plan_choice::gate(fields, proposed)?;
    let (slice, auto_start) = slice(fields)?;
    let percent = match &plan {
        Some(plan) => plan.first().percent,
        None => Percent::of_decimal(fields.decimal("rollout_percent")?)?,
    };
    Ok(Promotion {
        settings: RolloutSettings {
            slice,
            audience: audience(fields)?,
            wifi_only: fields.ticked("wifi_only"),
            must_install: fields.ticked("must_install"),
            calendars: RolloutCalendars {
                download: calendar(fields, "download_calendar")?,
                install: calendar(fields, "install_calendar")?,
            },
            install: InstallTerms {
                when: InstallTerms::parse_conditions(
                    &fields.each("install_when").collect::<Vec<_>>().join(","),
                )?,
                deadline: deadline(fields)?,
            },
            ..RolloutSettings::to(percent)
        },
        keep_previous: fields.ticked("keep_previous"),
        retry_failed: fields.ticked("retry_failed"),
        auto_start,
        plan,
        gate,
    })
}

fn calendar(fields: &Fields, field: &'static str) -> Result<Option<CalendarName>, Error> {
    let name = fields.given(field);
    Ok(name
        .map(|name| CalendarName::parse_as(field, &name))
        .transpose()?)
}

/// Refuses a large or pressing release that was not confirmed.
pub(crate) fn confirmed(fields: &Fields, percent: Percent, must_install: bool) -> Result<(), Error> {
    let grave = percent.rounded_up() > CONFIRM_ABOVE || must_install;
    if grave && !fields.ticked("confirm") {
        let what = if must_install {
            "must install"
        } else {
            "this share"
        };
        let fault = format!("is missing: tick the box that says that you mean {what}");
        return Err(Error::invalid("confirm", fault));
    }
    Ok(())
}
