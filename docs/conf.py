"""How the pages are built: `make docs`."""

import re

import jaxdaw

project = "jaxdaw"
author = "the jaxdaw authors"
copyright = author
release = version = jaxdaw.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"jaxdaw {release}"
html_show_sourcelink = False
nb_execution_mode = "off"  # pages hold no notebooks; their Python blocks are run by tests/docs
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_class_signature = "separated"
napoleon_numpy_docstring = False
napoleon_use_ivar = True

_FENCE = re.compile(r"^\s*```(\w*)\s*$")
_CODE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)(?=(\w)?)")
_UNFINISHED_NAMES = re.compile(r"^\s*\w+(, \w+)*,$")  # arguments described together, over more than one line


def _markdown_to_rst(app, what, name, obj, options, lines):
    """Docstrings are written to be read in the source: backticks, fences and tables are Markdown's."""
    del app, what, name, obj, options
    result, fenced, names = [], False, ""
    for index, line in enumerate(lines):
        line = f"{names} {line.strip()}" if names else line
        names = "" if fenced or not _UNFINISHED_NAMES.match(line) else line
        if names:
            continue
        fence = _FENCE.match(line)
        if fence:
            fenced = not fenced
            result += ["", f".. code-block:: {fence[1] or 'text'}", ""] if fenced else [""]
        elif fenced:
            result.append("   " + line)
        elif line.lstrip().startswith("|"):
            opens = index == 0 or not lines[index - 1].lstrip().startswith("|")
            result += ["", ".. code-block:: text", ""] if opens else []
            result.append("   " + line.lstrip())
        else:
            result.append(_CODE.sub(lambda code: f"``{code[1].strip()}``" + ("\\ " if code[2] else ""), line))
    lines[:] = result


def setup(app):
    """Registers the hook before Napoleon's, which reads sections."""
    app.connect("autodoc-process-docstring", _markdown_to_rst, priority=400)
