// The playground's choice of two free parameters of a network, and of a batch.
function dldnaPlayNetwork(part) {
  "use strict";
  const { options } = dldnaDrawing;
  const word = ([k, i, j]) => (j < 0 ? "b" + (k + 1) + "[" + (i + 1) + "]"
    : "W" + (k + 1) + "[" + (i + 1) + "," + (j + 1) + "]");

  function offer(g) {
    const all = [];
    g.weights.forEach((m, k) => m.forEach((row, i) => {
      row.forEach((_, j) => all.push([k, i, j]));
      all.push([k, i, -1]);
    }));
    [0, 1].forEach((n) => options(part("free" + n),
      all.map((p) => [p.join(), word(p)]), g.free[n].join()));
    const sizes = [16, 64, 256].filter((n) => n < g.x.length);
    options(part("batch"), [...sizes.map((n) => [n, String(n)]),
      [g.x.length, "all " + g.x.length]], g.batch_size || g.x.length);
    g.names = g.free.map(word);
  }
  // Whether other parameters are free now; undefined if one is named twice.
  function taken(g) {
    const two = [0, 1].map((n) => part("free" + n).value.split(",").map(Number));
    if (two[0].join() === two[1].join()) return undefined;
    const changed = two.join() !== g.free.join();
    g.free = two;
    g.batch_size = Number(part("batch").value);
    if (changed) {
      g.start = two.map(([k, i, j]) => (j < 0 ? g.biases[k][i]
        : g.weights[k][i][j]));
      g.grid = null;
      g.keep = false;
    }
    return changed;
  }
  return { offer, taken };
}
