"""Renderings of the plain dict that `privsynth.evaluation.evaluate` builds."""

from privsynth.report.html import render_html, write_html

__all__ = ["render_html", "write_html"]
