// The share of a rollout: slider, quick picks, plus and minus, and how many devices it means now.
const number = new Intl.NumberFormat("en");

export function prepareShares(root) {
  for (const sheet of root.querySelectorAll("[data-share]")) prepare(sheet);
  for (const field of root.querySelectorAll("[data-must-be]")) prepareTyped(field);
}

function prepare(sheet) {
  const field = sheet.querySelector("#share");
  const form = field.form;
  const shown = sheet.querySelector("#share-shown");
  const block = sheet.querySelector("#confirm-block");
  const confirm = block.querySelector("input");
  const submit = form.querySelector("button:not([type=button], [formnovalidate])");
  const words = sheet.querySelector("#covers");
  const coverage = readCoverage(sheet);
  const old = Number(sheet.dataset.old ?? 0);
  const above = Number(sheet.dataset.confirmAbove);

  const slider = sheet.querySelector(".share");
  const planOnly = sheet.querySelector("[data-by-plan]");
  const update = () => {
    // A plan has shares of its own, and begins with its first step's.
    const byPlan = form.elements.by?.value === "plan";
    if (slider) slider.hidden = byPlan;
    if (planOnly) planOnly.hidden = planOnly.disabled = !byPlan;
    const asked = byPlan ? sheet.dataset.planFirst : field.value;
    const share = Math.min(100, Math.max(0, Math.round((Number(asked) || 0) * 100) / 100));
    if (shown) shown.textContent = `${share} %`;
    for (const pick of sheet.querySelectorAll(".pick")) {
      pick.setAttribute("aria-pressed", String(Number(pick.dataset.percent) === share));
    }
    const grave = (share > above && share > old) || form.elements.must_install?.checked === true;
    block.hidden = !grave;
    confirm.required = grave;
    if (!grave) confirm.checked = false;
    submit.disabled = share === 0;
    if (coverage) words.textContent = sentence(coverage, share, old);
  };
  for (const pick of sheet.querySelectorAll(".pick")) {
    pick.addEventListener("click", () => {
      field.value = pick.dataset.percent;
      update();
    });
  }
  for (const step of sheet.querySelectorAll("[data-step]")) {
    step.addEventListener("click", () => {
      const next = Math.trunc(Number(field.value) || 0) + Number(step.dataset.step);
      field.value = Math.min(100, Math.max(1, next));
      update();
    });
  }
  form.addEventListener("input", update);
  // On a slider or a choice nobody expects Enter to release anything.
  for (const part of [field, ...form.querySelectorAll("[name=by]")]) {
    if (part.type === "number") continue;
    part.addEventListener("keydown", (event) => event.key === "Enter" && event.preventDefault());
  }
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
