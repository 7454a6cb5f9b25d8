# What one does with this repository. `just` alone lists the recipes.

# Its configuration changes between minor versions; deny.toml is written for this one.
cargo_deny := "^0.20"

# Which changes it tries differs between versions, so the share of those that are noticed does too.
cargo_mutants := "27.1.0"

# What reads the protocol's files, and the API's description, as others will.
buf_version := "1.75.0"
redocly_version := "2.77.0"
spectral_version := "6.16.3"
openapi_validator_version := "0.9.0"
schemathesis_version := "4.32.5"

# What makes clients from the API's description.
openapi_python_client_version := "0.29.1"
openapi_typescript_version := "7.13.0"
openapi_fetch_version := "0.17.0"
typescript_version := "5.9.3"
node_types_version := "20.9.5"

# What the page's tests find barriers with, and its hash in the registry's own spelling.
axe_version := "4.14.1"
axe_sha512 := "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ=="

# Lists the recipes.
default:
    @just --list

# Everything that has to be green, on SQLite and PostgreSQL. Needs Rust, a C compiler, and root once, for apt-get.
test: postgres pgbouncer browser axe prometheus proxies clients
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

# Installs PgBouncer from the distribution where it is missing.
pgbouncer:
    #!/usr/bin/env bash
    # Only the program is wanted: each test process starts one of its own (crates/testkit/src/pgbouncer.rs).
    set -euo pipefail
    if command -v pgbouncer >/dev/null || [[ -x /usr/sbin/pgbouncer ]]; then
        exit 0
    fi
    if ! command -v apt-get >/dev/null; then
        echo "PgBouncer is missing: put pgbouncer into the PATH" >&2
        exit 1
    fi
    sudo=()
    if [[ $(id -u) != 0 ]]; then sudo=(sudo); fi
    "${sudo[@]}" apt-get update -qq
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends pgbouncer
    # The package starts a service of the machine's, which nobody asked for.
    if [[ -d /run/systemd/system ]]; then
        "${sudo[@]}" systemctl disable --now pgbouncer
    elif "${sudo[@]}" service pgbouncer status >/dev/null 2>&1; then
        "${sudo[@]}" service pgbouncer stop
    fi

# Installs Chromium and its driver from the distribution where they are missing: the page's tests run in it.
browser:
    #!/usr/bin/env bash
    set -euo pipefail
    if command -v chromium >/dev/null && command -v chromedriver >/dev/null; then
        exit 0
    fi
    if ! command -v apt-get >/dev/null; then
        echo "Chromium or its driver is missing: install both so that 'chromium' and 'chromedriver' are found" >&2
        exit 1
    fi
    sudo=()
    if [[ $(id -u) != 0 ]]; then sudo=(sudo); fi
    "${sudo[@]}" apt-get update -qq
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends chromium chromium-driver fonts-dejavu-core

# Fetches axe-core, which looks for what keeps people from using a page. A tool of the tests; nothing of it is shipped.
axe: npm
    #!/usr/bin/env bash
    set -euo pipefail
    folder="${CARGO_TARGET_DIR:-target}/axe"
    if [[ -f "$folder/axe-{{axe_version}}.js" ]]; then
        exit 0
    fi
    mkdir -p "$folder"
    rm -rf "$folder/new" && mkdir "$folder/new"
    npm pack --silent --pack-destination "$folder/new" 'axe-core@{{axe_version}}' >/dev/null
    # npm brings node along, and a bare machine may have no openssl.
    hash='console.log(require("crypto").createHash("sha512").update(require("fs").readFileSync(process.argv[1])).digest("base64"))'
    got="$(node -e "$hash" "$folder/new/axe-core-{{axe_version}}.tgz")"
    if [[ "$got" != '{{axe_sha512}}' ]]; then
        echo "axe-core {{axe_version}} is not the file that was looked at: its SHA-512 is $got" >&2
        exit 1
    fi
    tar -xzf "$folder/new/axe-core-{{axe_version}}.tgz" -C "$folder/new" package/axe.min.js
    mv "$folder/new/package/axe.min.js" "$folder/axe-{{axe_version}}.js"
    rm -rf "$folder/new"

