// The share of a rollout: slider, quick picks, plus and minus, and what the change would do, which the server says.
import { foretell } from "./foretell.js";

const number = new Intl.NumberFormat("en");

export function prepareShares(root) {
  for (const sheet of root.querySelectorAll("[data-share]")) prepare(sheet);
  for (const field of root.querySelectorAll("[data-must-be]")) prepareTyped(field);
}

function prepare(sheet) {
  const field = sheet.querySelector("#share");
  const form = field.form;
  const slider = sheet.querySelector("#share-slider");
  const block = sheet.querySelector("#confirm-block");
  const confirm = block.querySelector("input");
  const submit = form.querySelector("button.primary");
  const words = sheet.querySelector("#covers");
  const coverage = readCoverage(sheet);
  const old = Number(sheet.dataset.old ?? 0);
  const above = Number(sheet.dataset.confirmAbove);
  const chosen = sheet.querySelector(".share");
  const plans = sheet.querySelectorAll("[data-by-plan]");
  const ask = foretell(sheet, form, submit);
  const gates = form.elements.on_halt;
  prepareSlice(form.elements);
  prepareDeadline(sheet);

  const update = () => {
    // A plan has shares of its own, and begins with its first step's.
    const plan = form.querySelector("[name=by]:checked")?.dataset.first;
    chosen.hidden = field.disabled = plan !== undefined;
    for (const steps of plans) steps.hidden = steps.dataset.byPlan !== form.elements.by.value;
    const asked = plan ?? field.value;
    const share = Math.min(100, Math.max(0, Math.round((Number(asked) || 0) * 100) / 100));
    for (const pick of sheet.querySelectorAll(".pick")) {
      pick.setAttribute("aria-pressed", String(Number(pick.dataset.percent) === share));
    }
    const grave = (share > above && share > old) || form.elements.must_install?.checked === true;
    block.hidden = !grave;
    confirm.required = grave;
    if (!grave) confirm.checked = false;
    submit.disabled = share === 0;
    // It counts all devices: where an audience is typed only the forecast knows.
    words.hidden = Boolean(form.elements.audience?.value.trim()) || isSliced(form.elements);
    if (coverage) words.textContent = sentence(coverage, share, old);
    ask(share > 0);
  };
  const choose = (share) => {
    field.value = slider.value = share;
    update();
  };
  for (const pick of sheet.querySelectorAll(".pick")) {
    pick.addEventListener("click", () => choose(pick.dataset.percent));
  }
  for (const step of sheet.querySelectorAll("[data-step]")) {
    step.addEventListener("click", () => {
      const next = Math.trunc(Number(field.value) || 0) + Number(step.dataset.step);
      choose(Math.min(100, Math.max(1, next)));
    });
  }
  form.addEventListener("input", ({ target }) => {
    if (target === slider) field.value = slider.value;
    if (target === field) slider.value = field.value;
    if (target.name === "failed_percent" && ["none", "usual"].includes(gates.value)) gates.value = "hold";
    if (target !== confirm) update();
  });
  // In a field nobody expects Enter to release anything.
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.target.matches("input")) event.preventDefault();
  });
  update();
}

const isSliced = ({ slice_start: start, slice_width: width }) => Boolean(start) && (start.value !== "" || Number(width.value) !== 100);

// A place goes with the choice of one: typing it chooses, and another choice leaves it out.
function prepareSlice({ slice_start: start, slice_at: place }) {
  if (!place) return;
  const update = () => {
    place.required = start.value === "at";
    if (!place.required) place.value = "";
  };
  place.addEventListener("input", () => {
    if (place.value) start.value = "at";
    place.required = start.value === "at";
  });
  for (const choice of start) choice.addEventListener("input", update);
}

// The deadline is typed in the zone of whoever types, and sent in UTC.
function prepareDeadline(sheet) {
  const field = sheet.querySelector("#install-deadline");
  if (!field) return;
  const sent = document.createElement("input");
  [sent.type, sent.name] = ["hidden", field.name];
  field.removeAttribute("name");
  field.after(sent);
  const { timeZone } = new Intl.DateTimeFormat().resolvedOptions();
  sheet.querySelector("#deadline-zone").textContent = timeZone;
  const update = () => {
    const time = new Date(field.value);
    const isTime = !Number.isNaN(time.getTime());
    sent.value = isTime ? time.toISOString().slice(0, 16) : "";
    const utc = isTime && timeZone !== "UTC" ? `That is ${sent.value.replace("T", " ")} UTC. ` : "";
    sheet.querySelector("#deadline-utc").textContent = utc;
  };
  if (field.value) field.value = localText(new Date(`${field.value}Z`));
  field.addEventListener("input", update);
  update();
}

function localText(time) {
  const two = (part) => String(part).padStart(2, "0");
  const day = [time.getFullYear(), two(time.getMonth() + 1), two(time.getDate())].join("-");
  return `${day}T${two(time.getHours())}:${two(time.getMinutes())}`;
}

// Devices by whole-percent cohort: a share of ten per cent is the cohorts 0 to 9.
function readCoverage(sheet) {
  const data = sheet.querySelector(".coverage")?.dataset;
  if (!data?.byCohort) return null;
  return { byCohort: numbers(data.byCohort), leaves: JSON.parse(data.leaves || "[]") };
}

const numbers = (text) => text.split(",").map(Number);
const within = (cohorts, share) => {
  const whole = Math.floor(share);
  const split = Math.floor((cohorts[whole] ?? 0) * (share - whole));
  return cohorts.slice(0, whole).reduce((sum, devices) => sum + devices, split);
};

function sentence({ byCohort, leaves }, share, old) {
  if (share === 0) return "0 % is nobody: choose a share.";
  const devices = within(byCohort, share);
  const parts = leaves
    .map(({ name, by_cohort }) => [name, within(by_cohort, share)])
    .filter(([, count]) => count > 0)
    .map(([name, count]) => `${name} (${number.format(count)})`);
  const leaving = parts.length ? ` They leave ${parts.join(", ")}.` : "";
  const some = `${number.format(devices)} device${devices === 1 ? "" : "s"}`;
  if (old === 0) return `${share} % is ${some} now.${leaving}`;
  const change = devices - within(byCohort, old);
  const are = change === 1 ? "is" : "are";
  const added = change >= 0 ? `${number.format(change)} of them ${are} added` : `${number.format(-change)} fewer than now`;
  return `${share} % is ${some} now that do not run it yet: ${added}.${leaving}`;
}

function prepareTyped(field) {
  const submit = field.form.querySelector("button:not([type=button])");
  const update = () => (submit.disabled = field.value.trim() !== field.dataset.mustBe);
  field.addEventListener("input", update);
  update();
}
