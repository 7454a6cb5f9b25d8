// A link to a sheet opens it in place: the same page, fetched and shown as a dialog. A form in it is sent from
// there; where the server leads elsewhere we follow, and a refused form comes back with its reason.
import { prepareShares } from "./share.js";

const dialog = document.getElementById("dialog");

export function watchDialogs() {
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-dialog], dialog a[data-close]");
    if (!link || event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    if (link.matches("[data-close]")) dialog.close();
    else openAddress(link.href, link);
  });
  dialog.addEventListener("submit", (event) => {
    event.preventDefault();
    send(event.target, event.submitter);
  });
  // A click beside the sheet closes it; one that began inside, or on its scroll bar, does not.
  dialog.addEventListener("pointerdown", ({ target, clientX, clientY }) => {
    const { left, right, top, bottom } = dialog.getBoundingClientRect();
    const inside = clientX >= left && clientX <= right && clientY >= top && clientY <= bottom;
    if (target === dialog && !inside) dialog.close();
  });
}

// Shows the sheet at an address, which a link or a button leads to.
export async function openAddress(address, origin) {
  origin.setAttribute("aria-busy", "true");
  try {
    const answer = await fetch(address);
    if (!(await show(answer))) return;
    dialog.showModal();
    prepareShares(dialog);
    // Not the first field: a key that is still held down would send the form that it has just opened.
    title()?.focus();
  } catch {
    location.assign(address);
  } finally {
    origin.removeAttribute("aria-busy");
  }
}

async function send(form, button) {
  const body = new URLSearchParams(new FormData(form, button));
  if (button) button.disabled = true;
  try {
    const answer = await fetch(form.action, { method: "POST", body });
    if (answer.redirected) {
      location.assign(answer.url);
      return;
    }
    await show(answer);
    prepareShares(dialog);
    dialog.querySelector("[role=alert], [role=status]")?.scrollIntoView({ block: "nearest" });
    title()?.focus({ preventScroll: true });
  } catch {
    if (button) button.disabled = false;
    tell(form, "The server could not be reached. Nothing is known of what became of it: look before you repeat it.");
  }
}

function title() {
  const heading = dialog.querySelector("#sheet-title");
  if (heading) heading.tabIndex = -1;
  return heading;
}

// Whether the answer held a sheet. A login in its place is gone to.
async function show(answer) {
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const sheet = page.querySelector(".sheet");
  if (!sheet) {
    location.assign(answer.url);
    return false;
  }
  dialog.replaceChildren(document.importNode(sheet, true));
  return true;
}

function tell(form, words) {
  let note = dialog.querySelector("#error");
  if (!note) {
    note = document.createElement("p");
    note.id = "error";
    note.className = "note bad";
    note.setAttribute("role", "alert");
    form.before(note);
  }
  note.textContent = words;
}
