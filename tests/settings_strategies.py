"""Hypothesis strategies for settings in the model's form, and Kubernetes objects of the same meaning."""

from __future__ import annotations

from hypothesis import strategies as st

from airflow_kfp_runtime.dsl.references import PipelineArgument
from airflow_kfp_runtime.project.settings.model import (
    Accelerator,
    ConfigMapKey,
    ConfigMapVolume,
    DataSource,
    EmptyDir,
    EphemeralVolume,
    ExistingClaim,
    FieldPath,
    NewClaim,
    NodeAffinityTerm,
    NodeSelectorRequirement,
    Resources,
    Retries,
    SecretKey,
    SecretVolume,
    SecurityContext,
    TaskSettings,
    Toleration,
    Workspace,
)
from airflow_kfp_runtime.project.settings.quantities import amount

#: Shared, because run-time values are equal to themselves alone.
ARGUMENTS = tuple(PipelineArgument(name) for name in ("one", "two"))

names = st.from_regex(r"[a-z][a-z0-9]{0,6}(-[a-z0-9]{1,4})?", fullmatch=True)
keys = st.one_of(names, names.map(lambda name: f"example.org/{name}"))
label_values = st.one_of(st.just(""), names)
variables = st.from_regex(r"[A-Z][A-Z0-9_]{0,6}", fullmatch=True)
paths = st.lists(names, min_size=1, max_size=3).map(lambda parts: "/" + "/".join(parts))
arguments = st.sampled_from(ARGUMENTS)
texts = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=12).filter(
    lambda text: "{{" not in text
)
modes = st.lists(
    st.sampled_from(["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"]),
    min_size=1,
    max_size=2,
    unique=True,
).map(tuple)
suffixes = st.sampled_from(["", "n", "u", "m", "k", "M", "G", "Ki", "Mi", "Gi", "Ti", "e3", "E2", "e-3"])


@st.composite
def quantities(draw):
    """Return a quantity of more than zero."""
    number = draw(
        st.one_of(st.integers(1, 10**6).map(str), st.from_regex(r"[1-9]\.[0-9]{1,3}", fullmatch=True))
    )
    return number + draw(suffixes)


#: Quantities of at least 1Ki.
amounts_of_memory = quantities().filter(lambda written: amount(written) >= 1024)


def maybe(strategy):
    """Return the strategy's values, or nothing."""
    return st.none() | strategy


@st.composite
def resources(draw, arguments):
    """Return requests and limits, the limits not below the requests."""
    sides = {}
    for name, written in (("cpu", quantities()), ("memory", amounts_of_memory)):
        request, limit = draw(maybe(written | arguments)), draw(maybe(written | arguments))
        if isinstance(request, str) and isinstance(limit, str) and amount(limit) < amount(request):
            request, limit = limit, request
        sides |= {f"{name}_request": request, f"{name}_limit": limit}
    return Resources(**sides)


