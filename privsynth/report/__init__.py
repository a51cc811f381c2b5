"""Pages: of the plain dict that `privsynth.evaluation.evaluate` builds, and of a certificate."""

from privsynth.report.certificate import render_certificate
from privsynth.report.html import render_html, write_html

__all__ = ["render_certificate", "render_html", "write_html"]
