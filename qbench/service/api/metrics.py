"""``/metrics``: what Prometheus scrapes."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from qbench.service.api.deps import Reader, StoreDep
from qbench.service.metrics import Exposed, Standing

router = APIRouter(tags=["operations"])


@router.get("/metrics", response_class=Response)
def metrics(request: Request, store: StoreDep, caller: Reader) -> Response:
    """Tell what this process counted and where the service stands; needs a key that may read."""
    del caller
    text, content_type = _exposed(request, store).text(request.headers.get("accept", ""))
    return Response(text, headers={"content-type": content_type})


def _exposed(request: Request, store: StoreDep) -> Exposed:
    """Return the application's one exposition: what it read last is cached in it."""
    state = request.app.state
    if not hasattr(state, "exposed"):
        state.exposed = Exposed(Standing(store))
    exposed: Exposed = state.exposed
    return exposed
