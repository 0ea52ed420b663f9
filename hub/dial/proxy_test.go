package dial

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"

	"actuatord/hub"
)

// TestWhichProxy: what the configuration and the environment say, and what is
// reached without one.
func TestWhichProxy(t *testing.T) {
	const env = "http://p.example:3128"
	direct := map[string]string{"HTTPS_PROXY": env}
	except := func(list string) map[string]string {
		return map[string]string{"HTTPS_PROXY": env, "NO_PROXY": list}
	}
	tests := []struct {
		name, proxy string
		env         map[string]string
		host        string
		addr, auth  string
	}{
		{"nothing set", "", nil, testHost, "", ""},
		{"environment", "", direct, testHost, "p.example:3128", ""},
		{"environment in lower case", "", map[string]string{"https_proxy": env}, testHost, "p.example:3128", ""},
		{"the proxy for HTTP is another matter", "", map[string]string{"HTTP_PROXY": env, "http_proxy": env}, testHost, "", ""},
		{"without a scheme", "", map[string]string{"HTTPS_PROXY": "p.example:3128"}, testHost, "p.example:3128", ""},
		{"without a port", "", map[string]string{"HTTPS_PROXY": "http://p.example/"}, testHost, "p.example:80", ""},
		{"IPv6", "", map[string]string{"HTTPS_PROXY": "http://[2001:db8::1]:3128"}, testHost, "[2001:db8::1]:3128", ""},
		{"credentials", "", map[string]string{"HTTPS_PROXY": "http://me:hunter%322@p.example:3128"}, testHost, "p.example:3128", "Basic bWU6aHVudGVyMjI="},
		{"a user without a password", "", map[string]string{"HTTPS_PROXY": "me@p.example:3128"}, testHost, "p.example:3128", "Basic bWU6"},
		{"configuration", "http://q.example:8080", direct, testHost, "q.example:8080", ""},
		{"configuration, NO_PROXY is for the environment's", "http://q.example:8080", except("*"), testHost, "q.example:8080", ""},
		{"none", "none", direct, testHost, "", ""},

		{"localhost", "", direct, "LOCALHOST", "", ""},
		{"loopback", "", direct, "127.8.9.1", "", ""},
		{"loopback of IPv6", "", direct, "::1", "", ""},
		{"all excepted", "", except("*"), testHost, "", ""},
		{"excepted in lower case", "", map[string]string{"https_proxy": env, "no_proxy": "hub.example"}, testHost, "", ""},
		{"excepted by name", "", except("a, HUB.example ,b"), "hub.EXAMPLE", "", ""},
		{"excepted by domain", "", except("example"), testHost, "", ""},
		{"excepted by domain with a dot", "", except(".example"), testHost, "", ""},
		{"excepted by domain with a star", "", except("*.example"), testHost, "", ""},
		{"a dot excepts what is below only", "", except(".hub.example,*.hub.example"), testHost, "p.example:3128", ""},
		{"a tail of a label is no domain", "", except("ub.example,b.example"), testHost, "p.example:3128", ""},
		{"excepted with this port", "", except("hub.example:8883"), testHost, "", ""},
		{"excepted with another port", "", except("hub.example:443,*:443"), testHost, "p.example:3128", ""},
		{"excepted by address", "", except("192.0.2.1"), "192.0.2.1", "", ""},
		{"excepted by address and port", "", except("[2001:db8::1]:8883"), "2001:db8::1", "", ""},
		{"excepted by prefix", "", except("192.0.2.0/24"), "192.0.2.77", "", ""},
		{"excepted by prefix, written as IPv6", "", except("192.0.2.0/24"), "::ffff:192.0.2.77", "", ""},
		{"another prefix", "", except("192.0.2.0/25,2001:db8::/32"), "192.0.2.177", "p.example:3128", ""},
		{"a prefix excepts no names", "", except("0.0.0.0/0,::/0"), testHost, "p.example:3128", ""},
		{"empty entries", "", except(",, ,.,*."), testHost, "p.example:3128", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := Config{Proxy: test.proxy}.proxy(func(key string) string { return test.env[key] }, test.host, 8883)
			if err != nil || got.addr != test.addr || got.auth != test.auth {
				t.Errorf("%+v, %v; want %q with %q", got, err, test.addr, test.auth)
			}
		})
	}
}

