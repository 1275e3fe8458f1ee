// Sends files straight to S3 as soon as the user chooses them in a [data-s3kit-upload], the widget of DirectFileField.
// The form then posts their tokens.
//
// The script uses event delegation, so you can add fields to the page at any time. To build your own interface, listen
// to these events, which bubble from the file input. `event.detail` has `file` and:
//   s3kit:start              preventDefault() sends the file with the form
//   s3kit:progress           {sent, total} in bytes
//   s3kit:done               {token}
//   s3kit:error              {code, message}; after "barred" and "unavailable", a small file is sent with the form
//   s3kit:cancel             the file was cancelled, removed, or replaced
// To send files without a form, import `upload`.

const AT_ONCE = 3; // concurrent requests to S3 from the whole page
const FILES = 4; // concurrent files: while one begins or is being checked, others are sent
const PAUSES = [1, 2, 4, 8]; // seconds before each retry
const PATIENCE = 30; // seconds without progress after which a request is aborted
const MEMORY = "s3kit uploads"; // in localStorage
const REMEMBERED = 200; // files
const ENDED = ["unknown", "expired", "accepted"]; // codes of tickets that can't be used any more

// `code` is one of the server's, or "connection", "changed" (the file can't be read any more), "denied" (S3 rejected a
// request), "barred" (this browser can't reach S3: no CORS rule, a firewall), or "server". `wait` is in seconds.
export class UploadError extends Error {
  constructor(code, message, wait) {
    super(message || code);
    Object.assign(this, { name: "UploadError", code, wait });
  }
}

// Sends a file and resolves with {token, name, size, cancel()}. Post the token, or call cancel() to discard the file.
// Rejects with an UploadError, or with the signal's reason. If you pass the same file again, it continues where it
// stopped. Options:
//   begin: the URL of s3kit_uploads:begin
//   rules or kind: the signed rules of a field, or the name of a registered kind
//   csrf: the CSRF token (default: the page's); csrf and rules may be functions
//   renew(): refreshes csrf and rules; resolves with whether to try again
//   progress(sent, total), waiting(reason): "lost", "offline", "limited", or "checking"
//   signal: an AbortSignal that cancels the upload
//   messages: error messages by code
//   scope: uploads of the same file continue each other only if they have the same scope
export async function upload(file, options) {
  const job = { csrf: csrfToken, progress() {}, waiting() {}, ...options };
  const id = JSON.stringify([job.scope ?? job.kind, file.name, file.size, file.lastModified]); // identifies the file
  let ticket = null; // {address, release(), state}
  const discard = () => {
    if (!ticket) return;
    forget(ticket.address);
    ticket.release();
    // If this fails, S3 removes the file after a day.
    ask({ ...job, signal: null }, "POST", `${ticket.address}cancel/`).catch(() => {});
    ticket = null;
  };
  try {
    for (let again = false; ; again = true) {
      try {
        ticket = (await resume(id, job)) ?? (await begin(id, file, job));
        if (ticket.state.state !== "finished") await send(file, ticket, job);
        job.waiting("checking");
        const finish = () => ask(job, "POST", `${ticket.address}finish/`, null, 0);
        const { token, name, size } = await persist(finish, job);
        return { token, name, size, cancel: discard };
      } catch (error) {
        // Begin again if the ticket can't be used any more. "stale" means that a deploy has changed the rules.
        if (again || !ticket || ![...ENDED, "stale", "incomplete"].includes(error.code)) throw error;
        if (error.code !== "incomplete") forget(ticket.address);
        ticket.release();
      }
    }
  } catch (error) {
    if (job.signal?.aborted || ["rejected", "changed", "denied", "barred"].includes(error.code)) discard();
    else ticket?.release();
    const { code, message } = error;
    if (message === code && job.messages?.[code]) error.message = job.messages[code];
    throw error;
  }
}

