// A chapter as slides: ?slides shows as much of a section at a time as the
// screen holds. Long lists and tables are divided; what cannot be, a
// playground or a figure, is shown smaller. Folded code stays away.
(function () {
  "use strict";
  if (!/[?&]slides\b/.test(location.search)) return;
  var UNITS =
    ":scope > .cell > *, :scope > :not(section, .cell, h1, h2, h3, h4)";
  // What a block higher than the screen is divided into.
  var PARTS =
    ":scope > :is(p, ul, ol, dl, li, dt, dd, pre, tr, tbody, table, .citation," +
    " .citation-list, .docutils, .pst-scrollable-table-container," +
    " .admonition-title, .math)";
  var BELOW = 110; // the bar, and some air
  var SMALL = 0.5; // nothing is shown smaller than this
  var slides = [], at = 0, bar;

  function sections() {
    return Array.from(document.querySelectorAll("article section"));
  }
  function each(css, name, on) {
    document.querySelectorAll("article " + css).forEach(function (part) {
      part.classList.toggle(name, on);
    });
  }
  function room() {
    return window.innerHeight - BELOW;
  }
  // The block, or its parts where it is higher than the screen.
  function pieces(unit) {
    var height = unit.getBoundingClientRect().height;
    if (!height) return [];
    var inner = Array.from(unit.querySelectorAll(PARTS));
    if (height < 0.8 * room() || inner.length < 1) return [unit];
    if (inner.length !== unit.querySelectorAll(":scope > :not(thead)").length)
      return [unit];
    return inner.flatMap(pieces);
  }
  // The slides: each names its section and the blocks that are in sight.
  function cut() {
    var found = [];
    each("section", "dldna-off", false);
    each(".dldna-away", "dldna-away", false);
    document.querySelector("article").style.zoom = 1;
    sections().forEach(function (part) {
      var slide = null, used = 0;
      var heading = part.querySelector(":scope > :is(h1, h2, h3, h4)");
      var above = heading ? heading.getBoundingClientRect().height + 60 : 0;
      var units = Array.from(part.querySelectorAll(UNITS)).flatMap(pieces);
      units.forEach(function (unit) {
        var height = unit.getBoundingClientRect().height;
        var full = used + height > room();
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
  // Puts a block out of sight that is not on the slide, or those of its
  // parts that are not.
  function hide(units, block) {
    if (units.indexOf(block) >= 0) return;
    var holds = units.some(function (unit) {
      return block.contains(unit);
    });
    if (holds)
      block.querySelectorAll(PARTS).forEach(hide.bind(null, units));
    else block.classList.add("dldna-away");
  }
  // Makes a slide smaller until its last block stands above the bar.
  function fit(units) {
    var article = document.querySelector("article"), size = 1, last;
    function low() {
      article.style.zoom = size;
      last = units[units.length - 1].getBoundingClientRect();
      return last.bottom + window.scrollY;
    }
    while (low() > room() + 40 && size > SMALL) size -= 0.04;
  }
  function show(next) {
    at = Math.min(Math.max(next, 0), slides.length - 1);
    var now = slides[at];
    sections().forEach(function (part) {
      var off = part !== now.part;
      part.classList.toggle("dldna-off", off);
      part.classList.toggle("dldna-above", off && part.contains(now.part));
    });
    each(".dldna-away", "dldna-away", false);
    now.part.querySelectorAll(UNITS).forEach(hide.bind(null, now.units));
    bar.querySelector("span").textContent = at + 1 + " of " + slides.length;
    window.scrollTo(0, 0);
    fit(now.units);
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
