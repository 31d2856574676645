// Creates, reads and lists streams through a client that oapi-codegen generates from the OpenAPI document, and
// prints a line of JSON for each step.
//
// Usage: generated KUBECONFIG NAMESPACE, with a kubeconfig in JSON that has a token
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"time"

	"imagestream-apiserver/tests/cluster/generated/client"
)

type kubeconfig struct {
	Clusters []struct {
		Cluster struct {
			Server    string `json:"server"`
			Authority []byte `json:"certificate-authority-data"`
		} `json:"cluster"`
	} `json:"clusters"`
	Users []struct {
		User struct {
			Token string `json:"token"`
		} `json:"user"`
	} `json:"users"`
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func tell(what string, status int, names ...string) {
	fmt.Println(string(must(json.Marshal(map[string]any{"step": what, "status": status, "names": names}))))
}

func main() {
	var config kubeconfig
	if err := json.Unmarshal(must(os.ReadFile(os.Args[1])), &config); err != nil {
		panic(err)
	}
	namespace, cluster, token := os.Args[2], config.Clusters[0].Cluster, config.Users[0].User.Token
	authorities := x509.NewCertPool()
	authorities.AppendCertsFromPEM(cluster.Authority)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: authorities}}
	signed := func(_ context.Context, request *http.Request) error {
		request.Header.Set("Authorization", "Bearer "+token)
		return nil
	}
	streams := must(client.NewClientWithResponses(cluster.Server,
		client.WithHTTPClient(&http.Client{Transport: transport}), client.WithRequestEditorFn(signed)))
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	name, kind, version, tag := "from-go", "ImageStream", "image.openshift.io/v1", "stable"
	source, place := "DockerImage", "registry.example.com/go:1"
	from := client.IoK8sApiCoreV1ObjectReference{Kind: &source, Name: &place}
	tags := []client.ComGithubOpenshiftApiImageV1TagReference{{Name: tag, From: &from}}
	created := must(streams.CreateNamespacedImageStreamWithResponse(ctx, namespace, nil,
		client.ComGithubOpenshiftApiImageV1ImageStream{
			Kind: &kind, ApiVersion: &version,
			Metadata: &client.IoK8sApimachineryPkgApisMetaV1ObjectMeta{Name: &name},
			Spec:     &client.ComGithubOpenshiftApiImageV1ImageStreamSpec{Tags: &tags},
		}))
	tell("create", created.StatusCode(), *created.JSON201.Metadata.Name)

	read := must(streams.GetNamespacedImageStreamWithResponse(ctx, namespace, name))
	tell("get", read.StatusCode(), *read.JSON200.Metadata.Name, (*read.JSON200.Spec.Tags)[0].Name)

	list := must(streams.ListNamespacedImageStreamWithResponse(ctx, namespace, nil))
	names := []string{}
	for _, item := range list.JSON200.Items {
		names = append(names, *item.Metadata.Name)
	}
	tell("list", list.StatusCode(), names...)
}
