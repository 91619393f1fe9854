"use strict";
// What the page knows: the data block decoded once, and the view that everything draws.
const ddil = { started: performance.now(), errors: [] };
addEventListener("error", (event) => ddil.errors.push(String(event.message)));

ddil.data = JSON.parse(document.getElementById("data").textContent);

ddil.model = (() => {
  const data = ddil.data;
  const running = (deltas) => {
    const times = new Float64Array(deltas.length);
    let at = 0;
    for (let i = 0; i < deltas.length; i++) { at += deltas[i]; times[i] = at / 1000; }
    return times;
  };

  // Operations, and an arrow for each replica of each of them, in order of time.
  const operations = data.operations;
  const at = running(operations.at);
  const end = Float64Array.from(at, (time, i) => (operations.took[i] < 0 ? time : time + operations.took[i] / 1000));
  const documents = { from: [], to: [], start: [], end: [], kind: [], of: [], size: [] };
  for (let i = 0; i < at.length; i++) {
    const to = operations.to[i];
    for (let k = 0; k < to.length; k += 3) {
      documents.from.push(operations.node[i]);
      documents.to.push(to[k]);
      documents.start.push(end[i]);
      documents.end.push(to[k + 1] < 0 ? -1 : end[i] + to[k + 1] / 1000);
      documents.kind.push(to[k + 1] < 0 ? 2 : to[k + 2] ? 0 : 1);
      documents.of.push(i);
    }
  }
  // Decoded when somebody asks for them.
  let decoded = null;
  const datagrams = () => {
    if (decoded) return decoded;
    const flights = data.flights, sent = running(flights.at);
    decoded = {
      from: flights.from, to: flights.to, start: sent,
      end: Float64Array.from(sent, (time, i) => (flights.took[i] < 0 ? -1 : time + flights.took[i] / 1000)),
      kind: flights.took.map((took) => (took < 0 ? 2 : 0)), size: flights.bytes,
    };
    return decoded;
  };

  // When each node ran. A world that does not tell has nodes that always run.
  const lives = data.nodes.map(() => []);
  for (let i = 0; i < data.lives.length; i += 3) {
    const spans = lives[data.lives[i + 1]];
    if (data.lives[i + 2] === 1) {
      const last = spans[spans.length - 1];
      if (last) last[1] = data.lives[i];
    } else spans.push([data.lives[i], data.duration]);
  }
  if (data.lives.length === 0) lives.forEach((spans) => spans.push([0, data.duration]));

  // How many sessions each node had from when on: steps of [time, count].
  const sessions = data.sessions.map((triples) => {
    const changes = [];
    for (let i = 0; i < triples.length; i += 3) changes.push([triples[i + 1], 1], [triples[i + 2], -1]);
    changes.sort((a, b) => a[0] - b[0] || b[1] - a[1]);
    const steps = [[0, 0]];
    let count = 0, most = 0;
    for (const [time, change] of changes) {
      count += change;
      most = Math.max(most, count);
      if (steps[steps.length - 1][0] === time) steps[steps.length - 1][1] = count;
      else steps.push([time, count]);
    }
    return { steps, most, known: triples.length > 0 };
  });
  const peersAt = (node, time) => {
    const triples = data.sessions[node], found = [];
    for (let i = 0; i < triples.length; i += 3) {
      if (triples[i + 1] <= time && time < triples[i + 2]) found.push(data.nodes[triples[i]].name);
    }
    return found;
  };

  const faults = data.faults.filter((fault) => fault.at !== null).sort((a, b) => a.at - b.at);
  // Rows of bars: each fault in the first row that is free by then.
  const free = [];
  for (const fault of faults) {
    let row = free.findIndex((until) => until <= fault.at);
    if (row < 0) row = free.length;
    free[row] = fault.end;
    fault.row = row;
  }
  const findings = [];
  for (const check of data.checks) {
    for (const finding of check.findings) {
      if (finding.at !== undefined) findings.push({ check: check.name, ...finding });
    }
  }
  findings.sort((a, b) => a.at - b.at);

  // What is missing where: for each node its gaps as [from, to, since] in order of the writes, and from them, as [from, to, since], the spans
  // in which one and the same write is the oldest that is missing. Exact, where every write is listed.
  const exact = operations.one_of === 1;
  const gaps = data.nodes.map(() => []);
  if (exact) {
    for (let i = 0; i < documents.start.length; i++) {
      const until = documents.end[i] < 0 ? data.duration : documents.end[i], replica = documents.to[i];
      // Nobody misses anything at a node that has not begun to be.
      const from = Math.max(documents.start[i], lives[replica].length ? lives[replica][0][0] : 0);
      if (until > from) gaps[replica].push([from, until, documents.start[i]]);
    }
  }
  const oldest = gaps.map((list) => {
    list.sort((a, b) => a[2] - b[2]);
    const spans = [];
    let until = 0;
    for (const [from, to, since] of list) {
      if (to <= until) continue;
      spans.push([Math.max(from, until), to, since]);
      until = to;
    }
    return spans;
  });

  const curves = data.curves;
  const worst = curves.total.map((_, i) => curves.age.reduce((most, node) => Math.max(most, node[i]), 0));
  const point = (time) => Math.min(curves.total.length - 1, Math.max(0, Math.floor(time / curves.step)));

  return { operations, at, end, documents, get datagrams() { return datagrams(); }, lives, sessions, peersAt, faults, faultRows: free.length,
    findings, worst, point, exact, gaps, oldest };
})();

