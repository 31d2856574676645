#!/usr/bin/env bash
#
# Makes the sample images that `quickstart` ships: for each one, the manifest
# and the config (for the multi-platform one also the index), byte for byte as
# a registry serves them. The layers are made too, but not kept: an image
# stream refers to layers and never reads them.
#
#   hello-1.0, hello-1.1   OCI images, two builds of the same application
#   legacy                 Docker schema 2 image, config as Docker engines wrote it
#   multi                  OCI index over linux/amd64 and linux/arm64/v8
#
# Usage: make.sh          (writes to the folder that holds this script)
#
# Needs Go (it fetches the pinned crane through the module proxy), beside bash,
# GNU tar and the usual small tools. All times and versions are fixed, so every run
# gives the same bytes. The Go toolchain is pinned as well: its compressor
# decides the bytes of the layers, and with them the digests.

set -euo pipefail
export LC_ALL=C TZ=UTC

crane_version=v0.22.1
export GOTOOLCHAIN=go1.26.8

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
work=$(mktemp -d)
out=$work/out
registry_pid=

cleanup() {
  if [[ -n $registry_pid ]]; then
    kill "$registry_pid" 2>/dev/null || true
    wait "$registry_pid" 2>/dev/null || true
  fi
  rm -rf -- "$work"
}
trap cleanup EXIT

[[ $(tar --version 2>/dev/null) == *'GNU tar'* ]] || { echo "make.sh: needs GNU tar" >&2; exit 1; }

# --- crane, and a scratch registry on a free loopback port -------------------

GOBIN=$work/bin go install "github.com/google/go-containerregistry/cmd/crane@$crane_version"
export DOCKER_CONFIG=$work/docker   # no credentials of the caller

# crane ARG...: its log is shown only when it fails.
crane() {
  "$work/bin/crane" "$@" 2>"$work/crane.log" || { cat "$work/crane.log" >&2; return 1; }
}

"$work/bin/crane" registry serve --address 127.0.0.1:0 2>"$work/registry.log" &
registry_pid=$!
port=
for _ in $(seq 100); do
  port=$(sed -n 's/.*serving on port \([0-9]*\).*/\1/p' "$work/registry.log")
  [[ -n $port ]] && break
  sleep 0.1
done
[[ -n $port ]] || { echo "make.sh: the scratch registry did not start" >&2; exit 1; }
registry=127.0.0.1:$port/samples

# --- helpers -----------------------------------------------------------------

# layer NAME TIME: packs the tree $work/tree/NAME into $work/NAME.tar, with
# fixed order, owner, mode and times.
layer() {
  tar --create --file "$work/$1.tar" --directory "$work/tree/$1" \
    --format=ustar --sort=name --owner=0 --group=0 --numeric-owner \
    --mode='u=rwX,go=rX' --mtime="$2" \
    -- $(cd "$work/tree/$1" && ls)
}

# put PATH: writes stdin to a file of a layer's tree.
put() {
  mkdir -p "$work/tree/$(dirname "$1")"
  cat >"$work/tree/$1"
}

# diff_id NAME: the digest of the uncompressed layer, as JSON string.
diff_id() {
  printf '"sha256:%s"' "$(sha256sum <"$work/$1.tar" | cut -d' ' -f1)"
}

# push TAG KIND LAYER...: pushes an image of these layers, with its config from
# stdin (indentation and line ends are taken out). KIND is oci or docker.
push() {
  local tag=$1 kind=$2 name
  shift 2
  local args=()
  [[ $kind == oci ]] && args+=(--oci-empty-base)
  for name in "$@"; do args+=(--new_layer "$work/$name.tar"); done
  crane append "${args[@]}" --new_tag "$registry/$tag" >/dev/null
  sed 's/^ *//' | tr -d '\n' | crane edit config "$registry/$tag" >/dev/null
}

# annotate TAG KEY=VALUE...: adds annotations to an OCI manifest.
annotate() {
  local tag=$1 pair
  shift
  local args=()
  for pair in "$@"; do args+=(--annotation "$pair"); done
  crane mutate "${args[@]}" --tag "$registry/$tag" "$registry/$tag" >/dev/null
}

# checked FILE DIGEST: the file must have this digest.
checked() {
  local got
  got=sha256:$(sha256sum <"$1" | cut -d' ' -f1)
  [[ $got == "$2" ]] || { echo "make.sh: $1 is $got, not $2" >&2; exit 1; }
}

