"""Works with streams through Kubernetes' dynamic client, and tells what it sees, a line of JSON each.

Usage: streams.py KUBECONFIG NAMESPACE write|watch
"""

import json
import sys

from kubernetes import config, dynamic
from kubernetes.dynamic.exceptions import ConflictError, NotFoundError


def tell(**seen):
    print(json.dumps(seen), flush=True)


def body(name, labels=None):
    return {
        "apiVersion": "image.openshift.io/v1",
        "kind": "ImageStream",
        "metadata": {"name": name, "labels": labels or {}},
    }


def names(found):
    return [item.metadata.name for item in found.items]


def write(streams, namespace):
    for name in ["a", "b", "c"]:
        streams.create(body=body(name, {"letter": name}), namespace=namespace)
    found = streams.get(namespace=namespace)
    tell(kind=found.kind, names=names(found), version=bool(found.metadata.resourceVersion))
    tell(selected=names(streams.get(namespace=namespace, label_selector="letter in (a, c)")))
    tell(named=names(streams.get(namespace=namespace, field_selector="metadata.name=b")))

    first = streams.get(namespace=namespace, limit=2)
    rest = streams.get(namespace=namespace, limit=2, _continue=getattr(first.metadata, "continue"))
    tell(pages=[names(first), names(rest)])

    tag = {"name": "stable", "from": {"kind": "DockerImage", "name": "registry.example.com/shop/a:1"}}
    patches = {
        "application/merge-patch+json": {"metadata": {"annotations": {"merged": "yes"}}},
        "application/strategic-merge-patch+json": {"spec": {"tags": [tag]}},
        "application/json-patch+json": [{"op": "add", "path": "/metadata/labels/patched", "value": "yes"}],
    }
    for content_type, patch in patches.items():
        streams.patch(name="a", namespace=namespace, body=patch, content_type=content_type)
    applied = {**body("a"), "spec": {"lookupPolicy": {"local": True}}}
    del applied["metadata"]["labels"]
    streams.server_side_apply(name="a", namespace=namespace, body=applied, field_manager="peer")
    patched = streams.get(name="a", namespace=namespace)
    tell(
        annotations=patched.metadata.annotations.to_dict(),
        labels=patched.metadata.labels.to_dict(),
        tags=[each.name for each in patched.spec.tags],
        local=patched.spec.lookupPolicy.local,
    )

    stale = streams.get(name="b", namespace=namespace).to_dict()
    streams.patch(name="b", namespace=namespace, body={"metadata": {"labels": {"moved": "on"}}},
                  content_type="application/merge-patch+json")
    try:
        streams.replace(body=stale, namespace=namespace)
    except ConflictError as error:
        tell(refused=error.status, reason=json.loads(error.body)["reason"])
    for name in ["a", "b", "c"]:
        streams.delete(name=name, namespace=namespace)
    try:
        streams.get(name="a", namespace=namespace)
    except NotFoundError as error:
        tell(refused=error.status, reason=json.loads(error.body)["reason"])


def watch(streams, namespace):
    """Each event is what makes the next change, so that every one of them comes while the watch is under way."""
    streams.create(body=body("first"), namespace=namespace)
    for event in streams.watch(namespace=namespace, timeout=60):
        kind, stream = event["type"], event["object"]
        tell(event=kind, name=stream.metadata.name, labels=dict(stream.metadata.labels or {}))
        match kind, stream.metadata.name:
            case "ADDED", "first":
                streams.patch(name="first", namespace=namespace, body={"metadata": {"labels": {"seen": "yes"}}},
                              content_type="application/merge-patch+json")
            case "MODIFIED", "first":
                streams.create(body=body("second"), namespace=namespace)
            case "ADDED", "second":
                streams.delete(name="first", namespace=namespace)
            case "DELETED", "first":
                return


def main():
    kubeconfig, namespace, what = sys.argv[1:]
    client = dynamic.DynamicClient(config.new_client_from_config(config_file=kubeconfig))
    streams = client.resources.get(api_version="image.openshift.io/v1", kind="ImageStream")
    {"write": write, "watch": watch}[what](streams, namespace)


main()
