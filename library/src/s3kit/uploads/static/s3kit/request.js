// One request with upload progress, which is aborted when it stalls.

// No answer came: the connection was cut or has stalled.
export class Lost extends Error {}

// Resolves with the server's answer, whatever its status. Rejects with Lost or with the signal's reason.
// Uses XMLHttpRequest because fetch() doesn't report the progress of an upload.
//   progress(bytes): how much of the body has been sent
//   sent(): the whole body has been sent
//   patience: seconds without progress after which the request is aborted (default: as long as the browser waits)
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
