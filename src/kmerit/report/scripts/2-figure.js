// Figure 1, to be explored: a panel for each class, a line for each score.
const MEASURES = {
  accuracy: { title: "accuracy", low: "low", high: "high", unit: true },
  probability: { title: "probability of the explained class", low: "probability_low", high: "probability_high", unit: true },
  logit: { title: "logit of the explained class", low: "logit_low", high: "logit_high" },
  accuracy_correct: { title: "accuracy of those first called right", unit: true },
  flip_rate: { title: "share whose answer flipped", low: "flip_rate_low", high: "flip_rate_high", unit: true },
  tokens_changed: { title: "tokens changed" },
  gc_shift: { title: "change of GC content" },
};

function figure(root) {
  const { groups, methods } = data.chart;
  const names = methods.map((method) => method.name);
  const designs = [...new Set(groups.flatMap((group) => group.designs.map((design) => design.name)))];
  const known = Object.keys(MEASURES).filter((measure) => groups.some((group) => group.designs.some((design) => design.cells.some((cell) => cell[measure] !== null))));
  Object.assign(view.defaults, { on: listed(names), class: "", y: known[0] ?? "accuracy", x: "n", design: designs[0] ?? "", ci: "end", random: "on" });

  const panels = make("div", { class: "panels" });
  const note = make("p", { class: "quiet", role: "status" });
  const table = make("div", { class: "scroll", role: "region", tabindex: 0, "aria-label": "The numbers of this chart" });
  const details = make("details", { class: "numbers" }, make("summary", {}, "The numbers of this chart"), table);
  details.addEventListener("toggle", () => details.open && fillTable());
  const controls = make("div", { class: "controls" });

  function build() {
    controls.replaceChildren(
      switches("on", names, "Scores shown", update),
      make("div", { class: "row" },
        select("y", "Show", known.map((measure) => [measure, MEASURES[measure].title]), update),
        select("x", "against", [["n", "nucleotides replaced"], ["tokens_changed", "tokens changed"]], update),
        select("class", "of", [["", "every class"], ...groups.map((group) => [group.id, group.title])], update),
        designs.length > 1 ? select("design", "Trial", designs.map((design) => [design, design]), update) : null,
        select("ci", "95 % intervals", [["end", "where scores are compared"], ["every", "at every n"], ["off", "none"]], update),
        groups.some((group) => group.random) ? tick("random", "random control", update) : null));
  }

  function shown() {
    const one = view.get("class");
    return groups.filter((group) => !one || group.id === one).map((group) => ({ ...group, cells: group.designs.find((design) => design.name === view.get("design"))?.cells ?? [] }));
  }

  function update() {
    const measure = MEASURES[view.get("y")] ? view.get("y") : "accuracy";
    const list = shown();
    panels.classList.toggle("single", list.length === 1);
    panels.replaceChildren();
    const domain = extent(list, measure);
    for (const group of list) panels.append(panel(group, measure, domain, panels, list.length));
    const about = MEASURES[measure];
    const bare = view.get("ci") !== "off" && !(about.low && list.some((group) => group.cells.some((cell) => cell[about.low] !== null)));
    note.textContent = bare ? `No interval was computed of the ${about.title}.` : "";
    if (details.open) fillTable();
  }

  function fillTable() {
    const measure = view.get("y");
    const on = view.list("on");
    const head = ["class", "score", "n", MEASURES[measure].title, ...(MEASURES[measure].low ? ["95 % interval"] : []), ...(measure === "tokens_changed" ? [] : ["tokens changed"])];
    const body = shown().flatMap((group) => group.cells.filter((cell) => on.includes(cell.method) || (cell.method === "random" && view.get("random") === "on")).map((cell) => [
      group.title, cell.method, cell.full ? "all" : cell.n, fixed(cell[measure]), ...(MEASURES[measure].low ? [interval(cell, measure)] : []), ...(measure === "tokens_changed" ? [] : [fixed(cell.tokens_changed, 0)])]));
    table.replaceChildren(make("table", {}, make("thead", {}, make("tr", {}, head.map((text) => make("th", { scope: "col" }, text)))),
      make("tbody", {}, body.map((row) => make("tr", {}, row.map((text, i) => (i < 2 ? make("th", { scope: "row" }, String(text)) : make("td", {}, String(text)))))))));
  }

  build();
  root.replaceChildren(controls, panels, note, linkButton("figure1"), details);
  update();
  return { update, rebuild: () => (build(), update()) };
}

function interval(cell, measure) {
  const { low, high } = MEASURES[measure];
  return low && cell[low] !== null && cell[high] !== null ? `[${fixed(cell[low])}, ${fixed(cell[high])}]` : DASH;
}

function extent(list, measure) {
  const { low, high, unit } = MEASURES[measure];
  const values = list.flatMap((group) => group.cells.flatMap((cell) => [cell[measure], cell[low] ?? null, cell[high] ?? null])).filter((value) => value !== null && value !== undefined);
  if (!values.length) return [0, 1];
  const least = Math.min(...values), most = Math.max(...values);
  if (unit) return [Math.max(0, Math.floor(least * 10 - 1e-9) / 10), Math.min(1, Math.ceil(most * 10 + 1e-9) / 10)];
  return [Math.min(0, least), Math.max(0, most)];
}

