"""The form of a connection in Airflow's UI; not run on Airflow 3.0, which shows fields only beside FAB."""

from __future__ import annotations

import json
import subprocess
import sys
from types import ModuleType, SimpleNamespace

from airflow_kfp_runtime.hooks.kfp import KfpHook
from airflow_kfp_runtime.provider_info import connection_fields

FORM = """
import json
from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService
(form,) = [hook for hook in HookMetaService.hook_meta_data() if hook.connection_type == "kfp"]
print(form.model_dump_json())
"""


def test_the_connection_form_shows_the_extra_fields_and_hides_secrets():
    # The service behind the form, in a process where nothing else has loaded hooks.
    done = subprocess.run([sys.executable, "-c", FORM], capture_output=True, text=True, check=True)
    form = json.loads(done.stdout.splitlines()[-1])

    assert {"namespace", "ui_url", "ca_certificate", "token_file"} <= set(form["extra_fields"])
    assert form["extra_fields"]["cookie"]["schema"]["format"] == "password"
    assert form["standard_fields"]["host"]["title"] == "API address"
    assert form["standard_fields"]["login"]["hidden"]


def test_airflow_up_to_3_1_gets_the_same_fields_from_the_hook(monkeypatch):
    def field(kind: str) -> type:
        return type(kind, (SimpleNamespace,), {})

    forms, widgets = ModuleType("wtforms"), ModuleType("flask_appbuilder.fieldwidgets")
    for kind in ("BooleanField", "PasswordField", "StringField"):
        setattr(forms, kind, field(kind))
    for kind in ("BS3PasswordFieldWidget", "BS3TextFieldWidget"):
        setattr(widgets, kind, field(kind))
    monkeypatch.setitem(sys.modules, "wtforms", forms)
    monkeypatch.setitem(sys.modules, "flask_appbuilder.fieldwidgets", widgets)

    fields = KfpHook.get_connection_form_widgets()

    assert fields.keys() == connection_fields().keys()
    assert type(fields["cookie"]).__name__ == "PasswordField"
    assert type(fields["verify"]).__name__ == "BooleanField"
    assert fields["namespace"].label == "Namespace"
    assert KfpHook.get_ui_field_behaviour()["hidden_fields"] == ["login"]
