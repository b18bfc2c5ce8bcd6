// How the explorer draws: maps, legend, cuts, and a surface in 3-D.
const dldnaExplorerDraw = (function () {
  "use strict";
  const WALK_INKS = ["#e69f00", "#56b4e9", "#d55e00", "#cc79a7", "#f0e442"];

  function sized(canvas, w, h) {
    canvas.style.width = w + "px";
    canvas.style.height = h + "px";
    const [pen] = dldnaPage.sharp(canvas, w, h);
    pen.clearRect(0, 0, w, h);
    pen.font = "13px sans-serif";
    return pen;
  }
  const inkOf = element => getComputedStyle(element).color;

  // Black on white, seen on every colour below.
  function twice(pen, width, path) {
    for (const [ink, w] of [["#fff", width + 2.5], ["#000", width]]) {
      pen.strokeStyle = ink;
      pen.lineWidth = w;
      pen.beginPath();
      path();
      pen.stroke();
    }
  }

  // A mosaic's colours, one dot for each point, and its contours.
  function painted(mosaic, scale, lines) {
    const canvas = document.createElement("canvas");
    canvas.width = mosaic.w;
    canvas.height = mosaic.h;
    const pen = canvas.getContext("2d");
    const dots = pen.createImageData(mosaic.w, mosaic.h);
    const heights = mosaic.rows.map(row =>
      row.map(v => (Number.isNaN(v) ? NaN : scale.height(v))));
    heights.forEach((row, r) => row.forEach((t, c) => {
      const k = 4 * ((mosaic.h - 1 - r) * mosaic.w + c);
      dots.data.set(dldnaPage.colour(t), k);
      dots.data[k + 3] = 255;
    }));
    pen.putImageData(dots, 0, 0);
    const contours = [];
    for (let k = 1; lines && k < 12; k++) {
      const path = new Path2D();
      dldnaPage.contour(path, heights, k / 12, c => c, r => r);
      contours.push([k / 12, path]);
    }
    return { canvas, contours, mosaic, heights };
  }

  // One map with all that lies on it. look: view, cursor, cut, walks, path.
  function map(canvas, size, picture, look) {
    const pen = sized(canvas, size, size), scale = size / look.view.span;
    const px = a => size / 2 + (a - look.view.x) * scale;
    const py = b => size / 2 - (b - look.view.y) * scale;
    pen.fillStyle = "#808080";
    pen.fillRect(0, 0, size, size);
    if (picture) {
      const m = picture.mosaic, one = m.step * scale;
      pen.imageSmoothingQuality = "high";
      pen.drawImage(picture.canvas, px(m.a0) - one / 2,
        py(m.b0) - (m.h - 0.5) * one, m.w * one, m.h * one);
      pen.save();
      pen.transform(one, 0, 0, -one, px(m.a0), py(m.b0));
      pen.lineWidth = 0.9 / one;
      for (const [height, path] of picture.contours) {
        pen.strokeStyle = height > 0.55 ? "#0009" : "#fffa";
        pen.stroke(path);
      }
      pen.restore();
    }
    twice(pen, 2, () => {
      pen.moveTo(px(0) - 6, py(0));
      pen.lineTo(px(0) + 6, py(0));
      pen.moveTo(px(0), py(0) - 6);
      pen.lineTo(px(0), py(0) + 6);
    });
    const line = points => points.forEach(([a, b], k) =>
      pen[k ? "lineTo" : "moveTo"](px(a), py(b)));
    if (look.path.length) twice(pen, 1.5, () => line(look.path));
    if (look.cut) twice(pen, 2, () => line(look.cut));
    look.walks.forEach(walk => drawWalk(pen, walk, line, px, py));
    const [x, y] = [px(look.cursor[0]), py(look.cursor[1])];
    twice(pen, 1.5, () => {
      pen.arc(x, y, 8, 0, 7);
      pen.moveTo(x - 13, y);
      pen.lineTo(x - 4, y);
      pen.moveTo(x + 4, y);
      pen.lineTo(x + 13, y);
    });
    axes(pen, size, look.view);
  }

  // A walk's shadow; the number at its end is its distance off the plane.
  function drawWalk(pen, walk, line, px, py) {
    const ink = WALK_INKS[walk.number % WALK_INKS.length];
    for (const [colour, width] of [["#000", 4], [ink, 2]]) {
      pen.strokeStyle = colour;
      pen.lineWidth = width;
      pen.setLineDash(walk.number < WALK_INKS.length ? [] : [6, 4]);
      pen.beginPath();
      line(walk.coords);
      pen.stroke();
    }
    pen.setLineDash([]);
    const end = walk.coords[walk.coords.length - 1];
    pen.fillStyle = ink;
    pen.strokeStyle = "#000";
    pen.beginPath();
    pen.arc(px(end[0]), py(end[1]), 5, 0, 7);
    pen.fill();
    pen.stroke();
    words(pen, walk.name + ", " + walk.away + " off", px(end[0]) + 8,
      py(end[1]) - 6, "left");
  }

  function words(pen, text, x, y, align) {
    pen.textAlign = align;
    pen.lineWidth = 3;
    pen.strokeStyle = "#000c";
    pen.strokeText(text, x, y);
    pen.fillStyle = "#fff";
    pen.fillText(text, x, y);
  }

  function axes(pen, size, view) {
    const say = v => dldnaPage.number(v, 4, 2), half = view.span / 2;
    words(pen, say(view.x - half), 4, size - 5, "left");
    words(pen, "α", size / 2, size - 5, "center");
    words(pen, say(view.x + half), size - 4, size - 5, "right");
    words(pen, say(view.y + half), 4, 14, "left");
    words(pen, "β", 4, size / 2, "left");
    words(pen, say(view.y - half), 4, size - 22, "left");
  }

  function legend(canvas, width, scale) {
    const pen = sized(canvas, width, 42), edge = 24, room = width - 2 * edge;
    for (let k = 0; k < room; k++) {
      pen.fillStyle = "rgb(" + dldnaPage.colour(k / room).join() + ")";
      pen.fillRect(edge + k, 2, 1.5, 16);
    }
    pen.fillStyle = inkOf(canvas);
    pen.textAlign = "center";
    const count = width > 500 ? 6 : 3;
    for (let k = 0; k <= count; k++) {
      pen.fillText(dldnaPage.number(scale.at(k / count), 3, 1),
        edge + room * k / count, 34);
    }
    canvas.setAttribute("aria-label", "Colours of the loss. " + scale.words);
  }

  // Losses along a cut, a line for each network.
  function cut(canvas, width, cuts) {
    const height = Math.round(Math.min(260, 0.6 * width));
    const pen = sized(canvas, width, height), left = 58, low = 34;
    const flat = cuts.flatMap(c => c.losses).filter(Number.isFinite);
    const least = Math.min(...flat), most = Math.max(...flat);
    const far = Math.max(...cuts.map(c => c.distances[c.distances.length - 1]));
    const x = d => left + d / (far || 1) * (width - left - 12);
    const y = v => 8 + (most - v) / (most - least || 1) * (height - low - 16);
    pen.fillStyle = pen.strokeStyle = inkOf(canvas);
    pen.textAlign = "right";
    for (const v of [least, most]) {
      pen.fillText(dldnaPage.number(v, 4, 2), left - 5, y(v) + 4);
    }
    pen.textAlign = "center";
    pen.fillText("distance along the cut", width / 2, height - 4);
    pen.fillText("0", left, height - 18);
    pen.textAlign = "right";
    pen.fillText(dldnaPage.number(far, 4, 2), width - 8, height - 18);
    cuts.forEach((c, k) => {
      pen.setLineDash(k ? [6, 4] : []);
      pen.lineWidth = 2;
      pen.beginPath();
      let open = false;
      c.losses.forEach((v, n) => {
        if (Number.isFinite(v)) {
          pen[open ? "lineTo" : "moveTo"](x(c.distances[n]), y(v));
        }
        open = Number.isFinite(v);
      });
      pen.stroke();
    });
    pen.setLineDash([]);
  }

  // The surface of a picture in three dimensions, far cells first.
  function solid(canvas, size, picture, turn, tilt) {
    const pen = sized(canvas, size, size), Z = picture.heights;
    const h = Z.length, w = Z[0].length;
    const skip = Math.max(1, Math.ceil(Math.max(w, h) / 64));
    const ct = Math.cos(turn), st = Math.sin(turn);
    const cl = Math.cos(tilt), sl = Math.sin(tilt), unit = 0.36 * size;
    const put = (c, r, t) => {
      const a = 2 * c / (w - 1) - 1, b = 2 * r / (h - 1) - 1, z = t - 0.5;
      const u = a * ct - b * st, v = a * st + b * ct;
      return [size / 2 + unit * u, size / 2 - unit * (v * sl + z * cl),
        v * cl - z * sl];
    };
    const cells = [];
    for (let r = 0; r + skip < h; r += skip) {
      for (let c = 0; c + skip < w; c += skip) {
        const at = [[c, r], [c + skip, r], [c + skip, r + skip],
          [c, r + skip]];
        const t = at.map(([k, l]) => Z[l][k]);
        if (t.some(Number.isNaN)) continue;
        const p = at.map(([k, l], n) => put(k, l, t[n]));
        cells.push([p.reduce((s, q) => s + q[2], 0), p,
          (t[0] + t[1] + t[2] + t[3]) / 4]);
      }
    }
    cells.sort((a, b) => b[0] - a[0]);
    pen.lineWidth = 0.6;
    for (const [, p, mean] of cells) {
      pen.fillStyle = pen.strokeStyle =
        "rgb(" + dldnaPage.colour(mean).join() + ")";
      pen.beginPath();
      p.forEach((q, k) => pen[k ? "lineTo" : "moveTo"](q[0], q[1]));
      pen.closePath();
      pen.fill();
      pen.stroke();
    }
    pen.fillStyle = inkOf(canvas);
    pen.textAlign = "center";
    pen.fillText("α", ...put((w - 1) / 2, -0.1 * h, 0).slice(0, 2));
    pen.fillText("β", ...put(-0.1 * w, (h - 1) / 2, 0).slice(0, 2));
  }

  return { cut, legend, map, painted, solid };
})();
