"""What handlers are called with is what the framework would call them with."""

from typing import Any, cast
from uuid import UUID

import pytest
from litestar import Litestar
from litestar.connection import Request
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute
from litestar.testing import RequestFactory

from gristmill.api.app import create_app
from gristmill.api.auth import Caller
from gristmill.api.bodies import JsonRequest
from gristmill.api.given import PROVIDED, REQUEST, Arguments
from gristmill.db.engine import Database
from gristmill.domain.key import Scope
from gristmill.settings import Settings

CALLER = Caller("ada", frozenset(Scope))
JOB = UUID(int=7)


@pytest.fixture
def app(settings: Settings) -> Litestar:
    return create_app(settings)


def handler_of(app: Litestar, template: str) -> tuple[HTTPRouteHandler, Any]:
    route = next(route for route in app.routes if isinstance(route, HTTPRoute) and route.path_format == template)
    return route.route_handler_map["GET"]


def request_of(app: Litestar, template: str, headers: dict[str, str], **ids: UUID) -> Request[Any, Any, Any]:
    """A request for that route, as it is when it has been let in."""
    request = RequestFactory(app=app).get(template.format_map(ids), headers=headers)
    let_in = {"user": CALLER, "path_params": ids, "route_handler": handler_of(app, template)[0]}
    return app.request_class(scope=cast("Any", {**request.scope, **let_in}))


def arguments_of(app: Litestar, template: str) -> Arguments:
    handler, model = handler_of(app, template)
    assert isinstance(model, Arguments)
    assert handler.signature_model is cast("Any", model)
    return model


async def test_ids_that_are_not_checked_again_were_parsed_by_the_router(app: Litestar) -> None:
    for route in app.routes:
        if isinstance(route, HTTPRoute):
            for handler, _ in route.route_handler_map.values():
                for name, field in handler.parsed_fn_signature.parameters.items():
                    if field.annotation is UUID:
                        assert route.path_parameters[name].type is UUID, handler


async def test_every_handler_with_a_dependency_is_given_all_that_it_asks_for(app: Litestar) -> None:
    seen = set[str]()
    for route in app.routes:
        if not isinstance(route, HTTPRoute):
            continue
        for handler, model in route.route_handler_map.values():
            asked = set(handler.parsed_fn_signature.parameters)
            assert isinstance(model, Arguments) == bool(asked & PROVIDED.keys()), handler
            seen |= asked & PROVIDED.keys()
    assert seen == PROVIDED.keys()


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, {"if_none_match": None, "prefer": None}),
        ({"If-None-Match": '"1"'}, {"if_none_match": '"1"', "prefer": None}),
        ({"prefer": "wait=1", "IF-NONE-MATCH": "*"}, {"if_none_match": "*", "prefer": "wait=1"}),
    ],
)
async def test_a_header_that_is_sent_is_read(
    app: Litestar, database: Database, headers: dict[str, str], expected: dict[str, str]
) -> None:
    app.state.update({"database": database, "watcher": "the watcher"})
    template = "/jobs/{job_id}"
    request = request_of(app, template, headers, job_id=JOB)
    given = await arguments_of(app, template).to_kwargs(cast("JsonRequest", request))
    assert given.pop(REQUEST) is request
    assert isinstance(given.pop("database"), Database)
    assert given == {**expected, "job_id": JOB, "watcher": "the watcher", "owner": "ada"}