// The two curves in the span in view: as they were sent for a long span, anew from the gaps for a short one.
ddil.curves = (() => {
  const { data, model } = ddil;
  const POINTS = 400;
  let kept = null;
  return (from, to) => {
    if (kept && kept.from === from && kept.to === to) return kept;
    if (!model.exact || to - from > POINTS * data.curves.step) {
      kept = { from, to, origin: 0, step: data.curves.step, total: data.curves.total, worst: model.worst, missing: data.curves.missing, age: data.curves.age };
      return kept;
    }
    const step = (to - from) / POINTS, total = new Float64Array(POINTS), worst = new Float64Array(POINTS);
    const changes = [], missing = [], age = [];
    const greatest = (changes) => {
      changes.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
      const curve = new Float64Array(POINTS);
      let count = 0, at = 0;
      for (let i = 0; i < POINTS; i++) {
        let most = count;
        if (i === 0) while (at < changes.length && changes[at][0] <= from) most = count += changes[at++][1];
        while (at < changes.length && changes[at][0] < from + (i + 1) * step) { count += changes[at++][1]; most = Math.max(most, count); }
        curve[i] = most;
      }
      return curve;
    };
    data.nodes.forEach((_, node) => {
      const own = [];
      for (const [start, end] of model.gaps[node]) if (end > from && start < to) own.push([start, 1], [end, -1]);
      missing.push(greatest(own));
      for (const change of own) changes.push(change);
      const ages = new Float64Array(POINTS);
      for (const [start, end, since] of model.oldest[node]) {
        if (end <= from || start >= to) continue;
        const last = Math.min(POINTS - 1, Math.ceil((end - from) / step) - 1);
        for (let i = Math.max(0, Math.floor((start - from) / step)); i <= last; i++) {
          ages[i] = Math.max(ages[i], Math.min(end, from + (i + 1) * step) - since);
          worst[i] = Math.max(worst[i], ages[i]);
        }
      }
      age.push(ages);
    });
    total.set(greatest(changes));
    kept = { from, to, origin: from, step, total, worst, missing, age };
    return kept;
  };
})();

// The view: a span of time, a lane, what is drawn as arrows.
ddil.view = {
  from: 0, to: ddil.data.duration, lane: -1, arrows: "documents", laneHeight: 0, pinned: null, fault: -1, finding: -1,
};

ddil.text = {
  // 12:03.250, with as many digits as the span deserves.
  time(ms, span = 0) {
    const total = Math.round(ms), hours = Math.floor(total / 3600000);
    const minutes = Math.floor(total / 60000) % 60, seconds = Math.floor(total / 1000) % 60;
    const two = (n) => String(n).padStart(2, "0");
    const fraction = span > 0 && span < 20000 ? "." + String(total % 1000).padStart(3, "0") : "";
    return (hours ? hours + ":" + two(minutes) : String(minutes)) + ":" + two(seconds) + fraction;
  },
  span(ms) {
    if (ms < 0.0005) return "0";
    if (ms < 1) return Math.round(ms * 1000) + " µs";
    if (ms < 10) return ms.toFixed(2) + " ms";
    if (ms < 999.5) return Math.round(ms) + " ms";
    if (ms < 59950) return (ms / 1000).toFixed(2) + " s";
    const seconds = Math.round(ms / 1000);
    if (seconds < 3600) return Math.floor(seconds / 60) + "m " + String(seconds % 60).padStart(2, "0") + "s";
    const minutes = Math.round(seconds / 60);
    return Math.floor(minutes / 60) + "h " + String(minutes % 60).padStart(2, "0") + "m";
  },
  bytes(n) {
    if (n < 1e3) return Math.round(n) + " B";
    if (n < 1e6) return (n / 1e3).toFixed(1) + " kB";
    if (n < 1e9) return (n / 1e6).toFixed(1) + " MB";
    return (n / 1e9).toFixed(1) + " GB";
  },
  count(n) { return String(Math.round(n)).replace(/\B(?=(\d{3})+(?!\d))/g, ","); },
};

// An element with a class, a text and children. Texts are texts: nothing of the data is ever read as markup.
ddil.element = (tag, className, ...children) => {
  const element = document.createElement(tag);
  if (className) element.className = className;
  for (const child of children) element.append(child);
  return element;
};

// Colours of the theme, read once a theme.
ddil.colours = {
  read() {
    const style = getComputedStyle(document.documentElement);
    for (const name of ["ground", "card", "ink", "soft", "faint", "rule", "lane", "calm", "accent", "late-1", "late-2", "late-3",
      "cut", "degrade", "crash", "disk", "pass", "fail", "warn", "c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7"]) {
      this[name] = style.getPropertyValue("--" + name).trim();
    }
    const stops = [this["late-1"], this["late-2"], this["late-3"]].map((hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16)));
    this.late = [];
    for (let i = 0; i < 64; i++) {
      const at = (i / 63) * 2, low = Math.min(1, Math.floor(at)), part = at - low;
      this.late.push("rgb(" + stops[low].map((from, k) => Math.round(from + (stops[low + 1][k] - from) * part)).join(",") + ")");
    }
  },
  group(group) { return this["c" + (group % 8)]; },
  // From a second, which is nothing on a satellite link, to ten minutes.
  age(ms) { return this.late[Math.max(0, Math.min(63, Math.round((Math.log10(ms / 1000) / Math.log10(600)) * 63)))]; },
};
