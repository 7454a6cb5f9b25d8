//! What the dialog of a release asks beside its share: the plan, the gate, the slice and the deadline. All of it without
//! scripts.

use chrono::TimeDelta;
use reqwest::Method;
use serde_json::{Value, json};
use tidegate_domain::Role;
use tidegate_testkit::answer::Answer;
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::operator::Operator;
use tidegate_testkit::server::{Engine, TestServer};

use crate::person::{Person, between, text};

/// A server with a build that nobody is offered, and two people.
struct Releasing {
    server: TestServer,
    ada: Operator,
    operator: Person,
    promote: String,
}

impl Releasing {
    async fn begin() -> Self {
        let server = TestServer::start(Engine::Sqlite).await;
        let ada = server.person("ada", Role::Admin);
        let build = ada.uploaded(&apks::build(PACKAGE, 1)).await;
        let operator = Person::logged_in(&server, Role::Operator).await;
        Self {
            server,
            ada,
            operator,
            promote: format!("/builds/{build}/promote"),
        }
    }

    /// Sends the dialog as a browser without scripts does: all its fields, some of them filled in.
    async fn send(&self, filled: &[(&str, &str)]) -> Answer {
        let dialog = self.operator.page(&self.promote).await;
        let mut fields = fields_of(between(&dialog, "action=\"/builds/1/promote\"", "</form>"));
        for (name, value) in filled {
            fields.retain(|(field, _)| field != name);
            fields.push(((*name).to_owned(), (*value).to_owned()));
        }
        let fields: Vec<(&str, &str)> = fields
            .iter()
            .filter(|(name, _)| name != "csrf")
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        self.operator.post(&self.promote, &fields).await
    }

    async fn made(&self, filled: &[(&str, &str)]) -> Value {
        let answer = self.send(filled).await;
        assert_eq!(answer.status, 303, "{}", text(&answer));
        let id = between(&format!("{}&", answer.header("location")), "rollout=", "&").to_owned();
        self.ada.get(&format!("/v1/rollouts/{id}")).await.ok()
    }

    async fn refused(&self, filled: &[(&str, &str)]) -> String {
        let answer = self.send(filled).await;
        assert_eq!(answer.status, 400, "{filled:?}: {}", text(&answer));
        let page = text(&answer);
        assert_eq!(self.ada.get("/v1/rollouts").await.ok()["items"], json!([]));
        page
    }
}

/// What a browser would send of this form: names and values of inputs, without boxes that are not ticked. Its only list is
/// empty.
fn fields_of(form: &str) -> Vec<(String, String)> {
    let inputs = form
        .split("<input ")
        .skip(1)
        .map(|rest| rest.split_once('>').unwrap().0);
    let sent = inputs.filter(|input| {
        let is_choice = input.contains("type=\"radio\"") || input.contains("type=\"checkbox\"");
        input.contains(" name=\"") && (!is_choice || input.contains(" checked"))
            || input.starts_with("name=\"")
    });
    let attribute = |input: &str, name: &str| {
        let begin = format!("{name}=\"");
        let value = input
            .split_once(&begin)
            .map(|(_, rest)| rest.split_once('"').unwrap().0);
        value.unwrap_or_default().replace("&#34;", "\"")
    };
    sent.map(|input| (attribute(input, "name"), attribute(input, "value")))
        .collect()
}

fn own_plan() -> Value {
    json!({ "plan": { "steps": [{ "percent": 20, "over": "2h", "bake": "1h" }, { "percent": 100, "bake": "1h" }] } })
}

#[tokio::test]
async fn the_dialog_as_it_is_opened_asks_for_what_the_api_has_by_default() {
    let releasing = Releasing::begin().await;
    let made = releasing.made(&[]).await;
    let by_api = releasing.ada.promote(1, 10).await;
    assert_eq!(
        by_api.json()["rollout_id"],
        made["rollout_id"],
        "it is the same release: {made}"
    );
    assert_eq!(
        (
            &made["rollout_percent"],
            &made["slice"],
            &made["install_deadline"],
            &made["gate"]
        ),
        (&json!(10), &Value::Null, &Value::Null, &Value::Null),
        "{made}"
    );
}

#[tokio::test]
async fn the_packages_plan_and_the_careful_one_are_shown_and_chosen() {
    let releasing = Releasing::begin().await;
    let dialog = releasing.operator.page(&releasing.promote).await;
    let careful = "1 % → 5 % → 10 % → 25 % → 50 % → 100 %, bake 12 h to 1 day; 4 days in all";
    assert!(dialog.contains(careful), "{dialog}");
    assert_eq!(dialog.matches("name=\"by\"").count(), 2, "a share, and one plan");

    let path = format!("/v1/packages/{PACKAGE}");
    let edit = releasing.ada.request(Method::PATCH, &path).json(&own_plan());
    Answer::to(edit).await.ok();
    let dialog = releasing.operator.page(&releasing.promote).await;
    let own = "20 % → 100 %, ramp 2 h, bake 1 h; 4 h in all";
    for told in [
        own,
        careful,
        "<li>20 % over 2 h, stays for 1 h</li>",
        "<li>1 % at once, stays for 1 day</li>",
    ] {
        assert!(dialog.contains(told), "{told}: {dialog}");
    }
    let page = releasing.refused(&[("by", "reckless")]).await;
    assert!(page.contains("by must be share, plan or careful"), "{page}");
    let page = releasing
        .refused(&[("by", "careful"), ("careful_plan", "")])
        .await;
    assert!(page.contains("plan does not read"), "{page}");

    for (by, first, many) in [("careful", 1, 6), ("plan", 20, 2)] {
        let steps = releasing.made(&[("by", by)]).await["plan"]["steps"].clone();
        assert_eq!(steps[0]["percent"], first, "{by}: {steps}");
        assert_eq!(steps.as_array().unwrap().len(), many, "{by}");
    }
    let checked = releasing.send(&[("by", "careful"), ("check", "yes")]).await;
    assert_eq!(checked.status, 200);
    assert!(
        text(&checked).contains("value=\"careful\" checked"),
        "it stays chosen"
    );
}

