// Steps shown one after the other: a button plays them, a slider seeks. A
// figure names its parts "play", "at" and "at-shown".
const dldnaPlayback = (function () {
  "use strict";
  const still = window.matchMedia("(prefers-reduced-motion: reduce)");

  // part(name): an element; length(): the last step; moved(): the reader
  // chose another one; redraw(): a picture is due, which calls tick and show.
  function open(part, seconds, length, redraw, moved = () => {}) {
    let at = length(), since = 0;
    function said(words, pressed) {
      part("play").textContent = words;
      part("play").setAttribute("aria-pressed", pressed);
    }
    function stop() {
      since = 0;
      said("Play", "false");
    }
    function seek(step) {
      at = step;
      moved();
      redraw();
    }
    part("play").addEventListener("click", () => {
      if (since) return stop();
      const end = at >= length();
      if (still.matches) { // without motion: a tenth of the way at each press
        return seek(end ? 0
          : Math.min(length(), at + Math.ceil(length() / 10)));
      }
      since = performance.now() - (end ? 0 : at / length()) * 1000 * seconds;
      said("Pause", "true");
      redraw();
    });
    part("at").addEventListener("input", () => {
      stop();
      seek(Number(part("at").value));
    });
    return {
      stop,
      at: () => at,
      playing: () => since !== 0,
      // Other steps than before: they stand at their end, unless they play.
      renew() {
        part("at").max = length();
        if (!since) at = length();
      },
      tick(now) {
        if (!since) return;
        at = Math.min(length(), ((now - since) / (1000 * seconds)) * length());
        if (at >= length()) stop();
        at = Math.round(at);
      },
      show() {
        part("at").value = at;
        part("at-shown").textContent = at;
      },
    };
  }

  return { open };
})();
