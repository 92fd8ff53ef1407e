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
  const metricOptions = data.metrics.map((metric) => [metric, metric]);

  // A number that leads to its record: a click shows the cell, the link itself is the record's file.
  function linked(row, ...children) {
    return el("a", { className: "number", href: `${row.cell}/result.json`, "data-cell": row.cell }, ...children);
  }

  // ---- plots -------------------------------------------------------------------------------------------------
  const redraws = [];
  // Visible on white and on black, and told apart by people who see colours differently.
  const SCALE = [[0, "#4f9bd9"], [0.5, "#9467bd"], [1, "#e0484f"]];
  const CONFIG = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"] };
  function layout(x, y, more = {}) {
    const axis = { gridcolor: colour("--line"), zerolinecolor: colour("--line"), linecolor: colour("--line"), automargin: true };
    return {
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: "system-ui, sans-serif", size: 13, color: colour("--ink") },
      margin: { l: 56, r: 16, t: 28, b: 48 },
      hoverlabel: { bgcolor: colour("--card"), bordercolor: colour("--line"), font: { color: colour("--ink") }, align: "left" },
      legend: { orientation: "h", y: small() ? -0.32 : -0.2, x: 0 },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("--soft"), activecolor: colour("--accent") },
      ...more,
      xaxis: { ...axis, title: { text: plain(x) }, ...(more.xaxis || {}) },
      yaxis: { ...axis, title: { text: plain(y) }, ...(more.yaxis || {}) },
    };
  }
  function draw(id, traces, shape) {
    const place = at(id);
    place.classList.toggle("empty", traces.length === 0);
    if (traces.length === 0) {
      Plotly.purge(place);
      place.textContent = "nothing of this was measured";
      return;
    }
    if (!place.querySelector(".plot-container")) place.textContent = "";
    Plotly.react(place, traces, shape, CONFIG);
  }
  function keep(redraw) {
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

  // ---- trade-off ----------------------------------------------------------------------------------------------
  const beats = (a, b, metric) => (data.better[metric] === "minimize" ? a <= b : a >= b);
  function front(rows, x, y) {
    const dominated = (row) =>
      rows.some(
        (other) =>
          beats(value(other, x), value(row, x), x) &&
          beats(value(other, y), value(row, y), y) &&
          (value(other, x) !== value(row, x) || value(other, y) !== value(row, y)),
      );
    return rows.filter((row) => !dominated(row)).sort((a, b) => value(a, x) - value(b, x) || value(a, y) - value(b, y));
  }
  function bases(x, y) {
    const seen = new Map();
    for (const row of data.rows) {
      const [a, b] = [value(row, x, BASE), value(row, y, BASE)];
      if (known(a) && known(b)) seen.set(`${a} ${b}`, [a, b]);
    }
    return [...seen.values()];
  }
  function tradeOff() {
    const [x, y] = [at("trade-x").value, at("trade-y").value];
    const rows = data.rows.filter((row) => known(value(row, x)) && known(value(row, y)));
    const by = data.grid.includes("alpha") ? "alpha" : data.grid[0];
    rows.sort((a, b) => a.chosen - b.chosen);
    const line = x === y ? [] : front(rows.filter((row) => !row.broken), x, y);
    const onFront = new Set(line.map((row) => row.cell));
    const symbol = (row) => (row.chosen ? "star" : row.broken ? "x" : onFront.has(row.cell) ? "circle" : "circle-open");
    const marker = {
      symbol: rows.map(symbol),
      size: rows.map((row) => (row.chosen ? 17 : 10)),
      opacity: rows.map((row) => (row.broken ? 0.55 : 0.95)),
      line: { width: 1.5, color: rows.map((row) => (row.chosen ? colour("--ink") : row.broken ? undefined : "rgba(0,0,0,0)")) },
      color: by ? rows.map((row) => row.keys[by]) : colour("--accent"),
    };
    if (by) Object.assign(marker, { colorscale: SCALE, showscale: true, colorbar: { title: { text: plain(by) }, thickness: 12, outlinewidth: 0 } });
    const traces = [];
    if (line.length > 1) {
      traces.push({
        name: "front", mode: "lines", x: line.map((row) => value(row, x)), y: line.map((row) => value(row, y)),
        line: { color: colour("--soft"), width: 1.5, dash: "dot" }, hoverinfo: "skip",
      });
    }
    traces.push({
      name: "cells", mode: "markers", x: rows.map((row) => value(row, x)), y: rows.map((row) => value(row, y)),
      customdata: rows.map((row) => row.cell), text: rows.map((row) => hover(row, [...new Set([y, x, ...data.headlines])])),
      hovertemplate: "%{text}<extra></extra>", marker,
    });
    const base = bases(x, y);
    if (base.length) {
      traces.push({
        name: "base", mode: "markers+text", x: base.map((point) => point[0]), y: base.map((point) => point[1]),
        text: base.map(() => "base"), textposition: "bottom center", textfont: { color: colour("--warm") },
        hovertemplate: "unedited model<br>%{x:.3f}, %{y:.3f}<extra></extra>",
        marker: { symbol: "diamond", size: 13, color: colour("--warm") },
      });
    }
    if (y === data.behavior) {
      for (const point of data.paper) {
        const across = point[x.startsWith("perplexity/") ? "perplexity" : x];
        if (!across) continue;
        traces.push({
          name: `paper: ${plain(point.label)}`, mode: "markers+text", visible: "legendonly", x: across, y: point.values,
          text: ["base", "edited"], textposition: "top center", hovertemplate: "the paper's %{text}<br>%{x:.3f}, %{y:.3f}<extra></extra>",
          marker: { symbol: "square-open", size: 11, color: colour("--soft") },
        });
      }
    }
    const shape = layout(x, y, { showlegend: true, legend: { orientation: "h", y: small() ? -0.28 : -0.16 } });
    draw("trade-plot", rows.length ? traces : [], shape);
  }
  options(at("trade-x"), metricOptions, data.ability);
  options(at("trade-y"), metricOptions, data.behavior);
  for (const id of ["trade-x", "trade-y"]) at(id).addEventListener("change", tradeOff);
  keep(tradeOff);
  if (at("trade-plot").on) {
    at("trade-plot").on("plotly_click", (event) => {
      const cell = event.points[0].customdata;
      if (cell) openCell(cell);
    });
  }

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

  // ---- heat maps and curves --------------------------------------------------------------------------------------
  const choice = (label, id, entries, chosen) => {
    const select = el("select", { id });
    options(select, entries, chosen);
    return el("label", {}, `${label} `, select);
  };
  const numeric = (a, b) => a - b;
  const valuesOf = (key) => [...new Set(data.rows.map((row) => row.keys[key]))].filter(known).sort(typeof data.rows[0].keys[key] === "number" ? numeric : undefined);
  // What is swept beside the axes is held fixed by a menu of its own.
  function others(place, axes, redraw) {
    const rest = data.swept.filter((key) => !axes.includes(key) && valuesOf(key).length > 1);
    const selects = rest.map((key) => [key, choice(key, `${place.id}-${key}`, valuesOf(key).map((v, i) => [i, v]))]);
    for (const [, label] of selects) {
      place.append(label);
      label.querySelector("select").addEventListener("change", redraw);
    }
    return (row) => selects.every(([key, label]) => row.keys[key] === valuesOf(key)[label.querySelector("select").value]);
  }
  const varied = data.grid.filter((key) => valuesOf(key).length > 1);
  (function maps() {
    const controls = at("maps-controls");
    if (varied.length < 2) {
      at("maps").hidden = true;
      return;
    }
    const [across, up] = varied.includes("alpha") && varied.includes("top_k") ? ["alpha", "top_k"] : varied;
    controls.append(choice("metric", "maps-metric", metricOptions, data.behavior));
    const fixed = others(controls, [across, up], redraw);
    function redraw() {
      const metric = at("maps-metric").value;
      const rows = data.rows.filter((row) => fixed(row) && known(value(row, metric)));
      const [xs, ys] = [valuesOf(across), valuesOf(up)];
      const cell = new Map(rows.map((row) => [`${row.keys[across]} ${row.keys[up]}`, row]));
      const grid = ys.map((y) => xs.map((x) => cell.get(`${x} ${y}`)));
      const pick = (row) => (row ? value(row, metric) : null);
      const dense = xs.length > (small() ? 6 : 14);
      const trace = {
        type: "heatmap", x: xs.map(String), y: ys.map(String), z: grid.map((line) => line.map(pick)),
        text: grid.map((line) => line.map((row) => (row ? hover(row, [metric]) : ""))), hovertemplate: "%{text}<extra></extra>",
        customdata: grid.map((line) => line.map((row) => (row ? row.cell : null))), xgap: 2, ygap: 2,
        texttemplate: dense ? undefined : "%{z:.3f}", colorscale: "Viridis", colorbar: { thickness: 12, outlinewidth: 0 },
      };
      draw("maps-plot", rows.length ? [trace] : [], layout(across, up, { xaxis: { type: "category", showgrid: false }, yaxis: { type: "category", showgrid: false }, title: { text: plain(metric), font: { size: 14 } } }));
    }
    at("maps-metric").addEventListener("change", redraw);
    keep(redraw);
  })();
  (function curves() {
    const controls = at("curves-controls");
    const axis = varied.includes("alpha") ? "alpha" : varied[0];
    if (!axis) {
      at("curves").hidden = true;
      return;
    }
    controls.append(choice("metric", "curves-metric", metricOptions, data.behavior), choice("over", "curves-key", varied.map((key) => [key, key]), axis));
    const COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8b8b00", "#7b68b5"];
    const SYMBOLS = ["circle", "square", "diamond", "triangle-up", "cross", "x", "star", "hexagon"];
    function redraw() {
      const [metric, key] = [at("curves-metric").value, at("curves-key").value];
      const groups = new Map();
      for (const row of data.rows) {
        if (!known(value(row, metric)) || !known(row.keys[key])) continue;
        const name = data.swept.filter((other) => other !== key && valuesOf(other).length > 1).map((other) => `${other}=${row.keys[other]}`).join(" ") || metric;
        groups.set(name, [...(groups.get(name) || []), row]);
      }
      // A search rarely visits one value twice: then points say more than lines of one point each.
      const scattered = groups.size > 8;
      const lines = scattered ? [["cells", [...groups.values()].flat()]] : [...groups];
      const traces = lines.map(([name, rows], index) => {
        rows.sort((a, b) => a.keys[key] - b.keys[key]);
        // The interval is of the change; around the edited value it ends where the metric itself does.
        const [lowest, highest] = data.possible[metric];
        const off = (row, bound) => {
          if (!known(value(row, metric, bound))) return 0;
          const end = value(row, metric) + value(row, metric, bound) - value(row, metric, CHANGE);
          return Math.abs(Math.min(highest ?? Infinity, Math.max(lowest ?? -Infinity, end)) - value(row, metric));
        };
        return {
          name: plain(name), mode: scattered ? "markers" : "lines+markers", x: rows.map((row) => row.keys[key]), y: rows.map((row) => value(row, metric)),
          error_y: { type: "data", symmetric: false, array: rows.map((row) => off(row, HIGH)), arrayminus: rows.map((row) => off(row, LOW)), thickness: 1.2, width: 3 },
          text: rows.map((row) => hover(row, [metric])), hovertemplate: "%{text}<extra></extra>", customdata: rows.map((row) => row.cell),
          line: { color: COLOURS[index % 8], width: 2 }, marker: { color: COLOURS[index % 8], symbol: SYMBOLS[index % 8], size: 8 },
        };
      });
      const levels = [...new Set(data.rows.map((row) => value(row, metric, BASE)).filter(known))];
      const shapes = levels.map((level) => ({ type: "line", xref: "paper", x0: 0, x1: 1, y0: level, y1: level, line: { color: colour("--warm"), width: 1.5, dash: "dash" } }));
      const annotations = levels.slice(0, 1).map((level) => ({ xref: "paper", x: 1, y: level, text: "base", showarrow: false, yanchor: "bottom", xanchor: "right", font: { color: colour("--warm") } }));
      draw("curves-plot", traces, layout(key, metric, { shapes, annotations, showlegend: traces.length > 1 }));
    }
    for (const id of ["curves-metric", "curves-key"]) at(id).addEventListener("change", redraw);
    keep(redraw);
  })();

  // ---- region and time ---------------------------------------------------------------------------------------------
  const named = (row) => `${row.cell} ${keysOf(row)}${row.chosen ? " ★" : ""}`;
  const first = data.rows.find((row) => row.chosen) || data.rows[0];
  options(at("region-cell"), data.rows.map((row) => [row.cell, named(row)]), first.cell);
  function region() {
    const row = byCell.get(at("region-cell").value);
    const told = row.cosines;
    if (told) {
      const width = (2 * told.reach) / told.rows.length;
      const middles = told.rows.map((_, index) => -told.reach + (index + 0.5) * width);
      const bars = (name, counts, shade) => ({ type: "bar", name, x: middles, y: counts.map((count) => count || null), width, marker: { color: shade }, hovertemplate: `${name}: %{y} rows at cosine %{x:.3f}<extra></extra>` });
      const random = told.random ? [{ type: "scatter", mode: "lines", name: "as many random vectors", x: middles, y: told.random.map((count) => (count >= 0.1 ? count : null)), line: { color: colour("--text"), dash: "dash" }, hovertemplate: "random vectors: %{y:.1f} expected at cosine %{x:.3f}<extra></extra>" }] : [];
      draw("cosines-plot", [bars("all rows", told.rows, colour("--line")), bars("region", told.region, colour("--accent")), ...random], layout("cosine with the probe", "rows", { barmode: "overlay", yaxis: { type: "log", dtick: 1 }, legend: { orientation: "h", y: 1.12 }, bargap: 0 }));
    } else {
      draw("cosines-plot", [], {});
      at("cosines-plot").textContent = "This record was made before cosines were kept.";
    }
    const layers = Object.entries(row.layers).map(([layer, count]) => [Number(layer), count]);
    draw("layers-plot", layers.length ? [{ type: "bar", x: layers.map((entry) => entry[0]), y: layers.map((entry) => entry[1]), marker: { color: colour("--accent") }, hovertemplate: "layer %{x}: %{y} rows<extra></extra>" }] : [], layout("layer", "rows of the region", { xaxis: { tickformat: "d", dtick: layers.length < 20 ? 1 : undefined, range: [0.4, Math.max(0, ...layers.map((entry) => entry[0])) + 0.6] } }));
    at("region-note").textContent = `${row.region}; how the cosines of all candidate rows lie, where the region is in them, and what as many random vectors would give (logarithmic; the paper's Figure 3); and the layers that the region sits in.`;
  }
  at("region-cell").addEventListener("change", region);
  keep(region);
  keep(() => {
    const stages = [...new Set(data.rows.flatMap((row) => Object.keys(row.seconds)))];
    const sums = stages.map((stage) => data.rows.reduce((sum, row) => sum + (row.seconds[stage] || 0), 0));
    draw("time-plot", stages.length ? [{ type: "bar", orientation: "h", x: sums, y: stages, text: sums.map((sum) => `${sum.toFixed(1)} s`), textposition: "outside", cliponaxis: false, marker: { color: colour("--accent") }, hovertemplate: "%{y}: %{x:.1f} s<extra></extra>" }] : [], layout("seconds, all cells", "", { xaxis: { range: [0, 1.2 * Math.max(...sums)] }, yaxis: { autorange: "reversed", title: { text: "" } } }));
  });

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
      el("p", { textContent: `${keysOf(row)}${row.chosen ? ` · chosen${data.half}` : ""}${row.broken ? ` · broke the text: ${row.broken}` : ""}` }),
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