async function begin(id, file, job) {
  const rules = () => (job.kind ? { kind: job.kind } : { rules: value(job.rules) });
  const fields = () => ({ ...rules(), name: file.name, size: file.size });
  const state = await persist(() => ask(job, "POST", job.begin, fields), job);
  const { address, expires } = state;
  const release = await lock(address); // always free, because the ticket is new
  remembered((all) => [...all, { id, address, expires }]);
  return { address, state, release };
}

// Resolves with the unfinished or unposted ticket of this file, or with null if there is none or it is in use.
async function resume(id, job) {
  for (const { address } of remembered().filter((each) => each.id === id)) {
    const release = await lock(address);
    if (!release) continue;
    try {
      const state = await persist(() => ask(job, "GET", address), job);
      const row = document.querySelector(`.s3kit-file > [value="${CSS.escape(state.token)}"]`);
      if (!row) return { address, state, release };
      release();
    } catch (error) {
      release();
      if (![...ENDED, "rejected"].includes(error.code)) throw error;
      forget(address);
    }
  }
  return null;
}

let memory = []; // {id, address, expires} of unfinished and unposted tickets

// Returns the remembered tickets after applying `change`. They are in localStorage or, without it, in this page only.
function remembered(change = (all) => all) {
  try {
    memory = JSON.parse(localStorage.getItem(MEMORY) ?? "[]");
  } catch {}
  memory = change(memory.filter(({ expires }) => new Date(expires) > Date.now())).slice(-REMEMBERED);
  try {
    localStorage.setItem(MEMORY, JSON.stringify(memory));
  } catch {}
  return memory;
}

function forget(address) {
  remembered((all) => all.filter((each) => each.address !== address));
}

// Resolves with a function that releases the ticket, or with null if another row or tab holds it.
function lock(address) {
  if (!navigator.locks) return () => {}; // missing over plain HTTP
  return new Promise((got) => {
    const hold = (held) => (held ? new Promise((release) => got(release)) : got(null));
    navigator.locks.request(`s3kit ${address}`, { ifAvailable: true }, hold).catch(() => got(() => {}));
  });
}

const slot = limiter(AT_ONCE);
let reached = false; // whether S3 has accepted a request from this page

async function send(file, { address, state }, job) {
  const show = () => ask(job, "GET", address);
  for (let denied = 0, received = -1; !state.complete; ) {
    if (state.received > received) denied = 0;
    received = state.received;
    job.progress(received, file.size);
    const failure = await sendParts(file, state, job);
    // If all parts have been sent, don't ask the site: it checks when it finishes the file.
    if (!failure && state.parts.reduce((sum, { start, end }) => sum + end - start, received) === file.size) break;
    if (failure && !["connection", "denied"].includes(failure.code)) throw failure;
    // A link may have expired: try once more with new ones. A second rejection is final.
    const final = failure && (failure.code === "connection" || ++denied > 1);
    state = await (final ? show() : persist(show, job));
    if (final && !state.complete) throw state.received || reached ? failure : new UploadError("barred");
  }
  job.progress(file.size, file.size);
}

