// What the viewer of a surface computes: heights, the point that is read,
// and its settings as words of an address.
const dldnaViewer = (function () {
  "use strict";
  const SCALES = ["linear", "log", "clip"];
  const START = { turn: -40, tilt: 34, zoom: 1 }; // degrees, times
  const TILT = [3, 89], ZOOM = [0.3, 8];
  const clamp = (v, [low, high]) => Math.min(high, Math.max(low, v));

  const many = (n, one, more) => n + " " + (n === 1 ? one : more);

  // Values as heights from 0 to 1, a height's value, and in words what was
  // done. rows[i][j] is a number, or a word where there is none.
  function scaled(rows, evaluated, kind, say) {
    const flat = [];
    let bad = 0, missing = 0;
    rows.forEach((row, i) => row.forEach((v, j) => {
      if (!evaluated[i][j]) missing += 1;
      else if (typeof v === "number") flat.push(v);
      else bad += 1;
    }));
    flat.sort((a, b) => a - b);
    let low = flat.length ? flat[0] : 0;
    let high = flat.length ? flat[flat.length - 1] : 1;
    let words = "Linear scale", log = false;
    if (kind === "log") {
      const first = flat.findIndex((v) => v > 0);
      if (first >= 0) {
        [low, log, words] = [flat[first], true, "Log scale"];
        if (first) {
          words += ", " + many(first, "value", "values") +
            " of 0 or less at its foot";
        }
      } else words = "Linear scale (no value is above 0, so no logarithm)";
    } else if (kind === "clip") {
      const cut = flat[Math.floor(0.9 * (flat.length - 1))];
      const above = flat.filter((v) => v > cut).length;
      if (cut > low) high = cut;
      words = `Clipped at ${say(high)}, where ` +
        many(above, "value above stands", "values above stand");
    }
    if (!(high > low)) high = low + Math.max(Math.abs(low), 1) * 1e-9;
    words += `, from ${say(low)} to ${say(high)}.`;
    if (bad) {
      words += ` ${many(bad, "point is", "points are")} NaN or infinite (grey).`;
    }
    if (missing) {
      words += ` ${many(missing, "point", "points")} not evaluated (crossed).`;
    }
    const span = log ? Math.log(high / low) : high - low;
    const height = (v) => (typeof v !== "number" ? NaN : clamp(
      (log ? Math.log(Math.max(v, low) / low) : v - low) / span, [0, 1]));
    const at = (t) => (log ? low * Math.exp(t * span) : low + t * span);
    return { low, high, log, height, at, words };
  }

  // A wide range asks for logarithms, as elsewhere in the package.
  function usual(rows) {
    let low = Infinity, high = -Infinity;
    rows.forEach((row) => row.forEach((v) => {
      if (typeof v !== "number") return;
      low = Math.min(low, v);
      high = Math.max(high, v);
    }));
    return low > 0 && high / low > 20 ? "log" : "linear";
  }

  const nearest = (axis, v) => axis.reduce((best, a, k) =>
    (Math.abs(a - v) < Math.abs(axis[best] - v) ? k : best), 0);

  // Settings: { scale, show, step, turn, tilt, zoom, spot }. The checkpoint
  // is counted from 1 as in words, the point is told by its coordinates.
  function shown(s, alphas, betas) {
    const [i, j] = s.spot || [];
    return { scale: s.scale, show: s.show,
      checkpoint: s.step < 0 ? undefined : s.step + 1,
      turn: Math.round(s.turn), tilt: Math.round(s.tilt),
      zoom: dldnaPage.number(s.zoom, 3, 2), alpha: alphas[i],
      beta: betas[j] };
  }
  // The same back; what makes no sense leaves what there was before.
  function taken(got, s, alphas, betas, layers, checkpoints) {
    const { within } = dldnaPage;
    const on = (text, axis) => {
      const v = within(text, Math.min(...axis), Math.max(...axis), undefined);
      return v === undefined ? -1 : nearest(axis, v);
    };
    const spot = [on(got.alpha, alphas), on(got.beta, betas)];
    return { scale: dldnaPage.oneOf(got.scale, SCALES, s.scale),
      show: dldnaPage.oneOf(got.show, layers, s.show),
      step: Math.round(within(got.checkpoint, 1, checkpoints, s.step + 1)) - 1,
      turn: within(got.turn, -180, 180, s.turn),
      tilt: within(got.tilt, ...TILT, s.tilt),
      zoom: within(got.zoom, ...ZOOM, s.zoom),
      spot: Math.min(...spot) < 0 ? s.spot : spot };
  }

  // Turned by so many degrees, and nearer by a factor, within bounds.
  function moved(s, across, up, nearer) {
    const turn = s.turn - across;
    return { turn: turn - 360 * Math.round(turn / 360),
      tilt: clamp(s.tilt + up, TILT), zoom: clamp(s.zoom * nearer, ZOOM) };
  }

  return { SCALES, START, clamp, moved, nearest, scaled, shown, taken, usual };
})();