# save TAG FOLDER: keeps the manifest and the config as the registry has them,
# once crane finds that layers, config and manifest fit together.
save() {
  local dir=$out/$2 digest
  crane validate --remote "$registry/$1" >/dev/null
  mkdir -p "$dir"
  crane manifest "$registry/$1" >"$dir/manifest.json"
  crane config "$registry/$1" >"$dir/config.json"
  checked "$dir/manifest.json" "$(crane digest "$registry/$1")"
  digest=$(sha256sum <"$dir/config.json" | cut -d' ' -f1)
  grep -q "\"sha256:$digest\"" "$dir/manifest.json" ||
    { echo "make.sh: $2: the manifest does not name its config" >&2; exit 1; }
}

# --- layers ------------------------------------------------------------------

# The base, shared by all images.
put base/etc/passwd <<'END'
root:x:0:0:root:/root:/bin/sh
hello:x:1001:0:hello:/opt/hello:/bin/sh
END
put base/etc/group <<'END'
root:x:0:
hello:x:1001:
END
layer base 2025-01-10T08:00:00Z

# The application.
application() {
  put "$1/opt/hello/bin/hello" <<'END'
#!/bin/sh
# Prints the greeting, or serves it over HTTP.
case "${1:-serve}" in
  print) exec cat /opt/hello/share/index.html ;;
  serve) exec httpd -f -p "${PORT:-8080}" -h /opt/hello/share ;;
  *) echo "usage: hello [print|serve]" >&2; exit 2 ;;
esac
END
  chmod +x "$work/tree/$1/opt/hello/bin/hello"
  put "$1/opt/hello/share/index.html" <<<"$2"
}
application app-1.0 'Hello from an image stream'
layer app-1.0 2025-01-15T09:00:00Z
application app-1.1 'Hello again from an image stream'
layer app-1.1 2025-03-03T10:30:00Z

# A layer that only hello 1.1 has.
put translations-1.1/opt/hello/share/de.html <<<'Hallo aus einem Image-Stream'
put translations-1.1/opt/hello/share/fr.html <<<"Bonjour d'un flux d'images"
layer translations-1.1 2025-03-03T10:30:00Z

# A layer of each platform of the multi-platform image.
for arch in amd64 arm64; do
  put "platform-$arch/opt/hello/share/platform.txt" <<<"linux/$arch"
  layer "platform-$arch" 2025-02-12T14:00:00Z
done

# The application of the Docker image.
put legacy/srv/greeting/motd <<<'Hello from an image stream, in the older format'
layer legacy 2019-06-20T12:00:00Z
cp -r "$work/tree/base" "$work/tree/legacy-base"
layer legacy-base 2019-06-01T08:00:00Z

# --- hello 1.0 and 1.1: OCI images -------------------------------------------

push hello:1.0 oci base app-1.0 <<END
{
  "created":"2025-01-15T09:00:02Z",
  "author":"Samples <samples@example.com>",
  "architecture":"amd64",
  "os":"linux",
  "config":{
    "User":"1001",
    "ExposedPorts":{"8080/tcp":{}},
    "Env":[
      "PATH=/opt/hello/bin:/usr/local/bin:/usr/bin:/bin",
      "HELLO_VERSION=1.0",
      "PORT=8080"
    ],
    "Entrypoint":["/opt/hello/bin/hello"],
    "Cmd":["serve"],
    "Volumes":{"/var/lib/hello":{}},
    "WorkingDir":"/opt/hello",
    "Labels":{
      "io.k8s.description":"Answers with a greeting over HTTP",
      "io.k8s.display-name":"Hello 1.0",
      "name":"samples/hello",
      "version":"1.0"
    },
    "StopSignal":"SIGTERM"
  },
  "rootfs":{"type":"layers","diff_ids":[$(diff_id base),$(diff_id app-1.0)]},
  "history":[
    {"created":"2025-01-10T08:00:00Z","created_by":"COPY etc/ /etc/","comment":"base files"},
    {"created":"2025-01-15T09:00:00Z","created_by":"COPY hello/ /opt/hello/","author":"Samples <samples@example.com>"},
    {"created":"2025-01-15T09:00:01Z","created_by":"USER 1001","empty_layer":true},
    {"created":"2025-01-15T09:00:01Z","created_by":"EXPOSE 8080/tcp","empty_layer":true},
    {"created":"2025-01-15T09:00:02Z","created_by":"ENTRYPOINT [\"/opt/hello/bin/hello\"]","empty_layer":true},
    {"created":"2025-01-15T09:00:02Z","created_by":"CMD [\"serve\"]","empty_layer":true}
  ]
}
END
annotate hello:1.0 \
  org.opencontainers.image.created=2025-01-15T09:00:02Z \
  org.opencontainers.image.title=hello \
  org.opencontainers.image.url=https://registry.example.com/samples/hello:1.0 \
  org.opencontainers.image.version=1.0