// Sends some of the missing parts and resolves with the first failure, or null. After a failure, running requests
// continue, but no more begin.
async function sendParts(file, { parts, received }, job) {
  const loaded = new Map();
  const queue = [...parts];
  let failure = null;
  const report = (number, bytes) => {
    loaded.set(number, bytes);
    job.progress([...loaded.values()].reduce((sum, each) => sum + each, received), file.size);
  };
  const work = async () => {
    for (let part; !failure && (part = queue.shift()); ) {
      const { number, start, end } = part;
      const waiting = (reason) => {
        report(number, 0);
        job.waiting(reason);
      };
      const watch = { signal: job.signal, progress: (bytes) => report(number, bytes) };
      const attempt = () => slot(() => put(file, part, watch));
      try {
        await persist(attempt, { ...job, waiting }, () => failure);
        report(number, end - start);
      } catch (error) {
        failure ??= error;
      }
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return failure;
}

async function put(file, { url, start, end, headers }, watch) {
  let status;
  try {
    ({ status } = await request("PUT", url, file.slice(start, end), { ...watch, headers, patience: PATIENCE }));
  } catch (error) {
    // Browsers report a file that can't be read as a lost connection.
    await file.slice(0, 1).arrayBuffer().catch(() => { throw new UploadError("changed"); });
    throw error;
  }
  if ([408, 409, 429].includes(status) || (status >= 500 && status !== 501)) throw new UploadError("connection");
  // 412: S3 already has the file, because the response to an earlier attempt was lost.
  if ((status < 200 || status > 299) && status !== 412) throw new UploadError("denied");
  reached = true;
}

// Retries after increasing pauses. While the browser is offline, it waits without using up attempts.
async function persist(attempt, { signal, waiting }, over = () => false) {
  for (let failed = 0, code; ; failed++) {
    signal?.throwIfAborted();
    try {
      return await attempt();
    } catch (error) {
      code = error.code;
      const turn = { in_progress: "checking", rate_limited: "limited" }[code];
      if (turn && error.wait <= PATIENCE) {
        waiting(turn);
        await pause(error.wait, signal);
        failed = -1;
        continue;
      }
      if (!["connection", "unavailable"].includes(code) || over()) throw error;
      if (navigator.onLine && failed >= PAUSES.length) throw error;
    }
    waiting(!navigator.onLine ? "offline" : code === "connection" ? "lost" : "limited");
    await pause(PAUSES[failed] ?? 0, signal);
    if (navigator.onLine) continue;
    waiting("offline");
    await pause(Infinity, signal);
    failed = -1;
  }
}

// Resolves after this many seconds, or as soon as the browser is back online.
function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = seconds < Infinity ? setTimeout(done, 1000 * seconds) : 0;
    function done() {
      clearTimeout(timer);
      window.removeEventListener("online", done);
      signal?.removeEventListener("abort", done);
      if (signal?.aborted) reject(signal.reason);
      else resolve();
    }
    window.addEventListener("online", done);
    signal?.addEventListener("abort", done);
  });
}

function limiter(free) {
  const queue = [];
  return async (task) => {
    if (free) free--;
    else await new Promise((go) => queue.push(go));
    try {
      return await task();
    } finally {
      if (queue.length) queue.shift()();
      else free++;
    }
  };
}

