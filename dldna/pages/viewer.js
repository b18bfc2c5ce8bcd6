(() => {
  "use strict";
  const D = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const A = D.alphas, B = D.betas, n = A.length, m = B.length;
  const layers = { loss: D.losses, ...D.metrics };
  const path = D.path, T = path.length;
  const start = { turn: -0.7, tilt: 0.6, zoom: 1 };
  let view = { ...start }, what = "loss", scale = "linear";
  let step = T - 1, spot = null, S;

  const css = (name) =>
    getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const short = (v) => (typeof v === "number" ? dldnaPage.number(v, 5, 3)
    : String(v));

  // Heights in [0, 1], and in words what was done.
  function measure() {
    const flat = [];
    let bad = 0, missing = 0;
    layers[what].forEach((row, i) => row.forEach((v, j) => {
      if (!D.evaluated[i][j]) missing += 1;
      else if (typeof v === "number") flat.push(v);
      else bad += 1;
    }));
    flat.sort((a, b) => a - b);
    let low = flat.length ? flat[0] : 0;
    let high = flat.length ? flat[flat.length - 1] : 1;
    let words = "Linear scale";
    let log = false;
    if (scale === "log") {
      const positive = flat.filter((v) => v > 0);
      if (positive.length) {
        const under = flat.length - positive.length;
        low = positive[0]; log = true;
        words = "Log scale";
        if (under) words += `, ${under} values of 0 or less at its foot`;
      } else words = "Linear scale (no value is above 0, so no logarithm)";
    } else if (scale === "clip") {
      const cut = flat[Math.floor(0.9 * (flat.length - 1))];
      const above = flat.filter((v) => v > cut).length;
      if (cut > low) high = cut;
      words = `Clipped at ${short(high)}: ${above} values above stand there`;
    }
    if (!(high > low)) high = low + Math.max(Math.abs(low), 1) * 1e-9;
    words += `, from ${short(low)} to ${short(high)}.`;
    if (bad) words += ` ${bad} points are NaN or infinite (grey).`;
    if (missing) words += ` ${missing} points not evaluated (crossed).`;
    const span = log ? Math.log(high / low) : high - low;
    const z = (v) => {
      if (typeof v !== "number") return NaN;
      const t = log ? Math.log(Math.max(v, low) / low) : v - low;
      return Math.min(1, Math.max(0, t / span));
    };
    const at = (t) => (log ? low * Math.exp(t * span) : low + t * span);
    S = { low, high, log, z, at, words };
    $("said").textContent = words;
  }

  function colour(t) {
    if (!(t >= 0)) return css("--bad");
    const [r, g, b] = D.colours[Math.min(255, Math.round(t * 255))];
    return `rgb(${r},${g},${b})`;
  }

  function sized(canvas) {
    const box = canvas.getBoundingClientRect();
    const [c] = dldnaPage.sharp(canvas, Math.max(1, box.width),
      Math.max(1, box.height));
    c.clearRect(0, 0, box.width, box.height);
    return [c, box.width, box.height];
  }

  // Three dimensions, far cells first.
  const midA = (A[0] + A[n - 1]) / 2, midB = (B[0] + B[m - 1]) / 2;
  const reach = Math.max(A[n - 1] - A[0], B[m - 1] - B[0]) / 2 || 1;

  function solid() {
    const [c, w, h] = sized($("solid"));
    const ct = Math.cos(view.turn), st = Math.sin(view.turn);
    const cl = Math.cos(view.tilt), sl = Math.sin(view.tilt);
    const size = 0.36 * Math.min(w, h) * view.zoom;
    const put = (a, b, t) => {
      const x = (a - midA) / reach, y = (b - midB) / reach;
      const u = x * ct - y * st, v = x * st + y * ct;
      const z = t - 0.5;
      return [w / 2 + size * u, h / 2 + size * (v * sl - z * cl),
        v * cl + z * sl];
    };
    const Z = layers[what];
    const cells = [];
    const skip = Math.max(1, Math.ceil(Math.sqrt((n * m) / 40000)));
    const next = (i, end) => Math.min(i + skip, end);
    for (let i = 0; i < n - 1; i += skip) {
      for (let j = 0; j < m - 1; j += skip) {
        const p = next(i, n - 1), q = next(j, m - 1);
        const ids = [[i, j], [p, j], [p, q], [i, q]];
        const t = ids.map(([k, l]) => S.z(Z[k][l]));
        if (ids.some(([k, l]) => !D.evaluated[k][l])) continue;
        const bad = t.some((v) => !(v >= 0));
        const pts = ids.map(([k, l], o) =>
          put(A[k], B[l], t[o] >= 0 ? t[o] : 1));
        const depth = (pts[0][2] + pts[1][2] + pts[2][2] + pts[3][2]) / 4;
        const mean = bad ? NaN : (t[0] + t[1] + t[2] + t[3]) / 4;
        cells.push([depth, pts, mean]);
      }
    }
    const floor = [[A[0], B[0]], [A[n - 1], B[0]], [A[n - 1], B[m - 1]],
      [A[0], B[m - 1]]].map(([a, b]) => put(a, b, 0));
    c.strokeStyle = css("--line");
    c.lineWidth = 1;
    c.beginPath();
    floor.forEach((p, k) => (k ? c.lineTo(p[0], p[1])
      : c.moveTo(p[0], p[1])));
    c.closePath();
    c.stroke();
    cells.sort((a, b) => a[0] - b[0]);
    c.lineWidth = 0.6;
    for (const [, p, mean] of cells) {
      c.beginPath();
      c.moveTo(p[0][0], p[0][1]);
      for (let k = 1; k < 4; k += 1) c.lineTo(p[k][0], p[k][1]);
      c.closePath();
      c.fillStyle = c.strokeStyle = colour(mean);
      c.fill();
      c.stroke();
    }
    c.fillStyle = css("--ink");
    c.font = "13px system-ui, sans-serif";
    c.textAlign = "center";
    const ea = put(midA, B[0] - 0.18 * reach, 0);
    const eb = put(A[0] - 0.18 * reach, midB, 0);
    c.fillText("alpha", ea[0], ea[1]);
    c.fillText("beta", eb[0], eb[1]);
    if (T && what === "loss") {
      const dots = path.map(([a, b], k) =>
        put(a, b, S.z(D.pathLosses[k] ?? S.low)));
      trace(c, dots.slice(0, step + 1));
    }
    if (spot) {
      const t = S.z(Z[spot[0]][spot[1]]);
      const p = put(A[spot[0]], B[spot[1]], t >= 0 ? t : 1);
      ring(c, p);
    }
  }

  function trace(c, dots) {
    for (const [ink, width] of [["#ffffff", 4], ["#000000", 1.6]]) {
      c.strokeStyle = ink;
      c.lineWidth = width;
      c.beginPath();
      dots.forEach((p, k) => (k ? c.lineTo(p[0], p[1])
        : c.moveTo(p[0], p[1])));
      c.stroke();
    }
    if (dots.length) {
      const p = dots[dots.length - 1];
      c.fillStyle = "#ffffff"; c.strokeStyle = "#000000"; c.lineWidth = 1.5;
      c.beginPath(); c.arc(p[0], p[1], 5, 0, 7); c.fill(); c.stroke();
    }
  }

  function ring(c, p) {
    for (const [ink, width] of [["#ffffff", 4], ["#000000", 2]]) {
      c.strokeStyle = ink; c.lineWidth = width;
      c.beginPath(); c.arc(p[0], p[1], 7, 0, 7); c.stroke();
    }
  }

  // Contours.
  const edge = 46;
  function frame(w, h) {
    const x = (a) => edge + (w - edge - 12) * ((a - A[0]) / (A[n - 1] - A[0]));
    const y = (b) => h - edge - (h - edge - 12)
      * ((b - B[0]) / (B[m - 1] - B[0]));
    return [x, y];
  }
  const half = (G, i, d) => (i + d < 0 || i + d >= G.length
    ? G[i] : (G[i] + G[i + d]) / 2);

  function flat() {
    const [c, w, h] = sized($("flat"));
    const [x, y] = frame(w, h);
    const Z = layers[what];
    for (let i = 0; i < n; i += 1) {
      for (let j = 0; j < m; j += 1) {
        const l = x(half(A, i, -1)), r = x(half(A, i, 1));
        const t = y(half(B, j, 1)), b = y(half(B, j, -1));
        if (!D.evaluated[i][j]) {
          c.strokeStyle = css("--line"); c.lineWidth = 0.5;
          c.beginPath(); c.moveTo(l, t); c.lineTo(r, b);
          c.moveTo(l, b); c.lineTo(r, t); c.stroke();
          continue;
        }
        c.fillStyle = colour(S.z(Z[i][j]));
        c.fillRect(l, t, r - l + 0.6, b - t + 0.6);
      }
    }
    contours(c, x, y, Z);
    c.strokeStyle = css("--line");
    c.lineWidth = 1;
    c.strokeRect(x(A[0]), y(B[m - 1]), x(A[n - 1]) - x(A[0]),
      y(B[0]) - y(B[m - 1]));
    c.fillStyle = css("--ink");
    c.font = "12px system-ui, sans-serif";
    c.textAlign = "center";
    for (const a of [A[0], 0, A[n - 1]]) c.fillText(short(a), x(a), h - 28);
    c.fillText(("alpha  " + D.axes[0]).slice(0, 60), w / 2, h - 10);
    c.textAlign = "right";
    for (const b of [B[0], 0, B[m - 1]]) c.fillText(short(b), edge - 4, y(b) + 4);
    c.save();
    c.translate(11, h / 2);
    c.rotate(-Math.PI / 2);
    c.textAlign = "center";
    c.fillText(("beta  " + D.axes[1]).slice(0, 60), 0, 0);
    c.restore();
    cross(c, x(0), y(0));
    if (T) trace(c, path.slice(0, step + 1).map(([a, b]) => [x(a), y(b)]));
    if (spot) ring(c, [x(A[spot[0]]), y(B[spot[1]])]);
  }

  function cross(c, x, y) {
    for (const [ink, width] of [["#ffffff", 4], ["#000000", 2]]) {
      c.strokeStyle = ink; c.lineWidth = width;
      c.beginPath();
      c.moveTo(x - 6, y); c.lineTo(x + 6, y);
      c.moveTo(x, y - 6); c.lineTo(x, y + 6);
      c.stroke();
    }
  }

  function contours(c, x, y, Z) {
    const rows = B.map((_, j) => A.map((_, i) =>
      (D.evaluated[i][j] ? S.z(Z[i][j]) : NaN)));
    c.lineWidth = 0.8;
    for (let k = 1; k < 12; k += 1) {
      const level = k / 12;
      c.strokeStyle = level > 0.55 ? "rgba(0,0,0,.55)"
        : "rgba(255,255,255,.65)";
      c.beginPath();
      dldnaPage.contour(c, rows, level,
        (i) => x(dldnaPage.between(A, i)), (j) => y(dldnaPage.between(B, j)));
      c.stroke();
    }
  }

  function bar() {
    const [c, w] = sized($("bar"));
    for (let k = 0; k < 256; k += 1) {
      c.fillStyle = colour(k / 255);
      c.fillRect(edge + ((w - 2 * edge) * k) / 256, 4,
        (w - 2 * edge) / 256 + 1, 16);
    }
    c.fillStyle = css("--ink");
    c.font = "12px system-ui, sans-serif";
    c.textAlign = "center";
    for (const t of [0, 0.25, 0.5, 0.75, 1]) {
      c.fillText(short(S.at(t)), edge + (w - 2 * edge) * t, 36);
    }
  }

  function reading() {
    const said = [];
    if (spot) {
      const [i, j] = spot;
      said.push(`alpha ${short(A[i])}, beta ${short(B[j])}`);
      for (const [name, Z] of Object.entries(layers)) {
        said.push(D.evaluated[i][j] ? `${name} ${short(Z[i][j])}`
          : `${name} not evaluated`);
      }
    }
    if (T) {
      let line = `checkpoint ${step + 1} of ${T}`;
      if (D.pathLosses.length) line += `: true loss ${short(D.pathLosses[step])}`;
      if (D.pathProjected.length) {
        line += `, at its projection ${short(D.pathProjected[step])}`;
      }
      said.push(line);
    }
    $("reading").textContent = said.join(" · ");
  }

  let waiting = false;
  function draw() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      solid(); flat(); bar(); reading();
    });
  }

  // Controls.
  for (const name of Object.keys(layers)) {
    const option = document.createElement("option");
    option.value = option.textContent = name;
    $("what").append(option);
  }
  $("what").onchange = (e) => { what = e.target.value; measure(); draw(); };
  $("scale").onchange = (e) => { scale = e.target.value; measure(); draw(); };
  $("reset").onclick = () => { view = { ...start }; draw(); };
  if (T) {
    $("step").max = T - 1;
    $("step").value = step;
    $("step").oninput = (e) => { step = Number(e.target.value); draw(); };
  } else $("step-label").hidden = true;

  const solidCanvas = $("solid"), flatCanvas = $("flat");
  let held = null;
  solidCanvas.onpointerdown = (e) => {
    held = [e.clientX, e.clientY];
    solidCanvas.setPointerCapture(e.pointerId);
  };
  solidCanvas.onpointermove = (e) => {
    if (!held) return;
    turn((e.clientX - held[0]) * 0.01, (e.clientY - held[1]) * 0.01);
    held = [e.clientX, e.clientY];
  };
  solidCanvas.onpointerup = solidCanvas.onpointercancel = () => {
    held = null;
  };
  solidCanvas.addEventListener("wheel", (e) => {
    e.preventDefault();
    zoom(Math.exp(-e.deltaY * 0.001));
  }, { passive: false });
  function turn(dx, dy) {
    view.turn -= dx;
    view.tilt = Math.min(1.55, Math.max(0.05, view.tilt + dy));
    draw();
  }
  function zoom(f) {
    view.zoom = Math.min(8, Math.max(0.3, view.zoom * f));
    draw();
  }
  const turns = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0],
    ArrowUp: [0, -0.1], ArrowDown: [0, 0.1] };
  solidCanvas.onkeydown = (e) => {
    if (turns[e.key]) turn(...turns[e.key]);
    else if (e.key === "+" || e.key === "=") zoom(1.15);
    else if (e.key === "-") zoom(1 / 1.15);
    else return;
    e.preventDefault();
  };
  const nearest = (G, v) => G.reduce((best, g, k) =>
    (Math.abs(g - v) < Math.abs(G[best] - v) ? k : best), 0);
  flatCanvas.onpointermove = (e) => {
    const box = flatCanvas.getBoundingClientRect();
    const fx = (e.clientX - box.left - edge) / (box.width - edge - 12);
    const fy = (box.height - edge - (e.clientY - box.top))
      / (box.height - edge - 12);
    spot = [nearest(A, A[0] + fx * (A[n - 1] - A[0])),
      nearest(B, B[0] + fy * (B[m - 1] - B[0]))];
    draw();
  };
  const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0],
    ArrowUp: [0, 1], ArrowDown: [0, -1] };
  flatCanvas.onkeydown = (e) => {
    if (!moves[e.key]) return;
    e.preventDefault();
    spot = spot || [nearest(A, 0), nearest(B, 0)];
    spot = [Math.min(n - 1, Math.max(0, spot[0] + moves[e.key][0])),
      Math.min(m - 1, Math.max(0, spot[1] + moves[e.key][1]))];
    draw();
  };
  addEventListener("resize", draw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  const values = D.losses.flat().filter((v) => typeof v === "number");
  const least = Math.min(...values.slice(0, 1e5));
  const most = Math.max(...values.slice(0, 1e5));
  if (least > 0 && most / least > 100) {
    scale = "log";
    $("scale").value = "log";
  }
  measure();
  draw();
})();
