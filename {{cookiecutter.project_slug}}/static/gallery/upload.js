// Sends the form that adds a picture, with its progress, and shows the answer without leaving the page.

export function enhanceUpload(form) {
  const file = form.querySelector("input[type=file]");
  const alertBox = form.querySelector("[data-alert]");
  const sending = form.querySelector("[data-sending]");
  const progress = sending.querySelector("progress");
  const status = sending.querySelector("[data-status]");
  const submit = form.querySelector("[type=submit]");
  const cancel = form.querySelector("[data-cancel]");
  const leave = form.querySelector("[data-leave]");
  const frame = document.querySelector("[data-preview]");
  let request = null;
  let shown = null; // the address of the chosen file, for its preview

  // fetch() can't tell how much of an upload has been sent; XMLHttpRequest can.
  function send() {
    let sent = false;
    request = new XMLHttpRequest();
    request.open("POST", form.action);
    request.setRequestHeader("Accept", "application/json");
    request.responseType = "json";
    request.upload.onprogress = (event) => {
      if (!event.lengthComputable) return;
      progress.value = (100 * event.loaded) / event.total;
      // In steps, because every change is read out.
      say(`Sending: ${20 * Math.floor(progress.value / 20)} %`);
    };
    request.upload.onload = () => {
      sent = true;
      cancel.hidden = true; // too late: the server has it
      progress.removeAttribute("value");
      say("Sent. The picture is being checked and prepared.");
    };
    request.onload = () => answer(request);
    request.onerror = () =>
      fail(
        sent
          ? "The connection was lost before the answer came. Please look at the gallery before you try again."
          : "The connection was lost, so nothing was added. Please try again.",
      );
    request.onabort = () => fail("Cancelled. Nothing was added.");
    busy(true);
    request.send(new FormData(form));
  }

  function answer({ status: code, response, responseURL }) {
    if (response?.url) {
      say("The picture was added.");
      window.location.assign(response.url);
    } else if (response?.errors) {
      showErrors(response.errors);
    } else if (new URL(responseURL).pathname !== new URL(form.action).pathname) {
      fail("You are signed out by now. Please sign in again in another tab, then send this form once more.");
    } else if (code === 403) {
      fail("You are not allowed to add pictures, or this page is too old. Please load it again.");
    } else if (code === 413) {
      fail("The server does not take files as large as this one. Please choose a smaller one.");
    } else {
      fail(`The server had a problem (${code}). Please try again in a minute.`);
    }
  }

  // `errors` is what Django's form.errors.get_json_data() gives: lists of {message} by field.
  function showErrors(errors) {
    busy(false);
    let first = null;
    for (const [name, list] of Object.entries(errors)) {
      const field = form.elements[name];
      if (!field) continue;
      const marked = document.createElement("ul");
      marked.className = "errorlist";
      marked.id = `${field.id}_error`;
      for (const { message } of list) marked.append(Object.assign(document.createElement("li"), { textContent: message }));
      field.closest(".field").append(marked);
      field.setAttribute("aria-invalid", "true");
      describe(field, marked.id, true);
      first ??= field;
    }
    const general = (errors.__all__ ?? []).map(({ message }) => message).join(" ");
    alertBox.textContent = general || "Nothing was added yet. Please look at what is marked below.";
    (first ?? alertBox).focus();
  }

  function clearErrors() {
    alertBox.textContent = "";
    for (const marked of form.querySelectorAll(".field .errorlist")) marked.remove();
    for (const field of form.querySelectorAll("[aria-invalid]")) {
      field.removeAttribute("aria-invalid");
      describe(field, `${field.id}_error`, false);
    }
  }

  function describe(field, id, wanted) {
    const ids = new Set((field.getAttribute("aria-describedby") ?? "").split(/\s+/).filter(Boolean));
    if (wanted) ids.add(id);
    else ids.delete(id);
    field.setAttribute("aria-describedby", [...ids].join(" "));
  }

  function fail(message) {
    busy(false);
    alertBox.textContent = message;
    alertBox.focus();
  }

  function say(message) {
    if (status.textContent !== message) status.textContent = message;
  }

  function busy(is) {
    sending.hidden = !is;
    cancel.hidden = !is;
    leave.hidden = is;
    submit.disabled = is;
    progress.value = 0;
    status.textContent = "";
    if (is) cancel.focus();
    else request = null;
  }

  function preview() {
    if (shown) URL.revokeObjectURL(shown);
    shown = null;
    frame.replaceChildren();
    if (!file.files.length) return;
    shown = URL.createObjectURL(file.files[0]);
    const image = Object.assign(document.createElement("img"), { alt: "", src: shown });
    // What the browser can't show has no preview; the server says what it is.
    image.onload = () => image.src === shown && frame.replaceChildren(image);
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (request) return;
    clearErrors();
    const limit = Number(file.dataset.maxBytes);
    const size = file.files[0]?.size ?? 0;
    if (size > limit) {
      const megabytes = (bytes) => (bytes / 1024 / 1024).toFixed(1);
      const message = `This file is too large (${megabytes(size)} MB). The limit is ${megabytes(limit)} MB.`;
      showErrors({ image: [{ message }] });
      return;
    }
    send();
  });
  cancel.addEventListener("click", () => request?.abort());
  file.addEventListener("change", preview);
}
