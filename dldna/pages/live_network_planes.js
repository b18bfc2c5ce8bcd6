// Where to look from the weights of a network that learns: directions, and
// the work of drawing what lies along them, cut into small pieces.
const dldnaPlanes = (function () {
  "use strict";
  const dot = (a, b) => a.reduce((sum, v, i) => sum + v * b[i], 0);
  const norm = (a) => Math.sqrt(dot(a, a));
  const unit = (a) => {
    const n = norm(a);
    return n > 0 ? a.map((v) => v / n) : a;
  };

  // Each row of a Gaussian direction as long as the network's; biases stay.
  function filterNormalised(w, net, draw) {
    const d = new Float64Array(net.size);
    net.tensors.forEach(({ shape: [rows, columns], from }) => {
      if (!columns) return;
      for (let i = 0; i < rows; i++) {
        const a = from + i * columns;
        const own = norm(w.subarray(a, a + columns));
        const z = dldnaRandom.gaussian(columns, draw), n = norm(z) + 1e-10;
        d.set(z.map((v) => (v / n) * own), a);
      }
    });
    return d;
  }

  // Lanczos with full orthogonalisation, a yield after each product: the
  // two largest eigenvalues, their vectors, and how well the first one fits.
  function* leading(product, from, steps) {
    const basis = [unit(from)], alpha = [], beta = [];
    for (let k = 0; k < steps; k++) {
      let r = product(basis[k]);
      yield;
      alpha.push(dot(r, basis[k]));
      for (let twice = 0; twice < 2; twice++) {
        basis.forEach((q) => {
          const c = dot(r, q);
          r = r.map((v, i) => v - c * q[i]);
        });
      }
      beta.push(norm(r));
      if (!(beta[k] > 1e-10 * Math.abs(alpha[0]))) break;
      basis.push(unit(r));
    }
    return ritz(basis, alpha, beta);
  }
  function ritz(basis, alpha, beta) {
    const n = alpha.length, T = new Float64Array(n * n);
    for (let i = 0; i < n; i++) {
      T[i * n + i] = alpha[i];
      if (i + 1 < n) T[i * n + i + 1] = T[(i + 1) * n + i] = beta[i];
    }
    const { values, vectors } = dldnaMatrix.eigen(T, n);
    const lift = (j) => {
      const v = new Float64Array(basis[0].length);
      for (let i = 0; i < n; i++) {
        const c = vectors[i * n + j];
        for (let p = 0; p < v.length; p++) v[p] += c * basis[i][p];
      }
      return v;
    };
    const second = n > 1 ? lift(1) : new Float64Array(basis[0].length);
    return { values: [values[0], n > 1 ? values[1] : 0],
      vectors: [lift(0), second],
      residual: Math.abs(beta[n - 1] * vectors[(n - 1) * n]) };
  }

  // The two directions that hold most of the way from earlier weights to
  // these, by the eigenvectors of the differences' Gram matrix.
  function ofPath(w, earlier) {
    const D = earlier.map((p) => p.map((v, i) => v - w[i])), n = D.length;
    const G = new Float64Array(n * n);
    for (let i = 0; i < n; i++) {
      for (let j = 0; j <= i; j++) {
        G[i * n + j] = G[j * n + i] = dot(D[i], D[j]);
      }
    }
    const { values, vectors } = dldnaMatrix.eigen(G, n);
    const all = values.reduce((sum, v) => sum + Math.max(v, 0), 0);
    const two = [0, 1].map((k) => {
      const d = new Float64Array(w.length);
      D.forEach((v, i) => {
        const c = vectors[i * n + k];
        for (let p = 0; p < d.length; p++) d[p] += c * v[p];
      });
      return unit(d);
    });
    const held = Math.max(values[0], 0) + Math.max(values[1], 0);
    return { directions: two, explained: all > 0 ? held / all : 0 };
  }

  // Weights kept along the way: every so many steps, twice as many whenever
  // there are too many, so that the whole way stays in view.
  function keeper(most) {
    const kept = { steps: [], points: [], every: 1 };
    kept.add = function (t, w) {
      if (t % kept.every) return;
      kept.steps.push(t);
      kept.points.push(w.slice());
      if (kept.steps.length <= most) return;
      kept.every *= 2;
      const stay = (_, i) => kept.steps[i] % kept.every === 0;
      const points = kept.points.filter(stay);
      kept.steps = kept.steps.filter(stay);
      kept.points = points;
    };
    return kept;
  }

  // Coordinates of weights in the plane at w: least squares.
  function shadows(w, directions, points) {
    const [p, q] = directions;
    const a = dot(p, p), b = dot(p, q), c = dot(q, q), det = a * c - b * b;
    return points.map((x) => {
      const d = x.map((v, i) => v - w[i]), u = dot(d, p), v = dot(d, q);
      return det > 0 ? [(c * u - b * v) / det, (a * v - b * u) / det] : [0, 0];
    });
  }

  // How far to look. Random: up to all of each filter, to both sides. The
  // way: what holds it. Curvature: to where the parabola has risen by 4.
  function reach(kind, found, way) {
    if (kind === "random") return [-1, 1, -1, 1];
    if (kind === "hessian") {
      return found.values.flatMap((v) => {
        const far = Math.min(Math.sqrt(8 / Math.max(Math.abs(v), 1e-6)), 30);
        return [-far, far];
      });
    }
    return [0, 1].flatMap((k) => {
      const all = [0, ...way.map((p) => p[k])];
      const low = Math.min(...all), high = Math.max(...all);
      const margin = 0.3 * (high - low) + 0.05 + 0.3 * spread(way);
      return [low - margin, high + margin];
    });
  }
  function spread(way) {
    return Math.max(0, ...way.map((p) => Math.hypot(p[0], p[1]))) / 4;
  }

  // All that is measured at one moment, cut into pieces: the largest
  // curvatures, which it yields, then the grid. task.next() until it is done.
  function* look({ model, net, w, step, kind, earlier, hint, seed, n }) {
    const from = hint || dldnaRandom.gaussian(net.size,
      dldnaRandom.random(seed, 77));
    const top = yield* leading((v) => model.product(w, v), from, 14);
    yield { top, step, w };
    let directions = top.vectors, explained = null;
    if (kind === "random") {
      const draw = dldnaRandom.random(seed, 78);
      directions = [0, 1].map(() => filterNormalised(w, net, draw));
    } else if (kind === "path" && earlier.length > 2) {
      ({ directions, explained } = ofPath(w, earlier));
    }
    const way = shadows(w, directions, earlier);
    const window = reach(kind === "path" && explained === null ? "hessian"
      : kind, top, way);
    const [a0, a1, b0, b1] = window, z = [], x = new Float64Array(w.length);
    for (let i = 0; i < n; i++) {
      const b = b0 + ((b1 - b0) * i) / (n - 1), row = [];
      for (let j = 0; j < n; j++) {
        const a = a0 + ((a1 - a0) * j) / (n - 1);
        for (let p = 0; p < x.length; p++) {
          x[p] = w[p] + a * directions[0][p] + b * directions[1][p];
        }
        row.push(model.loss(x, null));
        if (j % 4 === 3) yield;
      }
      z.push(row);
    }
    return { step, kind, window, z, way, explained, top, directions, w,
      loss: model.loss(w, null) };
  }

  return { filterNormalised, keeper, leading, look, ofPath, shadows };
})();
