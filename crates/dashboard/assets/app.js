// What makes the pages more comfortable. Each of them works without.
import { watchCharts } from "./chart.js";
import { prepareComforts } from "./comfort.js";
import { prepareDevices } from "./devices.js";
import { watchDialogs } from "./dialogs.js";
import { keepPage } from "./keep.js";
import { listen } from "./live.js";
import { prepareShares } from "./share.js";
import { watchTimes } from "./times.js";
import { prepareUpload } from "./upload.js";
import { prepareAudit } from "./audit.js";

// A sentence about what was just done belongs to one visit: a reload must not tell it again.
const here = new URL(location.href);
if (here.searchParams.has("done")) {
  here.searchParams.delete("done");
  here.searchParams.delete("rollout");
  history.replaceState(null, "", here);
}

document.getElementById("toast-close")?.addEventListener("click", ({ target }) => target.closest(".toast").remove());

prepareComforts();
watchTimes();
prepareShares(document);
prepareUpload();
prepareAudit();
watchCharts();
prepareDevices();
watchDialogs();
keepPage();
listen();
