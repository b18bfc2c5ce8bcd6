// The page: settings, walks, words, time and address. What is drawn and what
// is touched stand in files of their own, as do rules and surfaces.
(function (id) {
  "use strict";
  const root = document.getElementById(id);
  if (!root) return;
  const given = JSON.parse(root.querySelector("script[type]").textContent);
  const part = (name) => root.querySelector("[data-play='" + name + "']");
  const map = part("map"), curves = part("curves");
  const picture = dldnaPlayDraw(map, curves);
  const network = dldnaPlayNetwork(part);
  const { MISSIONS, RATES } = dldnaPlayShare;
  const { chooser, make, options } = dldnaDrawing;
  const shared = (window.dldnaPlayground = window.dldnaPlayground || {
    frames: [], work: [],
  });

  let slot = 0; // which surface
  let surface, start, walks = {}, colours = {};
  let chosen = given.optimizers.slice(), steps = given.steps;
  let last = 0, told = 0, settings = given.surfaces.map(() => ({}));

  const show = dldnaPage.brief;
  const label = (name) => dldnaRules.table[name].label;
  const names = () => given.surfaces[slot].names || ["x", "y"];
  const spot = (p) => "(" + show(p[0]) + ", " + show(p[1]) + ")";

  // --- settings ---------------------------------------------------------
  function setting(name) {
    const mine = settings[slot];
    if (!mine[name]) {
      const asked = (given.settings || {})[name] || {};
      const slow = given.surfaces[slot].kind === "network";
      const lr = slow ? RATES[name] || 0.1
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
    if (g.kind === "network") network.offer(g);
    ["name", "head"].forEach((what) => names().forEach((text, i) => {
      part(what + i).textContent = text;
    }));
    picture.stale();
    rows = null;
    cards();
    walkAll();
  }
  function refree() {
    const g = given.surfaces[slot];
    const changed = network.taken(g);
    if (changed === undefined) {
      say(["Choose two different parameters."]);
      return;
    }
    if (changed) start = null;
    const kept = start;
    open(slot);
    if (kept) start = kept;
    walkAll();
  }

  // The picture's grid, computed in pieces so that the page never waits.
  let rows = null;
  function paint(until) {
    const g = given.surfaces[slot];
    const [a0, a1, b0, b1] = g.extent;
    if (!rows) {
      if (g.kind === "network" && g.grid) {
        rows = { z: g.grid, done: true };
      } else {
        const n = g.kind === "network" ? 41 : 97;
        rows = { z: [], n, done: false };
      }
    }
    const n = rows.n;
    while (!rows.done) {
      const b = b0 + ((b1 - b0) * rows.z.length) / (n - 1);
      rows.z.push(Array.from({ length: n }, (_, j) =>
        surface.loss([a0 + ((a1 - a0) * j) / (n - 1), b])));
      rows.done = rows.z.length === n;
      if (performance.now() > until) break;
    }
    return rows.done;
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
    if (!walked || !painted || clock.playing() || hand.dragging()) redraw();
    if (hand.dragging()) {
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
  const near = (v) => String(Number(v.toPrecision(4)));
  function draw() {
    if (!map.clientWidth) return;
    picture.draw({ g: given.surfaces[slot], names: names(), rows, chosen, walks,
      start, steps, colours, at: clock.at() });
    clock.show();
    if (document.activeElement !== part("x")) part("x").value = near(start[0]);
    if (document.activeElement !== part("y")) part("y").value = near(start[1]);
  }

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
    if (hand.dragging() || !chosen.every((n) => walks[n].done)) {
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
  const drawCards = dldnaPlayCards({ home: part("cards"), label, setting, put,
    value, colours: () => colours, changed: walkAll });
  const cards = () => drawCards(chosen);
  const tick = chooser(part("choose"), Object.values(dldnaRules.table)
    .map((rule) => [rule.name, rule.label]), 8, () => chosen, (names) => {
    chosen = names;
    cards();
    walkAll();
  }, () => say(["Eight paths are the most that can be told apart."]));
  function theme() {
    colours = dldnaDrawing.palette(root);
    picture.stale();
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
  const hand = dldnaPlayStart(map, { moveTo, start: () => start,
    extent: () => given.surfaces[slot].extent,
    frame: () => picture.frame(given.surfaces[slot]),
    held() {
      clock.stop();
      last = 0;
    } });
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
      network.offer(g);
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
  dldnaPage.onTheme(() => {
    theme();
    cards();
    redraw();
  });
  dldnaPage.address(root, "play", part("share"), shown, take);
  shared[id] = { walks: () => walks, start: () => start, at: clock.at,
    told: () => !told };
})("PLAY_ID");
