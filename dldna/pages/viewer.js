(() => {
  "use strict";
  const $ = (id) => document.getElementById(id);
  const V = dldnaViewer, root = $("viewer");
  const D = JSON.parse($("data").textContent);
  const A = D.alphas, B = D.betas, n = A.length, m = B.length;
  const layers = { loss: D.losses, ...D.metrics };
  const path = D.path, T = path.length;
  const s = { ...V.START, scale: dldnaPage.usualScale(D.losses.flat()), show: "loss",
    step: T - 1, spot: null };
  let S; // the scale of what is shown

  const css = (name) =>
    getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const short = (v) => (typeof v === "number" ? dldnaPage.number(v, 5, 3)
    : String(v));
  const { paint, seen, shade } = dldnaSolid;

  function measure() {
    S = V.scaled(layers[s.show], D.evaluated, s.scale, short);
    $("said").textContent = S.words;
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
    const at = seen(w, h, 0.36 * Math.min(w, h) * s.zoom,
      s.turn * Math.PI / 180, s.tilt * Math.PI / 180);
    const put = (a, b, t) => at((a - midA) / reach, (b - midB) / reach, t);
    const Z = layers[s.show];
    const cells = [];
    const skip = Math.max(1, Math.ceil(Math.sqrt((n * m) / 40000)));
    const next = (i, end) => Math.min(i + skip, end);
    for (let i = 0; i < n - 1; i += skip) {
      for (let j = 0; j < m - 1; j += skip) {
        const p = next(i, n - 1), q = next(j, m - 1);
        const ids = [[i, j], [p, j], [p, q], [i, q]];
        const t = ids.map(([k, l]) => S.height(Z[k][l]));
        if (ids.some(([k, l]) => !D.evaluated[k][l])) continue;
        const bad = t.some((v) => !(v >= 0));
        const pts = ids.map(([k, l], o) =>
          put(A[k], B[l], t[o] >= 0 ? t[o] : 1));
        cells.push([pts, bad ? NaN : (t[0] + t[1] + t[2] + t[3]) / 4]);
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
    paint(c, cells);
    c.fillStyle = css("--ink");
    c.font = "13px system-ui, sans-serif";
    c.textAlign = "center";
    const ea = put(midA, B[0] - 0.18 * reach, 0);
    const eb = put(A[0] - 0.18 * reach, midB, 0);
    c.fillText("alpha", ea[0], ea[1]);
    c.fillText("beta", eb[0], eb[1]);
    if (T && s.show === "loss") {
      const dots = path.map(([a, b], k) =>
        put(a, b, S.height(D.pathLosses[k] ?? S.low)));
      trace(c, dots.slice(0, s.step + 1));
    }
    if (s.spot) {
      const [i, j] = s.spot, t = S.height(Z[i][j]);
      ring(c, ...put(A[i], B[j], t >= 0 ? t : 1));
    }
  }

  const outlined = (c, lines) => dldnaSolid.outlined(c, 4, 2, lines);
  function trace(c, dots) {
    outlined(c, () => dots.forEach((p) => c.lineTo(p[0], p[1])));
    if (!dots.length) return;
    const [x, y] = dots[dots.length - 1];
    outlined(c, () => c.arc(x, y, 5, 0, 7));
    c.fillStyle = "#fff";
    c.fill();
  }
  const ring = (c, x, y) => outlined(c, () => c.arc(x, y, 7, 0, 7));
  const cross = (c, x, y) => outlined(c, () => {
    c.moveTo(x - 6, y);
    c.lineTo(x + 6, y);
    c.moveTo(x, y - 6);
    c.lineTo(x, y + 6);
  });

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
    const Z = layers[s.show];
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
        c.fillStyle = shade(S.height(Z[i][j]));
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
    for (const a of dldnaDrawing.ticks(A[0], A[n - 1], 5)) {
      c.fillText(short(a), x(a), h - 28);
    }
    c.fillText(("alpha  " + D.axes[0]).slice(0, 60), w / 2, h - 10);
    c.textAlign = "right";
    for (const b of dldnaDrawing.ticks(B[0], B[m - 1], 5)) {
      c.fillText(short(b), edge - 4, y(b) + 4);
    }
    c.save();
    c.translate(11, h / 2);
    c.rotate(-Math.PI / 2);
    c.textAlign = "center";
    c.fillText(("beta  " + D.axes[1]).slice(0, 60), 0, 0);
    c.restore();
    cross(c, x(0), y(0));
    if (T) trace(c, path.slice(0, s.step + 1).map(([a, b]) => [x(a), y(b)]));
    if (s.spot) ring(c, x(A[s.spot[0]]), y(B[s.spot[1]]));
  }

  function contours(c, x, y, Z) {
    const rows = B.map((_, j) => A.map((_, i) =>
      (D.evaluated[i][j] ? S.height(Z[i][j]) : NaN)));
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
      c.fillStyle = shade(k / 255);
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
    if (s.spot) {
      const [i, j] = s.spot;
      said.push(`alpha ${short(A[i])}, beta ${short(B[j])}`);
      for (const [name, Z] of Object.entries(layers)) {
        said.push(D.evaluated[i][j] ? `${name} ${short(Z[i][j])}`
          : `${name} not evaluated`);
      }
    }
    if (T) {
      let line = `checkpoint ${s.step + 1} of ${T}`;
      if (D.pathLosses.length) line += `: true loss ${short(D.pathLosses[s.step])}`;
      if (D.pathProjected.length) {
        line += `, at its projection ${short(D.pathProjected[s.step])}`;
      }
      said.push(line);
    }
    $("reading").textContent = said.join(" · ");
    $("solid").setAttribute("aria-label", `Surface of ${s.show}, ${S.words} ` +
      "Arrow keys turn it, plus and minus zoom.");
    $("flat").setAttribute("aria-label", `Contours of ${s.show}, ${S.words} ` +
      "Arrow keys move the reading point.");
  }

  const draw = dldnaPage.framed(root, () => {
    solid(); flat(); bar(); reading();
  });

  // Controls.
  function update() {
    $("scale").value = s.scale;
    $("what").value = s.show;
    $("step").value = s.step;
    measure();
    draw();
  }
  const set = (change) => update(Object.assign(s, change));
  dldnaDrawing.options($("what"), Object.keys(layers).map((k) => [k, k]));
  $("what").onchange = (e) => set({ show: e.target.value });
  $("scale").onchange = (e) => set({ scale: e.target.value });
  $("reset").onclick = () => set(V.START);
  $("step").max = T - 1;
  $("step").oninput = (e) => set({ step: Number(e.target.value) });
  $("step-label").hidden = !T;

  function move(across, up, nearer = 1) {
    Object.assign(s, V.moved(s, across, up, nearer));
    draw();
  }
  // One pointer turns, two spread or pinch.
  const solidCanvas = $("solid"), flatCanvas = $("flat"), held = new Map();
  const spread = () => {
    const [p, q] = [...held.values()];
    return Math.hypot(p[0] - q[0], p[1] - q[1]) || 1;
  };
  solidCanvas.onpointerdown = (e) => {
    held.set(e.pointerId, [e.clientX, e.clientY]);
    solidCanvas.setPointerCapture(e.pointerId);
  };
  solidCanvas.onpointermove = (e) => {
    const from = held.get(e.pointerId), two = held.size === 2;
    if (!from) return;
    const wide = two && spread();
    held.set(e.pointerId, [e.clientX, e.clientY]);
    if (two) move(0, 0, spread() / wide);
    else move((e.clientX - from[0]) / 2, (e.clientY - from[1]) / 2);
  };
  solidCanvas.onpointerup = solidCanvas.onpointercancel = (e) => {
    held.delete(e.pointerId);
  };
  solidCanvas.addEventListener("wheel", (e) => {
    e.preventDefault();
    move(0, 0, Math.exp(-e.deltaY * 0.001));
  }, { passive: false });
  const nearer = { "+": 1.15, "=": 1.15, "-": 1 / 1.15 };
  solidCanvas.onkeydown = (e) => {
    if (e.altKey || e.ctrlKey || e.metaKey) return;
    const to = dldnaPage.arrow(e);
    if (to) move(5 * to[0], -5 * to[1]);
    else if (nearer[e.key]) move(0, 0, nearer[e.key]);
    else return;
    e.preventDefault();
  };
  flatCanvas.onpointerdown = flatCanvas.onpointermove = (e) => {
    const box = flatCanvas.getBoundingClientRect();
    const fx = (e.clientX - box.left - edge) / (box.width - edge - 12);
    const fy = (box.height - edge - (e.clientY - box.top))
      / (box.height - edge - 12);
    s.spot = [V.nearest(A, A[0] + fx * (A[n - 1] - A[0])),
      V.nearest(B, B[0] + fy * (B[m - 1] - B[0]))];
    draw();
  };
  flatCanvas.onkeydown = (e) => {
    const to = dldnaPage.arrow(e);
    if (!to) return;
    e.preventDefault();
    const [i, j] = s.spot || [V.nearest(A, 0), V.nearest(B, 0)];
    s.spot = [V.clamp(i + to[0], [0, n - 1]),
      V.clamp(j + to[1], [0, m - 1])];
    draw();
  };
  addEventListener("resize", draw);
  dldnaPage.onTheme(draw);
  update();
  dldnaPage.address(root, "view", $("share"), () => V.shown(s, A, B),
    (got) => set(V.taken(got, s, A, B, Object.keys(layers), T)));
})();
