// Random numbers that Python repeats: mulberry32 of a seed and a step.
const dldnaRandom = (function () {
  "use strict";

  function random(seed, t) {
    let a = (Math.imul(seed + 1, 0x9e3779b1) + Math.imul(t, 0x85ebca6b)) | 0;
    return function () {
      a = (a + 0x6d2b79f5) | 0;
      let z = Math.imul(a ^ (a >>> 15), 1 | a);
      z = (z + Math.imul(z ^ (z >>> 7), 61 | z)) ^ z;
      return ((z ^ (z >>> 14)) >>> 0) / 4294967296;
    };
  }

  // Box and Muller: two normal numbers of a source of uniform ones.
  function pair(draw) {
    const r = Math.sqrt(-2 * Math.log(1 - draw())), a = 2 * Math.PI * draw();
    return [r * Math.cos(a), r * Math.sin(a)];
  }
  const normals = (seed, t) => pair(random(seed, t));

  // So many normal numbers.
  function gaussian(count, draw) {
    const out = new Float64Array(count);
    for (let i = 0; i < count; i += 2) {
      const two = pair(draw);
      out[i] = two[0];
      if (i + 1 < count) out[i + 1] = two[1];
    }
    return out;
  }

  // Indices below n, drawn with replacement.
  function sample(n, size, seed, t) {
    const draw = random(seed, t);
    return Array.from({ length: size }, () => Math.floor(draw() * n));
  }

  // All indices below n, each once.
  function shuffled(n, draw) {
    const list = Array.from({ length: n }, (_, i) => i);
    for (let i = n - 1; i > 0; i--) {
      const j = Math.floor(draw() * (i + 1));
      [list[i], list[j]] = [list[j], list[i]];
    }
    return list;
  }

  return { gaussian, normals, random, sample, shuffled };
})();
