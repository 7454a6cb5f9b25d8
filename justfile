# What one does with this repository. `just` alone lists the recipes.

# Its configuration changes between minor versions; deny.toml is written for this one.
cargo_deny := "^0.20"

# Lists the recipes.
default:
    @just --list

# Everything that has to be green, on SQLite and PostgreSQL. Needs Rust, a C compiler, and root once, for apt-get.
test: postgres
    cargo test --workspace --all-features --locked

# Installs PostgreSQL from the distribution where it is missing.
postgres:
    #!/usr/bin/env bash
    # Only its binaries are wanted: each test process starts a throwaway cluster of its own, on another port
    # than any server that runs here (crates/testkit/src/postgres.rs).
    set -euo pipefail
    if [[ -n "${TESTKIT_PG_BIN:-}" ]] || command -v initdb >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; then
        exit 0
    fi
    if ! command -v apt-get >/dev/null; then
        echo "PostgreSQL is missing: install it, or name the folder of its initdb in TESTKIT_PG_BIN" >&2
        exit 1
    fi
    sudo=()
    if [[ $(id -u) != 0 ]]; then sudo=(sudo); fi
    "${sudo[@]}" apt-get update -qq
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends postgresql

# Formatting, then clippy with warnings denied, tests and benchmarks included.
lint:
    cargo fmt --all -- --check
    cargo clippy --workspace --all-targets --all-features --locked -- -D warnings

# The crates' documentation; a broken link is an error. Begin reading in target/doc/tidegate_domain.
docs:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --all-features --no-deps --locked

# Licences, banned crates and sources of everything we link (deny.toml). Installs cargo-deny where it is missing.
deny:
    command -v cargo-deny >/dev/null || cargo install --locked cargo-deny --version '{{cargo_deny}}'
    cargo deny --all-features --locked check licenses bans sources

# The same with the list of known vulnerabilities, which is fetched from the network.
audit:
    cargo deny --all-features --locked check

# Criterion's benchmarks; a name runs only those that contain it: `just bench cohort`.
bench name="":
    cargo bench --workspace --bench '*' --locked -- {{name}}

# A server with a fleet of virtual devices and a printed guide; Ctrl-C ends it.
demo:
    cargo run --release --locked -p tidegate-gateway -- demo

# Campaigns for a large fleet against a stand-in for FCM: throughput, then servers killed on the way, then dead tokens.
nudge-load devices="100000": postgres
    #!/usr/bin/env bash
    set -euo pipefail
    cargo build --release --locked -p tidegate-gateway --bin tidegate
    cargo build --release --locked -p tidegate-storage --example seed_devices
    cargo build --release --locked -p tidegate-testkit --features server --example nudge_load
    built="${CARGO_TARGET_DIR:-target}/release"
    for engine in sqlite postgres; do
        # Kills on the way, then the percentage of dead tokens.
        for trouble in "0 0" "3 0" "0 2"; do
            echo "--- $engine: $trouble"
            "$built/examples/nudge_load" "$built/tidegate" "$built/examples/seed_devices" "$engine" {{devices}} $trouble
        done
    done

# A fleet of 10,000 virtual devices against a server of its own, on both engines, undisturbed and with kills; the books must be equal.
simulate devices="10000": postgres
    cargo build --release --locked -p tidegate-gateway -p tidegate-simulator
    cargo run --release --locked -p tidegate-simulator --example full_scale -- {{devices}}
