package main

import (
	imagev1 "github.com/openshift/api/image/v1"
	apply "github.com/openshift/client-go/image/applyconfigurations/image/v1"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
)

// outside is a tag that nothing imports.
var outside = imagev1.TagReference{
	Name: "outside",
	From: &core.ObjectReference{Kind: "DockerImage", Name: "example.com/a/b:1"},
}

// streams does what can be done with streams that have no images.
func (p peer) streams() {
	streams, app := p.ImageStreams(p.namespace), stream("app")
	app.Spec.Tags = []imagev1.TagReference{outside}
	app = must(streams.Create(p.ctx, app, meta.CreateOptions{}))
	same("the source", app.Spec.Tags[0].From, outside.From)
	_, err := streams.Create(p.ctx, stream("app"), meta.CreateOptions{})
	refused("a second one", err, errors.IsAlreadyExists)
	same("what is read", must(streams.Get(p.ctx, "app", meta.GetOptions{})), app)
	_, err = streams.Get(p.ctx, "nobody", meta.GetOptions{})
	refused("what is not there", err, errors.IsNotFound)
	_, err = streams.Create(p.ctx, stream("Wrong"), meta.CreateOptions{})
	refused("a wrong name", err, errors.IsInvalid)
	step("creates and reads streams")

	must(streams.Create(p.ctx, stream("base"), meta.CreateOptions{}))
	must(streams.Create(p.ctx, stream("cart"), meta.CreateOptions{}))
	page := must(streams.List(p.ctx, meta.ListOptions{Limit: 2}))
	same("a page", names(page), []string{"app", "base"})
	same("the rest", p.listed(meta.ListOptions{Continue: page.Continue}), []string{"cart"})
	same("chosen", p.listed(meta.ListOptions{LabelSelector: "name in (app, cart)"}), []string{"app", "cart"})
	same("named", p.listed(meta.ListOptions{FieldSelector: "metadata.name=base"}), []string{"base"})
	step("lists streams")

	since := meta.ListOptions{ResourceVersion: page.ResourceVersion, FieldSelector: "metadata.name=app"}
	events := must(streams.Watch(p.ctx, since))
	defer events.Stop()
	old := app.DeepCopy()
	app.Spec.LookupPolicy.Local = true
	app = must(streams.Update(p.ctx, app, meta.UpdateOptions{}))
	same("the generation", app.Generation, old.Generation+1)
	_, err = streams.Update(p.ctx, old, meta.UpdateOptions{})
	refused("an old version", err, errors.IsConflict)
	conditions := []imagev1.TagEventCondition{{Type: imagev1.ImportSuccess, Status: core.ConditionFalse, Message: "gone"}}
	app.Status.Tags = []imagev1.NamedTagEventList{{Tag: "outside", Conditions: conditions}}
	app = must(streams.UpdateStatus(p.ctx, app, meta.UpdateOptions{}))
	same("the condition", app.Status.Tags[0].Conditions[0].Message, "gone")
	step("updates streams")
	p.patch()
	p.apply()

	done(streams.Delete(p.ctx, "app", meta.DeleteOptions{Preconditions: meta.NewUIDPreconditions(string(app.UID))}))
	for _, kind := range []watch.EventType{"MODIFIED", "MODIFIED", "MODIFIED", "MODIFIED", "MODIFIED", "DELETED"} {
		event := <-events.ResultChan()
		same("an event", event.Type, kind)
		same("of the same stream", event.Object.(*imagev1.ImageStream).UID, app.UID)
	}
	step("watches streams")
	done(streams.DeleteCollection(p.ctx, meta.DeleteOptions{}, meta.ListOptions{LabelSelector: "name!=cart"}))
	same("what is left", p.listed(meta.ListOptions{}), []string{"cart"})
	same("pull secrets", len(must(streams.Secrets(p.ctx, "cart", meta.GetOptions{})).Items), 0)
	step("deletes streams and reads secrets")
}

func (p peer) patch() {
	var app *imagev1.ImageStream
	for kind, text := range map[types.PatchType]string{
		types.MergePatchType:          `{"metadata": {"annotations": {"merged": "yes"}}}`,
		types.StrategicMergePatchType: `{"spec": {"tags": [{"name": "more", "from": {"kind": "DockerImage", "name": "a"}}]}}`,
		types.JSONPatchType:           `[{"op": "add", "path": "/metadata/labels/patched", "value": "yes"}]`,
	} {
		app = must(p.ImageStreams(p.namespace).Patch(p.ctx, "app", kind, []byte(text), meta.PatchOptions{}))
	}
	same("annotation and label", []string{app.Annotations["merged"], app.Labels["patched"]}, []string{"yes", "yes"})
	same("the tags", len(app.Spec.Tags), 2)
	step("patches streams")
}

// apply lets appliers share a stream.
func (p peer) apply() {
	streams := p.ImageStreams(p.namespace)
	local := func(local bool) *apply.ImageStreamApplyConfiguration {
		spec := apply.ImageStreamSpec().WithLookupPolicy(apply.ImageLookupPolicy().WithLocal(local))
		return apply.ImageStream("base", p.namespace).WithSpec(spec)
	}
	must(streams.Apply(p.ctx, local(true), meta.ApplyOptions{FieldManager: "one"}))
	_, err := streams.Apply(p.ctx, local(false), meta.ApplyOptions{FieldManager: "two"})
	refused("a field of another", err, errors.IsConflict)
	must(streams.Apply(p.ctx, local(false), meta.ApplyOptions{FieldManager: "two", Force: true}))
	status := apply.ImageStreamStatus().WithTags(apply.NamedTagEventList().WithTag("latest"))
	stream := apply.ImageStream("base", p.namespace).WithStatus(status)
	base := must(streams.ApplyStatus(p.ctx, stream, meta.ApplyOptions{FieldManager: "three"}))
	same("the status", base.Status.Tags[0].Tag, "latest")
	same("what is owned", *must(apply.ExtractImageStream(base, "two")).Spec.LookupPolicy.Local, false)
	step("applies streams")
}

func (p peer) listed(options meta.ListOptions) []string {
	return names(must(p.ImageStreams(p.namespace).List(p.ctx, options)))
}

func names(list *imagev1.ImageStreamList) (names []string) {
	for _, item := range list.Items {
		names = append(names, item.Name)
	}
	return names
}
