// Opens pictures and videos in a dialog instead of following their links, and previews the file to add. The pages work
// without it.

for (const list of document.querySelectorAll("[data-pictures]")) enhance(list);
for (const frame of document.querySelectorAll("[data-preview]")) preview(frame);
document.documentElement.dataset.enhanced = "true"; // for tests: the script has run

function enhance(list) {
  const links = [...list.querySelectorAll("a:has(> img, > video)")];
  const dialog = document.createElement("dialog");
  dialog.className = "viewer";
  dialog.setAttribute("aria-label", "Picture");
  dialog.innerHTML = `
    <div class="viewer-bar">
      <button class="quiet" type="button" data-step="-1">Previous</button>
      <button class="quiet" type="button" data-step="1">Next</button>
      <button class="quiet" type="button" data-close autofocus>Close</button>
    </div>
    <div data-shown></div>
    <p aria-hidden="true"></p>`;
  document.body.append(dialog);

  let current = 0;

  function show(index) {
    current = index;
    const small = links[index].querySelector("img, video");
    const words = small.alt ?? small.dataset.alt;
    dialog.querySelector("[data-shown]").replaceChildren(enlarged(small, links[index].href, words));
    dialog.querySelector("p").textContent = words;
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
      // The visitor wants a new tab, a new window or a download.
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
    if (event.target.localName === "video") return; // there, the arrows seek
    if (event.key === "ArrowLeft") step(-1);
    if (event.key === "ArrowRight") step(1);
  });
  dialog.addEventListener("close", () => {
    dialog.querySelector("[data-shown]").replaceChildren(); // stops a video
    links[current].focus(); // the one seen last
  });
}

function enlarged(small, address, words) {
  if (small.localName === "img") return Object.assign(small.cloneNode(), { loading: "eager" });
  const video = Object.assign(document.createElement("video"), { src: address, controls: true, playsInline: true });
  video.setAttribute("aria-label", words);
  return video;
}

// Shows a file as soon as the user chooses it, before it is uploaded.
function preview(frame) {
  let shown = null;

  function show(file) {
    URL.revokeObjectURL(frame.querySelector("img, video")?.src);
    frame.replaceChildren();
    shown = file;
    if (!file) return;
    const video = file.type.startsWith("video/");
    const seen = Object.assign(document.createElement(video ? "video" : "img"), { muted: true, alt: "" });
    // A file that the browser can't display isn't shown. The server rejects it with a message.
    seen.addEventListener(video ? "loadeddata" : "load", () => shown === file && frame.replaceChildren(seen));
    seen.src = URL.createObjectURL(file);
  }

  document.addEventListener("s3kit:start", ({ detail }) => show(detail.file));
  document.addEventListener("s3kit:cancel", ({ detail }) => detail.file === shown && show(null));
  // If the browser sends files with the form, they are in the input.
  document.addEventListener("change", ({ target }) => {
    if (target.files && !target.closest("[data-s3kit-upload]")) show(target.files[0]);
  });
}
