"use strict";
// Curves on the axis of the timeline, and the latency histogram.
ddil.charts = (() => {
  const { data, model, view, colours, text, lanes } = ddil;
  const HEIGHT = 78, GAP = 22;
  const CLASSES = { command: "c4", membership: "c3", state: "c0", telemetry: "c1", blob: "c2", control: "c7" };
  const bands = () => {
    const found = [
      { name: "Missing writes", unit: (n) => text.count(n), draw: missing },
      { name: "Oldest missing", unit: text.span, draw: oldest },
    ];
    if (data.traffic.bytes.length || data.traffic.classes.length) found.push({ name: "Bytes a second", unit: text.bytes, draw: traffic });
    return found;
  };
  const height = () => bands().length * (HEIGHT + GAP) + 6;

  const draw = () => {
    const pen = lanes.prepare("charts", height());
    const [left, right] = [lanes.GUTTER, lanes.width() - lanes.RIGHT];
    bands().forEach((band, position) => {
      const top = GAP - 8 + position * (HEIGHT + GAP), base = top + HEIGHT;
      pen.fillStyle = colours.lane;
      pen.fillRect(left, top, right - left, HEIGHT);
      pen.strokeStyle = colours.rule;
      pen.lineWidth = 1;
      pen.beginPath();
      for (const at of lanes.ticks()) { const px = Math.round(lanes.x(at)) + 0.5; pen.moveTo(px, top); pen.lineTo(px, base); }
      pen.stroke();
      pen.fillStyle = colours.ink;
      pen.font = "600 12px " + getComputedStyle(document.body).fontFamily;
      pen.fillText(band.name, 2, top + 8);
      pen.font = "11px " + getComputedStyle(document.body).fontFamily;
      pen.save();
      pen.beginPath();
      pen.rect(left, top, right - left, HEIGHT);
      pen.clip();
      const most = band.draw(pen, top, base);
      pen.restore();
      pen.fillStyle = colours.faint;
      pen.textAlign = "right";
      pen.fillText(band.unit(most), left - 8, top + 8);
      pen.fillText("0", left - 8, base - 6);
      pen.textAlign = "left";
      if (band.draw === traffic) key(pen, top);
      if (band.draw !== traffic && view.lane >= 0) {
        pen.fillStyle = colours.accent;
        pen.fillText(lanes.fitted(pen, data.nodes[view.lane].name, left - 16), 2, top + 24);
      }
    });
  };
  // A stepped curve over equal shares from some moment on; drawn where it is in view.
  const span = (values, step, origin) => [Math.max(0, Math.floor((view.from - origin) / step)), Math.min(values.length - 1, Math.floor((view.to - origin) / step))];
  const path = (pen, values, step, base, scale, origin = 0) => {
    const [first, last] = span(values, step, origin), x = (i) => lanes.x(origin + i * step);
    pen.moveTo(x(first), base);
    for (let i = first; i <= last; i++) {
      const y = base - scale(values[i]);
      pen.lineTo(x(i), y);
      pen.lineTo(x(i + 1), y);
    }
    pen.lineTo(x(last + 1), base);
  };
  const inView = (values, step, origin = 0) => {
    const [first, last] = span(values, step, origin);
    let most = 0;
    for (let i = first; i <= last; i++) most = Math.max(most, values[i]);
    return most;
  };
  const area = (pen, values, step, base, scale, colour, alpha, origin = 0) => {
    pen.beginPath();
    path(pen, values, step, base, scale, origin);
    pen.fillStyle = colour;
    pen.globalAlpha = alpha;
    pen.fill();
    pen.globalAlpha = 1;
    pen.strokeStyle = colour;
    pen.lineWidth = 1.25;
    pen.stroke();
  };
  const two = (pen, base, all, nodes, curves, colour) => {
    const most = Math.max(1, inView(all, curves.step, curves.origin)), scale = (value) => (value / most) * (HEIGHT - 5);
    area(pen, all, curves.step, base, scale, colour, 0.24, curves.origin);
    if (view.lane >= 0) area(pen, nodes[view.lane], curves.step, base, scale, colours.accent, 0.28, curves.origin);
    return most;
  };
  const missing = (pen, top, base) => {
    const curves = ddil.curves(view.from, view.to);
    return two(pen, base, curves.total, curves.missing, curves, colours["late-2"]);
  };
  const oldest = (pen, top, base) => {
    const curves = ddil.curves(view.from, view.to);
    return two(pen, base, curves.worst, curves.age, curves, colours["late-3"]);
  };
  const traffic = (pen, top, base) => {
    const { bytes, classes, step } = data.traffic;
    const most = Math.max(1, inView(bytes, step), ...classes.map(([, values]) => inView(values, step)));
    const scale = (value) => (value / most) * (HEIGHT - 5);
    if (bytes.length) area(pen, bytes, step, base, scale, colours.faint, 0.22);
    // Classes stand on each other.
    const sums = new Float64Array(Math.max(0, ...classes.map(([, values]) => values.length)));
    const stacked = classes.map(([name, values]) => {
      values.forEach((value, i) => (sums[i] += value));
      return [name, Float64Array.from(sums)];
    });
    for (const [name, values] of stacked.reverse()) {
      pen.beginPath();
      path(pen, values, step, base, scale);
      pen.fillStyle = colours[CLASSES[name] || "c6"];
      pen.fill();
    }
    return most / (step / 1000);
  };
  const key = (pen, top) => {
    const used = data.traffic.classes.filter(([, values]) => values.some((value) => value > 0));
    const entries = used.map(([name]) => [name, CLASSES[name] || "c6"]).concat(data.traffic.bytes.length ? [["all datagrams", "faint"]] : []);
    const perRow = entries.length > 4 ? 2 : 1;
    entries.forEach(([name, colour], i) => {
      const y = top + 22 + Math.floor(i / perRow) * 12, at = 2 + (i % perRow) * 78;
      pen.fillStyle = colours[colour];
      pen.fillRect(at, y - 3, 7, 7);
      pen.fillStyle = colours.soft;
      pen.fillText(name, at + 11, y + 1);
    });
  };
  // What the curves say at a moment.
  const at = (time) => {
    const curves = ddil.curves(view.from, view.to);
    const i = Math.max(0, Math.min(curves.total.length - 1, Math.floor((time - curves.origin) / curves.step)));
    const facts = [["Missing writes", text.count(curves.total[i])], ["Oldest missing", text.span(curves.worst[i])]];
    const slice = Math.floor(time / data.traffic.step), seconds = data.traffic.step / 1000;
    if (slice < data.traffic.bytes.length) facts.push(["All datagrams", text.bytes(data.traffic.bytes[slice] / seconds) + "/s"]);
    for (const [name, values] of data.traffic.classes) if (values[slice]) facts.push([name, text.bytes(values[slice] / seconds) + "/s"]);
    return facts;
  };

  // Log-scaled: bucket b begins at 10^(b/8) µs.
  const SERIES = ["accent", "late-2", "c1"];
  const histogram = () => {
    const canvas = document.getElementById("histogram"), series = data.latency;
    if (!series.length) { canvas.hidden = true; return; }
    const width = canvas.clientWidth, tall = 190, scale = devicePixelRatio || 1;
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(tall * scale);
    const pen = canvas.getContext("2d");
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.font = "11px " + getComputedStyle(document.body).fontFamily;
    pen.textBaseline = "middle";
    let first = Math.min(...series.map((of) => of.first)), last = Math.max(...series.map((of) => of.first + of.buckets.length));
    first = Math.floor(first / 8) * 8;
    last = Math.max(first + 8, Math.ceil(last / 8) * 8);
    const base = tall - 22, x = (bucket) => 6 + ((bucket - first) / (last - first)) * (width - 12);
    pen.fillStyle = colours.lane;
    pen.fillRect(6, 8, width - 12, base - 8);
    pen.fillStyle = colours.soft;
    pen.textAlign = "center";
    for (let decade = first; decade <= last; decade += 8) {
      pen.fillStyle = colours.rule;
      pen.fillRect(Math.round(x(decade)), 8, 1, base - 8);
      pen.fillStyle = colours.soft;
      const label = text.span(Math.pow(10, decade / 8) / 1000).replace(/\.0+ /, " ");
      pen.fillText(label, Math.max(22, Math.min(width - 24, x(decade))), base + 12);
    }
    // Each as a share of its own highest bucket: there are a hundred times as many of one kind as of another.
    series.forEach((of, position) => {
      const most = Math.max(...of.buckets), colour = colours[SERIES[position % 3]];
      pen.fillStyle = colour;
      pen.globalAlpha = 0.45;
      of.buckets.forEach((count, i) => {
        if (!count) return;
        const height = Math.max(1.5, (count / most) * (base - 22)), x0 = x(of.first + i);
        pen.fillRect(x0 + 0.5, base - height, x(of.first + i + 1) - x0 - 1, height);
      });
      pen.globalAlpha = 1;
      const p50 = x(8 * Math.log10(of.p50 * 1000));
      pen.fillRect(p50 - 0.75, 8, 1.5, base - 8);
      pen.textAlign = p50 > width - 60 ? "right" : "left";
      pen.fillText("p50", p50 + (p50 > width - 60 ? -4 : 4), 15 + position * 12);
    });
    canvas.setAttribute("aria-label", "Histogram of sync latency: " + series.map((of) => of.name + " p50 " + text.span(of.p50) + ", p99 " + text.span(of.p99)).join("; "));
  };
  return { draw, histogram, at, SERIES };
})();
