"""What routes ask for: the store, the desk, the caller. Filled by ``app.create_app``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

from fastapi import Depends, Query, Request

from qbench.service.access import Caller, Scope
from qbench.service.desk import Desk
from qbench.service.pricebook import PriceBook
from qbench.service.store import Store


def _store(request: Request) -> Store:
    store: Store = request.app.state.store
    return store


def _desk(request: Request) -> Desk:
    desk: Desk = request.app.state.desk
    return desk


def _prices(request: Request) -> PriceBook:
    prices: PriceBook = request.app.state.prices
    return prices


def _needs(scope: Scope) -> Callable[[Request], Caller]:
    def caller(request: Request) -> Caller:
        found: Caller = request.app.state.authenticate(request)
        found.must(scope)
        return found

    return caller


StoreDep = Annotated[Store, Depends(_store)]
DeskDep = Annotated[Desk, Depends(_desk)]
PricesDep = Annotated[PriceBook, Depends(_prices)]
Reader = Annotated[Caller, Depends(_needs("read"))]
Runner = Annotated[Caller, Depends(_needs("run"))]
Admin = Annotated[Caller, Depends(_needs("admin"))]

Basis = Annotated[
    Literal["saturated", "dedicated", "energy"],
    Query(
        description="Of local systems: busy seconds, the engine's whole life, or its electricity."
    ),
]
