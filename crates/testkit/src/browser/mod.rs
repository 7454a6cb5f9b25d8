//! A real, headless Chromium with a fresh profile, driven over WebDriver.
//!
//! It waits for what a test asks for instead of sleeping, and remembers what the page's console was told, because a
//! page that works with an error in its console works by luck.

mod axe;
mod command;
mod driver;

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use fantoccini::elements::Element;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use command::Command;
use driver::Driver;

/// How many browsers run at once in a process: each is a handful of processes.
const MAX_BROWSERS: usize = 2;

/// How long a page may take to become what is waited for. Far longer than it does.
const WAIT_LIMIT: Duration = Duration::from_secs(30);

/// How often it is looked at meanwhile.
const GLANCE: Duration = Duration::from_millis(50);

/// The height of the window, which no test depends on.
const HEIGHT: u32 = 900;

/// Keys that are no letters, as WebDriver names them.
pub mod keys {
    /// To the next field.
    pub const TAB: &str = "\u{e004}";
    /// Follows a link, presses a button.
    pub const ENTER: &str = "\u{e007}";
    /// Closes a dialog.
    pub const ESCAPE: &str = "\u{e00c}";
    /// A slider to its lowest.
    pub const HOME: &str = "\u{e011}";
    /// To the choice below, of radio buttons.
    pub const DOWN: &str = "\u{e015}";
    /// A slider one step on.
    pub const RIGHT: &str = "\u{e014}";
}

/// A browser with one page. Dropped, it ends.
pub struct Browser {
    client: Client,
    base: String,
    // Dropped last and in this order: first the processes, then the place for others.
    _driver: Driver,
    _place: OwnedSemaphorePermit,
}

impl Browser {
    /// Starts one for the site at this address, 1440 pixels wide.
    ///
    /// # Panics
    /// When there is no Chromium or no driver; `just browser` installs them.
    pub async fn open(base: &str) -> Self {
        static PLACES: OnceLock<Arc<Semaphore>> = OnceLock::new();
        let places = PLACES.get_or_init(|| Arc::new(Semaphore::new(MAX_BROWSERS)));
        let place = Arc::clone(places).acquire_owned().await.expect("never closed");
        let driver = tokio::task::spawn_blocking(Driver::start).await;
        let driver = driver.expect("no browser");
        let mut builder = ClientBuilder::new(HttpConnector::new());
        builder.capabilities(capabilities(&driver));
        let client = builder.connect(&driver.url()).await.unwrap_or_else(|fault| {
            let log = std::fs::read_to_string(driver.folder().join("driver.log")).unwrap_or_default();
            panic!("Chromium does not start: {fault}\n{log}")
        });
        let browser = Self {
            client,
            base: base.trim_end_matches('/').to_owned(),
            _driver: driver,
            _place: place,
        };
        browser.resize(1440).await;
        browser
    }

    /// Goes to a path of the site.
    ///
    /// # Panics
    /// When nothing answers there.
    pub async fn go(&self, path: &str) {
        let url = format!("{}{path}", self.base);
        self.client.goto(&url).await.expect("the page answers");
    }

