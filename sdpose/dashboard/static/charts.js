// The charts: one a group of curves, all over the same range, in uPlot.
import { element, number, short } from "./format.js";
import { say } from "./words.js";

const ORDER = ["loss", "score", "lr", "grad_norm", "train_score", "health", "time", "memory", "other"];
const TITLES = { loss: "losses" };
const DASHES = [[], [6, 4], [2, 3], [8, 3, 2, 3], [1, 4]];
const HEIGHT = 240;

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const palette = () => Array.from({ length: 8 }, (_, index) => css(`--curve-${index}`));

// The guide's lines, at their own places and at those of the score, so that both can be read at one place.
function guideLines(first, axis, xs) {
  const rows = first.guide.map((row) => ({ ...row, x: axis === "epoch" ? row.epoch : row.epoch * first.epoch_length }));
  const inside = xs.filter((x) => x > rows[0].x && x < rows.at(-1).x);
  const x = [...new Set([...rows.map((row) => row.x), ...inside])].sort((a, b) => a - b);
  const at = (place, edge) => {
    const next = rows.findIndex((row) => row.x >= place);
    const [a, b] = [rows[Math.max(0, next - 1)], rows[next]];
    return a === b ? b[edge] : a[edge] + (b[edge] - a[edge]) * (place - a.x) / (b.x - a.x);
  };
  return { x, high: x.map((place) => at(place, "high")), low: x.map((place) => at(place, "low")) };
}

// Columns over one common x, as uPlot wants them; each curve keeps its own points.
function joined(curves) {
  if (!curves.length) return [[]];
  const same = curves.every((curve) => curve.x.length === curves[0].x.length && curve.x.every((x, i) => x === curves[0].x[i]));
  if (same) return [curves[0].x, ...curves.map((curve) => curve.y)];
  return uPlot.join(curves.map((curve) => [curve.x, curve.y]));
}

function nearest(ys, index, reach) {
  for (let off = 0; off <= reach; off++) {
    if (ys[index - off] !== null && ys[index - off] !== undefined) return index - off;
    if (ys[index + off] !== null && ys[index + off] !== undefined) return index + off;
  }
  return index;
}

function lines(group, runs, guideOn, axis) {
  const colours = palette();
  const found = [], bands = [];
  let number_ = 0;
  const slot = new Map();
  for (const [order, run] of runs.entries()) {
    const prefix = runs.length > 1 ? `${run.page.name}: ` : "";
    const low = run.curves.find((c) => c.name === "AP_low"), high = run.curves.find((c) => c.name === "AP_high");
    // The sum first and broad: it lies under its terms, one of which may be all of it.
    const inOrder = group === "loss" ? [...run.curves].sort((a, b) => (b.name === "loss") - (a.name === "loss")) : run.curves;
    const terms = run.curves.filter((c) => run.page.catalogue.some((e) => e.name === c.name && e.mode === c.mode && e.group === group)).length;
    for (const curve of inOrder) {
      const entry = run.page.catalogue.find((c) => c.name === curve.name && c.mode === curve.mode);
      if (!entry || entry.group !== group || !curve.x.length) continue;
      // With one run a curve has its colour; with several a run has its own and curves differ by their dashes.
      if (!slot.has(curve.name)) slot.set(curve.name, slot.size);
      const colour = colours[(runs.length > 1 ? order : number_) % colours.length];
      // More curves than colours: those of the second round are dashed.
      const dash = DASHES[(runs.length > 1 ? slot.get(curve.name) : Math.floor(number_ / colours.length)) % DASHES.length];
      const sum = group === "loss" && curve.name === "loss" && runs.length === 1 && terms > 1;
      const label = `${prefix}${curve.name}${curve.mode === "val" && group !== "score" ? " (val)" : ""}`;
      const secondary = group === "score" && curve.name !== run.page.score;
      found.push({ ...curve, label, colour, dash, faint: Boolean(curve.smooth), broken: curve.broken ?? [], hidden: secondary,
        width: curve.smooth ? 1 : sum ? 4 : 1.75, broad: sum, points: curve.x.length < 60 });
      if (curve.smooth) found.push({ x: curve.smooth_x, y: curve.smooth, label: `${label} ${say("smoothed")}`, colour, dash, width: 2, broken: [] });
      number_++;
      if (group === "score" && curve.name === "AP" && low && high) {
        bands.push([found.length, found.length + 1, colour]);
        found.push({ x: high.x, y: high.y, label: `${prefix}${say("score_band")} ↑`, colour, dash: [2, 2], width: 0.75, broken: [] });
        found.push({ x: low.x, y: low.y, label: `${prefix}${say("score_band")} ↓`, colour, dash: [2, 2], width: 0.75, broken: [] });
      }
    }
  }
  const first = runs[0].page;
  if (group === "score" && found.some((c) => c.name === "AP") && first.guide.length && (axis === "epoch" || first.epoch_length)) {
    const { x, high, low } = guideLines(first, axis, found.filter((c) => c.name === "AP").flatMap((c) => c.x));
    bands.push([found.length, found.length + 1, css("--guide")]);
    found.push({ x, y: high, guide: true, label: `${say("guide")} ↑`, colour: css("--guide"), dash: [6, 4], width: 1, broken: [], hidden: !guideOn });
    found.push({ x, y: low, guide: true, label: `${say("guide")} ↓`, colour: css("--guide"), dash: [6, 4], width: 1, broken: [], hidden: !guideOn });
  }
  return { found, bands };
}

