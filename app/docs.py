"""The page at `/docs`: Swagger UI, from files that are installed with the service."""

from importlib.resources import files

from fastapi import APIRouter
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.exceptions import HTTPException
from starlette.responses import Response

ASSETS = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon-32x32.png": "image/png",
}
MAX_AGE_S = 3600


def docs_routes(*, title: str, openapi_url: str) -> APIRouter:
    """`GET /docs` and what it loads."""
    router = APIRouter(include_in_schema=False)
    script, style, icon = (f"/docs/{name}" for name in ASSETS)
    page = get_swagger_ui_html(
        openapi_url=openapi_url,
        title=title,
        swagger_js_url=script,
        swagger_css_url=style,
        swagger_favicon_url=icon,
    )

    @router.get("/docs")
    async def show_docs() -> Response:
        return page

    @router.get("/docs/{name}")
    def show_asset(name: str) -> Response:  # on a thread: it reads a file
        if name not in ASSETS:
            raise HTTPException(404)
        content = (files("fastapi_swagger") / "resources" / name).read_bytes()
        headers = {"Cache-Control": f"public, max-age={MAX_AGE_S}"}
        return Response(content, headers=headers, media_type=ASSETS[name])

    return router
