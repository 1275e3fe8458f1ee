// Requests to the site on behalf of a form. The answer becomes a result or a Problem.

import { Lost, request } from "./request.js";

const GATEWAYS = [502, 503, 504];
const WORDS = {
  403: "You are not allowed to add files, or this page is too old. Please reload it.",
  413: "The server does not take files as large as this one. Please choose a smaller one.",
};

// An error for the user. `errors` has the format of Django's form.errors.get_json_data(): it maps fields to lists of
// {message, code}, and __all__ to the errors of the form as a whole.
export class Problem extends Error {
  constructor(errors, status = 0) {
    super("The site rejected the request");
    this.errors = typeof errors === "string" ? { __all__: [{ message: errors }] } : errors;
    this.status = status;
  }

  get code() {
    return Object.values(this.errors)[0]?.[0]?.code;
  }
}

// Resolves with the JSON of a success, or of any answer that says where to go next ({url}). Rejects with Problem,
// with Lost of request.js, or with the signal's reason.
export async function ask(form, method, address, body, watch = {}) {
  const token = form.elements.csrfmiddlewaretoken;
  for (let renewed = false; ; renewed = true) {
    const headers = { Accept: "application/json", "X-CSRFToken": token.value };
    if (body instanceof FormData) body.delete(token.name); // it would take precedence over the header
    const answer = await request(method, address, body, { ...watch, headers });
    const content = parsed(answer.text);
    if (content?.url || (content && answer.status < 300 && !content.errors)) return content;
    if (content?.errors) throw new Problem(content.errors, answer.status);
    // A proxy timed out or could not reach the site, which may have done its work all the same.
    if (GATEWAYS.includes(answer.status)) throw new Lost();
    if (answer.status !== 403 || renewed) fail(answer, address);
    // If the user has logged in again, in another tab, this page's token is out of date.
    token.value = (await freshToken(form)) ?? fail(answer, address);
  }
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function fail({ status, url }, address) {
  const elsewhere = new URL(url, location).pathname !== new URL(address, location).pathname;
  const words = elsewhere
    ? "You are logged out. Please log in again in another tab, then send this form once more."
    : (WORDS[status] ?? `The server had a problem (${status}). Please try again in a minute.`);
  throw new Problem(words, status);
}

// Resolves with the token of a fresh copy of the page, or null if the user may not see it. Rejects with Problem if
// the user is logged out.
async function freshToken(form) {
  const answer = await request("GET", form.action, null, { patience: 30 });
  if (answer.status === 403) return null;
  const page = new DOMParser().parseFromString(answer.text, "text/html");
  return page.querySelector("[data-upload] [name=csrfmiddlewaretoken]")?.value ?? fail(answer, form.action);
}
