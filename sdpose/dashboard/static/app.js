// What is shown, and when it is asked for anew.
import { Charts } from "./charts.js";
import { say, speak, currentLanguage } from "./words.js";
import * as panels from "./panels.js";

const WINDOWS = [1, 3, 5, 10, 25, 50, 100, 250, 1000, 5000];
const at = (id) => document.getElementById(id);
const state = { runs: new Map(), shown: null, overlaid: new Set(), range: null, version: new Map(), page: null, drawing: false, again: false, held: null, connected: null };

function remember(key, value) { try { localStorage.setItem(`sdpose-watch-${key}`, value); } catch { /* a browser that keeps nothing */ } }
function recall(key, otherwise) { try { return localStorage.getItem(`sdpose-watch-${key}`) ?? otherwise; } catch { return otherwise; } }

async function ask(path) {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
  return answer.json();
}

const charts = new Charts(at("charts"), (range) => { state.range = range; showRange(); refresh(); });

function showRange() {
  at("from").value = state.range ? Number(state.range[0].toPrecision(7)) : "";
  at("to").value = state.range ? Number(state.range[1].toPrecision(7)) : "";
}

function showList() {
  panels.runList(at("runs"), [...state.runs.values()], state.shown, state.overlaid, (id, on) => {
    if (on) state.overlaid.add(id); else state.overlaid.delete(id);
    differences();
    refresh();
  });
}

// The least and the greatest of each column of a chart's pixels.
function numPoints() {
  const width = at("charts").querySelector(".plot")?.clientWidth || at("charts").clientWidth / 2;
  return Math.round(Math.min(2400, Math.max(400, 2 * width)));
}

function curvesPath(id) {
  const query = new URLSearchParams({ x: at("axis").value, points: String(numPoints()), window: String(WINDOWS[at("smoothing").value]) });
  if (state.range) { query.set("from", state.range[0]); query.set("to", state.range[1]); }
  return `/api/runs/${id}/curves?${query}`;
}

// One at a time: what comes meanwhile is drawn with the next.
async function refresh() {
  if (state.drawing) { state.again = true; return; }
  if (!state.shown) return;
  state.drawing = true;
  try {
    do {
      state.again = false;
      const shown = state.shown;
      const ids = [shown, ...[...state.overlaid].filter((id) => id !== shown && state.runs.has(id))];
      const runs = await Promise.all(ids.map(async (id) => {
        const [page, answer] = await Promise.all([ask(`/api/runs/${id}?lang=${currentLanguage()}`), ask(curvesPath(id))]);
        return { page, curves: answer.curves, extent: answer.extent };
      }));
      if (shown !== state.shown) { state.again = true; continue; }
      state.held = runs;
      show();
    } while (state.again);
    at("main").removeAttribute("aria-busy");
  } catch (error) {
    at("connection").textContent = error.message;
  } finally { state.drawing = false; }
}

function show() {
  const runs = state.held;
  if (!runs) return;
  const page = runs[0].page;
  state.page = page;
  document.title = `${page.name} · sdpose watch`;
  panels.runHead(at("run-head"), page);
  panels.alertCards(at("alerts"), page);
  panels.checkpointTable(at("checkpoints"), page);
  panels.picture(at("picture-section"), at("picture"), page);
  at("config-details").hidden = !page.config;
  at("no-config").hidden = Boolean(page.config);
  at("config-name").textContent = page.config ?? "";
  at("smoothing-value").textContent = at("smoothing").value === "0" ? say("none") : `${WINDOWS[at("smoothing").value]} ${say("records")}`;
  // Alerts may lie before the first record, and after the last: a run that broke in its first iterations.
  const alerts = at("axis").value === "step" ? page.alert_cards.map((alert) => alert.iteration)
    : page.epoch_length ? page.alert_cards.map((alert) => alert.iteration / page.epoch_length) : [];
  const whole = [Math.min(...runs.map((run) => run.extent[0]), ...alerts), Math.max(...runs.map((run) => run.extent[1]), ...alerts)];
  if (whole[0] === whole[1]) { whole[0] -= 0.5; whole[1] += 0.5; }
  charts.draw(runs, { axis: at("axis").value, log: at("scale").value === "log", range: state.range ?? whole });
  if (at("table-details").open) numbers();
  at("main").dataset.version = page.version;
}

