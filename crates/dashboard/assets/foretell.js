// What a change would do: the form is sent as it stands, with the wish to be told and not to be obeyed, and the parts that
// tell it are exchanged. Without scripts a button does the same for the whole page.
const QUIET_MS = 400;
const AGAIN_MS = 1500;
const TRIES = 6;
const PARTS = ["foretold", "reach-box"];

function exchange(old, fresh) {
  const hadFocus = old.contains(document.activeElement);
  const wasOpen = old.querySelector("details")?.open;
  old.replaceChildren(...fresh.childNodes);
  const details = old.querySelector("details");
  if (details && wasOpen) details.open = true;
  if (hadFocus) details?.querySelector("summary").focus();
}

export function foretell(sheet, form, submit) {
  let timer = 0;
  let going = null;
  const place = (id) => sheet.querySelector(`#${id}`);

  async function ask(tries) {
    if (!sheet.isConnected) return;
    going = new AbortController();
    const body = new URLSearchParams(new FormData(form));
    body.set("check", "yes");
    try {
      const answer = await fetch(form.action, { method: "POST", body, signal: going.signal });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.getElementById("foretold");
      if (!fresh) return;
      if (fresh.dataset.busy !== undefined && tries > 1) {
        timer = setTimeout(() => ask(tries - 1), AGAIN_MS);
        return;
      }
      for (const id of PARTS) {
        const part = page.getElementById(id);
        if (part && place(id)) exchange(place(id), document.importNode(part, true));
      }
      submit.textContent = page.getElementById(submit.id)?.textContent ?? submit.dataset.plain;
      place("foretold").removeAttribute("aria-busy");
    } catch {
      // Another question took its place, or the server is away: then sending the form says so.
    }
  }

  // Asks once nothing has been typed for a moment; what was told before no longer holds.
  return (isWorthwhile) => {
    clearTimeout(timer);
    going?.abort();
    submit.textContent = submit.dataset.plain;
    place("foretold").setAttribute("aria-busy", "true");
    if (isWorthwhile) timer = setTimeout(() => ask(TRIES), QUIET_MS);
  };
}
