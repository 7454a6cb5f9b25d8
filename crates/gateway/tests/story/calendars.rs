//! A release waits for the night of each device, stands still in a freeze, and says when it goes on.

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::Method;
use serde_json::{Value, json};
use tidegate_domain::Role;
use tidegate_proto::v1;
use tidegate_proto::v1::calendar_service_client::CalendarServiceClient;
use tidegate_proto::v1::rollout_service_client::RolloutServiceClient;
use tidegate_testkit::agent::{Agent, Polled};
use tidegate_testkit::answer::Answer;
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::operator::Operator;
use tidegate_testkit::server::{Engine, TestServer, eventually};
use tonic::{Code, Request};

on_both_engines!(
    a_release_comes_to_each_device_in_its_own_night,
    a_poll_is_asked_for_in_the_first_half_of_the_opening,
    a_freeze_and_the_day_of_summer_time_hold,
    a_clock_that_is_set_an_hour_off_opens_and_closes_with_it,
    only_an_admin_passes_over_a_freeze_and_the_log_tells,
    a_calendar_is_made_changed_and_kept_while_it_is_used,
    what_is_wrong_with_a_calendar_is_refused_by_name,
    a_forced_roll_back_waits_for_the_window_too,
    a_roll_back_ends_what_an_admin_allowed,
    the_same_by_grpc,
);

const WEEK: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

fn nights() -> Value {
    json!({ "name": "nights", "zone": "device", "windows": [{ "days": WEEK, "start": "22:00", "end": "04:00" }] })
}

