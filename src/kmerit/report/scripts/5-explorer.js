// The sequence explorer: pick a sequence; see the scores, what was replaced at each n, and what the model then said.
const sorts = (quantity) => ({
  order: "the run's order",
  low: `${quantity}, lowest first`,
  high: `${quantity}, highest first`,
  drop: "drop at n, largest first",
});
const PIXELS = { s: 6, m: 9, l: 14 };

async function explorer(root) {
  const tasks = Object.keys(data.explorations);
  if (!("DecompressionStream" in globalThis)) {
    root.replaceChildren(
      make("p", { class: "warnings" }, "This browser cannot unpack the sequences. Use one of 2023 or later."),
    );
    return null;
  }
  root.replaceChildren(make("p", { class: "quiet" }, "Unpacking the sequences…"));
  const unpacked = new Map();
  Object.assign(view.defaults, {
    task: tasks[0],
    seq: "",
    tracks: "",
    at_n: "",
    size: "m",
    tokens: "off",
    sort: "order",
    called: "",
    only: "",
    from: "",
    to: "",
    find: "",
    pos: "",
  });

  const filters = make("div", { class: "row", role: "group", "aria-label": "Which sequences are listed" });
  const list = make("select", { class: "list", size: 8, "aria-label": "Sequences" });
  const count = make("p", { class: "quiet", role: "status" });
  const sight = make("div", { class: "sight" });
  let task, about, rows, index, redraw;
  const never = () => false; // of what this task's sequences do not have

  async function open() {
    const name = tasks.includes(view.get("task")) ? view.get("task") : tasks[0];
    if (!unpacked.has(name)) unpacked.set(name, await unpack(data.explorations[name]));
    [task, about] = [unpacked.get(name), data.tasks[name]];
    view.defaults.tracks = listed(preferred(task.methods));
    view.defaults.at_n = String(defaultCount(task.trial));
    view.allowed.tracks = someOf(task.methods);
    view.allowed.at_n = (text) => Boolean(task.trial?.counts.some((each) => String(each) === text));
    keepingFocus(build);
    filter();
  }

  function build() {
    const correct = task.trial?.correct;
    const bounded = task.trial?.bounded;
    const quantity = bounded ? "probability" : "value";
    const title = bounded ? "Probability" : "Value";
    Object.assign(view.allowed, { only: never, called: never, sort: never, from: never, to: never });
    const number = (key, label) => {
      view.allowed[key] = (value) => value.trim() !== "" && Number.isFinite(Number(value));
      const box = make("input", {
        type: "number",
        "data-key": key,
        "aria-label": key === "to" ? `${title} to` : label,
        ...(bounded ? { min: 0, max: 1, step: 0.05 } : { step: "any" }),
        value: view.get(key),
      });
      box.addEventListener("change", () => (view.set(key, box.value), filter()));
      return make("label", { class: "field" }, make("span", {}, label), box);
    };
    const find = make("input", {
      type: "search",
      "data-key": "find",
      "aria-label": "Name",
      value: view.get("find"),
      placeholder: "part of a name",
    });
    find.addEventListener("input", () => (view.set("find", find.value, true), filter()));
    filters.replaceChildren(
      ...[
        tasks.length > 1
          ? select(
              "task",
              "Task",
              tasks.map((each) => [each, each]),
              () => (view.set("seq", ""), open()),
            )
          : null,
        task.labels
          ? select(
              "only",
              "Class",
              [["", "every class"], ...about.classes.map((name, label) => [String(label), name])],
              filter,
            )
          : null,
        correct
          ? select(
              "called",
              "Prediction",
              [
                ["", "correct or wrong"],
                ["1", "correct"],
                ["0", "wrong"],
              ],
              filter,
            )
          : null,
        task.trial ? select("sort", "Sort by", Object.entries(sorts(quantity)), filter) : null,
        task.trial ? number("from", `${title} from`) : null,
        task.trial ? number("to", "to") : null,
        make("label", { class: "field" }, make("span", {}, "Name"), find),
      ].filter(Boolean),
    );
  }

  const start = (i) => task.fall(i, task.methods[0])?.[0] ?? null;
  function drop(i) {
    const fall = task.fall(i, view.list("tracks").find((name) => task.methods.includes(name)) ?? task.methods[0]);
    const n = task.trial.counts.findIndex((each) => String(each) === view.get("at_n"));
    return fall && n >= 0 && fall[n] !== null ? fall[0] - fall[n] : -Infinity;
  }

  function filter() {
    const [only, called, from, to, find] = ["only", "called", "from", "to", "find"].map((key) => view.get(key));
    rows = d3
      .range(task.count)
      .filter(
        (i) =>
          (!only || String(task.labels?.[i]) === only) &&
          (!called || String(task.trial?.correct?.[i]) === called) &&
          (!from || start(i) >= Number(from)) &&
          (!to || start(i) <= Number(to)) &&
          (!find || task.names[i].toLowerCase().includes(find.toLowerCase())),
      );
    const by = { low: (i) => start(i), high: (i) => -start(i), drop: (i) => -drop(i) }[view.get("sort")];
    if (by && task.trial) rows = d3.sort(rows, by);
    list.replaceChildren(...rows.map((i) => make("option", { value: String(i) }, summary(i))));
    const all =
      task.total > task.count
        ? `${task.count} of the run's ${task.total} sequences are in this page, the first of each class; all are in the run folder. `
        : "";
    count.textContent = `${all}${rows.length} of ${task.count} ${rows.length === 1 ? "matches" : "match"}.`;
    const wanted = task.names.indexOf(view.get("seq"));
    index = rows.includes(wanted) ? wanted : rows[0];
    list.value = String(index ?? "");
    show();
  }

  function summary(i) {
    const predicted = task.trial?.bounded
      ? (about.classes[task.trial.called[i]] ?? `class ${task.trial.called[i]}`)
      : null;
    const mark = task.trial?.correct ? (task.trial.correct[i] ? " ✓" : " ✗") : "";
    return [
      task.names[i],
      task.labels && `label ${about.classes[task.labels[i]] ?? task.labels[i]}`,
      predicted && `predicted ${predicted}${mark}`,
      task.trial && fixed(start(i), 2),
    ]
      .filter(Boolean)
      .join(" · ");
  }

  function pick(i) {
    index = i;
    view.set("seq", i === undefined ? "" : task.names[i]);
    list.value = String(i);
    show();
  }
  list.addEventListener("change", () => pick(Number(list.value)));
  const step = (by) => () => {
    const at = rows.indexOf(index) + by;
    if (at >= 0 && at < rows.length) pick(rows[at]);
  };

  function show() {
    if (index === undefined) {
      sight.replaceChildren(make("p", {}, "No sequence matches. Widen the filter."));
      return;
    }
    redraw = sequenceView(sight, task, about, index, ranked);
  }

  // The list's order may depend on the count and the methods shown; the sequence in view stays.
  function ranked() {
    if (view.get("sort") !== "drop") return redraw();
    view.set("seq", task.names[index]);
    keepingFocus(filter);
  }

  root.replaceChildren(
    filters,
    count,
    make(
      "div",
      { class: "picker" },
      list,
      make(
        "div",
        { class: "steps", role: "group", "aria-label": "Go through the sequences" },
        make("button", { type: "button", class: "plain", onclick: step(-1) }, "Previous"),
        make("button", { type: "button", class: "plain", onclick: step(1) }, "Next"),
      ),
    ),
    sight,
    linkButton("explorer"),
  );
  await open();
  return { open, redraw: () => redraw?.() };
}

