// Sends a file to S3 itself, by what the server has signed for it: in one piece, or in parts, of which only
// those that fail are sent again.

import { Lost, request } from "./request.js";

const AT_ONCE = 3;
const PAUSES = [1, 2, 4, 8]; // seconds before each further attempt
const PATIENCE = 30; // seconds in which nothing of a part moves

// S3 does not take what was signed: the link has run out, or the file has changed since it was chosen.
export class Refused extends Error {}

// Sends what S3 does not have of a file, and returns when it has all of it. Rejects with Lost when S3 could
// not be reached in several attempts, and with the signal's reason.
//   state: what the server knows and has signed, {complete, received, post, parts}, where
//     received  how many bytes have arrived
//     post      {url, fields} of a form for the whole file, or null
//     parts     some of those that are missing, as {number, start, end, url}, or null
//   ask(): resolves with the state as it is by then, with fresh links
//   progress(bytes), waiting(): how much has been sent so far; nothing goes on just now
export async function send(file, state, { ask, ...watch }) {
  let refusals = 0;
  while (!state.complete) {
    watch.progress(state.received);
    try {
      await (state.post ? sendWhole(file, state.post, watch) : sendParts(file, state, watch));
      refusals = 0;
    } catch (error) {
      // Once more with fresh links; S3's second refusal is final.
      if (!(error instanceof Refused) || ++refusals > 1) throw error;
    }
    state = await persist(ask, watch);
  }
}

function sendWhole(file, { url, fields }, { progress, waiting, signal }) {
  const body = new FormData();
  for (const [name, value] of Object.entries(fields)) body.append(name, value);
  body.append("file", file); // the last one: S3 ignores what comes after it
  const count = (bytes) => progress(Math.min(bytes, file.size)); // the body is a little more than the file
  return persist(() => put("POST", url, body, { progress: count, signal }), { waiting, signal });
}

async function sendParts(file, { parts, received }, { progress, waiting, signal }) {
  const loaded = new Map();
  const queue = [...parts];
  const stop = new AbortController(); // a part that fails for good ends the others
  const forward = () => stop.abort(signal.reason);
  signal.addEventListener("abort", forward);
  const report = (number, bytes) => {
    loaded.set(number, bytes);
    progress([...loaded.values()].reduce((sum, value) => sum + value, received));
  };
  const work = async () => {
    for (let part; (part = queue.shift()); ) {
      const { number, start, end, url } = part;
      const watch = { progress: (bytes) => report(number, bytes), signal: stop.signal };
      const again = () => {
        report(number, 0);
        waiting();
      };
      const attempt = () => put("PUT", url, file.slice(start, end), watch);
      await persist(attempt, { waiting: again, signal: stop.signal });
      report(number, end - start);
    }
  };
  try {
    await Promise.all(Array.from({ length: Math.min(AT_ONCE, queue.length) }, work));
  } catch (error) {
    stop.abort(error);
    throw error;
  } finally {
    signal.removeEventListener("abort", forward);
  }
}

// A request to S3: what it answers need not be read, its status says enough.
async function put(method, url, body, { progress, signal }) {
  const { status } = await request(method, url, body, { progress, signal, patience: PATIENCE });
  if (status >= 500 || status === 429 || status === 408) throw new Lost();
  if (status < 200 || status > 299) throw new Refused(String(status));
}

// Does what fails with Lost again, after growing pauses. While the browser knows that it is offline nothing is
// tried, and no attempt is used up.
export async function persist(attempt, { waiting, signal }) {
  for (let failed = 0; ; failed++) {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof Lost) || failed >= PAUSES.length) throw error;
    }
    waiting();
    await pause(PAUSES[failed], signal);
    if (!navigator.onLine) {
      await online(signal);
      failed = -1;
    }
  }
}

// Resolves after so many seconds, and at once when the browser is back online.
export function pause(seconds, signal) {
  return moment(signal, (done) => setTimeout(done, 1000 * seconds));
}

function online(signal) {
  return moment(signal, () => 0);
}

function moment(signal, start) {
  return new Promise((resolve, reject) => {
    const done = () => {
      clearTimeout(timer);
      window.removeEventListener("online", done);
      signal.removeEventListener("abort", done);
      if (signal.aborted) reject(signal.reason);
      else resolve();
    };
    const timer = start(done);
    window.addEventListener("online", done);
    signal.addEventListener("abort", done);
    if (signal.aborted) done();
  });
}
