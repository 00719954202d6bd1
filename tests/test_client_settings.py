"""Settings: what is refused, and that no secret shows."""

import base64
import pickle

import pytest

from airflow_kfp_runtime.client.settings import ClientSettings
from airflow_kfp_runtime.errors import DefinitionError


def test_the_name_of_the_user_is_no_secret():
    settings = ClientSettings(
        host="http://kfp", headers={"Kubeflow-Userid": "ann@example.org", "x-key": "fake-key"}
    )

    assert settings.secrets == ("fake-key",)


def test_what_a_header_holds_is_a_secret_of_its_own():
    basic = base64.b64encode(b"ann:word").decode()
    settings = ClientSettings("http://kfp", headers={"authorization": f"Basic {basic}", "x": "Bearer abc"})

    assert set(settings.secrets) == {f"Basic {basic}", basic, "word", "Bearer abc", "abc"}


def test_no_secret_shows_in_the_settings():
    settings = ClientSettings(
        "http://kfp/", token="secret-1", headers={"x": "secret-2"}, cookies={"session": "secret-3"}
    )

    assert "secret" not in repr(settings)
    assert settings.host == "http://kfp"
    assert set(settings.secrets) == {"secret-1", "secret-2", "secret-3"}


@pytest.mark.parametrize(
    "url",
    [
        "kfp:8888",
        "ftp://kfp",
        "",
        "http://",
        "http://user:secret@kfp",
        "user:secret@kfp:8888",
        "http://user:pass/secret@kfp",
        "http://user:secret#@kfp",
        "http://user:secret@kfp/path://more",
        "http://kfp?token=secret",
        "http://kfp:port",
        "http://kfp:99999",
        "http://[::1",
        "http://kfp..kubeflow",
    ],
)
@pytest.mark.parametrize("field", ["host", "metadata_url", "ui_url"])
def test_a_url_that_is_no_base_url_is_refused_by_name(field, url):
    if field != "host" and not url:
        assert getattr(ClientSettings("http://kfp", **{field: url}), field) is None
        return
    with pytest.raises(DefinitionError, match=field) as refused:
        ClientSettings(**{"host": "http://kfp", field: url})
    assert "secret" not in str(refused.value)


def test_two_tokens_and_a_timeout_of_nothing_are_refused():
    with pytest.raises(DefinitionError, match="token"):
        ClientSettings("http://kfp", token="a", token_file="/b")
    with pytest.raises(DefinitionError, match="read_timeout"):
        ClientSettings("http://kfp", read_timeout=0)


def test_settings_survive_a_pickle():
    settings = ClientSettings("http://kfp", token="t", headers={"a": "b"})

    assert pickle.loads(pickle.dumps(settings)) == settings
