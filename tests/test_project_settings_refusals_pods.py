"""Malformed settings of the node that a step gets: resources, selectors, tolerations, affinity."""

from __future__ import annotations

from kubernetes import client as k8s

from tests.malformed_settings import ARGUMENT, check_refusal, condition, each_of, preferred, required

IN_REQUIRED = (
    "affinity.node_affinity.required_during_scheduling_ignored_during_execution.node_selector_terms[0]"
)
IN_PREFERRED = "node_affinity.preferredDuringSchedulingIgnoredDuringExecution[0]"


MALFORMED = [
    # Quantities.
    *[
        ({"resources": {"cpu": quantity}}, "resources.cpu", word)
        for quantity, word in [
            (-1, "not more than zero"),
            (0, "not more than zero"),
            ("-500m", "not more than zero"),
            ("1GB", "not a quantity"),
            ("1 Gi", "not a quantity"),
            ("one", "not a quantity"),
            ("", "not a quantity"),
            ("1K", "not a quantity"),
            (True, "True"),
            (float("nan"), "nan"),
            (float("inf"), "inf"),
            ([1], "a list"),
            (b"1", "bytes"),
        ]
    ],
    ({"resources": {"mem": "1gb"}}, "resources.mem", "not a quantity"),
    ({"resources": {"mem": "2"}}, "resources.mem", "as it counts bytes: did you mean 2Gi or 2Mi?"),
    ({"resources": {"mem": 512}}, "resources.mem", "'512' is below 1Ki, as it counts bytes"),
    (
        {"resources": {"limits": {"memory": "500m"}}},
        "resources.limits.memory",
        "'500m' is below 1Ki, as it counts thousandths of a byte: did you mean 500Mi?",
    ),
    ({"resources": {"mem": {"limits": "0.5k"}}}, "resources.mem.limits", "a unit such as Mi or Gi?"),
    ({"resources": {"mem": {"requests": "1Xi"}}}, "resources.mem.requests", "not a quantity"),
    ({"resources": {"memory": {"limits": False}}}, "resources.memory.limits", "False"),
    ({"resources": {"limits": {"memory": "lots"}}}, "resources.limits.memory", "not a quantity"),
    ({"resources": {"requests": {"cpu": -2}}}, "resources.requests.cpu", "not more than zero"),
    ({"resources": {"cpu": {"requests": 2, "limits": 1}}}, "resources", "below the request"),
    ({"resources": {"mem": {"requests": "1Gi", "limits": "1G"}}}, "resources", "memory limit"),
    ({"resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "999m"}}}, "resources", "cpu limit"),
    ({"resources": {"cpu_request": "1", "cpu_limit": "0.5"}}, "resources", "below the request"),
    (
        {"container_resources": k8s.V1ResourceRequirements(requests={"cpu": "2"}, limits={"cpu": "1"})},
        "container_resources",
        "below the request",
    ),
    ({"resources": "1Gi"}, "resources", "a mapping"),
    ({"resources": []}, "resources", "a mapping"),
    ({"resources": {"cpus": 1}}, "resources.cpus", "cpu"),
    ({"resources": {"cpu": {}}}, "resources.cpu", "neither requests nor limits"),
    (
        {"resources": {"cpu": {"request": 1, "requests": 1}}},
        "resources.cpu.requests",
        "resources.cpu.request",
    ),
    ({"resources": {"cpu": {"minimum": 1}}}, "resources.cpu.minimum", "unknown"),
    ({"resources": {"requests": 1}}, "resources.requests", "a mapping"),
    ({"resources": {"requests": {"cores": 1}}}, "resources.requests.cores", "unknown"),
    ({"resources": {1: 1}}, "resources", "the key 1"),
    # Accelerators.
    ({"resources": {"gpu": "0.5"}}, "resources.gpu", "whole number"),
    ({"resources": {"gpu": 0.5}}, "resources.gpu", "whole number"),
    ({"resources": {"gpu": -1}}, "resources.gpu", "less than 0"),
    ({"resources": {"gpu": True}}, "resources.gpu", "True"),
    ({"resources": {"gpu": "one"}}, "resources.gpu", "not a quantity"),
    ({"resources": {"gpu": {"requests": 1}}}, "resources.gpu.requests", "without a limit"),
    (
        {"resources": {"gpu": {"requests": 1, "limits": 2}}},
        "resources.gpu.requests",
        "not equal to the limit",
    ),
    ({"resources": {"requests": {"amd.com/gpu": 1}}}, "resources.requests['amd.com/gpu']", "without a limit"),
    ({"resources": {"a b/gpu": 1}}, "resources['a b/gpu']", "not a key"),
    ({"accelerator": "nvidia.com/gpu"}, "accelerator", "a mapping"),
    ({"accelerator": 1}, "accelerator", "a mapping"),
    ({"accelerator": {}}, "accelerator", "has no type"),
    ({"accelerator": {"count": 1}}, "accelerator", "has no type"),
    ({"accelerator": {"type": "", "count": 1}}, "accelerator.type", "not a key"),
    ({"accelerator": {"type": 5}}, "accelerator.type", "not a text"),
    ({"accelerator": {"type": "nvidia.com/gpu", "count": -1}}, "accelerator.count", "less than 0"),
    ({"accelerator": {"type": "nvidia.com/gpu", "count": True}}, "accelerator.count", "True"),
    ({"accelerator": {"type": "nvidia.com/gpu", "count": 1.5}}, "accelerator.count", "whole number"),
    ({"accelerator": {"type": "nvidia.com/gpu", "counts": 1}}, "accelerator.counts", "count"),
    # Node selectors.
    ({"node_selector": "ssd"}, "node_selector", "a mapping"),
    ({"node_selector": {"a b": "c"}}, "node_selector['a b']", "not a key"),
    ({"node_selector": {"a": "b c"}}, "node_selector.a", "value of a label"),
    ({"node_selector": {"a": True}}, "node_selector.a", "put it in quotes"),
    ({"node_selector": {"a": 5}}, "node_selector.a", "put it in quotes"),
    ({"node_selector": {5: "a"}}, "node_selector", "the key 5"),
    ({"node_selector": {"a": ARGUMENT}}, "node_selector.a", "while the pipeline runs"),
    ({"node_selector": [{"key": "a"}]}, "node_selector[0]", "has no value"),
    ({"node_selector": [{"value": "a"}]}, "node_selector[0]", "has no key"),
    ({"node_selector": [{"key": 1, "value": "a"}]}, "node_selector[0].key", "a text"),
    ({"node_selector": ["ssd"]}, "node_selector[0]", "a mapping"),
    (
        {"node_selector": [{"key": "a", "value": "b", "operator": "In"}]},
        "node_selector[0].operator",
        "unknown",
    ),
    (
        {"node_selector": [{"key": "a", "value": "b"}, {"key": "a", "value": "c"}]},
        "node_selector[1].key",
        "selected twice",
    ),
    # Tolerations.
    ({"tolerations": {}}, "tolerations", "a list"),
    ({"tolerations": "gpu"}, "tolerations", "a list"),
    ({"tolerations": ["gpu"]}, "tolerations[0]", "a mapping"),
    ({"tolerations": [{}]}, "tolerations[0]", "has no key"),
    ({"tolerations": [{"key": "a", "operator": "In"}]}, "tolerations[0].operator", "'Equal' or 'Exists'"),
    ({"tolerations": [{"key": "a", "operator": "exists"}]}, "tolerations[0].operator", "'exists'"),
    ({"tolerations": [{"key": "a", "effect": "NoRun"}]}, "tolerations[0].effect", "NoSchedule"),
    ({"tolerations": [{"key": "a b", "operator": "Exists"}]}, "tolerations[0].key", "not a key"),
    ({"tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]}, "tolerations[0]", "has a value"),
    ({"tolerations": [{"operator": "Equal", "value": "b"}]}, "tolerations[0]", "has no key"),
    ({"tolerations": [{"key": "a", "tolerationSeconds": 1}]}, "tolerations[0]", "NoExecute"),
    (
        {"tolerations": [{"key": "a", "effect": "NoExecute", "toleration_seconds": "1"}]},
        "tolerations[0].toleration_seconds",
        "whole number",
    ),
    (
        {"tolerations": [{"key": "a", "effect": "NoExecute", "tolerationSeconds": True}]},
        "tolerations[0].tolerationSeconds",
        "True",
    ),
    ({"tolerations": [{"key": "a", "effects": "NoExecute"}]}, "tolerations[0].effects", "effect"),
    ({"tolerations": [{"key": ARGUMENT}]}, "tolerations[0].key", "while the pipeline runs"),
    ({"tolerations": [k8s.V1Toleration(key="a", operator="Is")]}, "tolerations[0].operator", "'Is'"),
    ({"tolerations": [k8s.V1Volume(name="v")]}, "tolerations[0].name", "unknown"),
    # Affinity.
    ({"affinity": []}, "affinity", "a mapping"),
    ({"affinity": ARGUMENT}, "affinity", "for node_affinity alone"),
    ({"affinity": {"nodes": {}}}, "affinity.nodes", "unknown"),
    ({"affinity": {"node_affinity": "a"}}, "affinity.node_affinity", "a mapping"),
    ({"affinity": {"node_affinity": {"required": []}}}, "affinity.node_affinity.required", "unknown"),
    (required(), IN_REQUIRED.rpartition(".")[0], "has no node_selector_terms"),
    (required({}), IN_REQUIRED, "neither match_expressions nor match_fields"),
    (required("a"), IN_REQUIRED, "a mapping"),
    (required({"match": []}), f"{IN_REQUIRED}.match", "unknown"),
    (required({"match_expressions": {}}), f"{IN_REQUIRED}.match_expressions", "a list"),
    (required(condition(operator="Is")), f"{IN_REQUIRED}.match_expressions[0].operator", "'Is'"),
    (required(condition(key="a b")), f"{IN_REQUIRED}.match_expressions[0].key", "not a key"),
    (required(condition(values=[])), f"{IN_REQUIRED}.match_expressions[0]", "has no values"),
    (required(condition(values="a")), f"{IN_REQUIRED}.match_expressions[0].values", "a list"),
    (required(condition(values=[1])), f"{IN_REQUIRED}.match_expressions[0].values[0]", "not a text"),
    (required(condition(operator="Exists")), f"{IN_REQUIRED}.match_expressions[0]", "cannot have"),
    (required(condition(operator="Gt")), f"{IN_REQUIRED}.match_expressions[0]", "one whole number"),
    (
        required(condition(operator="Lt", values=["1", "2"])),
        f"{IN_REQUIRED}.match_expressions[0]",
        "one whole",
    ),
    (preferred(condition()), f"{IN_PREFERRED}.match_expressions", "unknown"),
    (preferred({"preference": condition()}), IN_PREFERRED, "has no weight"),
    (preferred({"weight": 1}), IN_PREFERRED, "has no preference"),
    (preferred({"weight": 0, "preference": condition()}), f"{IN_PREFERRED}.weight", "less than 1"),
    (preferred({"weight": 101, "preference": condition()}), f"{IN_PREFERRED}.weight", "more than 100"),
    (preferred({"weight": "1", "preference": condition()}), f"{IN_PREFERRED}.weight", "whole number"),
    ({"node_affinity": [{"weight": 1}]}, "node_affinity[0]", "neither match_expressions"),
    ({"node_affinity": ["a"]}, "node_affinity[0]", "a mapping"),
]


@each_of(MALFORMED)
def test_a_malformed_setting_of_the_pod_is_refused_where_it_is(written, place, word):
    check_refusal(written, place, word)
