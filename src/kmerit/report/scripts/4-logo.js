// Score tracks as logos: a letter as tall as its score, over its nucleotide; wrapped into lines like an alignment.
const GLYPHS = {
  // In a box of 100 by 100.
  A: "M0 100L36 0H64L100 100H78L71 77H29L22 100ZM35 60H65L50 15Z",
  C: "M100 32C96 12 78 0 53 0C20 0 0 20 0 50C0 80 20 100 53 100C78 100 96 88 100 66H77C74 77 66 83 53 83C33 83 22 71 22 50C22 29 33 17 53 17C66 17 74 22 77 32Z",
  G: "M100 32C96 12 78 0 53 0C20 0 0 20 0 50C0 80 20 100 53 100C73 100 88 94 100 83V46H52V62H79V75C72 80 64 83 53 83C33 83 22 71 22 50C22 29 33 17 53 17C66 17 74 22 77 32Z",
  T: "M0 0H100V18H61V100H39V18H0Z",
  N: "M0 100V0H24L78 68V0H100V100H76L22 32V100Z",
};
const TALL = 46;
const LABEL = 17;
const TOKEN = 4;
const NAME = 12; // a row of names of motifs
const LETTER = 6.8; // no letter of a name is wider on average

// One line of one track: nucleotides from..to.
function logoLine({ letters, track, mutated, from, to, px, cursor, label, spans, hits }) {
  const rows = spans ? layered(spans, from, to) : [];
  const below = TALL * track.below; // as much as the track's lowest score needs, in every line, on the scale of those above
  const height = LABEL + TALL + below + rows.length * TOKEN + 3;
  const svg = draw("svg", {
    width: (to - from) * px,
    height,
    viewBox: `0 0 ${(to - from) * px} ${height}`,
    class: "logo",
    "aria-hidden": "true",
    focusable: "false",
  });
  const zero = LABEL + TALL;
  for (const hit of hits)
    if (hit.end > from && hit.start < to) {
      const [a, b] = [Math.max(hit.start, from), Math.min(hit.end, to)];
      svg.append(
        draw("rect", { class: "hit", x: (a - from) * px, y: LABEL - 3, width: (b - a) * px, height: TALL + below + 3 }),
      );
    }
  for (let i = from; i < to; i++)
    if (mutated.has(i))
      svg.append(
        draw("rect", {
          class: "mutated",
          "data-position": i,
          x: (i - from) * px,
          y: LABEL,
          width: px,
          height: TALL + below,
        }),
      );
  if (cursor >= from && cursor < to)
    svg.append(
      draw("rect", { class: "cursor", x: (cursor - from) * px, y: LABEL - 4, width: px, height: height - LABEL + 4 }),
    );
  for (let i = from; i < to; i++) {
    const value = track.values[i];
    if (!Number.isFinite(value) || value === 0 || !track.scale) continue;
    const tall = (Math.abs(value) / track.scale) * TALL;
    const top = value > 0 ? zero - tall : zero;
    svg.append(
      draw("path", {
        class: `base ${letters[i]}${value < 0 ? " negative" : ""}`,
        "data-position": i,
        "data-score": value,
        d: GLYPHS[letters[i]],
        transform: `translate(${(i - from) * px + px * 0.04} ${top}) scale(${(px * 0.92) / 100} ${tall / 100})`,
      }),
    );
  }
  svg.append(draw("line", { class: "zero", x1: 0, x2: (to - from) * px, y1: zero, y2: zero }));
  rows.forEach((tokens, r) => {
    for (const [a, b] of tokens) {
      const hit = touched([a, b], mutated);
      const [start, end] = [Math.max(a, from), Math.min(b, to)];
      svg.append(
        draw("rect", {
          class: hit ? "token changed" : "token",
          x: (start - from) * px + 0.5,
          y: zero + below + 3 + r * TOKEN,
          width: (end - start) * px - 1,
          height: TOKEN - 1,
        }),
      );
    }
  });
  if (label) svg.append(draw("text", { x: 0, y: 11, class: "label" }, label));
  return svg;
}

function touched([start, end], mutated) {
  for (let i = start; i < end; i++) if (mutated.has(i)) return true;
  return false;
}

// Spans in as few rows as keep them apart: k of them for overlapping k-mers.
function layered(spans, from, to) {
  const last = [],
    rows = [];
  for (const span of spans) {
    let r = last.findIndex((end) => end <= span[0]);
    if (r < 0) r = last.length;
    last[r] = span[1];
    (rows[r] ??= []).push(span);
  }
  return rows.map((row) => row.filter(([a, b]) => b > from && a < to));
}

// Hits that overlap are one site: it is named once, by its best hit, and counts the other names.
function sites(hits) {
  const found = [];
  for (const hit of [...hits].sort((a, b) => a.start - b.start || b.end - a.end)) {
    const last = found.at(-1);
    if (last && hit.start < last.end) {
      last.end = Math.max(last.end, hit.end);
      last.hits.push(hit);
    } else found.push({ start: hit.start, end: hit.end, hits: [hit] });
  }
  return found.map(({ start, end, hits: own }) => {
    const best = own.reduce((a, b) => (b.score > a.score ? b : a));
    const more = new Set(own.map((hit) => hit.motif)).size - 1;
    return { start, end, name: more ? `${best.motif} +${more}` : best.motif };
  });
}

// The names of the sites on a line, in as few rows as keep them apart.
function namesOf(hits, from, to, px) {
  const taken = [];
  return sites(hits)
    .filter((site) => site.end > from && site.start < to)
    .map((site) => {
      const width = site.name.length * LETTER;
      const x = Math.max(0, Math.min((Math.max(site.start, from) - from) * px, (to - from) * px - width));
      let row = taken.findIndex((end) => end <= x);
      if (row < 0) row = taken.length;
      taken[row] = x + width + LETTER;
      return { name: site.name, x, row, end: x + width };
    });
}

// The letters themselves, with their positions above, and above these the names of motifs.
function rulerLine({ letters, from, to, px, cursor, hits }) {
  const names = namesOf(hits, from, to, px);
  const above = NAME * (1 + Math.max(-1, ...names.map(({ row }) => row)));
  const width = Math.max((to - from) * px, ...names.map(({ end }) => end)); // a name may be longer than the last line
  const svg = draw("svg", {
    width,
    height: above + 34,
    viewBox: `0 0 ${width} ${above + 34}`,
    class: "ruler",
    "aria-hidden": "true",
    focusable: "false",
  });
  for (const { name, x, row } of names) svg.append(draw("text", { x, y: 10 + NAME * row, class: "label motif" }, name));
  for (let i = from; i < to; i++) {
    if (i % 10 === 0)
      svg.append(
        draw("text", { x: (i - from) * px, y: above + 10, class: "label" }, String(i)),
        draw("line", {
          class: "zero",
          x1: (i - from) * px + 0.5,
          x2: (i - from) * px + 0.5,
          y1: above + 13,
          y2: above + 17,
        }),
      );
  }
  if (cursor >= from && cursor < to)
    svg.append(draw("rect", { class: "cursor", x: (cursor - from) * px, y: above + 17, width: px, height: 17 }));
  for (let i = from; i < to; i++) {
    const tall = Math.min(12, px * 1.35);
    svg.append(
      draw("path", {
        class: `base ${letters[i]}`,
        d: GLYPHS[letters[i]],
        transform: `translate(${(i - from) * px + px * 0.1} ${above + 32 - tall}) scale(${(px * 0.8) / 100} ${tall / 100})`,
      }),
    );
  }
  return svg;
}
