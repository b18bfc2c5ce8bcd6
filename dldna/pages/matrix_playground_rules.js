// Problems whose parameter is a matrix, and walks on them. It knows nothing
// of the page. All matrices are lists, row by row.
//
//   problem.shape, problem.start(seed) -> W
//   problem.at(W) -> {loss, g}
const dldnaMatrixPlay = (function () {
  "use strict";
  const { times, transpose, orthonormal } = dldnaMatrix;
  const N = 6; // rows and columns

  const random = (count, seed) =>
    dldnaRandom.gaussian(count, dldnaRandom.random(seed, 0));
  const turned = (n, seed) => orthonormal(random(n * n, seed), n, n);
  const minus = (A, B) => A.map((v, i) => v - B[i]);
  const half = (R) => R.reduce((sum, v) => sum + v * v, 0) / 2;
  const geometric = (n, span) =>
    Array.from({ length: n }, (_, i) => span ** (-i / (n - 1)));

  // U diag(values) V^T.
  function composed(values, n, seed) {
    const U = turned(n, seed), V = turned(n, seed + 1);
    return times(U.map((v, k) => v * values[k % n]), transpose(V, n, n),
      n, n, n);
  }

  // |A W B - C|^2 / 2 with singular values of A and B from 1 down: steep and
  // flat directions are products of rows and columns, not single weights.
  function regression(span) {
    const A = composed(geometric(N, span), N, 11);
    const B = composed(geometric(N, span), N, 21);
    const C = times(times(A, composed(Array(N).fill(1), N, 31), N, N, N), B,
      N, N, N);
    const At = transpose(A, N, N), Bt = transpose(B, N, N);
    return {
      title: "regression from both sides",
      about: "Loss ½|A W B − C|² of a 6 x 6 matrix W. The singular values " +
        "of A and of B span a factor " + span + " each. At the minimum all " +
        "singular values of W are 1.",
      shape: [N, N], given: { A, B, C },
      start: (seed) => random(N * N, 100 + seed).map((v) => 0.1 * v),
      at(W) {
        const R = minus(times(times(A, W, N, N, N), B, N, N, N), C);
        return { loss: half(R),
          g: times(times(At, R, N, N, N), Bt, N, N, N) };
      },
    };
  }

  // |W - C|^2 / 2, a round bowl, whose target has very unequal strengths.
  function target(span) {
    const C = composed(geometric(N, span), N, 41);
    return {
      title: "a matrix to be met",
      about: "Loss ½|W − C|²: the roundest bowl there is, all curvatures 1. " +
        "The singular values of C fall from 1 to 1/" + span + ".",
      shape: [N, N], given: { C },
      start: (seed) => random(N * N, 100 + seed).map((v) => 0.01 * v),
      at(W) {
        const R = minus(W, C);
        return { loss: half(R), g: R };
      },
    };
  }

  // |W W^T - M|^2 / 4: the factor of a matrix of rank 3.
  function factor() {
    const rank = 3, Q = turned(N, 51), values = [1, 0.5, 0.1];
    const root = new Float64Array(N * rank).map((_, k) =>
      Q[Math.floor(k / rank) * N + (k % rank)] *
      Math.sqrt(values[k % rank]));
    const M = times(root, transpose(root, N, rank), N, rank, N);
    return {
      title: "factors of a matrix",
      about: "Loss ¼|W Wᵀ − M|² of a 6 x 3 matrix W: M has the eigenvalues " +
        "1, 0.5 and 0.1, so the singular values of W go to their roots, " +
        "from a small start one after the other.",
      shape: [N, rank], given: { M },
      start: (seed) => random(N * rank, 100 + seed).map((v) => 0.02 * v),
      at(W) {
        const R = minus(times(W, transpose(W, N, rank), N, rank, N), M);
        return { loss: half(R) / 2, g: times(R, W, N, N, rank) };
      },
    };
  }

  const PROBLEMS = { regression: regression(10), target: target(100),
    factors: factor() };

  // A walk: weights, losses, updates and their singular values, step by step.
  function walk(problem, name, lr, steps, seed) {
    const rule = dldnaMatrixRules.table[name], { shape } = problem;
    const h = { ...rule.defaults, lr };
    // The problems' minima are not where decay would go.
    if ("weight_decay" in h) h.weight_decay = 0;
    let w = problem.start(seed), state = rule.init(w, h, shape);
    let now = problem.at(w);
    const out = { points: [w], losses: [now.loss], over: null };
    for (let t = 1; t <= steps; t++) {
      [w, state] = rule.update(w, now.g, state, t, h, shape);
      now = problem.at(w);
      if (!(now.loss < 1e12)) {
        out.over = t;
        break;
      }
      out.points.push(w);
      out.losses.push(now.loss);
    }
    return out;
  }

  // Singular values of each point of a walk, or of its steps.
  function spectra(points, shape) {
    return points.map((W) => dldnaMatrix.singular(W, ...shape));
  }
  const steps = (points) => points.slice(1).map((W, t) => minus(W, points[t]));

  // The best of 13 rates: the lowest last loss among those that never rise
  // above the start.
  function tune(problem, name, many, seed) {
    let best = { lr: 1e-3, loss: Infinity };
    dldnaRules.rateList.forEach((lr) => {
      const { losses, over } = walk(problem, name, lr, many, seed);
      const tame = over === null && Math.max(...losses) <= losses[0];
      const loss = tame ? losses[losses.length - 1] : Infinity;
      if (loss < best.loss) best = { lr, loss };
    });
    return best.lr;
  }

  // Points of several walks in one plane, least squares: through the mean,
  // along the two directions that hold most of them.
  function shadow(walks) {
    const all = walks.flat(), n = all[0].length;
    const mean = new Float64Array(n).map((_, i) =>
      all.reduce((sum, p) => sum + p[i], 0) / all.length);
    const S = new Float64Array(n * n);
    all.forEach((p) => {
      for (let i = 0; i < n; i++) {
        const a = p[i] - mean[i];
        for (let j = 0; j < n; j++) S[i * n + j] += a * (p[j] - mean[j]);
      }
    });
    const { values, vectors } = dldnaMatrix.eigen(S, n);
    const total = values.reduce((sum, v) => sum + Math.max(v, 0), 0);
    const directions = [0, 1].map((k) =>
      new Float64Array(n).map((_, i) => vectors[i * n + k]));
    const place = (p) => directions.map((d) =>
      d.reduce((sum, v, i) => sum + v * (p[i] - mean[i]), 0));
    return { mean, directions, explained: (values[0] + values[1]) / total,
      walks: walks.map((points) => points.map(place)) };
  }

  return { PROBLEMS, shadow, spectra, steps, tune, walk };
})();
