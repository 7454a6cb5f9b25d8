// Checking the chain without leaving the page: it may take a while.
export function prepareAudit() {
  document.addEventListener("submit", async (event) => {
    const form = event.target;
    if (!form.matches("form[data-replace]")) return;
    event.preventDefault();
    const button = form.querySelector("button");
    button.disabled = true;
    try {
      const answer = await fetch(form.action, { method: "POST", body: new URLSearchParams(new FormData(form)) });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const part = page.querySelector(form.dataset.replace) ?? page.querySelector("#error");
      if (!part || new URL(answer.url).pathname === "/login") location.assign(answer.url);
      else document.querySelector(form.dataset.replace).replaceChildren(...document.importNode(part, true).childNodes);
    } catch {
      button.disabled = false;
    }
  });
}
