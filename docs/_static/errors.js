// On the search page: find the sections that explain a pasted error message. Sphinx only finds pages that contain every
// word, and a message contains values of its own.

const PAGES = ["troubleshooting", "checks", "doctor"];
const MOST = 3;

const query = new URLSearchParams(location.search).get("q") ?? "";
const BOTO = /An error occurred \((\w+)\) when calling the (\w+) operation/g;

/** Return the words of a text, and its codes of three digits, without the sentence that all of boto3's errors share. */
function words(text) {
  const rest = text.replace(BOTO, "$1 $2").replace(/[’']/g, "").toLowerCase();
  return new Set(rest.match(/[a-z][a-z0-9_]{2,}|\b\d{3}\b/g));
}

/** Return the sections and list items of a page that quote messages. */
async function read(page) {
  const response = await fetch(`${page}.html`);
  const parsed = new DOMParser().parseFromString(await response.text(), "text/html");
  return [...parsed.querySelectorAll("article section:not(:has(section))")].flatMap((section) => {
    const heading = section.querySelector("h1, h2, h3, h4").firstChild.textContent;
    const codes = [...section.querySelectorAll("p")].find((each) => each.textContent.startsWith("Also "))?.textContent ?? "";
    const title = `${heading} · ${parsed.querySelector("h1").firstChild.textContent}`;
    const entry = { href: `${page}.html#${section.id}`, title, names: words(`${heading} ${codes}`) };
    const items = [...section.querySelectorAll("li")].map((item) => ({ ...entry, text: item.textContent }));
    return [{ ...entry, text: section.textContent }, ...items];
  });
}

/** Return the best entries: those with most of the query's rare words, above all in their names, and few others. */
function ranked(entries) {
  const wanted = words(query);
  for (const entry of entries) entry.words = words(entry.text);
  const weight = (word) => Math.log(entries.length / entries.filter((entry) => entry.words.has(word)).length);
  const weights = new Map([...wanted].map((word) => [word, weight(word)]).filter(([, value]) => isFinite(value)));
  for (const entry of entries) {
    entry.score = 0;
    for (const [word, value] of weights) {
      const isName = entry.names.has(word) && /\d|.{5}/.test(word); // not "with"
      if (entry.words.has(word)) entry.score += isName ? 5 * value : value;
    }
    entry.score /= 1 + Math.log(entry.words.size) / 10;
  }
  entries.sort((one, other) => other.score - one.score);
  const enough = Math.max(5, entries[0].score / 2);
  const best = new Map();
  for (const entry of entries) {
    if (entry.score >= enough && !best.has(entry.href) && best.size < MOST) best.set(entry.href, entry);
  }
  return [...best.values()];
}

const results = document.getElementById("search-results");
if (results && query) {
  const found = ranked((await Promise.all(PAGES.map(read))).flat());
  if (found.length) {
    const list = document.createElement("ul");
    for (const { href, title } of found) {
      const link = document.createElement("a");
      Object.assign(link, { href, textContent: title });
      list.append(document.createElement("li"));
      list.lastChild.append(link);
    }
    const heading = Object.assign(document.createElement("h2"), { textContent: "Error messages" });
    const box = Object.assign(document.createElement("div"), { className: "errors" });
    box.append(heading, list);
    results.before(box);
  }
}