fn moment(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// Sets the server's clock, be it back.
fn at(server: &TestServer, text: &str) {
    let clock = server.clock();
    clock.advance(moment(text) - clock.read());
}

async fn send(who: &Operator, method: Method, path: &str, body: &Value) -> Answer {
    Answer::to(who.request(method, path).json(body)).await
}

async fn delete(who: &Operator, path: &str) -> Answer {
    Answer::to(who.request(Method::DELETE, path)).await
}

async fn create(who: &Operator, path: &str, body: &Value) -> Value {
    let answer = who.post(path, body).await;
    assert_eq!(answer.status, 201, "{}", answer.json());
    answer.json()
}

/// An operator whose token is new.
fn olga(server: &TestServer) -> Operator {
    server.person("olga", Role::Operator)
}

/// A server that releases a build by this calendar, and the rollout.
async fn by(engine: Engine, calendar: &Value, more: &Value) -> (TestServer, Value) {
    let server = TestServer::start(engine).await;
    let olga = olga(&server);
    create(&olga, "/v1/calendars", calendar).await;
    let build = olga.uploaded(&apks::build(PACKAGE, 2)).await;
    let mut rollout = json!({
        "build_id": build, "rollout_percent": 100,
        "calendars": { "download": calendar["name"], "install": calendar["name"] },
    });
    let terms = rollout.as_object_mut().unwrap();
    terms.extend(more.as_object().unwrap().clone());
    let rollout = create(&olga, "/v1/rollouts", &rollout).await;
    (server, rollout)
}

/// A device with an agent of today.
struct Phone {
    agent: Agent,
    zone: &'static str,
}

impl Phone {
    async fn enroll(server: &TestServer, id: &str, zone: &'static str) -> Self {
        let agent = server.device(id).await;
        Self { agent, zone }
    }

    async fn poll(&self) -> Polled {
        let zone = match self.zone {
            "" => String::new(),
            zone => format!("&zone={zone}"),
        };
        self.agent
            .poll_as(PACKAGE, 1, &format!("&protocol=2{zone}"))
            .await
    }

    async fn is_offered(&self) -> bool {
        let polled = self.poll().await;
        assert!(
            polled.build().is_some() || polled.why_not() == "outside_window",
            "{polled:?}"
        );
        polled.build().is_some()
    }
}

async fn a_release_comes_to_each_device_in_its_own_night(engine: Engine) {
    let (server, rollout) = by(engine, &nights(), &json!({ "must_install": true })).await;
    assert_eq!(
        rollout["calendars"],
        json!({ "download": "nights", "install": "nights" })
    );
    let berlin = Phone::enroll(&server, "berlin-1", "Europe/Berlin").await;
    let york = Phone::enroll(&server, "york-1", "America/New_York").await;
    let silent = Phone::enroll(&server, "silent-1", "").await;
    let lost = Phone::enroll(&server, "lost-1", "Nowhere/Land").await;
    let old = server.device("old-1").await;
    for (time, to_berlin, to_york, to_others) in [
        ("2026-11-23T12:00:00Z", false, false, false),
        ("2026-11-23T20:59:00Z", false, false, false),
        ("2026-11-23T21:00:00Z", true, false, false),
        ("2026-11-23T22:00:00Z", true, false, true),
        ("2026-11-24T03:00:00Z", false, true, true),
        ("2026-11-24T04:00:00Z", false, true, false),
        ("2026-11-24T09:00:00Z", false, false, false),
        ("2026-12-20T21:30:00Z", true, false, false),
    ] {
        at(&server, time);
        assert_eq!(berlin.is_offered().await, to_berlin, "Berlin, {time}");
        assert_eq!(york.is_offered().await, to_york, "New York, {time}");
        assert_eq!(silent.is_offered().await, to_others, "no zone, {time}");
        assert_eq!(
            lost.is_offered().await,
            to_others,
            "no zone that is known, {time}"
        );
        let polled = old.poll(1).await;
        assert_eq!(polled.build().is_some(), to_others, "an agent of before, {time}");
        if !to_others {
            assert_eq!(polled.why_not(), "paused", "it would throw half a file away");
        }
    }

    at(&server, "2026-12-21T22:30:00Z");
    let manifest = berlin.poll().await.manifest.unwrap();
    let openings = manifest["install_openings"].as_array().unwrap();
    assert_eq!(openings.len(), 8);
    assert_eq!(
        openings[0],
        json!({ "from": "2026-12-21T21:00:00Z", "until": "2026-12-22T03:00:00Z" })
    );
    assert_eq!(openings[1]["from"], "2026-12-22T21:00:00Z");
    let manifest = old.poll(1).await.manifest.unwrap();
    assert_eq!(
        manifest.get("install_openings"),
        None,
        "an agent of before is told nothing new"
    );
    let polled = berlin
        .agent
        .ask(PACKAGE, 1, "&protocol=2&zone=Europe/Berlin")
        .await;
    assert_eq!(
        polled.header("date"),
        "Mon, 21 Dec 2026 22:30:00 GMT",
        "by the server's clock"
    );
    let nothing = berlin.agent.ask(PACKAGE, 2, "&protocol=2").await;
    assert_eq!(
        (nothing.status, nothing.header("date")),
        (304, "Mon, 21 Dec 2026 22:30:00 GMT")
    );

    at(&server, "2026-12-22T12:00:00Z");
    berlin.poll().await;
    let olga = olga(&server);
    let explained = eventually(
        || async { olga.explain("berlin-1", PACKAGE, 1).await.ok() },
        |explained| explained["rules"].to_string().contains("Europe/Berlin"),
    )
    .await;
    assert_eq!(explained["reason"], "outside_window");
    let rule = explained["rules"].as_array().unwrap().last().unwrap();
    assert_eq!(rule["rule"], "calendar");
    assert_eq!(
        rule["answer"],
        "the window opens at 22:00 in Europe/Berlin (2026-12-22T21:00:00Z)"
    );
    let told = format!("?package_name={PACKAGE}&told=outside_window");
    eventually(
        || olga.devices(&told),
        |devices| !devices.ok()["items"].as_array().unwrap().is_empty(),
    )
    .await;
}

async fn a_poll_is_asked_for_in_the_first_half_of_the_opening(engine: Engine) {
    let (server, _) = by(engine, &nights(), &json!({})).await;
    at(&server, "2026-11-24T17:30:00Z");
    let (opens, half) = (moment("2026-11-24T22:00:00Z"), moment("2026-11-25T01:00:00Z"));
    for number in 0..20 {
        let phone = Phone::enroll(&server, &format!("phone-{number}"), "Etc/UTC").await;
        let now = server.clock().read();
        let polled = phone.poll().await;
        assert_eq!(polled.why_not(), "outside_window");
        let next = now + TimeDelta::seconds(polled.poll_after.try_into().unwrap());
        // The opening is four and a half hours away; an interval of six is at least four hours and 48 minutes.
        assert!((opens..=half + TimeDelta::seconds(1)).contains(&next), "{next}");
    }
    at(&server, "2026-11-24T06:00:00Z");
    let phone = Phone::enroll(&server, "early-1", "Etc/UTC").await;
    let early = phone.poll().await.poll_after;
    assert!(
        (17_280..=25_920).contains(&early),
        "the opening is farther than an interval: {early}"
    );
}

async fn a_freeze_and_the_day_of_summer_time_hold(engine: Engine) {
    let mut calendar = nights();
    calendar["freezes"] = json!([
        { "from": "2027-03-29", "to": "2027-03-30T23:00" },
        { "from": "12-20", "to": "01-06", "yearly": true },
    ]);
    let (server, _) = by(engine, &calendar, &json!({})).await;
    let berlin = Phone::enroll(&server, "berlin-1", "Europe/Berlin").await;
    let howe = Phone::enroll(&server, "howe-1", "Australia/Lord_Howe").await;
    for (time, to_berlin) in [
        ("2026-12-19T22:30:00Z", true),
        ("2026-12-19T23:00:00Z", false),
        ("2027-01-05T22:30:00Z", false),
        ("2027-01-05T23:00:00Z", true),
        // On 28 March, 02:00 is 03:00: the night ends an hour earlier in UTC, at 04:00 on the wall.
        ("2027-03-27T21:00:00Z", true),
        ("2027-03-28T01:59:00Z", true),
        ("2027-03-28T02:00:00Z", false),
        ("2027-03-28T20:00:00Z", true),
        ("2027-03-28T22:00:00Z", false),
        ("2027-03-30T20:59:00Z", false),
        ("2027-03-30T21:00:00Z", true),
    ] {
        at(&server, time);
        assert_eq!(berlin.is_offered().await, to_berlin, "{time}");
    }
    // On Lord Howe half an hour is won on 4 April 2027: 22:00 is 11:00 in UTC before, and 11:30 after.
    for (time, to_howe) in [
        ("2027-04-03T10:59:00Z", false),
        ("2027-04-03T11:00:00Z", true),
        ("2027-04-03T17:29:00Z", true),
        ("2027-04-03T17:30:00Z", false),
        ("2027-04-04T11:29:00Z", false),
        ("2027-04-04T11:30:00Z", true),
    ] {
        at(&server, time);
        assert_eq!(howe.is_offered().await, to_howe, "{time}");
    }
    at(&server, "2026-12-24T12:00:00Z");
    let olga = olga(&server);
    let explained = olga.explain("silent-1", PACKAGE, 1).await;
    explained.refused(404, "not_found");
    let explained = eventually(
        || async { olga.explain("berlin-1", PACKAGE, 1).await.ok() },
        |explained| explained["rules"].to_string().contains("Europe/Berlin"),
    )
    .await;
    let answer = explained["rules"].as_array().unwrap().last().unwrap()["answer"].clone();
    assert_eq!(
        answer,
        "the window opens at 00:00 in Europe/Berlin (2027-01-05T23:00:00Z)"
    );
    at(&server, "2026-12-24T21:30:00Z");
    let explained = self::olga(&server).explain("berlin-1", PACKAGE, 1).await.ok();
    let answer = explained["rules"].as_array().unwrap().last().unwrap()["answer"].to_string();
    assert!(answer.contains("a freeze holds"), "{answer}");
}

async fn a_clock_that_is_set_an_hour_off_opens_and_closes_with_it(engine: Engine) {
    let (server, _) = by(engine, &nights(), &json!({})).await;
    let phone = Phone::enroll(&server, "phone-1", "Etc/UTC").await;
    at(&server, "2026-11-24T22:30:00Z");
    assert!(phone.is_offered().await);
    at(&server, "2026-11-24T21:30:00Z");
    assert!(!phone.is_offered().await, "set back by an hour");
    at(&server, "2026-11-24T22:30:00Z");
    assert!(phone.is_offered().await);
    at(&server, "2026-11-25T03:30:00Z");
    assert!(phone.is_offered().await);
    at(&server, "2026-11-25T04:30:00Z");
    assert!(!phone.is_offered().await, "set forward by an hour");
    // Farther than anything that was worked out: right all the same, before the server has noticed.
    at(&server, "2028-02-29T22:00:00Z");
    assert!(phone.is_offered().await);
    at(&server, "2026-11-24T21:59:00Z");
    assert!(!phone.is_offered().await);
}

async fn only_an_admin_passes_over_a_freeze_and_the_log_tells(engine: Engine) {
    let mut calendar = nights();
    calendar["freezes"] = json!([{ "from": "2026-11-20", "to": "2026-12-01" }]);
    let (server, rollout) = by(engine, &calendar, &json!({ "must_install": true })).await;
    let phone = Phone::enroll(&server, "phone-1", "Etc/UTC").await;
    at(&server, "2026-11-24T22:30:00Z");
    assert!(!phone.is_offered().await, "what must be installed waits too");
    let path = format!("/v1/rollouts/{}", rollout["rollout_id"]);
    let urgent = json!({ "revision": 1, "ignore_freeze": true });
    let (olga, ada) = (olga(&server), server.person("ada", Role::Admin));
    send(&olga, Method::PATCH, &path, &urgent)
        .await
        .refused(403, "role_too_low");
    let build = rollout["build_id"].clone();
    let new = json!({ "build_id": build, "rollout_percent": 100, "priority": 5, "ignore_freeze": true });
    olga.post("/v1/rollouts", &new).await.refused(403, "role_too_low");
    assert!(!phone.is_offered().await);
    let edited = send(&ada, Method::PATCH, &path, &urgent).await.ok();
    assert_eq!(
        (&edited["ignore_freeze"], &edited["revision"]),
        (&json!(true), &json!(2))
    );
    assert!(phone.is_offered().await);
    let entry = &ada.audit("?action=ota.rollout.edit").await[0];
    assert_eq!(entry["actor"], "ada");
    assert_eq!(
        (
            &entry["before"]["ignore_freeze"],
            &entry["after"]["ignore_freeze"]
        ),
        (&json!(false), &json!(true))
    );
    at(&server, "2026-11-24T12:00:00Z");
    assert!(!phone.is_offered().await, "its windows hold");

    at(&server, "2026-11-24T22:45:00Z");
    let calm = json!({ "revision": 2, "ignore_freeze": false });
    let olga = self::olga(&server);
    send(&olga, Method::PATCH, &path, &calm).await.ok();
    assert!(!phone.is_offered().await, "anybody who may edit may take it back");
}

async fn a_calendar_is_made_changed_and_kept_while_it_is_used(engine: Engine) {
    let (server, rollout) = by(engine, &nights(), &json!({})).await;
    let olga = olga(&server);
    let calendar = olga.get("/v1/calendars/nights").await.ok();
    let expected = json!({
        "name": "nights", "zone": "device", "fallback_zone": "UTC", "freezes": [], "revision": 1, "created_by": "olga",
        "windows": [{ "days": WEEK, "start": "22:00", "end": "04:00" }], "created_at": calendar["created_at"],
    });
    assert_eq!(calendar, expected);
    assert_eq!(
        create(&olga, "/v1/calendars", &nights()).await,
        expected,
        "the same again is no other"
    );
    let office = json!({
        "name": "Office", "zone": "europe/berlin",
        "windows": [{ "days": ["fri", "mon"], "start": "08:00", "end": "17:00" }],
        "freezes": [{ "from": "2026-12-20T18:00", "to": "2027-01-06", "yearly": false }],
    });
    let office = create(&olga, "/v1/calendars", &office).await;
    assert_eq!(
        (&office["zone"], &office["windows"][0]["days"]),
        (&json!("Europe/Berlin"), &json!(["mon", "fri"]))
    );
    let listed = olga.get("/v1/calendars").await.ok();
    assert_eq!(listed["items"], json!([office, expected]));
    let page = olga.get("/v1/calendars?page_size=1").await.ok();
    let next = format!(
        "/v1/calendars?page_size=1&page_token={}",
        page["next_page_token"].as_str().unwrap()
    );
    assert_eq!(olga.get(&next).await.ok()["items"], json!([expected]));

    let ahead = olga
        .get("/v1/calendars/nights/openings?zone=America/New_York&days=2")
        .await
        .ok();
    assert_eq!(ahead["zone"], "America/New_York");
    let first = json!({ "from": "2026-11-24T03:00:00Z", "until": "2026-11-24T09:00:00Z" });
    assert_eq!(
        (&ahead["openings"][0], ahead["openings"].as_array().unwrap().len()),
        (&first, 2)
    );
    let ahead = olga.get("/v1/calendars/nights/openings").await.ok();
    assert_eq!(
        (&ahead["zone"], ahead["openings"].as_array().unwrap().len()),
        (&json!("UTC"), 14)
    );
    let ahead = olga
        .get("/v1/calendars/Office/openings?zone=America/New_York")
        .await
        .ok();
    assert_eq!(ahead["zone"], "Europe/Berlin", "it is told in a zone of its own");

    let in_use = delete(&olga, "/v1/calendars/nights")
        .await
        .refused(409, "calendar_in_use");
    let by = format!("rollout {}", rollout["rollout_id"]);
    assert!(in_use["detail"].as_str().unwrap().contains(&by), "{in_use}");
    let phone = Phone::enroll(&server, "phone-1", "Etc/UTC").await;
    assert!(!phone.is_offered().await);
    let mut noons = json!({ "zone": "device", "windows": [{ "days": WEEK, "start": "11:00", "end": "14:00" }], "revision": 1 });
    let changed = send(&olga, Method::PUT, "/v1/calendars/nights", &noons)
        .await
        .ok();
    assert_eq!(
        (&changed["revision"], &changed["windows"][0]["start"]),
        (&json!(2), &json!("11:00"))
    );
    assert!(phone.is_offered().await, "the next poll goes by it");
    send(&olga, Method::PUT, "/v1/calendars/nights", &noons)
        .await
        .ok();
    noons["windows"] = json!([]);
    send(&olga, Method::PUT, "/v1/calendars/nights", &noons)
        .await
        .refused(409, "revision_mismatch");

    let path = format!("/v1/rollouts/{}", rollout["rollout_id"]);
    let only = json!({ "revision": 1, "calendars": { "install": null, "download": "Office" } });
    let edited = send(&olga, Method::PATCH, &path, &only).await.ok();
    assert_eq!(
        edited["calendars"],
        json!({ "download": "Office", "install": null })
    );
    let deleted = delete(&olga, "/v1/calendars/nights").await.ok();
    assert_eq!(deleted["revision"], 2);
    olga.get("/v1/calendars/nights").await.refused(404, "not_found");
    let none = json!({ "revision": 2, "calendars": { "download": "" } });
    let edited = send(&olga, Method::PATCH, &path, &none).await.ok();
    assert_eq!(edited["calendars"], Value::Null);
    assert!(phone.is_offered().await);
    let gone = json!({ "revision": 3, "calendars": { "download": "nights" } });
    let missing = send(&olga, Method::PATCH, &path, &gone)
        .await
        .refused(404, "not_found");
    assert!(
        missing["detail"].as_str().unwrap().contains("calendar nights"),
        "{missing}"
    );
    for (action, count) in [
        ("calendar.create", 2),
        ("calendar.change", 1),
        ("calendar.delete", 1),
    ] {
        let entries = olga.audit(&format!("?action={action}")).await;
        assert_eq!(entries.len(), count, "{action}");
        assert!(
            entries[0]["target"].as_str().unwrap().starts_with("calendar/"),
            "{entries:?}"
        );
    }
    assert!(olga.audit_is_intact().await);
}

async fn what_is_wrong_with_a_calendar_is_refused_by_name(engine: Engine) {
    let (server, rollout) = by(engine, &nights(), &json!({})).await;
    let olga = olga(&server);
    let before = olga.everything().await;
    let night = json!({ "days": ["mon"], "start": "22:00", "end": "04:00" });
    let freeze = json!({ "from": "12-20", "to": "01-06", "yearly": true });
    for (change, field) in [
        (json!({ "name": "a b" }), "name"),
        (json!({ "name": "x".repeat(65) }), "name"),
        (json!({ "zone": "Europe/Atlantis" }), "zone"),
        (json!({ "zone": "" }), "zone"),
        (json!({ "zone": "UTC", "fallback_zone": "UTC" }), "fallback_zone"),
        (json!({ "fallback_zone": "../UTC" }), "fallback_zone"),
        (
            json!({ "windows": [{ "days": ["mon"], "start": "22:00", "end": "22:00" }] }),
            "windows",
        ),
        (
            json!({ "windows": [{ "days": ["mon"], "start": "24:00", "end": "04:00" }] }),
            "windows",
        ),
        (
            json!({ "windows": [{ "days": [], "start": "22:00", "end": "04:00" }] }),
            "windows",
        ),
        (
            json!({ "windows": [{ "days": ["Mon"], "start": "22:00", "end": "04:00" }] }),
            "windows",
        ),
        (json!({ "windows": vec![&night; 33] }), "windows"),
        (json!({ "freezes": vec![&freeze; 65] }), "freezes"),
        (
            json!({ "freezes": [{ "from": "2027-01-06", "to": "2026-12-20" }] }),
            "freezes",
        ),
        (
            json!({ "freezes": [{ "from": "02-30", "to": "03-02", "yearly": true }] }),
            "freezes",
        ),
        (
            json!({ "freezes": [{ "from": "2026-12-20", "to": "2027-01-06", "yearly": true }] }),
            "freezes",
        ),
    ] {
        let mut calendar = json!({ "name": "other", "zone": "device" });
        let terms = calendar.as_object_mut().unwrap();
        terms.extend(change.as_object().unwrap().clone());
        olga.post("/v1/calendars", &calendar).await.invalid(field);
    }
    for broken in [
        json!({ "name": "other" }),
        json!({ "name": "other", "zone": "device", "window": [] }),
        json!({ "name": "other", "zone": "device", "windows": [{ "day": ["mon"], "start": "22:00", "end": "04:00" }] }),
        json!({ "name": "other", "zone": "device", "freezes": [{ "from": "12-20" }] }),
    ] {
        olga.post("/v1/calendars", &broken)
            .await
            .refused(400, "invalid_argument");
    }
    let other = json!({ "name": "nights", "zone": "UTC" });
    olga.post("/v1/calendars", &other)
        .await
        .refused(409, "exists_already");
    let renamed = json!({ "name": "days", "zone": "UTC" });
    send(&olga, Method::PUT, "/v1/calendars/nights", &renamed)
        .await
        .invalid("name");
    let missing = json!({ "zone": "UTC" });
    send(&olga, Method::PUT, "/v1/calendars/none", &missing)
        .await
        .refused(404, "not_found");
    delete(&olga, "/v1/calendars/none")
        .await
        .refused(404, "not_found");
    olga.get("/v1/calendars/nights/openings?days=401")
        .await
        .invalid("days");
    olga.get("/v1/calendars/nights/openings?zone=Europe/Atlantis")
        .await
        .invalid("zone");
    let new = json!({ "build_id": rollout["build_id"], "rollout_percent": 5, "priority": 9, "calendars": { "download": "none" } });
    olga.post("/v1/rollouts", &new).await.refused(404, "not_found");
    let new = json!({ "build_id": rollout["build_id"], "rollout_percent": 5, "priority": 9, "calendars": { "install": "a b" } });
    olga.post("/v1/rollouts", &new).await.invalid("calendars.install");
    assert_eq!(olga.everything().await, before, "nothing was changed");
    server
        .operator(Role::Viewer)
        .post("/v1/calendars", &json!({ "name": "other", "zone": "UTC" }))
        .await
        .refused(403, "role_too_low");
}

async fn a_forced_roll_back_waits_for_the_window_too(engine: Engine) {
    let (server, _) = by(engine, &nights(), &json!({})).await;
    let olga = olga(&server);
    let third = olga.uploaded(&apks::build(PACKAGE, 3)).await;
    olga.promote(third, 100).await.ok();
    let phone = Phone::enroll(&server, "phone-1", "Etc/UTC").await;
    olga.roll_back(PACKAGE, true).await.ok();
    let told = || phone.agent.poll_as(PACKAGE, 3, "&protocol=2&zone=Etc/UTC");
    assert_eq!(told().await.why_not(), "outside_window");
    at(&server, "2026-11-23T22:00:00Z");
    let manifest = told().await.manifest.unwrap();
    assert_eq!(
        (&manifest["version_code"], &manifest["force_downgrade"]),
        (&json!(2), &json!(true))
    );
    assert_eq!(manifest["install_openings"][0]["from"], "2026-11-23T22:00:00Z");
}

async fn a_roll_back_ends_what_an_admin_allowed(engine: Engine) {
    let (server, rollout) = by(engine, &nights(), &json!({})).await;
    let (olga, ada) = (olga(&server), server.person("ada", Role::Admin));
    let path = format!("/v1/rollouts/{}", rollout["rollout_id"]);
    let urgent = json!({ "revision": 1, "ignore_freeze": true });
    send(&ada, Method::PATCH, &path, &urgent).await.ok();
    let third = olga.uploaded(&apks::build(PACKAGE, 3)).await;
    olga.promote(third, 100).await.ok();
    olga.roll_back(PACKAGE, false).await.ok();
    let serving = olga.rollouts("?state=active").await.ok();
    let again = &serving["items"][0];
    assert_eq!(
        (&again["ignore_freeze"], &again["calendars"]["download"]),
        (&json!(false), &json!("nights"))
    );
}

async fn the_same_by_grpc(engine: Engine) {
    fn by<T>(who: &Operator, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let bearer = format!("Bearer {}", who.token()).parse().unwrap();
        request.metadata_mut().insert("authorization", bearer);
        request
    }
    let server = TestServer::start(engine).await;
    let olga = olga(&server);
    let build = olga.uploaded(&apks::build(PACKAGE, 2)).await;
    let channel = server.channel().await;
    let mut calendars = CalendarServiceClient::new(channel.clone());
    let mut rollouts = RolloutServiceClient::new(channel);
    let window = v1::Window {
        days: WEEK.map(str::to_owned).to_vec(),
        start: "22:00".to_owned(),
        end: "04:00".to_owned(),
    };
    let request = v1::CreateCalendarRequest {
        name: "nights".to_owned(),
        zone: "device".to_owned(),
        windows: vec![window.clone()],
        ..v1::CreateCalendarRequest::default()
    };
    let made = calendars
        .create_calendar(by(&olga, request))
        .await
        .unwrap()
        .into_inner();
    let name = || "nights".to_owned();
    let got = calendars
        .get_calendar(by(&olga, v1::GetCalendarRequest { name: name() }))
        .await;
    assert_eq!(got.unwrap().into_inner(), made);
    let listed = calendars
        .list_calendars(by(&olga, v1::ListCalendarsRequest::default()))
        .await;
    assert_eq!(listed.unwrap().into_inner().items, std::slice::from_ref(&made));
    let request = v1::CreateRolloutRequest {
        build_id: build,
        rollout_percent: 100.0,
        calendars: Some(v1::RolloutCalendars {
            download: Some(name()),
            install: None,
        }),
        ..v1::CreateRolloutRequest::default()
    };
    let rollout = rollouts
        .create_rollout(by(&olga, request.clone()))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(rollout.calendars.unwrap().download, Some(name()));
    let urgent = v1::CreateRolloutRequest {
        ignore_freeze: true,
        ..request
    };
    let refused = rollouts.create_rollout(by(&olga, urgent)).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let in_use = calendars
        .delete_calendar(by(&olga, v1::DeleteCalendarRequest { name: name() }))
        .await;
    assert_eq!(in_use.unwrap_err().code(), Code::FailedPrecondition);
    let request = v1::UpdateCalendarRequest {
        name: name(),
        zone: "UTC".to_owned(),
        windows: vec![window],
        revision: Some(1),
        ..v1::UpdateCalendarRequest::default()
    };
    let changed = calendars
        .update_calendar(by(&olga, request))
        .await
        .unwrap()
        .into_inner();
    assert_eq!((changed.revision, changed.fallback_zone.as_str()), (2, ""));
    let request = v1::ListOpeningsRequest {
        name: name(),
        days: 1,
        ..v1::ListOpeningsRequest::default()
    };
    let ahead = calendars
        .list_openings(by(&olga, request))
        .await
        .unwrap()
        .into_inner();
    assert_eq!((ahead.zone.as_str(), ahead.openings.len()), ("UTC", 1));
    let request = v1::EditRolloutRequest {
        rollout_id: rollout.rollout_id,
        revision: 1,
        calendars: Some(v1::RolloutCalendars {
            download: Some(String::new()),
            install: None,
        }),
        ..v1::EditRolloutRequest::default()
    };
    let edited = rollouts
        .edit_rollout(by(&olga, request))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(edited.calendars, None);
    calendars
        .delete_calendar(by(&olga, v1::DeleteCalendarRequest { name: name() }))
        .await
        .unwrap();
}

#[tokio::test]
async fn another_server_goes_by_a_changed_calendar_within_a_second() {
    let (first, _) = by(Engine::Postgres, &nights(), &json!({})).await;
    let second = first.replica().await;
    let here = Phone::enroll(&first, "phone-1", "Etc/UTC").await;
    let there = Phone {
        agent: here.agent.at(&second.url("")),
        zone: "Etc/UTC",
    };
    assert!(!there.is_offered().await);
    let noons = json!({ "zone": "device", "windows": [{ "days": WEEK, "start": "11:00", "end": "14:00" }] });
    send(&olga(&first), Method::PUT, "/v1/calendars/nights", &noons)
        .await
        .ok();
    assert!(here.is_offered().await);
    eventually(|| there.is_offered(), |offered| *offered).await;
}
