// Where the explorer's answers come from: a file, a server, a kernel.
const dldnaExplorerAsks = {
  // What was written into the page.
  file(data) {
    return async message => {
      if (message.ask === "plane") return data.planes[message.side];
      if (message.ask === "tile") {
        const losses = data.tiles[message.side][
          [message.level, message.i, message.j].join("/")];
        return losses ? { stride: 1, first: 0, losses } : {};
      }
      return { error: "not in this file" };
    };
  },

  // The process that served the page.
  server() {
    const ended = { error: "the explorer has ended. Start it again: what it " +
      "has computed is in its folder" };
    return async message => {
      try {
        const found = await fetch("ask", { method: "POST",
          headers: { "Content-Type": "application/json" },
          body: JSON.stringify(message) });
        return found.ok ? await found.json() : ended;
      } catch {
        return ended;
      }
    };
  },

  // The kernel of a notebook. Numbers begin anywhere, since each view of a
  // widget hears what is meant for any. `late` is called where no answer has
  // come for long: the kernel may have ended, or there is none.
  kernel(model, late) {
    const waiting = new Map();
    let last = Math.floor(Math.random() * 2 ** 50);
    const heard = found => {
      if (!waiting.has(found.id)) return;
      const { resolve, timer } = waiting.get(found.id);
      clearTimeout(timer);
      waiting.delete(found.id);
      resolve(found.answer);
    };
    model.on("msg:custom", heard);
    return { ask: message => new Promise(resolve => {
      waiting.set(++last, { resolve, timer: setTimeout(late, 10000) });
      model.send({ id: last, message });
    }), end() {
      model.off("msg:custom", heard);
      waiting.forEach(({ timer }) => clearTimeout(timer));
    } };
  },
};
