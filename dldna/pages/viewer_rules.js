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
    const scale = dldnaPage.scale(flat, kind);
    let words = "Linear scale";
    if (scale.log) {
      const first = flat.findIndex((v) => v > 0);
      words = "Log scale";
      if (first) {
        words += ", " + many(first, "value", "values") +
          " of 0 or less at its foot";
      }
    } else if (kind === "log") {
      words = "Linear scale (no value is above 0, so no logarithm)";
    } else if (kind === "clip") {
      const above = flat.filter((v) => v > scale.cut).length;
      words = `Clipped at ${say(scale.top)}, where ` +
        many(above, "value above stands", "values above stand");
    }
    words += `, from ${say(scale.low)} to ${say(scale.high)}.`;
    if (bad) {
      words += ` ${many(bad, "point is", "points are")} NaN or infinite (grey).`;
    }
    if (missing) {
      words += ` ${many(missing, "point", "points")} not evaluated (crossed).`;
    }
    return { ...scale, words };
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

  return { SCALES, START, clamp, moved, nearest, scaled, shown, taken };
})();