// Alerts as vertical marks, and NaN as marks at the foot, where there is no value to draw.
function marks(alerts, position, found) {
  return { hooks: { draw: [(plot) => {
    const { ctx, bbox } = plot;
    const ratio = devicePixelRatio || 1;
    ctx.save();
    for (const alert of alerts) {
      const x = plot.valToPos(position(alert.iteration), "x", true);
      if (!(x >= bbox.left && x <= bbox.left + bbox.width)) continue;
      ctx.strokeStyle = ctx.fillStyle = css(`--${alert.severity}`);
      ctx.lineWidth = ratio;
      ctx.setLineDash([4 * ratio, 3 * ratio]);
      ctx.beginPath(); ctx.moveTo(x, bbox.top); ctx.lineTo(x, bbox.top + bbox.height); ctx.stroke();
      ctx.beginPath(); ctx.moveTo(x - 5 * ratio, bbox.top); ctx.lineTo(x + 5 * ratio, bbox.top); ctx.lineTo(x, bbox.top + 8 * ratio); ctx.fill();
    }
    ctx.setLineDash([]);
    ctx.fillStyle = css("--critical");
    ctx.font = `${11 * ratio}px sans-serif`;
    ctx.textAlign = "center";
    for (const curve of found) for (const at of curve.broken) {
      const x = plot.valToPos(at, "x", true);
      if (x >= bbox.left && x <= bbox.left + bbox.width) ctx.fillText("×", x, bbox.top + bbox.height - 2 * ratio);
    }
    ctx.restore();
  }] } };
}

function summary(title, found) {
  const parts = found.filter((c) => !c.hidden && c.y.length).map((c) => {
    const known = c.y.filter((y) => y !== null);
    const bad = c.broken.length ? `, ${say("not_finite")} ${c.broken.slice(0, 3).map(number).join(", ")}` : "";
    return known.length ? `${c.label} ${number(known[0])} → ${number(known.at(-1))}${bad}` : `${c.label} –${bad}`;
  });
  return `${title}: ${parts.join("; ")}`;
}