async function numbers() {
  if (!state.shown) return;
  const query = new URLSearchParams({ mode: at("table-mode").value, x: at("axis").value, limit: "40" });
  if (state.range) { query.set("from", state.range[0]); query.set("to", state.range[1]); }
  panels.numberTable(at("table"), await ask(`/api/runs/${state.shown}/rows?${query}`), state.page.name);
}

async function differences() {
  const ids = [state.shown, ...[...state.overlaid].filter((id) => id !== state.shown)];
  panels.differenceTable(at("differences"), ids.length > 1 ? await ask(`/api/compare?runs=${ids.join(",")}`) : null);
}

async function config() {
  if (!at("config-details").open || !state.shown) return;
  const answer = await fetch(`/api/runs/${state.shown}/config`);
  at("config").textContent = await answer.text();
}

// The list scrolls to the run that is shown, the page does not.
function bringIntoList() {
  const item = at("runs").querySelector(".shown"), list = item?.closest("nav");
  if (!item) return;
  const [inner, outer] = [item.getBoundingClientRect(), list.getBoundingClientRect()];
  const below = inner.bottom - Math.min(outer.bottom, innerHeight), above = inner.top - Math.max(outer.top, 0);
  if (below > 0) list.scrollTop += below + 8; else if (above < 0) list.scrollTop += above - 8;
}

function choose(id) {
  if (!state.runs.has(id)) return;
  if (id !== state.shown) { state.range = null; showRange(); at("config").textContent = ""; }
  state.shown = id;
  state.overlaid.delete(id);
  at("main").setAttribute("aria-busy", "true");
  showList();
  bringIntoList();
  differences();
  config();
  refresh();
}

function first() {
  return panels.inOrder([...state.runs.values()])[0]?.id;
}

function connection(good) {
  state.connected = good;
  at("connection").textContent = good === null ? "" : say(good ? "connected" : "lost");
  at("connection").className = good ? "good" : "bad";
}

function listen() {
  const source = new EventSource("/api/events");
  source.addEventListener("runs", (event) => {
    const changed = JSON.parse(event.data);
    for (const run of changed) state.runs.set(run.id, run);
    connection(true);
    const wanted = location.hash.slice(1);
    if (!state.shown) choose(state.runs.has(wanted) ? wanted : first());
    else {
      showList();
      if (changed.some((run) => run.id === state.shown || state.overlaid.has(run.id))) refresh();
    }
  });
  source.onerror = () => connection(false);
}

function theme(value) {
  document.documentElement.dataset.theme = value;
  remember("theme", value);
  show();
}

at("language").addEventListener("change", (event) => { remember("language", event.target.value); speak(event.target.value); connection(state.connected); showList(); differences(); refresh(); });
at("theme").addEventListener("change", (event) => theme(event.target.value));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
at("axis").addEventListener("change", () => { state.range = null; showRange(); refresh(); });
at("scale").addEventListener("change", () => { remember("scale", at("scale").value); refresh(); });
at("smoothing").addEventListener("input", refresh);
at("whole").addEventListener("click", () => { state.range = null; showRange(); refresh(); });
for (const id of ["from", "to"]) at(id).addEventListener("change", () => {
  const [low, high] = [at("from"), at("to")].map((field) => field.value === "" ? null : Number(field.value));
  const extent = state.held?.[0].extent ?? [0, 1];
  const range = [low ?? extent[0], high ?? extent[1]];
  state.range = range[0] < range[1] ? range : null;
  if (!state.range) showRange();
  refresh();
});
at("table-details").addEventListener("toggle", () => at("table-details").open && numbers());
at("table-mode").addEventListener("change", numbers);
at("config-details").addEventListener("toggle", config);
addEventListener("hashchange", () => choose(location.hash.slice(1)));

const spoken = recall("language", navigator.language.startsWith("ko") ? "ko" : "en");
at("language").value = spoken;
at("theme").value = recall("theme", "auto");
at("scale").value = recall("scale", "linear");
document.documentElement.dataset.theme = at("theme").value;
speak(spoken);
listen();
// "silent since" goes on by itself.
setInterval(() => { if (state.runs.size && !at("runs").contains(document.activeElement)) showList(); }, 30000);
