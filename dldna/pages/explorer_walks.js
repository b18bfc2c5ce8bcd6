// Walks: each grows piece by piece, until its end or until it is stopped.
function dldnaExplorerWalks(X) {
  "use strict";
  const { $, say } = X;
  const last = values => values[values.length - 1];
  let going = 0, halts = 0;

  function progress() {
    const now = X.walks().filter(w => !w.done);
    $("going").hidden = !going;
    $("progress").max = now.reduce((s, w) => s + w.of, 0) || 1;
    $("progress").value = now.reduce((s, w) => s + w.at, 0);
  }

  // What came joins what is there; the page draws it at once.
  function grown(walk, found) {
    for (const name of ["steps", "coords", "losses", "off"]) {
      walk[name].push(...found[name]);
    }
    Object.assign(walk, { walker: found.walker, at: found.at, done: found.done,
      ended: found.ended, away: say(last(walk.off)) });
    progress();
    X.tables();
    X.draw();
  }

  async function one(n, how, from) {
    const now = X.era(), halt = halts, { optimizer, lr, steps } = how;
    let found = await X.answered({ ask: "walk", ...X.plane(n), a: from[0],
      b: from[1], ...how });
    const walk = { steps: [], coords: [], losses: [], off: [], network: n,
      name: optimizer, rate: lr, of: steps, number: X.walks().length };
    if (now === X.era() && halt === halts) X.walks().push(walk);
    try {
      for (;;) {
        if (now === X.era()) grown(walk, found);
        if (found.done) break;
        if (now !== X.era() || halt !== halts) {
          walk.ended = "stopped";
          await X.answered({ ask: "stop", walker: found.walker });
          break;
        }
        found = await X.answered({ ask: "further", walker: found.walker });
      }
    } finally {
      walk.done = true;
    }
    if (now !== X.era()) return;
    X.tables();
    X.says(optimizer + " from " + X.point(from) + ": loss " +
      say(walk.losses[0]) + " to " + say(last(walk.losses)) + " in " +
      walk.at + " steps; " + (walk.ended ||
      "its end lies " + walk.away + " off the plane") + ".");
  }

  async function walk() {
    const how = { optimizer: $("optimizer").value,
      lr: Number($("rate").value), steps: Number($("steps").value) };
    const from = X.cursor();
    X.says(how.optimizer + " walks from " + X.point(from) + " …");
    going++;
    progress();
    try {
      await Promise.all(X.networks.map(n => one(n, how, from)));
    } catch (error) {
      X.says("No walk: " + error.message);
    }
    going--;
    progress();
  }

  // Nobody looks any more, nor waits for an answer.
  function leave() {
    X.walks().filter(w => !w.done).forEach(w =>
      X.answered({ ask: "stop", walker: w.walker }).catch(() => {}));
  }
  return { walk, halt: () => { halts++; }, leave };
}
