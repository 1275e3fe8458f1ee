// Sends a file straight to S3 with the links that the server has signed, in one part or several, of which only the
// failed ones are sent again.

import { Lost, request } from "./request.js";

const AT_ONCE = 3;
const PAUSES = [1, 2, 4, 8]; // seconds before each further attempt
const PATIENCE = 30; // seconds without progress

// S3 rejected a signed request: the link has expired, or the file has changed since it was chosen.
export class Rejected extends Error {}

// S3 has taken nothing from this browser although the site can be reached: the bucket does not allow the site's pages
// to send (CORS), the store lacks what is needed, or a firewall is in between.
export class Barred extends Error {}

// Sends the rest of a file and resolves once S3 has all of it. Rejects with Lost if S3 could not be reached in
// several attempts, with Barred if it never took anything, and with the signal's reason.
//   state: the server's answer {complete, received, parts}, where
//     received  is the number of bytes that have arrived
//     parts     are some of the missing parts, as {number, start, end, url, headers}
//   ask(): resolves with the current state and fresh links
//   progress(bytes): how much has been sent so far
//   waiting(): sending has paused
export async function send(file, state, { ask, ...watch }) {
  let rejections = 0;
  while (!state.complete) {
    watch.progress(state.received);
    let failure = null;
    try {
      await sendParts(file, state, watch);
      rejections = 0;
    } catch (error) {
      if (!(error instanceof Lost || error instanceof Rejected)) throw error;
      // Try once more with fresh links. A second rejection is final.
      if (error instanceof Lost || ++rejections > 1) failure = error;
    }
    state = await (failure ? ask() : persist(ask, watch));
    if (failure && !state.complete) throw state.received ? failure : new Barred();
  }
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
      const { number, start, end, url, headers } = part;
      const watch = { headers, progress: (bytes) => report(number, bytes), signal: stop.signal };
      const again = () => {
        report(number, 0);
        waiting();
      };
      const attempt = () => put(url, file.slice(start, end), watch);
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
async function put(url, body, watch) {
  const { status } = await request("PUT", url, body, { ...watch, patience: PATIENCE });
  if (status === 412) return; // S3 has it: the answer to an earlier attempt was lost
  if ([408, 409, 429].includes(status) || (status >= 500 && status !== 501)) throw new Lost();
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
