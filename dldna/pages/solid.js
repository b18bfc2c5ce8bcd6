// How the viewer and the explorer draw a surface in three dimensions, and
// what lies on its colours.
const dldnaSolid = (function () {
  "use strict";
  const shade = (t) => "rgb(" + dldnaPage.colour(t).join() + ")";

  // From x and y around 0 and a height from 0 to 1 to a place on w x h pixels
  // and how near it is. Angles in radians; one unit is so many pixels.
  function seen(w, h, unit, turn, tilt) {
    const ct = Math.cos(turn), st = Math.sin(turn);
    const cl = Math.cos(tilt), sl = Math.sin(tilt);
    return (x, y, t) => {
      const u = x * ct - y * st, v = x * st + y * ct, z = t - 0.5;
      return [w / 2 + unit * u, h / 2 + unit * (v * sl - z * cl),
        v * cl + z * sl];
    };
  }

  // Cells of four places each, [places, height], far ones first.
  function paint(pen, cells) {
    const near = (p) => p.reduce((sum, q) => sum + q[2], 0);
    const sorted = cells.map(([p, t]) => [near(p), p, t])
      .sort((a, b) => a[0] - b[0]);
    pen.lineWidth = 0.6;
    for (const [, p, t] of sorted) {
      pen.fillStyle = pen.strokeStyle = shade(t);
      pen.beginPath();
      p.forEach((q, k) => pen[k ? "lineTo" : "moveTo"](q[0], q[1]));
      pen.closePath();
      pen.fill();
      pen.stroke();
    }
  }

  // A black line on a wider white one is seen on every colour.
  function outlined(pen, wide, width, lines) {
    for (const [ink, w] of [["#fff", wide], ["#000", width]]) {
      pen.strokeStyle = ink;
      pen.lineWidth = w;
      pen.beginPath();
      lines();
      pen.stroke();
    }
  }

  return { outlined, paint, seen, shade };
})();
