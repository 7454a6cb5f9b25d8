//! Barriers, as axe-core finds them. It is fetched by `just axe` and is no part of the product.

use std::path::PathBuf;

use serde_json::Value;

use super::Browser;

/// The version that `just axe` fetches.
const VERSION: &str = "4.14.1";

const RUN: &str = r#"
const done = arguments[arguments.length - 1];
axe.run(document, { resultTypes: ["violations"] }).then(
  ({ violations }) => done(violations
    .filter(({ impact }) => impact !== "minor")
    .flatMap(({ id, help, nodes }) => nodes.map(({ html, failureSummary }) => `${id} (${help}): ${html} ${failureSummary}`))),
  (fault) => done([`axe failed: ${fault}`]));
"#;

impl Browser {
    /// The barriers of the page that is shown, but for minor ones.
    ///
    /// # Panics
    /// When axe-core was not fetched.
    pub async fn barriers(&self) -> Vec<String> {
        let script = std::fs::read_to_string(path())
            .unwrap_or_else(|fault| panic!("{} ({fault}); `just axe` fetches it", path().display()));
        // Through the driver: the page's own policy admits no script but ours, and that stays so in a test.
        self.run(&script, vec![]).await;
        let found = self.client.execute_async(RUN, vec![]).await.expect("axe runs");
        let found = found.as_array().cloned().unwrap_or_default();
        found
            .iter()
            .map(|found| {
                found
                    .as_str()
                    .map_or_else(|| Value::to_string(found), str::to_owned)
            })
            .collect()
    }
}

fn path() -> PathBuf {
    crate::target().join("axe").join(format!("axe-{VERSION}.js"))
}
