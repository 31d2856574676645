package main

import (
	"strings"

	imagev1 "github.com/openshift/api/image/v1"
	openshift "github.com/openshift/client-go/image/informers/externalversions"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/tools/cache"
)

// told is what an informer tells, in words.
func told(informer cache.SharedIndexInformer) <-chan string {
	words := make(chan string, 100)
	tell := func(event string) func(any) {
		return func(object any) {
			about := object.(meta.Object)
			words <- strings.TrimSpace(event + " " + about.GetName() + " " + about.GetLabels()["seen"])
		}
	}
	updated := func(_, object any) { tell("updated")(object) }
	handler := cache.ResourceEventHandlerFuncs{AddFunc: tell("added"), UpdateFunc: updated, DeleteFunc: tell("deleted")}
	must(informer.AddEventHandler(handler))
	return words
}

// expect waits for the words of an informer, in this order and no others between.
func (p peer) expect(words <-chan string, wanted ...string) {
	for _, each := range wanted {
		select {
		case word := <-words:
			same("a change", word, each)
		case <-p.ctx.Done():
			panic("no informer told: " + each)
		}
	}
}

// informers follows streams, their metadata and images while they change.
func (p peer) informers() {
	streams := p.ImageStreams(p.namespace)
	must(streams.Create(p.ctx, stream("app"), meta.CreateOptions{}))
	mine := func(options *meta.ListOptions) { options.LabelSelector = "of=" + p.namespace }
	ofStreams := openshift.NewSharedInformerFactoryWithOptions(p.clientset, 0, openshift.WithNamespace(p.namespace))
	ofImages := openshift.NewSharedInformerFactoryWithOptions(p.clientset, 0, openshift.WithTweakListOptions(mine))
	client := must(metadata.NewForConfig(p.config))
	ofMetadata := metadatainformer.NewFilteredSharedInformerFactory(client, 0, p.namespace, nil)
	full, images := ofStreams.Image().V1().ImageStreams(), ofImages.Image().V1().Images()
	partial := ofMetadata.ForResource(imagev1.GroupVersion.WithResource("imagestreams"))
	changes, pushes := []<-chan string{told(full.Informer()), told(partial.Informer())}, told(images.Informer())
	for _, start := range []func(<-chan struct{}){ofStreams.Start, ofImages.Start, ofMetadata.Start} {
		start(p.ctx.Done())
	}
	for _, informer := range []cache.SharedIndexInformer{full.Informer(), partial.Informer(), images.Informer()} {
		same("in step", cache.WaitForCacheSync(p.ctx.Done(), informer.HasSynced), true)
	}
	app := must(full.Lister().ImageStreams(p.namespace).Get("app")).DeepCopy()
	step("informers know what there was")

	app.Labels["seen"] = "seen"
	must(streams.Update(p.ctx, app, meta.UpdateOptions{}))
	done(streams.Delete(p.ctx, "app", meta.DeleteOptions{}))
	for _, words := range changes {
		p.expect(words, "added app", "updated app seen", "deleted app seen")
	}
	step("informers see streams change")

	image := must(p.Images().Create(p.ctx, p.pushed("followed"), meta.CreateOptions{}))
	p.expect(pushes, "added "+image.Name)
	same("the manifest", must(images.Lister().Get(image.Name)).DockerImageManifest, image.DockerImageManifest)
	done(p.Images().Delete(p.ctx, image.Name, meta.DeleteOptions{}))
	p.expect(pushes, "deleted "+image.Name)
	step("informers see images change")
}
