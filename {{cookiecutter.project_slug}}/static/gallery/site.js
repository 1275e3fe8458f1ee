// Asks the site, in the name of a form, and makes what it answers a result or a Problem.

import { request } from "./request.js";

// What the user has to know. `errors` is what Django's form.errors.get_json_data() gives: lists of
// {message, code} by field, with __all__ for those of no field.
export class Problem extends Error {
  constructor(errors, status = 0) {
    super("The site said no");
    this.errors = typeof errors === "string" ? { __all__: [{ message: errors }] } : errors;
    this.status = status;
  }

  get code() {
    return Object.values(this.errors)[0]?.[0]?.code;
  }
}

// Resolves with the JSON of a success, and of every other answer that knows where to go next ({url}). Rejects
// with Problem, with request.js's Lost, and with the signal's reason.
export async function ask(form, method, address, body, watch = {}) {
  for (let renewed = false; ; renewed = true) {
    const headers = { Accept: "application/json" };
    if (method === "POST") headers["X-CSRFToken"] = form.elements.csrfmiddlewaretoken.value;
    if (body instanceof FormData) body.delete("csrfmiddlewaretoken"); // it would win over the header
    const answer = await request(method, address, body, { ...watch, headers });
    const content = parsed(answer.text);
    if (content?.url || (content && answer.status < 300 && !content.errors)) return content;
    if (content?.errors) throw new Problem(content.errors, answer.status);
    // Whoever signed out and in again in another tab has another token by now.
    if (answer.status === 403 && !renewed && (await renewToken(form))) continue;
    throw new Problem(explained(answer, address), answer.status);
  }
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function explained({ status, url }, address) {
  if (new URL(url, location).pathname !== new URL(address, location).pathname) {
    return "You are signed out by now. Please sign in again in another tab, then send this form once more.";
  }
  if (status === 403) return "You are not allowed to add pictures, or this page is too old. Please load it again.";
  if (status === 413) return "The server does not take files as large as this one. Please choose a smaller one.";
  return `The server had a problem (${status}). Please try again in a minute.`;
}

// Takes the token of a fresh copy of the page; tells whether it is another one.
async function renewToken(form) {
  const field = form.elements.csrfmiddlewaretoken;
  try {
    const { status, text } = await request("GET", form.action, null, { patience: 10 });
    const page = new DOMParser().parseFromString(text, "text/html");
    const fresh = page.querySelector("[data-upload] [name=csrfmiddlewaretoken]")?.value;
    if (status !== 200 || !fresh) return false;
    field.value = fresh;
    return true;
  } catch {
    return false;
  }
}
