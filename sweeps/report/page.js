"use strict";
// Text from models, prompts and configs reaches the page through textContent alone, or, in plots, through plain().
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byCell = new Map(data.rows.map((row) => [row.cell, row]));
  const at = (id) => document.getElementById(id);
  const [BASE, EDITED, CHANGE, LOW, HIGH, P, N, SPREAD] = [0, 1, 2, 3, 4, 5, 6, 7];

  function el(tag, properties = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(properties)) {
      if (name in made) made[name] = value;
      else made.setAttribute(name, value);
    }
    made.append(...children.filter((child) => child !== null && child !== undefined));
    return made;
  }
  const known = (value) => value !== null && value !== undefined;
  // As sweeps/records/numbers.py writes them.
  function number(value, signed = false) {
    if (!known(value)) return "–";
    const size = Math.abs(value);
    const text = size >= 1e5 ? value.toExponential(1).replace("e+", "e") : value.toFixed(size >= 1e3 ? 0 : 3);
    return (signed && value >= 0 ? "+" : "") + text.replace("-", "−");
  }
  const plain = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const value = (row, metric, which = EDITED) => (row.metrics[metric] ? row.metrics[metric][which] : null);
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const small = () => window.innerWidth < 720;

  function options(select, entries, chosen) {
    select.replaceChildren(...entries.map(([key, label]) => el("option", { value: key, textContent: label, ...explained(key) })));
    if (chosen !== undefined) select.value = chosen;
  }

  // Names of metrics may break after a slash, and explain themselves.
  const breakable = (name) => name.split(/(?<=\/)/).flatMap((part, index) => (index ? [el("wbr"), part] : [part]));
  const explained = (name) => (data.explained[name] ? { title: data.explained[name] } : {});

  async function copy(button, text) {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // A page opened from a disk may not be allowed to; a selection that is copied is.
      const area = button.after(el("textarea", { value: text })) ?? button.nextSibling;
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    button.textContent = "copied";
    setTimeout(() => { button.textContent = "copy"; }, 1500);
  }
  function copyable(place) {
    const text = place.textContent;
    const button = el("button", { type: "button", textContent: "copy", "aria-label": `copy: ${text}` });
    button.addEventListener("click", () => copy(button, text));
    place.replaceChildren(el("span", { textContent: text }), button);
    return place;
  }
  document.querySelectorAll("[data-copy]").forEach(copyable);

  // A number that leads to its record: a click shows the cell, the link itself is the record's file.
  function linked(row, ...children) {
    return el("a", { className: "number", href: `${row.cell}/result.json`, "data-cell": row.cell }, ...children);
  }

  // ---- charts ------------------------------------------------------------------------------------------------
  // What they show was computed in Python (sweeps/charts); here they are chosen, coloured by theme, and pointed at.
  const redraws = [];
  const CONFIG = { responsive: true, displaylogo: false, displayModeBar: !small(), modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"] };
  // Parts that occur often are said once: {"$": N} is the Nth of them.
  const met = (part) => (part && typeof part === "object" && "$" in part ? data.shared[part.$] : part);
  function whole(part) {
    const found = met(part);
    if (Array.isArray(found)) return found.map(whole);
    if (found === null || typeof found !== "object") return found;
    return Object.fromEntries(Object.entries(found).map(([name, inner]) => [name, whole(inner)]));
  }
  function themed(layout) {
    const words = (axis) => (small() ? axis.title.text.replace(" (", "<br>(") : axis.title.text);
    const axis = { gridcolor: colour("--line"), zerolinecolor: colour("--line"), linecolor: colour("--line"), automargin: true };
    return {
      ...layout,
      title: { ...layout.title, x: 0, xref: "paper", xanchor: "left" },
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: "system-ui, sans-serif", size: 13, color: colour("--ink") },
      margin: { l: 56, r: 16, t: layout.title ? 36 : 16, b: 48 },
      hoverlabel: { bgcolor: colour("--card"), bordercolor: colour("--line"), font: { color: colour("--ink") }, align: "left" },
      legend: { orientation: "h", yref: "container", y: 0, yanchor: "bottom", x: 0 },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("--soft"), activecolor: colour("--accent") },
      xaxis: { ...axis, ...layout.xaxis, title: { text: words(layout.xaxis) } },
      yaxis: { ...axis, ...layout.yaxis, title: { text: words(layout.yaxis), standoff: 8 } },
    };
  }
  // What stands for cells tells of the one that is pointed at, and opens it at a click.
  function pointed(trace, metrics) {
    if (!trace.customdata) return trace;
    const text = (cell) => (Array.isArray(cell) ? cell.map(text) : cell ? hover(byCell.get(cell), metrics) : "");
    const dense = trace.type === "heatmap" && small() && trace.z[0].length > 6;
    return { ...trace, hovertext: trace.customdata.map(text), hovertemplate: "%{hovertext}<extra></extra>", ...(dense ? { texttemplate: "" } : {}) };
  }
  function draw(place, figure, otherwise) {
    place.classList.toggle("empty", !figure);
    place.style.height = "";
    if (!figure) {
      Plotly.purge(place);
      place.textContent = otherwise;
      return;
    }
    const aside = figure.data.map((trace) => trace.visible === "legendonly");
    if (!place.querySelector(".plot-container")) place.textContent = "";
    // A legend takes its rows from the chart: more than two get room of their own.
    const names = figure.data.filter((trace) => trace.name && trace.showlegend !== false).length;
    const rows = Math.ceil(names / Math.max(1, Math.floor(place.clientWidth / 220)));
    if (rows > 2) place.style.height = `${place.clientHeight + 20 * (rows - 2)}px`;
    Plotly.react(place, figure.data.map((trace) => pointed(trace, figure.metrics)), themed(figure.layout), CONFIG);
    place.removeAllListeners("plotly_click");
    place.on("plotly_click", (event) => openCell(event.points[0].customdata));
    const pointer = (shape) => () => { place.querySelectorAll(".nsewdrag").forEach((layer) => { layer.style.cursor = shape; }); };
    for (const event of ["plotly_hover", "plotly_unhover"]) place.removeAllListeners(event);
    place.on("plotly_hover", (event) => pointer(byCell.has(event.points[0].customdata) ? "pointer" : "")());
    place.on("plotly_unhover", pointer(""));
    // What is left aside until its name is clicked lies where the axes had no need to reach.
    place.removeAllListeners("plotly_restyle");
    place.on("plotly_restyle", ([, traces]) => {
      if (traces.some((index) => aside[index])) Plotly.relayout(place, { "xaxis.autorange": true, "yaxis.autorange": true });
    });
  }
  // A chart and its menus, of which each choice has a figure of its own.
  function chart(name) {
    const place = at(`${name}-plot`);
    if (!data.charts[name]) {
      place.closest("section").hidden = true;
      return;
    }
    const { menus: told, figures, otherwise } = met(data.charts[name]);
    const menus = whole(told);
    for (const menu of menus) {
      if (at(menu.id)) continue;
      const select = el("select", { id: menu.id });
      options(select, Object.entries(menu.options), menu.first);
      at(`${name}-controls`).append(el("label", {}, `${menu.label} `, select));
    }
    const redraw = () => {
      const figure = menus.reduce((part, menu) => met(part)?.[at(menu.id).value], figures);
      draw(place, whole(figure ?? null), whole(otherwise));
    };
    for (const menu of menus) at(menu.id).addEventListener("change", redraw);
    redraws.push(redraw);
    redraw();
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => redraws.forEach((redraw) => redraw()));

  function hover(row, metrics) {
    const lines = [`<b>${plain(row.cell)}</b>`, plain(row.told)];
    if (row.cells.length > 1) lines.push(`seeds ${row.seeds.join(", ")}: ${row.cells.map(plain).join(", ")}`);
    for (const metric of metrics) {
      const m = row.metrics[metric];
      if (!m) continue;
      const interval = known(m[LOW]) ? ` (${number(m[LOW], true)} to ${number(m[HIGH], true)})` : "";
      lines.push(`${plain(metric)}: ${number(m[BASE])} → ${number(m[EDITED])}${interval}`);
    }
    if (row.chosen) lines.push(`chosen${data.half}`);
    if (row.broken) lines.push(`broke the text: ${plain(row.broken)}`);
    return lines.join("<br>");
  }

  const first = "methods" in data.charts ? ["trade", "methods"] : ["trade"];
  [...first, "maps", "curves", "robustness", "cosines", "layers", "time"].forEach(chart);

  // ---- tables -------------------------------------------------------------------------------------------------
  // Where all cells have one base it is a row of its own, and cells need not say it again.
  function edited(row, metric) {
    const m = row.metrics[metric];
    if (!m) return document.createTextNode("–");
    const was = known(m[BASE]) && !known(data.bases[metric]) ? el("span", { className: "was", textContent: `${number(m[BASE])} → ` }) : null;
    return linked(row, row.significant.includes(metric) ? "† " : "", was, number(m[EDITED]));
  }
  function byRule(row) {
    const { why_not: reasons, values } = row.qualifies;
    const verdict = reasons.length ? reasons.join("; ") : row.chosen ? "chosen" : "qualifies";
    const seen = values.slice(0, 1).filter((one) => !verdict.includes(one));
    return el("span", { title: `the rule saw: ${values.join("; ")}` }, verdict, ...seen.map((one) => el("small", { textContent: one })));
  }
  function difference(row, metric) {
    const m = row.metrics[metric];
    if (!m || !known(m[CHANGE])) return document.createTextNode("–");
    const interval = known(m[LOW]) ? el("small", { textContent: ` (${number(m[LOW], true)} to ${number(m[HIGH], true)})` }) : null;
    return linked(row, number(m[CHANGE], true), interval);
  }
  // What is sought: `alpha 3`, `alpha=3` and `alpha: 3` are of one key, everything else is part of a line's text.
  function terms(text) {
    const words = text.trim().toLowerCase().split(/[\s=:]+/).filter(Boolean);
    const found = [];
    while (words.length) {
      const key = data.swept.find((name) => name.toLowerCase() === words[0]);
      found.push(key && words.length > 1 ? { key, value: words.splice(0, 2)[1] } : { text: words.shift() });
    }
    return found;
  }
  function matches(row, { key, value: wanted, text }) {
    const status = [row.chosen ? "chosen" : "", row.broken ? "broke the text" : "", row.qualifies && !row.qualifies.why_not.length ? "qualifies" : ""];
    if (!key) return `${row.cell} ${row.told} ${status.join(" ")}`.toLowerCase().includes(text);
    const is = (other) => String(other.keys[key]).toLowerCase() === wanted || Number(other.keys[key]) === Number(wanted);
    return data.rows.some(is) ? is(row) : String(row.keys[key]).toLowerCase().startsWith(wanted);
  }
  function table(place, show, which, base = null) {
    const id = (row) => linked(row, row.cell + (row.chosen ? " ★" : row.broken ? " ×" : ""));
    const cell = { name: "cell", sort: (row) => row.cell, show: (row) => (small() ? el("span", {}, id(row), el("small", { textContent: row.told })) : id(row)) };
    const ofKey = (key) => ({ name: key, numeric: data.grid.includes(key), sort: (row) => row.keys[key], show: (row) => document.createTextNode(row.keys[key] ?? "–") });
    // Each of several methods has keys of its own, of which the others would have none.
    const ofMethod = (row) => row.told.replace(`method=${row.keys.method}`, "").trim();
    const keys = data.swept.includes("method") ? [ofKey("method"), { name: "setting", sort: ofMethod, show: (row) => document.createTextNode(ofMethod(row)) }] : data.swept.map(ofKey);
    const measured = data.headlines.map((metric) => ({ name: metric, numeric: true, sort: (row) => value(row, metric, which), show: (row) => show(row, metric), base: base?.[metric] }));
    if (base && data.rule) measured.push({ name: "qualifies, or why not", reason: true, sort: (row) => row.qualifies.why_not.length, show: byRule });
    if (data.rows.some((row) => row.seeds.length > 1)) {
      keys.unshift({ name: "seeds", sort: (row) => row.seeds.length, show: (row) => document.createTextNode(row.seeds.join(", ")) });
    }
    // On a phone what was measured comes first; the cell says what was swept.
    const columns = small() ? [cell, ...measured, ...keys] : [cell, ...keys, ...measured];
    const styled = (column) => (column.numeric ? "num" : column.reason ? "reason" : "");
    let rows = [...data.rows], sorted = null, up = true, sought = [];
    const body = el("tbody");
    const heads = columns.map((column, index) => {
      const button = el("button", { type: "button", ...explained(column.name) }, ...breakable(column.name));
      const head = el("th", { className: styled(column) }, button);
      button.addEventListener("click", () => {
        up = sorted === index ? !up : true;
        sorted = index;
        const of = (row) => column.sort(row);
        const order = (a, b) => (!known(of(a)) ? 1 : !known(of(b)) ? -1 : of(a) < of(b) ? -1 : of(a) > of(b) ? 1 : 0);
        rows.sort((a, b) => (up || !known(of(a)) || !known(of(b)) ? order(a, b) : -order(a, b)));
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        fill();
      });
      return head;
    });
    function fill() {
      const found = rows.filter((row) => sought.every((term) => matches(row, term)));
      body.replaceChildren(
        ...(columns.some((column) => known(column.base))
          ? [el("tr", { className: "base" }, ...columns.map((column, index) => el("td", { className: styled(column) }, index ? known(column.base) ? number(column.base) : "" : "base")))]
          : []),
        ...found.map((row) =>
          el("tr", { className: row.chosen ? "chosen" : row.broken ? "broken" : "" },
            ...columns.map((column) => el("td", { className: styled(column) }, column.show(row))))),
      );
    }
    place.append(el("thead", {}, el("tr", {}, ...heads)), body);
    fill();
    return (text) => {
      sought = terms(text);
      fill();
    };
  }
  const find = table(at("cells-table"), edited, EDITED, data.bases);
  at("cells-find").addEventListener("input", (event) => find(event.target.value));
  if (data.swept.some((key) => !data.grid.includes(key))) {
    at("ablation").hidden = false;
    table(at("ablation-table"), difference, CHANGE);
  }

  const named = (row) => `${row.cell} ${row.told}${row.chosen ? " ★" : ""}`;

  // ---- samples -------------------------------------------------------------------------------------------------------
  const samples = data.samples;
  const shownCells = Object.keys(samples.cells).filter((cell) => Object.keys(samples.cells[cell]).length);
  const list = at("samples-list");
  const PAGE = 20;
  let limit = PAGE;
  function measurements() {
    const names = Object.keys(samples.cells[at("samples-cell").value]);
    const before = at("samples-measurement").value;
    options(at("samples-measurement"), names.map((name) => [name, name]), names.includes(before) ? before : names.includes(data.behavior) ? data.behavior : names[0]);
  }
  function side(title, text, score, tone) {
    return el("div", {}, el("h4", { className: tone, textContent: known(score) ? `${title} · ${number(score)}` : title }), el("p", { textContent: text ?? "" }));
  }
  function showSamples() {
    const [cell, name, kind] = [at("samples-cell").value, at("samples-measurement").value, at("samples-change").value];
    const sought = at("samples-find").value.trim().toLowerCase();
    const shared = samples.measurements[name];
    const ours = samples.cells[cell][name];
    const rows = shared.sample.map((id, i) => ({ id, prompt: shared.prompt[i], base: shared.base[i], was: shared.base_score[i], edited: ours.edited[i], now: ours.edited_score[i] }));
    const kinds = {
      all: () => true, fell: (row) => row.now < row.was, rose: (row) => row.now > row.was,
      text: (row) => row.base !== row.edited, same: (row) => row.base === row.edited,
    };
    const found = rows.filter((row) => kinds[kind](row) && `${row.prompt}\n${row.base}\n${row.edited}`.toLowerCase().includes(sought));
    found.sort((a, b) => Math.abs(b.now - b.was) - Math.abs(a.now - a.was));
    const minimize = data.better[name] === "minimize";
    const tone = (row) => (row.now === row.was ? "" : row.now < row.was === minimize ? "better" : "worse");
    list.replaceChildren(...found.slice(0, limit).map((row) =>
      el("article", { className: "sample" }, el("p", { className: "prompt", textContent: row.prompt ?? row.id }),
        el("div", { className: "sides" }, side("base", row.base, row.was, ""), side("edited", row.edited, row.now, tone(row))))));
    at("samples-count").textContent = `${found.length} of ${rows.length} samples, largest change first`;
    at("samples-more").hidden = found.length <= limit;
  }
  function restart() {
    limit = PAGE;
    showSamples();
  }
  list.classList.add("blurred");
  at("samples-clear").addEventListener("change", (event) => list.classList.toggle("blurred", !event.target.checked));
  list.addEventListener("click", (event) => event.target.closest(".sample")?.classList.add("clear"));
  if (shownCells.length) {
    options(at("samples-cell"), shownCells.map((cell) => [cell, named(byCell.get(cell) || data.rows.find((row) => row.cells.includes(cell)))]));
    measurements();
    at("samples-cell").addEventListener("change", () => { measurements(); restart(); });
    for (const id of ["samples-measurement", "samples-change"]) at(id).addEventListener("change", restart);
    at("samples-find").addEventListener("input", restart);
    at("samples-more").addEventListener("click", () => { limit += PAGE; showSamples(); });
    restart();
  } else {
    at("samples-count").textContent = "No texts were measured.";
    at("samples-controls").hidden = true;
  }
  const missing = samples.left_out.length ? ` Not embedded, for size or because their file is missing: ${samples.left_out.join(", ")}.` : "";
  at("samples-left-out").textContent = `Embedded are the chosen cell, the front and cells asked for: sweeps report ${data.sweep} --cell ID.${missing}`;

  // ---- one cell --------------------------------------------------------------------------------------------------------
  function openCell(cell) {
    const row = byCell.get(cell);
    if (!row) return;
    const heads = ["metric", "base", "edited", "change", "95 % interval", "p", "n"];
    const metrics = data.metrics.filter((metric) => row.metrics[metric]).map((metric) => {
      const m = row.metrics[metric];
      const interval = known(m[LOW]) ? `${number(m[LOW], true)} to ${number(m[HIGH], true)}` : "–";
      const p = !known(m[P]) ? "–" : m[P] < 0.001 ? m[P].toExponential(1) : m[P].toFixed(3);
      const spread = known(m[SPREAD]) ? ` (sd over seeds ${number(m[SPREAD])})` : "";
      const name = el("td", { className: "about" }, ...breakable(metric), el("small", { textContent: data.explained[metric] ?? "" }));
      return el("tr", {}, name, ...[number(m[BASE]), number(m[EDITED]), number(m[CHANGE], true) + spread, interval, p, m[N] ?? "–"].map((text) => el("td", { className: "num", textContent: text })));
    });
    const commands = row.cells.flatMap((id, i) => [
      el("p", {}, el("a", { href: `${id}/result.json`, textContent: "record" }), " · ", el("a", { href: `${id}/config.yaml`, textContent: "config" }), ` of ${id}${row.seeds.length > 1 ? `, seed ${row.seeds[i]}` : ""}; this makes it again:`),
      row.commands[i] ? copyable(el("code", { className: "command", textContent: row.commands[i] })) : el("p", { textContent: "not recorded" }),
    ]);
    const rule = row.qualifies && el("p", {}, el("strong", { textContent: row.qualifies.why_not.length ? "Does not qualify: " : "Qualifies: " }), [...row.qualifies.why_not, ...row.qualifies.values.filter((one) => !row.qualifies.why_not.some((reason) => reason.includes(one)))].join("; "));
    at("cell-body").replaceChildren(
      el("h2", { textContent: row.cell }),
      el("p", { textContent: `${row.told}${known(row.step) ? ` · a step of ${Number(row.step.toPrecision(3))} times the edited rows' median norm` : ""}${row.chosen ? ` · chosen${data.half}` : ""}` }),
      el("p", { textContent: `${row.sentence}.` }),
      ...(rule ? [rule] : []),
      ...commands,
      el("p", { textContent: "and this takes it away:" }),
      copyable(el("code", { className: "command", textContent: `sweeps export ${data.sweep} ${row.cell} DIR${data.output}` })),
      el("div", { className: "scroll" }, el("table", {}, el("thead", {}, el("tr", {}, ...heads.map((text, i) => el("th", { className: i ? "num" : "", textContent: text })))), el("tbody", {}, ...metrics))),
    );
    at("cell").showModal();
  }
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-cell]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    openCell(link.dataset.cell);
  });
  document.documentElement.dataset.ready = "yes";
})();