# Fetches what makes clients from the API's description. Tools of the tests; nothing of them is shipped.
clients: npm
    #!/usr/bin/env bash
    set -euo pipefail
    folder="${CARGO_TARGET_DIR:-target}/clients"
    wanted='{{openapi_python_client_version}} {{openapi_typescript_version}} {{openapi_fetch_version}} {{typescript_version}} {{node_types_version}}'
    if [[ "$(cat "$folder/versions" 2>/dev/null)" == "$wanted" ]]; then
        exit 0
    fi
    rm -rf "$folder" && mkdir -p "$folder"
    # Debian's Python comes without what makes such a folder.
    if ! python3 -m venv "$folder/python" 2>/dev/null; then
        sudo=()
        if [[ $(id -u) != 0 ]]; then sudo=(sudo); fi
        "${sudo[@]}" apt-get update -qq
        "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends python3-venv
        rm -rf "$folder/python" && python3 -m venv "$folder/python"
    fi
    "$folder/python/bin/pip" install --quiet --disable-pip-version-check \
        'openapi-python-client=={{openapi_python_client_version}}'
    npm install --silent --no-audit --no-fund --prefix "$folder" \
        'openapi-typescript@{{openapi_typescript_version}}' 'openapi-fetch@{{openapi_fetch_version}}' \
        'typescript@{{typescript_version}}' '@types/node@{{node_types_version}}'
    echo "$wanted" >"$folder/versions"

# Installs npm from the distribution where it is missing; it brings node along.
[private]
npm:
    #!/usr/bin/env bash
    set -euo pipefail
    if command -v npm >/dev/null; then
        exit 0
    fi
    sudo=()
    if [[ $(id -u) != 0 ]]; then sudo=(sudo); fi
    "${sudo[@]}" apt-get update -qq
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends npm

# Installs Prometheus from the distribution where it is missing.
prometheus:
    #!/usr/bin/env bash
    # Only the programs are wanted: tests run a Prometheus of their own, and check the alerts with promtool.
    set -euo pipefail
    if command -v prometheus >/dev/null && command -v promtool >/dev/null; then
        exit 0
    fi
    if ! command -v apt-get >/dev/null; then
        echo "Prometheus is missing: put prometheus and promtool into the PATH" >&2
        exit 1
    fi
    sudo=()
    if [[ $(id -u) != 0 ]]; then sudo=(sudo); fi
    "${sudo[@]}" apt-get update -qq
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends prometheus
    # The package starts a service of the machine's, which nobody asked for.
    if [[ -d /run/systemd/system ]]; then
        "${sudo[@]}" systemctl disable --now prometheus
    elif "${sudo[@]}" service prometheus status >/dev/null 2>&1; then
        "${sudo[@]}" service prometheus stop
    fi

