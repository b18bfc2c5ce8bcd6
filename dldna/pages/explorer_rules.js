// What the explorer computes: tiles, values between them, scales, links.
const dldnaExplorer = (function () {
  "use strict";
  const SIDE = 32, WIDEST = 400;

  // Numbers as they travel: float32, little-endian, in base64.
  function unpacked(text) {
    const raw = atob(text), bytes = new Uint8Array(raw.length);
    for (let k = 0; k < raw.length; k++) bytes[k] = raw.charCodeAt(k);
    return new Float32Array(bytes.buffer);
  }

  // The coarsest level whose tiles are no wider than so many pixels.
  function levelFor(view, pixels, extent, low, high) {
    const level = Math.ceil(Math.log2(
      pixels * 2 * extent / (view.span * WIDEST)) - 1e-9);
    return Math.min(high, Math.max(low, level));
  }

  // The first and last tile of a level that a window touches, both ways.
  function tilesIn(view, level, extent) {
    const width = 2 * extent / 2 ** level, half = view.span / 2;
    const reach = v => [Math.floor((v - half + extent) / width),
      Math.ceil((v + half + extent) / width - 1e-9) - 1];
    const [i0, i1] = reach(view.x), [j0, j1] = reach(view.y);
    return { i0, i1: Math.max(i0, i1), j0, j1: Math.max(j0, j1), width };
  }

  // Parts still to be asked for: a coarse stage of all tiles before the next
  // one, the middle first.
  function wanted(view, level, extent, store, strides) {
    const box = tilesIn(view, level, extent), found = [];
    for (let i = box.i0; i <= box.i1; i++) {
      for (let j = box.j0; j <= box.j1; j++) {
        const stride = strides.find(s => !store.whole(level, i, j, s));
        if (!stride) continue;
        const x = (i + 0.5) * box.width - extent - view.x;
        const y = (j + 0.5) * box.width - extent - view.y;
        found.push({ level, i, j, stride, far: x * x + y * y,
          first: store.first(level, i, j, stride) });
      }
    }
    return found.sort((a, b) => b.stride - a.stride || a.far - b.far);
  }

  // The tiles of one plane. A tile's numbers: row i along the first
  // direction. A stage has every fourth point, say, row by row.
  function tileStore() {
    const tiles = new Map();
    const key = (level, i, j) => level + "/" + i + "/" + j;
    const get = (level, i, j) => tiles.get(key(level, i, j));
    const first = (tile, stride) => (tile && tile.firsts.get(stride)) || 0;
    const whole = (tile, stride) => [stride, 1].some(s =>
      first(tile, s) === (SIDE / s) ** 2);
    return {
      size: () => tiles.size,
      has: (level, p, q) => tiles.has(key(level, Math.floor(p / SIDE),
        Math.floor(q / SIDE))),
      first: (level, i, j, stride) => first(get(level, i, j), stride),
      whole: (level, i, j, stride) => whole(get(level, i, j), stride),
      put(level, i, j, stride, from, z) {
        const name = key(level, i, j);
        if (!tiles.has(name)) {
          tiles.set(name, { z: new Float64Array(SIDE * SIDE),
            known: new Uint8Array(SIDE * SIDE), firsts: new Map() });
        }
        const tile = tiles.get(name), across = SIDE / stride;
        z.forEach((v, k) => {
          const row = Math.floor((from + k) / across);
          const at = stride * (SIDE * row + (from + k) % across);
          tile.z[at] = v;
          tile.known[at] = 1;
        });
        tile.firsts.set(stride, from + z.length);
      },
      // The value at a point of a level's lattice; undefined: not known.
      at(level, p, q) {
        if (!Number.isInteger(p) || !Number.isInteger(q)) return undefined;
        const i = Math.floor(p / SIDE), j = Math.floor(q / SIDE);
        const tile = get(level, i, j);
        if (!tile) return undefined;
        const at = SIDE * (p - SIDE * i) + q - SIDE * j;
        return tile.known[at] ? tile.z[at] : undefined;
      },
    };
  }

  // Between the four points around, on a lattice of a stride: the mean of
  // those that are known, and the share of the weights that these have.
  function bilinear(store, level, p, q, stride) {
    const p0 = Math.floor(p / stride) * stride;
    const q0 = Math.floor(q / stride) * stride;
    const s = (p - p0) / stride, t = (q - q0) / stride;
    let sum = 0, weight = 0;
    for (const [dp, dq] of [[0, 0], [1, 0], [0, 1], [1, 1]]) {
      const w = (dp ? s : 1 - s) * (dq ? t : 1 - t);
      if (w === 0) continue;
      const v = store.at(level, p0 + dp * stride, q0 + dq * stride);
      if (v === undefined) continue;
      sum += w * v;
      weight += w;
    }
    return [sum / weight, weight];
  }

  // The finest value that is known at a place of a level's lattice: between
  // known points, or else beside those that say most.
  function sample(store, level, p, q, lowest) {
    let most = 0, best;
    for (let l = level; l >= lowest; l--, p /= 2, q /= 2) {
      if (!store.has(l, p, q)) continue;
      for (const stride of [1, 4, 8, 16]) {
        const [v, weight] = bilinear(store, l, p, q, stride);
        if (weight > 1 - 1e-9) return v;
        if (weight > most) [best, most] = [v, weight];
      }
    }
    return best;
  }

  // A place of the plane on a level's lattice.
  function lattice(a, level, extent) {
    return (a / extent + 1) * (SIDE / 2) * 2 ** level;
  }

  function valueAt(store, level, a, b, extent, lowest) {
    return sample(store, level, lattice(a, level, extent),
      lattice(b, level, extent), lowest);
  }

  // A cut through what is known: distances in parameter space, and losses.
  function cutBetween(store, plane, level, extent, lowest, ends, points) {
    const [[a, b], [c, d]] = ends, [l1, l2] = plane.lengths;
    const long = Math.sqrt(((c - a) * l1) ** 2 + ((d - b) * l2) ** 2
      + 2 * (c - a) * (d - b) * plane.product);
    const t = Array.from({ length: points }, (_, k) => k / (points - 1));
    return { distances: t.map(s => s * long), losses: t.map(s => {
      const v = valueAt(store, level, a + s * (c - a), b + s * (d - b),
        extent, lowest);
      return v === undefined ? NaN : v;
    }) };
  }

  // All points of a window as one picture: rows along the second direction,
  // from below. NaN where nothing is known, and where the loss is none. The
  // last row and column are of the next tiles, or as those before them.
  function mosaic(store, view, level, extent, lowest) {
    const box = tilesIn(view, level, extent);
    const w = SIDE * (box.i1 - box.i0 + 1) + 1;
    const h = SIDE * (box.j1 - box.j0 + 1) + 1;
    const rows = [];
    let known = 0;
    for (let r = 0; r < h; r++) {
      const row = new Float64Array(w);
      for (let c = 0; c < w; c++) {
        const p = SIDE * box.i0 + c, q = SIDE * box.j0 + r;
        let v = store.at(level, p, q);
        if (v === undefined) v = sample(store, level, p, q, lowest);
        if (v === undefined && c === w - 1) v = row[c - 1];
        if (v === undefined && r === h - 1) v = rows[r - 1][c];
        if (v === undefined) v = NaN;
        else known++;
        row[c] = Number.isFinite(v) ? v : NaN;
      }
      rows.push(row);
    }
    const step = box.width / SIDE;
    return { rows, w, h, known, step, a0: box.i0 * box.width - extent,
      b0: box.j0 * box.width - extent };
  }

  // Losses as heights from 0 to 1, and in words how.
  function scaleOf(values, kind, say) {
    const flat = Float64Array.from(values).filter(Number.isFinite).sort();
    const scale = dldnaPage.scale(flat, kind);
    const words = { log: scale.log ? "Log scale"
      : "Linear (no loss is above 0, so no logarithm)",
    clip: "Clipped: a tenth of the points lie above" }[kind] || "Linear";
    return { ...scale,
      words: words + ", " + say(scale.low) + " to " + say(scale.high) };
  }

  const NUMBERS = { x: [-1e9, 1e9], y: [-1e9, 1e9], span: [1e-12, 1e9],
    seed: [0, 2 ** 31 - 1] };

  // A view in an address, and back; what makes no sense there is left out.
  function toLink(view) {
    return "#" + dldnaPage.written(Object.fromEntries(Object.entries(view)
      .map(([k, v]) => [k, typeof v === "number"
        ? String(Number(v.toPrecision(12))) : v])));
  }
  function fromLink(text, choices) {
    const got = dldnaPage.read(text.replace(/^#/, "")), found = {};
    for (const [name, [low, high]] of Object.entries(NUMBERS)) {
      const v = dldnaPage.within(got[name], low, high, undefined);
      const whole = name !== "seed" || Number.isInteger(v);
      if (v !== undefined && whole) found[name] = v;
    }
    for (const [name, list] of Object.entries(choices)) {
      const word = dldnaPage.oneOf(got[name], list, undefined);
      if (word !== undefined) found[name] = word;
    }
    return found;
  }

  return { cutBetween, fromLink, levelFor, mosaic, sample, scaleOf, tileStore,
    tilesIn, toLink, unpacked, valueAt, wanted };
})();
