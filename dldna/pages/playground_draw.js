// The playground's pictures: paths on the map, and the losses by step.
function dldnaPlayDraw(map, curves) {
  "use strict";
  const { line, mark, ticks } = dldnaDrawing;
  let background = null; // the surface without the paths
  const PAD = { left: 44, right: 10, top: 8, bottom: 24 };
  function sized(canvas) {
    const w = canvas.clientWidth, h = canvas.clientHeight;
    const [pen, changed] = dldnaPage.sharp(canvas, w, h);
    if (changed && canvas === map) background = null;
    pen.font = "12px sans-serif";
    pen.lineJoin = "round";
    return [pen, w, h];
  }
  const frameOf = (g, w, h) => dldnaDrawing.frameOf(g.extent, w, h, PAD);
  const bounded = (v) => Math.min(Math.max(v, -1e4), 1e4);

  function drawMap({ g, names, rows, chosen, walks, start, steps, colours,
    at }) {
    const [pen, w, h] = sized(map), f = frameOf(g, w, h);
    if (rows.done && !background) {
      background = dldnaDrawing.relief(w, h, { left: PAD.left, top: PAD.top,
        w: f.iw, h: f.ih }, rows.z, colours);
    }
    pen.clearRect(0, 0, w, h);
    if (background) pen.drawImage(background, 0, 0, w, h);
    pen.fillStyle = pen.strokeStyle = colours.ink;
    const [a0, a1, b0, b1] = g.extent;
    pen.lineWidth = 1;
    pen.textAlign = "center";
    ticks(a0, a1, 6).forEach((v) => pen.fillText(v, f.x(v), h - 8));
    pen.textAlign = "right";
    ticks(b0, b1, 6).forEach((v) => pen.fillText(v, PAD.left - 6, f.y(v) + 4));
    pen.strokeRect(PAD.left, PAD.top, f.iw, f.ih);
    pen.fillText(names[0], PAD.left + f.iw - 6, PAD.top + f.ih - 6);
    pen.textAlign = "left";
    pen.fillText(names[1], PAD.left + 6, PAD.top + 15);
    pen.save();
    pen.beginPath();
    pen.rect(PAD.left, PAD.top, f.iw, f.ih);
    pen.clip();
    (g.minima || []).forEach(([a, b]) => {
      pen.lineWidth = 1.5;
      pen.strokeStyle = colours.ink;
      mark(pen, "plus", f.x(a), f.y(b), 5);
    });
    chosen.forEach((name, i) => {
      const dots = walks[name].points.slice(0, at + 1).map((p) =>
        [bounded(f.x(p[0])), bounded(f.y(p[1]))]);
      line(pen, colours, dots, i, Math.max(1, Math.round(steps / 12)));
    });
    const x = f.x(start[0]), y = f.y(start[1]);
    pen.lineWidth = 6;
    pen.strokeStyle = colours.paper;
    pen.beginPath();
    pen.arc(x, y, 9, 0, 7);
    pen.stroke();
    pen.lineWidth = 3;
    pen.strokeStyle = colours.ink;
    pen.stroke();
    pen.restore();
  }

  function drawCurves({ g, chosen, walks, steps, colours, at }) {
    const [pen, w, h] = sized(curves);
    pen.clearRect(0, 0, w, h);
    const floor = g.lowest || 0;
    const height = (v) => v - floor;
    const all = chosen.flatMap((n) => walks[n].losses.map(height));
    const logs = floor !== null && all.every((v) => v > -1e-9);
    const first = Math.max(...chosen.map((n) => walks[n].losses[0]), floor);
    let low, high;
    if (logs) {
      const above = all.filter((v) => v > 0);
      low = Math.max(Math.min(...above, 1e300), 1e-16);
      high = Math.min(Math.max(...above, 2 * low), 1e3 * height(first) + low);
      low = Math.log10(Math.min(low, high / 10));
      high = Math.log10(high);
    } else {
      low = Math.max(Math.min(...all), height(first) - 20);
      high = Math.min(Math.max(...all), height(first) + 20);
      if (high - low < 1e-9) high = low + 1;
    }
    const span = high - low || 1;
    low -= 0.04 * span;
    high += 0.04 * span;
    const iw = w - PAD.left - PAD.right - 8, ih = h - PAD.top - 42;
    const X = (t) => PAD.left + 8 + (t / steps) * iw;
    const Y = (v) => {
      const u = logs ? Math.log10(Math.max(v, 1e-17)) : v;
      return bounded(PAD.top + ((high - u) / (high - low)) * ih);
    };
    pen.fillStyle = colours.ink;
    pen.strokeStyle = colours.line;
    pen.lineWidth = 0.5;
    pen.textAlign = "right";
    const decades = ticks(low, high, 6).filter((v) => Number.isInteger(v));
    const marks = !logs ? ticks(low, high, 6) : decades.length > 2 ? decades
      : [1, 2, 5].flatMap((m) => Array.from({ length: 9 }, (_, k) =>
        Math.log10(m) + Math.floor(low) + k))
        .filter((v) => v >= low && v <= high);
    marks.forEach((v) => {
      const y = PAD.top + ((high - v) / (high - low)) * ih;
      pen.beginPath();
      pen.moveTo(PAD.left + 8, y);
      pen.lineTo(w - PAD.right, y);
      pen.stroke();
      const power = Number((10 ** v).toPrecision(1));
      pen.fillText(!logs ? v : Math.abs(v) < 3 ? power
        : power.toExponential().replace("+", ""), PAD.left + 3, y + 4);
    });
    pen.textAlign = "center";
    ticks(0, steps, 5).forEach((v) => pen.fillText(v, X(v), h - 24));
    const what = floor ? "loss above the lowest minimum" : "loss";
    pen.fillText(what + " by step" + (logs ? ", logarithmic" : ""),
      PAD.left + iw / 2, h - 7);
    pen.save();
    pen.beginPath();
    pen.rect(PAD.left + 1, 0, w - PAD.left, PAD.top + ih + 4);
    pen.clip();
    chosen.forEach((name, i) => {
      const dots = walks[name].losses.slice(0, at + 1)
        .map((v, t) => [X(t), Y(height(v))]);
      line(pen, colours, dots, i, Math.max(1, Math.round(steps / 6)));
    });
    pen.strokeStyle = colours.ink;
    pen.lineWidth = 1;
    pen.beginPath();
    pen.moveTo(X(at), PAD.top);
    pen.lineTo(X(at), PAD.top + ih);
    pen.stroke();
    pen.restore();
  }

  return {
    draw(look) {
      drawMap(look);
      drawCurves(look);
    },
    frame: (g) => frameOf(g, map.clientWidth, map.clientHeight),
    stale() { background = null; },
  };
}
