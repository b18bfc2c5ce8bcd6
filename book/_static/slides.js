// A chapter as slides: ?slides shows as much of a section at a time as the
// screen holds. Code that is folded in the page stays away.
(function () {
  "use strict";
  if (!/[?&]slides\b/.test(location.search)) return;
  var UNITS =
    ":scope > .cell > *, :scope > :not(section, .cell, h1, h2, h3, h4)";
  var BELOW = 110; // the bar, and some air
  var slides = [], at = 0, bar;

  function sections() {
    return Array.from(document.querySelectorAll("article section"));
  }
  function each(css, name, on) {
    document.querySelectorAll("article " + css).forEach(function (part) {
      part.classList.toggle(name, on);
    });
  }
  // The slides: each names its section and the blocks that are in sight.
  function cut() {
    var found = [];
    each("section", "dldna-off", false);
    each(".dldna-away", "dldna-away", false);
    sections().forEach(function (part) {
      var slide = null, used = 0;
      var heading = part.querySelector(":scope > :is(h1, h2, h3, h4)");
      var above = heading ? heading.getBoundingClientRect().height + 60 : 0;
      part.querySelectorAll(UNITS).forEach(function (unit) {
        var height = unit.getBoundingClientRect().height;
        if (!height) return;
        var full = used + height > window.innerHeight - BELOW;
        if (!slide || full || unit.matches(".dldna-exercise")) {
          slide = { part: part, units: [] };
          used = above;
          found.push(slide);
        }
        slide.units.push(unit);
        used += height + 18;
      });
    });
    return found;
  }
  function show(next) {
    at = Math.min(Math.max(next, 0), slides.length - 1);
    var now = slides[at];
    sections().forEach(function (part) {
      var off = part !== now.part;
      part.classList.toggle("dldna-off", off);
      part.classList.toggle("dldna-above", off && part.contains(now.part));
    });
    now.part.querySelectorAll(UNITS).forEach(function (unit) {
      unit.classList.toggle("dldna-away", now.units.indexOf(unit) < 0);
    });
    bar.querySelector("span").textContent = at + 1 + " of " + slides.length;
    window.scrollTo(0, 0);
    window.dispatchEvent(new Event("resize"));
  }
  function leave() {
    location.href = location.pathname + "#" + slides[at].part.id;
  }
  // Cut anew, and stay with what is in sight.
  function anew() {
    var seen = slides[at] && slides[at].units[0];
    slides = cut();
    var place = slides.findIndex(function (slide) {
      return seen
        ? slide.units.indexOf(seen) >= 0
        : "#" + slide.part.id === location.hash;
    });
    show(place);
  }
  function fetched(image) {
    image.loading = "eager";
    return image.decode().catch(function () {});
  }
  function turn(event) {
    // Figures, sliders and fields keep their keys.
    var own = "input, select, textarea, canvas, [role='slider']";
    if (event.target.closest(own + ", .dldna-plotly")) return;
    if (["ArrowRight", "PageDown"].includes(event.key)) show(at + 1);
    else if (["ArrowLeft", "PageUp"].includes(event.key)) show(at - 1);
    else if (event.key === "Escape") leave();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
  function start() {
    if (!sections().length) return;
    bar = document.createElement("div");
    bar.className = "dldna-slide-bar";
    bar.innerHTML =
      '<button type="button">Back</button>' +
      '<span aria-live="polite"></span>' +
      '<button type="button">Next</button>' +
      '<button type="button">Leave</button>';
    document.body.appendChild(bar);
    document.body.classList.add("dldna-slides");
    var buttons = bar.querySelectorAll("button");
    buttons[0].onclick = function () {
      show(at - 1);
    };
    buttons[1].onclick = function () {
      show(at + 1);
    };
    buttons[2].onclick = leave;
    document.addEventListener("keydown", turn, true);
    anew();
    // Formulas and pictures have their heights later.
    var shown = Array.from(document.images).filter(function (image) {
      return !/dldna-(phone|dark)/.test(image.className);
    });
    var maths = window.MathJax && MathJax.startup && MathJax.startup.promise;
    Promise.all(shown.map(fetched).concat(maths)).then(function () {
      anew();
      document.body.dataset.slides = "ready";
    });
  }
  if (document.readyState === "complete") start();
  else window.addEventListener("load", start);
})();
