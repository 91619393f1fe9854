"use strict";
// The timeline: overview, axis with faults, lanes, arrows. Everything is drawn again on each change; what is out of
// view is skipped, so the cost follows what is seen.
ddil.lanes = (() => {
  const { data, model, view, colours, text } = ddil;
  const GUTTER = 168, RIGHT = 14, GROUP = 24, TICKS = 22, PHASES = 8, FAULT = 17, FAULT_ROWS = 6, OVERVIEW = 46;
  // Pixels of lanes that are in view at once; what is beyond can be scrolled to.
  const MOST = 900;
  // More arrows than this are a grey mess.
  const ARROWS = 2500;
  const canvases = {};
  for (const id of ["overview", "axis", "lanes", "charts"]) canvases[id] = document.getElementById(id);
  const scroller = document.getElementById("scroller"), spacer = document.getElementById("spacer");
  const hint = document.getElementById("hint");

  // Rows from the top: a heading for each group, a lane for each node.
  let rows = [], laneTop = [], total = 0, width = 0, laneHeight = 0;
  const layout = () => {
    const nodes = data.nodes.length;
    const room = MOST - data.groups.length * (GROUP + 4) - 4;
    laneHeight = view.laneHeight || Math.max(6, Math.min(30, Math.floor(room / nodes)));
    rows = [];
    laneTop = new Array(nodes);
    let y = 0;
    data.groups.forEach((group, position) => {
      rows.push({ y, group: position });
      y += GROUP;
      data.nodes.forEach((node, index) => {
        if (node.group !== position) return;
        laneTop[index] = y;
        rows.push({ y, node: index });
        y += laneHeight;
      });
      y += 4;
    });
    total = y + 2;
    spacer.style.height = total + "px";
    width = scroller.clientWidth;
  };
  const x = (time) => GUTTER + ((time - view.from) / (view.to - view.from)) * (width - GUTTER - RIGHT);
  const time = (px) => view.from + ((px - GUTTER) / (width - GUTTER - RIGHT)) * (view.to - view.from);
  const whole = (time) => GUTTER + (time / data.duration) * (width - GUTTER - RIGHT);
  const middle = (node) => laneTop[node] + laneHeight / 2;

  // A canvas of so many pixels of the page, sharp on every screen.
  const prepare = (id, height) => {
    const canvas = canvases[id], scale = devicePixelRatio || 1;
    canvas.style.height = height + "px";
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    const pen = canvas.getContext("2d");
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.font = "12px " + getComputedStyle(document.body).fontFamily;
    pen.textBaseline = "middle";
    return pen;
  };
  const fitted = (pen, words, room) => {
    if (pen.measureText(words).width <= room) return words;
    let low = 0, high = words.length;
    while (low < high) {
      const half = (low + high + 1) >> 1;
      if (pen.measureText(words.slice(0, half) + "…").width <= room) low = half; else high = half - 1;
    }
    return low > 0 ? words.slice(0, low) + "…" : "";
  };

  // Round steps of time, so that labels have room.
  const STEPS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 15e3, 3e4, 6e4, 12e4, 3e5, 6e5, 9e5, 18e5, 36e5, 72e5,
    144e5, 216e5, 432e5, 864e5, 1728e5];
  const ticks = () => {
    const room = (width - GUTTER - RIGHT) / 84, span = view.to - view.from;
    const step = STEPS.find((step) => span / step <= room) || STEPS[STEPS.length - 1];
    const found = [];
    for (let at = Math.ceil(view.from / step) * step; at <= view.to; at += step) found.push(at);
    return found;
  };

  // What the mesh as a whole is in: a fault, the recovery from one, the end without writes.
  const phases = [];
  for (const recovery of data.recoveries) {
    if (recovery.took !== null) phases.push([recovery.at, recovery.at + recovery.took, "late-1"]);
  }
  for (const fault of model.faults) phases.push([fault.at, fault.end, fault.family]);
  const drawPhases = (pen, at, y, height) => {
    pen.fillStyle = colours.pass;
    pen.globalAlpha = 0.5;
    pen.fillRect(at(0), y, at(data.writes_end) - at(0), height);
    pen.globalAlpha = 0.22;
    pen.fillRect(at(data.writes_end), y, at(data.duration) - at(data.writes_end), height);
    for (const [from, to, kind] of phases) {
      pen.globalAlpha = 1;
      pen.fillStyle = colours[kind] || colours.cut;
      pen.fillRect(at(from), y, Math.max(1.5, at(to) - at(from)), height);
    }
    pen.globalAlpha = 1;
  };

  const overview = () => {
    const pen = prepare("overview", OVERVIEW), curve = data.curves.total;
    const top = Math.max(1, ...curve), base = OVERVIEW - 12;
    pen.fillStyle = colours.lane;
    pen.fillRect(GUTTER, 2, width - GUTTER - RIGHT, base - 2);
    pen.fillStyle = colours["late-2"];
    pen.globalAlpha = 0.55;
    pen.beginPath();
    pen.moveTo(GUTTER, base);
    curve.forEach((value, i) => {
      const height = (base - 6) * Math.sqrt(value / top);
      pen.lineTo(whole(Math.min(data.duration, i * data.curves.step)), base - height);
      pen.lineTo(whole(Math.min(data.duration, (i + 1) * data.curves.step)), base - height);
    });
    pen.lineTo(width - RIGHT, base);
    pen.fill();
    pen.globalAlpha = 1;
    pen.save();
    pen.beginPath();
    pen.rect(GUTTER, 0, width - GUTTER - RIGHT, OVERVIEW);
    pen.clip();
    drawPhases(pen, whole, base + 1, 5);
    pen.restore();
    for (const finding of model.findings) marker(pen, whole(finding.at), 3, 4);
    pen.fillStyle = colours.soft;
    pen.fillText("Whole run", 2, OVERVIEW / 2 - 5);
    // The span in view; outside of it is dimmed.
    const [from, to] = [whole(view.from), whole(view.to)];
    pen.fillStyle = colours.card;
    pen.globalAlpha = 0.62;
    pen.fillRect(GUTTER, 0, from - GUTTER, OVERVIEW - 4);
    pen.fillRect(to, 0, width - RIGHT - to, OVERVIEW - 4);
    pen.globalAlpha = 1;
    pen.strokeStyle = colours.accent;
    pen.lineWidth = 1.5;
    pen.strokeRect(from, 1, Math.max(2, to - from), OVERVIEW - 6);
  };
  const marker = (pen, at, y, size) => {
    pen.fillStyle = colours.fail;
    pen.beginPath();
    pen.moveTo(at - size, y - size);
    pen.lineTo(at + size, y - size);
    pen.lineTo(at, y + size);
    pen.fill();
  };

  const axis = () => {
    const shown = Math.min(FAULT_ROWS, model.faultRows);
    const height = TICKS + PHASES + 4 + shown * FAULT + 2;
    const pen = prepare("axis", height);
    pen.fillStyle = colours.soft;
    pen.font = "11px " + getComputedStyle(document.body).fontFamily;
    pen.textAlign = "center";
    for (const at of ticks()) pen.fillText(text.time(at, view.to - view.from), Math.max(GUTTER + 14, Math.min(width - (view.to - view.from < 20000 ? 30 : 18), x(at))), TICKS / 2);
    pen.textAlign = "left";
    pen.fillText("Phase", 2, TICKS + PHASES / 2);
    if (shown) pen.fillText(model.faultRows > FAULT_ROWS ? "Faults (first rows)" : "Faults", 2, TICKS + PHASES + 4 + FAULT / 2);
    pen.save();
    pen.beginPath();
    pen.rect(GUTTER, 0, width - GUTTER - RIGHT, height);
    pen.clip();
    drawPhases(pen, x, TICKS, PHASES);
    for (const fault of model.faults) {
      if (fault.row >= shown || fault.end < view.from || fault.at > view.to) continue;
      const [from, to] = [Math.max(GUTTER - 6, x(fault.at)), Math.min(width, x(fault.end))];
      const y = TICKS + PHASES + 4 + fault.row * FAULT;
      pen.fillStyle = colours[fault.family];
      pen.globalAlpha = 0.18;
      round(pen, from, y, Math.max(2, to - from), FAULT - 3, 4);
      pen.globalAlpha = 1;
      pen.fillRect(from, y, 2.5, FAULT - 3);
      pen.fillStyle = colours.ink;
      const label = to - from > 18 ? fitted(pen, fault.name, to - Math.max(from, GUTTER) - 12) : "";
      pen.fillText(label, Math.max(from, GUTTER) + 7, y + (FAULT - 3) / 2 + 0.5);
    }
    for (const finding of model.findings) marker(pen, x(finding.at), TICKS - 3, 4.5);
    pen.restore();
  };
  const round = (pen, x0, y0, w, h, radius) => {
    pen.beginPath();
    if (pen.roundRect) pen.roundRect(x0, y0, w, h, Math.min(radius, w / 2, h / 2)); else pen.rect(x0, y0, w, h);
    pen.fill();
  };

  let drawn = [];
  const lanes = () => {
    const seen = Math.min(total, MOST), offset = scroller.scrollTop;
    const pen = prepare("lanes", seen);
    pen.translate(0, -offset);
    const visible = (y, height) => y + height >= offset && y <= offset + seen;
    const [left, right] = [GUTTER, width - RIGHT];
    for (const row of rows) if (row.node !== undefined && visible(row.y, laneHeight)) ground(pen, row.node, left, right);
    pen.strokeStyle = colours.rule;
    pen.lineWidth = 1;
    pen.beginPath();
    for (const at of ticks()) { const px = Math.round(x(at)) + 0.5; pen.moveTo(px, offset); pen.lineTo(px, offset + seen); }
    pen.stroke();
    pen.save();
    pen.beginPath();
    pen.rect(left, offset, right - left, seen);
    pen.clip();
    for (const row of rows) if (row.node !== undefined && visible(row.y, laneHeight)) life(pen, row.node);
    hatch(pen, visible);
    writesEnd(pen, offset, seen);
    dials(pen, visible);
    arrows(pen, visible);
    writes(pen, visible);
    for (const finding of model.findings) {
      if (finding.node !== undefined && finding.at >= view.from && finding.at <= view.to) marker(pen, x(finding.at), middle(finding.node), 5);
    }
    pen.restore();
    for (const row of rows) {
      if (row.group !== undefined && visible(row.y, GROUP)) heading(pen, row);
      else if (row.node !== undefined && visible(row.y, laneHeight)) label(pen, row.node);
    }
    // Of lanes too low for names every n-th has one.
    if (view.lane >= 0) {
      pen.strokeStyle = colours.accent;
      pen.lineWidth = 1.5;
      pen.strokeRect(0.75, laneTop[view.lane] + 0.25, width - 1.5, laneHeight - 0.5);
    }
  };
  const ground = (pen, node, left, right) => {
    pen.fillStyle = colours.lane;
    pen.fillRect(left, laneTop[node] + (laneHeight > 12 ? 1 : 0.5), right - left, laneHeight - (laneHeight > 12 ? 2 : 1));
  };
  // The bar of a node: its strength tells the sessions, the strip in it how far behind it is.
  const life = (pen, node) => {
    const gap = laneHeight > 16 ? 4 : laneHeight > 9 ? 2 : 1;
    const y = laneTop[node] + gap, height = laneHeight - 2 * gap;
    const spans = model.lives[node], sessions = model.sessions[node];
    const before = spans.length ? spans[0][0] : data.duration;
    if (before > view.from) line(pen, x(view.from), x(Math.min(before, view.to)), middle(node), colours.faint, [1, 4]);
    spans.forEach(([from, to], i) => {
      if (to < view.from || from > view.to) return;
      steps(pen, sessions, from, to, y, height);
      late(pen, node, from, to, y, height);
      if (to < data.duration) {
        const next = i + 1 < spans.length ? spans[i + 1][0] : data.duration;
        line(pen, x(to), x(next), middle(node), colours.crash, [3, 3]);
        cross(pen, x(to), middle(node), Math.min(4, height / 2));
      }
    });
  };
  const steps = (pen, sessions, from, to, y, height) => {
    pen.fillStyle = colours.calm;
    const list = sessions.steps;
    for (let i = 0; i < list.length; i++) {
      const start = Math.max(from, list[i][0]), end = Math.min(to, i + 1 < list.length ? list[i + 1][0] : data.duration);
      if (end <= start || end < view.from || start > view.to) continue;
      pen.globalAlpha = !sessions.known ? 0.55 : sessions.most ? 0.13 + 0.55 * (list[i][1] / sessions.most) : 0.3;
      const x0 = x(start);
      pen.fillRect(x0, y, Math.max(0.5, x(end) - x0), height);
    }
    pen.globalAlpha = 1;
  };
  // Below a second is the ordinary way of a satellite link and shows nothing.
  const late = (pen, node, from, to, y, height) => {
    const strip = laneHeight > 12 ? Math.max(4, Math.round(height * 0.42)) : height, top = y + height - strip;
    const paint = (start, end, age) => {
      const x0 = x(start);
      pen.fillStyle = colours.age(age);
      pen.fillRect(x0, top, Math.max(0.75, x(end) - x0 + 0.4), strip);
    };
    if (!model.exact) {
      const age = data.curves.age[node], step = data.curves.step;
      for (let i = model.point(Math.max(from, view.from)); i <= model.point(Math.min(to, view.to)); i++) {
        if (age[i] >= 1000) paint(Math.max(from, i * step), Math.min(to, (i + 1) * step), age[i]);
      }
      return;
    }
    // Three pixels at a time: the colour changes with every one.
    const piece = (3 * (view.to - view.from)) / (width - GUTTER - RIGHT);
    for (const [start, end, since] of model.oldest[node]) {
      const last = Math.min(end, to, view.to);
      for (let at = Math.max(start, from, view.from, since + 1000); at < last; at += piece) paint(at, Math.min(last, at + piece), at - since);
    }
  };
  const line = (pen, from, to, y, colour, dash) => {
    pen.strokeStyle = colour;
    pen.lineWidth = 1.25;
    pen.setLineDash(dash);
    pen.beginPath();
    pen.moveTo(from, y);
    pen.lineTo(to, y);
    pen.stroke();
    pen.setLineDash([]);
  };
  const cross = (pen, at, y, size) => {
    pen.strokeStyle = colours.crash;
    pen.lineWidth = 1.75;
    pen.beginPath();
    pen.moveTo(at - size, y - size); pen.lineTo(at + size, y + size);
    pen.moveTo(at - size, y + size); pen.lineTo(at + size, y - size);
    pen.stroke();
  };
  // Stripes over the lanes that a fault touches.
  const hatch = (pen, visible) => {
    for (const fault of model.faults) {
      if (fault.family === "crash" || fault.end < view.from || fault.at > view.to) continue;
      const [from, to] = [x(fault.at), x(fault.end)];
      pen.fillStyle = stripes(pen, colours[fault.family]);
      pen.globalAlpha = 0.4;
      for (const node of fault.nodes) {
        if (visible(laneTop[node], laneHeight)) pen.fillRect(from, laneTop[node], Math.max(1, to - from), laneHeight);
      }
      pen.globalAlpha = 1;
      line1(pen, from, fault.nodes, colours[fault.family]);
      line1(pen, to, fault.nodes, colours[fault.family]);
    }
  };
  const line1 = (pen, at, nodes, colour) => {
    if (!nodes.length) return;
    pen.fillStyle = colour;
    pen.globalAlpha = 0.75;
    for (const node of nodes) pen.fillRect(at - 0.5, laneTop[node], 1, laneHeight);
    pen.globalAlpha = 1;
  };
  const patterns = new Map();
  const stripes = (pen, colour) => {
    if (patterns.has(colour)) return patterns.get(colour);
    const tile = document.createElement("canvas");
    tile.width = tile.height = 8;
    const tilePen = tile.getContext("2d");
    tilePen.strokeStyle = colour;
    tilePen.lineWidth = 1.1;
    tilePen.beginPath();
    for (const shift of [-8, 0, 8]) { tilePen.moveTo(shift, 8); tilePen.lineTo(shift + 8, 0); }
    tilePen.stroke();
    patterns.set(colour, pen.createPattern(tile, "repeat"));
    return patterns.get(colour);
  };
  const writesEnd = (pen, offset, height) => {
    const at = Math.round(x(data.writes_end)) + 0.5;
    pen.strokeStyle = colours.faint;
    pen.lineWidth = 1;
    pen.setLineDash([2, 3]);
    pen.beginPath();
    pen.moveTo(at, offset);
    pen.lineTo(at, offset + height);
    pen.stroke();
    pen.setLineDash([]);
  };
  // Short ticks at the top of a lane; only where they are apart.
  const dials = (pen, visible) => {
    if (view.to - view.from > 300000) return;
    pen.fillStyle = colours.soft;
    for (let i = 0; i < data.dials.length; i += 3) {
      const [at, node] = [data.dials[i], data.dials[i + 1]];
      if (at >= view.from && at <= view.to && visible(laneTop[node], laneHeight)) pen.fillRect(x(at) - 0.5, laneTop[node], 1, Math.min(5, laneHeight));
    }
  };
  // Dots where something was written.
  const KINDS = ["ink", "ink", "late-3"];
  const writes = (pen, visible) => {
    const from = lower(model.at, view.from), to = lower(model.at, view.to);
    if (to - from > 700 || laneHeight < 8) return;
    for (let i = from; i < to; i++) {
      const node = model.operations.node[i];
      if (!visible(laneTop[node], laneHeight)) continue;
      const radius = to - from > 250 ? 1.7 : 2.5;
      pen.beginPath();
      pen.arc(x(model.at[i]), middle(node), radius, 0, 7);
      if (model.operations.outcome[i] === 0) {
        pen.fillStyle = colours[KINDS[model.operations.kind[i]]];
        pen.fill();
        pen.strokeStyle = colours.card;
        pen.lineWidth = 0.8;
        pen.stroke();
      } else {
        pen.strokeStyle = colours.fail;
        pen.lineWidth = 1.2;
        pen.stroke();
      }
    }
  };
  const lower = (list, value) => {
    let low = 0, high = list.length;
    while (low < high) { const half = (low + high) >> 1; if (list[half] < value) low = half + 1; else high = half; }
    return low;
  };
  const arrows = (pen, visible) => {
    drawn = [];
    const set = model[view.arrows];
    hint.hidden = true;
    if (!set) return;
    let found = [], fresh = [], all = 0, begun = 0;
    for (let i = 0; i < set.start.length; i++) {
      const end = set.end[i] < 0 ? set.start[i] : set.end[i];
      if (end < view.from || set.start[i] > view.to) continue;
      if (view.lane >= 0 && set.from[i] !== view.lane && set.to[i] !== view.lane) continue;
      if (++all <= ARROWS) found.push(i);
      if (set.start[i] >= view.from && ++begun <= ARROWS) fresh.push(i);
    }
    if (all > ARROWS) {
      hint.hidden = false;
      if (begun > ARROWS) {
        hint.textContent = text.count(all) + " arrows in view: zoom in" + (view.lane < 0 ? ", or choose a lane," : "") + " to see them";
        return;
      }
      hint.textContent = text.count(all - begun) + " arrows that begin before this span are not drawn" + (view.lane < 0 ? ": choose a lane to see its own" : "");
      found = fresh;
    }
    const documents = view.arrows === "documents";
    // What has been on its way since before the span is many lines of little news.
    const strength = (count) => (count > 800 ? 0.22 : count > 200 ? 0.5 : 0.85);
    const old = found.filter((i) => set.start[i] < view.from).length, alphas = [strength(found.length - old), Math.min(0.5, strength(old * 2))];
    for (const i of found) {
      const lost = set.end[i] < 0;
      const [x0, y0] = [x(set.start[i]), middle(set.from[i])];
      let [x1, y1] = [x(lost ? set.start[i] : set.end[i]), middle(set.to[i])];
      // What was dropped goes a little way and ends in a cross.
      if (lost) { x1 = x0 + 10; y1 = y0 + Math.sign(y1 - y0) * Math.min(14, Math.abs(y1 - y0) / 2); }
      if (!visible(Math.min(y0, y1), Math.abs(y1 - y0))) continue;
      pen.strokeStyle = lost ? colours.fail : set.kind[i] === 1 ? colours["late-2"] : documents ? colours.accent : colours.soft;
      pen.globalAlpha = lost ? 0.7 : alphas[set.start[i] < view.from ? 1 : 0];
      pen.lineWidth = documents ? 1.1 : Math.min(4, 0.6 + Math.log10(1 + set.size[i] / 400));
      pen.beginPath();
      pen.moveTo(x0, y0);
      pen.lineTo(x1, y1);
      pen.stroke();
      if (lost) { pen.beginPath(); pen.moveTo(x1 - 3, y1 - 3); pen.lineTo(x1 + 3, y1 + 3); pen.moveTo(x1 - 3, y1 + 3); pen.lineTo(x1 + 3, y1 - 3); pen.stroke(); }
      else if (found.length < 500) head(pen, x0, y0, x1, y1);
      drawn.push([x0, y0, x1, y1, i]);
    }
    pen.globalAlpha = 1;
  };
  const head = (pen, x0, y0, x1, y1) => {
    const angle = Math.atan2(y1 - y0, x1 - x0), size = 5;
    pen.fillStyle = pen.strokeStyle;
    pen.beginPath();
    pen.moveTo(x1, y1);
    pen.lineTo(x1 - size * Math.cos(angle - 0.4), y1 - size * Math.sin(angle - 0.4));
    pen.lineTo(x1 - size * Math.cos(angle + 0.4), y1 - size * Math.sin(angle + 0.4));
    pen.fill();
  };
  const heading = (pen, row) => {
    const group = data.groups[row.group];
    pen.fillStyle = colours.group(row.group);
    round(pen, 2, row.y + 8, 9, 9, 2.5);
    pen.fillStyle = colours.ink;
    pen.font = "600 12px " + getComputedStyle(document.body).fontFamily;
    const name = fitted(pen, group.name, GUTTER - 24);
    pen.fillText(name, 17, row.y + 13);
    const used = 17 + pen.measureText(name).width + 8;
    pen.font = "12px " + getComputedStyle(document.body).fontFamily;
    pen.fillStyle = colours.faint;
    if (group.cluster !== group.name) pen.fillText(fitted(pen, group.cluster, Math.max(0, GUTTER - used - 4)), used, row.y + 13);
  };
  const label = (pen, node) => {
    const every = Math.max(1, Math.ceil(11 / laneHeight));
    pen.fillStyle = colours.group(data.nodes[node].group);
    pen.fillRect(2, laneTop[node] + 0.5, 2.5, laneHeight - 1);
    const first = rows.find((row) => row.node !== undefined && data.nodes[row.node].group === data.nodes[node].group).node;
    if ((node - first) % every && node !== view.lane) return;
    pen.font = (laneHeight < 13 ? "10px " : "12px ") + getComputedStyle(document.body).fontFamily;
    pen.fillStyle = node === view.lane ? colours.accent : colours.soft;
    pen.fillText(fitted(pen, data.nodes[node].name, GUTTER - 16), 10, middle(node) + 0.5);
  };

  const laneAt = (y) => {
    const row = rows.find((row) => row.node !== undefined && y >= row.y && y < row.y + laneHeight);
    return row ? row.node : -1;
  };
  // The arrow next to a point, if one is near.
  const arrowAt = (px, y) => {
    let best = -1, least = 5;
    for (const [x0, y0, x1, y1, i] of drawn) {
      const [dx, dy] = [x1 - x0, y1 - y0], length = dx * dx + dy * dy || 1;
      const along = Math.max(0, Math.min(1, ((px - x0) * dx + (y - y0) * dy) / length));
      const away = Math.hypot(px - x0 - along * dx, y - y0 - along * dy);
      if (away < least) { least = away; best = i; }
    }
    return best;
  };
  const faultAt = (px, y) => model.faults.find((fault) => {
    const top = TICKS + PHASES + 4 + fault.row * FAULT;
    return fault.row < FAULT_ROWS && y >= top && y < top + FAULT && px >= x(fault.at) - 2 && px <= Math.max(x(fault.end), x(fault.at) + 4);
  });
  const reveal = (node) => {
    if (laneTop[node] < scroller.scrollTop) scroller.scrollTop = laneTop[node] - GROUP;
    else if (laneTop[node] + laneHeight > scroller.scrollTop + scroller.clientHeight) scroller.scrollTop = laneTop[node] + laneHeight - scroller.clientHeight;
  };
  const draw = () => { layout(); overview(); axis(); lanes(); };
  return { draw, lanes, prepare, fitted, ticks, x, time, whole, laneAt, arrowAt, faultAt, reveal, rows: () => rows, canvases, scroller,
    GUTTER, RIGHT, laneTop: (node) => laneTop[node], height: () => laneHeight, width: () => width, lower };
})();
