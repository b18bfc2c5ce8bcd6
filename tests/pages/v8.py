"""V8, the engine of Chromium, with scripts of the pages."""

import json
from importlib import resources

import py_mini_racer


class Engine:
    """Some of the pages' scripts; a call gives what an expression is.

    Args:
        *names: of the scripts, in their order.
        before: more of JavaScript, for a test's own use.
    """

    def __init__(self, *names, before=""):
        self.context = py_mini_racer.MiniRacer()
        home = resources.files("dldna.pages")
        for name in names:
            code = (home / f"{name}.js").read_text(encoding="utf-8")
            self.context.eval(code)
        self.context.eval(before)

    def __call__(self, code, **names):
        given = "".join(
            f"const {k} = {json.dumps(v)};" for k, v in names.items()
        )
        # Typed arrays as lists; what JSON cannot say as words.
        text = self.context.eval(
            f"(() => {{ {given} return JSON.stringify({code}, "
            "(k, v) => ArrayBuffer.isView(v) ? Array.from(v) : "
            "typeof v === 'number' && !Number.isFinite(v) "
            "? String(v) : v); })()"
        )
        return json.loads(text)

    def close(self):
        self.context.close()
