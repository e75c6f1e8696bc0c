// The control "Your mix": sliders for few classes, a pasted list for any number.
const mixBox = ({ make, sample, data }) => (box) => {
  const MOST = 20;  // classes with sliders
  const { mix, trials } = data[box.dataset.part];
  const lists = [...box.closest("section").querySelectorAll(".trials > details")];
  const list = new Map(trials.map((row, n) => [row.label, lists[n].id]));
  const text = box.querySelector("textarea");
  const wrong = box.querySelector(".wrong");
  const sliders = [];
  let weights = mix.names.map(() => 1);

  const percent = (share) => `${(100 * share).toPrecision(3)} %`;

  const show = () => {
    const q = mixing.shares(weights);
    sliders.forEach(([input, output], c) => {
      output.textContent = percent(q[c]);
      input.setAttribute("aria-valuetext", `${mix.names[c]} ${percent(q[c])}`);
    });
    const absent = q.filter((share) => share === 0).length;
    box.querySelector(".absent").textContent = absent ? `Share 0 for ${absent} of ${q.length} classes.` : "";
    let place = 0;
    box.querySelector("tbody").replaceChildren(...mixing.rank(mix.rows, q).map(({ row, mean, half, over }) => {
      const line = make("tr");
      const name = make("td");
      name.append(sample(row), make("a", row.label, { href: `#${list.get(row.label)}`, title: "Its trials" }));
      const score = make("td", mean === null ? "–" : mean.toFixed(1));
      if (half !== null) score.append(make("small", ` ±${half.toFixed(1)}`));
      const cell = make("td", undefined, { class: "wide" });
      const bar = make("div", undefined, { class: "bar" });
      bar.style.width = `${mean ?? 0}%`;
      bar.style.setProperty("--colour", row.colour);
      cell.append(bar);
      line.append(make("td", mean === null ? "–" : String(++place)), name, score, cell);
      line.append(make("td", mean === null ? "no test images" : half === null ? "" : `over ${over}`));
      return line;
    }));
  };

  // What is said in one place is said in the other.
  const write = () => {
    const q = mixing.shares(weights);
    text.value = mix.names.map((name, c) => [name, q[c]]).filter(([, share]) => share > 0)
      .map(([name, share]) => `${name},${Number(share.toPrecision(6))}`).join("\n");
    wrong.textContent = "";
    show();
  };

  const slide = () => {
    const q = mixing.shares(weights);
    sliders.forEach(([input], c) => { input.value = 100 * q[c]; });
  };

  if (mix.names.length <= MOST) {
    mix.names.forEach((name, c) => {
      const label = make("label");
      const input = make("input", undefined, { type: "range", min: "0", max: "100", step: "any" });
      const output = make("output");
      label.append(make("span", name), input);
      const line = make("div");
      line.append(label, output);
      input.addEventListener("input", () => {
        const next = weights.map((weight, k) => k === c ? Number(input.value) : Number(sliders[k][0].value));
        if (!next.some((weight) => weight > 0)) return;
        weights = next;
        write();
      });
      sliders.push([input, output]);
      box.querySelector(".sliders").append(line);
    });
  }
  text.addEventListener("input", () => {
    const found = mixing.parse(text.value, mix.names);
    wrong.textContent = found.error ?? "";
    if (found.error) return;
    weights = found.weights;
    slide();
    show();
  });
  const presets = [["uniform", mix.names.map(() => 1)], ["as in training", mix.train]];
  for (const [name, preset] of presets) {
    const button = make("button", name, { type: "button" });
    button.addEventListener("click", () => { weights = [...preset]; slide(); write(); });
    box.querySelector(".presets").append(button);
  }
  box.hidden = false;
  slide();
  write();
};