// Sends a request to the site and resolves with the JSON of the response. `fields` returns the data to post.
async function ask(job, method, address, fields, patience = PATIENCE) {
  for (let renewed = false; ; renewed = true) {
    const headers = { Accept: "application/json", "X-CSRFToken": value(job.csrf) };
    const body = fields && new URLSearchParams(fields());
    const response = await request(method, address, body, { headers, patience, signal: job.signal });
    const { status } = response;
    const content = parsed(response.responseText);
    if (content && status < 300) return content;
    // A proxy timed out or could not reach the site.
    if (!content && [502, 503, 504].includes(status)) throw new UploadError("connection");
    // HTML instead of JSON is the login page or, with a 403, Django's page for a failed CSRF check.
    const usual = status < 300 || status === 401 ? "login_required" : status === 403 ? "stale" : "server";
    let { code = usual, message } = content?.error ?? {};
    if (["login_required", "stale"].includes(code)) {
      if (!renewed && (await job.renew?.())) continue;
      message = job.messages?.[code] ?? message; // The page's message says what to do on this page.
    }
    throw new UploadError(code, message, Number(response.getResponseHeader("Retry-After")) || undefined);
  }
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

// Uses XMLHttpRequest because fetch() doesn't report the progress of an upload.
function request(method, url, body, { headers = {}, progress, signal, patience }) {
  const xhr = new XMLHttpRequest();
  let silence, abort;
  return new Promise((resolve, reject) => {
    const lost = () => reject(new UploadError("connection"));
    const listen = () => {
      clearTimeout(silence);
      if (patience) silence = setTimeout(lost, 1000 * patience);
    };
    abort = () => reject(signal.reason);
    signal?.throwIfAborted();
    signal?.addEventListener("abort", abort);
    xhr.open(method, url);
    for (const [name, content] of Object.entries(headers)) xhr.setRequestHeader(name, content);
    xhr.upload.onprogress = progress && ((event) => listen(progress(event.loaded)));
    xhr.onload = () => resolve(xhr);
    xhr.onerror = lost;
    listen();
    xhr.send(body);
  })
    .catch((error) => {
      xhr.abort();
      throw error;
    })
    .finally(() => {
      clearTimeout(silence);
      signal?.removeEventListener("abort", abort);
    });
}

function value(given) {
  return typeof given === "function" ? given() : given;
}

function csrfToken() {
  const field = document.querySelector("[name=csrfmiddlewaretoken]");
  return field?.value ?? /(?:^|; )csrftoken=([^;]*)/.exec(document.cookie)?.[1] ?? "";
}

// --- The page: fields, their lists of files, and the forms that wait for them

const inTurn = limiter(FILES);
const items = new WeakMap(); // by row
const left = new WeakMap(); // by field: the files that are sent with the form
const active = new Set();
const held = new Map(); // by submitted form that waits for files: {submitter, notice}
let barred = false;
let count = 0;

const rowsOf = (field) => [...field.querySelectorAll(".s3kit-file")];
const inputOf = (field) => field.querySelector("input[type=file]");

function choose(field, input) {
  const files = [...input.files];
  if (!files.length) return sync(field); // Some browsers fire "change" when the user cancels.
  const text = JSON.parse(field.dataset.messages);
  const problems = files.map((file) => problem(file, field, text));
  if (!input.multiple && !problems[0]) {
    left.delete(field);
    for (const row of rowsOf(field)) remove(row, field);
  }
  for (const [i, file] of files.entries()) {
    if (problems[i]) fail(build(file, field, input, text), problems[i]);
    else if (emit(input, "start", { file })) run(build(file, field, input, text));
    else leave(field, file);
  }
  sync(field);
}

// Sends files that were chosen before this module ran.
function chooseEarly() {
  for (const input of document.querySelectorAll("[data-s3kit-upload][data-begin] input[type=file]")) {
    const field = input.closest("[data-s3kit-upload]");
    if (input.files.length && !left.get(field)?.length) choose(field, input);
  }
}

function problem(file, field, text) {
  const kinds = JSON.parse(field.dataset.kinds);
  const type = `.${file.name.split(".").slice(1).pop()?.toLowerCase()}`;
  const kind = kinds.find((each) => !each.types.length || each.types.includes(type.slice(1)));
  const types = kinds.flatMap((each) => each.types.map((name) => `.${name}`)).join(", ");
  const error = (code, values) => new UploadError(code, fill(text[code], values));
  if (!kind) return error("type", { types });
  if (!file.size) return error("empty");
  const [given, limit] = [file.size, kind.max_bytes].map((bytes) => size(bytes, field));
  if (file.size > kind.max_bytes) return error("too_large", { size: given, limit });
}

function build(file, field, input, text) {
  const item = { file, field, input, text, sent: 0 };
  const note = `s3kit-note-${++count}`;
  item.row = make("li", { className: "s3kit-file" }, [
    make("span", { className: "s3kit-name", textContent: file.name }),
    (item.figures = make("span", { className: "s3kit-figures" })),
    (item.bar = make("progress", { value: 0, ariaLabel: file.name })),
    (item.note = make("span", { className: "s3kit-note", id: note, tabIndex: -1 })),
    make("span", { className: "s3kit-buttons" }, [
      (item.retry = make("button", { type: "button", textContent: text.retry })),
      (item.button = make("button", { type: "button" })),
    ]),
  ]);
  item.retry.ariaLabel = `${text.retry} ${file.name}`;
  item.retry.dataset.s3kit = "retry";
  item.button.dataset.s3kit = "remove";
  items.set(item.row, item);
  field.querySelector(".s3kit-files").append(item.row);
  return item;
}

// state: "queued", "sending", "checking", "done", "form" (sent with the form), or "failed"
function show(item, state, words = item.text[state] ?? "") {
  const { row, file, field, text, bar, button, retry } = item;
  const busy = ["queued", "sending", "checking"].includes(state);
  item.state = row.dataset.state = state;
  if (item.note.textContent !== words) item.note.textContent = words;
  item.figures.textContent = state === "sending" ? figures(item) : size(file.size, field);
  bar.hidden = !busy;
  if (state === "checking") bar.removeAttribute("value");
  else bar.value = item.sent / (file.size || 1);
  button.textContent = busy ? text.cancel : text.remove;
  button.ariaLabel = `${button.textContent} ${file.name}`;
  if (document.activeElement === retry) button.focus();
  retry.hidden = !(state === "failed" && item.again);
}

function figures({ sent, file, field, text, pace }) {
  const [done, total] = [sent, file.size].map((bytes) => size(bytes, field));
  const seconds = (performance.now() - pace.at) / 1000;
  if (seconds < 5 || sent <= pace.from) return fill(text.figures, { sent: done, total });
  const minutes = ((file.size - sent) / (sent - pace.from)) * (seconds / 60);
  const [unit, amount] = minutes < 100 ? ["minute", minutes] : ["hour", minutes / 60];
  const time = number(Math.round(amount), field, { style: "unit", unit });
  return fill(minutes < 1 ? text.soon : text.left, { sent: done, total, time });
}

async function run(item) {
  const { file, field, input, text, row } = item;
  const { signal } = (item.stop = new AbortController());
  const waiting = (reason) => {
    item.pace = { at: performance.now(), from: item.sent };
    show(item, reason === "checking" ? reason : "sending", text[reason]);
    announce(item, reason === "checking" ? "" : text[reason]);
  };
  const progress = (sent, total) => {
    if (!row.isConnected) return item.stop.abort(); // Another script has removed the field.
    item.sent = sent;
    item.pace ??= { at: performance.now(), from: sent };
    show(item, "sending");
    announce(item);
    emit(input, "progress", { file, sent, total });
  };
  const about = { begin: field.dataset.begin, rules: () => field.dataset.rules, renew, messages: text };
  const scope = location.pathname + plain(input.name);
  active.add(item);
  window.addEventListener("beforeunload", warn);
  item.pace = null;
  show(item, "queued");
  try {
    item.sent = 0;
    item.result = await inTurn(async () => {
      signal.throwIfAborted();
      if (barred) throw new UploadError("barred");
      return upload(file, { ...about, scope, signal, progress, waiting });
    });
    const hidden = make("input", { type: "hidden", name: input.name, value: item.result.token });
    if (input.hasAttribute("form")) hidden.setAttribute("form", input.getAttribute("form"));
    row.append(hidden);
    item.sent = file.size;
    show(item, "done");
    announce(item, text.done);
    emit(input, "done", { file, token: item.result.token });
  } catch (error) {
    if (!signal.aborted) fail(item, error);
  }
  active.delete(item);
  if (!active.size) window.removeEventListener("beforeunload", warn);
  settle(input.form);
}

function fail(item, error) {
  const { file, field, input, text } = item;
  let { code = "server", message = text.server } = error;
  let state = "failed";
  if (!(error instanceof UploadError)) reportError(error);
  barred ||= code === "barred";
  if (code === "barred" || (code === "unavailable" && !item.sent)) {
    const limit = Number(field.dataset.formBytes || Infinity);
    const others = (left.get(field) ?? []).reduce((sum, each) => sum + each.size, 0);
    if (others + file.size <= limit) {
      leave(field, file);
      [state, message] = ["form", text.form];
    } else if (code === "barred") message = fill(text.barred, { limit: size(limit, field) });
  }
  item.code = code;
  item.again = !["type", "too_large", "empty", "name", "rejected", "changed", "forbidden"].includes(code);
  show(item, state, message);
  announce(item, message);
  sync(field);
  emit(input, "error", { file, code, message });
}

function leave(field, file) {
  left.set(field, [...(left.get(field) ?? []), file]);
}

function remove(row, field) {
  const item = items.get(row); // undefined if the server has rendered the row
  const rows = rowsOf(field);
  const next = rows[rows.indexOf(row) + 1] ?? rows[rows.indexOf(row) - 1];
  const focused = row.contains(document.activeElement);
  item?.stop?.abort();
  item?.result?.cancel();
  left.set(field, (left.get(field) ?? []).filter((file) => file !== item?.file));
  row.remove();
  sync(field);
  if (focused) (next?.querySelector("button:not([hidden])") ?? inputOf(field)).focus();
  if (item) emit(inputOf(field), "cancel", { file: item.file });
  settle(inputOf(field).form);
}

// Puts the files that are sent with the form into the input, removes `required` while files are listed, and links error
// messages to the input.
function sync(field) {
  const input = inputOf(field);
  const rows = rowsOf(field);
  const files = new DataTransfer();
  for (const file of left.get(field) ?? []) files.items.add(file);
  input.files = files.files;
  if (rows.length && input.required) input.dataset.required = "";
  input.required = !rows.length && "required" in input.dataset;
  const errors = rows.filter((row) => row.dataset.state === "failed").map((row) => items.get(row).note.id);
  const described = (input.getAttribute("aria-describedby") ?? "").split(" ");
  const ids = [...described.filter((id) => !id.startsWith("s3kit-note-")), ...errors].join(" ").trim();
  if (ids) input.setAttribute("aria-describedby", ids);
  else input.removeAttribute("aria-describedby");
  if (errors.length) input.ariaInvalid = "true";
  else if (rows.length) input.ariaInvalid = null;
}

// Announces to screen readers a file's new state, or the progress of all files in steps.
function announce({ field, file, text, sent }, note) {
  const all = rowsOf(field).map((row) => items.get(row)).filter((item) => item && item.state !== "failed");
  const total = all.reduce((sum, item) => sum + item.file.size, 0);
  const part = all.reduce((sum, item) => sum + item.sent, 0) / total;
  const percent = number(Math.floor(4 * part) / 4, field, { style: "percent" });
  const several = all.length > 1;
  const words =
    note && (!several || note !== text.done)
      ? fill(text.announce, { name: file.name, note })
      : fill(several ? text.announce_parts : text.announce_part, { name: file.name, percent, count: all.length });
  const live = field.querySelector(".s3kit-live");
  if (live.textContent !== words) live.textContent = words;
}

// Submits the form if it is waiting and all files have been sent. If a file has failed, moves the focus to its error.
function settle(form) {
  if (!held.has(form)) return;
  const { failed, busy } = filesOf(form);
  if (busy.length && !failed.length) return;
  const { submitter } = held.get(form);
  release(form);
  if (failed.length) items.get(failed[0]).note.focus();
  else form.requestSubmit(submitter?.isConnected ? submitter : null);
}

function filesOf(form) {
  const fields = [...form.elements].map((element) => element.closest("[data-s3kit-upload]"));
  const rows = [...new Set(fields)].flatMap((field) => (field ? rowsOf(field) : [])).filter((row) => items.has(row));
  const failed = rows.filter((row) => row.dataset.state === "failed");
  return { failed, busy: rows.filter((row) => active.has(items.get(row))), rows };
}

function release(form) {
  held.get(form)?.notice.remove();
  held.delete(form);
}

function hold(form, submitter) {
  const { failed, busy, rows } = filesOf(form);
  release(form);
  if (failed.length) items.get(failed[0]).note.focus();
  if (failed.length || !busy.length) return failed.length > 0;
  const { field, text } = items.get(rows[0]);
  const stay = make("button", { type: "button", textContent: text.stay });
  stay.dataset.s3kit = "stay";
  const notice = make("div", { className: "s3kit-held" }, [make("p", { role: "alert", textContent: text.held }), stay]);
  if (field.classList.contains("s3kit-admin")) notice.classList.add("s3kit-admin");
  held.set(form, { submitter, notice });
  form.append(notice);
  return true;
}

// Loads the page again and copies its CSRF token and rules. Concurrent calls share one request.
function renew() {
  renewing ??= freshen().catch(() => false).finally(() => (renewing = null));
  return renewing;
}

let renewing = null;

async function freshen() {
  const response = await request("GET", location.href, null, { patience: PATIENCE });
  if (response.status !== 200 || new URL(response.responseURL).pathname !== location.pathname) return false;
  const page = new DOMParser().parseFromString(response.responseText, "text/html");
  const token = page.querySelector("[name=csrfmiddlewaretoken]")?.value;
  for (const field of token ? document.querySelectorAll("[name=csrfmiddlewaretoken]") : []) field.value = token;
  const fresh = new Map();
  for (const part of [page, ...page.querySelectorAll("template")]) {
    for (const field of (part.content ?? part).querySelectorAll("[data-s3kit-upload]")) {
      fresh.set(plain(inputOf(field).name), field.dataset.rules);
    }
  }
  for (const field of document.querySelectorAll("[data-s3kit-upload]")) {
    field.dataset.rules = fresh.get(plain(inputOf(field).name)) ?? field.dataset.rules;
  }
  return Boolean(token);
}

// Returns the name of a field without the number of its form in a formset.
function plain(name) {
  return name.replace(/-(\d+|__prefix__)-/g, "-#-");
}

function warn(event) {
  event.preventDefault();
}

function emit(input, name, detail) {
  return input.dispatchEvent(new CustomEvent(`s3kit:${name}`, { detail, bubbles: true, cancelable: name === "start" }));
}

function make(tag, properties, children = []) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

function fill(text, values = {}) {
  return text.replace(/%\((\w+)\)s/g, (whole, name) => values[name] ?? whole);
}

function number(amount, field, style) {
  let locale;
  try {
    [locale] = Intl.getCanonicalLocales(field.closest("[lang]")?.lang);
  } catch {
    // Not a valid language: use the browser's.
  }
  return new Intl.NumberFormat(locale, { maximumFractionDigits: 1, ...style }).format(amount);
}

function size(bytes, field) {
  const power = Math.min(Math.floor(Math.log2(bytes || 1) / 10), 4);
  const unit = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"][power];
  return number(bytes / 1024 ** power, field, { style: "unit", unit, unitDisplay: power ? "short" : "long" });
}

const handlers = {
  change({ target }) {
    const field = target.closest("[data-s3kit-upload][data-begin]");
    if (field && target.type === "file") choose(field, target);
  },
  click({ target }) {
    const button = target.closest("[data-s3kit]");
    const row = button?.closest(".s3kit-file");
    if (button?.dataset.s3kit === "stay") {
      const form = button.form;
      const { submitter } = held.get(form);
      release(form);
      submitter?.focus();
    }
    if (!row) return;
    const field = row.closest("[data-s3kit-upload]");
    if (button.dataset.s3kit === "remove") return remove(row, field);
    const { code } = items.get(row);
    barred = false;
    // Retry all files that have failed for the same reason.
    for (const item of rowsOf(field).map((each) => items.get(each))) {
      if (item?.state === "failed" && item.code === code) run(item);
    }
    sync(field);
  },
  // Runs in the capture phase, before htmx and other scripts.
  submit(event) {
    if (!hold(event.target, event.submitter)) return;
    event.preventDefault();
    event.stopImmediatePropagation();
  },
  reset({ target }) {
    for (const row of filesOf(target).rows) remove(row, row.closest("[data-s3kit-upload]"));
  },
};

// Register only once per page, even if two versions of this module are loaded.
const loaded = Symbol.for("s3kit uploads");
if (!document[loaded]) {
  document[loaded] = true;
  for (const [type, handler] of Object.entries(handlers)) document.addEventListener(type, handler, true);
  if (document.readyState === "complete") chooseEarly();
  // By then, the page's own modules have added their listeners.
  else for (const type of ["DOMContentLoaded", "load"]) window.addEventListener(type, chooseEarly);
}
