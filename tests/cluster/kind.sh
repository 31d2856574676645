#!/usr/bin/env bash
# Shows on kind, with the image and the manifests, what tests/cluster.rs shows with bare binaries: the server becomes
# available, users reach it through kube-apiserver as far as they may, and its data outlives a restart. Needs Docker, kind
# and kubectl. It makes a cluster of its own and deletes it in the end. CI does not run it.
set -euo pipefail
cd "$(dirname "$0")/../.."

for tool in docker kind kubectl; do
    command -v "$tool" > /dev/null || { echo "$tool is needed and not there" >&2; exit 2; }
done

cluster=imagestream-apiserver-$$
KUBECONFIG=$(mktemp)
export KUBECONFIG
finish() {
    code=$?
    if [ "$code" != 0 ]; then
        kubectl get apiservice v1.image.openshift.io --output=yaml || true
        kubectl --namespace=imagestream-apiserver describe pods || true
        kubectl --namespace=imagestream-apiserver logs deployment/imagestream-apiserver --tail=50 || true
    fi
    kind delete cluster --name "$cluster"
    rm -f "$KUBECONFIG"
    exit "$code"
}
trap finish EXIT

step() { printf '\n== %s\n' "$*"; }
available() { kubectl wait --for=condition=Available apiservice/v1.image.openshift.io --timeout=180s; }
# Waits until the output of a command has this text in it: rights and their absence are remembered for some seconds.
says() {
    local text=$1 output end=$((SECONDS + 60))
    shift
    while true; do
        output=$("$@" 2>&1) || true
        grep --quiet --fixed-strings -- "$text" <<< "$output" && return
        [ "$SECONDS" -lt "$end" ] || break
        sleep 1
    done
    # Not the command: there may be a token in it.
    printf 'expected "%s", but kubectl says:\n%s\n' "$text" "$output" >&2
    return 1
}

step image
docker build --tag imagestream-apiserver:dev .

step cluster
kind create cluster --name "$cluster" --wait 180s
kind load docker-image imagestream-apiserver:dev --name "$cluster"

step installation
kubectl apply --kustomize manifests/overlays/kind
kubectl --namespace=imagestream-apiserver rollout status deployment/imagestream-apiserver --timeout=180s
kubectl apply --kustomize manifests/registered/kind
available
says ImageStreamImage kubectl api-resources --api-group=image.openshift.io

step an image of a stream
digest=sha256:5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03
path=/apis/image.openshift.io/v1/namespaces/shop
kubectl create namespace shop
kubectl --namespace=shop create --filename=- <<EOF
apiVersion: image.openshift.io/v1
kind: ImageStream
metadata: {name: hello}
---
apiVersion: image.openshift.io/v1
kind: ImageStreamMapping
metadata: {name: hello}
tag: latest
image:
  metadata: {name: "$digest"}
  dockerImageReference: registry.example.com/shop/hello@$digest
EOF
says '"kind":"ImageStreamImage"' kubectl get --raw "$path/imagestreamimages/hello@$digest"
says UPDATED kubectl --namespace=shop get isimage "hello@$digest"

step users
for name in reader stranger; do kubectl --namespace=shop create serviceaccount "$name"; done
kubectl --namespace=shop create rolebinding reader --clusterrole=view --serviceaccount=shop:reader
as() { kubectl --kubeconfig=/dev/null --server="$server" --certificate-authority="$ca" --token="$1" "${@:2}"; }
server=$(kubectl config view --minify --output='jsonpath={.clusters[0].cluster.server}')
ca=$(mktemp)
kubectl config view --raw --minify --output='jsonpath={.clusters[0].cluster.certificate-authority-data}' |
    base64 --decode > "$ca"
says UPDATED as "$(kubectl --namespace=shop create token reader)" --namespace=shop get isimage "hello@$digest"
says 'is forbidden: User "system:serviceaccount:shop:stranger" cannot get' \
    as "$(kubectl --namespace=shop create token stranger)" --namespace=shop get isimage "hello@$digest"
says 'is forbidden: User "alice" cannot get' kubectl --as=alice --namespace=shop get isimage "hello@$digest"
rm -f "$ca"

step namespaces
stream='{"apiVersion": "image.openshift.io/v1", "kind": "ImageStream", "metadata": {"name": "hello"}}'
create() { kubectl --namespace="$1" create --filename=- <<< "$stream"; }
says 'namespaces "nowhere" not found' create nowhere

step restart
kubectl --namespace=imagestream-apiserver rollout restart deployment/imagestream-apiserver
kubectl --namespace=imagestream-apiserver rollout status deployment/imagestream-apiserver --timeout=180s
available
says UPDATED kubectl --namespace=shop get isimage "hello@$digest"

step removal
# First, because an APIService without a server behind it keeps every namespace from ending.
kubectl delete apiservice v1.image.openshift.io
kubectl delete --kustomize manifests/overlays/kind --ignore-not-found --timeout=120s
kubectl delete namespace shop --timeout=120s
step passed
