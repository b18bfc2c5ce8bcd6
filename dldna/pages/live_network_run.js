// One network in training: what it is, where it is, what was seen of it.
const dldnaRun = (function () {
  "use strict";
  const norm = (a) => Math.sqrt(a.reduce((sum, v) => sum + v * v, 0));
  const MOST = 600; // points of a curve, and what of the way is kept
  const KEPT = 24;

  // Bytes as numbers from low to high.
  function decoded(given) {
    const part = (text, labels) => {
      const raw = atob(text), { low, high } = given;
      const x = new Float64Array(raw.length).map((_, i) =>
        low + ((high - low) * raw.charCodeAt(i)) / 255);
      return { x, y: [...labels].map(Number) };
    };
    return { ...given, train: part(given.train, given.train_y),
      test: part(given.test, given.test_y) };
  }

  // Where plain descent with this optimizer stops being stable: the largest
  // curvature that a rate bears, or null where the step is not the gradient.
  function limit(optimizer, lr) {
    const mu = 0.9;
    return { sgd: 2 / lr, momentum: (2 * (1 + mu)) / lr,
      nesterov: (2 * (1 + mu)) / ((1 + 2 * mu) * lr) }[optimizer] || null;
  }

  // A curve that never grows beyond MOST points: neighbours are joined.
  function curve() {
    const c = { x: [], y: [], every: 1, sum: 0, count: 0 };
    c.add = function (t, v) {
      c.sum += v;
      c.count += 1;
      if (c.count < c.every) return;
      c.x.push(t);
      c.y.push(c.sum / c.count);
      c.sum = c.count = 0;
      if (c.x.length < MOST) return;
      const join = (list) => list.filter((_, i) => i % 2).map((v, i) =>
        (v + list[2 * i]) / 2);
      c.x = join(c.x);
      c.y = join(c.y);
      c.every *= 2;
    };
    return c;
  }

  function open(data, s) {
    const hidden = Array(s.depth).fill(s.width);
    const net = dldnaLive.layout([data.width, ...hidden, data.classes]);
    const model = dldnaLive.network(net, s.activation, data.train);
    const tests = dldnaLive.network(net, s.activation, data.test);
    const w = dldnaLive.begin(s.start, net, s.seed);
    const run = { data, net, model, w, t: 0, g: new Float64Array(net.size),
      over: null, look: null, task: null, hint: null, loss: NaN,
      batch: curve(), way: dldnaPlanes.keeper(KEPT), moved: 0,
      seen: { step: [], test: [], sharp: [] }, top: null };
    run.way.add(0, w);
    model.gradient(w, null, run.g);
    run.loss = run.first = model.loss(w, null);
    run.optimize = dldnaLive.optimizer(s.optimizer, net);
    run.rows = dldnaLive.batches(model.count, s.batch, s.seed);

    run.retool = function (now) {
      run.optimize = dldnaLive.optimizer(now.optimizer, net);
      run.since = run.t; // the optimizer's own count begins anew
    };
    run.since = 0;
    run.step = function (lr) {
      if (run.over !== null) return;
      run.t += 1;
      const loss = model.gradient(run.w, run.rows(run.t), run.g);
      run.optimize(run.w, run.g, run.t - run.since, lr);
      run.loss = loss;
      run.batch.add(run.t - 1, loss);
      run.moved += 1;
      if (!Number.isFinite(loss) || !(norm(run.w) < 1e6)) run.over = run.t;
      else run.way.add(run.t, run.w);
    };
    // Put the network where the reader points.
    run.jump = function ([a, b]) {
      const [p, q] = run.look.directions;
      run.w.forEach((_, i) => {
        run.w[i] = run.look.w[i] + a * p[i] + b * q[i];
      });
      run.moved += 1;
      model.gradient(run.w, null, run.g);
    };
    // Go on with what is being measured; true when something is finished.
    run.examine = function (kind, n, until) {
      if (!run.task) {
        const fresh = !run.look || run.moved > 0 || run.look.kind !== kind;
        if (!fresh || run.over !== null) return false;
        run.moved = 0;
        run.task = dldnaPlanes.look({ model, net, w: run.w.slice(), kind, n,
          step: run.t, earlier: run.way.points.slice(), hint: run.hint,
          seed: s.seed });
      }
      for (;;) {
        const { done, value } = run.task.next();
        if (done) return drawn(value);
        if (value) measured(value);
        if (performance.now() > until) return false;
      }
    };
    function drawn(look) {
      run.task = null;
      run.look = look;
      return true;
    }
    function measured({ top, step, w: there }) {
      // The next search begins near this answer.
      run.hint = top.vectors[0].map((v, i) => v + 0.1 * top.vectors[1][i]);
      run.top = top;
      const seen = run.seen, last = seen.step.length - 1;
      if (last >= 0 && seen.step[last] === step) return;
      seen.step.push(step);
      seen.test.push(tests.loss(there, null));
      seen.sharp.push(top.values[0]);
      if (seen.step.length > MOST) {
        Object.keys(seen).forEach((k) => {
          seen[k] = seen[k].filter((_, i) => i % 2);
        });
      }
    }
    run.accuracy = () => tests.accuracy(run.w);
    // By layer: norm of its matrix, of its gradient, its greatest stretch.
    run.layers = function () {
      return net.tensors.filter((t) => t.shape.length > 1).map((t) => {
        const W = run.w.subarray(t.from, t.to);
        return { shape: t.shape, weights: norm(W),
          gradient: norm(run.g.subarray(t.from, t.to)), W };
      });
    };
    // The shadow of the weights in the plane that is drawn, and how far they
    // are off it.
    run.shadow = function () {
      const { w: c, directions } = run.look;
      const [at] = dldnaPlanes.shadows(c, directions, [run.w]);
      let off = 0;
      run.w.forEach((v, i) => {
        off += (v - c[i] - at[0] * directions[0][i] -
          at[1] * directions[1][i]) ** 2;
      });
      return { at, off: Math.sqrt(off) };
    };
    return run;
  }

  return { curve, decoded, limit, open };
})();