// Without a pointer over the chart its legend tells the newest values: those of the run, for the guide goes on behind it.
function idle(plot, found) {
  if (plot.cursor.left >= 0 || !plot.root.isConnected) return;
  const last = plot.data[0].length - 1;
  const ends = found.filter((curve) => !curve.guide && curve.x.length).map((curve) => curve.x.at(-1));
  const newest = ends.length ? plot.data[0].lastIndexOf(Math.max(...ends)) : last;
  plot.setLegend({ idxs: plot.data.map((column, index) => index ? nearest(column, newest, last) : newest) }, false);
}

// A value of the legend; where the newest of a curve is no number, that is what it stands at.
function told(plot, value, curve, index) {
  const at = plot.cursor.left >= 0 ? plot.data[0][plot.cursor.idxs?.[0] ?? index] : Infinity;
  const broken = curve?.broken.findLast((x) => x <= at);
  if (broken !== undefined && (value === null || value === undefined || broken > plot.data[0][index])) return say("no_number");
  return number(value);
}

export class Charts {
  constructor(host, onRange) {
    this.host = host;
    this.onRange = onRange;
    this.plots = new Map();
    this.shown = new Map();
    new ResizeObserver(() => this.resize()).observe(host);
  }

  // runs: [{page, curves}], the one shown first.
  draw(runs, { axis, log, range, guideOn = true }) {
    const groups = ORDER.filter((group) => runs.some((run) => run.page.catalogue.some((c) => c.group === group)));
    for (const [group, held] of this.plots) if (!groups.includes(group)) { held.plot.destroy(); held.box.remove(); this.plots.delete(group); }
    const empty = this.host.querySelector(".empty");
    if (empty) empty.remove();
    if (!groups.length) this.host.append(element("p", { class: "empty hint" }, say("no_curves")));
    const page = runs[0].page;
    const position = (iteration) => axis === "epoch" && page.epoch_length ? iteration / page.epoch_length : iteration;
    for (const group of groups) {
      const { found, bands } = lines(group, runs, guideOn, axis);
      const isLog = log && group === "loss";
      const data = joined(found);
      if (isLog) for (const column of data.slice(1)) for (let i = 0; i < column.length; i++) if (column[i] <= 0) column[i] = null;
      const signature = JSON.stringify([found.map((c) => [c.label, c.colour, c.dash, c.width, c.points]), isLog, axis, document.documentElement.lang, css("--text")]);
      const title = say(TITLES[group] ?? group);
      let held = this.plots.get(group);
      if (held && held.signature === signature) {
        held.live.alerts = page.alert_cards; held.live.found = found; held.live.position = position; held.live.range = range;
        held.plot.setData(data, false);
        this.fit(held, range);
      } else {
        if (held) { held.plot.destroy(); held.box.remove(); }
        held = this.make(group, title, found, bands, data, { isLog, axis, live: { alerts: page.alert_cards, found, position, range } });
        held.signature = signature;
        this.plots.set(group, held);
      }
      held.figure.setAttribute("aria-label", summary(title, found));
      this.shown.set(group, found);
    }
    for (const group of groups) this.host.append(this.plots.get(group).box);
  }

  fit(held, range) {
    held.plot.setScale("x", { min: range[0], max: range[1] });
    held.plot.redraw(true);
    // uPlot draws with the next microtask and empties the legend then.
    setTimeout(() => idle(held.plot, held.live.found), 0);
  }