# Installs nginx and Caddy from the distribution where they are missing.
proxies:
    #!/usr/bin/env bash
    # Only the programs are wanted: tests run them with the configurations in deploy/, on ports of their own.
    set -euo pipefail
    missing=()
    for program in nginx caddy; do
        if ! command -v "$program" >/dev/null; then missing+=("$program"); fi
    done
    if [[ ${#missing[@]} == 0 ]]; then exit 0; fi
    if ! command -v apt-get >/dev/null; then
        echo "missing: ${missing[*]}; put them into the PATH" >&2
        exit 1
    fi
    sudo=()
    if [[ $(id -u) != 0 ]]; then sudo=(sudo); fi
    "${sudo[@]}" apt-get update -qq
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"
    # The packages start services of the machine's, which nobody asked for.
    for program in "${missing[@]}"; do
        if [[ -d /run/systemd/system ]]; then
            "${sudo[@]}" systemctl disable --now "$program"
        elif "${sudo[@]}" service "$program" status >/dev/null 2>&1; then
            "${sudo[@]}" service "$program" stop
        fi
    done

# Formatting, the protocol's files, then clippy with warnings denied, tests and benchmarks included; and the binary as it goes into production.
lint: proto
    cargo fmt --all -- --check
    cargo clippy --workspace --all-targets --all-features --locked -- -D warnings
    cargo clippy -p tidegate-gateway --no-default-features --locked -- -D warnings

# buf, which npm fetches, lints the protocol's files and compares them with those of the last release (proto/buf.yaml).
proto: npm
    #!/usr/bin/env bash
    set -euo pipefail
    cd proto
    buf=(npx --yes --package '@bufbuild/buf@{{buf_version}}' buf)
    "${buf[@]}" lint
    "${buf[@]}" breaking --against released.binpb

# Keeps the protocol as it is now as that of the last release. Belongs to a release, and to nothing else.
proto-released: npm
    cd proto && npx --yes --package '@bufbuild/buf@{{buf_version}}' buf build --exclude-source-info --output released.binpb

# Reads the API's description, as a server of its own tells it, with three linters from npm and PyPI, and then calls what it describes some thousand times: as an admin, an operator, a device and a stranger. A quarter of an hour, so it isn't part of CI.
conformance: npm
    #!/usr/bin/env bash
    set -euo pipefail
    target="${CARGO_TARGET_DIR:-target}"
    folder="$target/conformance"
    cargo build --locked -p tidegate-gateway
    rm -rf "$folder/data" && mkdir -p "$folder"
    npm install --silent --no-audit --no-fund --prefix "$folder" \
        '@redocly/cli@{{redocly_version}}' '@stoplight/spectral-cli@{{spectral_version}}'
    [[ -x "$folder/python/bin/pip" ]] || python3 -m venv "$folder/python"
    "$folder/python/bin/pip" install --quiet --disable-pip-version-check \
        'openapi-spec-validator=={{openapi_validator_version}}' 'schemathesis=={{schemathesis_version}}'
    address=127.0.0.1:18097
    export TIDEGATE_DATA_DIR="$folder/data" TIDEGATE_LISTEN="$address"
    "$target/debug/tidegate" serve 2>"$folder/server.log" &
    trap 'kill $!' EXIT
    curl --silent --show-error --fail --retry 50 --retry-delay 1 --retry-connrefused \
        "http://$address/openapi.json" --output "$folder/openapi.json"
    echo 'extends: ["spectral:oas"]' >"$folder/spectral.yaml"
    "$folder/node_modules/.bin/redocly" lint "$folder/openapi.json"
    "$folder/node_modules/.bin/spectral" lint --fail-severity hint --ruleset "$folder/spectral.yaml" "$folder/openapi.json"
    "$folder/python/bin/openapi-spec-validator" "$folder/openapi.json"
    # A schema can't say everything that a valid request has to be, such as the token of the page before, an id that
    # exists or an APK. Logging out is asked last: all that came after it would be refused.
    operator="$("$target/debug/tidegate" admin token --subject conformance-operator --role operator)"
    admin="$("$target/debug/tidegate" admin token --subject conformance --role admin)"
    enrollment="$("$target/debug/tidegate" admin enroll-token)"
    device="$(curl --silent --show-error --fail "http://$address/v1/agent/enroll" \
        --json "{\"device_id\":\"conformance\",\"enrollment_token\":\"$enrollment\"}" \
        | python3 -c 'import json, sys; print(json.load(sys.stdin)["device_token"])')"
    run() {
        # What it remembers of its runs stays in its folder.
        (cd "$folder" && python/bin/schemathesis run "http://$address/openapi.json" --url "http://$address" \
            --header "Authorization: $1" --phases examples,coverage,fuzzing,stateful --max-examples 15 \
            --continue-on-failure --exclude-checks positive_data_acceptance "${@:2}")
    }
    for authorization in "Bearer $admin" "Bearer $operator" "Bearer $device" none; do
        run "$authorization" --exclude-path /v1/auth/logout
        run "$authorization" --include-path /v1/auth/logout
    done

# Kills a server at random moments while it takes the steps of plans, on both engines: each step is taken once. Some minutes; each kill keeps four connections, of which the test cluster has 400.
clerk-kills kills="80":
    TIDEGATE_KILLS={{kills}} cargo test --workspace --all-features --locked --test story -- a_killed_clerk_takes_each_step_once

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

# Breaks the rules and the signatures in some thousand ways, one at a time: tests have to notice at least 95 % (docs/mutants.md). More than a day of two cores, so it isn't part of CI.
mutants jobs="2":
    #!/usr/bin/env bash
    set -euo pipefail
    if [[ "$(cargo mutants --version 2>/dev/null)" != 'cargo-mutants {{cargo_mutants}}' ]]; then
        cargo install --locked cargo-mutants --version '{{cargo_mutants}}'
    fi
    folder="${CARGO_TARGET_DIR:-target}"
    mkdir -p "$folder"
    ended=0
    nice -n 19 cargo mutants -p tidegate-domain -p tidegate-signing --test-workspace false \
        --minimum-test-timeout 60 --build-timeout 600 --jobs {{jobs}} --output "$folder" || ended=$?
    # 2 and 3: some were missed, or took too long. The share decides about those.
    if [[ $ended != 0 && $ended != 2 && $ended != 3 ]]; then exit "$ended"; fi
    missed="$(wc -l <"$folder/mutants.out/missed.txt")"
    noticed="$(cat "$folder"/mutants.out/{caught,timeout}.txt | wc -l)"
    echo "noticed $noticed of $((noticed + missed)); missed:"
    cat "$folder/mutants.out/missed.txt"
    ((100 * noticed >= 95 * (noticed + missed)))

# Criterion's benchmarks; a name runs only those that contain it: `just bench cohort`.
bench name="":
    cargo bench --workspace --bench '*' --locked -- {{name}}

# The server on one core and its clients on the other, in turn with a bare axum handler and nginx, by the processor's time for each request. Needs nginx.
bench-server:
    cargo bench --locked -p tidegate-gateway --bench server

# Installs aapt and apksigner from the distribution where they are missing: the Android project's own readers of APKs.
android-tools:
    #!/usr/bin/env bash
    set -euo pipefail
    if command -v aapt2 >/dev/null && command -v aapt >/dev/null && command -v apksigner >/dev/null; then
        exit 0
    fi
    if ! command -v apt-get >/dev/null; then
        echo "aapt or apksigner is missing: put both into the PATH" >&2
        exit 1
    fi
    sudo=()
    if [[ $(id -u) != 0 ]]; then sudo=(sudo); fi
    "${sudo[@]}" apt-get update -qq
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends aapt apksigner

# aapt2, aapt and apksigner against our reader on manifests that are made and then damaged: no field may be read differently. apksigner starts a Java machine for each file, so it sees fewer.
readers manifests="5000" signed="50": android-tools
    cargo run --locked -p tidegate-apk --features build --example readers -- {{manifests}} {{signed}}

# A fresh database of a million devices and 200 builds in target/pages, in about two minutes; of ten million, 8 GB.
seed devices="1000000" builds="200":
    #!/usr/bin/env bash
    set -euo pipefail
    folder="${CARGO_TARGET_DIR:-target}/pages"
    rm -rf "$folder" && mkdir -p "$folder"
    cargo run --release --locked -p tidegate-storage --example seed -- "$folder/tidegate.db" {{devices}} {{builds}}

# How long each page takes to its first byte, and what it weighs, over the database that `just seed` made.
bench-pages:
    #!/usr/bin/env bash
    set -euo pipefail
    target="${CARGO_TARGET_DIR:-target}"
    if [[ ! -f "$target/pages/tidegate.db" ]]; then just seed; fi
    cargo build --release --locked -p tidegate-gateway
    deploy/bench-pages.sh "$target/release/tidegate" "$target/pages"

# A server with a fleet of virtual devices and a printed guide; Ctrl-C ends it.
demo:
    cargo run --release --locked -p tidegate-gateway -- demo

# Campaigns for a large fleet against a stand-in for FCM: throughput, then servers killed on the way, then dead tokens.
nudge-load devices="100000": postgres
    #!/usr/bin/env bash
    set -euo pipefail
    cargo build --release --locked -p tidegate-gateway -p tidegate-storage -p tidegate-testkit \
        --features tidegate-testkit/server --bin tidegate --example seed_devices --example nudge_load
    built="${CARGO_TARGET_DIR:-target}/release"
    for engine in sqlite postgres; do
        # Kills on the way, then the percentage of dead tokens.
        for trouble in "0 0" "3 0" "0 2"; do
            echo "--- $engine: $trouble"
            "$built/examples/nudge_load" "$built/tidegate" "$built/examples/seed_devices" "$engine" {{devices}} $trouble
        done
    done

# A fleet of 10,000 virtual devices against a server of its own, on both engines, undisturbed and with kills; the counts must be equal.
simulate devices="10000": postgres
    cargo build --release --locked -p tidegate-gateway -p tidegate-simulator
    cargo run --release --locked -p tidegate-simulator --example full_scale -- {{devices}}

# Asks what releases by plan would do, lets a fleet live them, and compares: the devices of each step to the device, the times until half and 90 of 100 were offered the build within 15 %.
forecast devices="2000": postgres
    FORECAST_DEVICES={{devices}} cargo test --release --locked -p tidegate-simulator --test forecast -- --nocapture --test-threads 1

# Each case of the health gate a thousand times, on fleets without a server; ends with 1 where a target is missed. Ten minutes.
gate seeds="1000":
    cargo run --release --locked -p tidegate-simulator --bin tidegate-sim -- gate --seeds {{seeds}}

# Fleets of agents live releases with a gate on two servers: bricks, silence, a false alarm, and nothing wrong. Ten minutes.
gated-releases: postgres
    cargo test --workspace --all-features --locked --test gate -- --include-ignored --nocapture --test-threads 2

# Kills a server on each engine so often in the middle of its writes: nothing acknowledged may be lost or doubled, and the audit log's chain is whole. A thousand take most of an hour.
kill-loop rounds="1000": postgres
    KILL_LOOP={{rounds}} cargo test --workspace --all-features --locked --test binary a_killed_server -- --nocapture --test-threads 1

# Patches between real consecutive releases beside those of bsdiff and zstd: how large, how long, how much memory. Fetches half a GB from npm once; most of an hour, nearly all of it bsdiff and zstd: `just bench-patches tidegate` has ours alone.
bench-patches *tools: npm
    #!/usr/bin/env bash
    set -euo pipefail
    missing=()
    for program in bsdiff zstd python3; do
        if ! command -v "$program" >/dev/null; then missing+=("$program"); fi
    done
    if [[ ${#missing[@]} != 0 ]]; then
        sudo=()
        if [[ $(id -u) != 0 ]]; then sudo=(sudo); fi
        "${sudo[@]}" apt-get update -qq
        "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"
    fi
    target="${CARGO_TARGET_DIR:-target}"
    cargo build --release --locked -p tidegate-delta --features make --example patch
    deploy/bench-patches.py "$target/release/examples/patch" "$target/patches" {{tools}}

# Changes patches at random and with knowledge of their format, so many times: an error or the exact file, never another.
damaged-patches tries="100000":
    TIDEGATE_PATCHES={{tries}} cargo test -p tidegate-delta --all-features --locked --test hostile -- --nocapture
