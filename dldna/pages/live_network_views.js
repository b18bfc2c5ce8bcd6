// Pictures of a run: the plane around the weights, and what the network says
// of each place among its inputs.
const dldnaViews = (function () {
  "use strict";
  const PAD = { left: 46, right: 10, top: 8, bottom: 24 };

  const frameOf = (extent, w, h) => dldnaDrawing.frameOf(extent, w, h, PAD);

  // Draws the plane and the way on it; gives back the relief, to be used
  // again until there is a new one.
  function plane(canvas, colours, run, relief) {
    const w = canvas.clientWidth, h = canvas.clientHeight;
    const { window: [a0, a1, b0, b1], z, way } = run.look;
    const [pen, changed] = dldnaPage.sharp(canvas, w, h);
    const f = frameOf(run.look.window, w, h);
    const kept = relief && !changed ? relief : dldnaDrawing.relief(w, h,
      { left: PAD.left, top: PAD.top, w: f.iw, h: f.ih }, z, colours);
    pen.clearRect(0, 0, w, h);
    pen.drawImage(kept, 0, 0, w, h);
    pen.font = "12px sans-serif";
    pen.fillStyle = pen.strokeStyle = colours.ink;
    pen.textAlign = "center";
    dldnaDrawing.ticks(a0, a1, 5).forEach((v) =>
      pen.fillText(v, f.x(v), h - 8));
    pen.textAlign = "right";
    dldnaDrawing.ticks(b0, b1, 5).forEach((v) =>
      pen.fillText(v, PAD.left - 6, f.y(v) + 4));
    pen.strokeRect(PAD.left, PAD.top, f.iw, f.ih);
    pen.save();
    pen.beginPath();
    pen.rect(PAD.left, PAD.top, f.iw, f.ih);
    pen.clip();
    const dots = [...way, [0, 0], run.shadow().at]
      .map(([a, b]) => [f.x(a), f.y(b)]);
    dldnaDrawing.line(pen, colours, dots, 1, 1e9);
    pen.restore();
    return kept;
  }

  // Over the square of its two inputs: each class in its colour, as strong
  // as the network is sure; and the training points.
  function answers(canvas, colours, { data, model, w }) {
    const wide = canvas.clientWidth, high = canvas.clientHeight, n = 32;
    const side = n * Math.floor(Math.min(wide, high) / n), cell = side / n;
    const left = Math.floor((wide - side) / 2);
    const [pen] = dldnaPage.sharp(canvas, wide, high);
    pen.clearRect(0, 0, wide, high);
    const R = Math.max(...data.train.x.map(Math.abs)) * 1.05;
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < n; j++) {
        const x = [(2 * (j + 0.5) / n - 1) * R, (1 - 2 * (i + 0.5) / n) * R];
        model.answer(w, x).forEach((v, k) => {
          pen.globalAlpha = Number.isFinite(v) ? 0.6 * v : 0;
          pen.fillStyle = colours[k];
          pen.fillRect(left + j * cell, i * cell, cell, cell);
        });
      }
    }
    pen.globalAlpha = 1;
    data.train.y.forEach((label, i) => {
      const x = left + (data.train.x[2 * i] / R + 1) * side / 2;
      const y = (1 - data.train.x[2 * i + 1] / R) * side / 2;
      pen.fillStyle = pen.strokeStyle = colours[label];
      dldnaDrawing.mark(pen, dldnaDrawing.MARKS[label], x, y, 2.5);
    });
  }

  return { answers, frameOf, plane };
})();
