// What is shown, kept in the address: a link to the page is a link to the view. Values equal to their default stay out.
const data = JSON.parse(document.getElementById("data").textContent);

const view = {
  defaults: {},
  allowed: {}, // by key, whether a value means something here; one that does not is as if it were not there
  values: new Map(),
  listeners: [],
  waiting: 0,
  read() {
    const hash = location.hash.slice(1);
    this.values = new Map(hash.includes("=") ? new URLSearchParams(hash) : []);
  },
  get(key) {
    const value = this.values.get(key);
    return value !== undefined && (this.allowed[key]?.(value) ?? true) ? value : (this.defaults[key] ?? "");
  },
  list(key) {
    return unlisted(this.get(key));
  },
  // What follows the pointer or each letter typed is written a little later: browsers count how often an address changes.
  set(key, value, later = false) {
    const text = Array.isArray(value) ? listed(value) : String(value);
    if (text === (this.defaults[key] ?? "")) this.values.delete(key);
    else this.values.set(key, text);
    clearTimeout(this.waiting);
    if (later) this.waiting = setTimeout(() => this.write(), 250);
    else this.write();
  },
  write(extra = {}) {
    clearTimeout(this.waiting);
    history.replaceState(null, "", this.address(extra));
  },
  address(extra = {}) {
    const pairs = new URLSearchParams([...this.values, ...Object.entries(extra)]);
    pairs.delete("at");
    for (const [key, value] of Object.entries(extra)) pairs.set(key, value);
    const text = pairs.toString();
    return text ? `#${text}` : location.pathname + location.search;
  },
};
const listed = (names) => names.map(encodeURIComponent).join(" ");
function unlisted(text) {
  return text
    .split(" ")
    .filter(Boolean)
    .map((name) => {
      try {
        return decodeURIComponent(name);
      } catch {
        return name; // an address written by hand
      }
    });
}
const someOf = (names) => (text) => text === "" || unlisted(text).some((name) => names.includes(name));
view.read();
addEventListener("hashchange", () => {
  const hash = location.hash.slice(1);
  if (hash && !hash.includes("=")) {
    reveal(hash);
    if (view.values.size) view.write({ at: hash }); // a jump to a heading keeps the view
    return;
  }
  view.read();
  for (const listen of view.listeners) listen();
  jump();
});

function jump() {
  const at = view.values.get("at") ?? (location.hash.includes("=") ? "" : location.hash.slice(1));
  if (at) reveal(at)?.scrollIntoView();
}
// What is folded away must be opened before one can go there.
function reveal(id) {
  const goal = document.getElementById(id);
  for (let fold = goal?.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
  return goal;
}
document.addEventListener("click", (event) => {
  const link = event.target.closest?.('a[href^="#"]');
  if (link) reveal(link.getAttribute("href").slice(1));
});

// Controls are made again when what they offer changes; whoever was on one of them stays there.
function keepingFocus(change) {
  const key = document.activeElement?.dataset?.key;
  change();
  if (key && document.activeElement?.dataset?.key !== key)
    document.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus({ preventScroll: true });
}

// Elements. Text is always a text node, never HTML.
const SVG = "http://www.w3.org/2000/svg";
function make(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}
function draw(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}
function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in { checked: 1, selected: 1, value: 1, disabled: 1, open: 1 }) element[name] = value;
    else if (value !== null && value !== undefined && value !== false)
      element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

function select(key, label, options, changed) {
  view.allowed[key] = (value) => options.some(([known]) => known === value);
  const box = make("select", {
    "aria-label": label,
    "data-key": key,
    onchange: () => (view.set(key, box.value), changed()),
  });
  for (const [value, text] of options) box.append(make("option", { value, selected: view.get(key) === value }, text));
  return make("label", { class: "field" }, make("span", {}, label), box);
}

function tick(key, label, changed) {
  const box = make("input", { type: "checkbox", "data-key": key, checked: view.get(key) === "on" });
  box.addEventListener("change", () => (view.set(key, box.checked ? "on" : "off"), changed()));
  return make("label", { class: "tick" }, box, make("span", {}, label));
}

