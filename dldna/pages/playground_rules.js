// The update rules of dldna.optim on lists of weights: pure functions of the
// same names, with the same defaults and the same order of operations.
//
//   rule.init(w, h) -> state
//   rule.update(w, g, state, t, h, at) -> [w, state]
//
// w and g are lists of numbers: [x, y] on the playground, of any length where
// a rule treats each weight by itself. t = 1, 2, ... counts steps. at(w) gives
// {loss, g} elsewhere on the step's own batch, at.diagonal(w) the Hessian's
// diagonal. rule.point(w, state, h) is where the network is evaluated.
const dldnaRules = (function () {
  "use strict";
  // One number after the other; the result is a list of the first one's kind.
  function each(f, a, b, c, d) {
    const out = new a.constructor(a.length);
    for (let i = 0; i < out.length; i++) {
      out[i] = f(a[i], b && b[i], c && c[i], d && d[i]);
    }
    return out;
  }
  const zero = (w) => each(() => 0, w);
  const total = (f, a, b) => {
    let sum = 0;
    for (let i = 0; i < a.length; i++) sum += f(a[i], b && b[i]);
    return sum;
  };
  const dot = (a, b) => total((p, q) => p * q, a, b);
  const norm = (a) => Math.sqrt(dot(a, a));
  const size1 = (a) => total(Math.abs, a);
  const rms = (a) => Math.sqrt(dot(a, a) / a.length);
  const clip = (v, low, high) => Math.min(Math.max(v, low), high);
  // torch.lerp(a, b, 1 - beta), digit by digit.
  const mix = (a, b, beta) => {
    const u = 1 - beta;
    return u < 0.5 ? a + u * (b - a) : b - (b - a) * (1 - u);
  };
  const ema = (a, b, beta) => each((p, q) => mix(p, q, beta), a, b);
  const l2 = (w, g, decay) =>
    decay === 0 ? g : each((a, b) => b + decay * a, w, g);
  const shrink = (w, rate) => (rate === 0 ? w : each((a) => a * (1 - rate), w));
  const moments = (w) => ({ m: zero(w), v: zero(w) });
  const square = (g) => each((a) => a * a, g);

  function sgd(w, g, s, t, h) {
    g = l2(w, g, h.weight_decay);
    if (!s.b) return [each((a, b) => a - h.lr * b, w, g), {}];
    const damped = t > 1 ? shrink(g, h.dampening) : g;
    const b = each((p, q) => q + h.momentum * p, s.b, damped);
    const u = h.nesterov ? each((p, q) => q + h.momentum * p, b, g) : b;
    return [each((p, q) => p - h.lr * q, w, u), { b }];
  }
  const initSgd = (w, h) => (h.momentum ? { b: zero(w) } : {});

  function adagrad(w, g, s, t, h) {
    g = l2(w, g, h.weight_decay);
    const G = each((p, q) => p + q * q, s.G, g);
    const eta = h.lr / (1 + (t - 1) * h.lr_decay);
    const step = (a, b, c) => a - (eta * b) / (Math.sqrt(c) + h.eps);
    return [each(step, w, g, G), { G }];
  }

  function rmsprop(w, g, s, t, h) {
    g = l2(w, g, h.weight_decay);
    const v = ema(s.v, square(g), h.alpha);
    let u = each((a, b) => a / (Math.sqrt(b) + h.eps), g, v);
    const next = { v };
    if (s.b) u = next.b = each((p, q) => h.momentum * p + q, s.b, u);
    return [each((a, b) => a - h.lr * b, w, u), next];
  }
  const initRms = (w, h) =>
    h.momentum ? { v: zero(w), b: zero(w) } : { v: zero(w) };

  function adam(w, g, s, t, h) {
    const [b1, b2] = h.betas;
    g = l2(w, g, h.weight_decay);
    const m = ema(s.m, g, b1);
    let v = ema(s.v, square(g), b2);
    const next = { m, v };
    if (s.v_max) v = next.v_max = each((a, b) => Math.max(a, b),
      s.v_max, v);
    const c = 1 - b2 ** t, eta = h.lr / (1 - b1 ** t);
    const step = (a, p, q) => a - eta * (p / (Math.sqrt(q / c) + h.eps));
    return [each(step, w, m, v), next];
  }
  const initAdam = (w, h) =>
    h.amsgrad ? { ...moments(w), v_max: zero(w) } : moments(w);

  function adamw(w, g, s, t, h) {
    w = shrink(w, h.lr * h.weight_decay);
    return adam(w, g, s, t, { ...h, weight_decay: 0 });
  }

  function nadam(w, g, s, t, h) {
    const [b1, b2] = h.betas;
    g = l2(w, g, h.weight_decay);
    const m = ema(s.m, g, b1), v = ema(s.v, square(g), b2);
    const mu = b1 * (1 - 0.5 * 0.96 ** (t * h.momentum_decay));
    const ahead = b1 * (1 - 0.5 * 0.96 ** ((t + 1) * h.momentum_decay));
    const p = s.p * mu, c = 1 - b2 ** t;
    const c1 = ahead / (1 - p * ahead), c2 = (1 - mu) / (1 - p);
    const step = (a, i, j, k) =>
      a - (h.lr * (c1 * i + c2 * k)) / (Math.sqrt(j / c) + h.eps);
    return [each(step, w, m, v, g), { m, v, p }];
  }

  function radam(w, g, s, t, h) {
    const [b1, b2] = h.betas;
    g = l2(w, g, h.weight_decay);
    const m = ema(s.m, g, b1), v = ema(s.v, square(g), b2);
    const end = 2 / (1 - b2) - 1, c = 1 - b2 ** t;
    const rho = end - (2 * t * b2 ** t) / c;
    const k = Math.max(rho, 5);
    const r = Math.sqrt(
      ((k - 4) * (k - 2) * end) / ((end - 4) * (end - 2) * k)
    );
    const u = each((p, q) => (r * Math.sqrt(c) * p) / (Math.sqrt(q) + h.eps),
      m, v);
    const eta = h.lr / (1 - b1 ** t);
    return [each((a, b) => a - eta * b, w, rho > 5 ? u : m), { m, v }];
  }

  function adabelief(w, g, s, t, h) {
    const [b1, b2] = h.betas;
    w = shrink(w, h.lr * h.weight_decay);
    const m = ema(s.m, g, b1);
    const apart = each((a, b) => (a - b) * (a - b), g, m);
    const q = ema(s.s, apart, b2).map((a) => a + h.eps);
    const c = 1 - b2 ** t, eta = h.lr / (1 - b1 ** t);
    const step = (a, i, j) => a - (eta * i) / (Math.sqrt(j / c) + h.eps);
    return [each(step, w, m, q), { m, s: q }];
  }

  function lion(w, g, s, t, h) {
    const c = ema(s.m, g, h.betas[0]);
    const step = (a, b) => a - h.lr * Math.sign(b);
    const next = each(step, shrink(w, h.lr * h.weight_decay), c);
    return [next, { m: ema(s.m, g, h.betas[1]) }];
  }

  // A second, slower mean beside Adam's; both warm-ups as in Python.
  const memory = (beta) => (beta > 0 ? -1 / Math.log(beta) : 0);
  const rateOf = (steps) => (steps > 0 ? Math.exp(-1 / steps) : 0);
  function ademamix(w, g, s, t, h) {
    const [b1, b2, b3] = h.betas;
    const share = (warm) => Math.min(t / Math.max(warm, 1), 1);
    const part = share(h.beta3_warmup);
    const steps = (1 - part) * memory(b1) + part * memory(b3);
    const m = ema(s.m, g, b1), v = ema(s.v, square(g), b2);
    const slow = ema(s.s, g, part < 1 ? rateOf(steps) : b3);
    const alpha = h.alpha * share(h.alpha_warmup);
    const c1 = 1 - b1 ** t, c2 = 1 - b2 ** t;
    const step = (a, i, j, k) =>
      a - h.lr * ((i / c1 + alpha * k) / (Math.sqrt(j / c2) + h.eps));
    const kept = shrink(w, h.lr * h.weight_decay);
    return [each(step, kept, m, v, slow), { m, s: slow, v }];
  }

  function adopt(w, g, s, t, h) {
    const [b1, b2] = h.betas;
    if (h.decoupled_weight_decay) w = shrink(w, h.lr * h.weight_decay);
    else g = l2(w, g, h.weight_decay);
    if (t === 1) return [w, { m: s.m, v: square(g) }];
    const bound = h.clip ? (t - 1) ** 0.25 : Infinity;
    const u = each((a, b) =>
      clip(a / Math.max(Math.sqrt(b), h.eps), -bound, bound), g, s.v);
    const m = ema(s.m, u, b1), v = ema(s.v, square(g), b2);
    return [each((a, b) => a - h.lr * b, w, m), { m, v }];
  }

  function mars(w, g, s, t, h) {
    const [b1] = h.betas, k = (h.gamma * b1) / (1 - b1);
    const c = each((a, b) => a + k * (a - b), g, s.last);
    const size = Math.max(norm(c), 1);
    const [next, more] = adamw(w, each((a) => a / size, c), s, t, h);
    return [next, { ...more, last: g }];
  }
  const initMars = (w) => ({ ...moments(w), last: zero(w) });

  // No weight moves against its own gradient.
  function cautiousAdamw(w, g, s, t, h) {
    const kept = shrink(w, h.lr * h.weight_decay);
    const [u, next] = adam(zero(w), g, s, t, { ...h, weight_decay: 0 });
    const agrees = each((a, b) => (-a * b > 0 ? 1 : 0), u, g);
    const factor = w.length / (total((a) => a, agrees) + 1);
    return [each((a, b, c) => a + b * c * factor, kept, u, agrees), next];
  }

  function adafactor(w, g, s, t, h) {
    const eps1 = h.eps[0] === null ? Number.EPSILON : h.eps[0];
    const alpha = Math.max(rms(w), h.eps[1]) * Math.min(h.lr, t ** -0.5);
    w = shrink(w, h.lr * h.weight_decay);
    const V = ema(s.V, square(g), 1 - t ** h.beta2_decay);
    const U = each((a, b) => a / Math.sqrt(Math.max(b, eps1 ** 2)), g, V);
    const eta = alpha / Math.max(rms(U) / h.d, 1);
    return [each((a, b) => a - eta * b, w, U), { V }];
  }

  function lars(w, g, s, t, h) {
    let l = (h.trust * norm(w)) / (norm(g) + h.weight_decay * norm(w));
    if (!(norm(w) > 0 && norm(g) > 0)) l = 1;
    g = l2(w, g, h.weight_decay);
    const v = each((p, q) => h.momentum * p + h.lr * l * q, s.v, g);
    return [each((a, b) => a - b, w, v), { v }];
  }

  function lamb(w, g, s, t, h) {
    const [b1, b2] = h.betas, c1 = 1 - b1 ** t, c2 = 1 - b2 ** t;
    const m = ema(s.m, g, b1), v = ema(s.v, square(g), b2);
    const u = each((p, q) => p / c1 / (Math.sqrt(q / c2) + h.eps), m, v);
    const r = l2(w, u, h.weight_decay);
    const both = norm(w) > 0 && norm(r) > 0;
    const ratio = both ? norm(w) / norm(r) : 1;
    return [each((a, b) => a - h.lr * ratio * b, w, r), { m, v }];
  }

  function sophia(w, g, s, t, h, at) {
    let H = s.h;
    if ((t - 1) % h.k === 0) H = ema(H, at.diagonal(w), h.betas[1]);
    const m = ema(s.m, g, h.betas[0]);
    const u = each((p, q) => clip(p / Math.max(h.gamma * q, h.eps), -1, 1),
      m, H);
    const kept = shrink(w, h.lr * h.weight_decay);
    return [each((a, b) => a - h.lr * b, kept, u), { m, h: H }];
  }

  // One axis of length 2: full-matrix AdaGrad, with the exponent -1/2.
  function shampoo(w, g, s, t, h) {
    g = l2(w, g, h.weight_decay);
    const [a, b, c] = s.L0;
    const L0 = [a + g[0] * g[0], b + g[0] * g[1], c + g[1] * g[1]];
    const U = inverseRoot(L0, g, h.eps);
    return [each((p, q) => p - h.lr * q, w, U), { L0 }];
  }
  // [[a, b], [b, c]] to the power -1/2, times g. The rotation comes from
  // atan2 and the small eigenvalue from the determinant's own product.
  function inverseRoot([a, b, c], g, floor) {
    const angle = 0.5 * Math.atan2(2 * b, a - c);
    const p = [Math.cos(angle), Math.sin(angle)], q = [-p[1], p[0]];
    const value = (v) =>
      a * v[0] * v[0] + 2 * b * v[0] * v[1] + c * v[1] * v[1];
    const i = dot(p, g) / Math.sqrt(Math.max(value(p), floor));
    const j = dot(q, g) / Math.sqrt(Math.max(value(q), floor));
    return each((x, y) => i * x + j * y, p, q);
  }

  const grown = (d, r, s) => (s > 0 ? Math.max(d, r / s) : d);

  function prodigy(w, g, s, t, h) {
    const [b1, b2] = h.betas, b3 = Math.sqrt(b2);
    let d = s.d;
    const eta = d * h.lr, k = (d / h.d0) * eta;
    const r = b3 * s.r + k * dot(g, each((a, b) => a - b, s.w0, w));
    const sum = each((a, b) => b3 * a + k * b, s.s, g);
    const m = ema(s.m, each((a) => d * a, g), b1);
    const v = ema(s.v, each((a) => (d * a) * (d * a), g), b2);
    d = grown(d, r, size1(sum));
    const step = (a, p, q) => a - (eta * p) / (Math.sqrt(q) + d * h.eps);
    w = each(step, shrink(w, eta * h.weight_decay), m, v);
    return [w, { m, v, s: sum, w0: s.w0, r, d }];
  }

  function dadaptAdam(w, g, s, t, h) {
    const [b1, b2] = h.betas, b3 = Math.sqrt(b2);
    let d = s.d;
    g = l2(w, g, h.weight_decay);
    const past = each((a, b, c) => (a * b) / (Math.sqrt(c) + h.eps),
      g, s.s, s.v);
    const r = b3 * s.r + (1 - b3) * d * h.lr * total((a) => a, past);
    const u = each((a) => d * h.lr * a, g);
    const sum = ema(s.s, u, b3), m = ema(s.m, u, b1);
    const v = ema(s.v, square(g), b2);
    w = each((a, p, q) => a - p / (Math.sqrt(q) + h.eps), w, m, v);
    d = grown(d, r, (1 - b3) * size1(sum));
    return [w, { m, v, s: sum, r, d }];
  }
  const initDadapt = (w, h) => ({ ...moments(w), s: zero(w), r: 0, d: h.d0 });

  const average = (y, z, b) => each((p, q) => (p - (1 - b) * q) / b, y, z);
  function averagedStep(y, u, s, lr, b) {
    const eta = Math.max(s.lr_max, lr), total = s.total + eta ** 2;
    const c = total > 0 ? eta ** 2 / total : 0;  // no rate yet
    const z = each((p, q) => p - lr * q, s.z, u);
    const x = each((p, q) => (1 - c) * p + c * q, average(y, s.z, b), z);
    const next = each((p, q) => (1 - b) * p + b * q, z, x);
    return [next, { z, lr_max: eta, total }];
  }
  function freeSgd(w, g, s, t, h) {
    return averagedStep(w, l2(w, g, h.weight_decay), s, h.lr, h.momentum);
  }
  function freeAdamw(w, g, s, t, h) {
    const [b1, b2] = h.betas, v = ema(s.v, square(g), b2);
    const c = 1 - b2 ** t;
    const u = each((a, b) => a / (Math.sqrt(b / c) + h.eps), g, v);
    const [next, more] = averagedStep(
      w, l2(w, u, h.weight_decay), s, h.lr, b1);
    return [next, { ...more, v }];
  }
  const initFree = (w) => ({ z: w.slice(), lr_max: 0, total: 0 });

  // A second gradient at a point nearby, then plain descent with it.
  function sam(w, g, s, t, h, at) {
    const n = norm(g);
    const there = each((a, b) => a + (h.rho * b) / n, w, g);
    return sgd(w, at(n > 0 ? there : w).g, s, t, h);
  }
  function asam(w, g, s, t, h, at) {
    const T = each((a) => Math.abs(a) + 0.01, w);
    const n = norm(each((a, b) => a * b, T, g));
    const there = each((a, b, c) => a + (h.rho * c ** 2 * b) / n, w, g, T);
    return sgd(w, at(n > 0 ? there : w).g, s, t, h);
  }

  // A parabola along the direction of descent.
  function pal(w, g, s, t, h, at) {
    const q = s.q ? each((a, b) => h.beta * a + b, s.q, g) : g;
    const n = norm(q) > 0 ? norm(q) : 1;
    const d = each((a) => -a / n, q), b = dot(g, d);
    const l0 = at(w).loss, lm = at(each((x, y) => x + h.lr * y, w, d)).loss;
    const a = (lm - l0 - b * h.lr) / h.lr ** 2;
    let far = b < 0 ? (a > 0 ? (-h.alpha * b) / (2 * a) : h.lr) : 0;
    if (Number.isNaN(lm) && b < 0) far = NaN;
    far = Math.min(far, h.s_max);
    return [each((x, y) => x + far * y, w, d), { q }];
  }

  const rates = { lr: 1e-3, betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0 };
  const plain = {
    lr: 1e-3, momentum: 0, dampening: 0, weight_decay: 0, nesterov: false,
  };
  const table = {};
  function rule(name, label, update, init, defaults, more) {
    const point = (w) => w;
    table[name] = { name, label, update, init, defaults, point, ...more };
  }
  rule("sgd", "SGD", sgd, initSgd, plain);
  rule("momentum", "Heavy ball", sgd, initSgd,
    { ...plain, momentum: 0.9 });
  rule("nesterov", "Nesterov", sgd, initSgd,
    { ...plain, momentum: 0.9, nesterov: true });
  rule("adagrad", "AdaGrad", adagrad, (w) => ({ G: zero(w) }),
    { lr: 1e-2, lr_decay: 0, weight_decay: 0, eps: 1e-10 });
  rule("rmsprop", "RMSProp", rmsprop, initRms,
    { lr: 1e-2, alpha: 0.99, eps: 1e-8, weight_decay: 0, momentum: 0 });
  rule("adam", "Adam", adam, initAdam, { ...rates, amsgrad: false });
  rule("adamw", "AdamW", adamw, initAdam,
    { ...rates, weight_decay: 1e-2, amsgrad: false });
  rule("amsgrad", "AMSGrad", adam, initAdam, { ...rates, amsgrad: true });
  rule("nadam", "NAdam", nadam, (w) => ({ ...moments(w), p: 1 }),
    { ...rates, lr: 2e-3, momentum_decay: 4e-3 });
  rule("radam", "RAdam", radam, moments, rates);
  rule("adabelief", "AdaBelief", adabelief,
    (w) => ({ m: zero(w), s: zero(w) }), { ...rates, eps: 1e-16 });
  rule("lion", "Lion", lion, (w) => ({ m: zero(w) }),
    { lr: 1e-4, betas: [0.9, 0.99], weight_decay: 0 });
  rule("signsgd", "signSGD", lion, (w) => ({ m: zero(w) }),
    { lr: 1e-4, betas: [0, 0], weight_decay: 0 });
  rule("ademamix", "AdEMAMix", ademamix,
    (w) => ({ ...moments(w), s: zero(w) }),
    { ...rates, betas: [0.9, 0.999, 0.9999], alpha: 2, beta3_warmup: 0,
      alpha_warmup: 0 });
  rule("adopt", "ADOPT", adopt, moments,
    { ...rates, betas: [0.9, 0.9999], eps: 1e-6,
      decoupled_weight_decay: false, clip: true });
  rule("mars", "MARS", mars, initMars,
    { ...rates, lr: 3e-3, betas: [0.95, 0.99], gamma: 0.025 });
  rule("cautious_adamw", "Cautious AdamW", cautiousAdamw, initAdam,
    { ...rates, weight_decay: 1e-2, amsgrad: false });
  rule("adafactor", "AdaFactor", adafactor, (w) => ({ V: zero(w) }),
    { lr: 1e-2, beta2_decay: -0.8, eps: [null, 1e-3], d: 1, weight_decay: 0 });
  rule("lars", "LARS", lars, (w) => ({ v: zero(w) }),
    { lr: 0.1, momentum: 0.9, weight_decay: 1e-4, trust: 1e-3 });
  rule("lamb", "LAMB", lamb, moments,
    { ...rates, eps: 1e-6, weight_decay: 0.01 });
  rule("sophia", "Sophia", sophia, (w) => ({ m: zero(w), h: zero(w) }),
    { lr: 1e-3, betas: [0.96, 0.99], gamma: 0.01, eps: 1e-12,
      weight_decay: 0.2, k: 10 });
  rule("shampoo", "Shampoo", shampoo, (w, h) => ({ L0: [h.eps, 0, h.eps] }),
    { lr: 0.1, eps: 1e-6, weight_decay: 0 });
  rule("prodigy", "Prodigy", prodigy,
    (w, h) => ({ ...initDadapt(w, h), w0: w.slice() }),
    { ...rates, lr: 1, d0: 1e-6 });
  rule("dadapt_adam", "D-Adapt Adam", dadaptAdam, initDadapt,
    { ...rates, lr: 1, d0: 1e-6 });
  rule("schedule_free_sgd", "Schedule-Free SGD", freeSgd, initFree,
    { lr: 1, momentum: 0.9, weight_decay: 0 },
    { point: (w, s, h) => average(w, s.z, h.momentum) });
  rule("schedule_free_adamw", "Schedule-Free AdamW", freeAdamw,
    (w) => ({ ...initFree(w), v: zero(w) }), { ...rates, lr: 2.5e-3 },
    { point: (w, s, h) => average(w, s.z, h.betas[0]) });
  rule("sam", "SAM", sam, initSgd, { ...plain, rho: 0.05 });
  rule("asam", "ASAM", asam, initSgd, { ...plain, rho: 0.5 });
  rule("pal", "PAL", pal, () => ({}),
    { lr: 1, alpha: 1 / 0.6, beta: 0.4, s_max: 3.16 });

  // A walk that goes on step by step: points and losses, the start first.
  // It ends early where the loss or a weight is no number or beyond all
  // bounds; over then says when and why.
  function walker(name, surface, start, steps, settings, seed) {
    const r = table[name], h = { ...r.defaults, ...settings };
    let w = [...start], state = r.init(w, h), t = 0;
    const p0 = r.point(w, state, h);
    const path = {
      points: [p0], losses: [surface.loss(p0)], over: null, done: false,
    };
    path.step = function () {
      if (path.done || ++t > steps) return !(path.done = true);
      const at = surface.batch(t, seed || 0);
      [w, state] = r.update(w, at(w).g, state, t, h, at);
      const p = r.point(w, state, h), loss = surface.loss(p);
      if (![p[0], p[1], loss].every(Number.isFinite) || norm(p) > 1e12) {
        const lost = surface.outside && surface.outside(p);
        path.over = { step: t, why: lost ? "left" : "diverged" };
        path.done = true;
        return false;
      }
      path.points.push(p);
      path.losses.push(loss);
      return true;
    };
    return path;
  }
  function walk(...given) {
    const path = walker(...given);
    while (path.step());
    return path;
  }

  // The best of 13 rates, two to a decade: the lowest last loss among those
  // that never rise above the start. PAL's rate is a measuring distance:
  // near 0 its parabola is lost in rounding.
  const rateList = Array.from({ length: 13 }, (_, k) =>
    Number((10 ** (-5 + k / 2)).toPrecision(2)));
  function tune(name, surface, start, steps, settings, seed) {
    let best = null;
    rateList.filter((lr) => name !== "pal" || lr > 0.05).forEach((lr) => {
      const got = walk(name, surface, start, steps, { ...settings, lr }, seed);
      const top = got.over ? Infinity : Math.max(...got.losses);
      const above = Math.max(0, top - got.losses[0]);
      const loss = got.losses[got.losses.length - 1];
      if (!best || above < best.above ||
          (above === best.above && loss < best.loss)) {
        best = { lr, loss, above };
      }
    });
    return best;
  }

  const words = { each, ema, l2, norm, rms, shrink, square };
  return { table, walker, walk, tune, rateList, words };
})();
