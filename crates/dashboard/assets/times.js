// Times in the zone of whoever looks, and the server's UTC on hover. In the same shape, so that nothing moves.
const local = new Intl.DateTimeFormat("sv-SE", { dateStyle: "short", timeStyle: "short" });

export function watchTimes() {
  tellAll(document.body);
  const zone = document.getElementById("zone");
  const here = local.resolvedOptions().timeZone;
  if (zone && here !== "UTC") zone.textContent = zone.dataset.local.replace("{zone}", here);
  // Dialogs and renewed parts come as the server wrote them.
  new MutationObserver((changes) => {
    for (const { addedNodes } of changes) {
      for (const node of addedNodes) if (node.nodeType === Node.ELEMENT_NODE) tellAll(node);
    }
  }).observe(document.body, { childList: true, subtree: true });
}

function tellAll(root) {
  if (root.matches("time[datetime]")) tell(root);
  root.querySelectorAll("time[datetime]").forEach(tell);
}

function tell(element) {
  const time = new Date(element.dateTime);
  if (element.dataset.utc || Number.isNaN(time.getTime())) return;
  const utc = `${element.dateTime.slice(0, 16).replace("T", " ")} UTC`;
  element.dataset.utc = utc;
  // What says how long ago it was stays as it is.
  const isTime = utc.startsWith(element.textContent);
  element.title = isTime ? utc : `${local.format(time)}, ${utc}`;
  if (isTime) element.textContent = local.format(time);
}
