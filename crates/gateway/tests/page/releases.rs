//! A release that is watched: its steps, its health and its charts, as they look and as keys and a pointer read them.

use chrono::TimeDelta;
use serde_json::json;
use tidegate_domain::Role;
use tidegate_domain::gate::{Arms, GateFacts, StepCounts, StepProgress};

use crate::fixture::Fixture;

/// What a gate finds where so many devices were reached, failed and run the build.
fn found(reached: u64, failed: u64, confirmed: u64) -> GateFacts {
    let step = StepCounts {
        reached,
        begun: reached,
        sent: reached,
        failed,
        in_trouble: failed,
        confirmed,
        ..StepCounts::default()
    };
    GateFacts {
        fleet: 20_000,
        weights: Default::default(),
        steps: vec![step],
        lost_arms: Arms::default(),
        lost: Default::default(),
        crashing_arms: None,
        crashing: Default::default(),
        polls_expected: 0,
        polls_seen: 0,
        progress: StepProgress::Ramping,
        waited_seconds: 0,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_by_plan_shows_its_evidence_growing_until_its_gate_halts_it() {
    let fixture = Fixture::of("olga", Role::Operator).await;
    let (browser, operator) = (&fixture.browser, fixture.server.operator(Role::Operator));
    let (_, second) = fixture.two_builds().await;
    let agents = fixture.fleet(&[1, 5, 9, 30, 70], 1).await;
    fixture.is_counted(agents.len()).await;
    let steps = json!([
        { "percent": 10, "over": "2h", "bake": "1h" },
        { "percent": 50, "bake": "24h", "approve": true },
        { "percent": 100, "over": "12h" },
    ]);
    let release = json!({ "plan": { "steps": steps }, "gate": { "mode": "act", "failed_percent": 2 } });
    let made = operator.promote_as(second, &release).await.ok();
    let rollout = made["rollout_id"].as_i64().unwrap();
    let page = format!("/builds/{second}");
    let mut faults: Vec<String> = Vec::new();
    browser.go(&page).await;
    let health = format!("#health-{rollout}");
    let verdict = format!("{health} [data-verdict]");

    // Looks at some minutes' distance: each leaves a reading, and the page follows by itself.
    for (reached, failed, confirmed) in [
        (60, 0, 30),
        (140, 1, 80),
        (200, 3, 112),
        (240, 5, 160),
        (280, 9, 190),
    ] {
        fixture.server.clock().advance(TimeDelta::minutes(9));
        fixture
            .server
            .keep_gate_look(rollout, found(reached, failed, confirmed))
            .await;
        let told = format!("{failed} of {reached}");
        browser.reads(&health, |text| text.contains(&told)).await;
    }
    fixture.look("release", &page, &mut faults).await;
    assert_eq!(
        browser.text(&verdict).await,
        "Too few to judge: 190 of 280 run it"
    );
    assert_eq!(
        browser.count("#evidence-figure tbody tr").await,
        6,
        "five readings, and now"
    );

    fixture.server.clock().advance(TimeDelta::minutes(4));
    fixture.server.keep_gate_look(rollout, found(300, 31, 190)).await;
    browser.reads(&verdict, |text| text == "Bad: failed").await;
    browser.reads("#build-state", |text| text == "halted").await;
    fixture.look("release-halted", &page, &mut faults).await;
    browser
        .run(
            "document.querySelector('#evidence-figure').scrollIntoView()",
            vec![],
        )
        .await;
    browser.picture("release-evidence").await;
    let last = browser.text("#evidence-figure .legend li").await;
    assert!(last.contains("Failed") && !last.contains("0."), "{last}");
    let buttons = browser.count("main .primary").await;
    assert_eq!(buttons, 1, "one button is the one to press");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chart_is_read_by_keys_and_by_a_pointer_and_tells_what_happened() {
    let fixture = Fixture::of("olga", Role::Operator).await;
    let (browser, operator) = (&fixture.browser, fixture.server.operator(Role::Operator));
    let (_, second) = fixture.two_builds().await;
    let agents = fixture.fleet(&[1, 5, 9, 30, 70], 1).await;
    fixture.is_counted(agents.len()).await;
    operator.promote(second, 10).await.ok();
    for (minutes, moved) in [(7, 0..1), (11, 1..3), (8, 3..3)] {
        fixture.server.clock().advance(TimeDelta::minutes(minutes));
        for agent in &agents[moved] {
            agent.poll(2).await;
        }
        fixture.is_noted().await;
    }
    operator.pause(second).await.ok();
    fixture.server.clock().advance(TimeDelta::minutes(6));
    fixture.is_noted().await;
    let mut faults: Vec<String> = Vec::new();
    fixture.look("fleet-minutes", "/?range=1h", &mut faults).await;
    let chart = "#versions-figure";
    let rows = browser.count(&format!("{chart} tbody tr")).await;
    assert!(rows >= 4, "a row for each minute that was noted: {rows}");
    let marks = browser.text(&format!("{chart} .marks")).await;
    assert!(
        marks.contains("1.2: promoted, at 10 %") && marks.contains("1.2: paused"),
        "{marks}"
    );
    assert_eq!(marks.matches("promoted").count(), 2, "each once: {marks}");
    let first = "return document.querySelector('#versions-figure .area').getAttribute('d').split(/[ML ]/)[1]";
    let first = browser.run(first, vec![]).await;
    let begins: f64 = first.as_str().unwrap().parse().unwrap();
    assert!(
        begins > 300.0,
        "nothing is drawn before the first sample: {begins}"
    );

    // Keys: from the end to the left, and what is read is told.
    let plot = format!("{chart} [data-plot]");
    browser
        .run("document.querySelector(arguments[0]).focus()", vec![json!(plot)])
        .await;
    browser.press("\u{e012}").await;
    let told = browser
        .reads(&format!("{plot} [aria-live]"), |text| !text.is_empty())
        .await;
    assert!(told.contains("1.2 3, 1.1 2"), "{told}");
    let oldest = "return document.querySelector('#versions-figure tbody th').textContent";
    let oldest = browser.run(oldest, vec![]).await.as_str().unwrap().to_owned();
    browser.press("\u{e011}").await;
    browser
        .reads(&format!("{plot} [aria-live]"), |text| text.contains(&oldest))
        .await;
    browser.picture("chart-by-keys").await;
    browser.press("\u{e00c}").await;
    let shown = "return !document.querySelector('#versions-figure .reading').hidden";
    assert_eq!(browser.run(shown, vec![]).await, false, "Escape puts it away");

    // A pointer: what is nearest, and nothing beside the chart.
    let over = "const drawing = document.querySelector('#versions-figure .drawing');
        const { right, top } = drawing.getBoundingClientRect();
        drawing.dispatchEvent(new PointerEvent('pointermove', { bubbles: true, clientX: right - 1, clientY: top + 60 }));
        return document.querySelector('#versions-figure .reading').textContent";
    fixture.watch_shifts().await;
    let read = browser.run(over, vec![]).await;
    assert!(read.as_str().unwrap().contains("1.2 3"), "{read}");
    browser.picture("chart-by-pointer").await;
    let out =
        "document.querySelector('h1').dispatchEvent(new PointerEvent('pointermove', { bubbles: true }))";
    browser.run("document.activeElement.blur()", vec![]).await;
    browser.run(out, vec![]).await;
    assert_eq!(browser.run(shown, vec![]).await, false);
    assert_eq!(fixture.shifts().await, Vec::<String>::new());
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
