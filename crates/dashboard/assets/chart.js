// The values of a chart under the pointer, or where the arrow keys lead: they are read from the table behind it.
const STEPS = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10 };
const places = new WeakMap();

// One listener for all: charts are drawn anew by the server while the page is open.
export function watchCharts() {
  document.addEventListener("pointermove", (event) => {
    const drawing = event.target.closest?.("[data-plot] .drawing");
    for (const other of document.querySelectorAll("[data-plot]")) {
      if (!other.contains(drawing) && other !== document.activeElement) clear(other);
    }
    if (drawing) point(drawing, event.clientX);
  });
  document.addEventListener("keydown", (event) => {
    const plot = event.target.closest?.("[data-plot]");
    if (plot && !event.altKey && !event.ctrlKey && !event.metaKey) press(plot, event);
  });
  document.addEventListener("focusout", (event) => {
    if (event.target.matches?.("[data-plot]")) clear(event.target);
  });
}

function rows(plot) {
  return [...plot.closest(".chart").querySelectorAll("tbody tr")];
}

function point(drawing, clientX) {
  const plot = drawing.closest("[data-plot]");
  const { left, width } = drawing.getBoundingClientRect();
  const x = ((clientX - left) / width) * 100;
  const all = rows(plot);
  const far = (row) => Math.abs(row.dataset.x - x);
  show(plot, all, all.reduce((best, row, at) => (far(row) < far(all[best]) ? at : best), 0));
}

function press(plot, event) {
  const all = rows(plot);
  const last = all.length - 1;
  const at = places.get(plot) ?? all.length;
  if (event.key === "Escape") return clear(plot);
  const to = event.key === "Home" ? 0 : event.key === "End" ? last : at + (STEPS[event.key] ?? NaN);
  if (Number.isNaN(to)) return;
  event.preventDefault();
  plot.querySelector("[aria-live]").textContent = show(plot, all, Math.min(Math.max(to, 0), last));
}

// Shows a row's values, and returns them as a sentence.
function show(plot, all, at) {
  const row = all[at];
  const [time, ...names] = [...row.closest("table").querySelectorAll("thead th")].map((head) => head.textContent);
  const [when, ...values] = [...row.cells].map((cell) => cell.textContent);
  const told = values.map((value, which) => `${names[which]} ${value}`);
  const cross = plot.querySelector(".cross");
  cross.setAttribute("x1", `${row.dataset.x}%`);
  cross.setAttribute("x2", `${row.dataset.x}%`);
  const note = plot.querySelector(".reading");
  note.replaceChildren(...[when, ...told].map(part));
  note.hidden = false;
  note.classList.toggle("at-left", row.dataset.x > 50);
  plot.classList.add("reads");
  places.set(plot, at);
  return `${time} ${when}: ${told.join(", ")}`;
}

function part(text) {
  const span = document.createElement("span");
  span.textContent = text;
  return span;
}

function clear(plot) {
  if (!places.has(plot)) return;
  places.delete(plot);
  plot.classList.remove("reads");
  plot.querySelector(".reading").hidden = true;
}
