// What the reader does: buttons, keys, mouse and fingers.
function dldnaExplorerControls(X) {
  "use strict";
  const { $, view, about } = X;

  function fill(select, words, value) {
    select.replaceChildren(...words.map(word => new Option(word, word)));
    select.value = value;
  }
  function shown() {
    fill($("directions"), about.directions, view.directions);
    fill($("statistics"), about.statistics, view.statistics);
    $("statistics").parentNode.hidden = about.statistics.length < 2;
    $("seed").value = view.seed;
    $("lines").checked = view.lines === "yes";
    $("deep").checked = view.deep === "yes";
    $("scale").value = view.scale || "linear";
  }
  fill($("optimizer"), about.optimizers, "SGD");
  shown();
  const asks = ["directions", "seed"].map(name => $(name).parentNode);
  for (const name of ["other", "walking", "numbers", "live"]) {
    $(name).hidden = !about.live;
  }
  for (const part of asks) part.hidden = !about.live;
  $("save").hidden = !about.saves;
  $("about").textContent = about.model + ", " + about.parameters +
    " parameters; " + (about.data ? about.data + ", " : "") + about.samples + " samples; " +
    about.loss + (about.live ? "" : ". A file: what is not in it is not " +
    "computed, and what lies between its points is interpolated") + ".";

  function another(change) {
    Object.assign(view, change);
    shown();
    X.newPlane();
  }
  $("directions").onchange = e => another({ directions: e.target.value });
  $("statistics").onchange = e => another({ statistics: e.target.value });
  $("seed").onchange = e => {
    const seed = Math.round(Number(e.target.value));
    another({ seed: seed >= 0 && seed < 2 ** 31 ? seed : 0 });
  };
  $("other").onclick = () => another({ seed: view.seed + 1 });
  $("scale").onchange = e => {
    view.scale = e.target.value;
    X.again();
  };
  $("lines").onchange = e => {
    view.lines = e.target.checked ? "yes" : "no";
    X.again();
  };
  $("deep").onchange = e => {
    view.deep = e.target.checked ? "yes" : "no";
    X.deep.hidden = view.deep !== "yes";
    X.resize();
  };
  const middle = () => [view.x, view.y];
  function home() {
    Object.assign(view, X.whole);
    X.moved();
  }
  $("in").onclick = () => X.zoom(2, middle());
  $("out").onclick = () => X.zoom(0.5, middle());
  $("home").onclick = home;
  $("probe").onclick = () => X.probe();
  $("drawing").onclick = () => X.drawCut(!X.drawing());
  $("walk").onclick = () => X.walk();
  $("clear").onclick = () => X.forget();
  $("save").onclick = () => X.save();
  $("link").onclick = async e => {
    if (X.link) return;
    e.preventDefault();
    try {
      await navigator.clipboard.writeText(e.target.dataset.view);
      X.says("Copied: explore(..., view=\"" + e.target.dataset.view + "\")");
    } catch {
      X.says("explore(..., view=\"" + e.target.dataset.view + "\")");
    }
  };

  // A map: mouse and fingers.
  function where(canvas, e) {
    const box = canvas.getBoundingClientRect(), one = view.span / X.size();
    return [view.x + (e.clientX - box.left - box.width / 2) * one,
      view.y - (e.clientY - box.top - box.height / 2) * one];
  }
  for (const { canvas } of X.maps) {
    const fingers = new Map();
    let went = 0, from = null, two = null;
    const pair = () => {
      const [p, q] = [...fingers.values()];
      return { clientX: (p[0] + q[0]) / 2, clientY: (p[1] + q[1]) / 2,
        apart: Math.hypot(p[0] - q[0], p[1] - q[1]) };
    };
    canvas.onpointerdown = e => {
      canvas.setPointerCapture(e.pointerId);
      fingers.set(e.pointerId, [e.clientX, e.clientY]);
      went = fingers.size > 1 ? Infinity : 0;
      from = where(canvas, e);
      two = fingers.size === 2 ? pair() : null;
    };
    canvas.onpointermove = e => {
      const last = fingers.get(e.pointerId);
      if (!last) return;
      const dx = e.clientX - last[0], dy = e.clientY - last[1];
      fingers.set(e.pointerId, [e.clientX, e.clientY]);
      went += Math.hypot(dx, dy);
      if (fingers.size === 2) {
        const now = pair(), one = view.span / X.size();
        X.pan(view.x - (now.clientX - two.clientX) * one,
          view.y + (now.clientY - two.clientY) * one);
        if (two.apart > 0 && now.apart > 0) {
          X.zoom(now.apart / two.apart, where(canvas, now));
        }
        two = now;
      } else if (went > 4 && X.drawing()) {
        X.cutTo([from, where(canvas, e)]);
      } else if (went > 4) {
        const one = view.span / X.size();
        X.pan(view.x - dx * one, view.y + dy * one);
      }
    };
    canvas.onpointerup = e => {
      if (!fingers.delete(e.pointerId)) return;
      two = fingers.size === 2 ? pair() : null;
      if (fingers.size || went === Infinity) return;
      if (went <= 4) {
        X.place(where(canvas, e));
        X.probe();
      } else if (X.drawing()) {
        X.cutTo([from, where(canvas, e)]);
        X.drawCut(false);
        X.takeCut();
      }
    };
    canvas.onpointercancel = e => {
      fingers.delete(e.pointerId);
      two = fingers.size === 2 ? pair() : null;
    };
    canvas.addEventListener("wheel", e => {
      e.preventDefault();
      X.zoom(Math.exp(-Math.max(-200, Math.min(200, e.deltaY)) * 0.002),
        where(canvas, e));
    }, { passive: false });
    canvas.onkeydown = e => {
      if (!e.ctrlKey && !e.metaKey && !e.altKey && key(e)) e.preventDefault();
    };
  }

  // A map: keys.
  let begun = null;
  function key(e) {
    const arrow = dldnaPage.arrow(e), [a, b] = X.cursor();
    if (arrow && e.shiftKey) {
      X.pan(view.x + arrow[0] * view.span / 8,
        view.y + arrow[1] * view.span / 8);
    } else if (arrow) {
      X.place([a + arrow[0] * view.span / 40, b + arrow[1] * view.span / 40]);
      X.says("Cursor at " + X.point(X.cursor()));
    } else if (e.key === "+" || e.key === "=") X.zoom(1.5, X.cursor());
    else if (e.key === "-") X.zoom(1 / 1.5, X.cursor());
    else if (e.key === "0") home();
    else if (e.key === "Enter") X.probe();
    else if (e.key === "w" && about.live) X.walk();
    else if (e.key === "c" && !begun) {
      begun = [a, b];
      X.says("The cut begins at " + X.point(begun) +
        ": press c where it ends.");
    } else if (e.key === "c") {
      X.cutTo([begun, [a, b]]);
      begun = null;
      X.takeCut();
    } else return false;
    return true;
  }

  // The surface in 3-D.
  let held = null;
  X.solid.onpointerdown = e => {
    held = [e.clientX, e.clientY];
    X.solid.setPointerCapture(e.pointerId);
  };
  X.solid.onpointermove = e => {
    if (!held) return;
    X.spin((e.clientX - held[0]) * -0.01, (e.clientY - held[1]) * 0.01);
    held = [e.clientX, e.clientY];
  };
  X.solid.onpointerup = X.solid.onpointercancel = () => {
    held = null;
  };
  X.solid.style.touchAction = "none";
  X.solid.onkeydown = e => {
    const arrow = dldnaPage.arrow(e);
    if (!arrow) return;
    e.preventDefault();
    X.spin(-0.1 * arrow[0], -0.1 * arrow[1]);
  };

  let wide = X.root.clientWidth;
  const resized = new ResizeObserver(() => {
    if (X.root.clientWidth === wide) return;
    wide = X.root.clientWidth;
    X.resize();
  });
  resized.observe(X.root);
  dldnaPage.onTheme(() => X.again());
  X.tables();
  X.resize();
  X.newPlane();
  return () => resized.disconnect();
}
