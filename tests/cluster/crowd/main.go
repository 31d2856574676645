// Asks a server in ways that are hard on a connection which many users share, while somebody else watches and reads there.
// Prints in JSON what became of the requests, the watches and the connections.
//
// Usage: crowd SITE PART; SITE is a file with a site in JSON.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A site is a server and the users that it knows.
type site struct {
	URL, Authority, Namespace string
	// Somebody who watches and reads, and somebody who is hard on connections.
	Watcher, Crowd user
	// Whether both share one connection, as they do behind a proxy.
	Shared bool
}

// A user is known by a certificate, by headers, or by both.
type user struct {
	Certificate, Key string
	Headers          map[string][]string
}

// A report is what became of all that was asked.
type report struct {
	// Responses to the crowd, by status; errors by their text.
	Crowd map[string]int `json:"crowd"`
	// Reads by somebody else meanwhile, and what became of those that failed.
	Reads  int      `json:"reads"`
	Failed []string `json:"failed"`
	// Watches by somebody else, and those of them that told of a new stream afterwards.
	Watches int `json:"watches"`
	Told    int `json:"told"`
	// Connections that the clients opened.
	Connections int64 `json:"connections"`
}

const watches = 5

func main() {
	var s site
	done(json.Unmarshal(must(os.ReadFile(os.Args[1])), &s))
	dials := new(atomic.Int64)
	others := s.client(s.Watcher, dials)
	crowd := others
	if !s.Shared {
		crowd = s.client(s.Crowd, dials)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	told := make(chan string, 1000)
	for range watches {
		s.watch(ctx, others, told)
	}
	reading, stop := context.WithCancel(ctx)
	r := report{Watches: watches, Failed: []string{}}
	var reader sync.WaitGroup
	reader.Go(func() { s.read(reading, others, &r) })
	parts := map[string]func(context.Context, *http.Client) map[string]int{
		"cancelled": s.cancelled, "refused": s.refused, "odd": s.odd, "connect": s.connect,
		"websockets": s.websockets(told, &r),
	}
	r.Crowd = parts[os.Args[2]](ctx, crowd)
	stop()
	reader.Wait()
	r.Told = s.tell(ctx, others, told, r.Watches)
	r.Connections = dials.Load()
	done(json.NewEncoder(os.Stdout).Encode(r))
}

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

func (s site) tls(u user) *tls.Config {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(s.Authority))
	config := &tls.Config{RootCAs: roots}
	if u.Certificate != "" {
		config.Certificates = []tls.Certificate{must(tls.X509KeyPair([]byte(u.Certificate), []byte(u.Key)))}
	}
	return config
}

// client speaks HTTP/2 and counts its connections.
func (s site) client(u user, dials *atomic.Int64) *http.Client {
	dialer := new(net.Dialer)
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig:   s.tls(u),
		ForceAttemptHTTP2: true,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			dials.Add(1)
			return dialer.DialContext(ctx, network, address)
		},
	}}
}

func (s site) streams() string {
	return s.URL + "/apis/image.openshift.io/v1/namespaces/" + s.Namespace + "/imagestreams"
}

func request(ctx context.Context, u user, method, url string, body io.Reader) *http.Request {
	r := must(http.NewRequestWithContext(ctx, method, url, body))
	for name, values := range u.Headers {
		r.Header[name] = append([]string(nil), values...)
	}
	return r
}

// watch follows streams and tells the names of those that come.
func (s site) watch(ctx context.Context, client *http.Client, told chan<- string) {
	response := must(client.Do(request(ctx, s.Watcher, "GET", s.streams()+"?watch=true", nil)))
	if response.StatusCode != 200 || response.ProtoMajor != 2 {
		panic("a watch is answered " + response.Status + " by " + response.Proto)
	}
	go func() {
		defer response.Body.Close()
		tell(json.NewDecoder(response.Body), told)
	}()
}

func tell(events *json.Decoder, told chan<- string) {
	for {
		var event struct {
			Type   string
			Object struct{ Metadata struct{ Name string } }
		}
		if events.Decode(&event) != nil {
			return
		}
		if event.Type == "ADDED" {
			told <- event.Object.Metadata.Name
		}
	}
}

// read lists streams one time after the other.
func (s site) read(ctx context.Context, client *http.Client, r *report) {
	for ctx.Err() == nil {
		// Not the context: a read that has begun is awaited.
		asked := request(context.Background(), s.Watcher, "GET", s.streams()+"?limit=1", nil)
		if status := ask(client, asked); status != "200" {
			r.Failed = append(r.Failed, status)
		}
		r.Reads++
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// tell creates a stream and counts the watches that tell of it.
func (s site) tell(ctx context.Context, client *http.Client, told <-chan string, wanted int) int {
	const body = `{"kind":"ImageStream","apiVersion":"image.openshift.io/v1","metadata":{"generateName":"told"}}`
	asked := request(ctx, s.Watcher, "POST", s.streams(), strings.NewReader(body))
	asked.Header.Set("Content-Type", "application/json")
	response := must(client.Do(asked))
	defer response.Body.Close()
	if response.StatusCode != 201 {
		panic("a stream is not created: " + response.Status + string(must(io.ReadAll(response.Body))))
	}
	var stream struct{ Metadata struct{ Name string } }
	done(json.NewDecoder(response.Body).Decode(&stream))
	count, late := 0, time.After(20*time.Second)
	for count < wanted {
		select {
		case name := <-told:
			if name == stream.Metadata.Name {
				count++
			}
		case <-late:
			return count
		}
	}
	return count
}

// ask sends a request and reads the response to its end: the status, or the error.
func ask(client *http.Client, r *http.Request) string {
	response, err := client.Do(r)
	if err != nil {
		// Without the URL, which is long in some cases.
		for unwrapper, is := err.(interface{ Unwrap() error }); is; unwrapper, is = err.(interface{ Unwrap() error }) {
			err = unwrapper.Unwrap()
		}
		return err.Error()
	}
	defer response.Body.Close()
	if _, err = io.Copy(io.Discard, response.Body); err != nil {
		return "the body: " + err.Error()
	}
	return fmt.Sprint(response.StatusCode)
}

// together does something so often, so many at a time, and counts the outcomes.
func together(count, atATime int, do func(number int) string) map[string]int {
	numbers, outcomes := make(chan int), make(chan string)
	for range atATime {
		go func() {
			for number := range numbers {
				outcomes <- do(number)
			}
		}()
	}
	go func() {
		for number := range count {
			numbers <- number
		}
		close(numbers)
	}()
	counted := make(map[string]int)
	for range count {
		counted[<-outcomes]++
	}
	return counted
}
