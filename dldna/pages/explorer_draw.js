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

  const twice = (pen, width, path) =>
    dldnaSolid.outlined(pen, width + 2.5, width, path);

  // A mosaic's colours and contours, so many dots for each point. It is made
  // where tiles come; a map that is moved only lays it elsewhere.
  const FINE = 8;
  function painted(mosaic, scale, lines) {
    const dots = document.createElement("canvas");
    dots.width = mosaic.w;
    dots.height = mosaic.h;
    let pen = dots.getContext("2d");
    const data = pen.createImageData(mosaic.w, mosaic.h);
    const heights = mosaic.rows.map(row =>
      row.map(v => (Number.isNaN(v) ? NaN : scale.height(v))));
    heights.forEach((row, r) => row.forEach((t, c) => {
      const k = 4 * ((mosaic.h - 1 - r) * mosaic.w + c);
      data.data.set(dldnaPage.colour(t), k);
      data.data[k + 3] = 255;
    }));
    pen.putImageData(data, 0, 0);
    const canvas = document.createElement("canvas");
    canvas.width = FINE * mosaic.w;
    canvas.height = FINE * mosaic.h;
    pen = canvas.getContext("2d");
    pen.drawImage(dots, 0, 0, canvas.width, canvas.height);
    pen.lineWidth = 1.2;
    for (let k = 1; lines && k < 12; k++) {
      pen.strokeStyle = k / 12 > 0.55 ? "#0009" : "#fffa";
      pen.beginPath();
      dldnaPage.contour(pen, heights, k / 12, c => FINE * (c + 0.5),
        r => FINE * (mosaic.h - r - 0.5));
      pen.stroke();
    }
    return { canvas, mosaic, heights };
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
      pen.drawImage(picture.canvas, px(m.a0) - one / 2,
        py(m.b0) - (m.h - 0.5) * one, m.w * one, m.h * one);
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
    look.walks.forEach(walk => drawWalk(pen, size, walk, line, px,
      py));
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
  function drawWalk(pen, size, walk, line, px, py) {
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
    const right = px(end[0]) > 0.6 * size;
    words(pen, walk.name + ", " + walk.away + " off",
      px(end[0]) + (right ? -8 : 8), py(end[1]) - 6,
      right ? "right" : "left");
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
      pen.fillStyle = dldnaSolid.shade(k / room);
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
    const at = dldnaSolid.seen(size, size, 0.33 * size, -turn, tilt);
    const put = (c, r, t) => at(2 * c / (w - 1) - 1, 1 - 2 * r / (h - 1), t);
    const cells = [];
    for (let r = 0; r + skip < h; r += skip) {
      for (let c = 0; c + skip < w; c += skip) {
        const ids = [[c, r], [c + skip, r], [c + skip, r + skip],
          [c, r + skip]];
        const t = ids.map(([k, l]) => Z[l][k]);
        if (t.some(Number.isNaN)) continue;
        cells.push([ids.map(([k, l], n) => put(k, l, t[n])),
          (t[0] + t[1] + t[2] + t[3]) / 4]);
      }
    }
    dldnaSolid.paint(pen, cells);
    pen.fillStyle = inkOf(canvas);
    pen.textAlign = "center";
    pen.fillText("α", ...put((w - 1) / 2, -0.1 * h, 0).slice(0, 2));
    pen.fillText("β", ...put(-0.1 * w, (h - 1) / 2, 0).slice(0, 2));
  }

  // Tables, in words that are read aloud.
  function tables(root, names, readings, walks, say) {
    const emptied = name => {
      const body = root.querySelector("[data-ex=" + name + "] tbody");
      body.replaceChildren();
      return body;
    };
    const row = (body, cells) => {
      const line = body.insertRow();
      cells.forEach((text, k) => {
        const cell = document.createElement(k ? "td" : "th");
        if (!k) cell.scope = "row";
        cell.textContent = text;
        line.append(cell);
      });
    };
    const here = emptied("readings"), list = emptied("walks");
    names.forEach((name, n) => {
      const r = readings.get(n) || {}, c = r.curvature || {};
      const right = typeof r.accuracy === "number"
        ? say(100 * r.accuracy) + " ± " + say(100 * r.accuracy_error) + " %"
        : say(r.accuracy);
      row(here, [name, say(r.loss), right, say(r.gradient),
        say(c.largest), say(r.distance)]);
    });
    const last = values => values[values.length - 1];
    walks.forEach(w => row(list, [w.name, say(w.rate), say(last(w.steps)) +
      (w.ended ? ", " + w.ended : ""), say(w.losses[0]), say(last(w.losses)),
    w.away]));
  }

  // A canvas with its caption for each network.
  function canvases(home, networks) {
    return networks.map(n => {
      const figure = document.createElement("figure");
      const canvas = document.createElement("canvas");
      canvas.className = "ex-map";
      canvas.tabIndex = 0;
      canvas.setAttribute("role", "application");
      canvas.setAttribute("aria-roledescription", "map");
      const caption = document.createElement("figcaption");
      figure.append(canvas, caption);
      home.append(figure);
      return { canvas, caption, n };
    });
  }

  return { canvases, cut, legend, map, painted, solid, tables };
})();
