// Figure 1, to be explored: a panel for each class, a line for each method, and one control with them.
const { measures: MEASURES, controls: CONTROLS } = data.lists;

// The controls of a method are dashed in its colour; the others are grey.
const ofScores = (control) => CONTROLS[control]?.own ?? false;
const rankings = (control, names) =>
  ofScores(control) ? names.map((name) => `${control}(${name})`) : control === "none" ? [] : [control];
const isControl = (name) => Object.hasOwn(CONTROLS, name) || (name.includes("(") && ofScores(name.split("(")[0]));
const capital = (text) => text.replace(/^./, (letter) => letter.toUpperCase());

function figure(root) {
  const { methods, values, controls } = data.chart;
  const cellOf = ([method, n, full, ...measured]) => ({
    method,
    n,
    full: full === 1,
    ...Object.fromEntries(values.map((name, i) => [name, measured[i]])),
  });
  const excessOf = ([control, method, measure, n, value, low, high]) => ({
    control,
    method,
    measure,
    n,
    full: false,
    [`excess_${measure}`]: value,
    low,
    high,
  });
  const groups = data.chart.groups.map((group) => ({
    ...group,
    designs: group.designs.map((each) => ({
      ...each,
      cells: each.cells.map(cellOf),
      excesses: each.excesses.map(excessOf),
    })),
  }));
  const names = methods.map((method) => method.name);
  const designs = [...new Set(groups.flatMap((group) => group.designs.map(({ name }) => name)))];
  const all = groups.flatMap((group) => group.designs);
  const known = Object.keys(MEASURES).filter((measure) =>
    all.some(({ cells, excesses }) => [...cells, ...excesses].some((cell) => (cell[measure] ?? null) !== null)),
  );
  Object.assign(view.defaults, {
    on: listed(names),
    class: "",
    y: known[0] ?? "accuracy",
    x: "n",
    design: designs[0] ?? "",
    ci: "end",
    control: controls[0] ?? "none",
  });
  Object.assign(view.allowed, {
    design: (name) => designs.includes(name),
    control: (name) => name === "none" || controls.includes(name),
  });
  const heading = document.getElementById("figure1-title");

  const panels = make("div", { class: "panels" });
  const caption = make("p", { class: "quiet figure-caption" });
  const legend = make("ul", { class: "legend print-only" });
  const note = make("p", { class: "quiet", role: "status" });
  const table = make("div", {
    class: "scroll",
    role: "region",
    tabindex: 0,
    "aria-label": "The numbers of this chart",
  });
  const details = make("details", { class: "numbers" }, make("summary", {}, "The numbers of this chart"), table);
  details.addEventListener("toggle", () => details.open && fillTable());
  const box = make("div", { class: "controls", role: "group", "aria-label": "What Figure 1 shows" });
  const design = (group) => group.designs.find((each) => each.name === view.get("design"));

  function build() {
    box.replaceChildren(
      switches("on", names, "Methods shown", update),
      make(
        "div",
        { class: "row" },
        select(
          "y",
          "Show",
          known.map((measure) => [measure, MEASURES[measure].title]),
          update,
        ),
        select(
          "x",
          "Against",
          [
            ["n", "nucleotides replaced, or put back"],
            ["tokens_changed", "tokens changed"],
          ],
          update,
        ),
        select("class", "Class", [["", "every class"], ...groups.map((group) => [group.id, group.title])], update),
        designs.length > 1
          ? select(
              "design",
              "Trial",
              designs.map((name) => [name, name]),
              update,
            )
          : null,
        select(
          "ci",
          "95 % intervals",
          [
            ["end", "where methods are compared"],
            ["every", "at every n"],
            ["off", "none"],
          ],
          update,
        ),
        controls.length
          ? select(
              "control",
              "Control",
              [...controls, "none"].map((name) => [name, name]),
              update,
            )
          : null,
      ),
    );
  }

  function shown() {
    const one = view.get("class");
    return groups
      .filter((group) => !one || group.id === one)
      .map((group) => {
        const { cells = [], excesses = [], restores = false } = design(group) ?? {};
        const { excess_of: lost } = MEASURES[view.get("y")];
        if (lost) {
          const damage = (excess) =>
            cells.find((cell) => cell.method === excess.method && cell.n === excess.n && !cell.full)?.tokens_changed ??
            null;
          const mine = excesses.filter((excess) => excess.control === view.get("control") && excess.measure === lost);
          return { ...group, restores, cells: mine.map((excess) => ({ ...excess, tokens_changed: damage(excess) })) };
        }
        const wanted = rankings(view.get("control"), names);
        return {
          ...group,
          restores,
          cells: cells.filter((cell) => !isControl(cell.method) || wanted.includes(cell.method)),
        };
      });
  }

  function update() {
    const measure = view.get("y");
    const list = shown();
    const restores = list.some((group) => group.restores);
    heading.textContent = `Figure 1. ${capital(MEASURES[measure].title)} against ${view.get("x") === "n" ? `the number of nucleotides ${restores ? "put back" : "replaced"}` : "tokens changed"}`;
    panels.classList.toggle("single", list.length === 1);
    panels.replaceChildren();
    const domain = extent(list, measure);
    for (const group of list) panels.append(panel(group, measure, domain, panels, list.length));
    const about = MEASURES[measure];
    const bare =
      view.get("ci") !== "off" &&
      list.some((group) => group.cells.length) &&
      !(about.low && list.some((group) => group.cells.some((cell) => cell[about.low] !== null)));
    caption.textContent = captionOf(list, measure);
    legend.replaceChildren(
      ...view
        .list("on")
        .filter((name) => names.includes(name))
        .map((name) => make("li", {}, sample(name), " ", name)),
    );
    note.textContent = bare ? `No interval was computed of the ${about.title}.` : "";
    if (details.open) fillTable();
  }

  function toldOfControl(list, measure) {
    const control = view.get("control");
    const { excess_of: lost } = MEASURES[measure];
    if (control === "none") return lost ? ["Choose a control: without one there is nothing to go beyond."] : [];
    const what = `the control ${control}, ${CONTROLS[control].words}.`;
    const tried = list.some((group) => group.compared > 0);
    const drawn = list.flatMap((group) =>
      group.cells.filter(
        (cell) => (lost || isControl(cell.method)) && !cell.full && (cell.n > 0 || group.compared > 0),
      ),
    );
    if (!drawn.length) return [`The control ${control} was not tried here${tried ? "" : " between 0 and all"}.`];
    const [good] = list
      .map(design)
      .filter(Boolean)
      .map((each) => each.good);
    if (lost)
      return [
        `Dashed, at 0: ${what} Above it, more is lost than with the control${good ? `; a good method lies ${good} it` : ""}.`,
      ];
    const band = drawn.some((cell) => ends(cell, measure))
      ? "The band holds 95 % of such rankings."
      : "There is no band: a single draw has no spread.";
    return [`Dashed${ofScores(control) ? "" : ", grey"}: ${what}`, ...(control === "random" ? [band] : [])];
  }

  function captionOf(list, measure) {
    const shownDesigns = list.map(design).filter(Boolean);
    const done = [...new Set(shownDesigns.map((each) => each.done))].join(" or ");
    const parts = [`${capital(MEASURES[measure].title)} with the n ${done} (${view.get("design")}).`];
    parts.push(...toldOfControl(list, measure));
    if (
      view.get("ci") !== "off" &&
      list.some((group) => group.cells.some((cell) => !isControl(cell.method) && ends(cell, measure)))
    )
      parts.push("Bars: 95 % intervals over sequences.");
    const floor = list.some((group) => floorOf(group.cells, group.restores));
    if (floor) parts.push("Dotted: every nucleotide replaced, the floor.");
    return parts.join(" ");
  }

  function fillTable() {
    const measure = view.get("y");
    const on = view.list("on");
    const head = [
      "class",
      "method",
      "n",
      MEASURES[measure].title,
      ...(MEASURES[measure].low ? ["95 % interval"] : []),
      ...(measure === "tokens_changed" ? [] : ["tokens changed"]),
    ];
    const body = shown().flatMap((group) =>
      group.cells
        .filter((cell) => on.includes(cell.method) || rankings(view.get("control"), on).includes(cell.method))
        .map((cell) => [
          group.title,
          cell.method,
          cell.full ? "all" : cell.n,
          fixed(cell[measure]),
          ...(MEASURES[measure].low ? [interval(cell, measure)] : []),
          ...(measure === "tokens_changed" ? [] : [fixed(cell.tokens_changed, 0)]),
        ]),
    );
    table.replaceChildren(
      make(
        "table",
        {},
        make(
          "thead",
          {},
          make(
            "tr",
            {},
            head.map((text) => make("th", { scope: "col" }, text)),
          ),
        ),
        make(
          "tbody",
          {},
          body.map((row) =>
            make(
              "tr",
              {},
              row.map((text, i) => (i < 2 ? make("th", { scope: "row" }, String(text)) : make("td", {}, String(text)))),
            ),
          ),
        ),
      ),
    );
  }

  build();
  root.replaceChildren(box, panels, legend, caption, note, linkButton("figure1"), details);
  update();
  return { update, rebuild: () => keepingFocus(() => (build(), update())) };
}

