// The explorer: asks for what is looked at, and draws it. `ask(message)`
// promises an answer; `link` says whether the page's address keeps the view.
function dldnaExplore(root, ask, about, link, opening) {
  "use strict";
  const E = dldnaExplorer, D = dldnaExplorerDraw;
  const $ = name => root.querySelector("[data-ex='" + name + "']");
  const say = v => (typeof v === "number" ? dldnaPage.number(v, 4, 2)
    : v === null || v === undefined ? "–" : String(v));
  const point = ([a, b]) => "(" + say(a) + ", " + say(b) + ")";
  const choices = { directions: about.directions, scale: ["linear", "log",
    "clip"], statistics: about.statistics, lines: ["yes", "no"],
    deep: ["yes", "no"] };
  const whole = { x: 0, y: 0, span: 2 * about.extent };
  const view = { ...whole, ...about.first, scale: "", lines: "yes",
    deep: "no" };
  Object.assign(view, E.fromLink(opening || (link ? location.hash : ""),
    choices));
  const networks = Array.from({ length: about.networks }, (_, n) => n);
  const names = about.networks > 1 ? ["first", "beside"] : [about.model];
  let cursor = [view.x, view.y], cut = null, walks = [], drawing = false;
  let planes = [], stores = [], pictures = [], scale = null, size = 320;
  let turn = 0.7, tilt = 0.6, stale = true, busy = false;
  let era = 0, shown = null, usual = "linear", asked = null;
  let ended = false;
  const readings = new Map();

  const plane = n => ({ side: n, directions: view.directions,
    seed: view.seed, statistics: view.statistics });
  async function answered(message) {
    const found = await ask(message);
    if (found.error) throw new Error(found.error);
    return found;
  }
  const slow = () => planes.length && planes[0].strides.length > 2;
  function says(text) {
    $("says").textContent = text;
  }

  // Canvases, one for each network, and one for the surface in 3-D.
  const maps = D.canvases($("maps"), networks);
  const deep = document.createElement("figure");
  deep.innerHTML = "<canvas tabindex='0' role='img' " +
    "aria-label='Surface in three dimensions'></canvas>" +
    "<figcaption>The window's surface. Drag or arrow keys turn it." +
    "</figcaption>";
  $("maps").append(deep);
  const solid = deep.firstChild;

  // What is looked at, coarse first, one tile after the other.
  const level = () => E.levelFor(view, size, about.extent, about.lowest,
    about.deepest);
  async function fetchTiles() {
    if (busy) return;
    busy = true;
    const now = era;
    try {
      for (;;) {
        const at = level();
        const todo = networks.flatMap(n => E.wanted(view, at, about.extent,
          stores[n], planes[n].strides).map(t => ({ ...t, n })));
        todo.sort((a, b) => b.stride - a.stride);
        const next = todo.find(t => about.live
          || !stores[t.n].missing.has([t.level, t.i, t.j].join()));
        if (!next && !stale) view.scale = view.scale || usual;
        if (!next || now !== era) break;
        const { level: l, i, j, stride, first, n } = next;
        const found = await answered({ ask: "tile", ...plane(n), level: l, i,
          j, stride, first });
        if (now !== era) break;
        if (found.losses) {
          stores[n].put(l, i, j, found.stride, found.first,
            E.unpacked(found.losses));
          stale = true;
          draw();
        } else stores[n].missing.add([l, i, j].join());
      }
      tellState();
    } catch (error) {
      says("Not computed: " + error.message);
    }
    busy = false;
    if (now !== era && !ended) fetchTiles();
  }

  async function newPlane() {
    const now = ++era;
    stores = networks.map(() => ({ ...E.tileStore(), missing: new Set() }));
    planes = [];
    walks = [];
    cut = null;
    shown = null;
    readings.clear();
    tables();
    stale = true;
    $("cutting").hidden = true;
    try {
      const found = [];
      for (const n of networks) {
        found.push(await answered({ ask: "plane", ...plane(n) }));
      }
      if (now !== era) return;
      planes = found;
      maps.forEach(({ caption, n }) => {
        caption.textContent = names[n] + ": α along " + planes[n].axes[0] +
          ", β along " + planes[n].axes[1];
      });
    } catch (error) {
      if (now === era) says("No such map: " + error.message);
      return;
    }
    const said = planes.flatMap(p => p.said || []);
    says(planes[0].axes.join(" and ") + ". The centre's loss is " +
      planes.map(p => say(p.centre)).join(" and ") + ". " + said.join(" "));
    draw();
    fetchTiles();
  }

  // Mosaics are made anew where tiles came or the window left them.
  function repaint(at) {
    const made = networks.map(n => E.mosaic(stores[n], view, at,
      about.extent, about.lowest));
    const values = made.flatMap(m => m.rows).flatMap(row => [...row]);
    const known = made.some(m => m.known);
    usual = known ? dldnaPage.usualScale(values) : "linear";
    scale = E.scaleOf(values, view.scale || usual, say);
    pictures = known ? made.map(m => D.painted(m, scale,
      view.lines === "yes")) : [];
    const box = E.tilesIn(view, at, about.extent);
    shown = [at, box.i0, box.i1, box.j0, box.j1].join();
    $("scale").value = view.scale || usual;
    D.legend($("legend"), room(), scale);
    tellState();
    stale = false;
  }
  const room = () => Math.max(240, root.clientWidth
    - parseFloat(getComputedStyle(root).paddingLeft) * 2 - 2);

  function paint() {
    if (!planes.length) return;
    const at = level(), box = E.tilesIn(view, at, about.extent);
    const here = [at, box.i0, box.i1, box.j0, box.j1].join();
    if (stale || here !== shown) repaint(at);
    for (const { canvas, n } of maps) {
      D.map(canvas, size, pictures[n], { view, cursor, cut,
        path: planes[n].path, walks: walks.filter(w => w.network === n) });
    }
    deep.hidden = view.deep !== "yes";
    if (!deep.hidden && pictures.length) {
      D.solid(solid, size, pictures[0], turn, tilt);
      solid.setAttribute("aria-label", "Surface in three dimensions, " +
        scale.words);
    }
    if (!waiting) waiting = setTimeout(tellView, 150);
  }
  const draw = dldnaPage.framed(root, paint);
  function tellState() {
    const at = level(), tiles = stores.reduce((s, x) => s + x.size(), 0);
    const ended = at === about.deepest && view.span < about.extent / 2 ** at;
    const lacking = ended || stores.some(s => [...s.missing].some(k =>
      k.startsWith(at + ",")));
    $("state").textContent = (scale ? scale.words + ". " : "") + tiles +
      (tiles === 1 ? " tile" : " tiles") + ", zoom level " + at + (planes[0] ? ", way: " + planes[0].way
        : "") + (about.live && slow()
      ? ", about " + dldnaPage.number(planes[0].seconds, 2, 1) +
        " s a point" : "") + (lacking ? "; finer or further tiles are not in this file"
      : "") + ".";
  }
  // What need not follow each frame: words, and the link.
  let waiting = 0;
  function tellView() {
    waiting = 0;
    if (!root.isConnected) return;
    maps.forEach(({ canvas, n }) => canvas.setAttribute("aria-label",
      "Map of the loss of " + names[n] + " around " +
      point([view.x, view.y]) + ", " + say(view.span) +
      " wide. Cursor at " + point(cursor)));
    const { x, y, span, ...rest } = view, text = E.toLink({ x, y, span,
      ...rest, scale: view.scale || usual });
    $("link").setAttribute("href", text);
    $("link").dataset.view = text;
    if (link) history.replaceState(null, "", text);
  }
  function moved() {
    draw();
    fetchTiles();
  }

  // Zoom so that the point under the fingers stays there.
  function zoom(factor, [a, b]) {
    const span = Math.min(1e9, Math.max(1e-6 * about.extent,
      view.span / factor)), f = span / view.span;
    view.x = a + (view.x - a) * f;
    view.y = b + (view.y - b) * f;
    view.span = span;
    moved();
  }
  function pan(x, y) {
    view.x = Math.min(1e6, Math.max(-1e6, x));
    view.y = Math.min(1e6, Math.max(-1e6, y));
    moved();
  }

  const tables = () => D.tables(root, names, readings, walks, say);

  async function probe() {
    const [a, b] = cursor, now = era, here = cursor;
    readings.clear();
    tables();
    if (!about.live) {
      const losses = networks.map(n => E.valueAt(stores[n], level(), a, b,
        about.extent, about.lowest));
      networks.forEach(n => readings.set(n, { loss: losses[n] }));
      tables();
      says("At " + point(cursor) + ": loss " + losses.map(say).join(" and ") +
        ", interpolated between the points of this file.");
      draw();
      return;
    }
    draw();
    const again = asked && asked.join() === [era, ...here].join();
    const later = slow() && !again;
    if (slow()) says("Probing at " + point(here) + " …");
    asked = [era, ...here];
    try {
      for (const n of networks) {
        readings.set(n, await answered({ ask: "probe", ...plane(n), a, b }));
        if (now !== era || here !== cursor) return;
        tables();
      }
      says("At " + point(here) + ": loss " + networks.map(n =>
        say(readings.get(n).loss)).join(" and ") + ", on " +
        readings.get(0).samples + " samples." + (later ? " Probe here again " +
        "for the largest eigenvalue, which takes long on this network." :
        ""));
      for (const n of later ? [] : networks) {
        const found = await answered({ ask: "curvature", ...plane(n), a, b });
        if (now !== era || here !== cursor) return;
        readings.get(n).curvature = found;
        tables();
      }
    } catch (error) {
      says("Not probed: " + error.message);
    }
  }

  async function takeCut() {
    const [[a, b], [c, d]] = cut, now = era, points = 129;
    draw();
    try {
      const found = [];
      for (const n of networks) {
        found.push(about.live ? await answered({ ask: "cut", ...plane(n), a,
          b, c, d, points }) : E.cutBetween(stores[n], planes[n], level(),
          about.extent, about.lowest, cut, points));
      }
      if (now !== era) return;
      $("cutting").hidden = false;
      D.cut($("cut"), Math.min(room() - 2, 720), found);
      const flat = found.map(f => f.losses.filter(Number.isFinite));
      const text = "Cut from " + point([a, b]) + " to " + point([c, d]) +
        ": " + flat.map((f, n) => (about.networks > 1 ? names[n] + ", " : "") +
          "loss from " + say(Math.min(...f)) + " to " + say(Math.max(...f)))
        .join("; ") + (about.networks > 1 ? "; dashed: beside" : "") +
        (about.live ? "." : ", interpolated between the points of this file.");
      $("cut-says").textContent = text;
      $("cut").setAttribute("aria-label", text);
      says(text);
    } catch (error) {
      says("No cut: " + error.message);
    }
  }
  function drawCut(on) {
    drawing = on;
    $("drawing").setAttribute("aria-pressed", String(on));
    says(on ? "Drag along a line on a map; or move the cursor and press c " +
      "where the cut begins and where it ends." : "");
  }

  const { walk, halt, leave } = dldnaExplorerWalks({ $, networks, plane, answered,
    says, say, point, tables: () => tables(), draw: () => draw(),
    era: () => era, cursor: () => cursor, walks: () => walks });
  async function save() {
    try {
      for (const n of networks) {
        const found = await answered({ ask: "save", ...plane(n), a: view.x,
          b: view.y, span: view.span });
        says("Kept in " + found.written + ": picture, record and code.");
      }
    } catch (error) {
      says("Not kept: " + error.message);
    }
  }

  return dldnaExplorerControls({ $, root, about, view, maps, solid, deep,
    link, choices, whole, newPlane, moved, draw, zoom, pan, probe, takeCut,
    drawCut, walk, halt, save, says, tables, point,
    drawing: () => drawing,
    cursor: () => cursor,
    place(at) {
      cursor = at;
      readings.clear();
      tables();
      draw();
    },
    cutTo(line) { cut = line; draw(); },
    forget() { halt(); walks = []; tables(); draw(); },
    spin(dx, dy) {
      turn += dx;
      tilt = Math.min(1.55, Math.max(0.05, tilt + dy));
      draw();
    },
    again() { stale = true; draw(); },
    end() { ended = true; leave(); era++; },
    resize() {
      const many = maps.length + (view.deep === "yes" ? 1 : 0), all = room();
      const across = Math.max(1, Math.min(many, Math.floor(all / 330)));
      size = Math.floor(Math.min(640, all / across - (across > 1 ? 14 : 2)));
      $("maps").style.gridTemplateColumns = "repeat(" + across + ", 1fr)";
      stale = true;
      if (stores.length) moved();
    },
    size: () => size,
  });
}
