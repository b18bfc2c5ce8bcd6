// The rules of dldna.optim that see a weight's shape, beside those that
// treat each number by itself (playground_rules.js), in one table:
//
//   rule.init(w, h, shape) -> state
//   rule.update(w, g, state, t, h, shape) -> [w, state]
//
// w and g are Float64Arrays, row by row; shape is [rows, columns] or [n].
const dldnaMatrixRules = (function () {
  "use strict";
  const { times, transpose, gram, eigen, orthonormal } = dldnaMatrix;
  const { each, ema, l2, norm, rms, shrink, square } = dldnaRules.words;
  const zeros = (n) => new Float64Array(n);

  // Push the singular values of a matrix towards 1.
  function newtonSchulz(G, [rows, columns], h) {
    const [a, b, c] = h.ns_coefficients, tall = rows > columns;
    const n = Math.min(rows, columns), m = Math.max(rows, columns);
    let X = tall ? transpose(G, rows, columns) : G;
    const size = Math.max(norm(X), h.eps);
    X = each((v) => v / size, X);
    for (let k = 0; k < h.ns_steps; k++) {
      const A = gram(X, n, m);
      const P = each((p, q) => b * p + c * q, A, times(A, A, n, n, n));
      X = each((p, q) => a * p + q, X, times(P, X, n, n, m));
    }
    return tall ? transpose(X, n, m) : X;
  }

  function shapeFactor([rows, columns], kind) {
    if (kind === "match_rms_adamw") {
      return 0.2 * Math.sqrt(Math.max(rows, columns));
    }
    return Math.sqrt(Math.max(1, rows / columns));
  }

  function muon(w, g, s, t, h, shape) {
    const B = ema(s.B, g, h.momentum);
    const U = h.nesterov ? ema(B, g, h.momentum) : B;
    const O = newtonSchulz(U, shape, h);
    const eta = h.lr * shapeFactor(shape, h.adjust_lr_fn);
    const kept = shrink(w, h.lr * h.weight_decay);
    return [each((a, b) => a - eta * b, kept, O), { B }];
  }

  // The two sides of a matrix: G G^T and G^T G.
  function sides(g, [n, m]) {
    return [gram(g, n, m), gram(transpose(g, n, m), m, n)];
  }

  function inverseRoot(L, n, p, floor) {
    const { values, vectors } = eigen(L, n);
    const scaled = Float64Array.from(vectors, (v, i) =>
      v * Math.max(values[i % n], floor) ** (-1 / p));
    return times(scaled, transpose(vectors, n, n), n, n, n);
  }

  function shampoo(w, g, s, t, h, shape) {
    const [n, m] = shape;
    g = l2(w, g, h.weight_decay);
    const [A, B] = sides(g, shape);
    const L0 = each((a, b) => a + b, s.L0, A);
    const L1 = each((a, b) => a + b, s.L1, B);
    const left = times(inverseRoot(L0, n, 4, h.eps), g, n, n, m);
    const U = times(left, inverseRoot(L1, m, 4, h.eps), n, m, m);
    return [each((a, b) => a - h.lr * b, w, U), { L0, L1 }];
  }
  function initShampoo(w, h, [n, m]) {
    const eye = (k) => zeros(k * k).map((_, i) => (i % (k + 1) ? 0 : h.eps));
    return { L0: eye(n), L1: eye(m) };
  }

  // Into the bases Q0, Q1 of rows and columns, or out of them.
  function rotate({ Q0, Q1 }, x, [n, m], back) {
    const left = back ? Q0 : transpose(Q0, n, n);
    const right = back ? transpose(Q1, m, m) : Q1;
    return times(times(left, x, n, n, m), right, n, m, m);
  }

  function soap(w, g, s, t, h, shape) {
    const [b1, b2] = h.betas, [n, m] = shape, both = sides(g, shape);
    const L0 = ema(s.L0, both[0], b2), L1 = ema(s.L1, both[1], b2);
    if (t === 1) {
      const Q0 = eigen(L0, n).vectors, Q1 = eigen(L1, m).vectors;
      return [w.slice(), { ...s, L0, L1, Q0, Q1 }];
    }
    const bases = { Q0: s.Q0, Q1: s.Q1 };
    const M = ema(s.m, g, b1);
    let v = ema(s.v, square(rotate(bases, g, shape)), b2);
    const u = each((p, q) => p / (Math.sqrt(q) + h.eps),
      rotate(bases, M, shape), v);
    const eta = h.lr * Math.sqrt(1 - b2 ** (t - 1)) / (1 - b1 ** (t - 1));
    w = each((a, b) => a - eta * b, w, rotate(bases, u, shape, true));
    w = shrink(w, h.lr * h.weight_decay);
    if ((t - 1) % h.precondition_frequency === 0) {
      [bases.Q0, v] = refresh(L0, bases.Q0, v, shape, 0);
      [bases.Q1, v] = refresh(L1, bases.Q1, v, shape, 1);
    }
    return [w, { m: M, v, L0, L1, ...bases }];
  }
  // One power iteration; columns sorted anew by their value, v with them.
  function refresh(L, Q, v, shape, axis) {
    const n = shape[axis], LQ = times(L, Q, n, n, n);
    const size = Array.from({ length: n }, (_, j) => {
      let sum = 0;
      for (let i = 0; i < n; i++) sum += Q[i * n + j] * LQ[i * n + j];
      return sum;
    });
    const order = size.map((_, j) => j).sort((i, j) => size[j] - size[i]);
    const sorted = LQ.map((_, k) => LQ[k - (k % n) + order[k % n]]);
    const columns = shape[1];
    const moved = v.map((_, k) => {
      const i = Math.floor(k / columns), j = k % columns;
      return axis ? v[i * columns + order[j]] : v[order[i] * columns + j];
    });
    return [orthonormal(sorted, n, n), moved];
  }
  const initSoap = (w, h, [n, m]) => ({ m: zeros(n * m), v: zeros(n * m),
    L0: zeros(n * n), Q0: zeros(n * n), L1: zeros(m * m), Q1: zeros(m * m) });

  // Second moments from one number a row and one a column.
  function adafactor(w, g, s, t, h, shape) {
    const [n, m] = shape, eps1 = h.eps[0] === null ? Number.EPSILON : h.eps[0];
    const alpha = Math.max(rms(w), h.eps[1]) * Math.min(h.lr, t ** -0.5);
    w = shrink(w, h.lr * h.weight_decay);
    const rows = zeros(n), columns = zeros(m), beta = 1 - t ** h.beta2_decay;
    g.forEach((v, k) => {
      rows[Math.floor(k / m)] += (v * v) / m;
      columns[k % m] += (v * v) / n;
    });
    const R = ema(s.R, rows, beta), C = ema(s.C, columns, beta);
    const mean = Math.max(R.reduce((sum, v) => sum + v, 0) / n, eps1);
    const U = g.map((v, k) => v / Math.sqrt(Math.max(
      (R[Math.floor(k / m)] * C[k % m]) / mean, eps1 ** 2)));
    const eta = alpha / Math.max(rms(U) / h.d, 1);
    return [each((a, b) => a - eta * b, w, U), { R, C }];
  }

  const table = {};
  for (const [name, rule] of Object.entries(dldnaRules.table)) {
    table[name] = { ...rule, update: (w, g, s, t, h) =>
      rule.update(w, g, s, t, h), init: (w, h) => rule.init(w, h) };
  }
  function rule(name, label, update, init, defaults) {
    table[name] = { name, label, update, init, defaults, matrix: true };
  }
  rule("muon", "Muon", muon, (w) => ({ B: zeros(w.length) }),
    { lr: 1e-3, weight_decay: 0.1, momentum: 0.95, nesterov: true,
      ns_coefficients: [3.4445, -4.7750, 2.0315], eps: 1e-7, ns_steps: 5,
      adjust_lr_fn: null });
  rule("shampoo", "Shampoo", shampoo, initShampoo,
    { lr: 0.1, eps: 1e-6, weight_decay: 0 });
  rule("soap", "SOAP", soap, initSoap,
    { lr: 3e-3, betas: [0.95, 0.95], eps: 1e-8, weight_decay: 1e-2,
      precondition_frequency: 10 });
  rule("adafactor", "AdaFactor", adafactor,
    (w, h, [n, m]) => ({ R: zeros(n), C: zeros(m) }),
    { ...dldnaRules.table.adafactor.defaults });

  return { newtonSchulz, table };
})();