function panel(group, measure, domain, parent, count) {
  const along = view.get("x");
  const on = view.list("on");
  const cells = group.cells.filter((cell) => cell[measure] !== null && cell[along] !== null);
  const last = Math.max(1, ...cells.filter((cell) => !cell.full).map((cell) => cell.n));
  const gap = last * 1.2; // where "all" stands, beyond a break in the axis
  const place = (cell) => (along === "n" ? (cell.full ? gap : cell.n) : cell.tokens_changed);
  const { low, high, title } = MEASURES[measure];
  const ranged = (list) => (low ? list.filter((cell) => cell[low] !== null && cell[high] !== null) : []);
  const of = (method) => cells.filter((cell) => cell.method === method && !cell.full).sort((a, b) => a.n - b.n);
  const random = view.get("random") === "on" ? of("random") : [];
  const full = cells.find((cell) => cell.full && cell.method !== "random") ?? cells.find((cell) => cell.full);
  const methods = on.filter((name) => of(name).length);
  const width = Math.max(260, count === 1 || !wide() ? parent.clientWidth : Math.floor((parent.clientWidth - 28) / 2));
  const counts = [...new Set(cells.filter((cell) => !cell.full).map((cell) => cell.n))].sort((a, b) => a - b);
  const spread = 3.2;
  const marks = [
    Plot.areaY(ranged(random), { x: place, y1: low ?? "n", y2: high ?? "n", fill: "var(--band)" }),
    Plot.line(random, { x: place, y: measure, stroke: "var(--quiet)", strokeDasharray: "5 3", strokeWidth: 1.4 }),
    full ? Plot.ruleY([full], { y: measure, strokeDasharray: "1.5 3", strokeWidth: 1 }) : null,
    ...methods.map((name) => Plot.line(of(name), { x: place, y: measure, stroke: colour(name), strokeWidth: 2 })),
    ...methods.flatMap((name, i) => {
      const dx = along === "n" ? (i - (methods.length - 1) / 2) * spread : 0;
      const bars = ranged(of(name)).filter((cell) => (view.get("ci") === "every" ? cell.n > 0 : cell.n === group.compared && view.get("ci") === "end"));
      return [Plot.ruleX(bars, { x: place, y1: low ?? "n", y2: high ?? "n", dx, stroke: colour(name), strokeOpacity: view.get("ci") === "every" ? 0.55 : 0.9, strokeWidth: 1.4 })];
    }),
    ...methods.map((name) => Plot.dot(of(name), { x: place, y: measure, fill: colour(name), stroke: "var(--paper)", strokeWidth: 0.8, r: 4, symbol: symbol(name) })),
    full && view.get("ci") !== "off" ? Plot.ruleX(ranged([full]), { x: place, y1: low ?? "n", y2: high ?? "n", strokeWidth: 1.3 }) : null,
    full ? Plot.dot([full], { x: place, y: measure, fill: "currentColor", r: 3.6 }) : null,
    Plot.tip([...methods.flatMap(of), ...random, ...(full ? [full] : [])], Plot.pointer({ x: place, y: measure, title: (cell) => told(cell, measure), fill: "var(--paper)", stroke: "var(--rule)" })),
  ];
  const far = along === "n" ? { domain: [0, full ? gap * 1.02 : last], ticks: [...counts.filter((n) => n === 0 || n >= last * 0.12), ...(full ? [gap] : [])], tickFormat: (x) => (x === gap ? "all" : String(x)) } : { nice: true, zero: true };
  const chart = Plot.plot({
    width, height: count === 1 && wide() ? 380 : 270, marginLeft: 46, marginRight: 18, marginTop: 14, marginBottom: 38, style: { background: "none", fontSize: "12px", overflow: "visible" },
    x: { ...far, label: along === "n" ? "nucleotides replaced" : "tokens changed", labelAnchor: "center", labelArrow: "none" },
    y: { domain, grid: true, label: null, tickFormat: (y) => fixed(y, MEASURES[measure].unit ? 1 : 2), ticks: d3.ticks(...domain, 5) },
    marks,
  });
  chart.setAttribute("role", "img");
  chart.setAttribute("aria-label", `${group.title}: ${title} against ${along === "n" ? "nucleotides replaced" : "tokens changed"}. ${methods.map((name) => { const end = of(name).at(-1); return `${name} ends at ${fixed(end[measure])} with ${end.n} replaced`; }).join("; ")}. The numbers stand in the table below.`);
  return make("figure", { class: "panel", "data-group": group.id }, make("figcaption", {}, make("strong", {}, group.title), make("span", { class: "quiet" }, ` ${group.note}`), make("span", { class: "yname quiet" }, title)), chart);
}

function told(cell, measure) {
  const range = interval(cell, measure);
  const name = cell.full ? "every nucleotide replaced" : `${cell.method}, n = ${cell.n}`;
  const lines = [name, `${MEASURES[measure].title} ${fixed(cell[measure])}${range === DASH ? "" : ` ${range}`}`];
  if (measure !== "tokens_changed" && cell.tokens_changed !== null) lines.push(`tokens changed ${fixed(cell.tokens_changed, 0)}`);
  return lines.join("\n");
}
