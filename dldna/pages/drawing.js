// What the figures draw with: colours, marks, lines, reliefs, curves.
const dldnaDrawing = (function () {
  "use strict";
  const DASHES = [[], [9, 5], [2, 4], [12, 4, 2, 4], [5, 3], [16, 6], [1, 3],
    []];
  const MARKS = ["circle", "square", "triangle", "diamond", "cross", "down",
    "plus", "star"];

  function make(tag, more, ...inside) {
    const node = document.createElement(tag);
    Object.entries(more || {}).forEach(([k, v]) => node.setAttribute(k, v));
    node.append(...inside);
    return node;
  }
  function options(select, values, now) {
    select.replaceChildren(...values.map(([value, text]) => {
      const one = make("option", { value }, text);
      one.selected = String(value) === String(now);
      return one;
    }));
  }

  // A labelled slider: changed(v) tells what it is now, words(v) says it.
  function slider(text, [min, max, step], now, words, changed) {
    const out = make("output", {}, words(now));
    const input = make("input", { type: "range", min, max, step,
      "aria-valuetext": words(now) });
    input.value = now;
    input.addEventListener("input", () => {
      const v = Number(input.value);
      changed(v);
      out.textContent = words(v);
      input.setAttribute("aria-valuetext", words(v));
    });
    return make("label", { style: "display:block" }, text + " ", out, input);
  }
  // Boxes in `place` for at most so many of the names, [[name, text]]. now()
  // gives those chosen, changed(names, added) takes others, full() says that
  // there are enough. Gives what ticks the boxes of those chosen.
  function chooser(place, names, most, now, changed, full) {
    const boxes = names.map(([name, text]) => {
      const box = make("input", { type: "checkbox", value: name });
      box.addEventListener("change", () => {
        if (!box.checked) {
          return changed(now().filter((n) => n !== name));
        }
        if (now().length < most) return changed([...now(), name], name);
        box.checked = false;
        full();
      });
      place.append(make("label", {}, box, " " + text));
      return box;
    });
    return () => boxes.forEach((box) => {
      box.checked = now().includes(box.value);
    });
  }

  // The colours of the page's theme, by their names in palette.css.
  function palette(root) {
    const style = getComputedStyle(root), colours = {};
    ["ink", "paper", "accent", "line", "low", "high", "contour",
      ...MARKS.keys()].forEach((n) => {
      colours[n] = style.getPropertyValue("--dldna-" + n).trim();
    });
    return colours;
  }

  // Between coordinates of a map and pixels, both ways.
  function frameOf([a0, a1, b0, b1], w, h, pad) {
    const iw = w - pad.left - pad.right, ih = h - pad.top - pad.bottom;
    return { x: (a) => pad.left + ((a - a0) / (a1 - a0)) * iw,
      y: (b) => pad.top + ((b1 - b) / (b1 - b0)) * ih,
      a: (x) => a0 + ((x - pad.left) / iw) * (a1 - a0),
      b: (y) => b1 - ((y - pad.top) / ih) * (b1 - b0), iw, ih };
  }
  function ticks(low, high, most) {
    const raw = (high - low) / most, ten = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].map((k) => k * ten).find((k) => k >= raw);
    const out = [];
    for (let k = Math.ceil(low / step); k * step <= high + 1e-9 * step; k++) {
      out.push(Number((k * step).toPrecision(6)));
    }
    return out;
  }
  const rgb = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));

  // Colours and contours by the logarithm of the height above the lowest
  // point of the window.
  function relief(w, h, box, z, colours) {
    const layer = document.createElement("canvas");
    const [pen] = dldnaPage.sharp(layer, w, h);
    const flat = z.flat().filter(Number.isFinite).sort((p, q) => p - q);
    const low = flat[0], middle = flat[flat.length >> 1];
    const floor = Math.max(1e-3 * (middle - low), 1e-12);
    const tone = (v) => Math.log(v - low + floor);
    const t0 = tone(low), t1 = tone(flat[flat.length - 1]);
    const u = z.map((row) => row.map((v) =>
      Number.isFinite(v) ? (tone(v) - t0) / (t1 - t0 || 1) : NaN));
    const rows = u.length, columns = u[0].length;
    const small = document.createElement("canvas");
    small.width = columns;
    small.height = rows;
    const brush = small.getContext("2d");
    const image = brush.createImageData(columns, rows);
    const from = rgb(colours.low), to = rgb(colours.high);
    u.forEach((row, i) => row.forEach((v, j) => {
      const k = 4 * ((rows - 1 - i) * columns + j);
      for (let c = 0; c < 3; c++) {
        image.data[k + c] = from[c] + (to[c] - from[c]) * v ** 1.4;
      }
      image.data[k + 3] = Number.isFinite(v) ? 255 : 0;
    }));
    brush.putImageData(image, 0, 0);
    const cw = box.w / (columns - 1), ch = box.h / (rows - 1);
    pen.save();
    pen.beginPath();
    pen.rect(box.left, box.top, box.w, box.h);
    pen.clip();
    pen.drawImage(small, box.left - cw / 2, box.top - ch / 2, box.w + cw,
      box.h + ch);
    pen.strokeStyle = colours.contour;
    pen.globalAlpha = 0.55;
    pen.lineWidth = 0.8;
    pen.beginPath();
    for (let level = 1; level < 15; level++) {
      dldnaPage.contour(pen, u, level / 15, (j) => box.left + j * cw,
        (i) => box.top + box.h - i * ch);
    }
    pen.stroke();
    pen.restore();
    return layer;
  }

  function mark(pen, kind, x, y, r) {
    const corners = { square: [[-1, -1], [1, -1], [1, 1], [-1, 1]],
      triangle: [[0, -1.2], [1.1, 0.9], [-1.1, 0.9]],
      down: [[0, 1.2], [1.1, -0.9], [-1.1, -0.9]],
      diamond: [[0, -1.3], [1.3, 0], [0, 1.3], [-1.3, 0]] };
    pen.beginPath();
    if (corners[kind]) {
      corners[kind].forEach(([a, b], k) =>
        pen[k ? "lineTo" : "moveTo"](x + a * r, y + b * r));
      pen.closePath();
      pen.fill();
    } else if (kind === "circle") {
      pen.arc(x, y, r, 0, 7);
      pen.fill();
    } else {
      const arms = { cross: [0.785, 2.356], plus: [0, 1.571],
        star: [0, 1.047, 2.094] }[kind];
      arms.forEach((t) => {
        const a = 1.4 * r * Math.cos(t), b = 1.4 * r * Math.sin(t);
        pen.moveTo(x - a, y - b);
        pen.lineTo(x + a, y + b);
      });
      pen.stroke();
    }
  }

  function line(pen, colours, dots, i, every) {
    const trace = () => {
      pen.beginPath();
      dots.forEach(([x, y], k) => pen[k ? "lineTo" : "moveTo"](x, y));
      pen.stroke();
    };
    pen.strokeStyle = colours.paper;
    pen.lineWidth = 4.5;
    pen.globalAlpha = 0.75;
    trace();
    pen.globalAlpha = 1;
    pen.strokeStyle = pen.fillStyle = colours[i];
    pen.lineWidth = 2;
    pen.setLineDash(DASHES[i]);
    trace();
    pen.setLineDash([]);
    dots.forEach(([x, y], k) => {
      const end = k === dots.length - 1;
      if (end || (k && k % every === 0)) {
        mark(pen, MARKS[i], x, y, end ? 6 : 3);
      }
    });
  }

  // Heights to mark: even ones; on a logarithmic axis, which holds powers,
  // decades, or 1, 2, 5 and 10 where it spans few of them.
  function heights(low, high, log) {
    if (!log) return ticks(low, high, 5);
    const whole = ticks(low, high, 5).filter(Number.isInteger);
    if (whole.length > 2) return whole;
    const all = [];
    for (let k = Math.floor(low); k <= high; k++) {
      [1, 2, 5].forEach((m) => all.push(k + Math.log10(m)));
    }
    const seen = all.filter((v) => v >= low && v <= high);
    return seen.length > 1 ? seen : ticks(low, high, 4);
  }

  // Curves over one axis. series: [{x, y, colour: 0..7}]; levels: dashed
  // heights [{y, colour}]. Heights are logarithmic if asked, and else begin
  // at 0; what is no number, or not above 0 then, is left out.
  function chart(canvas, colours, { series, levels = [], log, xName, yName,
    left = 0 }) {
    const w = canvas.clientWidth, h = canvas.clientHeight;
    const [pen] = dldnaPage.sharp(canvas, w, h);
    const box = { left: 50, top: 22, w: w - 66, h: h - 62 };
    const tone = log ? Math.log10 : (v) => v;
    const fits = (v) => Number.isFinite(tone(v));
    const all = [...series.flatMap((s) => s.y), ...levels.map((l) => l.y),
      ...(log ? [] : [0])].filter(fits).map(tone);
    const right = Math.max(left + 1, ...series.map((s) =>
      s.x[s.x.length - 1] || 0));
    let low = Math.min(...all, Infinity), high = Math.max(...all, -Infinity);
    if (!(high >= low)) [low, high] = [0, 1];
    const gap = 0.06 * (high - low) || (log ? 0.1 : 0.5);
    if (log) low -= gap;
    high += gap;
    const X = (x) => box.left + ((x - left) / (right - left)) * box.w;
    const Y = (v) => box.top + ((high - v) / (high - low)) * box.h;
    axes(pen, colours, { box, h, X, Y, xName, yName },
      heights(low, high, log), log,
      ticks(left, right, 5).filter(Number.isInteger));
    pen.save();
    pen.beginPath();
    pen.rect(box.left - 6, box.top - 6, box.w + 14, box.h + 14);
    pen.clip();
    levels.filter((l) => fits(l.y)).forEach((l) => {
      pen.strokeStyle = colours[l.colour];
      pen.lineWidth = 1.5;
      pen.setLineDash([6, 4]);
      pen.beginPath();
      pen.moveTo(box.left, Y(tone(l.y)));
      pen.lineTo(box.left + box.w, Y(tone(l.y)));
      pen.stroke();
    });
    pen.setLineDash([]);
    series.forEach((s) => {
      const dots = s.x.map((x, i) => [X(x), Y(tone(s.y[i]))])
        .filter((_, i) => fits(s.y[i]));
      if (dots.length) {
        line(pen, colours, dots, s.colour, Math.ceil(dots.length / 5));
      }
    });
    pen.restore();
  }
  function axes(pen, colours, { box, h, X, Y, xName, yName }, rows, log,
    columns) {
    pen.clearRect(0, 0, box.left + box.w + 20, h);
    pen.font = "12px sans-serif";
    pen.fillStyle = colours.ink;
    pen.strokeStyle = colours.line;
    pen.lineWidth = 0.5;
    pen.textAlign = "right";
    rows.forEach((v) => {
      pen.beginPath();
      pen.moveTo(box.left, Y(v));
      pen.lineTo(box.left + box.w, Y(v));
      pen.stroke();
      const said = dldnaPage.number(log ? 10 ** v : v, 2, 0);
      pen.fillText(said.replace("e+", "e"), box.left - 8, Y(v) + 4);
    });
    pen.textAlign = "center";
    columns.forEach((v) => pen.fillText(v, X(v), h - 24));
    pen.fillText(xName, box.left + box.w / 2, h - 7);
    pen.textAlign = "left";
    pen.fillText(yName, 4, 13);
  }

  return { DASHES, MARKS, chart, chooser, frameOf, line, make, mark, options,
    palette, relief, slider, ticks };
})();
