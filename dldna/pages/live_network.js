// The page: what the reader sees and touches of a network that learns.
(function (id) {
  "use strict";
  const root = document.getElementById(id);
  if (!root) return;
  const given = JSON.parse(root.querySelector("script[type]").textContent);
  const part = (name) => root.querySelector("[data-live='" + name + "']");
  const { chart, make, options, palette } = dldnaDrawing;
  const sets = given.data.map(dldnaRun.decoded);
  const still = window.matchMedia("(prefers-reduced-motion: reduce)");
  const PLANES = [["random", "random directions"],
    ["path", "along its way"], ["hessian", "largest curvatures"]];
  // Where the slider goes when the reader changes the optimizer.
  const RATES = { sgd: 0.5, momentum: 0.1, nesterov: 0.1, rmsprop: 0.01,
    adam: 0.02, adamw: 0.02, lion: 0.003, muon: 0.02 };
  const words = (name) => name.replace(/_/g, " ");
  const label = (name) => dldnaMatrixRules.table[name].label;
  const say = dldnaPage.brief;
  const CHOICES = {
    data: sets.map((d, i) => [i, d.title]),
    depth: [0, 1, 2, 3, 4, 6, 8].map((n) => [n, n]),
    width: [2, 4, 8, 16, 24, 32].map((n) => [n, n]),
    activation: Object.keys(dldnaLive.ACTIVATIONS).map((n) => [n, words(n)]),
    start: Object.keys(dldnaLive.SCHEMES).map((n) => [n, words(n)]),
    optimizer: Object.keys(RATES).map((n) => [n, label(n)]),
    batch: [[8, "8"], [32, "32"], [100000, "all"]],
    speed: [[1, "1 step a picture"], [10, "10 steps a picture"],
      [100000, "as fast as it goes"]],
    plane: PLANES,
  };
  const ANEW = ["data", "depth", "width", "activation", "start"];

  let s = { ...given.settings }, run, colours;
  let playing = false, visible = true, picture = null, rates = [], shown = 0;
  let note = "";
  const asked = {}; // the rate that each optimizer had
  const lr = () => Number((10 ** s.lr).toPrecision(3));
  const limit = () => dldnaRun.limit(s.optimizer, lr());
  const size = () => (run.net.size > 1000 ? 15 : 25);

  // --- time ----------------------------------------------
  function restart() {
    note = "";
    if (s.optimizer === "muon" && s.depth < 2) {
      s.depth = 2;
      note = "Muon needs a matrix between the first and the last: there are " +
        "two hidden layers now. ";
    }
    run = dldnaRun.open(sets[s.data], s);
    picture = null;
    rates = [];
    show();
    again();
  }
  const again = dldnaPage.framed(root, frame);
  function learn(until) {
    for (let k = 0; k < s.speed && run.over === null; k++) {
      run.step(lr());
      if (performance.now() > until) break;
    }
  }
  function frame(at) {
    if (!visible) return;
    // Of each picture's time, most goes to learning and to looking.
    const begun = performance.now(), before = run.t;
    const share = Math.min(Math.max(0.4 * (at - shown), 7), 60);
    shown = at;
    if (playing) learn(begun + share);
    const fresh = run.examine(s.plane, size(), performance.now() + share);
    rates.push([at, run.t, fresh ? 1 : 0]);
    if (rates.length > 90) rates.shift();
    if (fresh) {
      picture = null;
      check(summary());
    }
    if (run.over !== null && playing) stop();
    if (fresh || !still.matches || before === run.t) draw();
    if (fresh && !playing) tell();
    if (playing || run.task || run.moved) again();
  }
  function stop() {
    playing = false;
    part("play").textContent = "Learn";
    part("play").setAttribute("aria-pressed", "false");
    if (run.over !== null) check(summary());
    tell();
  }
  function speeds() {
    if (rates.length < 3) return "";
    const first = rates[0], last = rates[rates.length - 1];
    const seconds = (last[0] - first[0]) / 1000;
    const looks = rates.reduce((sum, r) => sum + r[2], 0);
    if (!(seconds > 0.2) || !playing) return "";
    return " " + Math.round((last[1] - first[1]) / seconds) +
      " steps a second" + (looks ? "; the plane is drawn anew every " +
      say(Number((seconds / looks).toPrecision(2))) + " s." : ".");
  }

  // --- drawing -------------------------------------------
  function drawCurves() {
    const { seen, batch } = run;
    chart(part("loss"), colours, { log: true, xName: "step", yName: "loss",
      series: [{ x: batch.x, y: batch.y, colour: 0 },
        { x: seen.step, y: seen.test, colour: 1 }] });
    const bound = limit();
    chart(part("sharp"), colours, { log: false, xName: "step",
      yName: "largest curvature", series: [{ x: seen.step, y: seen.sharp,
        colour: 2 }], levels: bound ? [{ y: bound, colour: 1 }] : [] });
    const layers = run.layers(), x = layers.map((_, k) => k + 1);
    chart(part("layers"), colours, { log: true, xName: "layer", left: 0.5,
      yName: "norm by layer", series: [
        { x, y: layers.map((l) => l.weights), colour: 0 },
        { x, y: layers.map((l) => l.gradient), colour: 1 }] });
    part("loss-says").textContent = "Circles: batch, training; squares: " +
      run.data.test.y.length + " test points. Logarithmic.";
    part("sharp-says").textContent = bound ? "Dashed: " + say(bound) +
      (s.optimizer === "sgd" ? " = 2/η" : ", for " + label(s.optimizer)) +
      "; above it the steps overshoot in that direction and grow."
      : "No limit 2/η here: " + label(s.optimizer) +
        " does not step along the gradient.";
    part("layers-says").textContent =
      "Circles: weights; squares: gradient of the last batch.";
  }
  const SAYS = {
    random: () => "Random directions; at 1 each filter has changed by its " +
      "own length.",
    path: () => (run.look.explained === null
      ? "No way yet: the directions of largest curvature instead."
      : "The plane that holds " + (100 * run.look.explained).toFixed(1) +
        " % of the squared way so far."),
    hessian: () => "Directions of the two largest curvatures, " +
      run.look.top.values.map(say).join(" and ") + ".",
  };
  function draw() {
    if (!part("map").clientWidth) return;
    drawCurves();
    if (run.look) {
      picture = dldnaViews.plane(part("map"), colours, run, picture);
      part("answers-box").hidden = run.data.width !== 2;
      if (run.data.width === 2) {
        dldnaViews.answers(part("answers"), colours, run);
        part("answers").setAttribute("aria-label", "The network's answers " +
          "over the plane of its inputs, " + Math.round(100 * run.accuracy()) +
          " % of the test points right");
      }
      part("map-says").textContent = SAYS[s.plane]() + " Drawn at step " +
        run.look.step + "; the way is its shadow, " + say(run.shadow().off) +
        " off the plane now. Tap, or use arrow keys, to put the network " +
        "there.";
    }
    part("now").textContent = state() + speeds();
  }
  function state() {
    const { step } = run.seen, last = step[step.length - 1];
    return "Step " + run.t + ": loss " + say(run.loss) + ", " +
      Math.round(100 * run.accuracy()) + " % of the test points right" +
      (run.top ? ", largest curvature " + say(run.top.values[0]) +
        (last === run.t ? "" : " at step " + last) : "") + ".";
  }

  // --- words ---------------------------------------------
  function summary() {
    const layers = run.layers(), { seen } = run, bound = limit();
    return { ...s, lr: lr(), all: s.batch >= run.model.count, step: run.t,
      over: run.over, loss: run.look ? run.look.loss : NaN, now: run.loss,
      first: run.first,
      accuracy: run.accuracy(), bound,
      recent: seen.sharp.slice(-3).map((v) => (bound ? v / bound : NaN)),
      gradients: layers.map((l) => l.gradient) };
  }
  function tell() {
    const bound = limit(), text = run.over !== null
      ? "It diverges at step " + run.over + ": no number is left, or " +
        "weights beyond all bounds. Lower the rate, and start again."
      : note + state() + (bound && run.look ? " " + label(s.optimizer) +
        " at this rate bears curvatures up to " + say(bound) + "." : "");
    part("says").textContent = text;
    if (run.look) {
      part("map").setAttribute("aria-label", "Loss around the network, step " +
        run.look.step + ". " + part("map-says").textContent);
    }
    const { seen } = run, last = seen.step.length - 1;
    part("loss").setAttribute("aria-label", "Loss by step: from " +
      say(run.first) + " to " + say(run.loss));
    part("sharp").setAttribute("aria-label", "Largest curvature by step: " +
      (last < 0 ? "not yet measured" : "from " + say(seen.sharp[0]) + " to " +
        say(seen.sharp[last])) + (bound ? "; limit " + say(bound) : ""));
    const layers = run.layers();
    part("layers").setAttribute("aria-label", "By layer: gradient " +
      layers.map((l) => say(l.gradient)).join(", "));
    root.querySelector("tbody").replaceChildren(...layers.map((l, k) =>
      make("tr", {}, make("th", { scope: "row" }, String(k + 1)),
        make("td", {}, l.shape.join(" x ")), ...[l.weights, l.gradient,
          dldnaMatrix.singular(l.W, ...l.shape)[0]].map((v) =>
          make("td", {}, say(v))))));
  }
  const ratio = (g) => g[0] / g[g.length - 1];
  const check = dldnaPage.missions(root, part("missions"), [
    { say: "Make SGD fail: after 50 steps or more the loss is above the " +
        "first one, or no number is left.",
    done: (n) => n.optimizer === "sgd" &&
        (n.over !== null || (n.step >= 50 && n.now > n.first)) },
    { say: "To the edge: SGD with all samples in each batch, and a largest " +
        "curvature within 10 % of 2/η at three measurements in a row.",
    done: (n) => n.optimizer === "sgd" && n.all && n.loss < n.first &&
        n.recent.length === 3 && n.recent.every((r) => r > 0.9 && r < 1.1) },
    { say: "A start that is deaf: the first layer's gradient is less than a " +
        "thousandth of the last layer's.",
    done: (n) => n.step === 0 && ratio(n.gradients) < 1e-3 },
    { say: "Below a loss of 0.05 within 100 steps.",
      done: (n) => n.step > 0 && n.step <= 100 && n.loss < 0.05 },
  ]);

  // --- controls ------------------------------------------
  function show() {
    Object.entries(CHOICES).forEach(([k, list]) =>
      options(part(k), list, s[k]));
    part("lr").value = s.lr;
    part("lr-shown").textContent = say(lr());
    part("lr").setAttribute("aria-valuetext", say(lr()));
  }
  Object.entries(CHOICES).forEach(([name, list]) => {
    part(name).addEventListener("change", () => {
      if (name === "optimizer") asked[s.optimizer] = s.lr;
      s[name] = list[part(name).selectedIndex][0];
      if (ANEW.includes(name)) restart();
      else if (name === "optimizer") {
        const before = asked[s.optimizer];
        s.lr = before === undefined ? Math.log10(RATES[s.optimizer]) : before;
        if (s.optimizer === "muon" && s.depth < 2) restart();
        else run.retool(s);
      } else if (name === "batch") {
        run.rows = dldnaLive.batches(run.model.count, s.batch, s.seed);
      } else if (name === "plane") run.task = null;
      show();
      draw();
      again();
    });
  });
  part("lr").addEventListener("input", () => {
    s.lr = Number(part("lr").value);
    show();
    draw();
  });
  part("play").addEventListener("click", () => {
    if (playing) return stop();
    if (run.over !== null) restart();
    playing = true;
    rates = [];
    part("play").textContent = "Pause";
    part("play").setAttribute("aria-pressed", "true");
    again();
  });
  part("once").addEventListener("click", () => {
    if (playing) stop();
    run.step(lr());
    draw();
    if (run.over !== null) stop();
    again();
  });
  dldnaSound.listen(part("listen"), () => [{ losses: run.batch.y, share: 1,
    over: run.over !== null }], (text) => { part("says").textContent = text; },
  () => "the loss from the first step to the last");
  part("reset").addEventListener("click", restart);
  part("reseed").addEventListener("click", () => {
    s.seed = (s.seed + 1) % 1000;
    restart();
  });
  function jump(at) {
    const [a0, a1, b0, b1] = run.look.window;
    if (run.over !== null) run.retool(s); // its moments are no numbers
    run.jump([Math.min(Math.max(at[0], a0), a1),
      Math.min(Math.max(at[1], b0), b1)]);
    draw();
    again();
  }
  part("map").tabIndex = 0;
  part("map").addEventListener("click", (event) => {
    const map = part("map");
    if (!run.look) return;
    const f = dldnaViews.frameOf(run.look.window, map.clientWidth,
      map.clientHeight);
    const [x, y] = dldnaPage.place(map, event);
    jump([f.a(x), f.b(y)]);
  });
  part("map").addEventListener("keydown", (event) => {
    const to = dldnaPage.arrow(event);
    if (!to || !run.look) return;
    event.preventDefault();
    event.stopPropagation();
    const [a0, a1, b0, b1] = run.look.window, k = event.shiftKey ? 0.1 : 0.02;
    const { at } = run.shadow();
    jump([at[0] + k * to[0] * (a1 - a0), at[1] + k * to[1] * (b1 - b0)]);
  });

  // --- begin ---------------------------------------------
  function take(got) {
    Object.entries(CHOICES).forEach(([k, list]) => {
      s[k] = dldnaPage.oneOf(got[k], list.map((one) => one[0]), s[k]);
    });
    s.lr = dldnaPage.within(got.lr, -5, 1.5, s.lr);
    s.seed = Math.round(dldnaPage.within(got.seed, 0, 999, s.seed));
    restart();
  }
  colours = palette(root);
  restart();
  dldnaPage.address(root, "live", part("share"),
    () => ({ ...s, lr: Number(s.lr.toFixed(2)) }), take);
  dldnaPage.onTheme(() => {
    colours = palette(root);
    picture = null;
    draw();
  });
  if ("ResizeObserver" in window) new ResizeObserver(draw).observe(root);
  if ("IntersectionObserver" in window) {
    new IntersectionObserver((list) => {
      visible = list[list.length - 1].isIntersecting;
      again();
    }).observe(root);
  }
  (window.dldnaLiveNetworks = window.dldnaLiveNetworks || {})[id] = {
    run: () => run, playing: () => playing };
})("LIVE_ID");
