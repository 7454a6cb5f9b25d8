// A server that does not answer must not cost the page, nor what was typed on it: before a form is sent, and while the
// connection is lost before a link is followed, the server is asked whether it is there.
const ANSWER_MS = 5000;
const WORDS = "The server could not be reached. Nothing was sent, and what you typed is still here: try again.";

const cleared = new WeakSet();

// `address`: what this page may ask for, to see whether the server is there.
export function keepPage(address = "/session") {
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (event.defaultPrevented || form.closest("dialog") || form.matches("[data-replace]")) return;
    if (cleared.delete(form)) return;
    event.preventDefault();
    ask(address, () => {
      cleared.add(form);
      form.requestSubmit(event.submitter);
      cleared.delete(form);
    });
  });
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href]");
    const lost = document.getElementById("live-status")?.dataset.state === "lost";
    if (!lost || !link || event.defaultPrevented || event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey) return;
    if (link.origin !== location.origin || link.getAttribute("href").startsWith("#")) return;
    event.preventDefault();
    ask(address, () => location.assign(link.href));
  });
}

async function ask(address, then) {
  try {
    await fetch(address, { signal: AbortSignal.timeout(ANSWER_MS) });
  } catch {
    say();
    return;
  }
  document.getElementById("unreachable")?.remove();
  then();
}

function say() {
  document.getElementById("unreachable")?.remove();
  const note = document.createElement("p");
  note.id = "unreachable";
  note.className = "note bad";
  note.setAttribute("role", "alert");
  note.textContent = WORDS;
  document.getElementById("main").prepend(note);
  note.scrollIntoView({ block: "nearest" });
}
