// The script of the page: theme, charts, copy buttons, and the document browser. All data is inserted as
// textContent, so that no text can become HTML.
"use strict";
(() => {
  const at = (id) => document.getElementById(id);
  const make = (name, className, text) => {
    const element = document.createElement(name);
    if (className) element.className = className;
    if (text !== undefined) element.textContent = text;
    return element;
  };

  // The theme is that of the system until the button is used. A file:// page may have no storage.
  const root = document.documentElement;
  const remember = (value) => { try { if (value) localStorage.setItem("xmcpipe-theme", value); return localStorage.getItem("xmcpipe-theme"); } catch { return null; } };
  const saved = remember();
  if (saved) root.dataset.theme = saved;
  at("theme").addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    remember(root.dataset.theme);
  });

  // Draw the charts one after another with Vega's interpreter (ast: true), because the policy forbids eval.
  const actions = { export: true, source: false, compiled: false, editor: false };
  const draw = async () => {
    for (const place of document.querySelectorAll(".chart")) {
      const spec = JSON.parse(place.querySelector("script").textContent);
      await vegaEmbed(place, spec, { ast: true, renderer: "svg", actions, tooltip: { theme: "ours" }, scaleFactor: 3, downloadFileName: place.dataset.name });
    }
    root.dataset.charts = "drawn";
  };
  draw();

  // Highlight the section in view in the navigation.
  const links = new Map([...document.querySelectorAll("nav .links a")].map((link) => [link.hash.slice(1), link]));
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      for (const link of links.values()) link.classList.remove("here");
      links.get(entry.target.id)?.classList.add("here");
    }
  }, { rootMargin: "-20% 0px -70% 0px" });
  document.querySelectorAll("main > section").forEach((section) => seen.observe(section));

  // Open folded details for printing, and close them afterwards.
  const folded = [];
  addEventListener("beforeprint", () => {
    for (const details of document.querySelectorAll("main details:not(.chart details, [open])")) { details.open = true; folded.push(details); }
  });
  addEventListener("afterprint", () => { while (folded.length) folded.pop().open = false; });

  for (const button of document.querySelectorAll("[data-copy]")) {
    button.addEventListener("click", async () => {
      const code = button.parentElement.querySelector("code");
      let done = false;
      try { await navigator.clipboard.writeText(code.textContent); done = true; } catch { getSelection().selectAllChildren(code); }
      button.textContent = done ? "Copied" : "Selected";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
  }

  // The document browser: unpack the gzipped columns, search by words and a filter, show one page at a time.
  const PAGE = 20;
  if (at("data")) browse().catch((error) => { at("cards").replaceChildren(make("p", "note", `The documents can't be shown: ${error.message}`)); });

  async function browse() {
    const packed = Uint8Array.from(atob(at("data").textContent), (letter) => letter.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    const data = JSON.parse(await new Response(stream).text());
    const colours = JSON.parse(at("runs").textContent);
    const runs = data.runs;
    const truths = data.truth.map((labels) => new Set(labels));
    const words = new Array(data.ids.length); // the searchable text of each document, built on first use
    let shown = [], page = 0;

    const swatch = (name) => { const element = make("i", "swatch"); element.style.background = colours[name]; return element; };
    const hits = (run, n) => run.labels[n].map((label) => truths[n].has(label));
    const describe = ([name, text]) => (text ? `${name} ${text}` : name);
    const haystack = (n) => (words[n] ??= [
      data.ids[n], data.texts[n] ?? "",
      ...new Set([...data.truth[n], ...runs.flatMap((run) => run.labels[n])].map((label) => describe(data.labels[label]))),
    ].join("\n").toLowerCase());

    const filters = {
      all: () => true,
      nothing: (n) => runs.every((run) => !hits(run, n).some(Boolean)),
      wrong: (n) => runs.every((run) => !hits(run, n)[0]),
      right: (n) => runs.every((run) => hits(run, n)[0]),
      complete: (n) => truths[n].size > 0 && runs.every((run) => hits(run, n).filter(Boolean).length === truths[n].size),
      differ: (n) => runs.some((run) => found(run, n) !== found(runs[0], n)),
    };
    const found = (run, n) => run.labels[n].filter((label) => truths[n].has(label)).sort().join();
    const spread = (n) => { const values = runs.map((run) => run.found[n]); return Math.max(...values) - Math.min(...values); };

    const searchWords = () => at("words").value.toLowerCase().split(/\s+/).filter(Boolean);

    function search() {
      const sought = searchWords(), passes = filters[at("filter").value];
      shown = data.ids.map((_, n) => n).filter((n) => passes(n) && sought.every((word) => haystack(n).includes(word)));
      const order = at("order").value;
      if (order === "easy") shown.reverse();
      if (order === "differ") shown.sort((a, b) => spread(b) - spread(a) || a - b);
      page = 0;
      show(sought);
    }

    function show(sought) {
      const pages = Math.max(1, Math.ceil(shown.length / PAGE));
      at("count").textContent = `${shown.length.toLocaleString("en")} of ${data.ids.length.toLocaleString("en")}`;
      at("page").textContent = `page ${page + 1} of ${pages}`;
      at("previous").disabled = page === 0;
      at("next").disabled = page + 1 >= pages;
      const cards = shown.slice(page * PAGE, (page + 1) * PAGE).map((n) => card(n, sought));
      at("cards").replaceChildren(...(cards.length ? cards : [make("p", "note", "No documents match.")]));
    }

    function card(n, sought) {
      const card = make("article", "card"), text = make("p", "text"), known = make("p", "true");
      text.append(make("span", "id", data.ids[n]));
      highlight(text, data.texts[n] ?? "(the text was deleted)", sought);
      for (const label of data.truth[n]) known.append(truth(label, runs.filter((run) => run.labels[n].includes(label)), sought));
      const sides = make("div", "sides");
      sides.append(...runs.map((run) => side(run, n, sought)));
      card.append(text, known, sides);
      return card;
    }

    // An element for a true label: found by all runs, by some (marked with their colours), or missed by all.
    function truth(label, by, sought) {
      const kind = by.length === runs.length ? "got" : by.length ? "some" : "missed";
      const [name, about] = data.labels[label], place = make("span", `label ${kind}`), word = make("b");
      highlight(word, name, sought);
      place.append(word);
      if (kind === "some") place.append(...by.map((run) => swatch(run.name)));
      const outcome = kind === "missed" ? "missed" : `found by ${by.map((run) => run.name).join(", ")}`;
      place.title = about ? `${about} (${outcome})` : outcome;
      return place;
    }

    function side(run, n, sought) {
      const side = make("div", "side"), list = make("ol"), head = make("h4");
      head.append(swatch(run.name), ` ${run.name}`);
      run.labels[n].forEach((label, place) => {
        const hit = truths[n].has(label), row = make("li", hit ? "hit" : ""), cell = make("span", "label");
        const [name, about] = data.labels[label];
        highlight(cell, name, sought);
        // Many label texts begin with the name of the label: don't show it twice.
        const more = about && (about.startsWith(name) ? about.slice(name.length).replace(/^[:\s]+/, "") : about);
        if (more) {
          const aside = make("i");
          highlight(aside, more, sought);
          cell.append(aside);
        }
        cell.title = describe([name, about]);
        const sign = make("span", "sign", hit ? "✓" : "");
        if (hit) sign.setAttribute("aria-label", "right");
        const score = run.scores[n][place];
        row.append(make("span", "rank", place + 1), sign, cell, make("span", "score", score === null ? "" : score.toPrecision(3)));
        const speaking = run.words?.[n][place] ?? [];
        if (speaking.length) {
          const parts = make("span", "parts");
          highlight(parts, speaking.map(([word, part]) => `${word} +${part.toPrecision(2)}`).join(" · "), sought);
          row.append(parts);
        }
        list.append(row);
      });
      side.append(head, list);
      return side;
    }

    // Append `text` to `place`, with the words of the search highlighted.
    function highlight(place, text, sought) {
      const lower = text.toLowerCase();
      let from = 0;
      while (sought.length && lower.length === text.length) {
        const [start, word] = sought.map((word) => [lower.indexOf(word, from), word]).filter(([start]) => start >= 0).sort((a, b) => a[0] - b[0])[0] ?? [-1];
        if (start < 0) break;
        place.append(text.slice(from, start), make("mark", "", text.slice(start, start + word.length)));
        from = start + word.length;
      }
      place.append(text.slice(from));
    }

    const turn = (by) => { page += by; show(searchWords()); at("search").scrollIntoView({ block: "start" }); };
    at("previous").addEventListener("click", () => turn(-1));
    at("next").addEventListener("click", () => turn(1));
    let waiting;
    at("words").addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(search, 120); });
    for (const id of ["filter", "order"]) at(id).addEventListener("change", search);
    at("search").addEventListener("submit", (event) => { event.preventDefault(); search(); });
    search();
    root.dataset.documents = "shown";
  }
})();
