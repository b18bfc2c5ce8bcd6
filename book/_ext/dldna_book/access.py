"""Small repairs of the pages' HTML, for those who do not see them."""

REPAIRS = (
    # Entries of a bibliography are no list items, so their box is no list.
    ('<div role="list" class="citation-list">', '<div class="citation-list">'),
)


def repair(app, pagename, templatename, context, doctree) -> None:
    for old, new in REPAIRS:
        if "body" in context:
            context["body"] = context["body"].replace(old, new)


def setup(app) -> None:
    app.connect("html-page-context", repair)
