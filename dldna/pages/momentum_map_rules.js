// The heavy ball on w^2 / 2 at the rate a (rate times curvature):
// w <- w - a v, v <- mu v + w. Its two roots solve
// z^2 - (1 + mu - a) z + mu = 0.
const dldnaMomentum = (function () {
  "use strict";
  const NEAR = 1e-9; // how close to a double root is a double root

  // [[real, imaginary], [real, imaginary]], the larger one first.
  function roots(a, mu) {
    const trace = 1 + mu - a, gap = trace * trace - 4 * mu;
    if (gap < 0) {
      const up = Math.sqrt(-gap) / 2;
      return [[trace / 2, up], [trace / 2, -up]];
    }
    const far = (trace + (trace < 0 ? -1 : 1) * Math.sqrt(gap)) / 2;
    return [[far, 0], [far === 0 ? 0 : mu / far, 0]];
  }

  // What the error is multiplied with per step, in the long run.
  function size(a, mu) {
    const z = roots(a, mu)[0];
    return Math.hypot(z[0], z[1]);
  }

  function regime(a, mu) {
    if (a > 2 * (1 + mu)) return "diverging";
    if (Math.abs(mu - critical(a)) < NEAR) return "critical";
    if (mu > critical(a)) return "ripples";
    return a < 1 ? "monotone" : "zigzag";
  }

  // The momentum at which both roots are one, |1 - root(a)| in size.
  function critical(a) {
    return (1 - Math.sqrt(a)) ** 2;
  }

  // The best setting for curvatures that span a factor kappa.
  function best(kappa) {
    const r = Math.sqrt(kappa), root = (r - 1) / (r + 1);
    return { a: (1 + root) ** 2, mu: root * root };
  }

  // w after 0, 1, ... steps, from w = 1 at rest.
  function path(a, mu, steps) {
    const points = [1];
    let w = 1, v = 0;
    for (let t = 0; t < steps; t++) {
      v = mu * v + w;
      w -= a * v;
      points.push(w);
    }
    return points;
  }

  // Steps that make an error a millionth, by the larger root alone.
  function steps(root) {
    return root < 1 ? Math.max(1, Math.ceil(Math.log(1e-6) / Math.log(root)))
      : Infinity;
  }

  return { best, critical, path, regime, roots, size, steps };
})();
