package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// cancelled lists streams and gives up after 1 to 60 ms.
func (s site) cancelled(ctx context.Context, client *http.Client) map[string]int {
	return together(3000, 200, func(number int) string {
		short, cancel := context.WithTimeout(ctx, time.Duration(1+number%60)*time.Millisecond)
		defer cancel()
		if outcome := ask(client, request(short, s.Crowd, "GET", s.streams(), nil)); outcome == "200" {
			return outcome
		}
		if short.Err() == nil {
			return "it ended by itself"
		}
		return "cancelled"
	})
}

// refused sends bodies of 300 kB to a path that is refused before they are read.
func (s site) refused(ctx context.Context, client *http.Client) map[string]int {
	body := strings.Repeat(" ", 300_000)
	return together(2310, 20, func(int) string {
		refused := request(ctx, s.Crowd, "POST", s.URL+"/apis/image.openshift.io/v1", strings.NewReader(body))
		return ask(client, refused)
	})
}

// odd asks for URLs and with headers that the server's library does not read.
func (s site) odd(ctx context.Context, client *http.Client) map[string]int {
	long := strings.Repeat("x", 66_000)
	return together(120, 10, func(number int) string {
		odd := request(ctx, s.Crowd, "GET", s.streams(), nil)
		switch number % 5 {
		case 0:
			odd.URL.RawQuery = "x=" + long
		case 1:
			odd.URL.RawQuery = "x=a<b>c d"
		case 2:
			odd.Header.Set("Te", "gzip")
		case 3:
			odd.URL.RawQuery = "labelSelector=" + url.QueryEscape("a="+long)
		case 4:
			odd.Header.Set(strings.Repeat("X", 70_000), "v")
		}
		return ask(client, odd)
	})
}

// connect asks for tunnels, with a body that such a request does not have.
func (s site) connect(ctx context.Context, client *http.Client) map[string]int {
	return together(20, 1, func(int) string {
		tunnel := request(ctx, s.Crowd, "CONNECT", s.streams(), strings.NewReader("body"))
		if s.Shared {
			// HTTP/2 leaves the path out.
			return ask(client, tunnel)
		}
		response := s.exchange(ctx, tunnel, nil)
		return fmt.Sprint(response.StatusCode)
	})
}

// websockets watches as browsers do, for somebody in 600 groups, and stays.
func (s site) websockets(told chan<- string, r *report) func(context.Context, *http.Client) map[string]int {
	return func(ctx context.Context, _ *http.Client) map[string]int {
		const count = 10
		r.Watches += count
		return together(count, count, func(int) string { return s.websocket(ctx, told) })
	}
}

func (s site) websocket(ctx context.Context, told chan<- string) string {
	upgrade := request(ctx, s.Crowd, "GET", s.streams()+"?watch=true", nil)
	for name, value := range map[string]string{
		"Connection": "Upgrade", "Upgrade": "websocket", "Sec-Websocket-Version": "13",
		"Sec-Websocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
	} {
		upgrade.Header.Set(name, value)
	}
	return s.exchange(ctx, upgrade, told).Status
}

// exchange sends a request on a connection of HTTP/1.1 of its own, on which a WebSocket then tells the names of streams.
func (s site) exchange(ctx context.Context, r *http.Request, told chan<- string) *http.Response {
	config := s.tls(s.Crowd)
	config.NextProtos = []string{"http/1.1"}
	address := strings.TrimPrefix(s.URL, "https://")
	connection := must((&tls.Dialer{Config: config}).DialContext(ctx, "tcp", address))
	done(r.Write(connection))
	reader := bufio.NewReader(connection)
	response := must(http.ReadResponse(reader, r))
	if response.StatusCode == http.StatusSwitchingProtocols {
		go tell(json.NewDecoder(&messages{reader: reader}), told)
	}
	return response
}

// messages are the payloads of a WebSocket's frames, one behind the other (RFC 6455, section 5.2).
type messages struct {
	reader *bufio.Reader
	left   uint64
}

func (m *messages) Read(out []byte) (int, error) {
	for m.left == 0 {
		head := make([]byte, 2)
		if _, err := io.ReadFull(m.reader, head); err != nil {
			return 0, err
		}
		m.left = uint64(head[1] & 0x7f)
		if m.left >= 126 {
			size := make([]byte, map[uint64]int{126: 2, 127: 8}[m.left])
			if _, err := io.ReadFull(m.reader, size); err != nil {
				return 0, err
			}
			m.left = binary.BigEndian.Uint64(append(make([]byte, 8-len(size)), size...))
		}
	}
	count, err := m.reader.Read(out[:min(uint64(len(out)), m.left)])
	m.left -= uint64(count)
	return count, err
}
