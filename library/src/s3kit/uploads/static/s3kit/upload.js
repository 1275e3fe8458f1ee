// Enhances each form[data-upload]: sends its file with a progress bar, and shows errors without leaving the page.
// With data-tickets (the URL of s3kit_uploads:begin) and data-kinds (names of kinds), the file goes straight to S3,
// otherwise to the site with the form. Without this script the form works as any other.
//
// The form contains [data-alert], [data-cancel], [data-leave], and [data-sending] with a <progress>, [data-figures]
// and [data-status]. A [data-preview] anywhere on the page shows the chosen file. The field, named "file", has its
// limits in bytes in data-max-bytes and data-max-film-bytes. If the browser can't send to S3, the form is sent to the
// site instead, up to data-max-form-bytes.

import { clearErrors, showErrors } from "./fields.js";
import { Lost } from "./request.js";
import { Barred } from "./send.js";
import { Problem, ask } from "./site.js";
import { cancel, finished, remembered, sendByTicket } from "./ticket.js";

const CANCELLED = "Cancelled. Nothing was added.";
const BARRED = "Your browser can't reach the file store, which large files are sent to.";
const OFFLINE = "You are offline. Sending goes on as soon as you are back.";
const TRYING = "The connection was lost. Trying again.";

export function enhanceUpload(form) {
  const field = form.elements.file;
  const alertBox = form.querySelector("[data-alert]");
  const sending = form.querySelector("[data-sending]");
  const progress = sending.querySelector("progress");
  const figures = sending.querySelector("[data-figures]");
  const status = sending.querySelector("[data-status]");
  const submit = form.querySelector("[type=submit]");
  const label = submit.textContent;
  const giveUp = form.querySelector("[data-cancel]");
  const leave = form.querySelector("[data-leave]");
  const frame = document.querySelector("[data-preview]");
  let current = null; // the upload that is in progress or can be resumed: {file, stop}
  let shown = null; // the URL of the chosen file, for its preview

  async function start(file) {
    const stop = new AbortController();
    const pace = { since: Date.now(), from: null };
    const whole = new FormData(form); // before the field is disabled
    current = { file, stop };
    clear();
    show("sending");
    const watch = {
      signal: stop.signal,
      progress: (bytes, total = file.size) => count(bytes, total, pace),
      waiting: () => say(navigator.onLine ? TRYING : OFFLINE),
      sent: () => {
        giveUp.hidden = true; // too late: the site is accepting the file
        progress.removeAttribute("value");
        figures.textContent = "";
        say("Sent. It is being checked and prepared.");
      },
    };
    try {
      const { url } = await (form.dataset.tickets ? sendDirect(file, whole, watch) : sendForm(whole, watch));
      finished(file);
      say("It was added.");
      window.removeEventListener("beforeunload", warn);
      window.location.assign(url);
    } catch (error) {
      if (stop.signal.aborted) return; // the click on giveUp has shown a message
      if (!(error instanceof Problem)) throw error;
      fail(error);
    }
  }

  // Sends the file straight to S3, or with the form if nothing can be sent there.
  async function sendDirect(file, whole, watch) {
    try {
      return await sendByTicket(form, file, watch);
    } catch (error) {
      if (!(error instanceof Barred)) throw error;
    }
    cancel(form, file);
    const limit = Number(field.dataset.maxFormBytes || Infinity);
    if (file.size <= limit) return sendForm(whole, watch);
    throw new Problem(`${BARRED} Without it, the limit is ${size(limit)}.`);
  }

  // Sends the whole form, as the browser itself would.
  async function sendForm(whole, { signal, progress, sent }) {
    let arrived = false;
    const watch = {
      signal,
      progress: (bytes) => progress(Math.min(bytes, current.file.size)),
      sent: () => {
        arrived = true;
        sent();
      },
    };
    try {
      return await ask(form, "POST", form.action, whole, watch);
    } catch (error) {
      if (!(error instanceof Lost)) throw error;
      throw new Problem(
        arrived
          ? "The connection was lost before the answer came. Please check whether it was added before you try again."
          : "The connection was lost, so nothing was added. Please try again.",
      );
    }
  }

  function fail({ errors }) {
    const first = showErrors(form, errors);
    show(first ? "ready" : "failed");
    const general = (errors.__all__ ?? []).map(({ message }) => message).join(" ");
    alertBox.textContent = general || "Nothing was added yet. Please look at what is marked below.";
    (first ?? alertBox).focus();
  }

  function count(bytes, total, pace) {
    progress.value = total ? (100 * bytes) / total : 100;
    figures.textContent = `${size(bytes)} of ${size(total)}${left(bytes, total, pace)}`;
    // In steps, because screen readers announce every change.
    say(`Sending: ${20 * Math.floor(progress.value / 20)} %`);
  }

  function say(message) {
    if (status.textContent !== message) status.textContent = message;
  }

  function clear() {
    alertBox.textContent = "";
    clearErrors(form);
  }

  // state: "ready" for a file, "sending" it, or "failed" in a way that another attempt may fix
  function show(state) {
    const busy = state === "sending";
    progress.hidden = !busy;
    progress.value = 0;
    figures.textContent = "";
    status.textContent = "";
    submit.disabled = field.disabled = busy;
    submit.textContent = state === "failed" ? "Try again" : label;
    giveUp.hidden = !busy && !(state === "failed" && remembered(current.file));
    leave.hidden = !giveUp.hidden;
    if (busy) {
      giveUp.focus();
      window.addEventListener("beforeunload", warn);
    } else {
      window.removeEventListener("beforeunload", warn);
      if (state === "ready") current = null;
    }
  }

  function preview() {
    if (shown) URL.revokeObjectURL(shown);
    shown = null;
    if (!frame) return;
    frame.replaceChildren();
    const [file] = field.files;
    if (!file) return;
    shown = URL.createObjectURL(file);
    const film = isFilm(file);
    const seen = Object.assign(document.createElement(film ? "video" : "img"), { src: shown, muted: true, alt: "" });
    // No preview for what the browser can't show. The server rejects it with a message.
    seen.addEventListener(film ? "loadeddata" : "load", () => seen.src === shown && frame.replaceChildren(seen));
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (submit.disabled) return;
    const [file] = field.files;
    const limit = Number((isFilm(file) && field.dataset.maxFilmBytes) || field.dataset.maxBytes || Infinity);
    if (file.size <= limit) return start(file);
    clear();
    const message = `This file is too large (${size(file.size)}). The limit is ${size(limit)}.`;
    fail(new Problem({ file: [{ message }] }));
  });
  giveUp.addEventListener("click", () => {
    const { file, stop } = current;
    stop.abort();
    if (form.dataset.tickets) cancel(form, file);
    show("ready");
    alertBox.textContent = CANCELLED;
    alertBox.focus();
  });
  field.addEventListener("change", () => {
    clear();
    show("ready");
    preview();
    const [file] = field.files;
    if (file && form.dataset.tickets && remembered(file)) {
      say("A part of this file has been sent before. Sending goes on from there.");
    }
  });
}

// Makes the browser ask whether to leave the page.
function warn(event) {
  event.preventDefault();
}

function isFilm(file) {
  return file.type.startsWith("video/");
}

function size(bytes) {
  const megabytes = bytes / 1024 / 1024;
  return megabytes < 1000 ? `${megabytes.toFixed(1)} MB` : `${(megabytes / 1024).toFixed(2)} GB`;
}

// Returns the time left, by the pace so far, or nothing while that is too uncertain.
function left(bytes, total, pace) {
  pace.from ??= bytes;
  const seconds = (Date.now() - pace.since) / 1000;
  if (seconds < 5 || bytes <= pace.from) return "";
  const minutes = ((total - bytes) / (bytes - pace.from)) * (seconds / 60);
  if (minutes < 1) return ", less than a minute left";
  return minutes < 100 ? `, about ${Math.round(minutes)} min left` : `, about ${Math.round(minutes / 60)} h left`;
}

for (const form of document.querySelectorAll("form[data-upload]")) enhanceUpload(form);
document.documentElement.dataset.enhanced = "true"; // for tests: the script has run
