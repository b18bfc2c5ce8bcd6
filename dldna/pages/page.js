// What the widgets share: numbers in words, sharp canvases, contours,
// settings that live in the page's address, missions.
const dldnaPage = (function () {
  "use strict";

  // A number in so many digits; very small and large ones as powers of 10.
  function number(v, digits, decimals) {
    const size = Math.abs(v);
    return size !== 0 && (size < 1e-3 || size >= 1e5)
      ? v.toExponential(decimals) : String(Number(v.toPrecision(digits)));
  }

  // In three digits; or that it is none.
  function brief(v) {
    return Number.isFinite(v) ? number(v, 3, 1) : "no number";
  }

  // Where an arrow key points, to the right and up. Nowhere, if it is another
  // key, or one that the browser or the system is meant to hear.
  const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1],
    ArrowDown: [0, -1] };
  function arrow(event) {
    const theirs = event.altKey || event.ctrlKey || event.metaKey;
    return theirs ? undefined : ARROWS[event.key];
  }

  // The pen of a canvas that is w x h on the page and as sharp as the
  // screen, and whether it became another size, which empties it.
  function sharp(canvas, w, h) {
    const ratio = window.devicePixelRatio || 1;
    const wide = Math.round(w * ratio), high = Math.round(h * ratio);
    const changed = canvas.width !== wide || canvas.height !== high;
    if (changed) {
      canvas.width = wide;
      canvas.height = high;
    }
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    return [pen, changed];
  }

  // Where an element is pointed at, in its own pixels from its left upper
  // corner inside the border: slides show what is tall smaller, and a pointer stays as it is.
  function place(element, event) {
    const box = element.getBoundingClientRect();
    const zoom = box.width / element.offsetWidth || 1;
    return [(event.clientX - box.left) / zoom - element.clientLeft,
      (event.clientY - box.top) / zoom - element.clientTop];
  }

  // What draws at most once a frame, however often it is asked to, and no
  // more when its root has left the page.
  function framed(root, draw) {
    let waiting = false;
    return () => {
      if (waiting) return;
      waiting = true;
      requestAnimationFrame((now) => {
        waiting = false;
        if (root.isConnected) draw(now);
      });
    };
  }

  // Call on every change of the theme, until what is returned is called.
  function onTheme(changed) {
    const seen = new MutationObserver(changed);
    seen.observe(document.documentElement,
      { attributes: true, attributeFilter: ["data-theme", "theme"] });
    const dark = window.matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", changed);
    return () => {
      seen.disconnect();
      dark.removeEventListener("change", changed);
    };
  }

  // Marching squares: straight pieces within each cell of the rows u, from
  // px(column) and py(row). A cell with a corner that is no number has none.
  function contour(pen, u, level, px, py) {
    for (let i = 0; i + 1 < u.length; i++) {
      for (let j = 0; j + 1 < u[0].length; j++) {
        const p = u[i][j], q = u[i][j + 1];
        const r = u[i + 1][j + 1], t = u[i + 1][j];
        const under = (p < level) + (q < level) + (r < level) + (t < level);
        if (under === 0 || under === 4) continue;
        const v = [p, q, r, t];
        if (v.some(Number.isNaN)) continue;
        const c = [[j, i], [j + 1, i], [j + 1, i + 1], [j, i + 1]];
        const cuts = [];
        for (let k = 0; k < 4; k++) {
          const m = (k + 1) % 4;
          if (v[k] < level === v[m] < level) continue;
          const s = (level - v[k]) / (v[m] - v[k]);
          cuts.push([c[k][0] + s * (c[m][0] - c[k][0]),
            c[k][1] + s * (c[m][1] - c[k][1])]);
        }
        for (let k = 0; k + 1 < cuts.length; k += 2) {
          pen.moveTo(px(cuts[k][0]), py(cuts[k][1]));
          pen.lineTo(px(cuts[k + 1][0]), py(cuts[k + 1][1]));
        }
      }
    }
  }

  // A place between the numbers of a list: 1.5 is halfway from 1 to 2.
  function between(list, at) {
    const k = Math.min(Math.floor(at), list.length - 2);
    return list[k] + (at - k) * (list[k + 1] - list[k]);
  }

  // The colour of a height from 0 to 1; grey for what is no number.
  const RAMP = [[68, 1, 84], [65, 68, 135], [42, 120, 142], [34, 168, 132],
    [122, 209, 81], [253, 231, 37]];
  function colour(t) {
    if (!(t >= 0 && t <= 1)) return [128, 128, 128];
    const k = Math.min(Math.floor(t * 5), 4), s = t * 5 - k;
    return [0, 1, 2].map(c => RAMP[k][c] + s * (RAMP[k + 1][c] - RAMP[k][c]));
  }

  // Sorted finite values as heights from 0 to 1, and a height's value. "log"
  // begins at the first value above 0, and is linear where there is none;
  // "clip" ends at the cut, which a tenth of the values exceed, if that is
  // above the lowest. `top` is where it ends before a flat range is widened.
  function scale(sorted, kind) {
    const last = sorted.length - 1;
    const log = kind === "log" && sorted[last] > 0;
    const low = log ? sorted.find((v) => v > 0) : last < 0 ? 0 : sorted[0];
    const cut = kind === "clip" ? sorted[Math.floor(0.9 * last)] : undefined;
    const top = cut > low ? cut : last < 0 ? 1 : sorted[last];
    const high = top > low ? top : low + Math.max(Math.abs(low), 1) * 1e-9;
    const span = log ? Math.log(high / low) : high - low;
    const height = (v) => (typeof v !== "number" ? NaN : Math.min(1, Math.max(0,
      (log ? Math.log(Math.max(v, low) / low) : v - low) / span)));
    const at = (t) => (log ? low * Math.exp(t * span) : low + t * span);
    return { low, high, top, cut, log, height, at };
  }
  // A wide range asks for logarithms, as elsewhere in the package.
  function usualScale(values) {
    let low = Infinity, high = -Infinity;
    for (const v of values) {
      if (!Number.isFinite(v)) continue;
      low = Math.min(low, v);
      high = Math.max(high, v);
    }
    return low > 0 && high / low > 20 ? "log" : "linear";
  }

  // --- settings in the address ------------------------------------------
  // #play1:steps=50&lr=0.1~map1:mu=0.9 : each figure has its own part.
  function unpacked(hash) {
    const parts = new Map();
    hash.replace(/^#/, "").split("~").forEach((part) => {
      const i = part.indexOf(":");
      if (i > 0) parts.set(part.slice(0, i), part.slice(i + 1));
    });
    return parts;
  }
  function packed(parts) {
    return "#" + [...parts].map(([name, text]) => name + ":" + text).join("~");
  }
  // Settings are words by name; an undefined one is left out.
  function written(settings) {
    return Object.entries(settings).filter(([, v]) => v !== undefined)
      .map(([k, v]) => k + "=" + encodeURIComponent(v).replace(/~/g, "%7E"))
      .join("&");
  }
  function read(text) {
    const settings = {};
    text.split("&").forEach((pair) => {
      const i = pair.indexOf("=");
      if (i < 1) return;
      try {
        settings[pair.slice(0, i)] = decodeURIComponent(pair.slice(i + 1));
      } catch (_) { /* half a letter: somebody cut the address */ }
    });
    return settings;
  }
  // What came by an address is a number within bounds, or one of a list, or
  // else what was there before.
  function within(text, low, high, before) {
    const v = text === undefined || text === "" ? NaN : Number(text);
    return v >= low && v <= high ? v : before;
  }
  function oneOf(text, list, before) {
    const at = list.map(String).indexOf(String(text));
    return at < 0 ? before : list[at];
  }

  // Let a figure's settings live in the page's address: get() gives them,
  // put(settings) takes those of a link. Whatever the reader does in the
  // figure is looked at, and written if a setting is another one than before.
  // The button in `place` copies the link.
  function address(root, kind, place, get, put) {
    const all = [...document.querySelectorAll("[data-figure=" + kind + "]")];
    const name = kind + (all.indexOf(root) + 1);
    let last = written(get()), waiting = 0;
    function take() {
      const mine = unpacked(location.hash).get(name);
      if (mine === undefined || mine === last) return false;
      put(read(mine));
      last = written(get());
      return true;
    }
    function keep() {
      const parts = unpacked(location.hash);
      parts.set(name, last = written(get()));
      try {
        history.replaceState(history.state, "", packed(parts));
      } catch (_) { /* a frame that has no address of its own */ }
      return location.href.replace(/#.*$/, "") + packed(parts);
    }
    function touched() {
      clearTimeout(waiting);
      waiting = setTimeout(() => {
        if (written(get()) !== last) keep();
      }, 400);
    }
    ["change", "click", "input", "keyup", "pointerup", "wheel"].forEach(
      (type) => root.addEventListener(type, touched, { passive: true }));
    const button = document.createElement("button");
    const said = document.createElement("output");
    button.type = "button";
    button.textContent = "Copy link";
    button.title = "A link that brings this figure back as it is now";
    button.addEventListener("click", () => {
      const link = keep();
      const shown = () => { said.textContent = link; };
      said.textContent = "";
      if (!navigator.clipboard) return shown();
      navigator.clipboard.writeText(link).then(() => {
        said.textContent = "Copied.";
      }, shown);
    });
    said.className = "dldna-link";
    place.classList.add("dldna-share");
    place.append(button, " ", said);
    window.addEventListener("hashchange", take);
    if (take()) {
      window.addEventListener("load", () => root.scrollIntoView());
    }
  }

  // --- missions -----------------------------------------------------------
  // Tasks that the page checks: [{ say, done(now) }]. The answer is called
  // with what is now; a task that was done once stays done. Nothing is done
  // before the reader has touched the figure.
  function missions(root, place, list) {
    const box = document.createElement("details");
    const head = document.createElement("summary");
    const tasks = document.createElement("ol");
    const told = document.createElement("p");
    const items = list.map((one) => {
      const item = document.createElement("li");
      item.textContent = one.say;
      tasks.append(item);
      return { ...one, item, reached: false };
    });
    told.setAttribute("role", "status");
    box.className = "dldna-missions";
    box.append(head, tasks);
    place.append(box, told);
    const count = () => items.filter((one) => one.reached).length;
    const title = () => {
      head.textContent = "Missions: " + count() + " of " + items.length +
        " done";
    };
    let touched = false;
    ["input", "keydown", "pointerdown"].forEach((type) =>
      root.addEventListener(type, () => { touched = true; }, true));
    title();
    return function check(now) {
      if (!touched) return;
      items.filter((one) => !one.reached && one.done(now)).forEach((one) => {
        one.reached = true;
        one.item.textContent = "✓ " + one.say;
        one.item.className = "dldna-done";
        told.textContent = "Mission done: " + one.say;
        title();
      });
    };
  }

  return { address, arrow, between, brief, colour, contour, framed, missions,
    number, onTheme, oneOf, packed, place, read, scale, sharp, unpacked,
    usualScale, within, written };
})();
