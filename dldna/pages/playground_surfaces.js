// The surfaces: a formula, a grid with cubic interpolation, or the loss of
// a small network as a function of two of its parameters.
//
//   surface.loss(p), surface.gradient(p): exact, on all the data
//   surface.batch(t, seed) -> at; at(p) = {loss, g} on step t's batch
const dldnaSurfaces = (function () {
  "use strict";

  const { normals, sample } = dldnaRandom;

  // Central differences of the exact gradient, twice, extrapolated.
  function diagonalOf(gradient, scale) {
    const slope = (p, i, e) => {
      const up = [...p], down = [...p];
      up[i] += e;
      down[i] -= e;
      return (gradient(up)[i] - gradient(down)[i]) / (2 * e);
    };
    return (p) => [0, 1].map((i) => {
      const e = 1e-3 * scale;
      return (4 * slope(p, i, e / 2) - slope(p, i, e)) / 3;
    });
  }

  function complete(s) {
    const exact = (p) => ({ loss: s.loss(p), g: s.gradient(p) });
    const span = s.extent[1] - s.extent[0];
    const scale = Math.min(1, span / 4);
    exact.diagonal = diagonalOf(s.gradient, scale);
    s.batch = s.batch || (() => exact);
    return s;
  }

  function formula(given) {
    const make = (text) =>
      new Function("x", "y", "exp", "return " + text + ";");
    const f = make(given.formula), dx = make(given.slopes[0]);
    const dy = make(given.slopes[1]), exp = Math.exp;
    const s = {
      extent: given.extent,
      loss: ([x, y]) => f(x, y, exp),
      gradient: ([x, y]) => [dx(x, y, exp), dy(x, y, exp)],
    };
    const [nx, ny] = given.noise || [0, 0];
    if (nx || ny) {
      const bend = diagonalOf(s.gradient, 1);
      s.batch = function (t, seed) {
        const z = normals(seed, t), n = [nx * z[0], ny * z[1]];
        const at = (p) => {
          const g = s.gradient(p);
          const loss = s.loss(p) + n[0] * p[0] + n[1] * p[1];
          return { loss, g: [g[0] + n[0], g[1] + n[1]] };
        };
        at.diagonal = bend;
        return at;
      };
    }
    return complete(s);
  }

  // Keys' cubic (a = -1/2); beyond the edge the grid goes on straight.
  function grid(given) {
    const z = given.grid, rows = z.length, columns = z[0].length;
    const [a0, a1, b0, b1] = given.extent;
    const ha = (a1 - a0) / (columns - 1), hb = (b1 - b0) / (rows - 1);
    const along = (f, i, n) =>
      i < 0 ? 2 * f(0) - f(1) : i >= n ? 2 * f(n - 1) - f(n - 2) : f(i);
    const value = (r, c) =>
      along((i) => along((j) => z[i][j], c, columns), r, rows);
    const weights = (u) => [
      -0.5 * u + u * u - 0.5 * u ** 3,
      1 - 2.5 * u * u + 1.5 * u ** 3,
      0.5 * u + 2 * u * u - 1.5 * u ** 3,
      -0.5 * u * u + 0.5 * u ** 3,
    ];
    const slopes = (u) => [
      -0.5 + 2 * u - 1.5 * u * u,
      -5 * u + 4.5 * u * u,
      0.5 + 4 * u - 4.5 * u * u,
      -u + 1.5 * u * u,
    ];
    const outside = ([a, b]) => !(a >= a0 && a <= a1 && b >= b0 && b <= b1);
    function sum(p, alongA, alongB) {
      if (outside(p)) return NaN;
      const s = (p[0] - a0) / ha, t = (p[1] - b0) / hb;
      const c = Math.min(Math.floor(s), columns - 2);
      const r = Math.min(Math.floor(t), rows - 2);
      const wa = alongA(s - c), wb = alongB(t - r);
      let total = 0;
      for (let i = 0; i < 4; i++) {
        for (let j = 0; j < 4; j++) {
          total += wb[i] * wa[j] * value(r + i - 1, c + j - 1);
        }
      }
      return total;
    }
    return complete({
      extent: given.extent,
      outside,
      loss: (p) => sum(p, weights, weights),
      gradient: (p) => [
        sum(p, slopes, weights) / ha,
        sum(p, weights, slopes) / hb,
      ],
    });
  }

  const activations = {
    relu: [(v) => (v > 0 ? v : 0), (v, a) => (v > 0 ? 1 : 0)],
    sigmoid: [(v) => 1 / (1 + Math.exp(-v)), (v, a) => a * (1 - a)],
    tanh: [Math.tanh, (v, a) => 1 - a * a],
  };

  // Mean squared error of a perceptron with one output, and its gradient
  // with respect to the two free parameters, by backpropagation.
  function network(given) {
    const W = given.weights.map((m) => m.map((row) => Float64Array.from(row)));
    const B = given.biases.map((b) => Float64Array.from(b));
    const [act, slope] = activations[given.activation];
    const last = W.length - 1, N = given.x.length;
    const widths = [given.x[0].length, ...W.map((m) => m.length)];
    const V = widths.map((n) => new Float64Array(n)); // before the activation
    const A = widths.map((n) => new Float64Array(n)); // after it
    const D = widths.map((n) => new Float64Array(n)); // dL / dV
    const X = given.x.map((row) => Float64Array.from(row));
    const Y = Float64Array.from(given.y.map((v) => (v.length ? v[0] : v)));
    const free = given.free.map((p) => [...p]);
    // Layers before the first free one never change: their outputs once.
    const first = Math.min(free[0][0], free[1][0]);
    function put(p) {
      free.forEach(([k, i, j], n) => {
        if (j < 0) B[k][i] = p[n];
        else W[k][i][j] = p[n];
      });
    }
    function layer(k) {
      const from = A[k], into = A[k + 1], raw = V[k + 1];
      for (let i = 0; i < raw.length; i++) {
        const row = W[k][i];
        let total = B[k][i];
        for (let j = 0; j < row.length; j++) total += row[j] * from[j];
        raw[i] = total;
        into[i] = k < last ? act(total) : total;
      }
    }
    const before = X.map((x) => {
      A[0].set(x);
      for (let k = 0; k < first; k++) layer(k);
      return Float64Array.from(A[first]);
    });
    function error(n) {
      A[first].set(before[n]);
      for (let k = first; k <= last; k++) layer(k);
      return A[last + 1][0] - Y[n];
    }
    function both(p, rows, slopes) {
      put(p);
      let loss = 0;
      const g = [0, 0], count = rows ? rows.length : N;
      for (let q = 0; q < count; q++) {
        const e = error(rows ? rows[q] : q);
        loss += e * e;
        if (!slopes) continue;
        D[last + 1][0] = (2 * e) / count;
        for (let k = last; k > first; k--) {
          for (let j = 0; j < widths[k]; j++) {
            let total = 0;
            for (let i = 0; i < widths[k + 1]; i++) {
              total += D[k + 1][i] * W[k][i][j];
            }
            D[k][j] = total * slope(V[k][j], A[k][j]);
          }
        }
        for (let n = 0; n < 2; n++) {
          const [k, i, j] = free[n];
          g[n] += D[k + 1][i] * (j < 0 ? 1 : A[k][j]);
        }
      }
      return { loss: loss / count, g };
    }
    const s = {
      extent: given.extent,
      free,
      count: N,
      size: given.batch_size || N,
      loss: (p) => both(p, null, false).loss,
      gradient: (p) => both(p, null, true).g,
    };
    s.batch = function (t, seed) {
      const rows = s.size < N ? sample(N, s.size, seed, t) : null;
      const at = (p) => both(p, rows, true);
      at.diagonal = diagonalOf((p) => at(p).g, 1);
      return at;
    };
    return complete(s);
  }

  const kinds = { formula, grid, network };
  const open = (given) => kinds[given.kind](given);

  // Loss heard as pitch: 220 Hz the lowest, 880 Hz the highest, in octaves
  // of the logarithm where all losses are above the floor.
  function pitches(losses, low, high) {
    const scale = low > 0 ? Math.log : (v) => v;
    const a = scale(low), b = scale(high);
    return losses.map((v) => {
      const u = b > a ? (scale(Math.min(Math.max(v, low), high)) - a) / (b - a)
        : 0;
      return 220 * 4 ** u;
    });
  }

  return { open, pitches };
})();