function preferred(methods) {
  const best = data.lists.first.filter((name) => methods.includes(name));
  return best.length ? best : methods.slice(0, 3);
}
function defaultCount(trial) {
  const counts = (trial?.counts ?? []).filter((n) => n !== "all");
  return counts.includes(data.lists.compared) ? data.lists.compared : (counts.at(-1) ?? "");
}

// One sequence, with its controls; returns what draws it again.
function sequenceView(root, task, about, i, ranked) {
  const letters = task.letters(i);
  const hits = task.hitsOn(i);
  const spans = task.spans(i);
  const lines = make("div", { class: "lines", role: "img" });
  const chart = make("div", { class: "fall" });
  const readout = make("p", { class: "readout", role: "status", id: "readout" });
  const table = make("div", {
    class: "scroll",
    role: "region",
    tabindex: 0,
    "aria-label": "The scores of this sequence",
  });
  const details = make(
    "details",
    { class: "numbers" },
    make("summary", {}, "The scores of this sequence as a table"),
    table,
  );
  details.addEventListener("toggle", () => details.open && table.replaceChildren(scoreTable(task, i, letters)));
  const slider = make("input", {
    type: "range",
    min: 0,
    max: letters.length - 1,
    "data-key": "pos",
    "aria-label": "Position",
  });
  view.allowed.pos = (text) => /^\d+$/.test(text) && Number(text) < letters.length;
  let cursor = view.get("pos") === "" ? -1 : Number(view.get("pos"));
  slider.value = String(Math.max(0, cursor));
  const shown = () => view.list("tracks").filter((name) => task.methods.includes(name));
  const n = () => task.trial?.counts.find((each) => String(each) === view.get("at_n")) ?? 0;

  function move(to) {
    if (to === cursor || to < 0 || to >= letters.length) return;
    cursor = to;
    slider.value = String(to);
    view.set("pos", to, true);
    place();
  }
  function place() {
    for (const element of lines.querySelectorAll(".cursor")) element.remove();
    for (const svg of lines.querySelectorAll("svg")) {
      const [from, to, px] = [svg.dataset.from, svg.dataset.to, svg.dataset.px].map(Number);
      if (cursor >= from && cursor < to)
        svg.prepend(
          draw("rect", {
            class: "cursor",
            x: (cursor - from) * px,
            y: 12,
            width: px,
            height: Number(svg.getAttribute("height")) - 12,
          }),
        );
    }
    say();
  }
  function say() {
    if (cursor < 0) {
      readout.textContent = "Move over the letters, or use the slider, to read a position.";
      slider.setAttribute("aria-valuetext", "no position chosen");
      return;
    }
    const parts = shown().map((name) => {
      const rank = task.rank(i, name, cursor);
      return `${name} ${short(task.track(i, name).values[cursor])}${rank === null ? "" : ` (number ${rank})`}`;
    });
    const covering = spans?.filter(([a, b]) => a <= cursor && cursor < b) ?? [];
    const words = covering.length
      ? ` Tokens over it: ${covering.map(([a, b]) => letters.slice(a, b).join("")).join(" ")}.`
      : "";
    const covers = hits.filter((hit) => hit.start <= cursor && cursor < hit.end);
    const motifs = [...new Set(covers.map((hit) => hit.motif))];
    readout.textContent = `Position ${cursor}: ${letters[cursor]}. ${parts.join("; ")}.${words}${motifs.length ? ` Motif: ${motifs.join(", ")}.` : ""}`;
    slider.setAttribute("aria-valuetext", readout.textContent);
  }
  slider.addEventListener("input", () => move(Number(slider.value)));
  lines.addEventListener("pointermove", (event) => {
    const svg = event.target.closest("svg");
    if (svg)
      move(
        Number(svg.dataset.from) +
          Math.floor((event.clientX - svg.getBoundingClientRect().left) / Number(svg.dataset.px)),
      );
  });

  function redraw() {
    const px = PIXELS[view.get("size")] ?? PIXELS.m;
    const room = Math.floor((lines.clientWidth || root.clientWidth) / px);
    const width = Math.max(10, room - (room % 10));
    const tracks = shown().map((name) => ({ name, track: task.track(i, name), mutated: task.mutated(i, name, n()) }));
    const blocks = [];
    for (let from = 0; from < letters.length; from += width) {
      const to = Math.min(from + width, letters.length);
      const line = { letters, from, to, px, cursor: -1, hits };
      const drawn = [
        rulerLine(line),
        ...tracks.map(({ name, track, mutated }) => {
          const svg = logoLine({
            ...line,
            track,
            mutated,
            label: name,
            spans: view.get("tokens") === "on" ? spans : null,
          });
          svg.dataset.method = name;
          return svg;
        }),
      ];
      for (const svg of drawn) Object.assign(svg.dataset, { from, to, px });
      blocks.push(make("div", { class: "block" }, drawn));
    }
    lines.replaceChildren(...blocks);
    lines.setAttribute(
      "aria-label",
      `Logos of ${shown().join(", ") || "no method"} over ${letters.length} nucleotides of ${task.names[i]}; the table below has the numbers.`,
    );
    notes.replaceChildren(
      ...tracks.map(({ name, track, mutated }) =>
        make(
          "li",
          {},
          sample(name),
          " ",
          make("span", { class: "method" }, name),
          `: ${trackNote(task, track, mutated, spans)}`,
        ),
      ),
    );
    chart.replaceChildren(...fallChart(task, i, shown(), n(), chart));
    if (details.open) table.replaceChildren(scoreTable(task, i, letters));
    place();
  }
  const notes = make("ul", { class: "tracknotes" });
  const facts = [
    [task.labels && "label", task.labels && (about.classes[task.labels[i]] ?? String(task.labels[i]))],
    [
      task.trial?.bounded && "predicted",
      task.trial?.bounded &&
        `${about.classes[task.trial.called[i]] ?? task.trial.called[i]}${task.trial.correct ? (task.trial.correct[i] ? ", correct" : ", wrong") : ""}`,
    ],
    ["explained", about.classes[task.targets[i]] ?? `class ${task.targets[i]}`],
    [
      task.trial && (task.trial.bounded ? "its probability" : "its value"),
      task.trial && fixed(task.fall(i, task.methods[0])?.[0]),
    ],
    ["length", `${letters.length} nt`],
    [
      "GC",
      `${fixed((100 * letters.filter((letter) => letter === "G" || letter === "C").length) / letters.length, 0)} %`,
    ],
    [task.loci?.[i] && "place", task.loci?.[i]],
  ].filter(([key]) => key);
  root.replaceChildren(
    ...[
      make("h3", { class: "name" }, task.names[i]),
      make(
        "dl",
        { class: "facts" },
        facts.map(([key, value]) => make("div", {}, make("dt", {}, key), make("dd", {}, value))),
      ),
      switches("tracks", task.methods, "Scores shown as logos", ranked),
      make(
        "div",
        { class: "row" },
        task.trial
          ? select(
              "at_n",
              task.trial.restores ? "Put back" : "Replaced",
              task.trial.counts.map((each) => [String(each), each === "all" ? "all" : `n = ${each}`]),
              ranked,
            )
          : null,
        select(
          "size",
          "Letters",
          [
            ["s", "small"],
            ["m", "medium"],
            ["l", "large"],
          ],
          redraw,
        ),
        spans ? tick("tokens", "token boundaries", redraw) : null,
      ),
      make(
        "p",
        { class: "quiet key" },
        make("span", { class: "swatch" }),
        task.trial?.restores ? "still replaced at this n" : "replaced at this n",
        spans
          ? [
              make("span", { class: "swatch token" }),
              "token",
              make("span", { class: "swatch changed" }),
              "token changed",
            ]
          : null,
        hits.length ? [make("span", { class: "swatch hit" }), task.motifs ? `motif (${task.motifs})` : "motif"] : null,
      ),
      lines,
      make("div", { class: "seek" }, slider, readout),
      notes,
      chart,
      details,
    ].filter(Boolean),
  );
  redraw();
  return redraw;
}

