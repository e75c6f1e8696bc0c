"use strict";
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

  const accuracy = (shift, row, x, weights) => {
    if (!row.recalls) return interpolate(shift.tests, row.top1, x);
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

  const setUp = (box) => {
    const shift = data[box.dataset.part].shift;
    const range = box.querySelector("input[type=range]");
    const ends = shift.tests.map((test) => test.x);
    range.min = Math.min(...ends);
    range.max = Math.max(...ends);
    const live = box.querySelector("[aria-live]");
    const stops = box.querySelector(".stops");
    let timer = 0;
    let current = 0;
    const draw = () => {
      const x = current;
      const text = where(x);
      box.querySelector("output").textContent = text;
      range.setAttribute("aria-valuetext", text);
      const weights = prior(shift.place, x);
      const told = box.querySelector(".with-prior").checked;
      const ranked = shift.rows.filter((row) => told || !row.true_prior)
        .map((row) => ({ row, score: accuracy(shift, row, x, weights) }))
        .sort((a, b) => (b.score === null ? -1 : b.score) - (a.score === null ? -1 : a.score));
      let place = 0;
      const lines = ranked.map(({ row, score }) => {
        const line = make("tr");
        const how = row.recalls ? "ideal prior" : "interpolated";
        line.append(make("td", row.true_prior || score === null ? "–" : String(++place)), make("td", row.label + (row.true_prior ? " (knows the prior)" : "")));
        line.append(make("td", score === null ? "–" : score.toFixed(1)));
        const cell = make("td", undefined, { class: "wide" });
        const bar = make("div", undefined, { class: row.recalls ? "bar" : "bar interpolated" });
        bar.style.width = `${score === null ? 0 : score}%`;
        cell.append(bar);
        line.append(cell, make("td", how));
        return line;
      });
      box.querySelector("tbody").replaceChildren(...lines);
      for (const button of stops.children) {
        button.setAttribute("aria-pressed", String(Math.abs(Number(button.dataset.x) - x) < 0.005));
      }
      clearTimeout(timer);
      const first = ranked.find(({ row }) => !row.true_prior);
      timer = setTimeout(() => {
        live.textContent = first && first.score !== null ? `${text}: first ${first.row.label}, ${first.score.toFixed(1)} per cent` : text;
      }, 600);
    };
    for (const test of shift.tests) {
      const button = make("button", test.short, { type: "button", "data-x": test.x, "aria-pressed": "false" });
      button.addEventListener("click", () => { current = test.x; range.value = test.x; draw(); });
      stops.append(button);
    }
    range.addEventListener("input", () => { current = Number(range.value); draw(); });
    box.querySelector(".with-prior").addEventListener("change", draw);
    box.hidden = false;
    range.value = 0;
    draw();
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
    const opened = new Map();
    for (const row of data[box.dataset.part].trials) {
      const details = make("details");
      const failed = row.failures.length ? `, ${row.failures.length} without result` : "";
      details.append(make("summary", `${row.label}: ${row.trials.length} trial${row.trials.length === 1 ? "" : "s"}${failed}`));
      details.addEventListener("toggle", () => {
        if (details.open && !details.dataset.filled) { details.dataset.filled = "1"; fill(details, row); }
      });
      opened.set(row.label, details);
      box.append(details);
    }
    for (const row of box.closest("section").querySelectorAll("table.data tr[data-row]")) {
      const cell = row.cells[0];
      const details = opened.get(row.dataset.row);
      const button = make("button", cell.textContent, { type: "button", title: "Details of its trials" });
      cell.textContent = "";
      cell.append(button);
      button.addEventListener("click", () => {
        details.open = true;
        details.scrollIntoView({ block: "start" });
        details.querySelector("summary").focus();
      });
    }
  };

  document.querySelectorAll(".shift").forEach(setUp);
  document.querySelectorAll(".trials").forEach(listTrials);
  document.documentElement.dataset.ready = "yes";
})();