// What is left with every nucleotide replaced: at n = all, or where they are put back, at n = 0.
function floorOf(cells, restores) {
  const there = cells.filter((cell) => (restores ? cell.n === 0 && !cell.full : cell.full));
  return there.find((cell) => !isControl(cell.method)) ?? there[0];
}
function ends(cell, measure) {
  const { low, high } = MEASURES[measure];
  return Boolean(low) && cell[low] !== null && cell[high] !== null;
}

function interval(cell, measure) {
  const { low, high } = MEASURES[measure];
  return ends(cell, measure) ? `[${fixed(cell[low])}, ${fixed(cell[high])}]` : DASH;
}

function extent(list, measure) {
  const { low, high, unit } = MEASURES[measure];
  const values = list
    .flatMap((group) => group.cells.flatMap((cell) => [cell[measure], cell[low] ?? null, cell[high] ?? null]))
    .filter((value) => value !== null && value !== undefined);
  if (!values.length) return [0, 1];
  const least = Math.min(...values),
    most = Math.max(...values);
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
  const ranged = (list) => list.filter((cell) => ends(cell, measure));
  const of = (method) => cells.filter((cell) => cell.method === method && !cell.full).sort((a, b) => a.n - b.n);
  const full = cells.find((cell) => cell.full && !isControl(cell.method)) ?? cells.find((cell) => cell.full);
  const floor = floorOf(cells, group.restores);
  const verb = group.restores ? "put back" : "replaced";
  const methods = on.filter((name) => of(name).length);
  const control = view.get("control");
  const randomRankings = rankings(control, methods).map((name) => ({
    name,
    points: of(name),
    stroke: ofScores(control) ? colour(name.slice(control.length + 1, -1)) : "var(--quiet)",
  }));
  const width = Math.max(260, count === 1 || !wide() ? parent.clientWidth : Math.floor((parent.clientWidth - 28) / 2));
  const counts = [...new Set(cells.filter((cell) => !cell.full).map((cell) => cell.n))].sort((a, b) => a - b);
  const spread = 3.2;
  const marks = [
    Plot.areaY(control === "random" ? ranged(of("random")) : [], {
      x: place,
      y1: low ?? "n",
      y2: high ?? "n",
      fill: "var(--band)",
      className: "control-band",
    }),
    Plot.ruleX(control === "random" && of("random").length === 1 ? ranged(of("random")) : [], {
      x: place,
      y1: low ?? "n",
      y2: high ?? "n",
      stroke: "var(--band)",
      strokeWidth: 9,
      className: "control-band",
    }),
    ...randomRankings.map(({ points, stroke }) =>
      Plot.line(points, {
        x: place,
        y: measure,
        stroke,
        strokeDasharray: "5 3",
        strokeWidth: 1.4,
        className: "control-line",
      }),
    ),
    ...randomRankings.map(({ points, stroke }) =>
      Plot.dot(points, {
        x: place,
        y: measure,
        fill: ofScores(control) ? "var(--paper)" : stroke,
        stroke,
        r: 2.4,
        className: "control-dot",
      }),
    ),
    MEASURES[measure].excess_of
      ? Plot.ruleY([0], { stroke: "var(--quiet)", strokeDasharray: "5 3", strokeWidth: 1.4, className: "control-line" })
      : null,
    floor ? Plot.ruleY([floor], { y: measure, strokeDasharray: "1.5 3", strokeWidth: 1 }) : null,
    ...methods.map((name) =>
      Plot.line(of(name), { x: place, y: measure, stroke: colour(name), strokeWidth: 2, strokeDasharray: dash(name) }),
    ),
    ...methods.flatMap((name, i) => {
      const dx = along === "n" ? (i - (methods.length - 1) / 2) * spread : 0;
      const bars = ranged(of(name)).filter((cell) =>
        view.get("ci") === "every" ? cell.n > 0 : cell.n > 0 && cell.n === group.compared && view.get("ci") === "end",
      );
      return [
        Plot.ruleX(bars, {
          x: place,
          y1: low ?? "n",
          y2: high ?? "n",
          dx,
          stroke: colour(name),
          strokeOpacity: view.get("ci") === "every" ? 0.55 : 0.9,
          strokeWidth: 1.4,
        }),
      ];
    }),
    ...methods.map((name) =>
      Plot.dot(of(name), {
        x: place,
        y: measure,
        fill: colour(name),
        stroke: "var(--paper)",
        strokeWidth: 0.8,
        r: 4,
        symbol: symbol(name),
      }),
    ),
    full && view.get("ci") !== "off"
      ? Plot.ruleX(ranged([full]), { x: place, y1: low ?? "n", y2: high ?? "n", strokeWidth: 1.3 })
      : null,
    full ? Plot.dot([full], { x: place, y: measure, fill: "currentColor", r: 3.6 }) : null,
    Plot.tip(
      [...methods.flatMap(of), ...randomRankings.flatMap(({ points }) => points), ...(full ? [full] : [])],
      Plot.pointer({
        x: place,
        y: measure,
        title: (cell) => tip(cell, measure, verb),
        fill: "var(--paper)",
        stroke: "var(--rule)",
      }),
    ),
  ];
  const far =
    along === "n"
      ? {
          domain: [0, full ? gap * 1.02 : last],
          ticks: [...counts.filter((n) => n === 0 || n >= last * 0.12), ...(full ? [gap] : [])],
          tickFormat: (x) => (x === gap ? "all" : String(x)),
        }
      : { nice: true, zero: true };
  const chart = Plot.plot({
    width,
    height: count === 1 && wide() ? 380 : 270,
    marginLeft: 46,
    marginRight: 18,
    marginTop: 14,
    marginBottom: 38,
    style: { background: "none", fontSize: "12px", overflow: "visible" },
    x: {
      ...far,
      label: along === "n" ? `nucleotides ${verb}` : "tokens changed",
      labelAnchor: "center",
      labelArrow: "none",
    },
    y: {
      domain,
      grid: true,
      label: null,
      tickFormat: (y) => fixed(y, MEASURES[measure].unit ? 1 : 2),
      ticks: d3.ticks(...domain, 5),
    },
    marks,
  });
  chart.setAttribute("role", "img");
  chart.setAttribute(
    "aria-label",
    `${group.title}: ${title} against ${along === "n" ? `nucleotides ${verb}` : "tokens changed"}. ${methods
      .map((name) => {
        const end = of(name).at(-1);
        return `${name} ends at ${fixed(end[measure])} with ${end.n} ${verb}`;
      })
      .join("; ")}. The numbers stand in the table below.`,
  );
  return make(
    "figure",
    { class: "panel", "data-group": group.id, style: `width: ${width}px` },
    make(
      "figcaption",
      {},
      make("strong", {}, group.title),
      make("span", { class: "quiet" }, ` ${group.note}`),
      make("span", { class: "yname quiet" }, title),
    ),
    chart,
  );
}

function tip(cell, measure, verb) {
  const range = interval(cell, measure);
  const name = cell.full ? `every nucleotide ${verb}` : `${cell.method}, n = ${cell.n}`;
  const lines = [name, `${MEASURES[measure].title} ${fixed(cell[measure])}${range === DASH ? "" : ` ${range}`}`];
  if (measure !== "tokens_changed" && cell.tokens_changed !== null)
    lines.push(`tokens changed ${fixed(cell.tokens_changed, 0)}`);
  return lines.join("\n");
}
