// One request: watched while it is sent, given up when nothing moves any more.

// No answer came: the line is cut, or silent for too long.
export class Lost extends Error {}

// Resolves with what the server said, whatever its status; rejects with Lost, or with the signal's reason.
// fetch() can't tell how much of an upload has been sent; XMLHttpRequest can.
//   progress(bytes): how much of the body has been sent
//   sent(): all of the body has been sent
//   patience: seconds without any movement; none of them, and it waits as long as the browser does
export function request(method, url, body, { headers = {}, progress, sent, signal, patience } = {}) {
  return new Promise((resolve, reject) => {
    const xhr = new XMLHttpRequest();
    let silence = 0;
    const listen = () => {
      clearTimeout(silence);
      if (patience) silence = setTimeout(() => end(() => reject(new Lost()), true), 1000 * patience);
    };
    const end = (settle, stop = false) => {
      clearTimeout(silence);
      signal?.removeEventListener("abort", abort);
      settle();
      if (stop) xhr.abort();
    };
    const abort = () => end(() => reject(signal.reason), true);

    if (signal?.aborted) return reject(signal.reason);
    signal?.addEventListener("abort", abort);
    xhr.open(method, url);
    for (const [name, value] of Object.entries(headers)) xhr.setRequestHeader(name, value);
    xhr.upload.onprogress = (event) => {
      listen();
      progress?.(event.loaded);
    };
    xhr.upload.onload = () => sent?.();
    xhr.onload = () =>
      end(() => resolve({ status: xhr.status, text: xhr.responseText, url: xhr.responseURL || url }));
    xhr.onerror = () => end(() => reject(new Lost()));
    listen();
    xhr.send(body);
  });
}
