"use strict";
// Accuracy at any mix of classes from hits per class: equations in ltbench/report/statistics/mix.py.
const mixing = (() => {
  const Z = 1.959963984540054;  // half a 95 % interval in standard errors

  // Lines "class,share" (or ; or tab) to weights by place; a first line without a number is a heading.
  const parse = (text, names) => {
    const weights = names.map(() => 0);
    const seen = new Set();
    let first = true;
    for (const [n, raw] of text.split(/\r?\n/).entries()) {
      const line = raw.trim();
      if (!line) continue;
      const found = line.match(/^(.*)[,;\t]([^,;\t]*)$/);
      if (!found) return { error: `line ${n + 1}: expected class,share` };
      const quoted = found[1].trim().match(/^"(.*)"$/);
      const name = quoted ? quoted[1].replaceAll('""', '"') : found[1].trim();
      const share = found[2].trim() === "" ? NaN : Number(found[2]);
      if (first && Number.isNaN(share)) { first = false; continue; }
      first = false;
      if (!Number.isFinite(share) || share < 0) return { error: `line ${n + 1}: "${found[2].trim()}" is no number of at least 0` };
      const place = names.indexOf(name);
      if (place < 0) return { error: `line ${n + 1}: no class is called "${name}"` };
      if (seen.has(place)) return { error: `line ${n + 1}: class "${name}" is given twice` };
      seen.add(place);
      weights[place] = share;
    }
    return weights.some((w) => w > 0) ? { weights } : { error: "no class has a share above 0" };
  };

  const shares = (weights) => {
    const total = weights.reduce((a, b) => a + b, 0);
    return weights.map((weight) => weight / total);
  };

  const sum = (values) => values.reduce((a, b) => a + b, 0);

  // Mean in per cent, half of its 95 % interval (null where unknown) and what that is over.
  const accuracy = (row, q) => {
    const asked = q.map((share, c) => c).filter((c) => q[c] > 0);
    if (row.hits.some((hits) => asked.some((c) => hits[c] === null))) return { mean: null, half: null, over: "" };
    const n = (c) => row.sizes === null ? 1 : row.sizes[c];
    const each = row.hits.map((hits) => 100 * sum(asked.map((c) => q[c] * hits[c] / n(c))));
    const mean = sum(each) / each.length;
    if (row.t !== null) {
      const variance = sum(each.map((value) => (value - mean) ** 2)) / (each.length - 1);
      return { mean, half: row.t * Math.sqrt(variance / each.length), over: "seeds" };
    }
    if (row.sizes === null) return { mean, half: null, over: "images" };
    const variance = sum(asked.map((c) => {
      const hits = sum(row.hits.map((own) => own[c])) / row.hits.length;
      const r = (hits + 1) / (n(c) + 2);
      return q[c] ** 2 * r * (1 - r) / (n(c) + 2);
    }));
    return { mean, half: 100 * Z * Math.sqrt(variance), over: "images" };
  };

  const order = (a, b) => a < b ? -1 : a > b ? 1 : 0;

  // All rows, best first; those that are not known come last.
  const rank = (rows, q) => rows.map((row) => ({ row, ...accuracy(row, q) }))
    .sort((a, b) => (b.mean ?? -1) - (a.mean ?? -1) || order(a.row.label, b.row.label));

  return { parse, shares, accuracy, rank };
})();