// A set of methods, each switched by a button that also is the legend.
function switches(key, names, title, changed) {
  view.allowed[key] = someOf(names);
  const buttons = names.map((name) => {
    const button = make(
      "button",
      {
        type: "button",
        class: "switch",
        "data-key": `${key}:${name}`,
        "aria-pressed": String(view.list(key).includes(name)),
      },
      sample(name),
      name,
    );
    button.addEventListener("click", () => {
      const on = new Set(view.list(key));
      if (!on.delete(name)) on.add(name);
      button.setAttribute("aria-pressed", String(on.has(name)));
      view.set(
        key,
        names.filter((each) => on.has(each)),
      );
      changed();
    });
    return button;
  });
  return make("div", { class: "switches", role: "group", "aria-label": title }, buttons);
}

function linkButton(at) {
  const status = make("span", { class: "quiet", role: "status" });
  const button = make("button", { type: "button", class: "plain" }, "Copy a link to this view");
  button.addEventListener("click", async () => {
    const address = location.href.split("#")[0] + view.address({ at });
    try {
      await navigator.clipboard.writeText(address);
      status.textContent = " Copied.";
    } catch {
      view.write({ at });
      status.textContent = " It stands in the address bar.";
    }
  });
  return make("p", { class: "link" }, button, status);
}

// Looks: colours that the colour-blind can distinguish, and every method has its own marker as well.
const styles = new Map(data.chart.methods.map((method) => [method.name, method]));
function colour(name) {
  const style = styles.get(name);
  return name === "random" ? "var(--quiet)" : style ? `var(--${style.id})` : "currentColor"; // the style sheet knows dark from light
}
const dash = (name) => styles.get(name)?.dash || null;
// A regular polygon of the area that is asked for; its first corner points to the right, then turned, in degrees.
const polygon = (corners, turned) => ({
  draw(context, size) {
    const r = Math.sqrt((2 * size) / (corners * Math.sin((2 * Math.PI) / corners)));
    for (let i = 0; i < corners; i++) {
      const angle = ((360 * i) / corners + turned) * (Math.PI / 180);
      context[i ? "lineTo" : "moveTo"](r * Math.cos(angle), r * Math.sin(angle));
    }
    context.closePath();
  },
});
const SALTIRE = {
  draw(context, size) {
    const [a, b] = [Math.sqrt(size / 5) / 2, (3 * Math.sqrt(size / 5)) / 2]; // an upright cross of five squares
    const corners = [
      [-b, -a],
      [-a, -a],
      [-a, -b],
      [a, -b],
      [a, -a],
      [b, -a],
      [b, a],
      [a, a],
      [a, b],
      [-a, b],
      [-a, a],
      [-b, a],
    ];
    corners.forEach(([x, y], i) => context[i ? "lineTo" : "moveTo"]((x - y) * Math.SQRT1_2, (x + y) * Math.SQRT1_2));
    context.closePath();
  },
};
// Filled shapes all: a shape that is only a stroke vanishes under the edge that sets markers apart.
const SHAPES = {
  circle: d3.symbolCircle,
  square: d3.symbolSquare,
  diamond: d3.symbolDiamond,
  cross: d3.symbolCross,
  star: d3.symbolStar,
  saltire: SALTIRE,
  up: polygon(3, -90),
  down: polygon(3, 90),
  left: polygon(3, 180),
  right: polygon(3, 0),
  pentagon: polygon(5, -90),
  hexagon: polygon(6, 0),
};
const symbol = (name) => SHAPES[styles.get(name)?.symbol] ?? d3.symbolCircle;
function sample(name) {
  const line = draw("line", {
    x1: 0,
    x2: 24,
    y1: 7,
    y2: 7,
    stroke: colour(name),
    "stroke-width": 2,
    "stroke-dasharray": name === "random" ? "5 3" : dash(name),
  });
  const mark =
    name === "random"
      ? null
      : draw("path", { d: d3.symbol(symbol(name), 46)(), transform: "translate(12,7)", fill: colour(name) });
  return draw("svg", { width: 24, height: 14, "aria-hidden": "true", class: "sample" }, line, mark);
}

// Numbers as the rest of the page writes them.
const { dash: DASH, minus: MINUS, digits: DIGITS } = data.lists.formats;
function fixed(value, digits = DIGITS) {
  if (value === null || value === undefined || !Number.isFinite(value)) return DASH;
  const text = value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  return text.replace("-", /[1-9]/.test(text) ? MINUS : "");
}
function short(value) {
  if (!Number.isFinite(value)) return DASH;
  if (value === 0) return "0";
  const size = Math.abs(value);
  return (size >= 0.001 && size < 1e5 ? String(Number(value.toPrecision(3))) : value.toExponential(2)).replaceAll(
    "-",
    MINUS,
  );
}
const wide = () => matchMedia("(min-width: 641px)").matches;
