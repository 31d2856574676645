package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/openshift/api/image/docker10"
	imagev1 "github.com/openshift/api/image/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	serializer "k8s.io/apimachinery/pkg/runtime/serializer/json"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// A document is a text to decode, and the decoder for it.
type document struct {
	Decoder string
	Kind    string
	Body    []byte
}

// A reading is what a decoder makes of a document.
type reading struct {
	// Error is why the document is refused.
	Error string `json:",omitempty"`
	// Value is what it holds.
	Value any `json:",omitempty"`
	// Warnings are its unknown and duplicate fields.
	Warnings []string `json:",omitempty"`
}

// readForms decodes the documents of standard input, one in JSON a line, as an API server does, and prints a reading for
// each.
func readForms() {
	scheme := runtime.NewScheme()
	done(imagev1.Install(scheme))
	input, output := bufio.NewReader(os.Stdin), bufio.NewWriter(os.Stdout)
	defer output.Flush()
	encoder := json.NewEncoder(output)
	for {
		line, err := input.ReadBytes('\n')
		if err == io.EOF {
			return
		}
		done(err)
		var text document
		done(json.Unmarshal(line, &text))
		done(encoder.Encode(read(scheme, text)))
	}
}

func read(scheme *runtime.Scheme, text document) (result reading) {
	var err error
	switch text.Decoder {
	case "json", "yaml":
		result.Value, result.Warnings, err = body(scheme, text)
	case "apply", "strategic":
		result.Value, err = unstructured(text)
	case "config":
		var image config
		err = json.Unmarshal(text.Body, &image)
		image.Created = image.Created.UTC().Truncate(time.Second)
		result.Value = image
	case "time":
		var at time.Time
		at, err = time.Parse(time.RFC3339, string(text.Body))
		result.Value = at.UTC().Unix()
	default:
		panic("no decoder " + text.Decoder)
	}
	if err != nil {
		return reading{Error: err.Error()}
	}
	return result
}

// body decodes the body of a POST with fieldValidation=Warn.
func body(scheme *runtime.Scheme, text document) (any, []string, error) {
	options := serializer.SerializerOptions{Yaml: text.Decoder == "yaml", Strict: true}
	decoder := serializer.NewSerializerWithOptions(serializer.DefaultMetaFactory, scheme, scheme, options)
	kind := schema.GroupVersionKind{Group: imagev1.GroupVersion.Group, Version: "v1", Kind: text.Kind}
	object, err := scheme.New(kind)
	done(err)
	decoded, found, err := decoder.Decode(text.Body, &kind, object)
	var warnings []string
	if strict, ok := runtime.AsStrictDecodingError(err); ok {
		for _, one := range strict.Errors() {
			warnings = append(warnings, one.Error())
		}
		err = nil
	}
	if err == nil && *found != kind {
		err = fmt.Errorf("found %v", found)
	}
	if err != nil {
		return nil, nil, err
	}
	return decoded, warnings, decodeMetadata(decoded)
}

// decodeMetadata decodes the metadata of an image from its text, as the conversion to the internal type does.
func decodeMetadata(object runtime.Object) error {
	image, ok := object.(*imagev1.Image)
	if !ok || len(image.DockerImageMetadata.Raw) == 0 {
		return nil
	}
	var own struct{ Kind, APIVersion string }
	if err := json.Unmarshal(image.DockerImageMetadata.Raw, &own); err != nil {
		return err
	}
	if own.Kind != "" && own.Kind != "DockerImage" || own.APIVersion != "" && own.APIVersion != "1.0" {
		return fmt.Errorf("no kind %q is registered for version %q", own.Kind, own.APIVersion)
	}
	decoded := &docker10.DockerImage{}
	if err := kjson.UnmarshalCaseSensitivePreserveInts(image.DockerImageMetadata.Raw, decoded); err != nil {
		return err
	}
	raw, err := json.Marshal(decoded)
	image.DockerImageMetadata.Raw = raw
	return err
}

// unstructured decodes a patch into a map, and the map into an object.
func unstructured(text document) (any, error) {
	fields := map[string]any{}
	var err error
	if text.Decoder == "apply" {
		err = yaml.Unmarshal(text.Body, &fields)
	} else {
		err = kjson.UnmarshalCaseSensitivePreserveInts(text.Body, &fields)
	}
	if err != nil {
		return nil, err
	}
	stream := &imagev1.ImageStream{}
	return stream, runtime.DefaultUnstructuredConverter.FromUnstructured(fields, stream)
}

// A config has the fields of image configurations that stand for all others of their types.
type config struct {
	Created      time.Time `json:"Created"`
	Author       string    `json:"Author,omitempty"`
	Architecture string    `json:"Architecture,omitempty"`
	Size         int64     `json:"Size,omitempty"`
	Config       *struct {
		User         string              `json:"User,omitempty"`
		Tty          bool                `json:"Tty,omitempty"`
		Env          []string            `json:"Env,omitempty"`
		ExposedPorts map[string]struct{} `json:"ExposedPorts,omitempty"`
		Labels       map[string]string   `json:"Labels,omitempty"`
	} `json:"Config,omitempty"`
}
