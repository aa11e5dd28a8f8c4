// The search, in the theme's dialog and on search.html; and the marks on the page that a result opens.
// The index and MiniSearch are scripts, fetched when the search is first used, so it works from a folder too.
(() => {
  "use strict";
  const ROOT = document.documentElement.dataset.content_root ?? "";
  const FETCHED = ["_static/minisearch/minisearch.js", "_static/search_index.js"];
  const FIELD = "form.bd-search input";
  const WORD = /[\p{L}\p{N}]+/gu;
  // Words that are everywhere, and say nothing of what is sought.
  const COMMON = new Set("a an and are as at be by can does do for from how i in is it of on or the to what when why with".split(" "));
  const WEIGHTS = { title: 5, subjects: 3, text: 1, code: 0.2 };
  const KINDS = { term: 1.25, section: 1, page: 1, box: 1, exercise: 0.8 };
  const EXCERPT = 160;
  const IN_DIALOG = 10;
  const ON_PAGE = 50;

  // A word as it is compared: without accents, case, or the ending of a plural.
  function plain(word) {
    const bare = word.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
    if (bare.length < 4) return bare;
    return bare.replace(/(?<=[^aeious])ies$/, "y").replace(/(?<=[^sui])s$/, "");
  }

  const wordsOf = (text) => (text.match(WORD) ?? []).map(plain);
  const telling = (words) => (words.every((word) => COMMON.has(word)) ? words : words.filter((word) => !COMMON.has(word)));

  let fetching = null;

  /** Fetch what is needed, once; resolves to the engine, and rejects where a script is missing. */
  function engine() {
    fetching ??= Promise.all(FETCHED.map(fetchScript)).then(() => {
      const mini = new MiniSearch({
        fields: Object.keys(WEIGHTS),
        storeFields: ["page", "anchor", "kind", "title", "text", "subjects"],
        tokenize: (text) => text.match(WORD) ?? [],
        processTerm: plain,
      });
      const { entries } = window.fiveRingsIndex;
      mini.addAll(
        entries.map(([page, anchor, kind, title, text, code, subjects], id) => {
          return { id, page, anchor, kind, title, text, code, subjects };
        }),
      );
      return mini;
    });
    return fetching;
  }

  function fetchScript(address) {
    return new Promise((done, failed) => {
      const script = document.createElement("script");
      script.src = ROOT + address;
      script.onload = done;
      script.onerror = () => failed(new Error(address));
      document.head.append(script);
    });
  }

  /** What is found for a query, best first: entries that hold all of its words, else some of them. */
  function ranked(mini, query) {
    const words = telling(wordsOf(query));
    const phrase = words.join(" ");
    const common = { boost: WEIGHTS, weights: { prefix: 0.5, fuzzy: 0.3 }, combineWith: "AND" };
    common.boostDocument = (_, __, stored) => KINDS[stored.kind];
    common.prefix = (word, at, all) => at === all.length - 1 && word.length > 2; // it may not be finished
    // Other beginnings and slips of the fingers are forgiven where the words as they stand are nowhere.
    const lenient = { ...common, prefix: true, fuzzy: (word) => (word.length > 3 ? 0.25 : false), maxFuzzy: 2 };
    let found = [];
    for (const options of [common, lenient, { ...lenient, combineWith: "OR" }]) {
      if (!found.length) found = mini.search(phrase, options);
    }
    // A name that is the query, word for word, goes before those that only hold it, and these before the rest.
    const named = (name) => telling(wordsOf(name)).join(" ");
    for (const one of found) {
      const names = [one.title, ...one.subjects.split("; ")].filter(Boolean).map(named);
      if (names.includes(phrase)) one.score *= 4;
      else if (names.some((name) => ` ${name} `.includes(` ${phrase} `))) one.score *= 2;
      else if (words.length > 1 && ` ${named(one.text)} `.includes(` ${phrase} `)) one.score *= 1.5;
    }
    return found.sort((one, other) => other.score - one.score || one.id - other.id);
  }

  /** The part of a text that holds most of what was found, from word to word. */
  function excerpt(text, terms) {
    const hits = [...text.matchAll(WORD)].filter((word) => terms.has(plain(word[0])));
    if (text.length <= EXCERPT) return text;
    let [start, most] = [0, 0];
    for (const { index } of hits) {
      const within = hits.filter((one) => one.index >= index && one.index < index + EXCERPT - 40);
      const kinds = new Set(within.map((one) => plain(one[0]))).size;
      if (kinds > most) [start, most] = [index, kinds];
    }
    start = Math.max(0, Math.min(start - 40, text.length - EXCERPT));
    if (start) start = text.indexOf(" ", start) + 1;
    let end = Math.min(text.length, start + EXCERPT);
    if (end < text.length) end = Math.max(text.lastIndexOf(" ", end), start + 40);
    return (start ? "… " : "") + text.slice(start, end) + (end < text.length ? " …" : "");
  }

  /** A text with its hits marked, as nodes. */
  function marked(text, terms) {
    const made = document.createDocumentFragment();
    let from = 0;
    for (const word of text.matchAll(WORD)) {
      if (!terms.has(plain(word[0]))) continue;
      const mark = document.createElement("mark");
      mark.textContent = word[0];
      made.append(text.slice(from, word.index), mark);
      from = word.index + word[0].length;
    }
    made.append(text.slice(from));
    return made;
  }

  function part(tag, classes, ...content) {
    const made = document.createElement(tag);
    made.className = classes;
    made.append(...content);
    return made;
  }

  function result(one) {
    const terms = new Set(one.terms);
    const link = part("a", "fr-result");
    const hits = [...terms].join(" ");
    link.href = `${ROOT}${one.page}.html?find=${encodeURIComponent(hits)}${one.anchor && `#${one.anchor}`}`;
    link.append(
      part("span", "fr-result-title", marked(one.title, terms)),
      part("span", "fr-result-page", one.kind === "page" ? "" : window.fiveRingsIndex.pages[one.page]),
      part("span", "fr-result-text", marked(excerpt(one.text, terms), terms)),
    );
    return part("li", "", link);
  }

  /** Results below a field, in the dialog or on the page. */
  class Results {
    constructor(input) {
      this.input = input;
      this.dialog = input.closest("dialog");
      this.status = part("p", "fr-status");
      this.status.setAttribute("role", "status");
      this.list = part("ol", "fr-results");
      this.list.setAttribute("aria-label", "Results");
      this.more = part("p", "fr-more");
      this.box = part("div", "fr-found", this.status, this.list, this.more);
      input.form.after(this.box);
      input.addEventListener("input", () => this.later());
      input.form.addEventListener("submit", (event) => this.submit(event));
      this.box.parentElement.addEventListener("keydown", (event) => this.key(event));
      engine().catch(() => null); // so that it is there when the first word is; a failure is told then
      this.later();
    }

    later() {
      clearTimeout(this.waiting);
      this.waiting = setTimeout(() => this.show(), 80);
    }

    async show() {
      const query = this.input.value.trim();
      const words = wordsOf(query);
      this.box.classList.toggle("fr-asked", words.length > 0);
      if (!words.length) return this.fill([], "");
      this.status.textContent ||= "Searching";
      try {
        const mini = await engine();
        // Another letter may have been typed while the index was on its way.
        if (query === this.input.value.trim()) this.fill(ranked(mini, query), query);
      } catch (error) {
        this.status.textContent = `The search could not be started: ${error.message} is missing.`;
      }
    }

    fill(found, query) {
      const most = this.dialog ? IN_DIALOG : ON_PAGE;
      this.list.replaceChildren(...found.slice(0, most).map(result));
      this.more.replaceChildren();
      if (!query) {
        this.status.textContent = "";
      } else if (!found.length) {
        this.status.textContent = `Nothing found for “${query}”.`;
        this.more.append(address("book/subject_index.html", "Index"), " and ", address("book/glossary.html", "Glossary"));
        this.more.append(" list what the book treats.");
      } else {
        const shown = found.length > most ? `, the best ${most} of them shown` : "";
        this.status.textContent = `${found.length} ${found.length > 1 ? "places" : "place"} found${shown}`;
        const all = `search.html?q=${encodeURIComponent(query)}`;
        if (found.length > most && this.dialog) this.more.append(address(all, "More results"));
      }
      this.box.dataset.answered = query;
    }

    submit(event) {
      const first = this.list.querySelector("a");
      event.preventDefault();
      if (!this.dialog) location.href = `?q=${encodeURIComponent(this.input.value)}`;
      else if (first && this.box.dataset.answered === this.input.value.trim()) first.click();
      else this.show();
    }

    key(event) {
      const links = [...this.list.querySelectorAll("a")];
      const at = links.indexOf(document.activeElement);
      const onField = document.activeElement === this.input;
      if (event.ctrlKey || event.metaKey || event.altKey || (at < 0 && !onField)) return;
      if (event.key === "ArrowDown" && at + 1 < links.length) links[at + 1].focus();
      else if (event.key === "ArrowUp" && at > 0) links[at - 1].focus();
      else if (event.key === "ArrowUp" && at === 0) this.input.focus();
      else if (event.key.length === 1 && at >= 0 && event.key !== " ") return this.input.focus(); // and type on
      else return;
      event.preventDefault();
    }
  }

  function address(path, text) {
    const link = part("a", "", text);
    link.href = ROOT + path;
    return link;
  }

  /** The blocks of the entry that the address names: its section without the sections in it, or its exercise. */
  function blocksOf(anchor) {
    const article = document.querySelector("article.bd-article");
    const aim = (anchor && document.getElementById(anchor)) || article?.querySelector("section");
    if (!aim || !article.contains(aim)) return [];
    if (aim.matches("section")) return [...aim.children].filter((child) => !child.matches("section"));
    const blocks = [aim];
    for (let next = aim.nextElementSibling; aim.matches("p") && next; next = next.nextElementSibling) {
      if (/^exercise-/.test(next.id) || next.matches("section")) break;
      blocks.push(next);
    }
    return blocks;
  }

  const UNMARKED = ".math, mjx-container, svg, canvas, script, style, button, select, summary, .headerlink";

  /** Mark words on the page; returns the marks. */
  function mark(blocks, terms) {
    const marks = [];
    for (const block of blocks) {
      const texts = document.createTreeWalker(block, NodeFilter.SHOW_TEXT);
      const nodes = [];
      while (texts.nextNode()) nodes.push(texts.currentNode);
      for (const node of nodes) {
        if (node.parentElement.closest(UNMARKED)) continue;
        const made = marked(node.data, terms);
        const inside = [...made.querySelectorAll("mark")];
        if (inside.length) node.replaceWith(made);
        marks.push(...inside);
      }
    }
    marks.forEach((one) => one.classList.add("fr-hit"));
    return marks;
  }

  /** Mark what was sought in the section that opens, bring it into view, and offer to clear the marks. */
  function markFound() {
    const sought = new URLSearchParams(location.search).get("find");
    if (!sought) return;
    const marks = mark(blocksOf(decodeURIComponent(location.hash.slice(1))), new Set(wordsOf(sought)));
    if (!marks.length) return;
    const open = (one) => !one.closest("details:not([open])");
    if (!marks.some(open)) marks[0].closest("details").open = true;
    const first = marks.find(open);
    const show = () => {
      const { top, bottom } = first.getBoundingClientRect();
      if (top < 60 || bottom > innerHeight - 60) first.scrollIntoView({ block: "center" });
    };
    // After the browser has gone to the section. Formulas that are set later do not move what is in view.
    addEventListener("load", () => requestAnimationFrame(show), { once: true });
    const clear = part("button", "fr-clear btn", "Clear");
    clear.type = "button";
    const count = `${marks.length} ${marks.length > 1 ? "words" : "word"} marked`;
    const note = part("div", "fr-marks d-print-none", part("span", "", count), clear);
    note.setAttribute("role", "region");
    note.setAttribute("aria-label", "Words that were sought");
    document.querySelector("#main-content").append(note);
    const away = () => {
      marks.forEach((one) => one.replaceWith(...one.childNodes));
      note.remove();
      document.removeEventListener("keydown", escape);
      try {
        const bare = new URL(location.href);
        bare.searchParams.delete("find");
        history.replaceState(null, "", bare);
      } catch {
        // In a folder a page may not change its address.
      }
    };
    const escape = (event) => {
      if (event.key === "Escape" && !document.querySelector("dialog[open]")) away();
    };
    clear.addEventListener("click", away);
    document.addEventListener("keydown", escape);
  }

  document.addEventListener("DOMContentLoaded", () => {
    const fields = new Map();
    const wake = (input) => fields.has(input) || fields.set(input, new Results(input));
    document.addEventListener("focusin", ({ target }) => target.matches?.(FIELD) && wake(target));
    const own = document.querySelector(`.fr-search ${FIELD}`);
    if (own) {
      own.value = new URLSearchParams(location.search).get("q") ?? "";
      own.focus();
      wake(own);
    }
    markFound();
  });
})();