@st.composite
def conditions(draw):
    """Return a condition on a node with as many values as its operator has."""
    operator = draw(st.sampled_from(["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]))
    match operator:
        case "In" | "NotIn":
            values = tuple(draw(st.lists(names, min_size=1, max_size=3)))
        case "Gt" | "Lt":
            values = (str(draw(st.integers(0, 99))),)
        case _:
            values = ()
    return NodeSelectorRequirement(key=draw(keys), operator=operator, values=values)


@st.composite
def tolerations(draw):
    """Return a toleration that Kubernetes takes."""
    if draw(st.booleans()):
        effect = draw(maybe(st.sampled_from(["NoSchedule", "PreferNoSchedule"])))
        return Toleration(key=draw(maybe(keys)), operator="Exists", effect=effect)
    return Toleration(
        key=draw(keys),
        operator=draw(maybe(st.just("Equal"))),
        value=draw(maybe(names)),
        effect="NoExecute",
        toleration_seconds=draw(maybe(st.integers(0, 999))),
    )


terms = st.builds(
    NodeAffinityTerm,
    match_expressions=st.lists(conditions(), min_size=1, max_size=2).map(tuple),
    match_fields=st.lists(conditions(), max_size=1).map(tuple),
    weight=maybe(st.integers(1, 100)),
)
annotations = st.dictionaries(keys, texts, max_size=2)


@st.composite
def volumes(draw, arguments, letters=("a", "b", "c")):
    """Return volumes whose names, paths and objects do not meet."""
    made = []
    for letter in draw(st.lists(st.sampled_from(letters), unique=True, max_size=3)):
        mount = {"name": f"{letter}-volume", "mount_path": f"/{letter}" + draw(paths)}
        other = st.just(f"{letter}-object") | arguments
        made.append(
            draw(
                st.one_of(
                    st.builds(ExistingClaim, claim=other, sub_path=maybe(names), **fixed(mount)),
                    st.builds(
                        NewClaim,
                        suffix=st.just(f"{letter}-claim"),
                        size=quantities(),
                        access_modes=modes,
                        storage_class=st.none() | st.just("") | names,
                        volume_name=maybe(names),
                        annotations=annotations,
                        data_source=maybe(st.builds(DataSource, kind=st.just("VolumeSnapshot"), name=names)),
                        shared=st.booleans(),
                        **fixed(mount),
                    ),
                    st.builds(
                        EmptyDir,
                        medium=maybe(st.sampled_from(["Memory", "HugePages", "HugePages-2Mi"])),
                        size_limit=maybe(quantities()),
                        **fixed(mount),
                    ),
                    st.builds(
                        EphemeralVolume,
                        size=quantities(),
                        access_modes=modes,
                        storage_class=maybe(names),
                        labels=st.dictionaries(keys, label_values, max_size=2),
                        annotations=annotations,
                        **fixed(mount),
                    ),
                    st.builds(SecretVolume, secret=other, optional=st.booleans(), **fixed(mount)),
                    st.builds(ConfigMapVolume, config_map=other, optional=st.booleans(), **fixed(mount)),
                )
            )
        )
    return tuple(made)


def fixed(values):
    """Return strategies of one value each."""
    return {name: st.just(value) for name, value in values.items()}


seconds = st.integers(0, 5000).map(float)


def sources(arguments):
    """Return the sources of an environment variable."""
    return st.one_of(
        texts,
        st.builds(SecretKey, secret=st.none() | names | arguments, key=names, optional=st.booleans()),
        st.builds(ConfigMapKey, config_map=names | arguments, key=names, optional=st.booleans()),
        st.sampled_from(["metadata.name", "status.podIP", "metadata.labels['team']"]).map(
            lambda path: FieldPath(path=path)
        ),
    )


def task_settings(arguments=arguments):
    """Return settings.

    :param arguments: the run-time values in them; ``st.nothing()`` for none.
    """
    return st.builds(
        TaskSettings,
        image=maybe(names),
        image_pull_policy=maybe(st.sampled_from(["Always", "Never", "IfNotPresent"])),
        image_pull_secrets=maybe(st.lists(names | arguments, max_size=2).map(tuple)),
        labels=st.dictionaries(keys, label_values, max_size=2),
        annotations=annotations,
        node_selector=maybe(st.dictionaries(keys, label_values, max_size=2) | arguments),
        tolerations=maybe(st.lists(tolerations() | arguments, max_size=2).map(tuple)),
        node_affinity=maybe(st.lists(terms | arguments, max_size=2).map(tuple)),
        resources=maybe(resources(arguments)),
        accelerator=maybe(
            st.builds(Accelerator, type=keys | arguments, count=st.integers(0, 8) | arguments),
        ),
        envs=st.dictionaries(variables, sources(arguments), max_size=3),
        volumes=volumes(arguments),
        timeout=maybe(st.integers(1, 10**6)),
        retries=maybe(
            st.builds(
                Retries,
                count=st.integers(0, 9),
                backoff=maybe(seconds),
                factor=maybe(st.sampled_from([1.0, 1.5, 2.0])),
                longest=maybe(seconds.filter(bool)),
            )
        ),
        caching=maybe(st.booleans()),
        security_context=maybe(
            st.builds(
                SecurityContext,
                run_as_user=maybe(st.integers(1, 65535)),
                run_as_group=maybe(st.integers(0, 65535)),
                run_as_non_root=maybe(st.booleans()),
            )
        ),
        workspace=maybe(
            st.builds(Workspace, size=quantities(), access_modes=modes, storage_class=maybe(names))
        ),
        profile=maybe(names),
    )
