// The camera of a 3-D figure lives in the page's address, as the settings of
// all other figures do: #scene1:eye=1.2*0.8*1.1
(function () {
  "use strict";
  var PLACES = ["eye", "center", "up"];

  function name(box) {
    var all = document.querySelectorAll("[data-figure=scene]");
    return "scene" + (Array.from(all).indexOf(box) + 1);
  }

  // `P`: what figures share; `far`: how many times further away the eye is
  // than on a wide page.
  function keep(P, box, far) {
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