// TestProxySettingsRefused: in a sentence that says whose they are, without what
// may be a password.
func TestProxySettingsRefused(t *testing.T) {
	for _, test := range []struct{ proxy, env, words string }{
		{"http://me:hunter2@p.example:3128", "", "HTTPS_PROXY"},
		{"socks5://p.example:1080", "", "scheme socks5"},
		{"http://", "", "configuration: it is not"},
		{"", "https://me:hunter2@p.example:3128", "environment: scheme https"},
		{"", "me:hunter2", "environment"},
		{"", "http://me:hunter2@", "environment"},
		{"", "http://me:hunter2#@p.example", "environment"},
		{"", "http://me:443/hunter2@p.example:3128", "environment"},
		{"", "http://me:443?hunter2@p.example:3128", "environment"},
		{"", "http://me:443#hunter2@p.example:3128", "environment"},
		{"", "http://me:hunter2%@p.example:3128", "environment"},
		{"", "http://p.example:hunter2", "environment"},
		{"", "http://p.example:65536", "environment"},
		{"", "http://p.example]:3128", "environment"},
		{"", "http://me:hunter2@%C2%9Bp.example:3128", "environment"},
		{"", "http://p.example:31\n28/hunter2", "environment"},
	} {
		_, err := Config{Proxy: test.proxy}.proxy(func(key string) string { return map[string]string{"HTTPS_PROXY": test.env}[key] }, testHost, 8883)
		wantError(t, err, hub.Misconfigured, hub.CauseProxy, test.words)
	}
}

// TestThroughProxy: the proxy is told host, port and its credentials and no
// more; the environment is read at each attempt; TLS is with the host.
func TestThroughProxy(t *testing.T) {
	root := ca(t, nil, 2000, 2100)
	asked := make(chan string, 1)
	server := handshake(&tls.Config{Certificates: []tls.Certificate{leaf(t, root, 2000, 2100)}})
	w := &wire{serve: func(far net.Conn) {
		asked <- request(far)
		_, _ = far.Write([]byte("HTTP/1.0 200 Connection established\r\nVia: x\r\n\r\n"))
		server(far)
	}}
	cfg := Config{Roots: pool(root), TCP: w.dial}
	for env, want := range map[string]string{
		"http://one.example:3128":            "CONNECT hub.example:8883 HTTP/1.1\r\nHost: hub.example:8883\r\n\r\n",
		"http://me:hunter2@two.example:3128": "CONNECT hub.example:8883 HTTP/1.1\r\nHost: hub.example:8883\r\nProxy-Authorization: Basic bWU6aHVudGVyMg==\r\n\r\n",
	} {
		t.Setenv("HTTPS_PROXY", env)
		t.Setenv("NO_PROXY", "")
		t.Setenv("no_proxy", "")
		conn, raw, err := TLS(t.Context(), cfg, testHost, 8883)
		if err != nil {
			t.Fatal(err)
		}
		if got := <-asked; got != want {
			t.Errorf("the proxy was asked %q; want %q", got, want)
		}
		if addr := w.addrs[len(w.addrs)-1]; !strings.HasSuffix(env, addr) {
			t.Errorf("dialled %s; want %s", addr, env)
		}
		word := make([]byte, 5)
		if _, err := io.ReadFull(conn, word); err != nil || string(word) != "hello" {
			t.Errorf("read %q, %v; want hello", word, err)
		}
		_ = raw.Close()
	}

	cfg.Proxy = "http://three.example:3128"
	_, _, err := TLS(t.Context(), cfg, "other.example", 443)
	<-asked
	wantError(t, err, hub.RetrySlowly, hub.CauseTLS, "start TLS with other.example:443 through proxy three.example:3128")
	_, _, err = TLS(t.Context(), cfg, "hub.example:1 HTTP/1.1\r\nX: y\r\n", 443)
	wantError(t, err, hub.Misconfigured, hub.CauseProxy, "is no host and port")
}

