"""Creates, reads and lists streams through a client that openapi-python-client generates from the
OpenAPI document, and prints a line of JSON for each step.

Usage: client.py GENERATED KUBECONFIG NAMESPACE, with the folder of the package `image_client` and a
kubeconfig in JSON that has a token
"""

import base64
import json
import ssl
import sys

generated, kubeconfig, namespace = sys.argv[1:]
sys.path.insert(0, generated)

from image_client import AuthenticatedClient
from image_client.api.image_openshift_io_v_1 import (
    create_namespaced_image_stream,
    get_namespaced_image_stream,
    list_namespaced_image_stream,
)
from image_client.models import ComGithubOpenshiftApiImageV1ImageStream


def tell(step, answer, names):
    print(json.dumps({"step": step, "status": answer.status_code, "names": names}), flush=True)


with open(kubeconfig) as file:
    config = json.load(file)
cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
authorities = base64.b64decode(cluster["certificate-authority-data"]).decode()
client = AuthenticatedClient(
    base_url=cluster["server"],
    token=user["token"],
    verify_ssl=ssl.create_default_context(cadata=authorities),
)

body = ComGithubOpenshiftApiImageV1ImageStream.from_dict({
    "apiVersion": "image.openshift.io/v1",
    "kind": "ImageStream",
    "metadata": {"name": "from-python"},
    "spec": {"tags": [{"name": "stable", "from": {"kind": "DockerImage", "name": "registry.example.com/python:1"}}]},
})
created = create_namespaced_image_stream.sync_detailed(namespace, client=client, body=body)
tell("create", created, [created.parsed.metadata.name])

read = get_namespaced_image_stream.sync_detailed(namespace, "from-python", client=client)
tell("get", read, [read.parsed.metadata.name, read.parsed.spec.tags[0].name])

found = list_namespaced_image_stream.sync_detailed(namespace, client=client)
tell("list", found, [item.metadata.name for item in found.parsed.items])
