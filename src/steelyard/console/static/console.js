// Keeps a page up to date. Without this script every page still reads and every button still works.
"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const root = document.documentElement;

  // --- theme: a cookie, so that the server draws the first paint right -------------------------------
  const toggleTheme = () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    document.cookie = `steelyard_theme=${root.dataset.theme}; path=/console; max-age=31536000; samesite=strict`;
    charts.forEach((each) => each.redraw());
  };
  $("theme").addEventListener("click", toggleTheme);
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
    const filter = document.querySelector(".filter input");
    if (event.key === "t") toggleTheme();
    if (event.key === "/" && filter) { event.preventDefault(); filter.focus(); filter.select(); }
    const pages = document.querySelectorAll(".top nav a");
    if (/^[1-9]$/.test(event.key) && pages[event.key - 1]) location.href = pages[event.key - 1].href;
  });

  const current = document.querySelector(".top nav [aria-current]");
  if (current) current.parentNode.scrollLeft = current.offsetLeft - current.parentNode.offsetLeft - 40;

  // --- regions: change only what differs, so that focus, selection and open menus stay ---------------
  const same = (a, b) => a.nodeType === b.nodeType && a.nodeName === b.nodeName && (a.id || "") === (b.id || "");
  const morph = (have, want) => {
    if (have.nodeType !== 1) {
      if (have.nodeValue !== want.nodeValue) have.nodeValue = want.nodeValue;
      return;
    }
    if (have.isEqualNode(want)) return;
    for (const { name, value } of want.attributes) if (have.getAttribute(name) !== value) have.setAttribute(name, value);
    for (const { name } of [...have.attributes]) if (!want.hasAttribute(name) && !(name === "open" && have.tagName === "DETAILS")) have.removeAttribute(name);
    morphChildren(have, want);
  };
  const morphChildren = (have, want) => {
    const named = new Map();
    for (const child of have.children) if (child.id) named.set(child.id, child);
    let at = have.firstChild;
    for (const next of [...want.childNodes]) {
      const known = next.id ? named.get(next.id) : null;
      if (known) {
        if (known === at) at = at.nextSibling; else have.insertBefore(known, at);
        morph(known, next);
      } else if (at && same(at, next)) {
        const now = at;
        at = at.nextSibling;
        morph(now, next);
      } else {
        have.insertBefore(next, at);
      }
    }
    while (at) {
      const gone = at;
      at = at.nextSibling;
      gone.remove();
    }
  };
  const parser = new DOMParser();
  const onRegions = (regions) => {
    for (const [id, html] of Object.entries(regions)) {
      const region = $(id);
      if (region) morphChildren(region, parser.parseFromString(`<div>${html}</div>`, "text/html").body.firstChild);
    }
  };

  // --- charts ---------------------------------------------------------------------------------------
  const KEPT = 600;
  const WRITE = {
    number: (v) => (v >= 1000 ? `${Math.round(v / 100) / 10}k` : `${Math.round(v * 100) / 100}`),
    seconds: (v) => (v < 1 ? `${Number((v * 1000).toPrecision(3))} ms` : `${Math.round(v * 100) / 100} s`),
    tiny: (v) => `${Number(v.toPrecision(2))}`,
  };
  const points = { names: [], rows: [] };
  const charts = [];
  class Chart {
    constructor(element) {
      this.element = element;
      this.names = element.dataset.series.split(" ");
      this.right = element.dataset.right;
      this.plot = null;
    }
    colours() {
      const style = getComputedStyle(root);
      return ["--blue", "--green", "--red", "--quiet", "--line"].map((name) => style.getPropertyValue(name).trim());
    }
    make(data) {
      const [blue, green, red, quiet, line] = this.colours();
      const write = WRITE[this.element.dataset.unit];
      const axis = (scale, side) => ({ scale, side, size: 46, stroke: quiet, font: "11px system-ui, sans-serif", grid: { show: side === 3, stroke: line, width: 1 }, ticks: { show: false }, values: (_, all) => all.map((v) => (v === null ? "" : write(v))) });
      const options = {
        width: this.element.clientWidth, height: this.element.clientHeight, legend: { show: false },
        cursor: { drag: { x: false, y: false }, points: { size: 5 } }, padding: [10, this.right ? 0 : 26, 0, 0],
        scales: { x: { time: true, range: (_, low, high) => [Math.min(low, high - 60), high] }, y: { range: (_, low, high) => [0, high > 0 ? high * 1.1 : 1] }, right: { range: (_, low, high) => [0, Math.max(0.01, high * 1.1)] } },
        axes: [{ stroke: quiet, font: "11px system-ui, sans-serif", grid: { show: false }, ticks: { show: false }, size: 24, space: 70, values: (_, all) => all.map((v) => new Date(v * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false })) }, axis("y", 3), ...(this.right ? [axis("right", 1)] : [])],
        series: [{}, ...this.names.map((name, index) => ({ stroke: [blue, green, red][index], width: 1.5, scale: name === this.right ? "right" : "y", points: { show: false }, fill: index === 0 && this.names.length !== 2 ? `${blue}18` : undefined, spanGaps: false }))],
      };
      this.plot = new uPlot(options, data, this.element);
    }
    draw() {
      const columns = ["at_s", ...this.names].map((name) => points.names.indexOf(name));
      const data = columns.map((column) => points.rows.map((row) => row[column]));
      if (this.plot) this.plot.setData(data); else this.make(data);
    }
    redraw() {
      if (this.plot) { this.plot.destroy(); this.plot = null; }
      if (points.rows.length) this.draw();
    }
  }
  const onPoints = (more) => {
    points.names = more.names;
    // A new row takes the place of those at or after its time: a stream that begins again sends what is here
    // already, and after a clock was set back the chart goes on from the new time.
    for (const row of more.points) {
      while (points.rows.length && points.rows[points.rows.length - 1][0] >= row[0]) points.rows.pop();
      points.rows.push(row);
    }
    points.rows.splice(0, points.rows.length - KEPT);
    charts.forEach((each) => each.draw());
  };

  // --- a task's log: what a person scrolled back to stays where it is --------------------------------
  const LOG_KEPT = 200000;
  const onLog = (more) => {
    const log = $("log");
    if (!log) return;
    const atEnd = log.scrollTop + log.clientHeight >= log.scrollHeight - 4;
    log.textContent = ((more.anew ? "" : log.textContent) + more.text).slice(-LOG_KEPT);
    if (atEnd) log.scrollTop = log.scrollHeight;
  };

  if ($("log")) $("log").scrollTop = $("log").scrollHeight;

  // --- the stream ------------------------------------------------------------------------------------
  let source = null;
  let again = 0;
  const tell = (state, text) => {
    const live = $("live");
    if (live && live.dataset.state !== state) { live.dataset.state = state; live.querySelector("b").textContent = text; }
  };
  const connect = () => {
    clearTimeout(again);
    const page = document.body.dataset.page;
    if (!page || page === "configuration" || document.hidden) return;
    const query = new URLSearchParams(location.search);
    query.set("page", page);
    const log = $("log");
    if (log) query.set("task", log.dataset.task);
    source = new EventSource(`/console/events?${query}`);
    source.addEventListener("open", () => tell("on", "live"));
    source.addEventListener("error", () => {
      tell("lost", "not live");
      if (source && source.readyState === EventSource.CLOSED) again = setTimeout(connect, 10000);
    });
    const on = (name, act) => source.addEventListener(name, (event) => { tell("on", "live"); act(JSON.parse(event.data)); });
    on("regions", onRegions);
    on("points", onPoints);
    on("log", onLog);
  };
  const disconnect = () => {
    clearTimeout(again);
    if (source) source.close();
    source = null;
    tell("off", "paused");
  };
  document.addEventListener("visibilitychange", () => (document.hidden ? disconnect() : connect()));
  addEventListener("pagehide", disconnect);

  // --- buttons: the same request as the form's own, with the answer said in place --------------------
  let quiet = 0;
  const say = (text, refused) => {
    const said = $("said");
    said.textContent = text;
    said.classList.toggle("refused", refused);
    clearTimeout(quiet);
    quiet = setTimeout(() => { said.textContent = ""; }, refused ? 9000 : 4000);
  };
  document.addEventListener("submit", async (event) => {
    const form = event.target;
    if (form.id !== "act" && !("act" in form.dataset)) return;
    event.preventDefault();
    const button = event.submitter;
    const fields = new URLSearchParams(new FormData(form, button));
    button.disabled = true;
    try {
      const answer = await fetch(button.getAttribute("formaction") || form.action, { method: "POST", body: fields, headers: { Accept: "application/json" } });
      const told = await answer.json();
      say(answer.ok ? told.said : told.error.message, !answer.ok);
    } catch (error) {
      say("The gateway does not answer.", true);
    } finally {
      button.disabled = false;
      const menu = button.closest("details");
      if (menu) menu.open = false;
    }
  });

  document.querySelectorAll(".chart").forEach((element) => {
    const chart = new Chart(element);
    charts.push(chart);
    new ResizeObserver(() => { if (chart.plot) chart.plot.setSize({ width: element.clientWidth, height: element.clientHeight }); }).observe(element);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => charts.forEach((each) => each.redraw()));
  connect();
})();