    /// The path and query of the page that is shown.
    ///
    /// # Panics
    /// When the browser is gone.
    pub async fn path(&self) -> String {
        let url = self.client.current_url().await.expect("a page");
        match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        }
    }

    /// Waits until the page's path is the one that is wanted.
    ///
    /// # Panics
    /// When it never is.
    pub async fn arrives(&self, wanted: impl Fn(&str) -> bool) -> String {
        let begun = Instant::now();
        loop {
            let path = self.path().await;
            if wanted(&path) {
                return path;
            }
            assert!(
                begun.elapsed() < WAIT_LIMIT,
                "the page stays at {path}: {}",
                self.said().await
            );
            tokio::time::sleep(GLANCE).await;
        }
    }

    /// Waits for the first element that a CSS selector finds.
    ///
    /// # Panics
    /// When there never is one.
    pub async fn find(&self, css: &str) -> Element {
        let wait = self.client.wait().at_most(WAIT_LIMIT).every(GLANCE);
        match wait.for_element(Locator::Css(css)).await {
            Ok(element) => element,
            Err(fault) => panic!(
                "no {css} at {}: {fault}\n{}",
                self.path().await,
                self.said().await
            ),
        }
    }

    /// How many elements a selector finds now.
    ///
    /// # Panics
    /// When the browser is gone.
    pub async fn count(&self, css: &str) -> usize {
        let found = self.client.find_all(Locator::Css(css)).await;
        found.expect("a selector").len()
    }

    /// Clicks.
    ///
    /// # Panics
    /// When there is nothing to click on.
    pub async fn click(&self, css: &str) {
        let begun = Instant::now();
        loop {
            match self.find(css).await.click().await {
                Ok(()) => return,
                // A dialog that is still opening, or a page that was just exchanged.
                Err(fault) => assert!(begun.elapsed() < WAIT_LIMIT, "{css} takes no click: {fault}"),
            }
            tokio::time::sleep(GLANCE).await;
        }
    }

    /// Types into a field, in place of what stands there.
    ///
    /// # Panics
    /// When it takes no text.
    pub async fn fill(&self, css: &str, text: &str) {
        let field = self.find(css).await;
        field.clear().await.expect("a field");
        field.send_keys(text).await.expect("the field takes text");
    }

    /// Gives a file to a file field.
    ///
    /// # Panics
    /// When it is none.
    pub async fn attach(&self, css: &str, file: &std::path::Path) {
        let path = file.to_str().expect("a UTF-8 path");
        let field = self.find(css).await;
        field.send_keys(path).await.expect("the field takes a file");
    }

    /// Sets a field as a script would, and tells the page: for sliders, which take no typing.
    pub async fn set(&self, css: &str, value: &str) {
        self.find(css).await;
        let script = "const field = document.querySelector(arguments[0]);
            field.value = arguments[1]; field.dispatchEvent(new Event('input', { bubbles: true }));";
        self.run(script, vec![json!(css), json!(value)]).await;
    }

    /// The text of the first element that a selector finds, as it is shown.
    ///
    /// # Panics
    /// When there never is one.
    pub async fn text(&self, css: &str) -> String {
        self.find(css).await.text().await.unwrap_or_default()
    }

    /// Waits until an element's text is what is wanted, whoever changes it.
    ///
    /// # Panics
    /// When it never is.
    pub async fn reads(&self, css: &str, wanted: impl Fn(&str) -> bool) -> String {
        let begun = Instant::now();
        loop {
            let text = self.text(css).await;
            if wanted(&text) {
                return text;
            }
            assert!(
                begun.elapsed() < WAIT_LIMIT,
                "{css} still reads {text:?} at {}",
                self.path().await
            );
            tokio::time::sleep(GLANCE).await;
        }
    }

    /// All that the page says.
    pub async fn said(&self) -> String {
        let said = self.run("return document.body?.innerText", vec![]).await;
        said.as_str().unwrap_or_default().to_owned()
    }

    /// Runs a script in the page: what it returns.
    ///
    /// # Panics
    /// When it throws.
    pub async fn run(&self, script: &str, arguments: Vec<Value>) -> Value {
        let done = self.client.execute(script, arguments).await;
        done.expect("the script runs")
    }

    /// Makes the page this wide, also narrower than any window: as the screen of a phone is.
    ///
    /// # Panics
    /// When the browser is gone.
    pub async fn resize(&self, width: u32) {
        let metrics =
            json!({ "width": width, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": width < 700 });
        self.devtools("Emulation.setDeviceMetricsOverride", &metrics)
            .await;
    }

    /// By how many pixels the page is wider than its window.
    pub async fn overflow(&self) -> i64 {
        let script = "return document.documentElement.scrollWidth - document.documentElement.clientWidth";
        self.run(script, vec![]).await.as_i64().unwrap_or(i64::MAX)
    }

    /// Presses keys wherever the focus is; [`keys`] has those that are no letters.
    ///
    /// # Panics
    /// When the browser is gone.
    pub async fn press(&self, keys: &str) {
        let focused = self.client.active_element().await.expect("a focus");
        focused.send_keys(keys).await.expect("the keys are pressed");
    }

    /// Drags a file from the desktop to the middle of an element, and lets it go.
    ///
    /// # Panics
    /// When there is nothing to drop it on.
    pub async fn drop_file(&self, css: &str, file: &std::path::Path) {
        let (x, y, width, height) = self.find(css).await.rectangle().await.expect("a place");
        for step in ["dragEnter", "dragOver", "drop"] {
            let data = json!({ "items": [], "files": [file], "dragOperationsMask": 1 });
            let drag = json!({ "type": step, "x": x + width / 2.0, "y": y + height / 2.0, "data": data });
            self.devtools("Input.dispatchDragEvent", &drag).await;
        }
    }

    /// Runs no scripts of pages from now on, or runs them again.
    pub async fn forbid_scripts(&self, forbidden: bool) {
        let value = json!({ "value": forbidden });
        self.devtools("Emulation.setScriptExecutionDisabled", &value)
            .await;
    }

    /// Sends no more than so many bytes a second; `None` is as fast as it can.
    ///
    /// # Panics
    /// When the browser is gone.
    pub async fn send_at_most(&self, bytes: Option<u32>) {
        let rate = bytes.map_or(-1, i64::from);
        let conditions = json!({
            "offline": false, "latency": 0, "downloadThroughput": -1, "uploadThroughput": rate
        });
        self.devtools("Network.enable", &json!({})).await;
        self.devtools("Network.emulateNetworkConditions", &conditions)
            .await;
    }

    /// The errors that the console was told since it was last asked, those left out that a test expects.
    ///
    /// # Panics
    /// When the browser is gone.
    pub async fn complaints(&self, but: &[&str]) -> Vec<String> {
        let log = self.client.issue_cmd(Command::console()).await.expect("a log");
        let entries = log.as_array().cloned().unwrap_or_default();
        entries
            .iter()
            .filter(|entry| entry["level"] == "SEVERE")
            .filter_map(|entry| entry["message"].as_str())
            .filter(|message| !but.iter().any(|but| message.contains(but)))
            .map(str::to_owned)
            .collect()
    }

    /// Writes a picture of the part of the page that the window shows to `target/screenshots`.
    ///
    /// # Panics
    /// When it cannot be written.
    pub async fn picture(&self, name: &str) {
        let png = self.client.screenshot().await.expect("a picture");
        let folder = crate::target().join("screenshots");
        std::fs::create_dir_all(&folder).expect("the folder of pictures");
        std::fs::write(folder.join(format!("{name}.png")), png).expect("the picture is written");
    }

    /// Forgets the session, as when it has ended.
    ///
    /// # Panics
    /// When the browser is gone.
    pub async fn forget_cookies(&self) {
        self.client.delete_all_cookies().await.expect("cookies");
    }

    /// A DevTools command: what it answers.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn devtools(&self, name: &str, parameters: &Value) -> Value {
        let command = Command::devtools(name, parameters);
        self.client.issue_cmd(command).await.expect("a DevTools command")
    }
}

impl std::fmt::Debug for Browser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Browser({})", self.base)
    }
}

fn capabilities(driver: &Driver) -> fantoccini::wd::Capabilities {
    let profile = format!("--user-data-dir={}", driver.profile().display());
    let arguments = [
        "--headless=new",
        // Chromium refuses its sandbox to root, whom containers run tests as; it only ever sees pages of ours.
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-default-apps",
        "--disable-sync",
        "--no-first-run",
        "--no-default-browser-check",
        "--no-proxy-server",
        // So that pictures look alike wherever they are taken.
        "--force-device-scale-factor=1",
        "--hide-scrollbars",
        // A picture in the middle of a transition shows what never was.
        "--force-prefers-reduced-motion",
        &profile,
    ];
    let wanted = json!({
        "goog:chromeOptions": { "args": arguments },
        "goog:loggingPrefs": { "browser": "ALL" },
    });
    wanted.as_object().cloned().unwrap_or_default()
}
