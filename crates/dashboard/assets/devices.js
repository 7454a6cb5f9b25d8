// The list of devices: ticking a whole page, and the dialogs of what is done to many.
import { openAddress } from "./dialogs.js";

export function prepareDevices() {
  const form = document.getElementById("bulk");
  const all = document.getElementById("tick-all");
  if (!form || !all) return;
  const boxes = [...form.querySelectorAll("[name=device_id]")];
  all.addEventListener("change", () => boxes.forEach((box) => (box.checked = all.checked)));
  form.addEventListener("change", ({ target }) => {
    if (target.name !== "device_id") return;
    const ticked = boxes.filter((box) => box.checked).length;
    all.checked = ticked === boxes.length;
    all.indeterminate = ticked > 0 && ticked < boxes.length;
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const query = new URLSearchParams(new FormData(form, event.submitter));
    openAddress(`${form.action}?${query}`, event.submitter);
  });
}
