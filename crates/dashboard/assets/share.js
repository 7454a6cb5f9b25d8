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
  const steps = sheet.querySelector("[data-by-plan]");
  const ask = foretell(sheet, form, submit);
  const gates = form.elements.on_halt;
  // A plan is proposed with a gate, and a share without one, unless the package says otherwise or somebody has chosen.
  let isGateProposed = gates?.value === "none";

  const update = () => {
    // A plan has shares of its own, and begins with its first step's.
    const byPlan = form.elements.by?.value === "plan";
    chosen.hidden = field.disabled = byPlan;
    if (steps) steps.hidden = !byPlan;
    if (isGateProposed) gates.value = byPlan ? "hold" : "none";
    const asked = byPlan ? sheet.dataset.planFirst : field.value;
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
    words.hidden = Boolean(form.elements.audience?.value.trim());
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
    if (target.name === "on_halt" || target.name === "failed_percent") isGateProposed = false;
    if (target.name === "failed_percent" && gates.value === "none") gates.value = "hold";
    if (target !== confirm) update();
  });
  // In a field nobody expects Enter to release anything.
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.target.matches("input")) event.preventDefault();
  });
  update();
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