// TestProxyAnswers: each answer but 2xx becomes a sentence.
func TestProxyAnswers(t *testing.T) {
	const end = "\r\nContent-Length: 5\r\n\r\nhello"
	tests := []struct {
		name, auth, answer string
		class              hub.Class
		cause              string
		words              string
	}{
		{"wants credentials", "", "HTTP/1.1 407 Proxy Authentication Required" + end, hub.RetrySlowly, hub.CauseProxy, "wants credentials"},
		{"other credentials", "me:hunter2@", "HTTP/1.1 407 hunter2" + end, hub.RetrySlowly, hub.CauseProxy, "does not take the credentials"},
		{"forbidden", "", "HTTP/1.1 403 Forbidden" + end, hub.RetrySlowly, hub.CauseProxy, "p.example:3128 forbids it"},
		{"not a proxy", "", "HTTP/1.1 405 Method Not Allowed" + end, hub.RetrySlowly, hub.CauseProxy, "status 405"},
		{"captive portal", "", "HTTP/1.1 302 Found\r\nLocation: http://login.example/" + end, hub.RetrySlowly, hub.CauseProxy, "status 302"},
		{"bad gateway", "", "HTTP/1.1 502 Bad Gateway" + end, hub.RetrySoon, hub.CauseProxy, "has not reached it (status 502)"},
		{"unavailable", "", "HTTP/1.1 503" + end, hub.RetrySoon, hub.CauseProxy, "status 503"},
		{"interim answer", "", "HTTP/1.1 100 Continue\r\n\r\n", hub.RetrySlowly, hub.CauseProxy, "status 100"},
		{"not HTTP", "me:hunter2@", "220 smtp.example hunter2\r\n\r\n", hub.RetrySlowly, hub.CauseProxy, "did not answer in HTTP"},
		{"HTTP/2", "", "HTTP/2 200\r\n\r\n", hub.RetrySlowly, hub.CauseProxy, "did not answer in HTTP"},
		{"no status", "", "HTTP/1.1 OK\r\n\r\n", hub.RetrySlowly, hub.CauseProxy, "did not answer in HTTP"},
		{"strange status", "", "HTTP/1.1 +20 OK\r\n\r\n", hub.RetrySlowly, hub.CauseProxy, "did not answer in HTTP"},
		{"empty line", "", "\r\n\r\n", hub.RetrySlowly, hub.CauseProxy, "did not answer in HTTP"},
		{"headers without end", "", "HTTP/1.1 200 OK\r\n" + strings.Repeat("X: y\r\n", maxAnswer), hub.RetrySlowly, hub.CauseProxy, "more than 8192 bytes"},
		{"line without end", "", "HTTP/1.1 200 " + strings.Repeat("x", 2*maxAnswer), hub.RetrySlowly, hub.CauseProxy, "more than 8192 bytes"},
		{"more than its answer", "", "HTTP/1.1 200 OK" + end, hub.RetrySlowly, hub.CauseProxy, "more than its answer"},
		{"closes", "", "", hub.RetrySoon, hub.CauseNetwork, "wait for proxy p.example:3128 to connect to hub.example:8883: it broke off: EOF"},
		{"closes within its answer", "", "HTTP/1.1 200 OK\r\n", hub.RetrySoon, hub.CauseNetwork, "it broke off"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("HTTPS_PROXY", "http://"+test.auth+"p.example:3128")
			t.Setenv("NO_PROXY", "")
			t.Setenv("no_proxy", "")
			w := &wire{serve: func(far net.Conn) {
				request(far)
				_, _ = far.Write([]byte(test.answer))
			}}
			_, _, err := TLS(t.Context(), Config{TCP: w.dial}, testHost, 8883)
			wantError(t, err, test.class, test.cause, test.words)
			w.wantClosed(t)
		})
	}
}