  make(group, title, found, bands, data, { isLog, axis, live }) {
    const remembered = this.shown.get(`${group} hidden`) ?? new Map();
    const box = element("article", { class: "chart", "data-group": group }, element("h3", {}, title));
    const figure = element("div", { class: "plot", role: "img" });
    box.append(figure);
    this.host.append(box);
    const text = css("--muted"), grid = css("--grid");
    const axes = { stroke: text, grid: { stroke: grid, width: 1 }, ticks: { stroke: grid, width: 1 }, font: "11px system-ui, sans-serif" };
    const options = {
      width: Math.max(200, figure.clientWidth), height: HEIGHT,
      cursor: { drag: { x: true, y: false, setScale: false }, dataIdx: (u, s, i) => s === 0 ? i : nearest(u.data[s], i, 400), points: { size: 6 } },
      scales: { x: { time: false, range: () => live.range }, y: { distr: isLog ? 3 : 1,
        range: (u, low, high) => low === null ? [isLog ? 1e-6 : 0, 1] : isLog ? uPlot.rangeLog(low, high, 10, false) : low === 0 && high === 0 ? [0, 1] : low === high ? [low - Math.abs(low || 1) * 0.1, high + Math.abs(high || 1) * 0.1] : uPlot.rangeNum(low, high, { min: { pad: 0.05, soft: low >= 0 && low < 0.5 * high ? 0 : low, mode: 1 }, max: { pad: 0.05 } }) } },
      axes: [{ ...axes, values: (u, ticks) => ticks.map(short), size: 28 }, { ...axes, size: 58, values: (u, ticks) => ticks.map((t) => t === null ? "" : short(t)) }],
      series: [{ label: say(axis === "epoch" ? "epoch" : "iteration"), value: (u, v) => number(v) },
        ...found.map((curve) => ({
          label: curve.label, stroke: curve.faint ? curve.colour + "55" : curve.broad ? curve.colour + "88" : curve.colour, width: curve.width, dash: curve.dash, spanGaps: true,
          show: !(remembered.get(curve.label) ?? curve.hidden ?? false), points: { show: Boolean(curve.points), size: 5 },
          value: (u, v, at, index) => told(u, v, live.found[at - 1], index),
        }))],
      bands: bands.map(([high, low, colour]) => ({ series: [high + 1, low + 1], fill: colour + "26" })),
      plugins: [{ hooks: { draw: [(u) => marks(live.alerts, live.position, live.found).hooks.draw[0](u)],
        ready: [(u) => idle(u, live.found)], setLegend: [(u) => idle(u, live.found)],
        setCursor: [(u) => {
          const near = u.cursor.left < 0 ? [] : live.alerts.filter((alert) => Math.abs(u.valToPos(live.position(alert.iteration), "x") - u.cursor.left) < 6);
          u.over.title = near.map((alert) => `${say(alert.severity)}: ${alert.kind} · ${say("iteration")} ${alert.iteration}`).join("\n");
        }],
        setSelect: [(u) => {
          if (u.select.width < 5) return;
          this.onRange([u.posToVal(u.select.left, "x"), u.posToVal(u.select.left + u.select.width, "x")]);
          u.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
        }],
        setSeries: [(u, index, options_) => {
          if (index !== null && options_ && "show" in options_) { remembered.set(u.series[index].label, !u.series[index].show); this.shown.set(`${group} hidden`, remembered); }
        }] } }],
    };
    const plot = new uPlot(options, data, figure);
    plot.over.addEventListener("dblclick", () => this.onRange(null));
    // The legend's entries switch curves off and on: by keyboard too.
    for (const row of figure.querySelectorAll(".u-legend .u-series")) {
      const head = row.querySelector("th");
      if (!row.previousElementSibling) continue;
      head.tabIndex = 0;
      head.setAttribute("role", "button");
      const state = () => head.setAttribute("aria-pressed", String(!row.classList.contains("u-off")));
      state();
      new MutationObserver(state).observe(row, { attributes: true, attributeFilter: ["class"] });
      head.addEventListener("keydown", (event) => {
        if (event.key === "Enter" || event.key === " ") { event.preventDefault(); head.click(); }
      });
    }
    figure.removeAttribute("role");
    figure.setAttribute("role", "group");
    return { plot, box, figure, live };
  }

  resize() {
    for (const { plot, figure } of this.plots.values())
      if (figure.clientWidth && figure.clientWidth !== plot.width) plot.setSize({ width: figure.clientWidth, height: HEIGHT });
  }

  clear() {
    for (const { plot, box } of this.plots.values()) { plot.destroy(); box.remove(); }
    this.plots.clear();
  }
}
