// Everything about a run that is not a curve.
import { bytes, duration, element, instant, number, stateText, table } from "./format.js";
import { currentLanguage, say } from "./words.js";

const fraction = (value) => value === null || value === undefined ? "–" : value.toFixed(3);

const QUIET = ["spike", "too_short", "alarmed", "repaired", "warned"];
const tone = (run) => !run.verdict ? "" : run.verdict === "healthy" ? "good"
  : QUIET.includes(run.verdict) || run.verdict === "zero_score" && run.state === "training" ? "warn" : "bad";

// What goes on first, then the newest; what has ended keeps its place.
export function inOrder(runs) {
  const rank = (run) => run.state === "training" ? 0 : 1;
  return [...runs].sort((a, b) => rank(a) - rank(b) || (rank(a) ? b.changed_at - a.changed_at : 0) || a.name.localeCompare(b.name));
}

export function runList(host, runs, shown, overlaid, onOverlay) {
  const kept = document.activeElement?.closest?.("#runs li")?.dataset.id;
  const part = document.activeElement?.tagName;
  host.replaceChildren(...inOrder(runs).map((run) => {
    const link = element("a", { href: `#${run.id}`, "aria-current": run.id === shown ? "page" : null },
      element("strong", {}, run.name),
      element("span", { class: "facts" },
        element("span", { class: `state ${run.state}` }, stateText(run)), " ",
        progress(run), run.best === null ? "" : ` · ${say("best")} ${run.score} ${fraction(run.best)}`),
      element("span", { class: `verdict ${tone(run)}` }, verdict(run)),
      counts(run));
    const tick = element("input", { type: "checkbox", "aria-label": `${say("overlay")}: ${run.name}`, onchange: (event) => onOverlay(run.id, event.target.checked) });
    tick.checked = overlaid.has(run.id);
    tick.disabled = run.id === shown;
    return element("li", { "data-id": run.id, class: run.id === shown ? "shown" : "" }, tick, link);
  }));
  if (kept) host.querySelector(`li[data-id="${kept}"] ${part === "INPUT" ? "input" : "a"}`)?.focus();
}

// Of what has no records there is nothing to say yet, and will not be of what cannot be read.
const verdict = (run) => run.verdict ? say(run.verdict) : ["unreadable", "empty"].includes(run.state) ? "–" : say("unknown");

function progress(run) {
  if (run.epoch === null) return run.iteration === null ? "" : `${say("iteration")} ${run.iteration}`;
  return `${say("epoch")} ${number(run.epoch)}${run.total_epochs ? ` ${say("of")} ${run.total_epochs}` : ""}`;
}

function counts(run) {
  const parts = ["critical", "warning"].filter((severity) => run.alerts[severity]).map((severity) =>
    element("span", { class: `count ${severity}` }, `${run.alerts[severity]} ${say(run.alerts[severity] === 1 ? severity : `${severity}_many`)}`));
  return element("span", { class: "counts" }, ...parts);
}

// Built anew only when something is: who has the focus in it, or marks a command to copy it, keeps both.
const built = new WeakMap();
function isNew(host, ...parts) {
  const signature = JSON.stringify([document.documentElement.lang, ...parts]);
  if (built.get(host) === signature) return false;
  built.set(host, signature);
  return true;
}

export function runHead(host, page) {
  // "silent since" goes on by itself.
  if (!isNew(host, page.name, page.path, stateText(page), page.verdict, page.epoch, page.iteration, page.best, page.changed_at, page.notes, page.why, page.read, page.overview)) return;
  const fact = (name, value, kind = "") => element("div", { class: `fact ${kind}` }, element("dt", {}, name), element("dd", {}, ...[value].flat()));
  const where = page.best_epoch === null ? "" : ` (${say("at_epoch")} ${number(page.best_epoch)})`;
  const best = page.best === null ? ["–"] : [fraction(page.best), " ", element("small", {}, where.trim())];
  const notes = [...page.notes];
  if (page.why) notes.unshift(`${say("why")}: ${page.why}`);
  if (page.state === "silent" && page.format === "sdpose") notes.unshift(say("silent_why"));
  if (page.overview || page.read < 0.999 && page.format !== "unreadable")
    notes.unshift(`${say("reading")}: ${Math.round(100 * page.read)} %${page.overview ? ` – ${say("overview")}` : ""}`);
  host.replaceChildren(
    element("h2", {}, page.name), element("p", { class: "path" }, `${page.path} · ${page.format}`),
    element("dl", { class: "fact-row" },
      fact(say("state"), stateText(page), `state ${page.state}`),
      fact(say("verdict"), verdict(page), tone(page)),
      fact(say("epoch"), page.epoch === null ? "–" : `${number(page.epoch)}${page.total_epochs ? ` ${say("of")} ${page.total_epochs}` : ""}`),
      fact(say("iteration"), number(page.iteration)),
      fact(`${say("best")} ${page.score ?? ""}`, best),
      fact(say("last_record"), `${instant(page.changed_at)}`)),
    ...notes.map((note) => element("p", { class: "note" }, note)));
}

const chosen = new Map();
const RANK = { critical: 0, warning: 1, info: 2 };
const MOST_PLACES = 12;

