"use strict";
// `#selftest`: presses the keys, looks at the pixels, and writes what it found into the page, where a test reads it.
ddil.selftest = () => {
  const { data, model, view, lanes, chrome } = ddil;
  const results = [];
  const check = (name, good, seen) => results.push({ name, good: Boolean(good), seen: seen === undefined ? null : seen });
  const press = (key, more = {}) => {
    const target = document.activeElement || document.body;
    target.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true, ...more }));
    chrome.draw();
  };
  // A lane is drawn when its row has pixels that are neither its ground nor the card's.
  const drawnLanes = () => {
    const canvas = lanes.canvases.lanes, scale = devicePixelRatio || 1, pen = canvas.getContext("2d");
    const grounds = new Set();
    const key = (pixels, i) => (pixels[i] << 16) | (pixels[i + 1] << 8) | pixels[i + 2];
    const hex = (colour) => parseInt(colour.slice(1), 16);
    for (const name of ["lane", "card", "rule"]) grounds.add(hex(ddil.colours[name]));
    let drawn = 0, seen = 0;
    for (let node = 0; node < data.nodes.length; node++) {
      const y = Math.round((lanes.laneTop(node) + lanes.height() / 2 - lanes.scroller.scrollTop) * scale);
      if (y < 0 || y >= canvas.height) continue;
      seen++;
      const left = Math.round((lanes.GUTTER + 2) * scale), wide = canvas.width - left - Math.round((lanes.RIGHT + 2) * scale);
      const pixels = pen.getImageData(left, y, wide, 1).data;
      let coloured = 0;
      for (let i = 0; i < pixels.length; i += 4) if (!grounds.has(key(pixels, i))) coloured++;
      if (coloured > wide * 0.05) drawn++;
    }
    return { drawn, seen };
  };

  const first = drawnLanes();
  check("lanes are drawn", first.seen > 0 && first.drawn === first.seen, `${first.drawn} of ${first.seen} in view, ${data.nodes.length} nodes`);
  const timeline = document.getElementById("timeline");
  timeline.focus();
  check("the timeline takes the focus", document.activeElement === timeline);
  const all = view.to - view.from;
  press("0");
  press("+");
  check("+ zooms in", Math.abs((view.to - view.from) / all - 0.5) < 0.01 || all < data.duration, view.to - view.from);
  const before = view.from;
  press("ArrowRight");
  check("→ moves", view.from > before, view.from - before);
  press("ArrowLeft");
  check("← moves back", Math.abs(view.from - before) < 1, view.from - before);
  press("-");
  press("0");
  check("0 shows the whole run", view.from === 0 && view.to === data.duration);
  press("ArrowDown");
  const lane = view.lane;
  press("ArrowDown");
  check("↓ chooses the next lane", lane >= 0 && (data.nodes.length === 1 || view.lane !== lane), view.lane);
  press("Escape");
  check("Esc leaves the lane", view.lane === -1);
  if (model.faults.length) {
    press("n");
    const fault = model.faults[0];
    check("n shows the next fault", view.from <= fault.at && view.to >= fault.end && view.to - view.from <= data.duration, [view.from, view.to]);
    press("p");
    check("p shows the one before", view.fault === model.faults.length - 1 || model.faults.length === 1, view.fault);
    press("Escape");
  }
  if (model.findings.length) {
    press("f");
    const finding = model.findings[0];
    check("f shows the next finding", view.from <= finding.at && view.to >= finding.at, [view.from, view.to]);
    press("Escape");
  }
  const arrows = view.arrows;
  press("a");
  check("a changes the arrows", view.arrows !== arrows, view.arrows);
  press("a");
  press("a");
  press("0");
  const help = document.getElementById("help");
  press("?");
  check("? opens the help", help.open);
  press("?");
  check("? closes it", !help.open);
  timeline.focus();
  const theme = document.documentElement.hasAttribute("data-dark");
  const chosen = chrome.theme();
  for (let i = 0; i < 3 && document.documentElement.hasAttribute("data-dark") === theme; i++) press("t");
  check("t changes the theme", document.documentElement.hasAttribute("data-dark") !== theme);
  const other = drawnLanes();
  check("lanes are drawn in the other theme", other.drawn === other.seen, other.drawn);
  chrome.applyTheme(chosen);

  // The mouse: a lane is told about, a drag moves, a click keeps.
  const pointer = (kind, canvas, px, py) => {
    const box = canvas.getBoundingClientRect();
    canvas.dispatchEvent(new PointerEvent(kind, { bubbles: true, button: 0, clientX: box.left + px, clientY: box.top + py }));
    chrome.draw();
  };
  press("0");
  const canvas = lanes.canvases.lanes, centre = lanes.width() / 2, row = lanes.laneTop(0) + lanes.height() / 2;
  pointer("pointermove", canvas, centre, row);
  const tip = document.getElementById("tip");
  check("a lane is told about", !tip.hidden && tip.textContent.includes(data.nodes[0].name), tip.textContent.slice(0, 80));
  press("+");
  const start = view.from;
  pointer("pointerdown", canvas, centre, row);
  pointer("pointermove", canvas, centre - 60, row);
  pointer("pointerup", canvas, centre - 60, row);
  check("a drag moves", view.from > start, view.from - start);
  pointer("pointerdown", canvas, centre, row);
  pointer("pointerup", canvas, centre, row);
  check("a click keeps the details", !document.getElementById("pinned").hidden, document.getElementById("pinned").textContent.slice(0, 80));
  press("Escape");
  if (model.faults.length) {
    press("n");
    const fault = model.faults[view.fault];
    const found = chrome.facts.fault(fault)[1].map(([name]) => name);
    check("a fault tells what it did", found.includes("Did"), found);
    press("Escape");
  }

  // The closest look at a write and where it went.
  const shown = model.documents.end.findIndex((end) => end >= 0);
  if (shown >= 0) {
    const start = model.documents.start[shown], span = Math.max(200, (model.documents.end[shown] - start) * 2);
    ddil.keys.show(start - span / 2, start + span);
    chrome.draw();
    const found = chrome.facts.documents(shown);
    check("an arrow tells its latency", found[1].some(([name]) => name === "Latency"), found[0]);
  }
  ddil.keys.show(0, data.duration);
  chrome.pin(null);
  const began = performance.now();
  for (let i = 0; i < 5; i++) chrome.draw();
  const frame = (performance.now() - began) / 5;
  const named = [...document.querySelectorAll("button, [role], dialog, canvas:not([aria-hidden])")];
  const unnamed = named.filter((one) => !(one.textContent.trim() || one.getAttribute("aria-label") || one.getAttribute("aria-labelledby") || one.getAttribute("role") === "tooltip" || one.hasAttribute("hidden") || one.getAttribute("aria-live")));
  check("everything that can be used has a name", unnamed.length === 0, unnamed.map((one) => one.id || one.tagName));
  const requests = performance.getEntriesByType("resource").map((entry) => entry.name);
  check("nothing was requested", requests.length === 0, requests);
  check("no script failed", ddil.errors.length === 0, ddil.errors);
  return {
    good: results.every((result) => result.good),
    nodes: data.nodes.length,
    // From the beginning of the navigation, and of that the scripts alone.
    ready_ms: Math.round(ddil.ready), script_ms: Math.round(ddil.ready - ddil.started), frame_ms: Math.round(frame * 10) / 10,
    results,
  };
};
if (ddil.asked.has("selftest")) {
  const place = document.getElementById("selftest");
  try {
    place.textContent = JSON.stringify(ddil.selftest());
  } catch (error) {
    place.textContent = JSON.stringify({ good: false, results: [{ name: "the test itself", good: false, seen: String(error.stack) }] });
  }
  place.hidden = false;
}
