//! Plans and second persons on the pages.

use chrono::TimeDelta;
use reqwest::Method;
use serde_json::{Value, json};
use tidegate_domain::Role;
use tidegate_testkit::answer::Answer;
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::operator::Operator;
use tidegate_testkit::server::{Engine, TestServer, eventually};

use crate::person::{PASSWORD, Person, between, text};

/// A server whose package has this plan and this rule of approval, and a build that nobody is offered.
async fn with_a_build(plan: &Value, approval: &str) -> (TestServer, Operator, i64) {
    let server = TestServer::start(Engine::Sqlite).await;
    let ci = server.person("ci", Role::Operator);
    let build = ci.uploaded(&apks::build(PACKAGE, 1)).await;
    let ada = server.person("ada", Role::Admin);
    let path = format!("/v1/packages/{PACKAGE}");
    let edit = json!({ "plan": plan, "approval": approval });
    Answer::to(ada.request(Method::PATCH, &path).json(&edit))
        .await
        .ok();
    (server, ci, build)
}

async fn another_operator(server: &TestServer, name: &str) -> Person {
    server.add_user(name, Role::Operator, PASSWORD).await;
    Person::log_in(server, name).await
}

fn three_steps() -> Value {
    json!({ "steps": [
        { "percent": 10, "over": "2h", "bake": "1h" },
        { "percent": 50, "bake": "1day", "nudge": true },
        { "percent": 100, "over": "12h" },
    ] })
}

/// The plan as the dialog's form carries it.
fn carried(dialog: &str) -> String {
    let escaped = between(dialog, "name=\"plan\" value=\"", "\"");
    escaped.replace("&#34;", "\"")
}