// One card of a kind, for its newest of the gravest; the others are named by their iterations.
function gathered(alerts) {
  const groups = new Map();
  for (const alert of alerts) {
    const key = `${alert.kind} ${alert.metric}`;
    groups.set(key, [...(groups.get(key) ?? []), alert]);
  }
  return [...groups.values()].map((group) => {
    const [first, ...others] = [...group].sort((a, b) => RANK[a.severity] - RANK[b.severity] || b.iteration - a.iteration);
    return { ...first, also: others.map((alert) => alert.iteration).sort((a, b) => a - b) };
  }).sort((a, b) => RANK[a.severity] - RANK[b.severity] || a.iteration - b.iteration);
}

export function alertCards(host, page) {
  if (!isNew(host, page.id, page.alert_cards)) return;
  const kept = document.activeElement?.closest?.("#alerts details")?.dataset.key;
  for (const node of host.querySelectorAll("details")) {
    // What somebody opened or closed stays so.
    if (node.open !== (node.dataset.begun === "true")) chosen.set(`${node.dataset.run} ${node.dataset.key}`, node.open);
  }
  const cards = gathered(page.alert_cards);
  if (!cards.length) { host.replaceChildren(element("p", { class: "hint" }, say("no_alerts"))); return; }
  host.replaceChildren(...cards.map((alert, index) => {
    const key = `${alert.kind} ${alert.metric}`;
    const list = (title, entries) => entries.length ? [element("h4", {}, title), element("ul", {}, ...entries.map((entry) => element("li", {}, entry)))] : [];
    const source = [say(alert.source === "run" ? "by_run" : "by_log")];
    if (alert.remade) source.push(say("remade"));
    if (alert.language !== currentLanguage()) source.push(say("as_written"));
    // The badge says what the sign before the message says.
    const [first, ...rest] = alert.message.replace(/^\p{Extended_Pictographic}\ufe0f?\s*/u, "").split("\n");
    const more = element("details", { "data-key": key, "data-run": page.id },
      element("summary", {}, `${say("causes")}, ${say("actions")}`),
      ...list(say("causes"), alert.causes), ...list(say("actions"), alert.actions),
      ...list(say("evidence"), Object.entries(alert.evidence).map(([name, value]) => `${name}: ${typeof value === "object" ? JSON.stringify(value) : number(value)}`)));
    // What to do about the gravest stands there at once.
    more.open = chosen.get(`${page.id} ${key}`) ?? (index === 0 && alert.severity === "critical");
    more.dataset.begun = String(more.open);
    return element("article", { class: `alert ${alert.severity}`, lang: alert.language },
      element("h3", {}, element("span", { class: `count ${alert.severity}` }, say(alert.severity)), ` ${alert.kind} · ${say("epoch")} ${alert.epoch}, ${say("iteration")} ${alert.iteration}`),
      element("p", { class: "message" }, element("strong", {}, first), ...rest.flatMap((line) => [document.createElement("br"), line.trim()])),
      alert.also.length ? element("p", { class: "also" }, `${say("also_at")} ${alert.also.slice(-MOST_PLACES).join(", ")}${alert.also.length > MOST_PLACES ? " …" : ""}`) : null,
      element("p", { class: "hint" }, source.join(" · ")), more);
  }));
  if (kept) [...host.querySelectorAll("details")].find((node) => node.dataset.key === kept)?.querySelector("summary").focus();
}

export function checkpointTable(host, page) {
  if (!isNew(host, page.id, page.checkpoints)) return;
  if (!page.checkpoints.length) { host.replaceChildren(element("p", { class: "hint" }, say("no_checkpoints"))); return; }
  host.replaceChildren(table(say("checkpoints"), [say("name"), say("size"), say("changed")], page.checkpoints.map((entry) => [
    entry.points_to ? `${entry.name} → ${entry.points_to}` : entry.name, bytes(entry.bytes), instant(entry.changed_at)])));
}

export function picture(section, host, page) {
  section.hidden = !page.picture;
  if (!page.picture) { host.replaceChildren(); return; }
  const source = `/api/runs/${page.id}/picture?at=${page.picture.changed_at}`;
  const known = host.querySelector("img");
  if (known?.getAttribute("src") === source) return;
  const alt = `${say("picture_alt")} ${instant(page.picture.changed_at)}`;
  host.replaceChildren(element("a", { href: source, target: "_blank", rel: "noopener" }, element("img", { src: source, alt, loading: "lazy" })),
    element("p", { class: "hint" }, `${page.picture.name}, ${instant(page.picture.changed_at)}`));
}

export function differenceTable(host, answer) {
  if (!answer) { host.replaceChildren(); return; }
  const parts = [element("h3", {}, say("differs"))];
  if (answer.missing.length) parts.push(element("p", { class: "note" }, `${say("missing_config")}: ${answer.missing.join(", ")}`));
  if (answer.differences.length) parts.push(element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": say("differs") },
    table(say("differs"), [say("setting"), ...answer.runs], answer.differences.map((row) => [row.name, ...row.values.map((value) => value ?? say("not_set"))]))));
  else parts.push(element("p", { class: "hint" }, say("no_difference")));
  host.replaceChildren(...parts);
}

export function numberTable(host, answer, caption) {
  const names = { step: say("step"), epoch: say("epoch") };
  host.replaceChildren(table(`${caption}: ${answer.rows.length} ${say("shown_of")} ${answer.total}`,
    answer.columns.map((name) => names[name] ?? name), answer.rows.map((row) => answer.columns.map((name) => row[name] === undefined ? "–" : String(row[name])))));
}
export { duration };
