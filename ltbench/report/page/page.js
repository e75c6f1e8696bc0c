// Plain scripts, no library: sorting, filtering, the shift control and the details of trials.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);

  const make = (tag, text, attributes) => {
    const node = document.createElement(tag);
    if (text !== undefined) node.textContent = text;
    for (const [key, value] of Object.entries(attributes || {})) node.setAttribute(key, value);
    return node;
  };

  // ---- tables: click or Enter on a header sorts each block of rows; the filter hides rows -------
  const sortable = (table) => {
    table.querySelectorAll("thead th").forEach((head, place) => {
      const button = make("button", head.textContent, { type: "button" });
      head.textContent = "";
      head.append(button);
      button.addEventListener("click", () => {
        const text = head.classList.contains("text");
        const first = text ? "ascending" : "descending";
        const other = text ? "descending" : "ascending";
        const direction = head.getAttribute("aria-sort") === first ? other : first;
        table.querySelectorAll("th[aria-sort]").forEach((th) => th.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", direction);
        const sign = direction === "ascending" ? 1 : -1;
        for (const body of table.tBodies) {
          const rows = [...body.rows].filter((row) => !row.classList.contains("block"));
          rows.map((row) => [row, row.cells[place]]).sort(([, a], [, b]) => {
            const x = a.dataset.sort || "", y = b.dataset.sort || "";
            if (x !== "" && y !== "") return sign * (Number(x) - Number(y) || 0);  // two infinities: no difference
            if (x !== "" || y !== "") return x === "" ? 1 : -1;
            return sign * a.textContent.localeCompare(b.textContent, undefined, { numeric: true });
          }).forEach(([row]) => body.append(row));
        }
      });
    });
  };

  const filterable = (details) => {
    const tools = details.querySelector(".tools");
    const rows = [...details.querySelectorAll("tbody tr:not(.block)")];
    if (rows.length < 4) return;
    tools.hidden = false;
    const count = tools.querySelector(".count");
    tools.querySelector("input").addEventListener("input", (event) => {
      const words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const row of rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.every((word) => text.includes(word));
        shown += row.hidden ? 0 : 1;
      }
      count.textContent = words.length ? `${shown} of ${rows.length} rows` : "";
    });
  };

  document.querySelectorAll("table.data").forEach(sortable);
  document.querySelectorAll("details.table").forEach(filterable);

  // ---- shift: forward over uniform to backward --------------------------------------------------
  // Class weights of imbalance ratio exp(|x|): ratio ** (-place / (classes - 1)), reversed for x > 0.
  const prior = (place, x) => {
    const classes = place.filter((p) => p !== null).length;
    const last = Math.max(1, classes - 1);
    const weights = place.map((p) => p === null ? 0 : Math.exp(-Math.abs(x) * (x > 0 ? last - p : p) / last));
    const total = weights.reduce((a, b) => a + b, 0);
    return weights.map((weight) => weight / total);
  };

  const interpolate = (tests, top1, x) => {
    const known = tests.map((test, i) => [test.x, top1[i]]).filter(([, y]) => y !== null).sort((a, b) => a[0] - b[0]);
    if (!known.length || x < known[0][0] - 1e-9 || x > known[known.length - 1][0] + 1e-9) return null;
    for (let i = 0; i < known.length; i++) {
      const [x1, y1] = known[i];
      if (Math.abs(x - x1) < 1e-9) return y1;
      if (x < x1) {
        const [x0, y0] = known[i - 1];
        return y0 + (y1 - y0) * (x - x0) / (x1 - x0);
      }
    }
    return known[known.length - 1][1];
  };

  // Stored, where the place is that of a test set; else from the recalls or between the stored ones.
  const accuracy = (shift, row, x, stop, weights) => {
    if (stop >= 0 && row.top1[stop] !== null) return [row.top1[stop], "stored"];
    if (!row.recalls) return [interpolate(shift.tests, row.between, x), "interpolated"];
    return [reweighted(row, weights), "ideal prior"];
  };

  const reweighted = (row, weights) => {
    let sum = 0;
    for (let c = 0; c < weights.length; c++) if (weights[c] > 0) {
      if (row.recalls[c] === null) return null;
      sum += weights[c] * row.recalls[c];
    }
    return sum;
  };

  const where = (x) => {
    const ratio = Math.exp(Math.abs(x));
    if (ratio < 1.005) return "uniform";
    return `${x < 0 ? "forward" : "backward"}, imbalance ratio ${ratio < 10 ? ratio.toFixed(1) : ratio.toFixed(0)}`;
  };

  // ---- looks: line and marker as in the figure over the shift -----------------------------------
  const MARKERS = {
    o: "M9.5 6a3.5 3.5 0 1 0 7 0 3.5 3.5 0 1 0-7 0z", s: "M10 3h6v6h-6z", "^": "M13 2.5l3.5 7h-7z",
    v: "M13 9.5l3.5-7h-7z", D: "M13 2l4 4-4 4-4-4z", P: "M12 2.5h2v2.5h2.5v2h-2.5v2.5h-2v-2.5h-2.5v-2h2.5z",
    X: "M11.2 2.5l1.8 1.8 1.8-1.8 1.7 1.7-1.8 1.8 1.8 1.8-1.7 1.7-1.8-1.8-1.8 1.8-1.7-1.7 1.8-1.8-1.8-1.8z",
    "*": "M13 1.5l1.1 3.2h3.4l-2.7 2 1 3.3-2.8-2-2.8 2 1-3.3-2.7-2h3.4z",
  };

  const draw = (tag, attributes) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    return node;
  };

  const sample = (row) => {
    const svg = draw("svg", { class: "look", viewBox: "0 0 26 12", "aria-hidden": "true" });
    const dashes = row.true_prior ? [1, 1.2] : row.dashes;
    svg.append(
      draw("path", { d: "M0 6h26", stroke: row.colour, "stroke-width": 1.6, "stroke-dasharray": dashes.map((n) => n * 1.6).join(" ") || "none" }),
      draw("path", { d: MARKERS[row.marker] || MARKERS.o, stroke: row.colour, fill: row.true_prior ? "#fff" : row.colour }),
    );
    return svg;
  };

  // A place that a pointer is near enough to, or that a key would pass, is where the control stops.
  const NEAR = 0.018;

  const snapped = (places, from, to, span, by) => {
    if (by === "pointer") return places.find((place) => Math.abs(place - to) < NEAR * span) ?? to;
    if (by !== "key") return to;
    const passed = places.filter((place) => (place - from) * (place - to) < 0 || Math.abs(place - to) < 1e-9);
    return passed.length ? passed.reduce((a, b) => Math.abs(b - from) < Math.abs(a - from) ? b : a) : to;
  };

  const setUp = (box) => {
    const { shift, notes, trials } = data[box.dataset.part];
    const section = box.closest("section");
    const lists = [...section.querySelectorAll(".trials > details")];
    const list = new Map(trials.map((row, n) => [row.label, lists[n].id]));
    const range = box.querySelector("input[type=range]");
    const ends = shift.tests.map((test) => test.x);
    range.min = Math.min(...ends);
    range.max = Math.max(...ends);
    const live = box.querySelector("[aria-live]");
    const stops = box.querySelector(".stops");
    let timer = 0;
    let current = 0;
    const show = () => {
      const x = current;
      const stop = shift.tests.findIndex((test) => Math.abs(test.x - x) < 1e-6);
      const text = where(x) + (stop >= 0 && shift.tests[stop].x ? ` (${shift.tests[stop].short})` : "");
      box.querySelector("output").textContent = text;
      range.setAttribute("aria-valuetext", text);
      const weights = prior(shift.place, x);
      const told = box.querySelector(".with-prior").checked;
      const ranked = shift.rows.filter((row) => told || !row.true_prior)
        .map((row) => [row, accuracy(shift, row, x, stop, weights)]).map(([row, [score, how]]) => ({ row, score, how }))
        .sort((a, b) => (b.score === null ? -1 : b.score) - (a.score === null ? -1 : a.score));
      let place = 0;
      const lines = ranked.map(({ row, score, how }) => {
        const line = make("tr");
        const name = make("td");
        name.append(sample(row), make("a", row.label, { href: `#${list.get(row.label)}`, title: "Its trials" }));
        for (const [sign, note] of notes[row.label] || []) name.append(note ? make("a", sign, { href: `#${note}`, class: "mark", title: "Footnote" }) : sign);
        if (row.true_prior) name.append(" (knows the prior)");
        line.append(make("td", row.true_prior || score === null ? "–" : String(++place)), name);
        line.append(make("td", score === null ? "–" : score.toFixed(1)));
        const cell = make("td", undefined, { class: "wide" });
        const bar = make("div", undefined, { class: `bar${row.true_prior ? " told" : how === "interpolated" ? " interpolated" : ""}` });
        bar.style.width = `${score === null ? 0 : score}%`;
        bar.style.setProperty("--colour", row.colour);
        cell.append(bar);
        line.append(cell, make("td", how));
        return line;
      });
      box.querySelector("tbody").replaceChildren(...lines);
      for (const button of stops.children) {
        button.setAttribute("aria-pressed", String(stop >= 0 && Number(button.dataset.x) === shift.tests[stop].x));
      }
      choose(section.querySelector("table[data-name=main]"), stop < 0 ? "" : shift.tests[stop].name);
      clearTimeout(timer);
      const first = ranked.find(({ row }) => !row.true_prior);
      timer = setTimeout(() => {
        live.textContent = first && first.score !== null ? `${text}: first ${first.row.label}, ${first.score.toFixed(1)} per cent` : text;
      }, 600);
    };
    const go = (x) => { current = x; range.value = x; show(); };
    const places = [...ends].sort((a, b) => a - b);
    const span = range.max - range.min;
    for (const test of shift.tests) {
      const button = make("button", test.short, { type: "button", "data-x": test.x, "aria-pressed": "false" });
      button.addEventListener("click", () => go(test.x));
      stops.append(button);
      const tick = make("span");
      tick.style.setProperty("--at", (test.x - range.min) / span);
      box.querySelector(".ticks").append(tick);
    }
    let by = "";
    range.addEventListener("pointerdown", () => { by = "pointer"; });
    for (const end of ["pointerup", "pointercancel", "change", "blur"]) range.addEventListener(end, () => { by = ""; });
    range.addEventListener("keydown", (event) => {
      const next = {
        PageUp: places.find((place) => place > current + 1e-6),
        PageDown: places.findLast((place) => place < current - 1e-6),
      };
      if (!(event.key in next)) { by = "key"; return; }
      event.preventDefault();
      if (next[event.key] !== undefined) go(next[event.key]);
    });
    range.addEventListener("input", () => {
      const to = Number(range.value);
      const x = snapped(places, current, to, span, by);
      if (by === "key") by = "";
      if (x === to) { current = x; show(); } else go(x);
    });
    box.querySelector(".with-prior").addEventListener("change", show);
    box.hidden = false;
    go(0);
  };

  // The column of the chosen test set in the table below, brought beside the names where it is narrow.
  const choose = (table, key) => {
    if (!table) return;
    const heads = [...table.tHead.rows[0].cells];
    const place = heads.findIndex((head) => head.dataset.key === key);
    for (const row of table.querySelectorAll("tr:not(.block)")) {
      [...row.cells].forEach((cell, n) => cell.classList.toggle("chosen", n === place && n > 0));
    }
    const gap = place > 0 && heads[place].getBoundingClientRect().left - heads[0].getBoundingClientRect().right;
    if (place > 0) table.parentElement.scrollLeft += gap - 4;
  };

  // ---- trials: filled when opened, since there may be thousands ---------------------------------
  const facts = (entries) => {
    const list = make("dl");
    for (const [key, value] of entries) list.append(make("dt", key), make("dd", typeof value === "number" ? value.toLocaleString("en") : String(value)));
    return list;
  };

  const fill = (details, row) => {
    for (const failure of row.failures) {
      details.append(make("h4", `Seed ${failure.seed}: ${failure.status}`), facts([["error", failure.error || "none recorded"]]));
    }
    for (const trial of row.trials) {
      const scores = Object.entries(trial.top1).map(([name, value]) => `${name} ${value === null ? "–" : value.toFixed(1)}`);
      details.append(make("h4", `Seed ${trial.facts.seed}`), facts([...Object.entries(trial.facts), ["top-1 %", scores.join(", ")]]));
    }
  };

  const listTrials = (box) => {
    const rows = data[box.dataset.part].trials;
    box.querySelectorAll(":scope > details").forEach((details, n) => {
      details.addEventListener("toggle", () => {
        if (details.open && !details.dataset.filled) { details.dataset.filled = "1"; fill(details, rows[n]); }
      });
    });
  };

  // A link into something closed opens it; one to a list of trials gives it the focus.
  const reveal = (id) => {
    const target = id && document.getElementById(id);
    if (!target) return null;
    for (let outer = target.closest("details"); outer; outer = outer.parentElement.closest("details")) outer.open = true;
    const summary = target.tagName === "DETAILS" && target.querySelector("summary");
    target.scrollIntoView({ block: summary ? "start" : "center" });
    if (summary) summary.focus();
    return target;
  };

  const named = (hash) => { try { return decodeURIComponent(hash.slice(1)); } catch { return hash.slice(1); } };

  document.addEventListener("click", (event) => {
    const link = event.target.closest?.('a[href^="#"]');
    if (!link || !link.closest("main") || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const hash = link.getAttribute("href");
    const target = document.getElementById(named(hash));
    if (!target) return;
    event.preventDefault();
    location.hash = hash;  // goes into the history and marks the target
    reveal(target.id);
  });
  window.addEventListener("hashchange", () => reveal(named(location.hash)));

  document.querySelectorAll(".shift").forEach(setUp);
  document.querySelectorAll(".mix").forEach(mixBox({ make, sample, data }));
  document.querySelectorAll(".trials").forEach(listTrials);
  reveal(named(location.hash));
  document.documentElement.dataset.ready = "yes";
})();