save hello:1.0 hello-1.0

push hello:1.1 oci base app-1.1 translations-1.1 <<END
{
  "created":"2025-03-03T10:30:03Z",
  "author":"Samples <samples@example.com>",
  "architecture":"amd64",
  "os":"linux",
  "config":{
    "User":"1001",
    "ExposedPorts":{"8080/tcp":{},"8443/tcp":{}},
    "Env":[
      "PATH=/opt/hello/bin:/usr/local/bin:/usr/bin:/bin",
      "HELLO_VERSION=1.1",
      "HELLO_LANGUAGES=en,de,fr",
      "PORT=8080"
    ],
    "Entrypoint":["/opt/hello/bin/hello"],
    "Cmd":["serve"],
    "Volumes":{"/var/lib/hello":{}},
    "WorkingDir":"/opt/hello",
    "Labels":{
      "io.k8s.description":"Answers with a greeting over HTTP, in three languages",
      "io.k8s.display-name":"Hello 1.1",
      "name":"samples/hello",
      "version":"1.1"
    },
    "StopSignal":"SIGTERM"
  },
  "rootfs":{"type":"layers","diff_ids":[$(diff_id base),$(diff_id app-1.1),$(diff_id translations-1.1)]},
  "history":[
    {"created":"2025-01-10T08:00:00Z","created_by":"COPY etc/ /etc/","comment":"base files"},
    {"created":"2025-03-03T10:30:00Z","created_by":"COPY hello/ /opt/hello/","author":"Samples <samples@example.com>"},
    {"created":"2025-03-03T10:30:01Z","created_by":"COPY translations/ /opt/hello/share/","author":"Samples <samples@example.com>"},
    {"created":"2025-03-03T10:30:02Z","created_by":"USER 1001","empty_layer":true},
    {"created":"2025-03-03T10:30:02Z","created_by":"EXPOSE 8080/tcp 8443/tcp","empty_layer":true},
    {"created":"2025-03-03T10:30:03Z","created_by":"ENTRYPOINT [\"/opt/hello/bin/hello\"]","empty_layer":true},
    {"created":"2025-03-03T10:30:03Z","created_by":"CMD [\"serve\"]","empty_layer":true}
  ]
}
END
annotate hello:1.1 \
  org.opencontainers.image.created=2025-03-03T10:30:03Z \
  org.opencontainers.image.title=hello \
  org.opencontainers.image.url=https://registry.example.com/samples/hello:1.1 \
  org.opencontainers.image.version=1.1
save hello:1.1 hello-1.1

# --- legacy: a Docker schema 2 image -----------------------------------------

# The config has the fields that Docker engines used to write and that OCI
# configs lack: container, container_config, docker_version, and the whole of
# config with its empty values.
push legacy:latest docker legacy-base legacy <<END
{
  "architecture":"amd64",
  "author":"Samples <samples@example.com>",
  "config":{
    "Hostname":"",
    "Domainname":"",
    "User":"1001:0",
    "AttachStdin":false,
    "AttachStdout":false,
    "AttachStderr":false,
    "ExposedPorts":{"7/tcp":{}},
    "Tty":false,
    "OpenStdin":false,
    "StdinOnce":false,
    "Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin","GREETING=/srv/greeting/motd"],
    "Cmd":["/srv/greeting/motd"],
    "ArgsEscaped":true,
    "Image":"",
    "Volumes":{"/var/cache/greeting":{}},
    "WorkingDir":"/srv/greeting",
    "Entrypoint":["/bin/cat"],
    "OnBuild":null,
    "Labels":{"description":"Prints a greeting","maintainer":"samples@example.com","name":"samples/legacy"}
  },
  "container":"4f2a6c0d9b81e3754f2a6c0d9b81e3754f2a6c0d9b81e3754f2a6c0d9b81e375",
  "container_config":{
    "Hostname":"4f2a6c0d9b81",
    "Domainname":"",
    "User":"1001:0",
    "AttachStdin":false,
    "AttachStdout":false,
    "AttachStderr":false,
    "ExposedPorts":{"7/tcp":{}},
    "Tty":false,
    "OpenStdin":false,
    "StdinOnce":false,
    "Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin","GREETING=/srv/greeting/motd"],
    "Cmd":["/bin/sh","-c","#(nop) ","CMD [\"/srv/greeting/motd\"]"],
    "ArgsEscaped":true,
    "Image":"",
    "Volumes":{"/var/cache/greeting":{}},
    "WorkingDir":"/srv/greeting",
    "Entrypoint":["/bin/cat"],
    "OnBuild":null,
    "Labels":{"description":"Prints a greeting","maintainer":"samples@example.com","name":"samples/legacy"}
  },
  "created":"2019-06-20T12:00:01.123456789Z",
  "docker_version":"18.09.6",
  "history":[
    {"created":"2019-06-01T08:00:00Z","author":"Samples <samples@example.com>","created_by":"/bin/sh -c #(nop) ADD dir:etc in /etc "},
    {"created":"2019-06-20T12:00:00Z","author":"Samples <samples@example.com>","created_by":"/bin/sh -c #(nop) COPY file:motd in /srv/greeting/motd "},
    {"created":"2019-06-20T12:00:00.5Z","author":"Samples <samples@example.com>","created_by":"/bin/sh -c #(nop)  ENTRYPOINT [\"/bin/cat\"]","empty_layer":true},
    {"created":"2019-06-20T12:00:01.123456789Z","author":"Samples <samples@example.com>","created_by":"/bin/sh -c #(nop)  CMD [\"/srv/greeting/motd\"]","empty_layer":true}
  ],
  "os":"linux",
  "rootfs":{"type":"layers","diff_ids":[$(diff_id legacy-base),$(diff_id legacy)]}
}
END
save legacy:latest legacy

