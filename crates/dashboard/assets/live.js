// Numbers that move. The server says each value ready to be shown, by the name of the place where it stands.
const status = document.getElementById("live-status");
const WORDS = { live: "live", lost: "connection lost, trying again", off: "not live" };
const RETRY_MS = 3000;
// The server says something every second while all is well.
const SILENCE_MS = 10000;
// A part of the page that numbers cannot tell is asked for anew, and not more often than this.
const RENEW_MS = 2000;

let source = null;
let silence = 0;
let retry = 0;
let renewing = false;

export function listen() {
  if (!status) return;
  // A browser has few connections to one server: a page that nobody sees gives its own back.
  document.addEventListener("visibilitychange", () => (document.hidden ? pause() : connect()));
  addEventListener("pagehide", pause);
  addEventListener("pageshow", connect);
  connect();
}

function connect() {
  if (source || document.hidden) return;
  clearTimeout(retry);
  source = new EventSource("/live");
  source.addEventListener("hello", heard);
  source.addEventListener("tick", (event) => {
    heard();
    apply(JSON.parse(event.data));
  });
  source.addEventListener("error", lost);
  expectWord();
}

function pause() {
  clearTimeout(retry);
  clearTimeout(silence);
  source?.close();
  source = null;
}

function heard() {
  say("live");
  expectWord();
}

function expectWord() {
  clearTimeout(silence);
  silence = setTimeout(lost, SILENCE_MS);
}

// The browser would try again by itself, but not after every kind of failure, and it never says why.
async function lost() {
  pause();
  say("lost");
  retry = setTimeout(connect, RETRY_MS);
  try {
    const session = await fetch("/session");
    if (session.status === 401) location.assign("/login?next=" + encodeURIComponent(location.pathname + location.search));
  } catch {
    // Not reachable at all: trying again is all there is to do.
  }
}

function say(state) {
  if (status.dataset.state === state) return;
  status.dataset.state = state;
  status.querySelector(".words").textContent = WORDS[state];
}

function apply({ values, bars, progress }) {
  for (const place of document.querySelectorAll("[data-live]")) {
    const value = values?.[place.dataset.live];
    if (value === undefined || place.textContent === value) continue;
    place.textContent = value;
    if (place.dataset.state !== undefined) place.dataset.state = value;
  }
  for (const bar of document.querySelectorAll("[data-progress]")) {
    const done = progress?.[bar.dataset.progress];
    if (done !== undefined) bar.value = done;
  }
  for (const bar of document.querySelectorAll("[data-bar]")) {
    const width = bars?.[bar.dataset.bar];
    if (width !== undefined) bar.setAttribute("width", width);
  }
  renew(values ?? {});
}

// Buttons and lists are made by the server: where a value that they depend on is no longer the one that they were
// made with, the page is fetched again and those parts of it are exchanged.
async function renew(values) {
  const old = [...document.querySelectorAll("[data-renew]")].filter(({ dataset }) => {
    const now = dataset.renew.split(" ").map((name) => values[name]);
    return !now.includes(undefined) && now.join(" ") !== dataset.made;
  });
  if (renewing || old.length === 0) return;
  renewing = true;
  try {
    const answer = await fetch(location.href);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of old) {
      const fresh = page.getElementById(part.id);
      // Whoever is in the middle of using a part keeps it.
      if (!fresh || part.contains(document.activeElement)) continue;
      part.replaceChildren(...document.importNode(fresh, true).childNodes);
      part.dataset.made = fresh.dataset.made;
    }
  } catch {
    // The next tick tries again, and a lost connection is told elsewhere.
  } finally {
    setTimeout(() => (renewing = false), RENEW_MS);
  }
}
