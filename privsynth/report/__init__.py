"""Pages of plain dicts: of an evaluation, of a certificate, and of a comparison with releases that may be published."""

from privsynth.report.certificate import render_certificate
from privsynth.report.html import render_html, write_html
from privsynth.report.publishable import render_publishable

__all__ = ["render_certificate", "render_html", "render_publishable", "write_html"]
