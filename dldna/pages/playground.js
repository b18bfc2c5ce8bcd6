// The page: what the reader sees and touches. Rules and surfaces stand in
// files of their own and know nothing of it.
(function (id) {
  "use strict";
  const root = document.getElementById(id);
  if (!root) return;
  const given = JSON.parse(root.querySelector("script[type]").textContent);
  const part = (name) => root.querySelector("[data-play='" + name + "']");
  const map = part("map"), curves = part("curves");
  const { DIALS, MISSIONS, dials } = dldnaPlayShare;
  const { DASHES, MARKS, chooser, line, make, mark, options, slider, ticks } =
    dldnaDrawing;
  // Where tuning at once would take too long.
  const RATES = { adagrad: 0.3, adafactor: 0.1, dadapt_adam: 1, lamb: 0.03,
    lars: 3, lion: 0.03, momentum: 0.003, nesterov: 0.003, pal: 0.1,
    prodigy: 1, schedule_free_adamw: 0.1, schedule_free_sgd: 0.1, sgd: 0.03,
    sam: 0.03, asam: 0.03, shampoo: 0.3, signsgd: 0.03, sophia: 0.03 };
  const shared = (window.dldnaPlayground = window.dldnaPlayground || {
    frames: [], work: [],
  });

  let slot = 0; // which surface
  let surface, start, walks = {}, colours = {}, background = null;
  let chosen = given.optimizers.slice(), steps = given.steps;
  let dragging = false, last = 0, told = 0;
  let settings = given.surfaces.map(() => ({}));

  const show = dldnaPage.brief;
  const colour = (i) => colours[i];
  const label = (name) => dldnaRules.table[name].label;
  const names = () => given.surfaces[slot].names || ["x", "y"];
  const spot = (p) => "(" + show(p[0]) + ", " + show(p[1]) + ")";

  // --- settings ---------------------------------------------------------
  function setting(name) {
    const mine = settings[slot];
    if (!mine[name]) {
      const asked = (given.settings || {})[name] || {};
      const network = given.surfaces[slot].kind === "network";
      const lr = network ? RATES[name] || 0.1
        : dldnaRules.tune(name, surface, begin(), 100, asked, given.seed).lr;
      mine[name] = { lr, ...asked };
    }
    return mine[name];
  }
  function value(name, key) {
    const [k, i] = key.split("/");
    const h = { ...dldnaRules.table[name].defaults, ...setting(name) };
    return i === undefined ? h[k] : h[k][i];
  }
  function put(name, key, v) {
    const [k, i] = key.split("/"), mine = setting(name);
    if (i === undefined) mine[k] = v;
    else {
      mine[k] = [...(mine[k] || dldnaRules.table[name].defaults[k])];
      mine[k][i] = v;
    }
  }

  // --- the surface ------------------------------------------------------
  const begin = () => [...(given.surfaces[slot].start)];
  function open(index) {
    slot = index;
    const g = given.surfaces[slot];
    surface = dldnaSurfaces.open(g);
    if (!start || !g.keep) start = begin();
    part("about").textContent = g.description || "";
    part("network").hidden = g.kind !== "network";
    if (g.kind === "network") offer(g);
    ["name", "head"].forEach((what) => names().forEach((text, i) => {
      part(what + i).textContent = text;
    }));
    background = null;
    picture = null;
    cards();
    walkAll();
  }
  function offer(g) {
    const all = [];
    g.weights.forEach((m, k) => m.forEach((row, i) => {
      row.forEach((_, j) => all.push([k, i, j]));
      all.push([k, i, -1]);
    }));
    const word = ([k, i, j]) => (j < 0 ? "b" + (k + 1) + "[" + (i + 1) + "]"
      : "W" + (k + 1) + "[" + (i + 1) + "," + (j + 1) + "]");
    [0, 1].forEach((n) => options(part("free" + n),
      all.map((p) => [p.join(), word(p)]), g.free[n].join()));
    const sizes = [16, 64, 256].filter((n) => n < g.x.length);
    options(part("batch"), [...sizes.map((n) => [n, String(n)]),
      [g.x.length, "all " + g.x.length]], g.batch_size || g.x.length);
    g.names = g.free.map(word);
  }
  function refree() {
    const g = given.surfaces[slot];
    const two = [0, 1].map((n) => part("free" + n).value.split(",").map(Number));
    if (two[0].join() === two[1].join()) {
      say(["Choose two different parameters."]);
      return;
    }
    const changed = two.join() !== g.free.join();
    g.free = two;
    g.batch_size = Number(part("batch").value);
    if (changed) {
      g.start = two.map(([k, i, j]) => (j < 0 ? g.biases[k][i]
        : g.weights[k][i][j]));
      g.grid = null;
      g.keep = false;
      start = null;
    }
    const kept = start;
    open(slot);
    if (kept) start = kept;
    walkAll();
  }

  // The picture's grid, computed in pieces so that the page never waits.
  let picture = null;
  function paint(until) {
    const g = given.surfaces[slot];
    const [a0, a1, b0, b1] = g.extent;
    if (!picture) {
      if (g.kind === "network" && g.grid) {
        picture = { z: g.grid, done: true };
      } else {
        const n = g.kind === "network" ? 41 : 97;
        picture = { z: [], n, done: false };
      }
    }
    const n = picture.n;
    while (!picture.done) {
      const b = b0 + ((b1 - b0) * picture.z.length) / (n - 1);
      picture.z.push(Array.from({ length: n }, (_, j) =>
        surface.loss([a0 + ((a1 - a0) * j) / (n - 1), b])));
      picture.done = picture.z.length === n;
      if (performance.now() > until) break;
    }
    return picture.done;
  }

  // --- walks ------------------------------------------------------------
  function walkAll() {
    walks = {};
    chosen.forEach((name) => {
      walks[name] = dldnaRules.walker(
        name, surface, start, steps, setting(name), given.seed);
    });
    clock.renew();
    redraw();
    clearTimeout(told);
    told = setTimeout(tell, 500);
  }
  function advance(until) {
    const each = given.surfaces[slot].kind === "network" ? 1 : 20;
    for (;;) {
      let busy = false;
      for (const name of chosen) {
        const path = walks[name];
        for (let k = 0; k < each && !path.done; k++) path.step();
        busy = busy || !path.done;
        if (performance.now() > until) return !busy;
      }
      if (!busy) return true;
    }
  }
  const redraw = dldnaPage.framed(root, frame);
  function frame(now) {
    const begun = performance.now(), until = begun + 9;
    clock.tick(now);
    const walked = advance(until);
    const painted = paint(until);
    draw();
    if (!walked || !painted || clock.playing() || dragging) redraw();
    if (dragging) {
      if (last && now - last < 1000) keep(shared.frames, now - last);
      keep(shared.work, performance.now() - begun);
      last = now;
    }
  }
  function keep(list, v) {
    list.push(v);
    if (list.length > 600) list.shift();
  }

  // --- drawing ----------------------------------------------------------
  const PAD = { left: 44, right: 10, top: 8, bottom: 24 };
  function sized(canvas) {
    const w = canvas.clientWidth, h = canvas.clientHeight;
    const [pen, changed] = dldnaPage.sharp(canvas, w, h);
    if (changed && canvas === map) background = null;
    pen.font = "12px sans-serif";
    pen.lineJoin = "round";
    return [pen, w, h];
  }
  const frameOf = (w, h) => dldnaDrawing.frameOf(given.surfaces[slot].extent,
    w, h, PAD);
  const bounded = (v) => Math.min(Math.max(v, -1e4), 1e4);

  function drawMap() {
    const [pen, w, h] = sized(map), f = frameOf(w, h);
    if (picture.done && !background) {
      background = dldnaDrawing.relief(w, h, { left: PAD.left, top: PAD.top,
        w: f.iw, h: f.ih }, picture.z, colours);
    }
    pen.clearRect(0, 0, w, h);
    if (background) pen.drawImage(background, 0, 0, w, h);
    pen.fillStyle = pen.strokeStyle = colours.ink;
    const [a0, a1, b0, b1] = given.surfaces[slot].extent;
    pen.lineWidth = 1;
    pen.textAlign = "center";
    ticks(a0, a1, 6).forEach((v) => pen.fillText(v, f.x(v), h - 8));
    pen.textAlign = "right";
    ticks(b0, b1, 6).forEach((v) => pen.fillText(v, PAD.left - 6, f.y(v) + 4));
    pen.strokeRect(PAD.left, PAD.top, f.iw, f.ih);
    pen.fillText(names()[0], PAD.left + f.iw - 6, PAD.top + f.ih - 6);
    pen.textAlign = "left";
    pen.fillText(names()[1], PAD.left + 6, PAD.top + 15);
    pen.save();
    pen.beginPath();
    pen.rect(PAD.left, PAD.top, f.iw, f.ih);
    pen.clip();
    (given.surfaces[slot].minima || []).forEach(([a, b]) => {
      pen.lineWidth = 1.5;
      pen.strokeStyle = colours.ink;
      mark(pen, "plus", f.x(a), f.y(b), 5);
    });
    chosen.forEach((name, i) => {
      const dots = walks[name].points.slice(0, clock.at() + 1).map((p) =>
        [bounded(f.x(p[0])), bounded(f.y(p[1]))]);
      line(pen, colours, dots, i, Math.max(1, Math.round(steps / 12)));
    });
    const x = f.x(start[0]), y = f.y(start[1]);
    pen.lineWidth = 6;
    pen.strokeStyle = colours.paper;
    pen.beginPath();
    pen.arc(x, y, 9, 0, 7);
    pen.stroke();
    pen.lineWidth = 3;
    pen.strokeStyle = colours.ink;
    pen.stroke();
    pen.restore();
  }

  function drawCurves() {
    const [pen, w, h] = sized(curves);
    pen.clearRect(0, 0, w, h);
    const floor = given.surfaces[slot].lowest || 0;
    const height = (v) => v - floor;
    const all = chosen.flatMap((n) => walks[n].losses.map(height));
    const logs = floor !== null && all.every((v) => v > -1e-9);
    const first = Math.max(...chosen.map((n) => walks[n].losses[0]), floor);
    let low, high;
    if (logs) {
      const above = all.filter((v) => v > 0);
      low = Math.max(Math.min(...above, 1e300), 1e-16);
      high = Math.min(Math.max(...above, 2 * low), 1e3 * height(first) + low);
      low = Math.log10(Math.min(low, high / 10));
      high = Math.log10(high);
    } else {
      low = Math.max(Math.min(...all), height(first) - 20);
      high = Math.min(Math.max(...all), height(first) + 20);
      if (high - low < 1e-9) high = low + 1;
    }
    const span = high - low || 1;
    low -= 0.04 * span;
    high += 0.04 * span;
    const iw = w - PAD.left - PAD.right - 8, ih = h - PAD.top - 42;
    const X = (t) => PAD.left + 8 + (t / steps) * iw;
    const Y = (v) => {
      const u = logs ? Math.log10(Math.max(v, 1e-17)) : v;
      return bounded(PAD.top + ((high - u) / (high - low)) * ih);
    };
    pen.fillStyle = colours.ink;
    pen.strokeStyle = colours.line;
    pen.lineWidth = 0.5;
    pen.textAlign = "right";
    const decades = ticks(low, high, 6).filter((v) => Number.isInteger(v));
    const marks = !logs ? ticks(low, high, 6) : decades.length > 2 ? decades
      : [1, 2, 5].flatMap((m) => Array.from({ length: 9 }, (_, k) =>
        Math.log10(m) + Math.floor(low) + k))
        .filter((v) => v >= low && v <= high);
    marks.forEach((v) => {
      const y = PAD.top + ((high - v) / (high - low)) * ih;
      pen.beginPath();
      pen.moveTo(PAD.left + 8, y);
      pen.lineTo(w - PAD.right, y);
      pen.stroke();
      const power = Number((10 ** v).toPrecision(1));
      pen.fillText(!logs ? v : Math.abs(v) < 3 ? power
        : power.toExponential().replace("+", ""), PAD.left + 3, y + 4);
    });
    pen.textAlign = "center";
    ticks(0, steps, 5).forEach((v) => pen.fillText(v, X(v), h - 24));
    const what = floor ? "loss above the lowest minimum" : "loss";
    pen.fillText(what + " by step" + (logs ? ", logarithmic" : ""),
      PAD.left + iw / 2, h - 7);
    pen.save();
    pen.beginPath();
    pen.rect(PAD.left + 1, 0, w - PAD.left, PAD.top + ih + 4);
    pen.clip();
    chosen.forEach((name, i) => {
      const dots = walks[name].losses.slice(0, clock.at() + 1)
        .map((v, t) => [X(t), Y(height(v))]);
      line(pen, colours, dots, i, Math.max(1, Math.round(steps / 6)));
    });
    pen.strokeStyle = colours.ink;
    pen.lineWidth = 1;
    pen.beginPath();
    pen.moveTo(X(clock.at()), PAD.top);
    pen.lineTo(X(clock.at()), PAD.top + ih);
    pen.stroke();
    pen.restore();
  }
  function draw() {
    if (!map.clientWidth) return;
    drawMap();
    drawCurves();
    clock.show();
    if (document.activeElement !== part("x")) part("x").value = near(start[0]);
    if (document.activeElement !== part("y")) part("y").value = near(start[1]);
  }
  const near = (v) => String(Number(v.toPrecision(4)));

  // --- words ------------------------------------------------------------
  function fate(name) {
    const path = walks[name], p = path.points, n = p.length - 1;
    const who = label(name) + " at rate " + show(setting(name).lr);
    if (path.over) {
      const why = { left: "leaves the known part of the surface",
        diverged: "diverges: no number is left" }[path.over.why];
      return who + " " + why + " at step " + path.over.step + ".";
    }
    const rose = path.losses[n] > path.losses[0];
    return who + " is at " + spot(p[n]) + " after " + n + " steps, loss " +
      show(path.losses[n]) + (rose ? ", above the start" : "") + ".";
  }
  function say(lines) {
    part("says").replaceChildren(...lines.map((t) => make("p", {}, t)));
  }
  function tell() {
    if (dragging || !chosen.every((n) => walks[n].done)) {
      told = setTimeout(tell, 300);
      return;
    }
    const lines = chosen.map(fate);
    say(chosen.length ? lines : ["No optimizer is chosen."]);
    const g = given.surfaces[slot];
    map.setAttribute("aria-label", "Map of " + g.title + ", " + names()[0] +
      " from " + g.extent[0] + " to " + g.extent[1] + ", " + names()[1] +
      " from " + g.extent[2] + " to " + g.extent[3] + ". Start at " +
      spot(start) + "; arrow keys move it. " + lines.join(" "));
    curves.setAttribute("aria-label", "Loss by step, " + chosen.map((n) => {
      const l = walks[n].losses;
      return label(n) + " from " + show(l[0]) + " to " + show(l[l.length - 1]);
    }).join("; "));
    numbers();
    told = 0;
    check({ walks, minima: g.minima || [], again: (name, factor) => {
      const h = { ...setting(name), lr: factor * setting(name).lr };
      return dldnaRules.walk(name, surface, start, steps, h, given.seed);
    } });
  }
  const check = dldnaPage.missions(root, part("missions"),
    MISSIONS.filter((m) => !m.needs || given.surfaces.some(m.needs)));
  function numbers() {
    root.querySelector("tbody").replaceChildren(...chosen.map((name) => {
      const path = walks[name];
      const n = Math.min(clock.at(), path.points.length - 1);
      const p = path.points[n], g = surface.gradient(p);
      return make("tr", {}, make("th", { scope: "row" }, label(name)),
        ...[setting(name).lr, n, p[0], p[1], path.losses[n],
          Math.hypot(g[0], g[1])].map((v) => make("td", {}, show(v))));
    }));
  }

  // --- controls ---------------------------------------------------------
  function key(i) {
    const scale = 2, box = make("canvas", { class: "play-key", width: 44 *
      scale, height: 14 * scale, "aria-hidden": "true",
      style: "height:14px;margin:0;width:44px" });
    const pen = box.getContext("2d");
    pen.scale(scale, scale);
    pen.strokeStyle = pen.fillStyle = colour(i);
    pen.lineWidth = 2.5;
    pen.setLineDash(DASHES[i]);
    pen.beginPath();
    pen.moveTo(0, 7);
    pen.lineTo(44, 7);
    pen.stroke();
    pen.setLineDash([]);
    mark(pen, MARKS[i], 22, 7, 4.5);
    return box;
  }
  function dial(text, range, now, words, changed) {
    return slider(text, range, now, words, (v) => {
      changed(v);
      walkAll();
    });
  }
  function cards() {
    part("cards").replaceChildren(...chosen.map((name, i) => {
      const lr = (v) => Number((10 ** v).toPrecision(2));
      const card = make("div", { class: "play-card",
        style: "--play-mine:" + colour(i), "data-rule": name },
        make("b", {}, key(i), label(name)),
        dial("learning rate", [-6, 1.5, 0.05], Math.log10(setting(name).lr),
          (v) => show(lr(v)), (v) => put(name, "lr", lr(v))));
      const rest = dials(name).map((k) => {
        const [text, known] = DIALS[k], now = value(name, k);
        const list = [...new Set([...known, now])].sort((p, q) => p - q)
          .filter((v) => v > 0 || !/^schedule/.test(name) || k !==
            (name.endsWith("sgd") ? "momentum" : "betas/0"));
        return dial(text, [0, list.length - 1, 1], list.indexOf(now),
          (v) => show(list[v]), (v) => put(name, k, list[v]));
      });
      if (rest.length) {
        card.append(make("details", {}, make("summary", {},
          dials(name).map((k) => DIALS[k][0]).join(", ")), ...rest));
      }
      return card;
    }));
  }
  const tick = chooser(part("choose"), Object.values(dldnaRules.table)
    .map((rule) => [rule.name, rule.label]), 8, () => chosen, (names) => {
    chosen = names;
    cards();
    walkAll();
  }, () => say(["Eight paths are the most that can be told apart."]));
  function theme() {
    colours = dldnaDrawing.palette(root);
    background = null;
  }
  function retheme() {
    theme();
    cards();
    redraw();
  }

  // --- the start --------------------------------------------------------
  function inside([a, b]) {
    const [a0, a1, b0, b1] = given.surfaces[slot].extent;
    return [Math.min(Math.max(a, a0), a1), Math.min(Math.max(b, b0), b1)];
  }
  function moveTo(p) {
    start = inside(p);
    walkAll();
  }
  function pointed(event) {
    const f = frameOf(map.clientWidth, map.clientHeight);
    const [x, y] = dldnaPage.place(map, event);
    return [f.a(x), f.b(y)];
  }
  function close(event) {
    const f = frameOf(map.clientWidth, map.clientHeight);
    const [x, y] = dldnaPage.place(map, event);
    return Math.hypot(x - f.x(start[0]), y - f.y(start[1])) < 32;
  }
  // A finger near the start drags it; elsewhere it scrolls the page.
  map.addEventListener("touchstart", (event) => {
    if (close(event.touches[0])) event.preventDefault();
  }, { passive: false });
  map.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    if (event.pointerType === "touch" && !close(event)) return;
    clock.stop();
    dragging = true;
    last = 0;
    map.setPointerCapture(event.pointerId);
    map.focus({ preventScroll: true });
    moveTo(pointed(event));
    event.preventDefault();
  });
  map.addEventListener("pointermove", (event) => {
    if (dragging) moveTo(pointed(event));
  });
  ["pointerup", "pointercancel"].forEach((type) =>
    map.addEventListener(type, () => {
      dragging = false;
    }));
  map.addEventListener("click", (event) => moveTo(pointed(event)));
  map.addEventListener("keydown", (event) => {
    const to = dldnaPage.arrow(event);
    if (!to) return;
    event.preventDefault();
    event.stopPropagation();
    const [a0, a1, b0, b1] = given.surfaces[slot].extent;
    const k = event.shiftKey ? 0.05 : 0.01;
    moveTo([start[0] + to[0] * k * (a1 - a0), start[1] + to[1] * k *
      (b1 - b0)]);
  });
  ["x", "y"].forEach((name) => part(name).addEventListener("change", () => {
    const p = [Number(part("x").value), Number(part("y").value)];
    if (p.every(Number.isFinite)) moveTo(p);
  }));

  // --- time -------------------------------------------------------------
  const clock = dldnaPlayback.open(part, 4, () => steps, redraw, numbers);
  dldnaSound.listen(part("listen"), () => chosen.map((name) => ({
    losses: walks[name].losses, over: walks[name].over !== null,
    share: walks[name].losses.length / (steps + 1) })),
  (text) => say([text]), () => chosen.map(label).join(", "));

  // --- the address ------------------------------------------------------
  function shown() {
    const g = given.surfaces[slot];
    return { surface: slot, start: start.map(near).join("*"), steps,
      with: dldnaPlayShare.written(chosen, value),
      ...(g.kind === "network" ? { batch: g.batch_size || g.x.length,
        free: g.free.map((p) => p.join("*")).join("!") } : {}) };
  }
  function take(got) {
    const { oneOf, within } = dldnaPage, { read, usual } = dldnaPlayShare;
    const index = oneOf(got.surface, given.surfaces.map((_, i) => i), slot);
    const g = given.surfaces[index], asked = read(got.with);
    steps = oneOf(got.steps, lengths, steps);
    if (asked.length) {
      chosen = asked.map(([name]) => name);
      settings[index] = {};
    }
    slot = index;
    asked.forEach(([name, mine]) => {
      settings[slot][name] = { lr: mine.lr };
      Object.keys(mine).filter((k) => k !== "lr" && mine[k] !== usual(name, k))
        .forEach((k) => put(name, k, mine[k]));
    });
    tick();
    part("surface").value = slot;
    part("steps").value = steps;
    start = null;
    if (g.kind === "network") {
      offer(g);
      (got.free || "").split("!").forEach((p, n) => {
        if (n < 2) part("free" + n).value = p.replace(/\*/g, ",");
      });
      part("batch").value = got.batch;
      const fits = ["free0", "free1", "batch"].every((n) => part(n).value);
      if (fits) refree();
      else open(slot);
    } else open(slot);
    const p = (got.start || "").split("*").map((v) => within(v, -1e9, 1e9));
    if (p.length === 2 && p.every((v) => v !== undefined)) moveTo(p);
  }

  // --- begin ------------------------------------------------------------
  options(part("surface"), given.surfaces.map((s, i) => [i, s.title]), 0);
  part("surface").closest("label").hidden = given.surfaces.length < 2;
  const lengths = [...new Set([25, 50, 100, 200, 500, 1000, steps])];
  options(part("steps"), lengths.sort((p, q) => p - q).map((n) => [n, n]),
    steps);
  part("surface").addEventListener("change", () =>
    open(Number(part("surface").value)));
  part("steps").addEventListener("change", () => {
    steps = Number(part("steps").value);
    walkAll();
  });
  ["free0", "free1", "batch"].forEach((n) =>
    part(n).addEventListener("change", refree));
  part("tune").addEventListener("click", () => {
    say(["Trying 13 rates for each optimizer."]);
    let wait = chosen.slice();
    (function next() {
      if (!wait.length) {
        cards();
        return walkAll();
      }
      const name = wait.shift();
      const many = given.surfaces[slot].kind === "network" ? 50 : steps;
      put(name, "lr", dldnaRules.tune(name, surface, start,
        Math.min(many, 200), setting(name), given.seed).lr);
      setTimeout(next, 0);
    })();
  });
  part("reset").addEventListener("click", () => {
    clock.stop();
    settings = given.surfaces.map(() => ({}));
    chosen = given.optimizers.slice();
    tick();
    start = begin();
    cards();
    walkAll();
  });
  theme();
  tick();
  open(0);
  if ("ResizeObserver" in window) new ResizeObserver(redraw).observe(root);
  dldnaPage.onTheme(retheme);
  dldnaPage.address(root, "play", part("share"), shown, take);
  shared[id] = { walks: () => walks, start: () => start, at: clock.at,
    told: () => !told };
})("PLAY_ID");
