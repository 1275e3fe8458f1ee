// Sends a file straight to S3 with the links that the server has signed: in one piece, or in parts, of which only
// the failed ones are sent again.

import { Lost, request } from "./request.js";

const AT_ONCE = 3;
const PAUSES = [1, 2, 4, 8]; // seconds before each further attempt
const PATIENCE = 30; // seconds without progress

// S3 rejected a signed request: the link has expired, or the file has changed since it was chosen.
export class Rejected extends Error {}

// Sends the rest of a file and resolves once S3 has all of it. Rejects with Lost if S3 could not be reached in
// several attempts, and with the signal's reason.
//   state: the server's answer {complete, received, post, parts}, where
//     received  is the number of bytes that have arrived
//     post      is {url, fields} of a form for the whole file, or null
//     parts     are some of the missing parts, as {number, start, end, url}, or null
//   ask(): resolves with the current state and fresh links
//   progress(bytes): how much has been sent so far
//   waiting(): sending has paused
export async function send(file, state, { ask, ...watch }) {
  let rejections = 0;
  while (!state.complete) {
    watch.progress(state.received);
    try {
      await (state.post ? sendWhole(file, state.post, watch) : sendParts(file, state, watch));
      rejections = 0;
    } catch (error) {
      // Try once more with fresh links. A second rejection is final.
      if (!(error instanceof Rejected) || ++rejections > 1) throw error;
    }
    state = await persist(ask, watch);
  }
}

function sendWhole(file, { url, fields }, { progress, waiting, signal }) {
  const body = new FormData();
  for (const [name, value] of Object.entries(fields)) body.append(name, value);
  body.append("file", file); // last, because S3 ignores the fields after it
  const count = (bytes) => progress(Math.min(bytes, file.size)); // the body is a little larger than the file
  return persist(() => put("POST", url, body, { progress: count, signal }), { waiting, signal });
}

async function sendParts(file, { parts, received }, { progress, waiting, signal }) {
  const loaded = new Map();
  const queue = [...parts];
  const stop = new AbortController(); // a part that fails for good stops the others
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

// A request to S3. Only the status of its answer matters.
async function put(method, url, body, { progress, signal }) {
  const { status } = await request(method, url, body, { progress, signal, patience: PATIENCE });
  if (status >= 500 || status === 429 || status === 408) throw new Lost();
  if (status < 200 || status > 299) throw new Rejected(String(status));
}

// Retries an attempt that rejects with Lost, after growing pauses. While the browser is offline it waits, and uses
// up no attempt.
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

// Resolves after this many seconds, or as soon as the browser is back online.
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
