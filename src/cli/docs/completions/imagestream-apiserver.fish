# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_imagestream_apiserver_global_optspecs
    string join \n h/help V/version
end

function __fish_imagestream_apiserver_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_imagestream_apiserver_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_imagestream_apiserver_using_subcommand
    set -l cmd (__fish_imagestream_apiserver_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_needs_command" -s h -l help -d 'Print help'
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_needs_command" -s V -l version -d 'Print version'
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_needs_command" -f -a "serve" -d 'Run the API server'
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_needs_command" -f -a "check" -d 'Check flags, control plane, certificates and data folder of a server'
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_needs_command" -f -a "store" -d 'Check, back up, restore, export and import the data'
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_needs_command" -f -a "transfer" -d 'Copy all objects from one store or cluster to another one, and compare both'
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_needs_command" -f -a "quickstart" -d 'Run a server on this machine with a sample stream, and print commands to try'
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_needs_command" -f -a "await-rollout" -d 'Wait until a Deployment is rolled out'
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_needs_command" -f -a "completion" -d 'Print the completion script of a shell'
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l bind-address -d 'IP address to listen on; :: for all addresses of IPv4 and IPv6' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l secure-port -d 'Port to serve HTTPS on; 0 for a free port, which is logged' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l max-connections -d 'Maximum number of connections; further ones are closed' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l max-connections-per-address -d 'Maximum number of connections from one address; further ones are closed' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l max-handshakes-per-address -d 'Maximum number of TLS handshakes from one address per second, averaged over two seconds' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l tls-cert-file -d 'Serving certificate with its intermediates (PEM), read again every minute' -r -F
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l tls-private-key-file -d 'Private key of --tls-cert-file (PEM), read again every minute' -r -F
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l cert-dir -d 'Folder for the CA and the certificate that the server creates itself' -r -F
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l tls-san -d 'Further DNS name or IP address of the certificate that the server creates itself; can be repeated' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l cert-secret -d 'Secret in --service-namespace that holds CA and certificate instead of --cert-dir' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l service-name -d 'Name of the Service in front of this server' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l service-namespace -d 'Namespace of the Service in front of this server' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l inject-ca-bundle -d 'Write the server\'s own CA into spec.caBundle of its APIService' -r -f -a "true\t''
false\t''"
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l tls-min-version -d 'Minimum TLS version' -r -f -a "VersionTLS12\t'TLS 1.2 and 1.3'
VersionTLS13\t'TLS 1.3 only'"
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l tls-cipher-suites -d 'Cipher suites of TLS 1.2, separated by commas; all of them if not set' -r -f -a "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256\t'TLS 1.2, for certificates with an elliptic curve key'
TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384\t'TLS 1.2, for certificates with an elliptic curve key'
TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256\t'TLS 1.2, for certificates with an elliptic curve key'
TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256\t'TLS 1.2, for certificates with an RSA key'
TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384\t'TLS 1.2, for certificates with an RSA key'
TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256\t'TLS 1.2, for certificates with an RSA key'
TLS_AES_128_GCM_SHA256\t'TLS 1.3'
TLS_AES_256_GCM_SHA384\t'TLS 1.3'
TLS_CHACHA20_POLY1305_SHA256\t'TLS 1.3'"
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l authorization-mode -d 'Authorization mode; Webhook if a cluster is configured, otherwise required' -r -f -a "AlwaysAllow\t'Every authenticated user may do everything'
Webhook\t'The cluster decides by SubjectAccessReview'"
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l authorization-always-allow-paths -d 'Paths without authorization; a trailing * matches every path with that prefix' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l authorization-webhook-cache-authorized-ttl -d 'Time to cache a SubjectAccessReview that allows a request' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l authorization-webhook-cache-unauthorized-ttl -d 'Time to cache a SubjectAccessReview that denies a request' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l anonymous-auth -d 'Treat requests without credentials as system:anonymous' -r -f -a "true\t''
false\t''"
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l token-auth-file -d 'File of bearer tokens, with lines of the form token,user,uid,"group1,group2"' -r -F
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l client-ca-file -d 'CA certificates (PEM) of client certificates, instead of those of the cluster' -r -F
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l authentication-token-webhook-cache-ttl -d 'Time to cache a TokenReview' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l requestheader-client-ca-file -d 'CA certificates (PEM) of front proxies, instead of those of the cluster' -r -F
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l requestheader-allowed-names -d 'Common names of front proxies; any name if not set' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l requestheader-username-headers -d 'Request headers with the user name, set by front proxies' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l requestheader-uid-headers -d 'Request headers with the UID of the user, set by front proxies' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l requestheader-group-headers -d 'Request headers with the groups of the user, set by front proxies' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l requestheader-extra-headers-prefix -d 'Prefixes of request headers with extra attributes of the user, set by front proxies' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l system-users -d 'Users with the priority of cluster components' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l system-groups -d 'Groups whose members have the priority of cluster components' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l user-shares -d 'Number of usual shares of the limits that a user gets; can be repeated' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l kubeconfig -d 'Kubeconfig file of the control plane; the ServiceAccount of the pod if not set' -r -F
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l authentication-kubeconfig -d 'Kubeconfig file for TokenReviews, instead of --kubeconfig' -r -F
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l authorization-kubeconfig -d 'Kubeconfig file for SubjectAccessReviews, instead of --kubeconfig' -r -F
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l storage-backend -d 'Storage backend' -r -f -a "embedded\t'A file in `--data-dir`, for a server with one replica and a volume'
etcd3\t'A cluster of etcd, which several replicas of the server can share'"
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l data-dir -d 'Data folder of the embedded store; created with mode 0700' -r -F
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l data-dir-lock-timeout -d 'Time to wait for another process that has --data-dir open' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l storage-reserve -d 'Space to keep free on the volume of --data-dir, at least 32Mi' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l etcd-servers -d 'URLs of the members of etcd' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l storage-layout -d 'Layout of keys and values in etcd [default: native]' -r -f -a "native\t'The layout of this server'
openshift\t'The layout of openshift-apiserver, which may run at the same time'"
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l etcd-prefix -d 'Prefix of all keys in etcd [default: /imagestream-apiserver]' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l etcd-cafile -d 'CA bundle that verifies the members of etcd. Changes of the file are followed' -r -F
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l etcd-certfile -d 'Client certificate for etcd. Changes of the file are followed' -r -F
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l etcd-keyfile -d 'Key of --etcd-certfile' -r -F
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l etcd-request-timeout -d 'Time for a request to etcd, with its attempts on other members [default: 3s]' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l etcd-attempt-timeout -d 'Time without a response after which another member of etcd gets the request too [default: 300ms]' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l etcd-compaction -d 'Program that compacts etcd [default: external]' -r -f -a "external\t'Something else compacts etcd, such as its flag --auto-compaction-retention or kube-apiserver'
own\t'This server compacts etcd, in which every key is its own'"
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l compaction-interval -d 'Interval between compactions of old revisions' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l compaction-retention -d 'Minimum age of a revision that is compacted' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l compaction-min-retention -d 'Minimum age of a revision that is compacted while the volume is nearly full' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l compaction-max-revisions -d 'Maximum number of revisions to keep; 0 for no limit' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l backup-dir -d 'Folder for scheduled backups, which should be on another volume than --data-dir' -r -F
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l backup-interval -d 'Interval between scheduled backups' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l backup-retention -d 'Age at which a scheduled backup is removed; the latest one always stays' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l internal-registry-hostname -d 'Hostname of the registry inside the cluster, for status.dockerImageRepository' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l external-registry-hostname -d 'Hostname of the registry outside the cluster, for status.publicDockerImageRepository' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l registry-config -d 'Credentials for registries (docker\'s config.json) if the namespace has none that match' -r -F
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l registry-ca-dir -d 'Certificates for registries, laid out like /etc/containers/certs.d' -r -F
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l registries-config -d 'Mirrors, blocked and insecure registries (registries.conf, version 2)' -r -F
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l import-allow-cidrs -d 'Networks to which imports may connect although they are closed by default' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l import-deny-cidrs -d 'Networks to which imports must not connect. They override --import-allow-cidrs' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l registry-requests-per-second -d 'Maximum rate of requests to each registry, which may save up five seconds for a burst' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l max-requests-inflight-per-registry -d 'Maximum number of concurrent requests to each registry, and so of connections' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l allowed-registries-for-import -d 'Registries from which images may be imported, and to which tags may refer; all by default' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l max-images-bulk-imported -d 'Maximum number of tags that an import of a whole repository imports; -1 for all' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l controllers -d 'Controllers that run: `*` for all, NAME for one, -NAME for all but this one' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l scheduled-import-interval -d 'Interval between checks of tags with importPolicy.scheduled' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l enable-admission-plugins -d 'Admission plugins that run, besides those that run by default' -r -f -a "NamespaceLifecycle\t'Namespaces that exist'
OwnerReferencesPermissionEnforcement\t'Permissions for owner references'
image.openshift.io/ImageLimitRange\t'Limits of images and streams'
quota.openshift.io/ClusterResourceQuota\t'Quotas of several namespaces'
MutatingAdmissionPolicy\t'Mutating policies'
MutatingAdmissionWebhook\t'Mutating webhooks'
ValidatingAdmissionPolicy\t'Validating policies'
ValidatingAdmissionWebhook\t'Validating webhooks'
ResourceQuota\t'Quotas of namespaces'"
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l disable-admission-plugins -d 'Admission plugins that do not run' -r -f -a "NamespaceLifecycle\t'Namespaces that exist'
OwnerReferencesPermissionEnforcement\t'Permissions for owner references'
image.openshift.io/ImageLimitRange\t'Limits of images and streams'
quota.openshift.io/ClusterResourceQuota\t'Quotas of several namespaces'
MutatingAdmissionPolicy\t'Mutating policies'
MutatingAdmissionWebhook\t'Mutating webhooks'
ValidatingAdmissionPolicy\t'Validating policies'
ValidatingAdmissionWebhook\t'Validating webhooks'
ResourceQuota\t'Quotas of namespaces'"
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l admission-control-config-file -d 'AdmissionConfiguration of apiserver.config.k8s.io/v1 with credentials for webhooks' -r -F
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l unknown-admission-rules -d 'Treatment of writes while rules of the cluster are not known: deny or warn' -r -f -a "deny\t'They wait for a short time, and are then refused'
warn\t'They go on, with a warning'"
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l max-requests-inflight -d 'Maximum number of read requests in flight, which users share' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l max-mutating-requests-inflight -d 'Maximum number of mutating requests in flight, which users share' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l max-watches -d 'Maximum number of open watches, which users share; further ones get 429 at once' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l memory-budget -d 'Memory for requests, at least 64Mi; the default is half of the memory limit' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l max-objects-per-namespace -d 'Maximum number of image streams in a namespace; 0 for no limit' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l max-history-bytes-per-namespace -d 'Maximum number of bytes that a namespace takes in the storage; 0 for no limit' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l max-object-size -d 'Maximum size in bytes of a stored object, from 1 MiB to 64 MiB' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l cache-size -d 'Memory for caches of image streams and images, at least 1Mi' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l max-tag-history -d 'Maximum number of events in the history of a tag, newest first; 0 for no limit' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l request-timeout -d 'Maximum time to produce a response, and again to send it' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l audit-log-path -d 'Audit log file, or - for standard output; no audit log if not set' -r -F
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l audit-log-maxsize -d 'Size in megabytes at which the audit log is rotated; 0 for no rotation' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l audit-log-maxbackup -d 'Maximum number of rotated audit logs to keep; 0 for all' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l profiling -d 'Serve profiles of CPU and memory below /debug/pprof/' -r -f -a "true\t''
false\t''"
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l shutdown-delay-duration -d 'Time to keep serving after SIGTERM or SIGINT while /readyz fails' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l write-kubeconfig -d 'Write a kubeconfig for this machine, without credentials' -r -F
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -s v -l v -d 'Log verbosity: 0 for operators, 2 for each request, 4 for its steps, 5 for everything' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l logging-format -d 'Log format' -r -f -a "text\t'One line of text for each event'
json\t'One JSON object for each event'"
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l config -d 'YAML file with flags, by their names without dashes in front' -r -F
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l authentication-skip-lookup -d 'Do not read the CA certificates of clients and front proxies from the cluster'
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -l authentication-tolerate-lookup-failure -d 'Become ready before these CA certificates were read from the cluster'
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand serve" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l bind-address -d 'IP address to listen on; :: for all addresses of IPv4 and IPv6' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l secure-port -d 'Port to serve HTTPS on; 0 for a free port, which is logged' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l max-connections -d 'Maximum number of connections; further ones are closed' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l max-connections-per-address -d 'Maximum number of connections from one address; further ones are closed' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l max-handshakes-per-address -d 'Maximum number of TLS handshakes from one address per second, averaged over two seconds' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l tls-cert-file -d 'Serving certificate with its intermediates (PEM), read again every minute' -r -F
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l tls-private-key-file -d 'Private key of --tls-cert-file (PEM), read again every minute' -r -F
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l cert-dir -d 'Folder for the CA and the certificate that the server creates itself' -r -F
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l tls-san -d 'Further DNS name or IP address of the certificate that the server creates itself; can be repeated' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l cert-secret -d 'Secret in --service-namespace that holds CA and certificate instead of --cert-dir' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l service-name -d 'Name of the Service in front of this server' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l service-namespace -d 'Namespace of the Service in front of this server' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l inject-ca-bundle -d 'Write the server\'s own CA into spec.caBundle of its APIService' -r -f -a "true\t''
false\t''"
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l tls-min-version -d 'Minimum TLS version' -r -f -a "VersionTLS12\t'TLS 1.2 and 1.3'
VersionTLS13\t'TLS 1.3 only'"
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l tls-cipher-suites -d 'Cipher suites of TLS 1.2, separated by commas; all of them if not set' -r -f -a "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256\t'TLS 1.2, for certificates with an elliptic curve key'
TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384\t'TLS 1.2, for certificates with an elliptic curve key'
TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256\t'TLS 1.2, for certificates with an elliptic curve key'
TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256\t'TLS 1.2, for certificates with an RSA key'
TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384\t'TLS 1.2, for certificates with an RSA key'
TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256\t'TLS 1.2, for certificates with an RSA key'
TLS_AES_128_GCM_SHA256\t'TLS 1.3'
TLS_AES_256_GCM_SHA384\t'TLS 1.3'
TLS_CHACHA20_POLY1305_SHA256\t'TLS 1.3'"
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l authorization-mode -d 'Authorization mode; Webhook if a cluster is configured, otherwise required' -r -f -a "AlwaysAllow\t'Every authenticated user may do everything'
Webhook\t'The cluster decides by SubjectAccessReview'"
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l authorization-always-allow-paths -d 'Paths without authorization; a trailing * matches every path with that prefix' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l authorization-webhook-cache-authorized-ttl -d 'Time to cache a SubjectAccessReview that allows a request' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l authorization-webhook-cache-unauthorized-ttl -d 'Time to cache a SubjectAccessReview that denies a request' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l anonymous-auth -d 'Treat requests without credentials as system:anonymous' -r -f -a "true\t''
false\t''"
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l token-auth-file -d 'File of bearer tokens, with lines of the form token,user,uid,"group1,group2"' -r -F
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l client-ca-file -d 'CA certificates (PEM) of client certificates, instead of those of the cluster' -r -F
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l authentication-token-webhook-cache-ttl -d 'Time to cache a TokenReview' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l requestheader-client-ca-file -d 'CA certificates (PEM) of front proxies, instead of those of the cluster' -r -F
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l requestheader-allowed-names -d 'Common names of front proxies; any name if not set' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l requestheader-username-headers -d 'Request headers with the user name, set by front proxies' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l requestheader-uid-headers -d 'Request headers with the UID of the user, set by front proxies' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l requestheader-group-headers -d 'Request headers with the groups of the user, set by front proxies' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l requestheader-extra-headers-prefix -d 'Prefixes of request headers with extra attributes of the user, set by front proxies' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l system-users -d 'Users with the priority of cluster components' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l system-groups -d 'Groups whose members have the priority of cluster components' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l user-shares -d 'Number of usual shares of the limits that a user gets; can be repeated' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l kubeconfig -d 'Kubeconfig file of the control plane; the ServiceAccount of the pod if not set' -r -F
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l authentication-kubeconfig -d 'Kubeconfig file for TokenReviews, instead of --kubeconfig' -r -F
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l authorization-kubeconfig -d 'Kubeconfig file for SubjectAccessReviews, instead of --kubeconfig' -r -F
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l storage-backend -d 'Storage backend' -r -f -a "embedded\t'A file in `--data-dir`, for a server with one replica and a volume'
etcd3\t'A cluster of etcd, which several replicas of the server can share'"
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l data-dir -d 'Data folder of the embedded store; created with mode 0700' -r -F
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l data-dir-lock-timeout -d 'Time to wait for another process that has --data-dir open' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l storage-reserve -d 'Space to keep free on the volume of --data-dir, at least 32Mi' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l etcd-servers -d 'URLs of the members of etcd' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l storage-layout -d 'Layout of keys and values in etcd [default: native]' -r -f -a "native\t'The layout of this server'
openshift\t'The layout of openshift-apiserver, which may run at the same time'"
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l etcd-prefix -d 'Prefix of all keys in etcd [default: /imagestream-apiserver]' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l etcd-cafile -d 'CA bundle that verifies the members of etcd. Changes of the file are followed' -r -F
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l etcd-certfile -d 'Client certificate for etcd. Changes of the file are followed' -r -F
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l etcd-keyfile -d 'Key of --etcd-certfile' -r -F
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l etcd-request-timeout -d 'Time for a request to etcd, with its attempts on other members [default: 3s]' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l etcd-attempt-timeout -d 'Time without a response after which another member of etcd gets the request too [default: 300ms]' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l etcd-compaction -d 'Program that compacts etcd [default: external]' -r -f -a "external\t'Something else compacts etcd, such as its flag --auto-compaction-retention or kube-apiserver'
own\t'This server compacts etcd, in which every key is its own'"
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l compaction-interval -d 'Interval between compactions of old revisions' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l compaction-retention -d 'Minimum age of a revision that is compacted' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l compaction-min-retention -d 'Minimum age of a revision that is compacted while the volume is nearly full' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l compaction-max-revisions -d 'Maximum number of revisions to keep; 0 for no limit' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l backup-dir -d 'Folder for scheduled backups, which should be on another volume than --data-dir' -r -F
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l backup-interval -d 'Interval between scheduled backups' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l backup-retention -d 'Age at which a scheduled backup is removed; the latest one always stays' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l internal-registry-hostname -d 'Hostname of the registry inside the cluster, for status.dockerImageRepository' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l external-registry-hostname -d 'Hostname of the registry outside the cluster, for status.publicDockerImageRepository' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l registry-config -d 'Credentials for registries (docker\'s config.json) if the namespace has none that match' -r -F
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l registry-ca-dir -d 'Certificates for registries, laid out like /etc/containers/certs.d' -r -F
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l registries-config -d 'Mirrors, blocked and insecure registries (registries.conf, version 2)' -r -F
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l import-allow-cidrs -d 'Networks to which imports may connect although they are closed by default' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l import-deny-cidrs -d 'Networks to which imports must not connect. They override --import-allow-cidrs' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l registry-requests-per-second -d 'Maximum rate of requests to each registry, which may save up five seconds for a burst' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l max-requests-inflight-per-registry -d 'Maximum number of concurrent requests to each registry, and so of connections' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l allowed-registries-for-import -d 'Registries from which images may be imported, and to which tags may refer; all by default' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l max-images-bulk-imported -d 'Maximum number of tags that an import of a whole repository imports; -1 for all' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l controllers -d 'Controllers that run: `*` for all, NAME for one, -NAME for all but this one' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l scheduled-import-interval -d 'Interval between checks of tags with importPolicy.scheduled' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l enable-admission-plugins -d 'Admission plugins that run, besides those that run by default' -r -f -a "NamespaceLifecycle\t'Namespaces that exist'
OwnerReferencesPermissionEnforcement\t'Permissions for owner references'
image.openshift.io/ImageLimitRange\t'Limits of images and streams'
quota.openshift.io/ClusterResourceQuota\t'Quotas of several namespaces'
MutatingAdmissionPolicy\t'Mutating policies'
MutatingAdmissionWebhook\t'Mutating webhooks'
ValidatingAdmissionPolicy\t'Validating policies'
ValidatingAdmissionWebhook\t'Validating webhooks'
ResourceQuota\t'Quotas of namespaces'"
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l disable-admission-plugins -d 'Admission plugins that do not run' -r -f -a "NamespaceLifecycle\t'Namespaces that exist'
OwnerReferencesPermissionEnforcement\t'Permissions for owner references'
image.openshift.io/ImageLimitRange\t'Limits of images and streams'
quota.openshift.io/ClusterResourceQuota\t'Quotas of several namespaces'
MutatingAdmissionPolicy\t'Mutating policies'
MutatingAdmissionWebhook\t'Mutating webhooks'
ValidatingAdmissionPolicy\t'Validating policies'
ValidatingAdmissionWebhook\t'Validating webhooks'
ResourceQuota\t'Quotas of namespaces'"
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l admission-control-config-file -d 'AdmissionConfiguration of apiserver.config.k8s.io/v1 with credentials for webhooks' -r -F
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l unknown-admission-rules -d 'Treatment of writes while rules of the cluster are not known: deny or warn' -r -f -a "deny\t'They wait for a short time, and are then refused'
warn\t'They go on, with a warning'"
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l max-requests-inflight -d 'Maximum number of read requests in flight, which users share' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l max-mutating-requests-inflight -d 'Maximum number of mutating requests in flight, which users share' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l max-watches -d 'Maximum number of open watches, which users share; further ones get 429 at once' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l memory-budget -d 'Memory for requests, at least 64Mi; the default is half of the memory limit' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l max-objects-per-namespace -d 'Maximum number of image streams in a namespace; 0 for no limit' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l max-history-bytes-per-namespace -d 'Maximum number of bytes that a namespace takes in the storage; 0 for no limit' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l max-object-size -d 'Maximum size in bytes of a stored object, from 1 MiB to 64 MiB' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l cache-size -d 'Memory for caches of image streams and images, at least 1Mi' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l max-tag-history -d 'Maximum number of events in the history of a tag, newest first; 0 for no limit' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l request-timeout -d 'Maximum time to produce a response, and again to send it' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l audit-log-path -d 'Audit log file, or - for standard output; no audit log if not set' -r -F
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l audit-log-maxsize -d 'Size in megabytes at which the audit log is rotated; 0 for no rotation' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l audit-log-maxbackup -d 'Maximum number of rotated audit logs to keep; 0 for all' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l profiling -d 'Serve profiles of CPU and memory below /debug/pprof/' -r -f -a "true\t''
false\t''"
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l shutdown-delay-duration -d 'Time to keep serving after SIGTERM or SIGINT while /readyz fails' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l write-kubeconfig -d 'Write a kubeconfig for this machine, without credentials' -r -F
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l server-kubeconfig -d 'Kubeconfig of the running server, to check its flags and its health, too' -r -F
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -s o -l output -d 'Form of the report' -r -f -a "text\t'A line for each check, and one for its remedy'
json\t'One JSON object of kind CheckReport'"
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -s v -l v -d 'Log verbosity: 0 for operators, 2 for each request, 4 for its steps, 5 for everything' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l logging-format -d 'Log format' -r -f -a "text\t'One line of text for each event'
json\t'One JSON object for each event'"
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l config -d 'YAML file with flags, by their names without dashes in front' -r -F
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l authentication-skip-lookup -d 'Do not read the CA certificates of clients and front proxies from the cluster'
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -l authentication-tolerate-lookup-failure -d 'Become ready before these CA certificates were read from the cluster'
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and not __fish_seen_subcommand_from check backup restore export import compact help" -s h -l help -d 'Print help'
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and not __fish_seen_subcommand_from check backup restore export import compact help" -f -a "check" -d 'Verify the data folder or a backup: pages, rows, checksums and objects'
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and not __fish_seen_subcommand_from check backup restore export import compact help" -f -a "backup" -d 'Write a consistent backup, also while a server runs'
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and not __fish_seen_subcommand_from check backup restore export import compact help" -f -a "restore" -d 'Create a store from a backup, in a folder without one'
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and not __fish_seen_subcommand_from check backup restore export import compact help" -f -a "export" -d 'Write all objects as lines of JSON, also while a server runs'
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and not __fish_seen_subcommand_from check backup restore export import compact help" -f -a "import" -d 'Store objects from lines of JSON or from the output of kubectl get -o json'
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and not __fish_seen_subcommand_from check backup restore export import compact help" -f -a "compact" -d 'Shrink the data file to the size of its content'
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and not __fish_seen_subcommand_from check backup restore export import compact help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from check" -l backup -d 'Backup to verify instead of the data folder, or - for standard input' -r -F
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from check" -l storage-backend -d 'Storage backend of the server' -r -f -a "embedded\t'A file in `--data-dir`, for a server with one replica and a volume'
etcd3\t'A cluster of etcd, which several replicas of the server can share'"
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from check" -l data-dir -d 'Data folder of the server' -r -F
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from check" -l etcd-servers -d 'URLs of the members of etcd' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from check" -l storage-layout -d 'Layout of keys and values in etcd [default: native]' -r -f -a "native\t'The layout of this server'
openshift\t'The layout of openshift-apiserver, which may run at the same time'"
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from check" -l etcd-prefix -d 'Prefix of all keys in etcd [default: /imagestream-apiserver]' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from check" -l etcd-cafile -d 'CA bundle that verifies the members of etcd. Changes of the file are followed' -r -F
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from check" -l etcd-certfile -d 'Client certificate for etcd. Changes of the file are followed' -r -F
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from check" -l etcd-keyfile -d 'Key of --etcd-certfile' -r -F
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from check" -l etcd-request-timeout -d 'Time for a request to etcd, with its attempts on other members [default: 3s]' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from check" -l etcd-attempt-timeout -d 'Time without a response after which another member of etcd gets the request too [default: 300ms]' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from check" -l etcd-compaction -d 'Program that compacts etcd [default: external]' -r -f -a "external\t'Something else compacts etcd, such as its flag --auto-compaction-retention or kube-apiserver'
own\t'This server compacts etcd, in which every key is its own'"
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from check" -s v -l v -d 'Log verbosity: 0 for operators, 2 for each request, 4 for its steps, 5 for everything' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from check" -l logging-format -d 'Log format' -r -f -a "text\t'One line of text for each event'
json\t'One JSON object for each event'"
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from backup" -l storage-backend -d 'Storage backend of the server' -r -f -a "embedded\t'A file in `--data-dir`, for a server with one replica and a volume'
etcd3\t'A cluster of etcd, which several replicas of the server can share'"
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from backup" -l data-dir -d 'Data folder of the server' -r -F
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from backup" -l etcd-servers -d 'URLs of the members of etcd' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from backup" -l storage-layout -d 'Layout of keys and values in etcd [default: native]' -r -f -a "native\t'The layout of this server'
openshift\t'The layout of openshift-apiserver, which may run at the same time'"
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from backup" -l etcd-prefix -d 'Prefix of all keys in etcd [default: /imagestream-apiserver]' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from backup" -l etcd-cafile -d 'CA bundle that verifies the members of etcd. Changes of the file are followed' -r -F
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from backup" -l etcd-certfile -d 'Client certificate for etcd. Changes of the file are followed' -r -F
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from backup" -l etcd-keyfile -d 'Key of --etcd-certfile' -r -F
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from backup" -l etcd-request-timeout -d 'Time for a request to etcd, with its attempts on other members [default: 3s]' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from backup" -l etcd-attempt-timeout -d 'Time without a response after which another member of etcd gets the request too [default: 300ms]' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from backup" -l etcd-compaction -d 'Program that compacts etcd [default: external]' -r -f -a "external\t'Something else compacts etcd, such as its flag --auto-compaction-retention or kube-apiserver'
own\t'This server compacts etcd, in which every key is its own'"
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from backup" -s v -l v -d 'Log verbosity: 0 for operators, 2 for each request, 4 for its steps, 5 for everything' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from backup" -l logging-format -d 'Log format' -r -f -a "text\t'One line of text for each event'
json\t'One JSON object for each event'"
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from backup" -l skip-damaged -d 'Leave out what cannot be read'
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from backup" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from restore" -l seen-resource-version -d 'Lower bound for new resourceVersions' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from restore" -l storage-backend -d 'Storage backend of the server' -r -f -a "embedded\t'A file in `--data-dir`, for a server with one replica and a volume'
etcd3\t'A cluster of etcd, which several replicas of the server can share'"
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from restore" -l data-dir -d 'Data folder of the server' -r -F
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from restore" -l etcd-servers -d 'URLs of the members of etcd' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from restore" -l storage-layout -d 'Layout of keys and values in etcd [default: native]' -r -f -a "native\t'The layout of this server'
openshift\t'The layout of openshift-apiserver, which may run at the same time'"
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from restore" -l etcd-prefix -d 'Prefix of all keys in etcd [default: /imagestream-apiserver]' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from restore" -l etcd-cafile -d 'CA bundle that verifies the members of etcd. Changes of the file are followed' -r -F
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from restore" -l etcd-certfile -d 'Client certificate for etcd. Changes of the file are followed' -r -F
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from restore" -l etcd-keyfile -d 'Key of --etcd-certfile' -r -F
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from restore" -l etcd-request-timeout -d 'Time for a request to etcd, with its attempts on other members [default: 3s]' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from restore" -l etcd-attempt-timeout -d 'Time without a response after which another member of etcd gets the request too [default: 300ms]' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from restore" -l etcd-compaction -d 'Program that compacts etcd [default: external]' -r -f -a "external\t'Something else compacts etcd, such as its flag --auto-compaction-retention or kube-apiserver'
own\t'This server compacts etcd, in which every key is its own'"
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from restore" -s v -l v -d 'Log verbosity: 0 for operators, 2 for each request, 4 for its steps, 5 for everything' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from restore" -l logging-format -d 'Log format' -r -f -a "text\t'One line of text for each event'
json\t'One JSON object for each event'"
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from restore" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from export" -l backup -d 'Backup to export instead of the data folder, or - for standard input' -r -F
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from export" -l storage-backend -d 'Storage backend of the server' -r -f -a "embedded\t'A file in `--data-dir`, for a server with one replica and a volume'
etcd3\t'A cluster of etcd, which several replicas of the server can share'"
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from export" -l data-dir -d 'Data folder of the server' -r -F
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from export" -l etcd-servers -d 'URLs of the members of etcd' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from export" -l storage-layout -d 'Layout of keys and values in etcd [default: native]' -r -f -a "native\t'The layout of this server'
openshift\t'The layout of openshift-apiserver, which may run at the same time'"
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from export" -l etcd-prefix -d 'Prefix of all keys in etcd [default: /imagestream-apiserver]' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from export" -l etcd-cafile -d 'CA bundle that verifies the members of etcd. Changes of the file are followed' -r -F
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from export" -l etcd-certfile -d 'Client certificate for etcd. Changes of the file are followed' -r -F
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from export" -l etcd-keyfile -d 'Key of --etcd-certfile' -r -F
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from export" -l etcd-request-timeout -d 'Time for a request to etcd, with its attempts on other members [default: 3s]' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from export" -l etcd-attempt-timeout -d 'Time without a response after which another member of etcd gets the request too [default: 300ms]' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from export" -l etcd-compaction -d 'Program that compacts etcd [default: external]' -r -f -a "external\t'Something else compacts etcd, such as its flag --auto-compaction-retention or kube-apiserver'
own\t'This server compacts etcd, in which every key is its own'"
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from export" -s v -l v -d 'Log verbosity: 0 for operators, 2 for each request, 4 for its steps, 5 for everything' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from export" -l logging-format -d 'Log format' -r -f -a "text\t'One line of text for each event'
json\t'One JSON object for each event'"
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from export" -l skip-damaged -d 'Leave out what cannot be read'
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from export" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from import" -l existing -d 'Treatment of objects that exist already' -r -f -a "refuse\t'Report an error for each'
skip\t'Keep the stored object'
replace\t'Replace the stored object, also one that cannot be read'"
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from import" -l storage-backend -d 'Storage backend of the server' -r -f -a "embedded\t'A file in `--data-dir`, for a server with one replica and a volume'
etcd3\t'A cluster of etcd, which several replicas of the server can share'"
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from import" -l data-dir -d 'Data folder of the server' -r -F
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from import" -l etcd-servers -d 'URLs of the members of etcd' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from import" -l storage-layout -d 'Layout of keys and values in etcd [default: native]' -r -f -a "native\t'The layout of this server'
openshift\t'The layout of openshift-apiserver, which may run at the same time'"
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from import" -l etcd-prefix -d 'Prefix of all keys in etcd [default: /imagestream-apiserver]' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from import" -l etcd-cafile -d 'CA bundle that verifies the members of etcd. Changes of the file are followed' -r -F
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from import" -l etcd-certfile -d 'Client certificate for etcd. Changes of the file are followed' -r -F
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from import" -l etcd-keyfile -d 'Key of --etcd-certfile' -r -F
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from import" -l etcd-request-timeout -d 'Time for a request to etcd, with its attempts on other members [default: 3s]' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from import" -l etcd-attempt-timeout -d 'Time without a response after which another member of etcd gets the request too [default: 300ms]' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from import" -l etcd-compaction -d 'Program that compacts etcd [default: external]' -r -f -a "external\t'Something else compacts etcd, such as its flag --auto-compaction-retention or kube-apiserver'
own\t'This server compacts etcd, in which every key is its own'"
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from import" -s v -l v -d 'Log verbosity: 0 for operators, 2 for each request, 4 for its steps, 5 for everything' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from import" -l logging-format -d 'Log format' -r -f -a "text\t'One line of text for each event'
json\t'One JSON object for each event'"
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from import" -l dry-run -d 'Validate the objects. Stores and creates nothing'
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from import" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from compact" -l storage-backend -d 'Storage backend of the server' -r -f -a "embedded\t'A file in `--data-dir`, for a server with one replica and a volume'
etcd3\t'A cluster of etcd, which several replicas of the server can share'"
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from compact" -l data-dir -d 'Data folder of the server' -r -F
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from compact" -l etcd-servers -d 'URLs of the members of etcd' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from compact" -l storage-layout -d 'Layout of keys and values in etcd [default: native]' -r -f -a "native\t'The layout of this server'
openshift\t'The layout of openshift-apiserver, which may run at the same time'"
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from compact" -l etcd-prefix -d 'Prefix of all keys in etcd [default: /imagestream-apiserver]' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from compact" -l etcd-cafile -d 'CA bundle that verifies the members of etcd. Changes of the file are followed' -r -F
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from compact" -l etcd-certfile -d 'Client certificate for etcd. Changes of the file are followed' -r -F
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from compact" -l etcd-keyfile -d 'Key of --etcd-certfile' -r -F
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from compact" -l etcd-request-timeout -d 'Time for a request to etcd, with its attempts on other members [default: 3s]' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from compact" -l etcd-attempt-timeout -d 'Time without a response after which another member of etcd gets the request too [default: 300ms]' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from compact" -l etcd-compaction -d 'Program that compacts etcd [default: external]' -r -f -a "external\t'Something else compacts etcd, such as its flag --auto-compaction-retention or kube-apiserver'
own\t'This server compacts etcd, in which every key is its own'"
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from compact" -s v -l v -d 'Log verbosity: 0 for operators, 2 for each request, 4 for its steps, 5 for everything' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from compact" -l logging-format -d 'Log format' -r -f -a "text\t'One line of text for each event'
json\t'One JSON object for each event'"
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from compact" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from help" -f -a "check" -d 'Verify the data folder or a backup: pages, rows, checksums and objects'
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from help" -f -a "backup" -d 'Write a consistent backup, also while a server runs'
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from help" -f -a "restore" -d 'Create a store from a backup, in a folder without one'
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from help" -f -a "export" -d 'Write all objects as lines of JSON, also while a server runs'
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from help" -f -a "import" -d 'Store objects from lines of JSON or from the output of kubectl get -o json'
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from help" -f -a "compact" -d 'Shrink the data file to the size of its content'
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand store; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand transfer" -l from -d 'Place with the objects: embedded:FOLDER, etcd:URL or kubeconfig:FILE' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand transfer" -l to -d 'Place that gets the objects, in the same form. A folder without a store gets one' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand transfer" -s v -l v -d 'Log verbosity: 0 for operators, 2 for each request, 4 for its steps, 5 for everything' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand transfer" -l logging-format -d 'Log format' -r -f -a "text\t'One line of text for each event'
json\t'One JSON object for each event'"
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand transfer" -l overwrite -d 'Replace objects of the target that differ from those of the same name in the source'
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand transfer" -l dry-run -d 'Count the objects and name those that the target would refuse. Stores nothing'
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand transfer" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand quickstart" -l data-dir -d 'Folder for data, certificate, token and kubeconfig; created with mode 0700' -r -F
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand quickstart" -l secure-port -d 'Port to serve HTTPS on, on 127.0.0.1; 0 for a free port' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand quickstart" -l import -d 'Image to import at start, from any registry; can be repeated' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand quickstart" -l scheduled-import-interval -d 'Interval between checks of tags with importPolicy.scheduled' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand quickstart" -s v -l v -d 'Log verbosity: 0 for operators, 2 for each request, 4 for its steps, 5 for everything' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand quickstart" -l logging-format -d 'Log format' -r -f -a "text\t'One line of text for each event'
json\t'One JSON object for each event'"
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand quickstart" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand await-rollout" -l namespace -d 'Namespace of the Deployment' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand await-rollout" -l timeout -d 'Time for the rollout' -r
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand await-rollout" -l kubeconfig -d 'Kubeconfig file of the control plane; the ServiceAccount of the pod if not set' -r -F
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand await-rollout" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand completion" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand help; and not __fish_seen_subcommand_from serve check store transfer quickstart await-rollout completion help" -f -a "serve" -d 'Run the API server'
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand help; and not __fish_seen_subcommand_from serve check store transfer quickstart await-rollout completion help" -f -a "check" -d 'Check flags, control plane, certificates and data folder of a server'
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand help; and not __fish_seen_subcommand_from serve check store transfer quickstart await-rollout completion help" -f -a "store" -d 'Check, back up, restore, export and import the data'
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand help; and not __fish_seen_subcommand_from serve check store transfer quickstart await-rollout completion help" -f -a "transfer" -d 'Copy all objects from one store or cluster to another one, and compare both'
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand help; and not __fish_seen_subcommand_from serve check store transfer quickstart await-rollout completion help" -f -a "quickstart" -d 'Run a server on this machine with a sample stream, and print commands to try'
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand help; and not __fish_seen_subcommand_from serve check store transfer quickstart await-rollout completion help" -f -a "await-rollout" -d 'Wait until a Deployment is rolled out'
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand help; and not __fish_seen_subcommand_from serve check store transfer quickstart await-rollout completion help" -f -a "completion" -d 'Print the completion script of a shell'
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand help; and not __fish_seen_subcommand_from serve check store transfer quickstart await-rollout completion help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand help; and __fish_seen_subcommand_from store" -f -a "check" -d 'Verify the data folder or a backup: pages, rows, checksums and objects'
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand help; and __fish_seen_subcommand_from store" -f -a "backup" -d 'Write a consistent backup, also while a server runs'
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand help; and __fish_seen_subcommand_from store" -f -a "restore" -d 'Create a store from a backup, in a folder without one'
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand help; and __fish_seen_subcommand_from store" -f -a "export" -d 'Write all objects as lines of JSON, also while a server runs'
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand help; and __fish_seen_subcommand_from store" -f -a "import" -d 'Store objects from lines of JSON or from the output of kubectl get -o json'
complete -c imagestream-apiserver -n "__fish_imagestream_apiserver_using_subcommand help; and __fish_seen_subcommand_from store" -f -a "compact" -d 'Shrink the data file to the size of its content'
