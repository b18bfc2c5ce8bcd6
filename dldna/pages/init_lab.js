(function (id) {
  "use strict";
  var root = document.getElementById(id);
  if (!root) return;
  var grid = JSON.parse(root.querySelector("script[type]").textContent);
  var NS = root.querySelector("svg").namespaceURI;

  function part(name) {
    return root.querySelector("[data-lab='" + name + "']");
  }
  function pick(name, list) {
    return list[Number(part(name).value)];
  }
  function plain(name) {
    return name.replace(/_/g, " ");
  }
  function power(v) {
    if (v === null) return "none";
    if (Math.abs(v) < 3) return String(Number(Math.pow(10, v).toPrecision(2)));
    var e = Math.floor(v + 0.02);
    return Math.pow(10, v - e).toFixed(1) + "e" + e;
  }
  function node(parent, tag, attributes, text) {
    var made = document.createElementNS(NS, tag);
    for (var key in attributes) made.setAttribute(key, attributes[key]);
    if (text !== undefined) made.textContent = text;
    parent.appendChild(made);
    return made;
  }

  // One panel: log10 of a variance over the layers 1..n.
  function draw(svg, series, spread, words) {
    var box = svg.parentNode.clientWidth || 320;
    var w = Math.max(220, Math.min(box, 460)), h = 230;
    var left = 46, right = 10, top = 12, bottom = 38;
    var n = series.predicted.length, low = -1.5, high = 1.5;
    series.predicted.concat(series.measured).forEach(function (v) {
      if (v === null) return;
      low = Math.min(low, v - 0.3);
      high = Math.max(high, v + 0.3);
    });
    function x(i) {
      return left + ((i + 0.5) * (w - left - right)) / n;
    }
    function y(v) {
      return top + ((high - v) * (h - top - bottom)) / (high - low);
    }
    while (svg.firstChild) svg.removeChild(svg.firstChild);
    svg.setAttribute("viewBox", "0 0 " + w + " " + h);
    svg.setAttribute("width", w);
    svg.setAttribute("height", h);
    svg.setAttribute("aria-label", words);
    var step = [1, 2, 5, 10, 20, 50, 100].filter(function (s) {
      return (high - low) / s <= 6;
    })[0];
    for (var k = Math.ceil(low / step) * step; k <= high; k += step) {
      node(svg, "line", {
        class: k === 0 ? "lab-one" : "lab-grid",
        x1: left, x2: w - right, y1: y(k), y2: y(k),
      });
      var tick = node(svg, "text", {
        x: left - 6, y: y(k) + 5, "text-anchor": "end",
      }, k === 0 ? "1" : "10");
      if (k !== 0) {
        node(tick, "tspan", { dy: -5, style: "font-size:9px" }, String(k));
      }
    }
    var every = n > 15 ? 5 : n > 8 ? 2 : 1;
    for (var i = 0; i < n; i++) {
      if (i === 0 || (i + 1) % every === 0) {
        node(svg, "text", {
          x: x(i), y: h - bottom + 16, "text-anchor": "middle",
        }, String(i + 1));
      }
    }
    node(svg, "text", {
      x: (left + w - right) / 2, y: h - 4, "text-anchor": "middle",
    }, "layer");
    function line(values) {
      var text = "";
      values.forEach(function (v, i) {
        if (v !== null) text += (text ? "L" : "M") + x(i) + " " + y(v);
      });
      return text;
    }
    if (spread && series.measured.indexOf(null) < 0) {
      var up = series.measured.map(function (v, i) { return v + spread[i]; });
      var down = series.measured.map(function (v, i) { return v - spread[i]; });
      var back = line(down).slice(1).split("L").reverse().join("L");
      node(svg, "path", { class: "lab-band", d: line(up) + "L" + back + "Z" });
    }
    node(svg, "path", { class: "lab-predicted", d: line(series.predicted) });
    series.measured.forEach(function (v, i) {
      if (v === null) return;
      node(svg, "circle", { class: "lab-measured", cx: x(i), cy: y(v), r: 3 });
    });
  }

  function fate(v) {
    if (v === null) return "is gone";
    if (v < -2) return "has vanished";
    if (v > 2) return "has exploded";
    return "is near 1 (within a factor of 100)";
  }

  function numbers(forward, backward) {
    var body = root.querySelector("tbody");
    while (body.firstChild) body.removeChild(body.firstChild);
    forward.measured.forEach(function (_, i) {
      var row = document.createElement("tr");
      [
        String(i + 1),
        power(forward.measured[i]), power(forward.predicted[i]),
        power(backward.measured[i]), power(backward.predicted[i]),
      ].forEach(function (text) {
        var cell = document.createElement("td");
        cell.textContent = text;
        row.appendChild(cell);
      });
      body.appendChild(row);
    });
  }

  function show() {
    var depth = pick("depth", grid.depths);
    var act = pick("activation", grid.activations);
    var scheme = pick("scheme", grid.schemes);
    var cell = grid.cells[scheme + "/" + act];
    var forward = {
      measured: cell.forward.measured.slice(0, depth),
      predicted: cell.forward.predicted.slice(0, depth),
    };
    var backward = cell.backward[String(depth)];
    var shown = {
      depth: depth + " layers",
      activation: plain(act),
      scheme: plain(scheme),
    };
    Object.keys(shown).forEach(function (name) {
      part(name).setAttribute("aria-valuetext", shown[name]);
      part(name + "-shown").textContent = shown[name];
    });
    part("about").textContent = grid.about[scheme] || "";
    var end = forward.measured[depth - 1], far = backward.measured[0];
    part("says").textContent =
      "After " + depth + " layers the signal's variance " + fate(end) +
      ": measured " + power(end) + ", predicted " +
      power(forward.predicted[depth - 1]) +
      ". The gradient that reaches the first layer " + fate(far) +
      ": measured " + power(far) + ", predicted " +
      power(backward.predicted[0]) + ".";
    draw(part("forward"), forward, cell.forward.spread.slice(0, depth),
      "Forward variance by layer, " + shown.scheme + ", " +
      shown.activation + ": ends at " + power(end));
    draw(part("backward"), backward, null,
      "Squared gradient by layer, " + shown.scheme + ", " +
      shown.activation + ": first layer " + power(far));
    numbers(forward, backward);
  }

  ["depth", "activation", "scheme"].forEach(function (name) {
    part(name).addEventListener("input", show);
  });
  window.addEventListener("resize", show);
  show();
  window.addEventListener("load", show);
  var LISTS = { depth: grid.depths, activation: grid.activations,
    scheme: grid.schemes };
  dldnaPage.address(root, "lab", part("share"), function () {
    return { depth: pick("depth", LISTS.depth),
      activation: pick("activation", LISTS.activation),
      scheme: pick("scheme", LISTS.scheme) };
  }, function (got) {
    Object.keys(LISTS).forEach(function (name) {
      var before = pick(name, LISTS[name]);
      part(name).value = LISTS[name].indexOf(
        dldnaPage.oneOf(got[name], LISTS[name], before));
    });
    show();
  });
})("LAB_ID");
