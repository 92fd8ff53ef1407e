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
  const number = (value, signed = false) =>
    !known(value) ? "–" : (signed && value >= 0 ? "+" : "") + value.toFixed(3).replace("-", "−");
  const plain = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const keysOf = (row) => data.swept.filter((key) => key in row.keys).map((key) => `${key}=${row.keys[key]}`).join(" ");
  const value = (row, metric, which = EDITED) => (row.metrics[metric] ? row.metrics[metric][which] : null);
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const small = () => window.innerWidth < 720;

  function options(select, entries, chosen) {
    select.replaceChildren(...entries.map(([key, label]) => el("option", { value: key, textContent: label })));
    if (chosen !== undefined) select.value = chosen;
  }

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
    const up = layout.yaxis.title.text;
    const words = small() ? up.replace(" (", "<br>(") : up;
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
      xaxis: { ...axis, ...layout.xaxis },
      yaxis: { ...axis, ...layout.yaxis, title: { text: words, standoff: 8 } },
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
    if (!figure) {
      Plotly.purge(place);
      place.textContent = otherwise;
      return;
    }
    const aside = figure.data.map((trace) => trace.visible === "legendonly");
    if (!place.querySelector(".plot-container")) place.textContent = "";
    Plotly.react(place, figure.data.map((trace) => pointed(trace, figure.metrics)), themed(figure.layout), CONFIG);
    place.removeAllListeners("plotly_click");
    place.on("plotly_click", (event) => openCell(event.points[0].customdata));
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
    const lines = [`<b>${plain(row.cell)}</b>`, plain(keysOf(row))];
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
  function change(row, metric) {
    const m = row.metrics[metric];
    if (!m) return document.createTextNode("–");
    const was = known(m[BASE]) ? el("span", { className: "was", textContent: `${number(m[BASE])} → ` }) : null;
    return linked(row, row.significant.includes(metric) ? "† " : "", was, number(m[EDITED]));
  }
  function difference(row, metric) {
    const m = row.metrics[metric];
    if (!m || !known(m[CHANGE])) return document.createTextNode("–");
    const interval = known(m[LOW]) ? el("small", { textContent: ` (${number(m[LOW], true)} to ${number(m[HIGH], true)})` }) : null;
    return linked(row, number(m[CHANGE], true), interval);
  }
  function table(place, show, which) {
    const columns = [
      { name: "cell", sort: (row) => row.cell, show: (row) => linked(row, row.cell + (row.chosen ? " ★" : row.broken ? " ×" : "")) },
      ...data.swept.map((key) => ({ name: key, numeric: data.grid.includes(key), sort: (row) => row.keys[key], show: (row) => document.createTextNode(row.keys[key] ?? "–") })),
      ...data.headlines.map((metric) => ({ name: metric, numeric: true, sort: (row) => value(row, metric, which), show: (row) => show(row, metric) })),
    ];
    if (data.rows.some((row) => row.seeds.length > 1)) {
      columns.splice(1, 0, { name: "seeds", sort: (row) => row.seeds.length, show: (row) => document.createTextNode(row.seeds.join(", ")) });
    }
    let rows = [...data.rows], sorted = null, up = true, sought = "";
    const body = el("tbody");
    const heads = columns.map((column, index) => {
      const button = el("button", { type: "button", textContent: column.name });
      const head = el("th", { className: column.numeric ? "num" : "" }, button);
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
      const found = rows.filter((row) => `${row.cell} ${keysOf(row)}`.toLowerCase().includes(sought));
      body.replaceChildren(
        ...found.map((row) =>
          el("tr", { className: row.chosen ? "chosen" : row.broken ? "broken" : "" },
            ...columns.map((column) => el("td", { className: column.numeric ? "num" : "" }, column.show(row))))),
      );
    }
    place.append(el("thead", {}, el("tr", {}, ...heads)), body);
    fill();
    return (text) => {
      sought = text.trim().toLowerCase();
      fill();
    };
  }
  const find = table(at("cells-table"), change, EDITED);
  at("cells-find").addEventListener("input", (event) => find(event.target.value));
  if (data.swept.some((key) => !data.grid.includes(key))) {
    at("ablation").hidden = false;
    table(at("ablation-table"), difference, CHANGE);
  }

  const named = (row) => `${row.cell} ${keysOf(row)}${row.chosen ? " ★" : ""}`;

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
      return el("tr", {}, ...[metric, number(m[BASE]), number(m[EDITED]), number(m[CHANGE], true) + spread, interval, p, m[N] ?? "–"].map((text, i) => el("td", { className: i ? "num" : "", textContent: text })));
    });
    const commands = row.cells.flatMap((id, i) => [
      el("p", {}, el("a", { href: `${id}/result.json`, textContent: "record" }), " · ", el("a", { href: `${id}/config.yaml`, textContent: "config" }), ` of ${id}${row.seeds.length > 1 ? `, seed ${row.seeds[i]}` : ""}; this makes it again:`),
      el("code", { className: "command", textContent: row.commands[i] || "not recorded" }),
    ]);
    at("cell-body").replaceChildren(
      el("h2", { textContent: row.cell }),
      el("p", { textContent: `${keysOf(row)}${known(row.step) ? ` · a step of ${Number(row.step.toPrecision(3))} times the edited rows' median norm` : ""}${row.chosen ? ` · chosen${data.half}` : ""}${row.broken ? ` · broke the text: ${row.broken}` : ""}` }),
      ...commands,
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
