// Opens the pictures of a list large, in a dialog with arrows, instead of by following their links.

export function enhancePictures(list) {
  const links = [...list.querySelectorAll("a:has(> img)")];
  const dialog = document.createElement("dialog");
  dialog.className = "viewer";
  dialog.setAttribute("aria-label", "Picture");
  dialog.innerHTML = `
    <div class="viewer-bar">
      <button class="quiet" type="button" data-step="-1">Previous</button>
      <button class="quiet" type="button" data-step="1">Next</button>
      <button class="quiet" type="button" data-close autofocus>Close</button>
    </div>
    <img>
    <p aria-hidden="true"></p>`;
  document.body.append(dialog);

  let current = 0;

  function show(index) {
    current = index;
    const small = links[index].querySelector("img");
    const large = small.cloneNode();
    large.loading = "eager";
    dialog.querySelector("img").replaceWith(large);
    dialog.querySelector("p").textContent = small.alt;
    for (const button of dialog.querySelectorAll("[data-step]")) {
      // Not disabled, which would take the focus away from the button that was just pressed.
      button.setAttribute("aria-disabled", String(!links[index + Number(button.dataset.step)]));
    }
  }

  function step(by) {
    if (links[current + by]) show(current + by);
  }

  links.forEach((link, index) => {
    link.addEventListener("click", (event) => {
      // A new tab, a new window, a download: as the visitor likes.
      if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
      event.preventDefault();
      show(index);
      dialog.showModal();
    });
  });

  dialog.addEventListener("click", (event) => {
    if (event.target.dataset.step) step(Number(event.target.dataset.step));
    if ("close" in event.target.dataset) dialog.close();
  });
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") step(-1);
    if (event.key === "ArrowRight") step(1);
  });
  // The focus goes back to the picture that was seen last.
  dialog.addEventListener("close", () => links[current].focus());
}
