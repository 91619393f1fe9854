"use strict";
// Keys, mouse, and the address of the page.
ddil.keys = (() => {
  const { data, model, view, text, lanes, chrome } = ddil;
  const get = (id) => document.getElementById(id);
  const timeline = get("timeline"), help = get("help");
  // A millisecond is the grain of the simulated clock; ten of them are the closest look.
  const LEAST = Math.min(10, data.duration);

  const show = (from, to) => {
    const span = Math.max(LEAST, Math.min(data.duration, to - from));
    const centre = (from + to) / 2;
    view.from = Math.max(0, Math.min(data.duration - span, centre - span / 2));
    view.to = view.from + span;
    chrome.drawSoon();
    remember();
  };
  const zoom = (factor, around = (view.from + view.to) / 2) => {
    const span = Math.max(LEAST, Math.min(data.duration, (view.to - view.from) * factor));
    const part = (around - view.from) / (view.to - view.from);
    show(around - span * part, around + span * (1 - part));
  };
  const move = (share) => { const by = (view.to - view.from) * share; if (by < 0) { const can = Math.max(by, -view.from); show(view.from + can, view.to + can); } else { const can = Math.min(by, data.duration - view.to); show(view.from + can, view.to + can); } };

  const chooseLane = (node) => {
    view.lane = node;
    if (node >= 0) {
      lanes.reveal(node);
      chrome.say("Lane " + data.nodes[node].name);
    }
    chrome.drawSoon();
    remember();
  };
  // Lanes in the order in which they are drawn.
  const stepLane = (by) => {
    const order = lanes.rows().filter((row) => row.node !== undefined).map((row) => row.node);
    const at = order.indexOf(view.lane);
    chooseLane(order[Math.max(0, Math.min(order.length - 1, at < 0 ? (by > 0 ? 0 : order.length - 1) : at + by))]);
  };
  const stepFault = (by) => {
    if (!model.faults.length) { chrome.say("There are no faults"); return; }
    view.fault = (view.fault + by + model.faults.length + (view.fault < 0 && by < 0 ? 1 : 0)) % model.faults.length;
    const fault = model.faults[view.fault], margin = Math.max(5000, (fault.end - fault.at) * 0.25);
    show(fault.at - margin, fault.end + margin);
    chrome.pin(chrome.facts.fault(fault));
    chrome.say("Fault " + (view.fault + 1) + " of " + model.faults.length + ": " + fault.name + ", " + text.time(fault.at) + " to " + text.time(fault.end));
  };
  const showFinding = (finding, focus) => {
    const span = Math.min(data.duration, Math.max(20000, data.duration / 60));
    if (finding.node !== undefined) chooseLane(finding.node);
    show(finding.at - span / 2, finding.at + span / 2);
    chrome.pin([finding.check ? "Finding of " + finding.check : "Finding", [["What", finding.text], ["At", text.time(finding.at, 1)]]]);
    chrome.say("Finding: " + finding.text);
    if (focus) { timeline.focus({ preventScroll: true }); timeline.scrollIntoView({ block: "center" }); }
  };
  const stepFinding = (by) => {
    if (!model.findings.length) { chrome.say("There are no findings: nothing is wrong, or nothing that has a time"); return; }
    view.finding = (view.finding + by + model.findings.length + (view.finding < 0 && by < 0 ? 1 : 0)) % model.findings.length;
    showFinding(model.findings[view.finding], false);
  };
  const ARROWS = ["documents", "datagrams", "none"];
  const setArrows = (arrows) => {
    view.arrows = ARROWS.includes(arrows) ? arrows : "documents";
    chrome.say("Arrows: " + view.arrows);
    chrome.drawSoon();
    remember();
  };
  const setHeight = (by) => { view.laneHeight = Math.max(4, Math.min(60, lanes.height() + by)); chrome.drawSoon(); };

  // Everywhere on the page; the arrow keys only in the timeline, where they do not scroll.
  const ANYWHERE = {
    "+": () => zoom(0.5), "=": () => zoom(0.5), "-": () => zoom(2), 0: () => show(0, data.duration),
    n: () => stepFault(1), p: () => stepFault(-1), f: () => stepFinding(1), F: () => stepFinding(-1),
    a: () => setArrows(ARROWS[(ARROWS.indexOf(view.arrows) + 1) % 3]),
    "[": () => setHeight(-2), "]": () => setHeight(2), t: () => chrome.nextTheme(),
    "?": () => (help.open ? help.close() : help.showModal()),
    Escape: () => { chrome.pin(null); chrome.point(null); chooseLane(-1); },
  };
  const IN_TIMELINE = {
    ArrowLeft: (event) => move(event.shiftKey ? -0.9 : -0.12), ArrowRight: (event) => move(event.shiftKey ? 0.9 : 0.12),
    ArrowUp: () => stepLane(-1), ArrowDown: () => stepLane(1), Home: () => show(0, view.to - view.from),
    End: () => show(data.duration - (view.to - view.from), data.duration),
    Enter: () => { if (view.lane >= 0) chrome.pin(chrome.facts.lane(view.lane, (view.from + view.to) / 2)); },
  };
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (help.open && event.key !== "?") return;
    const inside = timeline.contains(document.activeElement) && IN_TIMELINE[event.key];
    const action = inside || ANYWHERE[event.key];
    if (!action) return;
    event.preventDefault();
    action(event);
  });

  const on = (id, action) => get(id).addEventListener("click", action);
  on("zoom-in", () => zoom(0.5));
  on("zoom-out", () => zoom(2));
  on("zoom-all", () => show(0, data.duration));
  on("next-fault", () => stepFault(1));
  on("previous-fault", () => stepFault(-1));
  on("next-finding", () => stepFinding(1));
  on("theme", () => chrome.nextTheme());
  on("help-open", () => help.showModal());
  get("next-finding").disabled = !model.findings.length;
  get("next-fault").disabled = get("previous-fault").disabled = !model.faults.length;
  document.querySelectorAll("[data-arrows]").forEach((button) => button.addEventListener("click", () => setArrows(button.dataset.arrows)));
  on("copy", async () => {
    try {
      await navigator.clipboard.writeText(data.reproduce);
      get("copy").textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(get("reproduce"));
      get("copy").textContent = "Selected";
    }
    setTimeout(() => (get("copy").textContent = "Copy"), 1500);
  });

  // What is under the mouse.
  const under = (event) => {
    const canvas = event.target, box = canvas.getBoundingClientRect();
    const [px, py] = [event.clientX - box.left, event.clientY - box.top];
    const time = lanes.time(px), inside = px >= lanes.GUTTER && time >= 0 && time <= data.duration;
    if (canvas.id === "axis") { const fault = lanes.faultAt(px, py); return fault && { kind: "fault", found: chrome.facts.fault(fault) }; }
    if (canvas.id === "charts") return inside && { kind: "curves", found: chrome.facts.curves(time) };
    if (canvas.id !== "lanes") return null;
    const y = py + lanes.scroller.scrollTop, arrow = inside ? lanes.arrowAt(px, y) : -1;
    if (arrow >= 0) return { kind: "arrow", found: chrome.facts[view.arrows](arrow) };
    const node = lanes.laneAt(y);
    if (node < 0) return null;
    return { kind: "lane", node, found: chrome.facts.lane(node, inside ? time : (view.from + view.to) / 2) };
  };
  let drag = null;
  timeline.addEventListener("pointermove", (event) => {
    if (drag) {
      const moved = event.clientX - drag.x;
      drag.far = drag.far || Math.abs(moved) > 4;
      if (!drag.far) return;
      chrome.point(null);
      const wide = lanes.width() - lanes.GUTTER - lanes.RIGHT;
      if (drag.brush) {
        const [a, b] = [drag.start, overviewTime(event)].sort((a, b) => a - b);
        show(a, Math.max(b, a + LEAST));
      } else {
        const by = (-moved / wide) * (drag.to - drag.from);
        const can = Math.max(-drag.from, Math.min(data.duration - drag.to, by));
        show(drag.from + can, drag.to + can);
      }
      return;
    }
    const found = under(event);
    chrome.point(found ? found.found : null, event.clientX, event.clientY);
  });
  const overviewTime = (event) => {
    const box = lanes.canvases.overview.getBoundingClientRect();
    const part = (event.clientX - box.left - lanes.GUTTER) / (lanes.width() - lanes.GUTTER - lanes.RIGHT);
    return Math.max(0, Math.min(data.duration, part * data.duration));
  };
  timeline.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || event.target.tagName !== "CANVAS") return;
    drag = { x: event.clientX, from: view.from, to: view.to, far: false, brush: event.target.id === "overview", start: overviewTime(event) };
    // A pointer that the page made up for its own test cannot be captured.
    if (event.isTrusted) timeline.setPointerCapture(event.pointerId);
    timeline.classList.add("dragging");
    drag.target = event.target;
  });
  timeline.addEventListener("pointerup", (event) => {
    const was = drag;
    drag = null;
    timeline.classList.remove("dragging");
    if (!was || was.far) return;
    if (was.brush) { const half = (view.to - view.from) / 2; show(was.start - half, was.start + half); return; }
    const found = under({ target: was.target, clientX: event.clientX, clientY: event.clientY });
    if (found && found.kind === "lane") chooseLane(view.lane === found.node ? -1 : found.node);
    chrome.pin(found ? found.found : null);
  });
  timeline.addEventListener("pointerleave", () => chrome.point(null));
  timeline.addEventListener("dblclick", (event) => { if (event.target.tagName === "CANVAS" && event.target.id !== "overview") zoom(0.4, lanes.time(event.clientX - event.target.getBoundingClientRect().left)); });
  timeline.addEventListener("wheel", (event) => {
    const sideways = event.shiftKey ? event.deltaY || event.deltaX : event.deltaX;
    if (event.ctrlKey || event.metaKey) {
      event.preventDefault();
      zoom(Math.exp(Math.max(-1, Math.min(1, event.deltaY / 240))), lanes.time(event.clientX - lanes.canvases.lanes.getBoundingClientRect().left));
    } else if (sideways && Math.abs(sideways) > Math.abs(event.shiftKey ? 0 : event.deltaY)) {
      event.preventDefault();
      move(sideways / 1200);
    }
  }, { passive: false });
  lanes.scroller.addEventListener("scroll", () => chrome.drawSoon());
  addEventListener("resize", () => { chrome.drawSoon(); ddil.charts.histogram(); });

  // The address keeps the view: #t=300-420&theme=dark&arrows=datagrams&lane=name
  const parameters = () => new URLSearchParams(location.hash.slice(1));
  let writing = 0;
  const remember = () => {
    clearTimeout(writing);
    writing = setTimeout(() => {
      const kept = parameters();
      if (kept.has("selftest")) return;
      const all = view.from <= 0 && view.to >= data.duration;
      if (all) kept.delete("t"); else kept.set("t", (view.from / 1000).toFixed(3) + "-" + (view.to / 1000).toFixed(3));
      if (view.lane >= 0) kept.set("lane", data.nodes[view.lane].name); else kept.delete("lane");
      if (view.arrows === "documents") kept.delete("arrows"); else kept.set("arrows", view.arrows);
      try { history.replaceState(null, "", "#" + kept); } catch { /* a page without an address of its own */ }
    }, 300);
  };
  const restore = () => {
    const kept = parameters();
    chrome.applyTheme(kept.get("theme") || "system");
    const span = /^([\d.]+)-([\d.]+)$/.exec(kept.get("t") || "");
    if (span && Number(span[2]) > Number(span[1])) {
      view.from = Math.max(0, Math.min(data.duration - LEAST, Number(span[1]) * 1000));
      view.to = Math.max(view.from + LEAST, Math.min(data.duration, Number(span[2]) * 1000));
    }
    view.lane = data.nodes.findIndex((node) => node.name === kept.get("lane"));
    if (ARROWS.includes(kept.get("arrows"))) view.arrows = kept.get("arrows");
    return kept;
  };
  addEventListener("hashchange", () => { restore(); chrome.drawSoon(); });
  return { show, showFinding, restore };
})();

ddil.chrome.head();
ddil.chrome.checks();
ddil.asked = ddil.keys.restore();
ddil.chrome.tables();
ddil.chrome.draw();
ddil.charts.histogram();
ddil.ready = performance.now();