// pieces is a connection on which given bytes come, some at a time.
type pieces struct {
	net.Conn
	left  []byte
	piece int
	taken int
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.left) == 0 {
		return 0, io.EOF
	}
	n := copy(b[:min(p.piece, len(b))], p.left)
	p.left, p.taken = p.left[n:], p.taken+n
	return n, nil
}

// FuzzProxyAnswer: whatever a proxy answers, in whatever pieces, only a whole
// answer with 2xx passes; nothing of it is quoted, and not more than the limit
// is read.
func FuzzProxyAnswer(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\n\r\n"), 5)
	f.Fuzz(func(t *testing.T, b []byte, piece int) {
		conn := &pieces{left: b, piece: max(1, piece)}
		p := proxy{addr: "p.example:3128", auth: "Basic hunter2"}
		answer, err := readAnswer(conn)
		if err == nil {
			err = p.judge(answer, "hub.example:443")
		}
		if conn.taken > maxAnswer {
			t.Errorf("%d bytes were read", conn.taken)
		}
		if err == nil {
			if !bytes.HasPrefix(answer, []byte("HTTP/1.")) || string(answer[8:10]) != " 2" || bytes.Index(answer, []byte("\r\n\r\n")) != len(answer)-4 {
				t.Errorf("passed: %q", answer)
			}
			return
		}
		if text := err.Error(); strings.Contains(text, "hunter2") || len(text) > 200 {
			t.Errorf("error: %s", text)
		}
	})
}

// FuzzProxySettings: whatever the environment says of a proxy, it is refused in one
// short line without the password, or it can be dialled and its credentials are those
// given. And a list of exceptions excepts what its entries do, one by one.
func FuzzProxySettings(f *testing.F) {
	f.Add("http://me:", "@p.example:3128", "a.example,*.b.example:8883,10.0.0.0/8", testHost, uint16(8883))
	f.Fuzz(func(t *testing.T, before, after, list, host string, port uint16) {
		text := before + "hunter2" + after
		secret := strings.Contains(before, ":") && strings.Contains(after, "@")
		p, err := parseProxy("the proxy of the environment", text)
		name, number, addrErr := net.SplitHostPort(p.addr)
		if addrErr == nil {
			_, addrErr = strconv.ParseUint(number, 10, 16)
		}
		switch {
		case err != nil:
			if s := err.Error(); hub.ClassOf(err) != hub.Misconfigured || len(s) > 200 || strings.ContainsFunc(s, func(r rune) bool { return r != ' ' && r != '…' && notVisible(r) }) || secret && strings.Contains(s, "hunter2") {
				t.Errorf("error: %q", s)
			}
		case addrErr != nil || name == "" || strings.ContainsFunc(p.addr, notVisible) || secret && strings.Contains(p.addr, "hunter2"):
			t.Errorf("%q is dialled as %q: %v", text, p.addr, addrErr)
		case p.auth != "":
			if plain, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(p.auth, "Basic ")); err != nil || !bytes.Contains(plain, []byte(":")) {
				t.Errorf("%q asks with %q: %v", text, p.auth, err)
			}
		}
		one := false
		for entry := range strings.SplitSeq(list, ",") {
			one = one || exempt(entry, strings.ToLower(host), int(port))
		}
		if got := exempt(list, strings.ToLower(host), int(port)); got != one {
			t.Errorf("%q excepts %q: %v; by its entries: %v", list, host, got, one)
		}
		if !exempt(list+",*", host, int(port)) {
			t.Errorf("%q and a star do not except %q", list, host)
		}
	})
}
