// What is shown, kept in the address: a link to the page is a link to the view. Values equal to their default stay out.
const data = JSON.parse(document.getElementById("data").textContent);

const view = {
  defaults: {},
  values: new Map(),
  listeners: [],
  read() {
    const hash = location.hash.slice(1);
    this.values = new Map(hash.includes("=") ? new URLSearchParams(hash) : []);
  },
  get(key) {
    return this.values.get(key) ?? this.defaults[key] ?? "";
  },
  list(key) {
    return this.get(key).split(" ").filter(Boolean).map(decodeURIComponent);
  },
  set(key, value) {
    const text = Array.isArray(value) ? listed(value) : String(value);
    if (text === (this.defaults[key] ?? "")) this.values.delete(key);
    else this.values.set(key, text);
    history.replaceState(null, "", this.address());
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
view.read();
addEventListener("hashchange", () => {
  if (location.hash && !location.hash.includes("=")) return; // a jump to a heading leaves the view as it is
  view.read();
  for (const listen of view.listeners) listen();
  jump();
});

function jump() {
  const at = view.values.get("at");
  if (at) document.getElementById(at)?.scrollIntoView();
}

// Elements. Text is always a text node, whatever it holds.
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
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

function select(key, label, options, changed) {
  const box = make("select", { "aria-label": label, onchange: () => (view.set(key, box.value), changed()) });
  for (const [value, text] of options) box.append(make("option", { value, selected: view.get(key) === value }, text));
  return make("label", { class: "field" }, make("span", {}, label), box);
}

function tick(key, label, changed) {
  const box = make("input", { type: "checkbox", checked: view.get(key) === "on" });
  box.addEventListener("change", () => (view.set(key, box.checked ? "on" : "off"), changed()));
  return make("label", { class: "tick" }, box, make("span", {}, label));
}

// A set of methods, each switched by a button that also is the legend.
function switches(key, names, title, changed) {
  const buttons = names.map((name) => {
    const button = make("button", { type: "button", class: "switch", "aria-pressed": String(view.list(key).includes(name)) }, sample(name), name);
    button.addEventListener("click", () => {
      const on = new Set(view.list(key));
      on.has(name) ? on.delete(name) : on.add(name);
      button.setAttribute("aria-pressed", String(on.has(name)));
      view.set(key, names.filter((each) => on.has(each)));
      changed();
    });
    return button;
  });
  return make("div", { class: "switches", role: "group", "aria-label": title }, buttons);
}

function linkButton(at) {
  const said = make("span", { class: "quiet", role: "status" });
  const button = make("button", { type: "button", class: "plain" }, "Copy a link to this view");
  button.addEventListener("click", async () => {
    const address = location.href.split("#")[0] + view.address({ at });
    try {
      await navigator.clipboard.writeText(address);
      said.textContent = " Copied.";
    } catch {
      history.replaceState(null, "", view.address({ at }));
      said.textContent = " It stands in the address bar.";
    }
  });
  return make("p", { class: "link" }, button, said);
}

// Looks: colours told apart by the colour-blind, and every method has its own marker as well.
const styles = new Map(data.chart.methods.map((method) => [method.name, method]));
function colour(name) {
  const style = styles.get(name);
  return name === "random" ? "var(--quiet)" : style ? `var(--${style.id})` : "currentColor"; // the style sheet knows dark from light
}
function symbol(name) {
  const style = styles.get(name);
  return { times: d3.symbolTimes, hexagon: HEXAGON }[style?.symbol] ?? d3[`symbol${(style?.symbol ?? "circle").replace(/^./, (c) => c.toUpperCase())}`];
}
const HEXAGON = {
  draw(context, size) {
    const r = Math.sqrt((2 * size) / (3 * Math.sqrt(3)));
    for (let i = 0; i < 6; i++) context[i ? "lineTo" : "moveTo"](r * Math.cos((i * Math.PI) / 3), r * Math.sin((i * Math.PI) / 3));
    context.closePath();
  },
};
function sample(name) {
  const line = draw("line", { x1: 0, x2: 24, y1: 7, y2: 7, stroke: colour(name), "stroke-width": 2, "stroke-dasharray": name === "random" ? "4 3" : null });
  const mark = name === "random" ? null : draw("path", { d: d3.symbol(symbol(name), 46)(), transform: "translate(12,7)", fill: colour(name) });
  return draw("svg", { width: 24, height: 14, "aria-hidden": "true", class: "sample" }, line, mark);
}

// Numbers as the rest of the page writes them.
const DASH = "–";
function fixed(value, digits = 3) {
  if (value === null || value === undefined || !Number.isFinite(value)) return DASH;
  const text = value.toFixed(digits);
  return Number(text) === 0 ? text.replace("-", "") : text.replace("-", "−");
}
function short(value) {
  if (!Number.isFinite(value)) return DASH;
  if (value === 0) return "0";
  const size = Math.abs(value);
  return (size >= 0.001 && size < 1e5 ? String(Number(value.toPrecision(3))) : value.toExponential(2)).replace("-", "−");
}
const wide = () => matchMedia("(min-width: 641px)").matches;