# --- multi: an OCI index over two platforms ----------------------------------

platform_image() {
  local arch=$1 variant=${2:-}
  push "multi:$arch" oci base app-1.0 "platform-$arch" <<END
{
  "created":"2025-02-12T14:00:02Z",
  "author":"Samples <samples@example.com>",
  "architecture":"$arch",
  ${variant:+\"variant\":\"$variant\",}
  "os":"linux",
  "config":{
    "User":"1001",
    "ExposedPorts":{"8080/tcp":{}},
    "Env":[
      "PATH=/opt/hello/bin:/usr/local/bin:/usr/bin:/bin",
      "HELLO_VERSION=1.0",
      "PORT=8080"
    ],
    "Entrypoint":["/opt/hello/bin/hello"],
    "Cmd":["serve"],
    "WorkingDir":"/opt/hello",
    "Labels":{
      "io.k8s.description":"Answers with a greeting over HTTP, on more than one platform",
      "io.k8s.display-name":"Hello on many platforms",
      "name":"samples/multi",
      "version":"1.0"
    }
  },
  "rootfs":{"type":"layers","diff_ids":[$(diff_id base),$(diff_id app-1.0),$(diff_id "platform-$arch")]},
  "history":[
    {"created":"2025-01-10T08:00:00Z","created_by":"COPY etc/ /etc/","comment":"base files"},
    {"created":"2025-01-15T09:00:00Z","created_by":"COPY hello/ /opt/hello/"},
    {"created":"2025-02-12T14:00:00Z","created_by":"COPY linux-$arch/ /opt/hello/share/"},
    {"created":"2025-02-12T14:00:01Z","created_by":"USER 1001","empty_layer":true},
    {"created":"2025-02-12T14:00:01Z","created_by":"EXPOSE 8080/tcp","empty_layer":true},
    {"created":"2025-02-12T14:00:02Z","created_by":"ENTRYPOINT [\"/opt/hello/bin/hello\"]","empty_layer":true},
    {"created":"2025-02-12T14:00:02Z","created_by":"CMD [\"serve\"]","empty_layer":true}
  ]
}
END
  annotate "multi:$arch" \
    org.opencontainers.image.created=2025-02-12T14:00:02Z \
    org.opencontainers.image.title=multi \
    org.opencontainers.image.version=1.0
  save "multi:$arch" "multi/linux-$arch"
}
platform_image amd64
platform_image arm64 v8

# crane takes each child's platform from its config.
crane index append --tag "$registry/multi:latest" \
  --manifest "$registry/multi:amd64" --manifest "$registry/multi:arm64" >/dev/null
crane validate --remote "$registry/multi:latest" >/dev/null
crane manifest "$registry/multi:latest" >"$out/multi/index.json"
checked "$out/multi/index.json" "$(crane digest "$registry/multi:latest")"

# --- into place, once all of it is made --------------------------------------

for name in hello-1.0 hello-1.1 legacy multi; do
  rm -rf -- "${here:?}/$name"
  cp -r -- "$out/$name" "$here/$name"
done
(cd "$here" && find . -name '*.json' | sort | xargs sha256sum)
