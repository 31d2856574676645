{{- define "imagestream-apiserver.name" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else -}}
{{- $name := .Values.nameOverride | default .Chart.Name -}}
{{- contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{- define "imagestream-apiserver.namespace" -}}
{{- .Values.namespaceOverride | default .Release.Namespace -}}
{{- end }}

{{- define "imagestream-apiserver.labels" -}}
app.kubernetes.io/name: imagestream-apiserver
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "imagestream-apiserver.image" -}}
{{- with .Values.image -}}
{{- .digest | empty | ternary (printf "%s:%s" .repository (.tag | default $.Chart.AppVersion)) (printf "%s@%s" .repository .digest) -}}
{{- end -}}
{{- end }}

{{/*
The objects in files of kustomize, with names, namespace and labels of the release, as a YAML list.
Arguments: the root, and paths below manifests/chart/kustomize.
*/}}
{{- define "imagestream-apiserver.shared" -}}
{{- $root := first . }}
{{- $name := include "imagestream-apiserver.name" $root }}
{{- $namespace := include "imagestream-apiserver.namespace" $root }}
{{- $objects := list }}
{{- range $file := rest . }}
{{- $text := $root.Files.Get (printf "kustomize/%s" $file) }}
{{- if not (contains "kind:" $text) }}
{{- fail (printf "kustomize/%s has no objects: the chart needs the symbolic links of the repository" $file) }}
{{- end }}
{{- range regexSplit "(?m)^---$" $text -1 }}
{{- $object := fromYaml . }}
{{- if $object.kind }}
{{- $metadata := $object.metadata }}
{{- $_ := set $metadata "name" (replace "imagestream-apiserver" $name $metadata.name) }}
{{- if eq "imagestream-apiserver" ($metadata.namespace | default "") }}
{{- $_ := set $metadata "namespace" $namespace }}
{{- end }}
{{- $_ := set $metadata "labels" (mustMerge (include "imagestream-apiserver.labels" $root | fromYaml) ($metadata.labels | default dict)) }}
{{- with $object.roleRef }}
{{- $_ := set . "name" (replace "imagestream-apiserver" $name .name) }}
{{- end }}
{{- range $object.subjects }}
{{- if eq "imagestream-apiserver" (.namespace | default "") }}
{{- $_ := mustMergeOverwrite . (dict "name" $name "namespace" $namespace) }}
{{- end }}
{{- end }}
{{- range $object.rules }}
{{- if .resourceNames }}
{{- $_ := set . "resourceNames" (splitList " " (join " " .resourceNames | replace "imagestream-apiserver" $name)) }}
{{- end }}
{{- end }}
{{- $objects = append $objects $object }}
{{- end }}
{{- end }}
{{- end }}
{{- toYaml $objects }}
{{- end }}

{{/* Prints a list of objects. */}}
{{- define "imagestream-apiserver.print" -}}
{{- range . }}
---
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Security of all containers. */}}
{{- define "imagestream-apiserver.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "imagestream-apiserver.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{/* Not empty if CA and certificate of the server are in a Secret: replicas on etcd share them. */}}
{{- define "imagestream-apiserver.caInSecret" -}}
{{- if and (eq .Values.certificates.source "own-ca") (or .Values.certificates.inSecret .Values.etcd.servers) -}}
true
{{- end -}}
{{- end }}

{{/* Arguments of the server. */}}
{{- define "imagestream-apiserver.args" -}}
- serve
- --secure-port=8443
# The default in a pod. Explicit, so that the cluster always decides.
- --authorization-mode=Webhook
# Requests without credentials must not cause SubjectAccessReviews. The probes do not need them.
- --anonymous-auth=false
- --request-timeout=60s
- --logging-format=json
{{- if .Values.etcd.servers }}
- --storage-backend=etcd3
# Time for kube-proxy and kube-apiserver to send new connections to other replicas.
- --shutdown-delay-duration=10s
{{- else }}
- --data-dir=/data/{{ .Values.storage.folder }}
# A delay serves to hand over to other replicas. With one replica it only prolongs a restart.
- --shutdown-delay-duration=0s
{{- end }}
{{- if eq .Values.certificates.source "own-ca" }}
- --cert-dir=/data/certificates
- --inject-ca-bundle
{{- else }}
- --tls-cert-file=/certificates/tls.crt
- --tls-private-key-file=/certificates/tls.key
{{- end }}
{{- with .Values.etcd.servers }}
- --etcd-servers={{ join "," . }}
- --etcd-cafile=/etcd/ca.crt
- --etcd-certfile=/etcd/tls.crt
- --etcd-keyfile=/etcd/tls.key
{{- end }}
{{- if .Values.backups.enabled }}
- --backup-dir=/backups
{{- end }}
{{- range .Values.extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end }}

{{/* Flags that follow the names of the objects. Service and ServiceAccount have the same name. */}}
{{- define "imagestream-apiserver.env" -}}
- name: IMAGESTREAM_APISERVER_FLAG_SERVICE_NAME
  valueFrom:
    fieldRef: {fieldPath: spec.serviceAccountName}
- name: IMAGESTREAM_APISERVER_FLAG_SERVICE_NAMESPACE
  valueFrom:
    fieldRef: {fieldPath: metadata.namespace}
{{- if include "imagestream-apiserver.caInSecret" . }}
- name: IMAGESTREAM_APISERVER_FLAG_CERT_SECRET
  value: $(IMAGESTREAM_APISERVER_FLAG_SERVICE_NAME)-certificates
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}
