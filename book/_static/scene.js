// The camera of a 3-D figure lives in the page's address, as the settings of
// all other figures do: #scene1:eye=1.2*0.8*1.1
(function () {
  "use strict";
  var here = document.currentScript.src.replace(/scene\.js.*$/, "");
  var PLACES = ["eye", "center", "up"];

  // What figures share with the widgets, loaded with the first scene.
  var shared = null;
  function page() {
    shared =
      shared ||
      new Promise(function (resolve, reject) {
        var script = document.createElement("script");
        script.src = here + "vendor/page.js";
        script.onload = function () {
          resolve(dldnaPage); // a constant of that script
        };
        script.onerror = reject;
        document.head.appendChild(script);
      });
    return shared;
  }

  function name(box) {
    var all = document.querySelectorAll("[data-figure=scene]");
    return "scene" + (Array.from(all).indexOf(box) + 1);
  }

  // `far`: how many times further away the eye is than on a wide page.
  function keep(box, far) {
    if (!box._fullLayout.scene) return null;
    return page().then(function (P) {
      var start = camera(), place = document.createElement("p");
      function camera() {
        var now = box._fullLayout.scene.camera;
        return Object.fromEntries(
          PLACES.map(function (key) {
            var size = key === "eye" ? far : 1;
            return [key, ["x", "y", "z"].map(function (axis) {
              return Number((now[key][axis] / size).toFixed(3));
            }).join("*")];
          })
        );
      }
      function get() {
        var now = camera();
        PLACES.forEach(function (key) {
          if (now[key] === start[key]) delete now[key];
        });
        return now;
      }
      function put(settings) {
        var change = {};
        PLACES.forEach(function (key) {
          var text = settings[key] || start[key], size = key === "eye" ? far : 1;
          var at = text.split("*").map(function (v) {
            return P.within(v, -100, 100, NaN) * size;
          });
          if (at.length !== 3 || !at.every(isFinite)) return;
          change["scene.camera." + key] = { x: at[0], y: at[1], z: at[2] };
        });
        return window.Plotly.relayout(box, change);
      }
      place.className = "dldna-scene";
      box.after(place);
      P.address(box, "scene", place, get, put);
      box.on("plotly_relayout", function () {
        box.dispatchEvent(new Event("change"));
      });
    });
  }

  window.dldnaScene = {
    keep: keep,
    // Whether the page was opened by a link to this figure.
    asked: function (box) {
      var mark = "[#~]" + name(box) + ":";
      return new RegExp(mark).test(location.hash);
    },
  };
})();
