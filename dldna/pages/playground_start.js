// Where the playground's paths begin: dragged, tapped, moved by arrow keys.
function dldnaPlayStart(map, X) {
  "use strict";
  let held = false;
  function pointed(event) {
    const f = X.frame();
    const [x, y] = dldnaPage.place(map, event);
    return [f.a(x), f.b(y)];
  }
  function close(event) {
    const f = X.frame();
    const [x, y] = dldnaPage.place(map, event);
    return Math.hypot(x - f.x(X.start()[0]), y - f.y(X.start()[1])) < 32;
  }
  // A finger near the start drags it; elsewhere it scrolls the page.
  map.addEventListener("touchstart", (event) => {
    if (close(event.touches[0])) event.preventDefault();
  }, { passive: false });
  map.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    if (event.pointerType === "touch" && !close(event)) return;
    held = true;
    X.held();
    map.setPointerCapture(event.pointerId);
    map.focus({ preventScroll: true });
    X.moveTo(pointed(event));
    event.preventDefault();
  });
  map.addEventListener("pointermove", (event) => {
    if (held) X.moveTo(pointed(event));
  });
  ["pointerup", "pointercancel"].forEach((type) =>
    map.addEventListener(type, () => {
      held = false;
    }));
  map.addEventListener("click", (event) => X.moveTo(pointed(event)));
  map.addEventListener("keydown", (event) => {
    const to = dldnaPage.arrow(event);
    if (!to) return;
    event.preventDefault();
    event.stopPropagation();
    const [a0, a1, b0, b1] = X.extent(), start = X.start();
    const k = event.shiftKey ? 0.05 : 0.01;
    X.moveTo([start[0] + to[0] * k * (a1 - a0), start[1] + to[1] * k *
      (b1 - b0)]);
  });

  return { dragging: () => held };
}
