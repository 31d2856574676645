// Works with streams and images through OpenShift's clients for Go, in protobuf where there is a choice, and prints a
// line a step. It panics at the first answer that is not what such clients rely on.
//
// Usage: openshift KUBECONFIG NAMESPACE streams|images|informers
//
// As `openshift forms`, reads documents instead and prints what Go's decoders make of them.
package main

import (
	"context"
	"fmt"
	"os"
	"reflect"
	"time"

	imagev1 "github.com/openshift/api/image/v1"
	"github.com/openshift/client-go/image/clientset/versioned"
	typed "github.com/openshift/client-go/image/clientset/versioned/typed/image/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// A peer is who asks, and where.
type peer struct {
	typed.ImageV1Interface
	ctx       context.Context
	config    *rest.Config
	clientset versioned.Interface
	namespace string
}

func main() {
	if os.Args[1] == "forms" {
		readForms()
		return
	}
	config := must(clientcmd.BuildConfigFromFlags("", os.Args[1]))
	config.ContentType = runtime.ContentTypeProtobuf
	config.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	clientset := must(versioned.NewForConfig(config))
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	p := peer{clientset.ImageV1(), ctx, config, clientset, os.Args[2]}
	map[string]func(){"streams": p.streams, "images": p.images, "informers": p.informers}[os.Args[3]]()
}

func step(name string) { fmt.Println(name) }

func done(err error) {
	if err != nil {
		panic(err)
	}
}

// must is what was answered, and panics where that was an error.
func must[T any](answer T, err error) T {
	done(err)
	return answer
}

func same[T any](what string, got, wanted T) {
	if !reflect.DeepEqual(got, wanted) {
		panic(fmt.Sprintf("%s: got %+v, wanted %+v", what, got, wanted))
	}
}

// refused panics unless apimachinery takes an error for one of a kind.
func refused(what string, err error, kind func(error) bool) {
	if !kind(err) {
		panic(fmt.Sprintf("%s: got %v", what, err))
	}
}

func stream(name string) *imagev1.ImageStream {
	return &imagev1.ImageStream{ObjectMeta: meta.ObjectMeta{Name: name, Labels: map[string]string{"name": name}}}
}
