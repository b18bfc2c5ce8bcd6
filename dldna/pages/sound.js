// Curves heard one after the other: low pitch is low loss.
const dldnaSound = (function () {
  "use strict";

  // 220 Hz the lowest, 880 Hz the highest, in octaves of the logarithm where
  // all losses are above the floor.
  function pitches(losses, low, high) {
    const scale = low > 0 ? Math.log : (v) => v;
    const a = scale(low), b = scale(high);
    return losses.map((v) => {
      const u = b > a ? (scale(Math.min(Math.max(v, low), high)) - a) / (b - a)
        : 0;
      return 220 * 4 ** u;
    });
  }

  // One curve from a time on, `long` seconds, with a rumble at the end if it
  // diverged; gives back when it is over.
  function voice(sound, { losses, over }, when, long, low, high) {
    const n = Math.min(losses.length, 150);
    const heard = Array.from({ length: n }, (_, k) =>
      losses[Math.round((k * (losses.length - 1)) / Math.max(1, n - 1))]);
    const tones = pitches(heard, Math.max(low, low > 0 ? 1e-6 * high : low),
      high);
    const tone = sound.createOscillator(), gain = sound.createGain();
    gain.gain.setValueAtTime(0.0001, when);
    gain.gain.exponentialRampToValueAtTime(0.12, when + 0.03);
    tones.forEach((hz, k) =>
      tone.frequency.setValueAtTime(hz, when + (k * long) / n));
    if (over) {
      tone.frequency.setValueAtTime(80, when + long);
      gain.gain.setValueAtTime(0.3, when + long);
    }
    const end = when + long + (over ? 0.35 : 0);
    gain.gain.setTargetAtTime(0.0001, end, 0.02);
    tone.connect(gain).connect(sound.destination);
    tone.start(when);
    tone.stop(end + 0.15);
    return [end, tone];
  }

  // A button that plays and stops. curves() gives [{losses, over, share}],
  // share: of two seconds; say(text) puts words beside it.
  function listen(button, curves, say, names) {
    let sound = null;
    function silence() {
      if (sound) sound.close();
      sound = null;
      button.textContent = "Listen";
      button.setAttribute("aria-pressed", "false");
    }
    button.addEventListener("click", () => {
      if (sound) return silence();
      const Kind = window.AudioContext || window.webkitAudioContext;
      const all = curves().map((c) => ({ ...c,
        losses: c.losses.filter(Number.isFinite) }))
        .filter((c) => c.losses.length);
      if (!Kind || !all.length) return say("No sound is to be had here.");
      sound = new Kind();
      button.textContent = "Stop";
      button.setAttribute("aria-pressed", "true");
      const low = Math.min(...all.flatMap((c) => c.losses));
      const high = Math.max(low, ...all.map((c) => c.losses[0]));
      let when = sound.currentTime + 0.1;
      all.forEach((c, k) => {
        const [end, tone] = voice(sound, c, when, 2 * c.share, low, high);
        when = end + 0.5;
        if (k === all.length - 1) tone.onended = silence;
      });
      say("Low pitch is low loss. In turn: " + names() + "; a rumble at the " +
        "end means that the path diverged.");
    });
  }

  return { listen, pitches };
})();
