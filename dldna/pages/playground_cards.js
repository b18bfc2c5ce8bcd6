// The playground's cards: each optimizer's mark, its rate, its other settings.
function dldnaPlayCards(X) {
  "use strict";
  const { DASHES, MARKS, make, mark, slider } = dldnaDrawing;
  const { DIALS, dials } = dldnaPlayShare, show = dldnaPage.brief;
  function key(i) {
    const scale = 2, box = make("canvas", { class: "play-key", width: 44 *
      scale, height: 14 * scale, "aria-hidden": "true",
      style: "height:14px;margin:0;width:44px" });
    const pen = box.getContext("2d");
    pen.scale(scale, scale);
    pen.strokeStyle = pen.fillStyle = X.colours()[i];
    pen.lineWidth = 2.5;
    pen.setLineDash(DASHES[i]);
    pen.beginPath();
    pen.moveTo(0, 7);
    pen.lineTo(44, 7);
    pen.stroke();
    pen.setLineDash([]);
    mark(pen, MARKS[i], 22, 7, 4.5);
    return box;
  }
  function dial(text, range, now, words, changed) {
    return slider(text, range, now, words, (v) => {
      changed(v);
      X.changed();
    });
  }
  function cards(chosen) {
    X.home.replaceChildren(...chosen.map((name, i) => {
      const lr = (v) => Number((10 ** v).toPrecision(2));
      const card = make("div", { class: "play-card",
        style: "--play-mine:" + X.colours()[i], "data-rule": name },
        make("b", {}, key(i), X.label(name)),
        dial("learning rate", [-6, 1.5, 0.05], Math.log10(X.setting(name).lr),
          (v) => show(lr(v)), (v) => X.put(name, "lr", lr(v))));
      const rest = dials(name).map((k) => {
        const [text, known] = DIALS[k], now = X.value(name, k);
        const list = [...new Set([...known, now])].sort((p, q) => p - q)
          .filter((v) => v > 0 || !/^schedule/.test(name) || k !==
            (name.endsWith("sgd") ? "momentum" : "betas/0"));
        return dial(text, [0, list.length - 1, 1], list.indexOf(now),
          (v) => show(list[v]), (v) => X.put(name, k, list[v]));
      });
      if (rest.length) {
        card.append(make("details", {}, make("summary", {},
          dials(name).map((k) => DIALS[k][0]).join(", ")), ...rest));
      }
      return card;
    }));
  }
  return cards;
}
