// The page: walks of a matrix, its singular values and those of its steps.
(function (id) {
  "use strict";
  const root = document.getElementById(id);
  if (!root) return;
  const given = JSON.parse(root.querySelector("script[type]").textContent);
  const part = (name) => root.querySelector("[data-matrix='" + name + "']");
  const { chart, chooser, line, make, options, palette, relief, slider } =
    dldnaDrawing;
  const { PROBLEMS, shadow, spectra, steps: stepsOf, tune, walk } =
    dldnaMatrixPlay;
  const label = (name) => dldnaMatrixRules.table[name].label;
  const say = dldnaPage.brief;
  const LENGTHS = [50, 100, 200, 400];
  const MOST = 4;
  const EXACT = 1e-7; // below it a singular value is rounding

  const s = { problem: given.problem, steps: given.steps, seed: given.seed,
    chosen: given.optimizers.slice(), lr: { ...given.lr }, who: null };
  let walks = {}, seen = {}, plane = null, ground = null, colours;
  let told = 0;
  const problem = () => PROBLEMS[s.problem];

  // --- walks ---------------------------------------------
  function rate(name) {
    if (!(name in s.lr)) s.lr[name] = tune(problem(), name, 100, s.seed);
    return s.lr[name];
  }
  function walkAll() {
    s.chosen.forEach((name) => {
      const path = walk(problem(), name, rate(name), s.steps, s.seed);
      walks[name] = path;
      const moves = spectra(stepsOf(path.points), problem().shape);
      seen[name] = { weights: spectra(path.points, problem().shape),
        updates: moves };
    });
    if (!s.chosen.includes(s.who)) s.who = s.chosen[s.chosen.length - 1];
    plane = s.chosen.length ? shadow(s.chosen.map((n) => walks[n].points))
      : null;
    ground = null;
    clock.renew();
    options(part("who"), s.chosen.map((n) => [n, label(n)]), s.who);
    redraw();
    clearTimeout(told);
    told = setTimeout(tell, 400);
  }

  // --- drawing -------------------------------------------
  const redraw = dldnaPage.framed(root, frame);
  function frame(now) {
    clock.tick(now);
    draw();
    if (clock.playing()) redraw();
  }
  const until = (list) => list.slice(0, clock.at() + 1);
  const count = (list, from) => list.map((_, t) => t + from);
  function bundle(list, from, log) {
    const shown = list.slice(0, Math.max(clock.at() + 1 - from, 0));
    return (list[0] || []).map((_, k) => ({ colour: k,
      x: count(shown, from), y: shown.map((v) => (log && v[k] < EXACT * v[0] ? NaN
        : v[k])) }));
  }
  function draw() {
    if (!part("loss").clientWidth || !plane) return;
    chart(part("loss"), colours, { log: true, xName: "step", yName: "loss",
      series: s.chosen.map((n, k) => ({ colour: k,
        x: count(until(walks[n].losses), 0), y: until(walks[n].losses) })) });
    const who = label(s.who);
    chart(part("weights"), colours, { log: false, xName: "step",
      yName: who + ": singular values of the weights",
      series: bundle(seen[s.who].weights, 0) });
    chart(part("updates"), colours, { log: true, xName: "step",
      yName: who + ": singular values of each step",
      series: bundle(seen[s.who].updates, 1, true) });
    drawMap();
    clock.show();
  }
  const PAD = 10;
  function drawMap() {
    const canvas = part("map"), w = canvas.clientWidth;
    const h = canvas.clientHeight, all = plane.walks.flat();
    const [pen, changed] = dldnaPage.sharp(canvas, w, h);
    const iw = w - 2 * PAD, ih = h - 2 * PAD;
    const ends = [0, 1].map((k) => {
      const v = all.map((p) => p[k]);
      const low = Math.min(...v), high = Math.max(...v);
      return [low - 0.15 * (high - low) - 1e-6,
        high + 0.15 * (high - low) + 1e-6];
    });
    const X = (a) => PAD + ((a - ends[0][0]) / (ends[0][1] - ends[0][0])) * iw;
    const Y = (b) => PAD + ((ends[1][1] - b) / (ends[1][1] - ends[1][0])) * ih;
    if (!ground || changed) {
      const n = 25, z = Array.from({ length: n }, (_, i) =>
        Array.from({ length: n }, (_, j) => {
          const a = ends[0][0] + (j / (n - 1)) * (ends[0][1] - ends[0][0]);
          const b = ends[1][0] + (i / (n - 1)) * (ends[1][1] - ends[1][0]);
          return problem().at(plane.mean.map((m, k) =>
            m + a * plane.directions[0][k] + b * plane.directions[1][k])).loss;
        }));
      ground = relief(w, h, { left: PAD, top: PAD, w: iw, h: ih }, z, colours);
    }
    pen.clearRect(0, 0, w, h);
    pen.drawImage(ground, 0, 0, w, h);
    pen.strokeStyle = colours.ink;
    pen.lineWidth = 1;
    pen.strokeRect(PAD, PAD, iw, ih);
    plane.walks.forEach((points, k) => line(pen, colours,
      until(points).map(([a, b]) => [X(a), Y(b)]), k, 20));
  }

  // --- words ---------------------------------------------
  const list = (values) => values.map(say).join(", ");
  function fate(name) {
    const { losses, over } = walks[name];
    const who = label(name) + " at rate " + say(rate(name));
    if (over !== null) return who + " diverges at step " + over + ".";
    return who + " ends at a loss of " + say(losses[losses.length - 1]) + ".";
  }
  function tell() {
    told = 0;
    part("says").replaceChildren(...(s.chosen.length ? s.chosen.map(fate)
      : ["No optimizer is chosen."]).map((t) => make("p", {}, t)));
    if (!s.chosen.length) return;
    const share = (100 * plane.explained).toFixed(0);
    part("map-says").textContent = "A shadow: the weights have " +
      problem().shape[0] * problem().shape[1] + " numbers, and the plane that " +
      "fits these walks best holds " + share + " % of how they spread. The ground is " +
      "the loss on the plane itself; the walks are beside it.";
    part("map").setAttribute("aria-label", "Shadows of the walks. " +
      s.chosen.map(fate).join(" "));
    part("loss").setAttribute("aria-label", "Loss by step. " +
      s.chosen.map(fate).join(" "));
    const { weights, updates } = seen[s.who];
    part("weights").setAttribute("aria-label", "Singular values of " +
      label(s.who) + "'s weights: first " + list(weights[0]) + "; at last " +
      list(weights[weights.length - 1]));
    part("updates").setAttribute("aria-label", "Singular values of " +
      label(s.who) + "'s steps: " + (updates.length ? "at last " +
        list(updates[updates.length - 1]) : "none"));
    root.querySelector("tbody").replaceChildren(...s.chosen.map((n) => {
      const { losses } = walks[n], mine = seen[n];
      const end = (rows) => (rows.length ? list(rows[rows.length - 1]) : "");
      return make("tr", {}, make("th", { scope: "row" }, label(n)),
        ...[say(rate(n)), say(losses[losses.length - 1]), end(mine.weights),
          end(mine.updates)].map((t) => make("td", {}, t)));
    }));
    check({ problem: s.problem, steps: s.steps, walks: s.chosen.map((n) => ({
      name: n, over: walks[n].over, loss: walks[n].losses[walks[n].losses
        .length - 1] })) });
  }
  const check = dldnaPage.missions(root, part("missions"), [
    { say: "Bring the factors of a matrix below 10⁻¹⁰ within 100 steps.",
      done: (n) => n.problem === "factors" && n.steps <= 100 &&
        n.walks.some((w) => w.over === null && w.loss < 1e-10) },
    { say: "On the matrix to be met, bring Muon below 10⁻³. Its steps do " +
        "not get shorter by themselves.",
    done: (n) => n.problem === "target" &&
        n.walks.some((w) => w.name === "muon" && w.loss < 1e-3) },
    { say: "Raise Muon's rate until its last loss is above 1. Does it " +
        "diverge?",
    done: (n) => n.walks.some((w) => w.name === "muon" &&
        (w.over !== null || w.loss > 1)) },
  ]);

  // --- controls ------------------------------------------
  function cards() {
    const lr = (v) => Number((10 ** v).toPrecision(2));
    part("cards").replaceChildren(...s.chosen.map((name, k) => {
      const input = slider("learning rate", [-5, 1.5, 0.05],
        Math.log10(rate(name)), () => say(rate(name)), (v) => {
          s.lr[name] = lr(v);
          walkAll();
        });
      return make("div", { class: "play-card", "data-rule": name,
        style: "--play-mine:" + colours[k] }, make("b", {}, label(name)),
      input);
    }));
  }
  function anew() {
    s.lr = {};
    show();
  }
  function show() {
    walks = {};
    seen = {};
    part("about").textContent = problem().about + " Weight decay is off.";
    options(part("problem"), Object.entries(PROBLEMS).map(([k, p]) =>
      [k, p.title]), s.problem);
    options(part("steps"), LENGTHS.map((n) => [n, n]), s.steps);
    tick();
    cards();
    walkAll();
  }
  const clock = dldnaPlayback.open(part, 5, () => s.steps, redraw);
  const on = (name, type, act) => part(name).addEventListener(type, act);
  on("problem", "change", () => {
    s.problem = part("problem").value;
    anew();
  });
  on("steps", "change", () => {
    s.steps = Number(part("steps").value);
    walkAll();
  });
  on("who", "change", () => {
    s.who = part("who").value;
    redraw();
    tell();
  });
  on("tune", "click", () => {
    s.lr = {};
    show();
  });
  on("reseed", "click", () => {
    s.seed = (s.seed + 1) % 1000;
    walkAll();
  });
  dldnaSound.listen(part("listen"), () => s.chosen.map((name) => ({
    losses: walks[name].losses, over: walks[name].over !== null,
    share: walks[name].losses.length / (s.steps + 1) })),
  (text) => { part("says").textContent = text; },
  () => s.chosen.map(label).join(", "));
  const tick = chooser(part("choose"), given.all.map((n) => [n, label(n)]),
    MOST, () => s.chosen, (names, added) => {
      s.chosen = names;
      if (added) s.who = added;
      cards();
      walkAll();
    }, () => {
      part("says").textContent = "Four walks are the most that are drawn.";
    });

  // --- begin ---------------------------------------------
  function settings() {
    return { problem: s.problem, steps: s.steps, seed: s.seed, who: s.who,
      rates: s.chosen.map((n) => n + "*" + rate(n)).join("!") };
  }
  function take(got) {
    s.problem = dldnaPage.oneOf(got.problem, Object.keys(PROBLEMS), s.problem);
    s.steps = dldnaPage.oneOf(got.steps, LENGTHS, s.steps);
    s.seed = Math.round(dldnaPage.within(got.seed, 0, 999, s.seed));
    const pairs = (got.rates || "").split("!").map((p) => p.split("*"))
      .filter(([n]) => given.all.includes(n)).slice(0, MOST);
    if (pairs.length) {
      s.chosen = [...new Set(pairs.map(([n]) => n))];
      s.lr = {};
      pairs.forEach(([n, lr]) => {
        s.lr[n] = dldnaPage.within(lr, 1e-5, 32, 0.01);
      });
    }
    s.who = dldnaPage.oneOf(got.who, s.chosen, s.who);
    show();
  }
  colours = palette(root);
  show();
  dldnaPage.address(root, "matrix", part("share"), settings, take);
  if ("ResizeObserver" in window) new ResizeObserver(redraw).observe(root);
  dldnaPage.onTheme(() => {
    colours = palette(root);
    ground = null;
    cards();
    redraw();
  });
  (window.dldnaMatrixPlaygrounds = window.dldnaMatrixPlaygrounds || {})[id] = {
    walks: () => walks, settings: () => s, told: () => !told };
})("MATRIX_ID");
