// Before require.js: where the widgets' own files are, so that nothing is
// asked of another server.
(function () {
  var here = document.currentScript.src.replace(/widgets\.js.*$/, "");
  window.__jupyter_widgets_assets_path__ = here + "html-manager/";
  window.require = {
    paths: {
      "@jupyter-widgets": here + "html-manager",
      "@jupyter-widgets/html-manager/dist": here + "html-manager",
    },
  };
})();