#[tokio::test]
async fn a_release_by_plan_is_made_watched_and_steered_from_the_pages() {
    let (server, ci, build) = with_a_build(&three_steps(), "never").await;
    let operator = Person::logged_in(&server, Role::Operator).await;
    let (page, promote) = (format!("/builds/{build}"), format!("/builds/{build}/promote"));
    let dialog = operator.page(&promote).await;
    for told in [
        "1 day 15 h in all",
        "<li>10 % over 2 h, stays for 1 h</li>",
        "<li>50 % at once, stays for 1 day, wakes the devices that it adds</li>",
    ] {
        assert!(dialog.contains(told), "{told}: {dialog}");
    }
    assert!(!dialog.contains("id=\"approval\""), "nobody is asked");
    for plan in ["", "{}", "{\"steps\":[]}"] {
        let refused = operator.post(&promote, &[("by", "plan"), ("plan", plan)]).await;
        assert_eq!(refused.status, 400, "{plan}");
        assert!(
            text(&refused).contains("plan does not read"),
            "{}",
            text(&refused)
        );
    }
    let plan = carried(&dialog);
    let fields = [("by", "plan"), ("plan", plan.as_str()), ("rollout_percent", "77")];
    let made = operator.post(&promote, &fields).await;
    assert_eq!(
        made.header("location"),
        format!("/builds/{build}?done=promoted&rollout=1")
    );
    let shown = operator.page(&page).await;
    for told in [
        "Step 1 of 3, to 10 %: the share grows until",
        "in 2 h.",
        "<span class=\"badge\" data-phase>ramping",
    ] {
        assert!(shown.contains(told), "{told}: {shown}");
    }
    assert!(shown.contains("promoted, at 0 %"));
    let steps = between(&shown, "<ol class=\"stepper\">", "</ol>").to_owned();
    for told in [
        "data-state=\"now\" aria-current=\"step\"",
        "<b class=\"number\">10 %</b> over 2 h, stays for 1 h",
        "by operator",
        "<b>reaches its share 2",
        "The next step begins by itself.",
        "<b class=\"number\">50 %</b> at once, stays for 1 day, wakes the devices that it adds",
        "begins 2",
        "It is the last step.",
    ] {
        assert!(steps.contains(told), "{told}: {steps}");
    }
    let raise = "<button id=\"advance-1\" class=\"primary\">Raise to 50 %</button>";
    assert!(shown.contains(raise), "{shown}");
    assert!(shown.contains("No gate watches this rollout"));

    let hold = operator.post("/rollouts/1/hold", &[]).await;
    assert_eq!(hold.header("location"), format!("/builds/{build}?done=plan_held"));
    let held = operator.page(&page).await;
    assert!(held.contains("somebody holds the share") && held.contains("class=\"primary\">Go on</button>"));
    assert!(
        held.contains("<button id=\"advance-1\">Raise"),
        "one button at a time is the one to press"
    );
    assert!(!held.contains("id=\"hold-1\""));
    operator.post("/rollouts/1/start", &[]).await;
    assert!(
        held.contains(r#"name="step" value="1""#),
        "the button knows what it shows"
    );
    operator.post("/rollouts/1/advance", &[("step", "1")]).await;
    let twice = operator.post("/rollouts/1/advance", &[("step", "1")]).await;
    assert!(
        twice.status == 409 && text(&twice).contains("is at step 2 and not 1"),
        "who presses a moment later begins no further step"
    );
    let is_there = |page: &String| page.contains("Step 2 of 3, to 50 %: the share stays until");
    let second = eventually(|| operator.page(&page), is_there).await;
    assert!(second.contains("step 2 was begun by hand"));
    let rollout = ci.get("/v1/rollouts/1").await.ok();
    assert_eq!(
        (&rollout["rollout_percent"], &rollout["phase"]),
        (&json!(50), &json!("baking"))
    );

    server.clock().advance(TimeDelta::days(3));
    let operator = Person::log_in(&server, "operator").await;
    let is_there = |page: &String| page.contains("Step 3 of 3, to 100 %: the share grows until");
    eventually(|| operator.page(&page), is_there).await;
    let refused = operator.post("/rollouts/1/leap", &[]).await;
    assert_eq!(refused.status, 404);
    assert_eq!(operator.post("/rollouts/x/hold", &[]).await.status, 404);
    let revision = rollout["revision"].to_string();
    let refused = operator
        .post("/rollouts/1/deny", &[("revision", &revision)])
        .await;
    assert!(refused.status == 409 && text(&refused).contains("nothing of rollout 1 waits"));
}

#[tokio::test]
async fn what_waits_for_another_person_says_so_and_who_may_approves_it() {
    let (server, ci, build) = with_a_build(&three_steps(), "above 20 %").await;
    let operator = Person::logged_in(&server, Role::Operator).await;
    let omar = another_operator(&server, "omar").await;
    let viewer = Person::logged_in(&server, Role::Viewer).await;
    let (page, promote) = (format!("/builds/{build}"), format!("/builds/{build}/promote"));
    let dialog = operator.page(&promote).await;
    assert!(
        dialog.contains("to more than 20 % waits for another person"),
        "{dialog}"
    );
    assert!(dialog.contains("<li>50 % at once, stays for 1 day, after another person’s approval, wakes"));
    assert!(
        dialog.contains("<li>100 % over 12 h</li>"),
        "approved with the step before"
    );

    let wide = [("rollout_percent", "60"), ("confirm", "yes")];
    let proposed = operator.post(&promote, &wide).await;
    assert_eq!(proposed.header("location"), format!("/builds/{build}?done=waits"));
    let own = operator.page(&page).await;
    assert!(
        own.contains("This rollout, to 60 % waits for another person’s approval"),
        "{own}"
    );
    assert!(own.contains("another person has to approve it") && !own.contains("id=\"approve-1\""));
    assert!(own.contains("id=\"deny-1\""), "who asked for it may take it back");
    let looked = viewer.page(&page).await;
    assert!(looked.contains("This rollout, to 60 %") && !looked.contains("/rollouts/1/"));
    let forced = operator.post("/rollouts/1/approve", &[("revision", "1")]).await;
    assert_eq!(forced.status, 409);
    assert!(text(&forced).contains("was edited last by you or for you: another person has to approve it"));
    assert_eq!(ci.build(build).await.ok()["is_current"], false);
    let stale = omar.post("/rollouts/1/approve", &[("revision", "9")]).await;
    assert_eq!(stale.status, 409, "edited since it was seen");
    let button = "<button id=\"approve-1\" class=\"primary\">Approve the rollout, to 60 %</button>";
    assert!(omar.page(&page).await.contains(button));
    let approved = omar.post("/rollouts/1/approve", &[("revision", "1")]).await;
    assert_eq!(
        approved.header("location"),
        format!("/builds/{build}?done=approved")
    );
    assert_eq!(ci.build(build).await.ok()["is_current"], true);

    let wider = [("rollout_percent", "80"), ("confirm", "yes")];
    operator.post(&format!("/builds/{build}/rollout"), &wider).await;
    let asked = omar.page(&page).await;
    assert!(asked.contains("A change of the share to 80 % waits"), "{asked}");
    let stale = [("rollout_percent", "20"), ("confirm", "yes"), ("revision", "1")];
    let late = omar.post(&format!("/builds/{build}/rollout"), &stale).await;
    assert_eq!(
        late.status, 409,
        "whoever had the dialog open sees what became of it"
    );
    let unseen = omar.post("/rollouts/1/deny", &[("revision", "1")]).await;
    assert_eq!(unseen.status, 409, "nobody denies what they have not seen");
    let revision = ci.get("/v1/rollouts/1").await.ok()["revision"].to_string();
    let denied = omar.post("/rollouts/1/deny", &[("revision", &revision)]).await;
    assert_eq!(denied.header("location"), format!("/builds/{build}?done=denied"));
    assert!(!omar.page(&page).await.contains("data-waits"));
    assert_eq!(ci.get("/v1/rollouts/1").await.ok()["rollout_percent"], 60);
}
