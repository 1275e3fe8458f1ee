// Sends a file straight to S3: the site issues a ticket, S3 takes the bytes, the site accepts the file.

import { Lost } from "./request.js";
import { Rejected, pause, persist, send } from "./send.js";
import { Problem, ask } from "./site.js";

// The last unfinished file and its ticket's address. In localStorage, so that the upload can continue after a reload.
const MEMORY = "s3kit: unfinished upload";

function fingerprint(file) {
  return JSON.stringify([file.name, file.size, file.lastModified]);
}

// Returns the address of this file's unfinished ticket, or null.
export function remembered(file) {
  try {
    const { of, address } = JSON.parse(localStorage.getItem(MEMORY)) ?? {};
    return of === fingerprint(file) ? address : null;
  } catch {
    return null; // works without localStorage, too
  }
}

function remember(file, address) {
  try {
    if (address) localStorage.setItem(MEMORY, JSON.stringify({ of: fingerprint(file), address }));
    else if (remembered(file)) localStorage.removeItem(MEMORY);
  } catch {
    // as above
  }
}

// Sends a file and has the site accept it. Resolves with {url: where to go}, rejects with Problem, with Barred of
// send.js, or with the signal's reason.
//   watch: {signal, progress(bytes), waiting(), sent()}; after sent() the upload can't be cancelled any more
export async function sendByTicket(form, file, watch) {
  try {
    const state = await settled(async () => (await resume(form, file)) ?? begin(form, file), watch);
    if (state.url) return state;
    remember(file, state.address);
    await send(file, state, { ...watch, ask: () => ask(form, "GET", state.address, null, { patience: 30 }) });
    watch.sent();
    return await add(form, state.address, watch);
  } catch (error) {
    if (watch.signal.aborted) throw watch.signal.reason;
    throw explained(error, file);
  }
}

async function resume(form, file) {
  const address = remembered(file);
  if (!address) return null;
  try {
    return await ask(form, "GET", address, null, { patience: 30 });
  } catch (error) {
    // Cancelled, expired, rejected or another user's: ask for a new ticket.
    if (!(error instanceof Problem) || ![400, 404, 410].includes(error.status)) throw error;
    remember(file, null);
    return null;
  }
}

function begin(form, file) {
  const { name, size } = file;
  const body = new URLSearchParams({ name, size, kinds: form.dataset.kinds });
  return ask(form, "POST", form.dataset.tickets, body, { patience: 30 });
}

// The site accepts a file once, however often it is asked. It answers once S3 has copied the file.
function add(form, address, watch) {
  const ticket = address.split("/").filter(Boolean).pop();
  const body = () => {
    const whole = new URLSearchParams();
    for (const [field, value] of new FormData(form)) if (typeof value === "string") whole.append(field, value);
    whole.delete("csrfmiddlewaretoken"); // it would win over the header
    whole.append("ticket", ticket);
    return whole;
  };
  return settled(() => ask(form, "POST", form.action, body()), watch);
}

// Retries while another request, such as one whose answer was lost, is accepting the same file.
async function settled(attempt, watch) {
  for (;;) {
    try {
      return await persist(attempt, watch);
    } catch (error) {
      if (!(error instanceof Problem) || error.code !== "in_progress") throw error;
    }
    await pause(2, watch.signal);
  }
}

export async function cancel(form, file) {
  const address = remembered(file);
  remember(file, null);
  // If this fails, S3 removes the file after a day.
  if (address) await ask(form, "POST", `${address}cancel/`, null, { patience: 10 }).catch(() => {});
}

export function finished(file) {
  remember(file, null);
}

function explained(error, file) {
  if (error instanceof Lost) {
    return new Problem(
      navigator.onLine
        ? "The connection keeps breaking off. Nothing is lost: “Try again” goes on where it was."
        : "You are offline. Nothing is lost: “Try again” goes on where it was.",
    );
  }
  if (error instanceof Rejected) {
    remember(file, null);
    return new Problem("The file was rejected: it may have changed since you chose it. Please choose it again.");
  }
  // The ticket is of no more use.
  if (error instanceof Problem && (error.errors.file || [404, 410].includes(error.status))) remember(file, null);
  return error;
}
