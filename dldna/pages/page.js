// What the widgets share: numbers in words, sharp canvases, contours.
const dldnaPage = (function () {
  "use strict";

  // A number in so many digits; very small and large ones as powers of 10.
  function number(v, digits, decimals) {
    const size = Math.abs(v);
    return size !== 0 && (size < 1e-3 || size >= 1e5)
      ? v.toExponential(decimals) : String(Number(v.toPrecision(digits)));
  }

  // The pen of a canvas that is w x h on the page and as sharp as the
  // screen, and whether it became another size, which empties it.
  function sharp(canvas, w, h) {
    const ratio = window.devicePixelRatio || 1;
    const wide = Math.round(w * ratio), high = Math.round(h * ratio);
    const changed = canvas.width !== wide || canvas.height !== high;
    if (changed) {
      canvas.width = wide;
      canvas.height = high;
    }
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    return [pen, changed];
  }

  // Marching squares: straight pieces within each cell of the rows u, from
  // px(column) and py(row). A cell with a corner that is no number has none.
  function contour(pen, u, level, px, py) {
    for (let i = 0; i + 1 < u.length; i++) {
      for (let j = 0; j + 1 < u[0].length; j++) {
        const p = u[i][j], q = u[i][j + 1];
        const r = u[i + 1][j + 1], t = u[i + 1][j];
        const under = (p < level) + (q < level) + (r < level) + (t < level);
        if (under === 0 || under === 4) continue;
        const v = [p, q, r, t];
        if (v.some(Number.isNaN)) continue;
        const c = [[j, i], [j + 1, i], [j + 1, i + 1], [j, i + 1]];
        const cuts = [];
        for (let k = 0; k < 4; k++) {
          const m = (k + 1) % 4;
          if (v[k] < level === v[m] < level) continue;
          const s = (level - v[k]) / (v[m] - v[k]);
          cuts.push([c[k][0] + s * (c[m][0] - c[k][0]),
            c[k][1] + s * (c[m][1] - c[k][1])]);
        }
        for (let k = 0; k + 1 < cuts.length; k += 2) {
          pen.moveTo(px(cuts[k][0]), py(cuts[k][1]));
          pen.lineTo(px(cuts[k + 1][0]), py(cuts[k + 1][1]));
        }
      }
    }
  }

  // A place between the numbers of a list: 1.5 is halfway from 1 to 2.
  function between(list, at) {
    const k = Math.min(Math.floor(at), list.length - 2);
    return list[k] + (at - k) * (list[k + 1] - list[k]);
  }

  // The colour of a height from 0 to 1; grey for what is no number.
  const RAMP = [[68, 1, 84], [65, 68, 135], [42, 120, 142], [34, 168, 132],
    [122, 209, 81], [253, 231, 37]];
  function colour(t) {
    if (!(t >= 0 && t <= 1)) return [128, 128, 128];
    const k = Math.min(Math.floor(t * 5), 4), s = t * 5 - k;
    return [0, 1, 2].map(c => RAMP[k][c] + s * (RAMP[k + 1][c] - RAMP[k][c]));
  }

  return { between, colour, contour, number, sharp };
})();
