package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"

	"github.com/openshift/api/image/docker10"
	imagev1 "github.com/openshift/api/image/v1"
	apply "github.com/openshift/client-go/image/applyconfigurations/image/v1"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

const manifestType = "application/vnd.docker.distribution.manifest.v2+json"

func digest(text string) string { return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(text))) }

// pushed is an image as a registry sends it. Its command tells one from others, and whose it is.
func (p peer) pushed(command string) *imagev1.Image {
	config := fmt.Sprintf(`{"config":{"Cmd":["%s"]},"container":"%s"}`, command, p.namespace)
	manifest := fmt.Sprintf(`{"schemaVersion":2,"mediaType":"%s","config":{"size":%d,"digest":"%s"},`+
		`"layers":[{"size":7,"digest":"%s"}]}`, manifestType, len(config), digest(config), digest("layer"))
	name := digest(manifest)
	return &imagev1.Image{
		ObjectMeta:           meta.ObjectMeta{Name: name, Labels: map[string]string{"of": p.namespace}},
		DockerImageReference: "example.com/a/b@" + name, DockerImageManifest: manifest, DockerImageConfig: config,
		DockerImageManifestMediaType: manifestType,
	}
}

// images does what can be done with images and views of them.
func (p peer) images() {
	must(p.ImageStreams(p.namespace).Create(p.ctx, stream("app"), meta.CreateOptions{}))
	old, young := p.pushed("old"), p.pushed("young")
	for _, image := range []*imagev1.Image{old, young} {
		mapping := &imagev1.ImageStreamMapping{ObjectMeta: meta.ObjectMeta{Name: "app"}, Image: *image, Tag: "latest"}
		must(p.ImageStreamMappings(p.namespace).Create(p.ctx, mapping, meta.CreateOptions{}))
	}
	step("pushes images")

	view := must(p.ImageStreamImages(p.namespace).Get(p.ctx, "app@"+old.Name[:19], meta.GetOptions{})).Image
	same("name and layers", []string{view.Name, view.DockerImageLayers[0].Name}, []string{old.Name, digest("layer")})
	var metadata docker10.DockerImage
	done(json.Unmarshal(view.DockerImageMetadata.Raw, &metadata))
	same("the command", metadata.Config.Cmd, []string{"old"})
	layers := must(p.ImageStreams(p.namespace).Layers(p.ctx, "app", meta.GetOptions{}))
	same("the configuration", *layers.Images[old.Name].Config, digest(old.DockerImageConfig))
	same("the size of a layer", *layers.Blobs[digest("layer")].LayerSize, 7)
	step("reads images of streams and their layers")
	p.tags(old, young)
	p.stored(old)
}

func (p peer) tags(old, young *imagev1.Image) {
	tags, tag := p.ImageStreamTags(p.namespace), &imagev1.ImageStreamTag{ObjectMeta: meta.ObjectMeta{Name: "app:stable"}}
	tag.Tag = &imagev1.TagReference{From: &core.ObjectReference{Kind: "ImageStreamImage", Name: "app@" + old.Name}}
	created := must(tags.Create(p.ctx, tag, meta.CreateOptions{}))
	same("the image", created.Image.Name, old.Name)
	_, err := tags.Create(p.ctx, tag, meta.CreateOptions{})
	refused("a second one", err, errors.IsAlreadyExists)
	created.Tag.From.Name = "app@" + young.Name
	must(tags.Update(p.ctx, created, meta.UpdateOptions{}))
	same("the next image", must(tags.Get(p.ctx, "app:stable", meta.GetOptions{})).Image.Name, young.Name)
	same("the list", len(must(tags.List(p.ctx, meta.ListOptions{})).Items), 2)
	done(tags.Delete(p.ctx, "app:stable", meta.DeleteOptions{}))
	_, err = tags.Get(p.ctx, "app:stable", meta.GetOptions{})
	refused("a deleted one", err, errors.IsNotFound)
	step("tags with imagestreamtags")

	both := p.ImageTags(p.namespace)
	spec := &imagev1.ImageTag{ObjectMeta: meta.ObjectMeta{Name: "app:outside"}, Spec: &outside}
	spec = must(both.Create(p.ctx, spec, meta.CreateOptions{}))
	same("a history of a tag without one", spec.Status, nil)
	spec.Spec.Annotations = map[string]string{"description": "elsewhere"}
	must(both.Update(p.ctx, spec, meta.UpdateOptions{}))
	spec = must(both.Get(p.ctx, "app:outside", meta.GetOptions{}))
	same("the annotation", spec.Spec.Annotations["description"], "elsewhere")
	same("the history", len(must(both.Get(p.ctx, "app:latest", meta.GetOptions{})).Status.Items), 2)
	same("the list", len(must(both.List(p.ctx, meta.ListOptions{})).Items), 2)
	done(both.Delete(p.ctx, "app:outside", meta.DeleteOptions{}))
	step("tags with imagetags")
}

func (p peer) stored(old *imagev1.Image) {
	images, chosen := p.Images(), meta.ListOptions{LabelSelector: "of=" + p.namespace}
	signature := &imagev1.ImageSignature{ObjectMeta: meta.ObjectMeta{Name: old.Name + "@mine"}}
	signature.Type, signature.Content = "atomic", []byte("x")
	must(p.ImageSignatures().Create(p.ctx, signature, meta.CreateOptions{}))
	signed := must(images.Get(p.ctx, old.Name, meta.GetOptions{}))
	same("the signature", signed.Signatures[0].Content, signature.Content)
	done(p.ImageSignatures().Delete(p.ctx, signature.Name, meta.DeleteOptions{}))
	_, err := images.Update(p.ctx, signed, meta.UpdateOptions{})
	refused("an old version", err, errors.IsConflict)
	step("signs images")

	image := must(images.Create(p.ctx, p.pushed("third"), meta.CreateOptions{}))
	image.Annotations = map[string]string{"updated": "yes"}
	must(images.Update(p.ctx, image, meta.UpdateOptions{}))
	patch := []byte(`{"metadata": {"labels": {"patched": "yes"}}}`)
	must(images.Patch(p.ctx, image.Name, types.StrategicMergePatchType, patch, meta.PatchOptions{}))
	applied := apply.Image(image.Name).WithAnnotations(map[string]string{"applied": "yes"})
	image = must(images.Apply(p.ctx, applied, meta.ApplyOptions{FieldManager: "one"}))
	same("what others wrote", []string{image.Annotations["updated"], image.Labels["patched"]}, []string{"yes", "yes"})
	same("the list", len(must(images.List(p.ctx, chosen)).Items), 3)
	done(images.Delete(p.ctx, image.Name, meta.DeleteOptions{}))
	done(images.DeleteCollection(p.ctx, meta.DeleteOptions{}, chosen))
	same("what is left", len(must(images.List(p.ctx, chosen)).Items), 0)
	step("creates, changes, lists and deletes images")
}
