// A crowd of HTTP/2 clients for tests/cluster.rs, with Go's standard library alone.
module imagestream-apiserver/tests/cluster/crowd

go 1.26.0