function trackNote(task, track, mutated, spans) {
  const parts = [`tallest letter ${short(track.scale)}`];
  if (task.trial && spans)
    parts.push(
      `${spans.filter((span) => touched(span, mutated)).length} of ${spans.length} tokens ${task.trial.restores ? "still " : ""}hold a replaced nucleotide`,
    );
  if (track.tied && task.trial) parts.push(`scores tie: shown is the first of ${task.trial.replicates} draws`);
  if (!track.scale) parts.push("every score is zero or undefined");
  return `${parts.join("; ")}.`;
}

// The probability as nucleotides fall, drawn and as a table.
function fallChart(task, i, methods, n, parent) {
  if (!task.trial) return [make("p", { class: "quiet" }, "The trial of these sequences is not in the run folder.")];
  const { counts, bounded } = task.trial;
  const names = [...methods, ...(task.trial.rows.includes("random") ? ["random"] : [])];
  const verb = task.trial.restores ? "put back" : "replaced";
  const last = Math.max(1, ...counts.filter((each) => each !== "all"));
  const place = (each) => (each === "all" ? last * 1.2 : each);
  const lines = names.map((name) => [
    name,
    task
      .fall(i, name)
      .map((value, c) => ({ n: counts[c], value }))
      .filter((point) => point.value !== null),
  ]);
  const title = bounded ? "probability of the explained class" : "predicted value";
  const chart = Plot.plot({
    width: Math.max(260, Math.min(parent.clientWidth || 640, 640)),
    height: 230,
    marginLeft: 46,
    marginRight: 18,
    marginTop: 14,
    marginBottom: 38,
    style: { background: "none", fontSize: "12px", overflow: "visible" },
    x: {
      domain: [0, counts.includes("all") ? last * 1.22 : last],
      ticks: counts.filter((each) => each === "all" || each === 0 || each >= last * 0.12).map(place),
      tickFormat: (x) => (x > last ? "all" : String(x)),
      label: `nucleotides ${verb}`,
      labelAnchor: "center",
      labelArrow: "none",
    },
    y: {
      ...(bounded ? { domain: [0, 1], ticks: [0, 0.2, 0.4, 0.6, 0.8, 1] } : {}),
      grid: true,
      label: null,
      ...(bounded ? { tickFormat: (y) => fixed(y, 1) } : {}),
    },
    marks: [
      Plot.ruleX([place(n)], { strokeDasharray: "2 3", strokeOpacity: 0.6 }),
      ...lines.flatMap(([name, points]) => [
        Plot.line(
          points.filter((point) => point.n !== "all"),
          {
            x: (point) => place(point.n),
            y: "value",
            stroke: colour(name),
            strokeWidth: 2,
            strokeDasharray: name === "random" ? "5 3" : dash(name),
          },
        ),
        name === "random"
          ? null
          : Plot.dot(points, {
              x: (point) => place(point.n),
              y: "value",
              fill: colour(name),
              stroke: "var(--paper)",
              symbol: symbol(name),
              r: 4,
            }),
      ]),
    ],
  });
  chart.setAttribute("role", "img");
  chart.setAttribute("aria-label", `${title} against nucleotides ${verb}; the numbers stand in the table next to it.`);
  const table = make(
    "table",
    { class: "fall-table" },
    make("caption", {}, `${title}, mean over draws`),
    make(
      "thead",
      {},
      make(
        "tr",
        {},
        make("th", { scope: "col" }, "method"),
        counts.map((each) =>
          make("th", { scope: "col", class: each === n ? "now" : null }, each === "all" ? "all" : `n = ${each}`),
        ),
      ),
    ),
    make(
      "tbody",
      {},
      names.map((name) =>
        make(
          "tr",
          {},
          make("th", { scope: "row", class: "method" }, sample(name), " ", name),
          task.fall(i, name).map((value, c) => make("td", { class: counts[c] === n ? "now" : null }, fixed(value))),
        ),
      ),
    ),
  );
  return [
    make(
      "figure",
      { class: "panel" },
      make(
        "figcaption",
        {},
        make("strong", {}, task.trial.restores ? "As nucleotides are put back" : "As nucleotides are replaced"),
        make("span", { class: "yname quiet" }, title),
      ),
      chart,
    ),
    make("div", { class: "scroll", role: "region", tabindex: 0, "aria-label": `${title}, by method and count` }, table),
  ];
}

function scoreTable(task, i, letters) {
  const tracks = task.methods.map((name) => [name, task.track(i, name)]);
  return make(
    "table",
    {},
    make(
      "thead",
      {},
      make(
        "tr",
        {},
        make("th", { scope: "col" }, "position"),
        make("th", { scope: "col" }, "letter"),
        tracks.map(([name]) => make("th", { scope: "col", class: "method" }, name)),
      ),
    ),
    make(
      "tbody",
      {},
      letters.map((letter, position) =>
        make(
          "tr",
          {},
          make("th", { scope: "row" }, String(position)),
          make("td", {}, letter),
          tracks.map(([name, track]) => {
            const rank = task.rank(i, name, position);
            return make(
              "td",
              {},
              short(track.values[position]),
              rank === null ? null : make("span", { class: "quiet" }, ` #${rank}`),
            );
          }),
        ),
      ),
    ),
  );
}
