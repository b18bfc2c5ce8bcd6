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

  // The kernel of a notebook.
  kernel(model) {
    const waiting = new Map();
    let last = 0;
    model.on("msg:custom", found => {
      if (!waiting.has(found.id)) return;
      waiting.get(found.id)(found.answer);
      waiting.delete(found.id);
    });
    return message => new Promise(resolve => {
      waiting.set(++last, resolve);
      model.send({ id: last, message });
    });
  },
};
