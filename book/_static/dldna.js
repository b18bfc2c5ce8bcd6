// The book's own behaviour. No library, no request to another server.
(function () {
  "use strict";
  var root = document.currentScript.src.replace(/dldna\.js.*$/, "");

  // --- search from disk: a page may not read its neighbours there, so the
  // results come without excerpts instead of with an error.
  if (
    location.protocol === "file:" &&
    typeof DOCUMENTATION_OPTIONS !== "undefined"
  ) {
    DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
  }

  // --- scripts that are loaded once, when they are first wanted.
  function once(path, made) {
    var loading = null;
    return function () {
      loading =
        loading ||
        new Promise(function (resolve, reject) {
          var script = document.createElement("script");
          script.src = root + path;
          script.onload = function () {
            resolve(made());
          };
          script.onerror = reject;
          document.head.appendChild(script);
        });
      return loading;
    };
  }

  // 1.8 MB, when a figure comes into view.
  var library = once("vendor/plotly/plotly-gl3d.min.js", function () {
    return window.Plotly;
  });
  // What figures share with the widgets.
  var page = once("vendor/page.js", function () {
    return dldnaPage; // a constant of that script
  });

  // A figure's ground and letters are the page's.
  function dressed(layout) {
    var dark = document.documentElement.dataset.theme === "dark";
    var ink = dark ? "#ced6dd" : "#222";
    layout.paper_bgcolor = "rgba(0,0,0,0)";
    layout.font = Object.assign({}, layout.font, { color: ink });
    var scene = layout.scene || {};
    ["xaxis", "yaxis", "zaxis"].forEach(function (axis) {
      scene[axis] = Object.assign({}, scene[axis], {
        color: ink,
        backgroundcolor: "rgba(0,0,0,0)",
        gridcolor: dark ? "#48566b" : "#d8dde3",
        zerolinecolor: dark ? "#68778d" : "#b8bfc8",
      });
    });
    layout.scene = scene;
    return layout;
  }

  new MutationObserver(function () {
    document.querySelectorAll(".dldna-plotly[data-drawn=yes]").forEach(
      function (box) {
        window.Plotly.react(box, box.data, dressed(box.layout));
      }
    );
  }).observe(document.documentElement, { attributeFilter: ["data-theme"] });

  // On a phone the bar of colours lies below, and the eye steps back.
  var FAR = 1.3;
  function narrow(figure) {
    figure.data.forEach(function (trace) {
      if (!trace.colorbar) return;
      trace.colorbar.orientation = "h";
      trace.colorbar.thickness = 12;
      trace.colorbar.y = -0.05;
    });
    var scene = figure.layout.scene || {};
    var eye = scene.camera && scene.camera.eye;
    Object.keys(eye || {}).forEach(function (axis) {
      eye[axis] *= FAR;
    });
    ["xaxis", "yaxis", "zaxis"].forEach(function (axis) {
      var title = scene[axis] && scene[axis].title;
      if (!title) return;
      title.font = { size: 11 };
      // Which direction it is stands in the caption; here it would be cut off.
      title.text = (title.text || "")
        .replace(/^alpha .*/, "α").replace(/^beta .*/, "β");
    });
  }

  function draw(box) {
    var figure = JSON.parse(box.querySelector("script").textContent);
    var layout = figure.layout || {};
    layout.autosize = true;
    delete layout.width;
    var far = box.clientWidth < 500 ? FAR : 1;
    if (far > 1) narrow(figure);
    return library()
      .then(function (Plotly) {
        box.querySelector(".dldna-waiting").remove();
        return Plotly.newPlot(box, figure.data, dressed(layout), {
          displaylogo: false,
          responsive: true,
        });
      })
      .then(function () {
        if (figure.frames) {
          return window.Plotly.addFrames(box, figure.frames);
        }
      })
      .then(function () {
        return box._fullLayout.scene && page();
      })
      .then(function (P) {
        return P && window.dldnaScene.keep(P, box, far);
      })
      .then(function () {
        box.dataset.drawn = "yes";
      })
      .catch(function (error) {
        box.dataset.drawn = "no";
        var note = document.createElement("p");
        note.textContent = "This figure could not be drawn: " + error;
        box.appendChild(note);
      });
  }

  function figures() {
    var boxes = document.querySelectorAll(".dldna-plotly");
    if (!("IntersectionObserver" in window)) {
      boxes.forEach(draw);
      return;
    }
    var seen = new IntersectionObserver(
      function (entries) {
        entries.forEach(function (entry) {
          if (entry.isIntersecting) {
            seen.unobserve(entry.target);
            draw(entry.target);
          }
        });
      },
      { rootMargin: "400px" }
    );
    boxes.forEach(function (box) {
      if (window.dldnaScene.asked(box)) box.scrollIntoView();
      seen.observe(box);
    });
    window.addEventListener("beforeprint", function () {
      boxes.forEach(function (box) {
        if (!box.dataset.drawn) draw(box);
      });
    });
  }

  // --- whatever scrolls can be reached and scrolled by keyboard.
  function focusable() {
    document
      .querySelectorAll(".bd-article mjx-container:not([display])")
      .forEach(function (formula) {
        formula.classList.remove("dldna-wide");
        var room = formula.closest("p, li, dd, td, .bd-article").clientWidth;
        var wide = formula.getBoundingClientRect().width > room;
        formula.classList.toggle("dldna-wide", wide);
      });
    document
      .querySelectorAll(
        ".bd-article pre, .bd-article table, .bd-article .output," +
          " .bd-article div.math, .bd-article mjx-container[display='true']," +
          " .bd-article mjx-container.dldna-wide," +
          " .bd-article .cell_output > div"
      )
      .forEach(function (box) {
        var wide = box.scrollWidth > box.clientWidth + 1;
        if (wide && !box.hasAttribute("tabindex")) {
          box.setAttribute("tabindex", "0");
          box.dataset.dldnaFocus = "yes";
        } else if (!wide && box.dataset.dldnaFocus) {
          box.removeAttribute("tabindex");
        }
      });
  }

  // --- the numbers behind a figure can be heard: each column in turn, low
  // pitch for small values, over one scale for the whole figure.
  var sound = null, hush = null;
  function columns(table) {
    var rows = Array.from(table.querySelectorAll("tbody tr"));
    var names = Array.from(table.querySelectorAll("thead th"));
    return names
      .map(function (name, k) {
        var values = rows.map(function (row) {
          return Number(row.children[k].textContent);
        });
        return { name: name.textContent, values: values };
      })
      .slice(1) // the first column is the axis
      .filter(function (column) {
        return column.values.filter(isFinite).length > 4;
      });
  }
  function tones(values, low, high) {
    var log = low > 0 && high > 10 * low;
    var f = log ? Math.log : Number;
    return values.map(function (v) {
      if (!isFinite(v)) return 80;
      return 220 * Math.pow(4, (f(v) - f(low)) / (f(high) - f(low) || 1));
    });
  }
  function play(list, done) {
    var all = [].concat.apply([], list.map(function (c) { return c.values; }));
    all = all.filter(isFinite);
    var low = Math.min.apply(null, all), high = Math.max.apply(null, all);
    var context = new (window.AudioContext || window.webkitAudioContext)();
    var when = context.currentTime + 0.1, voice;
    list.forEach(function (column) {
      var step = Math.min(0.12, 2.5 / column.values.length);
      var gain = context.createGain();
      voice = context.createOscillator();
      gain.gain.value = 0.1;
      tones(column.values, low, high).forEach(function (hz, k) {
        voice.frequency.setValueAtTime(hz, when + k * step);
      });
      voice.connect(gain).connect(context.destination);
      voice.start(when);
      when += step * column.values.length;
      voice.stop(when);
      when += 0.5;
    });
    voice.onended = done;
    return context;
  }
  function listen() {
    document.querySelectorAll(".dldna-data").forEach(function (box) {
      var list = columns(box.querySelector("table"));
      var Kind = window.AudioContext || window.webkitAudioContext;
      if (!list.length || list.length > 8 || !Kind) return;
      var button = document.createElement("button");
      button.type = "button";
      button.className = "dldna-listen";
      var words = document.createElement("span");
      words.setAttribute("role", "status");
      function silence() {
        if (sound) sound.close();
        sound = null;
        button.textContent = "Listen";
        button.setAttribute("aria-pressed", "false");
      }
      silence();
      button.onclick = function () {
        var mine = sound && hush === silence;
        if (sound) hush();
        if (mine) return;
        hush = silence;
        sound = play(list, silence);
        button.textContent = "Stop";
        button.setAttribute("aria-pressed", "true");
        words.textContent =
          " Low pitch is a small value. In turn: " +
          list.map(function (c) { return c.name; }).join(", ") + ".";
      };
      box.querySelector("summary").after(button, words);
    });
  }

  function start() {
    listen();
    figures();
    focusable();
    window.addEventListener("resize", focusable);
    if (window.MathJax && MathJax.startup && MathJax.startup.promise) {
      MathJax.startup.promise.then(focusable);
    }
  }
  if (document.readyState === "loading") {
    document.addEventListener("DOMContentLoaded", start);
  } else {
    start();
  }
  window.addEventListener("load", focusable);

  // --- folded cells that follow each other share one fold: a cell whose code
  // is folded and that shows nothing lends it to the next one.
  function gathered() {
    var folded = "article .cell.tag_hide-input";
    document.querySelectorAll(folded).forEach(function (cell) {
      var next = cell.nextElementSibling;
      if (cell.querySelector(":scope > .cell_output")) return;
      if (!next || !next.matches(".cell.tag_hide-input")) return;
      var fold = next.querySelector(":scope > details > .cell_input");
      var own = cell.querySelectorAll(":scope > details > .cell_input");
      own.forEach(function (code) {
        fold.before(code);
      });
      cell.querySelector(":scope > details").remove();
      cell.classList.add("dldna-lent");
    });
  }

  // --- a rule is read without its long description: the lines from "Args" on
  // are folded behind a button.
  function short(pre) {
    var lines = Array.from(pre.querySelectorAll("span.sd"));
    var from = lines.findIndex(function (line) {
      return /^\s*(Args|Returns|Raises|References|Example):/.test(
        line.textContent);
    });
    var to = lines.length - 1;
    if (from < 1 || to - from < 3) return;
    var range = document.createRange();
    range.setStartBefore(lines[from]);
    range.setEndBefore(lines[to]);
    var rest = document.createElement("span");
    rest.hidden = true;
    rest.appendChild(range.extractContents());
    var button = document.createElement("button");
    button.type = "button";
    button.className = "dldna-more";
    button.textContent = "…";
    button.setAttribute("aria-label", "the whole description");
    button.onclick = function () {
      rest.hidden = false;
      button.remove();
    };
    lines[to].before(rest, button, "\n");
  }
  function tidy() {
    gathered();
    document.querySelectorAll("article pre").forEach(function (pre) {
      if (!pre.closest(".cell, dl.py")) short(pre);
    });
  }
  if (document.readyState === "loading")
    document.addEventListener("DOMContentLoaded", tidy);
  else tidy();
})();
