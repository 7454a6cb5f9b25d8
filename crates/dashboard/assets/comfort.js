// The switch of the colours, `/` for the search, copies of ids, and the focus after a filter was chosen.
const COPIED_MS = 2000;
const FOCUS = "focus";
const SEARCH = "/devices search";

export function prepareComforts() {
  prepareTheme(document.getElementById("theme"));
  prepareFilters();
  document.addEventListener("keydown", findSearch);
  document.addEventListener("click", ({ target }) => {
    const button = target.closest("button[data-copy]");
    if (button) copy(button);
  });
}

function prepareTheme(field) {
  if (!field) return;
  const root = document.documentElement;
  field.value = root.dataset.theme ?? "";
  field.addEventListener("change", () => {
    if (field.value) root.dataset.theme = field.value;
    else delete root.dataset.theme;
    try {
      if (field.value) localStorage.setItem("theme", field.value);
      else localStorage.removeItem("theme");
    } catch {
      // It holds for this page then.
    }
  });
}

// A filter applies as soon as it is chosen, and whoever chose it goes on from there on the page that comes.
function prepareFilters() {
  for (const field of document.querySelectorAll("[data-auto]")) {
    field.addEventListener("change", () => {
      remember(`${field.form.getAttribute("action")} ${field.name}`);
      field.form.requestSubmit();
    });
  }
  const [action, name] = (recall() ?? "").split(" ");
  if (!name || document.activeElement !== document.body) return;
  const same = ({ form }) => form.getAttribute("action") === action;
  [...document.querySelectorAll("[data-auto], [role=search] [type=search]")].find((field) => field.name === name && same(field))?.focus({ preventScroll: true });
}

function remember(field) {
  try {
    sessionStorage.setItem(FOCUS, field);
  } catch {
    // The page begins at its top then.
  }
}

function recall() {
  try {
    const field = sessionStorage.getItem(FOCUS);
    sessionStorage.removeItem(FOCUS);
    return field;
  } catch {
    return null;
  }
}

function findSearch(event) {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  const typed = "input:not([type=checkbox], [type=radio], [type=range]), select, textarea, [contenteditable]";
  if (event.target.closest(typed) || document.querySelector("dialog[open]")) return;
  event.preventDefault();
  const field = document.querySelector("main [role=search] input:not([type=hidden]), main [role=search] select");
  if (!field) {
    // The devices are what is searched for most.
    remember(SEARCH);
    location.assign("/devices");
    return;
  }
  field.focus();
  field.select?.();
}

async function copy(button) {
  if (button.dataset.told) return;
  button.dataset.told = "yes";
  const said = [...button.childNodes];
  button.replaceChildren((await write(button.dataset.copy)) ? "Copied" : "Not copied");
  setTimeout(() => {
    button.replaceChildren(...said);
    delete button.dataset.told;
  }, COPIED_MS);
}

// Over plain HTTP browsers have no clipboard for scripts, but the old command.
async function write(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const field = document.createElement("textarea");
    const focused = document.activeElement;
    field.value = text;
    field.className = "out-of-sight";
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    focused?.focus();
    return done;
  }
}
