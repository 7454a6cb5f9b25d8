#!/usr/bin/env bash
# Compares `tidegate apk` with the Android project's own tools on real APKs: verdict, schemes and signers with
# `apksigner`, what the manifest says with `aapt`. Prints a table and exits with 1 on any difference.
#
#   deploy/compare-apksigner.sh            the APKs of eight packages from the npm registry
#   deploy/compare-apksigner.sh FILE...    these files instead
#
# TIDEGATE names the command to compare, by default the release build of this checkout. Needs npm; apksigner,
# aapt and jq are installed from the distribution where they are missing.
set -euo pipefail

packages=(
    io.appium.settings@7.0.0
    io.appium.settings@6.0.8
    io.appium.settings@5.0.0
    io.appium.settings@4.2.4
    appium-uiautomator2-server@9.1.2
    appium-uiautomator2-server@7.6.2
    appium-uiautomator2-server@1.20.0
    android-apidemos@5.0.0
)
# Besides the manifest's own minimum, each file is verified from this level on.
floor=24

root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

install_tools() {
    local missing=() sudo=()
    for tool in apksigner aapt jq; do
        command -v "$tool" >/dev/null || missing+=("$tool")
    done
    if [[ ${#missing[@]} == 0 ]]; then return; fi
    if ! command -v apt-get >/dev/null; then
        echo "missing: ${missing[*]}" >&2
        exit 2
    fi
    if [[ $(id -u) != 0 ]]; then sudo=(sudo); fi
    "${sudo[@]}" apt-get update -qq
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
}

find_tidegate() {
    if [[ -n "${TIDEGATE:-}" ]]; then
        read -ra tidegate <<<"$TIDEGATE"
        return
    fi
    cargo build --release --locked --quiet --manifest-path "$root/Cargo.toml" -p tidegate-gateway
    tidegate=("$(cargo metadata --format-version 1 --no-deps --manifest-path "$root/Cargo.toml" |
        jq -r .target_directory)/release/tidegate")
}

# The APKs of a package, unpacked below $work.
fetch() {
    local folder="$work/${1//[^a-zA-Z0-9.-]/_}"
    mkdir -p "$folder"
    (cd "$folder" && npm pack --silent "$1" >/dev/null 2>&1 && tar xzf ./*.tgz)
    find "$folder" -name '*.apk' | sort
}

# Lines of `key value`, the same keys from both sides.
theirs_verdict() {
    local out
    if out=$(apksigner verify --verbose --print-certs "${@:2}" "$1" 2>&1); then
        echo "verdict verified"
        echo "schemes $(sed -nE 's/^Verified using (v[0-9.]+) scheme .*: true$/\1/p' <<<"$out" |
            grep -E '^v([123]|3\.1)$' | paste -sd,)"
        echo "signers $(sed -nE 's/^.*certificate SHA-256 digest: ([0-9a-f]{64})$/\1/p' <<<"$out" | sort -u | paste -sd,)"
    else
        echo "verdict refused"
    fi
}

ours_verdict() {
    local out
    if out=$("${tidegate[@]}" apk verify --json "${@:2}" "$1"); then
        jq -r '"verdict verified",
            "schemes \([if .schemes.v1 then "v1" else empty end, if .schemes.v2 then "v2" else empty end,
                if .schemes.v3 then "v3" else empty end, if .schemes.v31 then "v3.1" else empty end] | join(","))",
            "signers \([.signers[].sha256] | unique | join(","))"' <<<"$out"
    else
        echo "verdict refused"
    fi
}

theirs_manifest() {
    local out min target
    # Where a file names no version code or level, aapt prints nothing, and devices have defaults.
    out=$(aapt dump badging "$1" 2>/dev/null)
    min=$(sed -nE "s/^sdkVersion:'(.*)'$/\1/p" <<<"$out")
    target=$(sed -nE "s/^targetSdkVersion:'(.*)'$/\1/p" <<<"$out")
    sed -nE "s/^package: name='([^']*)' versionCode='([^']*)' versionName='([^']*)'.*/package \1\nversion_code \2\nversion_name \3/p" \
        <<<"$out" | sed 's/^version_code $/version_code 0/'
    echo "min_sdk ${min:-1}"
    echo "target_sdk ${target:-${min:-1}}"
    echo "abis $(sed -nE "s/^(alt-)?native-code: //p" <<<"$out" | tr -d "'" | tr -s ' ' '\n' | sort -u | paste -sd, | sed 's/^,//')"
    echo "debuggable $(grep -q '^application-debuggable$' <<<"$out" && echo true || echo false)"
    echo "test_only $(grep -q "^testOnly='-1'$" <<<"$out" && echo true || echo false)"
}

ours_manifest() {
    "${tidegate[@]}" apk info --json "$1" | jq -r '"package \(.package)", "version_code \(.version_code)",
        "version_name \(.version_name)", "min_sdk \(.min_sdk)", "target_sdk \(.target_sdk)",
        "abis \(.abis | join(","))", "debuggable \(.debuggable)", "test_only \(.test_only)"'
}

differences=0

# Prints one row: the file, what was compared, what was found, and every value that differs.
row() {
    local name=$1 what=$2 theirs=$3 ours=$4 found mark=same
    found=$(sed -E 's/^[a-z_]+ //; s/([0-9a-f]{8})[0-9a-f]{56}/\1/g' <<<"$theirs" | paste -sd' ')
    if [[ "$theirs" != "$ours" ]]; then
        mark=DIFFERS
        differences=$((differences + 1))
    fi
    printf '%-44s %-9s %-7s %s\n' "$name" "$what" "$mark" "$found"
    diff <(echo "$theirs") <(echo "$ours") | sed -nE 's/^</    android: /p; s/^>/    tidegate:/p' || true
}

compare() {
    local file=$1 name
    name=$(basename "$(dirname "$file")")/$(basename "$file")
    if [[ "$file" == "$work"/* ]]; then
        name=${file#"$work"/}
        name=${name%%/*}/$(basename "$file")
    fi
    if [[ ${#name} -gt 44 ]]; then name=…${name: -43}; fi
    row "$name" manifest "$(theirs_manifest "$file")" "$(ours_manifest "$file")"
    row "$name" verdict "$(theirs_verdict "$file")" "$(ours_verdict "$file")"
    row "$name" "from $floor" "$(theirs_verdict "$file" --min-sdk-version "$floor")" \
        "$(ours_verdict "$file" --min-sdk "$floor")"
}

install_tools
find_tidegate
files=("$@")
if [[ ${#files[@]} == 0 ]]; then
    for package in "${packages[@]}"; do
        mapfile -t found < <(fetch "$package")
        if [[ ${#found[@]} == 0 ]]; then
            echo "$package holds no APK, or could not be fetched" >&2
            exit 2
        fi
        files+=("${found[@]}")
    done
fi

printf '%-44s %-9s %-7s %s\n' file compared result 'what apksigner or aapt say'
for file in "${files[@]}"; do
    compare "$file"
done
echo "${#files[@]} files, $differences differences"
[[ $differences == 0 ]]