#[tokio::test]
async fn a_plan_has_a_gate_unless_somebody_says_otherwise() {
    let releasing = Releasing::begin().await;
    for (filled, failed, on_halt) in [
        (&[("by", "plan")][..], json!(2), json!("hold")),
        (
            &[("by", "plan"), ("failed_percent", "1.5")],
            json!(1.5),
            json!("hold"),
        ),
        (&[("by", "plan"), ("on_halt", "none")], Value::Null, json!("")),
        (&[("by", "plan"), ("failed_percent", "")], Value::Null, json!("")),
        (&[("by", "share")], Value::Null, json!("")),
        (
            &[("by", "share"), ("failed_percent", "3")],
            json!(3),
            json!("hold"),
        ),
        (
            &[("by", "share"), ("on_halt", "roll_back")],
            json!(2),
            json!("roll_back"),
        ),
    ] {
        let made = releasing.made(filled).await;
        let gate = made["gate"]["failed_percent"].clone();
        assert_eq!((gate, made["on_halt"].clone()), (failed, on_halt), "{filled:?}");
    }
}

#[tokio::test]
async fn a_slice_is_chosen_by_its_place_or_begins_by_itself() {
    let releasing = Releasing::begin().await;
    for (filled, told) in [
        (&[("slice_start", "at")][..], "slice_at is missing"),
        (
            &[("slice_start", "at"), ("slice_at", "100")],
            "slice.start must be at least 0 and below 100",
        ),
        (
            &[("slice_start", "at"), ("slice_at", "half")],
            "slice_at must be a number",
        ),
        (
            &[("slice_start", "at"), ("slice_at", "NaN")],
            "slice.start must be at least 0",
        ),
        (
            &[("slice_at", "50")],
            "slice_at is for a slice that begins at a place of its own",
        ),
        (
            &[("slice_start", "there")],
            "slice_start must be empty, auto or at",
        ),
        (
            &[("slice_width", "0")],
            "slice.width_percent must be above 0 and at most 100",
        ),
        (&[("slice_width", "101")], "slice.width_percent must be above 0"),
    ] {
        let page = releasing.refused(filled).await;
        assert!(page.contains(told), "{filled:?}: {page}");
        assert!(page.contains("class=\"folded\" open"), "what was refused is seen");
    }
    let at = releasing
        .made(&[("slice_start", "at"), ("slice_at", "50"), ("slice_width", "25")])
        .await;
    assert_eq!(
        at["slice"],
        json!({ "start": 50.0, "width_percent": 25.0 }),
        "{at}"
    );
    let checked = releasing.send(&[("slice_width", "25"), ("check", "yes")]).await;
    let page = text(&checked);
    assert!(page.contains("value=\"25\""), "{page}");
    assert!(
        !page.contains("% is 0 devices now"),
        "nothing is told of the whole fleet: {page}"
    );

    let first = releasing
        .made(&[("slice_start", "auto"), ("rollout_percent", "5")])
        .await;
    let next = releasing
        .made(&[("slice_start", "auto"), ("rollout_percent", "6")])
        .await;
    let start = |made: &Value| made["slice"]["start"].as_f64().unwrap_or(0.0);
    assert!(
        (start(&next) - start(&first) - 5.0).abs() < 1e-6,
        "{first} {next}"
    );
}

#[tokio::test]
async fn a_deadline_is_a_time_in_utc_that_is_still_to_come() {
    let releasing = Releasing::begin().await;
    let now = releasing.server.clock().read();
    let written = |time: chrono::DateTime<chrono::Utc>| time.format("%Y-%m-%dT%H:%M").to_string();
    let past = written(now - TimeDelta::minutes(1));
    for (typed, told) in [
        (past.as_str(), "install_deadline must be in the future"),
        ("tomorrow", "install_deadline must be a date and a time in UTC"),
        ("2027-02-30T06:00", "install_deadline must be a date and a time"),
        ("12027-01-04T06:00", "install_deadline must be a date and a time"),
    ] {
        let page = releasing.refused(&[("install_deadline", typed)]).await;
        assert!(page.contains(told), "{typed}: {page}");
        assert!(
            page.contains(&format!("value=\"{typed}\"")),
            "it is still there: {page}"
        );
    }
    let dialog = releasing.operator.page(&releasing.promote).await;
    assert!(
        dialog.contains("Install by, in <span id=\"deadline-zone\">UTC</span>"),
        "{dialog}"
    );
    let later = written(now + TimeDelta::days(2));
    let made = releasing
        .made(&[("install_deadline", &later), ("install_when", "charging")])
        .await;
    assert_eq!(made["install_deadline"], format!("{later}:00Z"), "{made}");
    assert_eq!(made["install_when"], json!(["charging"]));
}
