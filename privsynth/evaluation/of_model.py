"""What a report shows of the model that a table was sampled from: its certificate, and how it was learned."""

from __future__ import annotations

from typing import Any


def facts_of(model: Any) -> dict[str, Any] | None:
    """Return ``certificate`` and ``learning`` of a fitted synthesizer as plain dicts; None for anything else."""
    certificate, history = getattr(model, "certificate_", None), getattr(model, "history_", None)
    if certificate is None or history is None:
        return None
    return {"certificate": certificate.to_dict(), "learning": history.to_dict()}
