// A small classifier, whole: start, loss, gradient, Hessian products and
// steps. It knows nothing of the page. All weights are one Float64Array;
// tensors say where each layer's matrix (rows: outputs) and biases lie in it.
const dldnaLive = (function () {
  "use strict";

  // Value, slope and second derivative of z; a is the value.
  const ACTIVATIONS = {
    relu: [(z) => (z > 0 ? z : 0), (z) => (z > 0 ? 1 : 0), () => 0],
    leaky_relu: [(z) => (z > 0 ? z : 0.01 * z), (z) => (z > 0 ? 1 : 0.01),
      () => 0],
    tanh: [Math.tanh, (z, a) => 1 - a * a, (z, a) => -2 * a * (1 - a * a)],
    sigmoid: [(z) => 1 / (1 + Math.exp(-z)), (z, a) => a * (1 - a),
      (z, a) => a * (1 - a) * (1 - 2 * a)],
    linear: [(z) => z, () => 1, () => 0],
  };

  function layout(widths) {
    const tensors = [];
    let size = 0;
    for (let k = 0; k + 1 < widths.length; k++) {
      for (const shape of [[widths[k + 1], widths[k]], [widths[k + 1]]]) {
        const count = shape.reduce((a, b) => a * b, 1);
        tensors.push({ layer: k, shape, from: size, to: size + count });
        size += count;
      }
    }
    return { widths, tensors, size, layers: widths.length - 1 };
  }

  // The schemes of dldna.init for an out x in matrix; biases are 0.
  const SCHEMES = {
    lecun_normal: (o, i, d) => normal(o * i, Math.sqrt(1 / i), d),
    xavier_uniform: (o, i, d) => uniform(o * i, Math.sqrt(6 / (i + o)), d),
    kaiming_normal: (o, i, d) => normal(o * i, Math.sqrt(2 / i), d),
    torch_default: (o, i, d) => uniform(o * i, Math.sqrt(1 / i), d),
    orthogonal: (o, i, d) => haar(o, i, 1, d),
    scaled_orthogonal: (o, i, d) => haar(o, i, Math.SQRT2, d),
    double_counted_orthogonal: (o, i, d) => haar(o, i, Math.sqrt(2 / i), d),
    constant_variance: (o, i, d) => normal(o * i, 0.9, d),
  };
  const normal = (count, std, draw) =>
    dldnaRandom.gaussian(count, draw).map((v) => std * v);
  const uniform = (count, bound, draw) =>
    new Float64Array(count).map(() => bound * (2 * draw() - 1));
  function haar(rows, columns, gain, draw) {
    const n = Math.max(rows, columns), m = Math.min(rows, columns);
    const Q = dldnaMatrix.orthonormal(dldnaRandom.gaussian(n * m, draw), n, m);
    const W = rows < columns ? dldnaMatrix.transpose(Q, n, m) : Q;
    return W.map((v) => gain * v);
  }
  function begin(scheme, net, seed) {
    const w = new Float64Array(net.size);
    const draw = dldnaRandom.random(seed, 0);
    net.tensors.filter((t) => t.shape.length > 1).forEach((t) =>
      w.set(SCHEMES[scheme](t.shape[0], t.shape[1], draw), t.from));
    return w;
  }

  // Mean cross-entropy of the network on data {x: N x width, y: N labels}.
  function network(net, activation, data) {
    const [act, slope, bend] = ACTIVATIONS[activation];
    const { widths, tensors, layers: L } = net, N = data.y.length;
    const space = () => widths.map((n) => new Float64Array(n));
    const Z = space(), A = space(), D = space(); // dD is the loss's slope
    const RZ = space(), RA = space(), RD = space(); // along v
    const at = (k) => tensors[2 * k].from; // a layer's matrix
    const off = (k) => tensors[2 * k + 1].from; // and its biases

    function forward(w, n, x = data.x) {
      const wide = widths[0];
      for (let j = 0; j < wide; j++) A[0][j] = x[n * wide + j];
      for (let k = 0; k < L; k++) {
        const from = A[k], count = widths[k], rows = widths[k + 1];
        for (let i = 0, p = at(k); i < rows; i++) {
          let sum = w[off(k) + i];
          for (let j = 0; j < count; j++) sum += w[p++] * from[j];
          Z[k + 1][i] = sum;
          A[k + 1][i] = k + 1 < L ? act(sum) : sum;
        }
      }
      return A[L];
    }
    // The loss of one sample; D[L] becomes the probabilities.
    function entropy(out, label) {
      let top = -Infinity, sum = 0;
      for (let i = 0; i < out.length; i++) top = Math.max(top, out[i]);
      for (let i = 0; i < out.length; i++) {
        sum += D[L][i] = Math.exp(out[i] - top);
      }
      for (let i = 0; i < out.length; i++) D[L][i] /= sum;
      return Math.log(sum) + top - out[label];
    }
    const pick = (rows, q) => (rows ? rows[q] : q);

    function loss(w, rows) {
      const count = rows ? rows.length : N;
      let sum = 0;
      for (let q = 0; q < count; q++) {
        const n = pick(rows, q);
        sum += entropy(forward(w, n), data.y[n]);
      }
      return sum / count;
    }

    // The gradient goes into g; the loss is given back.
    function gradient(w, rows, g) {
      const count = rows ? rows.length : N;
      let sum = 0;
      g.fill(0);
      for (let q = 0; q < count; q++) {
        const n = pick(rows, q);
        sum += entropy(forward(w, n), data.y[n]);
        D[L][data.y[n]] -= 1;
        for (let k = L - 1; k >= 0; k--) {
          const from = A[k], back = D[k], columns = widths[k];
          back.fill(0);
          for (let i = 0; i < widths[k + 1]; i++) {
            const d = D[k + 1][i];
            if (d === 0) continue;
            g[off(k) + i] += d;
            let p = at(k) + i * columns;
            for (let j = 0; j < columns; j++, p++) {
              g[p] += d * from[j];
              back[j] += d * w[p];
            }
          }
          if (k === 0) break;
          for (let j = 0; j < columns; j++) back[j] *= slope(Z[k][j], A[k][j]);
        }
      }
      for (let i = 0; i < g.length; i++) g[i] /= count;
      return sum / count;
    }

    // The exact product of the Hessian on all data with v: forward and
    // backward, differentiated along v (Pearlmutter 1994).
    function product(w, v) {
      const out = new Float64Array(w.length);
      for (let n = 0; n < N; n++) {
        entropy(forward(w, n), data.y[n]);
        alongForward(w, v);
        let mean = 0;
        for (let i = 0; i < widths[L]; i++) mean += D[L][i] * RZ[L][i];
        for (let i = 0; i < widths[L]; i++) {
          RD[L][i] = D[L][i] * (RZ[L][i] - mean);
        }
        D[L][data.y[n]] -= 1;
        for (let k = L - 1; k >= 0; k--) alongBack(w, v, out, k);
      }
      return out.map((x) => x / N);
    }
    function alongForward(w, v) {
      RA[0].fill(0);
      for (let k = 0; k < L; k++) {
        const count = widths[k];
        for (let i = 0, p = at(k); i < widths[k + 1]; i++) {
          let sum = v[off(k) + i];
          for (let j = 0; j < count; j++, p++) {
            sum += v[p] * A[k][j] + w[p] * RA[k][j];
          }
          RZ[k + 1][i] = sum;
          RA[k + 1][i] = k + 1 < L
            ? slope(Z[k + 1][i], A[k + 1][i]) * sum : sum;
        }
      }
    }
    function alongBack(w, v, out, k) {
      const columns = widths[k], back = D[k], far = RD[k];
      back.fill(0);
      far.fill(0);
      for (let i = 0; i < widths[k + 1]; i++) {
        const d = D[k + 1][i], r = RD[k + 1][i];
        out[off(k) + i] += r;
        let p = at(k) + i * columns;
        for (let j = 0; j < columns; j++, p++) {
          out[p] += r * A[k][j] + d * RA[k][j];
          back[j] += d * w[p];
          far[j] += r * w[p] + d * v[p];
        }
      }
      if (k === 0) return;
      for (let j = 0; j < columns; j++) {
        const z = Z[k][j], a = A[k][j], first = slope(z, a);
        far[j] = first * far[j] + bend(z, a) * RZ[k][j] * back[j];
        back[j] *= first;
      }
    }

    const best = (out) => out.reduce((b, v, i) => (v > out[b] ? i : b), 0);
    function accuracy(w) {
      let right = 0;
      for (let n = 0; n < N; n++) right += best(forward(w, n)) === data.y[n];
      return right / N;
    }
    // The probability of each class at one input.
    function answer(w, x) {
      entropy(forward(w, 0, x), 0);
      return D[L];
    }

    return { accuracy, answer, count: N, gradient, loss, product };
  }

  // Batches of one epoch after the other, each sample once in each.
  function batches(count, size, seed) {
    if (size >= count) return () => null;
    const many = Math.floor(count / size);
    let epoch = -1, order = null;
    return function (t) {
      const now = Math.floor((t - 1) / many), at = (t - 1) % many;
      if (now !== epoch) {
        epoch = now;
        order = dldnaRandom.shuffled(count,
          dldnaRandom.random(seed, now + 1));
      }
      return order.slice(at * size, (at + 1) * size);
    };
  }

  // An optimizer on the network's weights. Muon moves the matrices between
  // the first layer and the last; AdamW, at its rate, all the rest.
  const MATCHED = { weight_decay: 0.01, adjust_lr_fn: "match_rms_adamw" };
  const hidden = (net, t) =>
    t.shape.length > 1 && t.layer > 0 && t.layer < net.layers - 1;
  function optimizer(name, net) {
    const whole = [{ from: 0, to: net.size, shape: [net.size] }];
    const { table } = dldnaMatrixRules, muon = name === "muon";
    const parts = (muon ? net.tensors : whole).map((part) => {
      const rule = table[muon && !hidden(net, part) ? "adamw" : name];
      const own = rule.name === "muon" ? MATCHED : {};
      return { ...part, rule, h: { ...rule.defaults, ...own }, state: null };
    });
    // One step, in place: w is changed, g is not.
    return function (w, g, t, lr) {
      parts.forEach((part) => {
        const { rule, from, to, shape } = part, h = { ...part.h, lr };
        const mine = w.slice(from, to);
        const state = part.state || rule.init(mine, h, shape);
        const [next, kept] =
          rule.update(mine, g.slice(from, to), state, t, h, shape);
        part.state = kept;
        w.set(next, from);
      });
    };
  }

  return { ACTIVATIONS, SCHEMES, batches, begin, hidden, layout, network,
    optimizer };
})();
