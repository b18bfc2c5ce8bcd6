// The playground's settings as words of an address, and its missions.
const dldnaPlayShare = (function () {
  "use strict";
  const DECAYS = [0, 0.5, 0.7, 0.8, 0.9, 0.95, 0.96, 0.98, 0.99, 0.995, 0.999,
    0.9999];
  // The other settings of a rule: label, and the values of its slider.
  const DIALS = {
    momentum: ["momentum", DECAYS],
    "betas/0": ["β₁", DECAYS],
    "betas/1": ["β₂", DECAYS],
    alpha: ["α", DECAYS],
    beta: ["β", [0, 0.2, 0.4, 0.6, 0.8, 0.9]],
    rho: ["ρ", [0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2]],
    gamma: ["γ", [1e-3, 1e-2, 0.05, 0.1, 0.5, 1]],
    trust: ["trust", [1e-3, 1e-2, 0.1, 1]],
    weight_decay: ["weight decay",
      [0, 1e-4, 1e-3, 1e-2, 0.03, 0.1, 0.2, 0.5, 1]],
  };
  function dials(name) {
    const h = dldnaRules.table[name].defaults;
    return Object.keys(DIALS).filter((key) => {
      const k = key.split("/")[0];
      if (name === "signsgd" && k === "betas") return false;
      if (name === "sgd" && k === "momentum") return false;
      return k in h && (name !== "pal" || k !== "alpha");
    });
  }
  function usual(name, key) {
    const [k, i] = key.split("/"), h = dldnaRules.table[name].defaults;
    return i === undefined ? h[k] : h[k][i];
  }

  // sgd*0.1!adam*0.03*betas.0*0.5 : each optimizer, its rate, and what is
  // another value than usual. value(name, key) tells what is.
  function written(chosen, value) {
    return chosen.map((name) => [name, value(name, "lr"),
      ...dials(name).filter((k) => value(name, k) !== usual(name, k))
        .flatMap((k) => [k.replace("/", "."), value(name, k)])].join("*"))
      .join("!");
  }
  // The same back, [[name, {key: value}]]; what makes no sense is left out.
  function read(text) {
    const found = new Map();
    (text || "").split("!").forEach((part) => {
      const [name, lr, ...rest] = part.split("*");
      const known = Object.keys(dldnaRules.table).includes(name);
      if (!known || found.size === 8) return;
      const mine = { lr: dldnaPage.within(lr, 1e-6, 32, undefined) };
      if (mine.lr === undefined) return;
      for (let k = 0; k + 1 < rest.length; k += 2) {
        const key = rest[k].replace(".", "/"), list = dials(name)
          .includes(key) ? DIALS[key][1] : [0, -1];
        const v = dldnaPage.within(rest[k + 1], list[0],
          list[list.length - 1], undefined);
        if (v !== undefined) mine[key] = v;
      }
      found.set(name, mine);
    });
    return [...found];
  }

  // Where tuning at once would take too long.
  const RATES = { adagrad: 0.3, adafactor: 0.1, dadapt_adam: 1, lamb: 0.03,
    lars: 3, lion: 0.03, momentum: 0.003, nesterov: 0.003, pal: 0.1,
    prodigy: 1, schedule_free_adamw: 0.1, schedule_free_sgd: 0.1, sgd: 0.03,
    sam: 0.03, asam: 0.03, shampoo: 0.3, signsgd: 0.03, sophia: 0.03 };

  const last = (path) => path.losses[path.losses.length - 1];
  const grows = (path) => path.over !== null || last(path) > path.losses[0];

  // again(name, factor): the walk at so many times the rate. What a mission
  // needs, one of the surfaces has to have.
  const MISSIONS = [
    { say: "Make Adam end above its start. A large rate alone hardly does " +
        "it: try its two decay rates.",
      done: ({ walks }) => walks.adam && grows(walks.adam) },
    { say: "Find SGD's last stable rate: it ends no higher than it began, " +
        "and one notch more, 12 %, and it grows.",
    done: ({ walks, again }) => walks.sgd && !grows(walks.sgd) &&
        grows(again("sgd", 1.12)) },
    { say: "Two ways from one start: let two optimizers end at two " +
        "different minima.",
    needs: (surface) => (surface.minima || []).length > 1,
    done: ({ walks, minima }) => new Set(Object.values(walks)
      .filter((path) => path.over === null)
      .map((path) => minima.findIndex((m) => Math.hypot(
        m[0] - path.points[path.points.length - 1][0],
        m[1] - path.points[path.points.length - 1][1]) < 0.1))
      .filter((k) => k >= 0)).size > 1 },
  ];

  return { DIALS, MISSIONS, RATES, dials, read, usual, written };
})();
