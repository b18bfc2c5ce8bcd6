(function (id) {
  "use strict";
  const root = document.getElementById(id);
  if (!root) return;
  const at = JSON.parse(root.querySelector("script[type]").textContent);
  const M = dldnaMomentum, NS = root.querySelector("svg").namespaceURI;
  const HIGH = { a: 4.2, mu: 1 }, STEPS = 40;
  const PLACES = {
    monotone: [0.1, 0.2], critical: [0.25, 0.25], ripples: [0.5, 0.8],
    zigzag: [1.75, 0.05], diverging: [3.1, 0.5],
  };

  function part(name) {
    return root.querySelector("[data-mm='" + name + "']");
  }
  function say(v) {
    return dldnaPage.number(v, 3, 1);
  }

  // The picture below the lines, one dot for each pair; painted once.
  const heat = (function () {
    const canvas = document.createElement("canvas");
    const w = canvas.width = 280, h = canvas.height = 200;
    const pen = canvas.getContext("2d"), dots = pen.createImageData(w, h);
    for (let i = 0; i < w * h; i++) {
      const a = HIGH.a * (i % w + 0.5) / w;
      const mu = HIGH.mu * (1 - (Math.floor(i / w) + 0.5) / h);
      dots.data.set([...dldnaPage.colour(M.size(a, mu)), 255], 4 * i);
    }
    pen.putImageData(dots, 0, 0);
    return canvas;
  })();

  const BOX = { left: 34, right: 8, top: 6, bottom: 34, w: 0, h: 0 };
  function px(a) {
    return BOX.left + a / HIGH.a * (BOX.w - BOX.left - BOX.right);
  }
  function py(mu) {
    return BOX.top + (1 - mu / HIGH.mu) * (BOX.h - BOX.top - BOX.bottom);
  }

  function curve(pen, f, low, high) {
    pen.beginPath();
    for (let k = 0; k <= 200; k++) {
      const a = low + (high - low) * k / 200;
      pen.lineTo(px(a), py(f(a)));
    }
    pen.stroke();
  }

  function words(pen, text, a, mu) {
    pen.lineWidth = 3;
    pen.strokeStyle = "#000b";
    pen.strokeText(text, px(a), py(mu));
    pen.fillStyle = "#fff";
    pen.fillText(text, px(a), py(mu));
  }

  function axes(pen) {
    pen.fillStyle = getComputedStyle(root).color;
    pen.textAlign = "center";
    for (let a = 0; a <= 4; a++) pen.fillText(a, px(a), BOX.h - 20);
    pen.fillText("ηλ", px(2.5), BOX.h - 6);
    pen.textAlign = "right";
    for (const mu of [0, 0.5, 1]) pen.fillText(mu, BOX.left - 5, py(mu) + 4);
    pen.fillText("μ", BOX.left - 10, py(0.75) + 4);
    pen.textAlign = "center";
  }

  function drawMap() {
    const canvas = part("map");
    BOX.w = Math.max(240, Math.min(canvas.parentNode.clientWidth || 320, 460));
    BOX.h = Math.round(0.72 * BOX.w);
    canvas.style.width = BOX.w + "px";
    canvas.style.height = BOX.h + "px";
    const [pen] = dldnaPage.sharp(canvas, BOX.w, BOX.h);
    pen.clearRect(0, 0, BOX.w, BOX.h);
    pen.font = "13px sans-serif";
    pen.drawImage(heat, px(0), py(HIGH.mu), px(HIGH.a) - px(0),
      py(0) - py(HIGH.mu));
    axes(pen);
    pen.strokeStyle = "#fff";
    pen.lineWidth = 2;
    curve(pen, M.critical, 0, 4);
    pen.strokeStyle = "#000";
    curve(pen, a => a / 2 - 1, 2, 4);
    words(pen, "monotone", 0.47, 0.05);
    words(pen, "ripples", 1.3, 0.6);
    words(pen, "zigzag", 1.6, 0.05);
    words(pen, "diverging", 3.4, 0.3);
    pen.lineWidth = 3;
    pen.strokeStyle = "#fff";
    pen.beginPath();
    pen.moveTo(px(at.a / at.kappa), py(at.mu));
    pen.lineTo(px(at.a), py(at.mu));
    pen.stroke();
    for (const [a, r] of [[at.a / at.kappa, 5], [at.a, 9]]) {
      pen.beginPath();
      pen.arc(px(a), py(at.mu), r, 0, 7);
      pen.fillStyle = r > 5 ? "#d55e00" : "#56b4e9";
      pen.fill();
      pen.lineWidth = 2;
      pen.stroke();
    }
    canvas.setAttribute("aria-label", "Map of the larger root: the point is " +
      "at rate times curvature " + say(at.a) + " and momentum " + say(at.mu) +
      ", where the walk is " + M.regime(at.a, at.mu));
  }

  function node(parent, tag, attributes, text) {
    const made = document.createElementNS(NS, tag);
    for (const key in attributes) made.setAttribute(key, attributes[key]);
    if (text !== undefined) made.textContent = text;
    parent.appendChild(made);
  }
  function emptied(name, w, h, label) {
    const svg = part(name);
    while (svg.firstChild) svg.removeChild(svg.firstChild);
    svg.setAttribute("viewBox", "0 0 " + w + " " + h);
    svg.setAttribute("width", w);
    svg.setAttribute("height", h);
    svg.setAttribute("aria-label", label);
    return svg;
  }
  function room(name, most) {
    const box = part(name).parentNode.clientWidth || 320;
    return Math.max(220, Math.min(box, most));
  }

  function drawPath(walks) {
    const w = room("path", 460), h = Math.round(0.6 * w), left = 30;
    const svg = emptied("path", w, h, "The path over " + STEPS +
      " steps ends at " + say(walks[0][STEPS]));
    const x = t => left + t * (w - left - 10) / STEPS;
    const y = v => 8 + (1.5 - v) * (h - 46) / 3;
    for (const v of [-1, 0, 1]) {
      node(svg, "line", { class: "mm-grid", x1: left, x2: w - 10, y1: y(v),
        y2: y(v) });
      node(svg, "text", { x: left - 6, y: y(v) + 4, "text-anchor": "end" }, v);
    }
    for (let t = 0; t <= STEPS; t += 10) {
      node(svg, "text", { x: x(t), y: h - 20, "text-anchor": "middle" }, t);
    }
    node(svg, "text", { x: x(20), y: h - 4, "text-anchor": "middle" }, "step");
    walks.forEach(function (walk, k) {
      const out = walk.findIndex(v => !(Math.abs(v) <= 1.5));
      const seen = out < 0 ? walk : walk.slice(0, out);
      const d = seen.map((v, t) => (t ? "L" : "M") + x(t) + " " + y(v));
      node(svg, "path", { class: "mm-walk mm-walk-" + k, d: d.join("") });
      seen.forEach((v, t) => node(svg, "circle", {
        class: "mm-dot-" + k, cx: x(t), cy: y(v), r: k ? 2 : 3 }));
      if (out > 0) {
        node(svg, "text", { x: Math.min(x(out), w - 50), y: 18 },
          "leaves");
      }
    });
  }

  // The two directions as one picture: along the ravine the shallowest, and
  // across it the steepest.
  function drawRavine([across, along]) {
    const w = room("ravine", 460), h = Math.round(0.6 * w), reach = 1.5;
    const svg = emptied("ravine", w, h, "The ravine with κ " +
      say(at.kappa) + ": after " + STEPS + " steps the ball is at " +
      say(along[STEPS]) + " along it and at " + say(across[STEPS]) +
      " across it");
    const x = v => (1 + v / reach) * w / 2, y = v => (1 - v / reach) * h / 2;
    for (let k = 1; k <= 7; k++) {
      const wide = k / 5 * Math.sqrt(at.kappa + 1); // k = 5: at the start
      node(svg, "ellipse", { class: "mm-grid", cx: x(0), cy: y(0),
        rx: x(wide) - x(0), ry: y(0) - y(wide / Math.sqrt(at.kappa)) });
    }
    // What lies outside the frame is not shown; far outside, not drawn.
    const seen = along.map((v, t) => [v, across[t]])
      .filter(p => p.every(v => Math.abs(v) < 100));
    const d = seen.map((p, t) => (t ? "L" : "M") + x(p[0]) + " " + y(p[1]));
    node(svg, "path", { class: "mm-walk mm-walk-0", d: d.join("") });
    seen.forEach(p => node(svg, "circle", { class: "mm-dot-0", cx: x(p[0]),
      cy: y(p[1]), r: 3 }));
    node(svg, "circle", { class: "mm-start", cx: x(1), cy: y(1), r: 7 });
    node(svg, "text", { x: x(0), y: y(0) + 5, "text-anchor": "middle" }, "+");
    if (M.size(at.a, at.mu) > 1) {
      node(svg, "text", { x: 8, y: 18 }, "leaves");
    }
  }

  function drawRoots(pairs) {
    const w = room("roots", 240), half = w / 2, unit = half / 1.6;
    const svg = emptied("roots", w, w, "Roots of the steepest direction: " +
      pairs[0].map(z => say(z[0]) + (z[1] ? " and " + say(z[1]) + " i" : ""))
        .join("; "));
    node(svg, "circle", { class: "mm-unit", cx: half, cy: half, r: unit });
    node(svg, "line", { class: "mm-grid", x1: 0, x2: w, y1: half, y2: half });
    node(svg, "line", { class: "mm-grid", x1: half, x2: half, y1: 0, y2: w });
    node(svg, "text", { x: half + unit + 4, y: half - 5 }, "1");
    node(svg, "text", { x: half - unit - 20, y: half - 5 }, "−1");
    pairs.forEach((pair, k) => pair.forEach(z => node(svg, "circle", {
      class: "mm-dot-" + k, r: k ? 4 : 6,
      cx: half + unit * Math.max(-1.5, Math.min(z[0], 1.5)),
      cy: half - unit * z[1] })));
  }

  function report(sizes) {
    const slow = Math.max(...sizes), n = M.steps(slow);
    const z = M.roots(at.a, at.mu);
    let text = "Regime: " + M.regime(at.a, at.mu) + ". The roots are " +
      (z[0][1] ? say(z[0][0]) + " ± " + say(z[0][1]) + " i"
        : say(z[0][0]) + " and " + say(z[1][0])) +
      ", the larger of size " + say(sizes[0]) + ".";
    if (at.kappa > 1) {
      text += " The shallowest direction is at ηλ = " + say(at.a / at.kappa) +
        ", " + M.regime(at.a / at.kappa, at.mu) + ", of size " +
        say(sizes[1]) + ".";
    }
    return text + (n === Infinity ? " It never gets there." :
      " In the long run an error needs about " + n + (n > 1 ? " steps" :
        " step") + " to become a millionth.");
  }

  function numbers(walks) {
    const body = root.querySelector("tbody");
    while (body.firstChild) body.removeChild(body.firstChild);
    for (let t = 0; t <= STEPS; t++) {
      const row = body.insertRow();
      [t, ...walks.map(walk => dldnaPage.number(walk[t], 4, 3))].forEach(
        text => { row.insertCell().textContent = text; });
    }
  }

  function show() {
    const places = [at.a, at.a / at.kappa];
    const walks = places.map(a => M.path(a, at.mu, STEPS));
    const many = at.kappa > 1 ? 2 : 1;
    const shown = { a: say(at.a), mu: say(at.mu), kappa: say(at.kappa) };
    for (const name in shown) {
      part(name).value = name === "kappa" ? Math.log10(at.kappa) : at[name];
      part(name).setAttribute("aria-valuetext", shown[name]);
      part(name + "-shown").textContent = shown[name];
    }
    part("key").textContent = many > 1
      ? "Large dots: steepest direction; small ones: shallowest" : "";
    part("says").textContent = report(places.map(a => M.size(a, at.mu)));
    drawRavine(walks);
    drawMap();
    drawPath(walks.slice(0, many));
    drawRoots(places.slice(0, many).map(a => M.roots(a, at.mu)));
    numbers(walks);
  }

  function go(a, mu) {
    at.a = Math.max(0.01, Math.min(a, HIGH.a));
    at.mu = Math.max(0, Math.min(mu, 0.99));
    show();
  }

  for (const name of ["a", "mu", "kappa"]) {
    part(name).addEventListener("input", function () {
      const value = Number(this.value);
      at[name] = name === "kappa" ? 10 ** value : value;
      show();
    });
  }
  root.querySelectorAll("[data-go]").forEach(button =>
    button.addEventListener("click", function () {
      const best = M.best(at.kappa);
      const place = PLACES[button.dataset.go] || [best.a, best.mu];
      if (button.dataset.go !== "best") at.kappa = 1;
      go(...place);
    }));
  const map = part("map");
  function drag(event) {
    const [x, y] = dldnaPage.place(map, event);
    const wide = BOX.w - BOX.left - BOX.right;
    const high = BOX.h - BOX.top - BOX.bottom;
    go((x - BOX.left) / wide * HIGH.a,
      (1 - (y - BOX.top) / high) * HIGH.mu);
  }
  map.addEventListener("pointerdown", function (event) {
    map.setPointerCapture(event.pointerId);
    drag(event);
  });
  map.addEventListener("pointermove", function (event) {
    if (map.hasPointerCapture(event.pointerId)) drag(event);
  });
  window.addEventListener("resize", show);
  dldnaPage.onTheme(show);
  show();
  window.addEventListener("load", show);
  dldnaPage.address(root, "map", part("share"),
    () => ({ a: say(at.a), mu: say(at.mu), kappa: say(at.kappa) }),
    function (got) {
      at.kappa = dldnaPage.within(got.kappa, 1, 1000, at.kappa);
      go(dldnaPage.within(got.a, 0.01, HIGH.a, at.a),
        dldnaPage.within(got.mu, 0, 0.99, at.mu));
    });
})("MAP_ID");
