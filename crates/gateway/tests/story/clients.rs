//! What others generate from the API's description compiles, and does a whole release.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use tidegate_domain::Role;
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::server::{Engine, TestServer};

on_both_engines!(of_python, of_typescript);

/// Where `just clients` puts the generators.
fn tools() -> PathBuf {
    let folder = tidegate_testkit::target().join("clients");
    let folder = fs::canonicalize(&folder).unwrap_or_default();
    assert!(
        folder.join("versions").exists(),
        "no generators; `just clients` fetches them"
    );
    folder
}

/// A server, its description in a folder, and two builds beside it.
struct Workshop {
    server: TestServer,
    folder: TempDir,
}

impl Workshop {
    async fn open(engine: Engine) -> Self {
        let server = TestServer::start(engine).await;
        // Beneath the generators, so that node finds its libraries.
        let folder = tempfile::tempdir_in(tools()).unwrap();
        let description = server.http().get(server.url("/openapi.json")).send().await;
        let description = description.unwrap().bytes().await.unwrap();
        fs::write(folder.path().join("openapi.json"), description).unwrap();
        for version in [1, 2] {
            let apk = apks::build(PACKAGE, version);
            fs::write(folder.path().join(format!("{version}.apk")), apk).unwrap();
        }
        Self { server, folder }
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).unwrap();
    }

    /// Runs a program in the folder, and is content only with its success.
    async fn run(&self, program: &Path, arguments: &[&str]) {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.folder.path());
        let output = tokio::task::spawn_blocking(move || command.output())
            .await
            .unwrap();
        let output = output.unwrap_or_else(|fault| panic!("{}: {fault}", program.display()));
        assert!(
            output.status.success(),
            "{} {arguments:?}: {}\n{}{}",
            program.display(),
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// The release that this script does.
    async fn release(&self, program: &Path, script: &str) {
        let (url, ada) = (self.server.url(""), self.server.operator(Role::Admin));
        self.run(program, &[script, &url, ada.token(), "1.apk", "2.apk"])
            .await;
    }
}

async fn of_python(engine: Engine) {
    let workshop = Workshop::open(engine).await;
    // The generator doesn't know that an APK is a file of bytes.
    workshop.write(
        "settings.yaml",
        "post_hooks: []\ncontent_type_overrides:\n  application/vnd.android.package-archive: application/octet-stream\n",
    );
    workshop.write("release.py", include_str!("../clients/release.py"));
    let programs = tools().join("python/bin");
    let arguments = [
        "generate",
        "--path=openapi.json",
        "--config=settings.yaml",
        "--output-path=tidegate_client",
        "--meta=none",
        "--fail-on-warning",
    ];
    workshop
        .run(&programs.join("openapi-python-client"), &arguments)
        .await;
    workshop.release(&programs.join("python"), "release.py").await;
}

async fn of_typescript(engine: Engine) {
    let workshop = Workshop::open(engine).await;
    workshop.write("package.json", r#"{ "type": "module" }"#);
    workshop.write("release.ts", include_str!("../clients/release.ts"));
    let programs = tools().join("node_modules/.bin");
    workshop
        .run(
            &programs.join("openapi-typescript"),
            &["openapi.json", "--output=schema.ts"],
        )
        .await;
    let arguments = [
        "--strict",
        "--skipLibCheck",
        "--module",
        "nodenext",
        "--target",
        "es2022",
        "release.ts",
        "schema.ts",
    ];
    workshop.run(&programs.join("tsc"), &arguments).await;
    workshop.release(Path::new("node"), "release.js").await;
}
