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

  // --- plotly: its 5 MB are loaded once, when a figure comes into view.
  var plotly = null;
  function library() {
    plotly =
      plotly ||
      new Promise(function (resolve, reject) {
        var script = document.createElement("script");
        script.src = root + "vendor/plotly.min.js";
        script.onload = function () {
          resolve(window.Plotly);
        };
        script.onerror = reject;
        document.head.appendChild(script);
      });
    return plotly;
  }

  function draw(box) {
    var figure = JSON.parse(box.querySelector("script").textContent);
    var layout = figure.layout || {};
    layout.autosize = true;
    delete layout.width;
    return library()
      .then(function (Plotly) {
        box.querySelector(".dldna-waiting").remove();
        return Plotly.newPlot(box, figure.data, layout, {
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

  function start() {
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
})();
