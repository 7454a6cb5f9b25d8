// Uploading with progress, by choosing a file or by dropping one.
export function prepareUpload() {
  const form = document.getElementById("upload-form");
  if (!form) return;
  const file = form.elements.file;
  const drop = document.getElementById("drop");

  // Anywhere on the page: a file that misses its place by a finger's breadth would be opened by the browser.
  for (const name of ["dragenter", "dragover"]) {
    addEventListener(name, (event) => {
      event.preventDefault();
      drop.classList.add("over");
    });
  }
  addEventListener("dragleave", (event) => event.relatedTarget === null && drop.classList.remove("over"));
  addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    if (event.dataTransfer.files.length) file.files = event.dataTransfer.files;
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(form);
  });
}

// fetch tells nothing of what was sent so far.
function send(form) {
  const request = new XMLHttpRequest();
  const button = document.getElementById("upload-submit");
  const going = document.getElementById("upload-going");
  const progress = document.getElementById("upload-progress");
  const words = document.getElementById("upload-words");
  const done = () => {
    button.disabled = false;
    going.hidden = true;
  };
  request.upload.addEventListener("progress", ({ loaded, total }) => {
    const percent = total ? Math.floor((100 * loaded) / total) : 0;
    progress.value = percent;
    words.textContent = percent < 100 ? `${percent} %` : "done; the server is checking the file";
  });
  request.addEventListener("load", () => {
    const answer = read(request.responseText);
    if (request.status === 200 && answer.next) {
      location.assign(answer.next);
      return;
    }
    done();
    if (new URL(request.responseURL).pathname === "/login") location.assign(request.responseURL);
    else refuse(answer.detail ?? `The server answered ${request.status}.`);
  });
  request.addEventListener("error", () => {
    done();
    refuse("The connection was lost before the file was there. Try again.");
  });
  refuse("");
  button.disabled = true;
  going.hidden = false;
  progress.value = 0;
  request.open("POST", form.action);
  request.setRequestHeader("Accept", "application/json");
  request.setRequestHeader("X-CSRF-Token", form.elements.csrf.value);
  request.send(new FormData(form));
}

function read(text) {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}

function refuse(words) {
  const place = document.getElementById("refusal");
  place.replaceChildren();
  if (!words) return;
  const note = document.createElement("p");
  note.id = "error";
  note.className = "note bad";
  note.setAttribute("role", "alert");
  note.textContent = words;
  place.append(note);
}
