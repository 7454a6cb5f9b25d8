//! What the tests share: a server, a browser in which somebody is logged in, and a small fleet.

use serde_json::json;
use tidegate_domain::{Role, cohort};
use tidegate_testkit::agent::Agent;
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::browser::Browser;
use tidegate_testkit::server::{Engine, TestServer};

/// What everybody's password is.
pub(crate) const PASSWORD: &str = "correct horse battery staple";

/// Notes the layout shifts from now on.
const WATCH_SHIFTS: &str = "window.shifts = [];
    const tell = ({ node, previousRect, currentRect }) => `${(node?.outerHTML ?? node?.textContent ?? '?').slice(0, 120)}
      from ${JSON.stringify(previousRect)} to ${JSON.stringify(currentRect)}`;
    new PerformanceObserver((list) => list.getEntries().forEach((entry) => window.shifts.push(...entry.sources.map(tell))))
      .observe({ type: 'layout-shift' });";

/// A server, and a browser in which somebody is logged in.
pub(crate) struct Fixture {
    pub(crate) browser: Browser,
    pub(crate) server: TestServer,
}

impl Fixture {
    /// On a new server, logged in with this name and role.
    pub(crate) async fn of(name: &str, role: Role) -> Self {
        Self::at(TestServer::start(Engine::Sqlite).await, name, role).await
    }

    /// The same on this server.
    pub(crate) async fn at(server: TestServer, name: &str, role: Role) -> Self {
        server.add_user(name, role, PASSWORD).await;
        let browser = Browser::open(&server.admin_url("")).await;
        let fixture = Self { browser, server };
        fixture.browser.go("/login").await;
        fixture.log_in(name).await;
        fixture.browser.arrives(|path| path == "/").await;
        fixture
    }

    /// Fills in the login that is shown.
    pub(crate) async fn log_in(&self, name: &str) {
        self.browser.fill("[name=name]", name).await;
        self.browser.fill("[name=password]", PASSWORD).await;
        self.browser.click("#login-submit").await;
    }

    /// Devices whose cohorts are these, running a version of the package.
    pub(crate) async fn fleet(&self, cohorts: &[u8], version: i64) -> Vec<Agent> {
        let uses = i64::try_from(cohorts.len()).unwrap();
        let token = self.server.operator(Role::Admin).enroll_token(uses).await;
        let mut agents = Vec::new();
        let mut number = 0;
        for wanted in cohorts {
            let id = loop {
                number += 1;
                let id = format!("tablet-{number:04}");
                if cohort(&id) == *wanted {
                    break id;
                }
            };
            let request = json!({
                "enrollment_token": token, "device_id": id, "alias": format!("Till {number}"),
                "model": "Tab A9", "manufacturer": "Example", "sdk": 34, "android_version": "14",
                "region": "north", "tags": ["shop"],
            });
            let agent = self.server.enroll_as(&request).await.unwrap();
            agent.poll(version).await;
            agents.push(agent);
        }
        agents
    }

    /// Waits until the server has counted so many devices, which it does every second.
    pub(crate) async fn is_counted(&self, devices: usize) {
        self.browser.go("/").await;
        let counted = devices.to_string();
        self.browser
            .reads("#card-seen .number", |text| text == counted)
            .await;
    }

    /// Notes from now on what moves about on the page that is shown.
    pub(crate) async fn watch_shifts(&self) {
        self.browser.run(WATCH_SHIFTS, vec![]).await;
    }

    /// What has moved since, and from where to where.
    pub(crate) async fn shifts(&self) -> Vec<String> {
        let shifts = self.browser.run("return window.shifts", vec![]).await;
        let shifts = shifts.as_array().unwrap().iter();
        shifts.map(|shift| shift.as_str().unwrap().to_owned()).collect()
    }

    /// A build that everybody may have, and one that nobody is offered yet.
    pub(crate) async fn two_builds(&self) -> (i64, i64) {
        let operator = self.server.operator(Role::Operator);
        let first = operator.uploaded(&apks::build(PACKAGE, 1)).await;
        operator.promote(first, 100).await.ok();
        let second = operator.uploaded(&apks::build(PACKAGE, 2)).await;
        (first, second)
    }

    /// Polls as a device, and does what it is told to: how many devices were offered a build and installed it.
    pub(crate) async fn poll_all(&self, agents: &[Agent], version: i64) -> usize {
        let mut installed = 0;
        for agent in agents {
            let polled = agent.poll(version).await;
            let (Some(manifest), Some(build)) = (&polled.manifest, polled.build()) else {
                continue;
            };
            assert_eq!(agent.download(manifest, None).await.status, 200);
            agent.report(build, "install_success").await.ok();
            installed += 1;
        }
        installed
    }
}
