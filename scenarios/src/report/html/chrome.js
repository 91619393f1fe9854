"use strict";
// Everything around the timeline: verdict, figures, checks, tables, and what is told about a thing that is pointed at.
ddil.chrome = (() => {
  const { data, model, view, text, element, colours, lanes } = ddil;
  const get = (id) => document.getElementById(id);
  const GRAVE = { PASS: "v-pass", FAIL: "v-fail", NONDETERMINISTIC: "v-fail", "INFRA-ERROR": "v-infra" };
  const grave = (verdict) => GRAVE[verdict] || "v-warn";
  const CAUSES = { heal: "heal of", restart: "restart after", join: "join of" };
  const KINDS = ["put", "edit", "delete"], OUTCOMES = ["acknowledged", "refused", "unknown", "skipped"];

  const head = () => {
    const verdict = get("verdict");
    verdict.textContent = data.verdict;
    verdict.classList.add(grave(data.verdict));
    get("title").textContent = data.title;
    get("purpose").textContent = data.purpose;
    const clusters = new Set(data.groups.map((group) => group.cluster)).size;
    const many = (n, noun) => text.count(n) + " " + noun + (n === 1 ? "" : "s");
    get("meta").textContent = ["seed " + data.seed, data.world, many(data.nodes.length, "node") + " in " + many(clusters, "cluster"),
      text.span(data.duration) + " of scenario time in " + data.wall, ...(data.trace ? ["trace " + data.trace] : [])].join(" · ");
    get("reproduce").textContent = data.reproduce;
    get("program").textContent = "Written by " + data.program + ". This file asks nobody for anything.";
    for (const note of data.notes) get("notes").append(element("li", "", note));
    for (const tile of data.tiles) {
      get("tiles").append(element("li", "", element("span", "label", tile.label), element("span", tile.value.length > 11 ? "value long" : "value", tile.value),
        element("span", "note", tile.note)));
    }
  };

  const jump = (finding) => {
    const button = element("button", "", text.time(finding.at, 1));
    button.type = "button";
    button.title = "Show this moment";
    button.addEventListener("click", () => ddil.keys.showFinding(finding, true));
    return button;
  };
  const checks = () => {
    const place = get("checks"), passed = data.checks.filter((check) => check.verdict === "PASS");
    for (const check of data.checks.filter((check) => check.verdict !== "PASS")) {
      const card = element("div", "check " + grave(check.verdict), element("span", "word " + grave(check.verdict), check.verdict),
        element("span", "name", check.name), check.detail);
      const list = element("ul", "");
      for (const finding of check.findings) {
        const item = element("li", "");
        if (finding.at !== undefined) item.append(jump(finding));
        if (finding.text !== check.detail) item.append(element("span", "", finding.text));
        list.append(item);
      }
      if (list.children.length) card.append(list);
      place.append(card);
    }
    if (passed.length) {
      const summary = element("summary", "", passed.length + (passed.length === 1 ? " check" : " checks") + " passed",
        element("span", "names", passed.map((check) => check.name).join(", ")));
      const rows = passed.map((check) => [check.name, check.detail]);
      place.append(element("details", "passed", summary, table(["check", "what was looked at"], rows)));
    }
  };

  const table = (heads, rows, numbers = []) => {
    const cell = (tag, content, i) => {
      const made = element(tag, numbers.includes(i) ? "number" : "");
      made.append(content);
      return made;
    };
    const body = rows.map((row) => element("tr", "", ...row.map((content, i) => cell("td", content, i))));
    return element("div", "table", element("table", "", element("thead", "", element("tr", "", ...heads.map((name, i) => cell("th", name, i)))),
      element("tbody", "", ...body)));
  };
  const fill = (id, heads, rows, numbers, none) => get(id).append(rows.length ? table(heads, rows, numbers) : element("p", "none", none));
  const moment = (at, from, to) => {
    const button = element("button", "", text.time(at));
    button.type = "button";
    button.title = "Show it in the timeline";
    button.addEventListener("click", () => ddil.keys.show(from, to));
    return button;
  };
  const tables = () => {
    const around = (from, to) => [from - Math.max(5000, (to - from) * 0.25), to + Math.max(5000, (to - from) * 0.25)];
    const series = data.latency.map((of) => [of.name, text.count(of.count), ...[of.p50, of.p90, of.p99, of.max].map(text.span)]);
    fill("latency", ["writes", "samples", "p50", "p90", "p99", "max"], series, [1, 2, 3, 4, 5], "Nothing was measured.");
    document.querySelectorAll("#latency tbody tr").forEach((row, i) => {
      const swatch = element("i", "swatch");
      swatch.style.cssText = "display:inline-block;width:9px;height:9px;border-radius:2.5px;margin-right:7px;background:" + "var(--" + ddil.charts.SERIES[i % 3] + ")";
      row.firstChild.prepend(swatch);
    });
    const recoveries = data.recoveries.map((of) => [CAUSES[of.cause] + " " + of.name, moment(of.at, of.at - 5000, of.at + Math.max(10000, (of.took || 0) * 2)),
      of.reconnected, of.converged]);
    fill("recoveries", ["after", "at", "reconnected", "converged"], recoveries, [1, 2, 3], "There was nothing to recover from.");
    const faults = model.faults.slice(0, 200).map((of) => [of.name, of.text, moment(of.at, ...around(of.at, of.end)), text.span(of.end - of.at),
      of.did || "nothing"]);
    fill("faults", ["fault", "what", "at", "for", "what it did"], faults, [2, 3], "There were none.");
    fill("pairs", ["groups", "samples", "one way", "p50", "p99", "max", "p50 / one way"], data.pairs, [1, 2, 3, 4, 5, 6], "Nothing was measured.");
    fill("directions", ["direction", "sent", "arrived", "datagrams", "arrived"], data.directions, [1, 2, 3, 4], "Nothing was counted.");
    for (const [node, lines] of data.logs) {
      get("logs-card").hidden = false;
      const log = element("pre", "", lines.join("\n"));
      get("logs").append(element("details", "", element("summary", "", node + ": the last " + lines.length + " lines"), log));
    }
  };
  const legend = () => {
    const place = get("legend");
    place.replaceChildren();
    const entry = (paint, words) => {
      const swatch = element("i", "");
      Object.assign(swatch.style, paint);
      place.append(element("span", "", swatch, words));
    };
    entry({ background: colours.calm, opacity: ".68" }, "up to date, all sessions up");
    entry({ background: colours.calm, opacity: ".13" }, "without sessions");
    entry({ background: `linear-gradient(90deg, ${colours["late-1"]}, ${colours["late-2"]}, ${colours["late-3"]})` }, "a write is missing for 1 s … 10 min");
    entry({ background: `repeating-linear-gradient(135deg, ${colours.cut} 0 1.2px, transparent 1.2px 5px)` }, "link fault");
    if (model.faults.some((fault) => fault.family === "disk")) entry({ background: `repeating-linear-gradient(135deg, ${colours.disk} 0 1.2px, transparent 1.2px 5px)` }, "disk, clock, pause");
    entry({ borderTop: `2px dashed ${colours.crash}`, height: "0", borderRadius: "0" }, "down");
    entry({ background: colours.accent, height: "2px" }, "write → shown");
    entry({ background: colours["late-2"], height: "2px" }, "… after an outage");
    entry({ background: colours.fail, height: "2px" }, "never, or dropped");
  };

  // What is known of a thing: a heading and pairs of name and value.
  const facts = {
    lane(node, time) {
      const curves = ddil.curves(view.from, view.to);
      const i = Math.max(0, Math.min(curves.total.length - 1, Math.floor((time - curves.origin) / curves.step)));
      const of = data.nodes[node], found = [["At", text.time(time, view.to - view.from)]];
      const runs = model.lives[node].some(([from, to]) => from <= time && time < to);
      if (!runs) found.push(["State", model.lives[node].length && time < model.lives[node][0][0] ? "not started" : "down"]);
      else if (model.sessions[node].known) {
        const peers = model.peersAt(node, time), more = peers.length > 6 ? " and " + (peers.length - 6) + " more" : "";
        found.push(["Sessions", peers.length + " of " + model.sessions[node].most + (peers.length ? ": " + peers.slice(0, 6).join(", ") + more : "")]);
      }
      found.push(["Missing here", curves.missing[node][i] ? text.count(curves.missing[node][i]) + " writes, the oldest for " + text.span(curves.age[node][i]) : "nothing"]);
      for (const fault of model.faults) if (fault.at <= time && time < fault.end && fault.nodes.includes(node)) found.push(["Fault", fault.name + ": " + fault.text]);
      if (of.documents !== null) found.push(["At the end", text.count(of.documents) + " documents" + (of.received ? ", " + text.bytes(of.received) + " received" : "")]);
      return [of.name, found];
    },
    fault(fault) {
      return ["Fault " + fault.name, [["What", fault.text], ["From", text.time(fault.at, 1)], ["To", text.time(fault.end, 1) + " (" + text.span(fault.end - fault.at) + ")"],
        ["Touches", fault.nodes.length + (fault.nodes.length === 1 ? " node" : " nodes")], ["Did", fault.did || "nothing"]]];
    },
    documents(i) {
      const set = model.documents, op = set.of[i], of = model.operations;
      const found = [["Write", KINDS[of.kind[op]] + " at " + data.nodes[set.from[i]].name], ["Issued", text.time(model.at[op], 1)]];
      found.push(["Acknowledged", text.time(set.start[i], 1)]);
      found.push(["Shown at", data.nodes[set.to[i]].name + (set.end[i] < 0 ? ": never" : ", " + text.time(set.end[i], 1))]);
      if (set.end[i] >= 0) found.push(["Latency", text.span(set.end[i] - set.start[i]) + (set.kind[i] === 1 ? ", spans an outage" : "")]);
      return [of.documents[of.document[op]], found];
    },
    datagrams(i) {
      const set = model.datagrams;
      const found = [["From", data.nodes[set.from[i]].name], ["To", data.nodes[set.to[i]].name], ["Sent", text.time(set.start[i], 1)]];
      found.push(["Arrives", set.end[i] < 0 ? "dropped" : text.time(set.end[i], 1) + " (" + text.span(set.end[i] - set.start[i]) + ")"]);
      found.push(["Payload", text.bytes(set.size[i]) + " in " + text.count(data.flights.datagrams[i]) + " datagrams"]);
      return ["Flight", found];
    },
    curves(time) { return ["At " + text.time(time), ddil.charts.at(time)]; },
    write(op) {
      const of = model.operations, shown = of.to[op].length / 3;
      return [of.documents[of.document[op]], [["Write", KINDS[of.kind[op]] + " at " + data.nodes[of.node[op]].name], ["Issued", text.time(model.at[op], 1)],
        ["Outcome", OUTCOMES[of.outcome[op]]], ["Shown at", shown + " replicas"]]];
    },
  };
  const told = ([title, pairs]) => {
    const list = element("dl", "");
    for (const [name, value] of pairs) list.append(element("dt", "", name), element("dd", "", value));
    return element("div", "facts", element("h3", "", title), list);
  };
  const tip = get("tip");
  const point = (found, px, py) => {
    if (!found) { tip.hidden = true; return; }
    tip.replaceChildren(told(found));
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    tip.style.left = Math.max(6, Math.min(innerWidth - box.width - 8, px + 16)) + "px";
    tip.style.top = (py + 18 + box.height > innerHeight ? Math.max(6, py - box.height - 12) : py + 18) + "px";
  };
  const pin = (found) => {
    const place = get("pinned");
    view.pinned = found;
    place.hidden = !found;
    place.replaceChildren(...(found ? [told(found)] : []));
  };
  const say = (words) => { get("live").textContent = words; };

  const THEMES = ["system", "dark", "light"];
  let theme = "system";
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const applyTheme = (chosen) => {
    theme = THEMES.includes(chosen) ? chosen : "system";
    document.documentElement.toggleAttribute("data-dark", theme === "dark" || (theme === "system" && dark.matches));
    get("theme").textContent = "Theme: " + theme;
    colours.read();
    legend();
  };
  const nextTheme = () => { applyTheme(THEMES[(THEMES.indexOf(theme) + 1) % 3]); draw(); say("Theme: " + theme); };
  dark.addEventListener("change", () => { applyTheme(theme); draw(); });

  let waiting = false;
  const draw = () => {
    lanes.draw();
    ddil.charts.draw();
    get("range").textContent = text.time(view.from, view.to - view.from) + " – " + text.time(view.to, view.to - view.from) + "  (" + text.span(view.to - view.from) + ")";
    const lane = view.lane >= 0 ? ", lane " + data.nodes[view.lane].name : "";
    get("timeline").setAttribute("aria-label", `Timeline of ${data.nodes.length} nodes, ${text.time(view.from)} to ${text.time(view.to)}${lane}, ` +
      `${model.faults.length} faults, ${model.findings.length} findings`);
    document.querySelectorAll("[data-arrows]").forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.arrows === view.arrows)));
  };
  // At most once a frame, however fast the mouse is.
  const drawSoon = () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; draw(); });
  };
  return { head, checks, tables, facts, point, pin, say, applyTheme, nextTheme, draw, drawSoon, theme: () => theme };
})();
