"""Who may use which route, on which listener, from which web page."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from app.keys import key_line
from tests.app.harness import Api, assert_problem, serving

pytestmark = pytest.mark.anyio

KEY, ADMIN_KEY = "a-long-secret-of-alice", "a-long-secret-of-the-operator"
OPEN = ("/livez", "/readyz", "/startupz", "/metrics", "/", "/docs", "/openapi.json")
ADMIN = "/v2/repository/index"
MAIN, ADMIN_PORT = "http://test:8000", "http://test:9000"


@pytest.fixture
def key_files(tmp_path: Path) -> dict[str, Path]:
    files = {"api_keys_file": tmp_path / "keys", "admin_keys_file": tmp_path / "admin-keys"}
    files["api_keys_file"].write_text(key_line("alice", KEY))
    files["admin_keys_file"].write_text(key_line("operator", ADMIN_KEY))
    return files


@pytest.fixture
async def api(store: Path, key_files: dict[str, Path]) -> AsyncIterator[Api]:
    async with serving(store, **key_files) as running:
        yield running


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def assert_refused_in_protocol(response: httpx.Response, status: int) -> None:
    """In the form of the Open Inference Protocol."""
    assert response.status_code == status
    assert response.json().keys() == {"error"}
    assert response.headers["Content-Type"] == "application/json"


async def test_valid_key_is_let_through(api: Api) -> None:
    response = await api.ner("Ion", headers=bearer(KEY))

    assert response.status_code == 200


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer  "])
async def test_scheme_is_read_as_the_standard_says(api: Api, scheme: str) -> None:
    response = await api.ner("Ion", headers={"Authorization": f"{scheme} {KEY}"})

    assert response.status_code == 200


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", KEY, f"Basic {KEY}", f"Bearer{KEY}"]
)
async def test_request_without_a_key_is_401(api: Api, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    response = await api.ner("Ion", headers=headers)

    assert_problem(response, 401, "unauthorized", "Authorization: Bearer")
    assert response.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("key", ["wrong", KEY + "x", KEY[:-1], "é" * 20])
async def test_wrong_key_is_401_and_not_repeated(api: Api, key: str) -> None:
    headers = [(b"Authorization", f"Bearer {key}".encode("latin-1"))]
    response = await api.http.post("/v1/ner", json={"inputs": "Ion"}, headers=headers)

    assert_problem(response, 401, "unauthorized", "not known")
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert key not in response.text


@pytest.mark.parametrize(
    "path", ["/v1/ner", "/v1/models", "/v1/models/ner", "/v1/x", "/x", "/v1//ner"]
)
async def test_whatever_is_not_declared_open_needs_a_key(api: Api, path: str) -> None:
    assert_problem(await api.http.get(path), 401, "unauthorized")


@pytest.mark.parametrize("path", ["/v2", "/v2/models/ner.tiny", "/v2/models/ner.tiny/infer"])
async def test_open_inference_routes_are_refused_in_their_own_form(api: Api, path: str) -> None:
    response = await api.http.get(path)

    assert_refused_in_protocol(response, 401)
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert response.headers["X-Error-Message"] == response.json()["error"]


@pytest.mark.parametrize("path", OPEN)
async def test_probes_metrics_and_pages_need_no_key(api: Api, path: str) -> None:
    assert (await api.http.get(path)).status_code == 200


async def test_everything_is_open_without_a_key_file(store: Path) -> None:
    async with serving(store) as api:
        assert (await api.ner("Ion", headers=bearer("whatever"))).status_code == 200
        assert (await api.http.get("/v1/models")).status_code == 200


async def test_access_line_names_whose_key_it_was_and_not_the_key(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "app.telemetry")

    await api.ner("Ion", headers=bearer(KEY))
    await api.ner("Ion", headers=bearer(KEY + "x"))

    known, unknown = (vars(r) for r in caplog.records if r.getMessage() == "request")
    assert known["key"] == "alice"
    assert "key" not in unknown
    assert unknown["code"] == "unauthorized"
    assert KEY not in caplog.text + str(known) + str(unknown)


async def test_refused_requests_are_counted(api: Api) -> None:
    await api.ner("Ion")

    assert await api.total("loyal_requests_total", code="401") == 1


async def test_admin_route_is_not_there_without_an_admin_key_file(
    store: Path, key_files: dict[str, Path]
) -> None:
    async with serving(store, api_keys_file=key_files["api_keys_file"]) as api:
        assert_refused_in_protocol(await api.http.post(ADMIN, headers=bearer(KEY)), 404)
        assert_refused_in_protocol(await api.http.post(ADMIN), 404)


async def test_admin_route_needs_an_admin_key(api: Api) -> None:
    assert_refused_in_protocol(await api.http.post(ADMIN), 401)
    assert_refused_in_protocol(await api.http.post(ADMIN, headers=bearer("wrong")), 401)
    assert_refused_in_protocol(await api.http.post(ADMIN, headers=bearer(KEY)), 403)
    assert (await api.http.post(ADMIN, headers=bearer(ADMIN_KEY))).status_code == 200


async def test_admin_key_may_do_what_any_key_may(api: Api) -> None:
    assert (await api.ner("Ion", headers=bearer(ADMIN_KEY))).status_code == 200


async def test_admin_route_needs_its_key_even_if_nothing_else_does(
    store: Path, key_files: dict[str, Path]
) -> None:
    async with serving(store, admin_keys_file=key_files["admin_keys_file"]) as api:
        assert_refused_in_protocol(await api.http.post(ADMIN), 401)
        assert (await api.http.post(ADMIN, headers=bearer(ADMIN_KEY))).status_code == 200
        assert (await api.ner("Ion")).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "on_main", "on_admin"),
    [
        ("POST", ADMIN, 404, 200),
        ("GET", "/metrics", 404, 200),
        ("GET", "/livez", 200, 200),
        ("GET", "/readyz", 200, 200),
        ("GET", "/v1/models", 200, 404),
        ("GET", "/docs", 200, 404),
        ("GET", "/", 200, 404),
    ],
)
async def test_listeners_share_out_the_routes(
    store: Path,
    key_files: dict[str, Path],
    method: str,
    path: str,
    on_main: int,
    on_admin: int,
) -> None:
    async with serving(store, port=8000, admin_port=9000, **key_files) as api:
        headers = bearer(ADMIN_KEY)
        main = await api.http.request(method, MAIN + path, headers=headers)
        admin = await api.http.request(method, ADMIN_PORT + path, headers=headers)

    assert (main.status_code, admin.status_code) == (on_main, on_admin)


async def test_host_header_does_not_choose_the_listener(
    store: Path, key_files: dict[str, Path]
) -> None:
    async with serving(store, port=8000, admin_port=9000, **key_files) as api:
        response = await api.http.get(f"{MAIN}/metrics", headers={"Host": "test:9000"})

    assert_problem(response, 404, "not_found")


async def test_browsers_get_no_permission_by_default(api: Api) -> None:
    response = await api.ner("Ion", headers=bearer(KEY) | {"Origin": "https://shop.example"})

    assert not [name for name in response.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [("https://shop.example", True), ("https://evil.example", False), ("null", False)],
)
async def test_only_named_origins_may_call(
    store: Path, key_files: dict[str, Path], origin: str, allowed: bool
) -> None:
    origins = "https://shop.example, http://localhost:3000"
    async with serving(store, cors_origins=origins, **key_files) as api:
        response = await api.ner("Ion", headers=bearer(KEY) | {"Origin": origin})
        refusal = await api.ner("Ion", headers={"Origin": origin})

    for answer in (response, refusal):
        assert (answer.headers.get("Access-Control-Allow-Origin") == origin) == allowed
        assert "Access-Control-Allow-Credentials" not in answer.headers
    assert "X-Model" in response.headers["Access-Control-Expose-Headers"]


async def test_browser_may_ask_first_without_a_key(store: Path, key_files: dict[str, Path]) -> None:
    async with serving(store, cors_origins="https://shop.example", **key_files) as api:
        response = await api.http.options(
            "/v1/ner",
            headers={
                "Origin": "https://shop.example",
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "authorization,content-type",
            },
        )

    assert response.status_code == 200
    assert response.headers["Access-Control-Allow-Origin"] == "https://shop.example"


async def test_all_origins_are_allowed_only_when_said_so_and_never_with_credentials(
    store: Path,
) -> None:
    async with serving(store, cors_origins="*") as api:
        response = await api.ner("Ion", headers={"Origin": "https://any.example"})

    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Credentials" not in response.headers


@pytest.mark.parametrize("path", ["/", "/docs", "/docs/swagger-ui.css", "/openapi.json"])
async def test_pages_can_be_switched_off(store: Path, path: str) -> None:
    async with serving(store, docs=False) as api:
        assert_problem(await api.http.get(path), 404, "not_found")


async def test_reference_page_loads_from_this_service_only(store: Path) -> None:
    async with serving(store) as api:
        page = (await api.http.get("/docs")).text
        loaded = [part.split('"')[0] for part in page.replace("src=", "href=").split('href="')[1:]]
        assets = [await api.http.get(path) for path in loaded]
        other = await api.http.get("/docs/main.py")

    assert len(assets) == 3
    assert [asset.status_code for asset in assets] == [200, 200, 200]
    assert "://" not in page
    assert_problem(other, 404, "not_found")


async def test_openapi_says_where_a_key_is_needed(api: Api, store: Path) -> None:
    keyed = json.loads((await api.http.get("/openapi.json")).content)["paths"]
    async with serving(store) as open_api:
        unkeyed = json.loads((await open_api.http.get("/openapi.json")).content)["paths"]

    assert keyed["/v1/ner"]["post"]["security"] == [{"key": []}]
    assert "401" in keyed["/v1/ner"]["post"]["responses"]
    admin = keyed[ADMIN]["post"]["responses"]
    schema = admin["401"]["content"]["application/json"]["schema"]
    assert schema == {"$ref": "#/components/schemas/ProtocolError"}
    assert "403" in admin
    assert "security" not in keyed["/livez"]["get"]
    assert "401" not in unkeyed["/v1/ner"]["post"]["responses"]
    assert ADMIN not in unkeyed
