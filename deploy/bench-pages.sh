#!/usr/bin/env bash
# Serves a seeded folder and asks for each page in turn: bench-pages.sh BINARY FOLDER. `just bench-pages` calls it.
set -euo pipefail
binary=$1
folder=$2
rounds=21
jar=$(mktemp)
log=$(mktemp)

export TIDEGATE_DATA_DIR=$folder TIDEGATE_LISTEN=127.0.0.1:0 TIDEGATE_LOG_FORMAT=text NO_COLOR=1
# The person is there already when the folder was measured before.
echo 'correct horse battery staple' | "$binary" admin --init user add bench --role admin >/dev/null 2>&1 || true
"$binary" serve >"$log" 2>&1 &
server=$!
trap 'kill "$server"; wait "$server" 2>/dev/null || true; rm -f "$jar" "$log"' EXIT

base=
for _ in $(seq 100); do
    address=$(grep -oE 'listen=127\.0\.0\.1:[0-9]+' "$log" | head -n 1 | cut -d = -f 2 || true)
    if [[ -n $address ]]; then
        base=http://$address
        break
    fi
    sleep 0.1
done
if [[ -z $base ]]; then
    cat "$log" >&2
    exit 1
fi
curl -sS --noproxy '*' -o /dev/null -c "$jar" -H "Origin: $base" \
    --data-urlencode name=bench --data-urlencode 'password=correct horse battery staple' "$base/login"
# The first count of the fleet.
sleep 3

# The page that one comes to by going on so many times.
deep() {
    local path=$1 next
    for _ in $(seq "$2"); do
        next=$(curl -sS --noproxy '*' -b "$jar" "$base$path" | grep -oE 'rel="next" href="[^"]+"' | cut -d '"' -f 4 || true)
        if [[ -z $next ]]; then
            echo "$path has no next page" >&2
            exit 1
        fi
        path=$(sed 's/&#38;/\&/g; s/&amp;/\&/g' <<<"$next")
    done
    measure "$path" "$1, $2 pages on"
}

measure() {
    local path=$1 name=${2:-$1} times=() size status
    for _ in $(seq "$rounds"); do
        read -r status time size < <(curl -sS --noproxy '*' -o /dev/null -b "$jar" \
            -w '%{http_code} %{time_starttransfer} %{size_download}\n' "$base$path")
        if [[ $status != 200 ]]; then
            echo "$path answered $status" >&2
            exit 1
        fi
        times+=("$time")
    done
    printf '%s\n' "${times[@]}" | sort -n | awk -v path="$name" -v size="$size" '
        { time[NR] = $1 * 1000 }
        END { printf "| `%s` | %.1f ms | %.1f ms | %.1f kB |\n", path, time[int((NR + 1) / 2)], time[NR], size / 1000 }'
}

echo '| page | first byte, median | longest | size |'
echo '|---|---|---|---|'
for path in / /builds '/builds?package=com.example.app' /builds/200 /builds/1 /builds/200/promote /builds/200/rollout \
    /builds/200/rollback /devices '/devices?search=device-09' '/devices?search=till%205' \
    '/devices?package_name=com.example.app' '/devices?state=offered' '/devices?state=failing' '/devices?state=silent' \
    '/devices?search=device-0&state=failing' /devices/device-0500000 /devices/device-0500000/revoke /builds/upload \
    /nudges /nudges/new /nudges/1 /nudges/201 /audit '/audit?actor=seed' '/audit?actor=nobody' \
    '/audit?action=ota.promote' '/audit?from=2026-01-01&to=2026-06-30'; do
    measure "$path"
done
deep /devices 100
deep '/devices?state=offered' 100
deep /builds 5
deep /nudges 5
deep /nudges/201 100
deep /audit 100
