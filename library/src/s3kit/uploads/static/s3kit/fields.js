// Shows a form's errors at their fields, as Django's templates do.

// `errors` maps fields to lists of {message}. Returns the first marked field, or null.
export function showErrors(form, errors) {
  let first = null;
  for (const [name, list] of Object.entries(errors)) {
    const field = form.elements[name];
    if (!field) continue;
    const marked = document.createElement("ul");
    marked.className = "errorlist";
    marked.id = `${field.id}_error`;
    for (const { message } of list) marked.append(Object.assign(document.createElement("li"), { textContent: message }));
    field.closest(".field").append(marked);
    field.setAttribute("aria-invalid", "true");
    describe(field, marked.id, true);
    first ??= field;
  }
  return first;
}

export function clearErrors(form) {
  for (const marked of form.querySelectorAll(".field .errorlist")) marked.remove();
  for (const field of form.querySelectorAll("[aria-invalid]")) {
    field.removeAttribute("aria-invalid");
    describe(field, `${field.id}_error`, false);
  }
}

function describe(field, id, wanted) {
  const ids = new Set((field.getAttribute("aria-describedby") ?? "").split(/\s+/).filter(Boolean));
  if (wanted) ids.add(id);
  else ids.delete(id);
  field.setAttribute("aria-describedby", [...ids].join(" "));
}
