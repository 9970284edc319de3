// Numbers, times and elements as the page writes them.
import { say } from "./words.js";

export function number(value) {
  if (value === null || value === undefined) return "–";
  if (typeof value !== "number") return String(value);
  if (value === 0 || Number.isInteger(value) && Math.abs(value) < 1e7) return String(value);
  const size = Math.abs(value);
  return size >= 1e-3 && size < 1e6 ? String(Number(value.toPrecision(6))) : value.toExponential(5).replace(/\.?0+e/, "e");
}
export function short(value) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  if (value === 0) return "0";
  if (size >= 1e9) return value.toPrecision(4).replace(/\.?0*e\+?/, "e");
  if (size >= 1e6) return `${Number((value / 1e6).toPrecision(4))} M`;
  if (size >= 1e4) return `${Number((value / 1e3).toPrecision(4))} k`;
  return size >= 1e-3 && size < 1e5 ? String(Number(value.toPrecision(4))) : value.toExponential(1).replace(".0e", "e");
}
export function duration(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 90) return `${s}${say("unit_s")}`;
  if (s < 5400) return `${Math.round(s / 60)}${say("unit_min")}`;
  if (s < 129600) return `${Math.round(s / 3600)}${say("unit_h")}`;
  return `${Math.round(s / 86400)}${say("unit_d")}`;
}
export function instant(unixSeconds) {
  const at = new Date(unixSeconds * 1000);
  const two = (n) => String(n).padStart(2, "0");
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${two(at.getHours())}:${two(at.getMinutes())}`;
}
export function bytes(size) {
  return size < 2 ** 20 ? `${(size / 2 ** 10).toFixed(1)} KiB` : `${(size / 2 ** 20).toFixed(1)} MiB`;
}
export function stateText(run) {
  const state = say(run.state);
  if (run.state !== "silent") return state;
  const ago = duration(Date.now() / 1000 - run.changed_at);
  return document.documentElement.lang === "ko" ? `${ago}째 ${state}` : `${state} ${say("for")} ${ago}`;
}
// Text only ever becomes text: what a log says is never read as HTML.
export function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value === true) node.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(key, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}
export function table(caption, columns, rows) {
  return element("table", {}, element("caption", {}, caption),
    element("thead", {}, element("tr", {}, ...columns.map((name) => element("th", { scope: "col" }, name)))),
    element("tbody", {}, ...rows.map((cells) => element("tr", {}, ...cells.map((cell, index) =>
      element(index ? "td" : "th", index ? {} : { scope: "row" }, cell ?? "–"))))));
}
