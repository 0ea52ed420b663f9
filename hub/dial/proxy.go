package dial

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"actuatord/hub"
)

// maxAnswer bounds a proxy's answer to CONNECT, a status line and headers. Those
// of Squid's refusals, which are long, have some 400 bytes.
const maxAnswer = 8 << 10

// proxy is what to go through; the zero value is nothing.
type proxy struct {
	addr string // host:port
	auth string // secret: what Proxy-Authorization says; "": nothing
}

// name says where a connection to addr goes.
func (p proxy) name(addr string) string {
	if p.addr == "" {
		return addr
	}
	return addr + " through proxy " + p.addr
}

// refused is an error of the proxy's making or of its settings.
func refused(class hub.Class, format string, args ...any) error {
	return &hub.Error{Class: class, Cause: hub.CauseProxy, Err: fmt.Errorf(format, args...)}
}

// proxy decides what host:port is reached through.
func (c Config) proxy(getenv func(string) string, host string, port int) (proxy, error) {
	switch c.Proxy {
	case "none":
		return proxy{}, nil
	case "":
		text := cmp.Or(getenv("HTTPS_PROXY"), getenv("https_proxy"))
		if text == "" || exempt(cmp.Or(getenv("NO_PROXY"), getenv("no_proxy")), strings.ToLower(host), port) {
			return proxy{}, nil
		}
		return parseProxy("the proxy of the environment", text)
	}
	p, err := parseProxy("the proxy of the configuration", c.Proxy)
	if err == nil && p.auth != "" {
		return proxy{}, refused(hub.Misconfigured, "use the proxy of the configuration: its credentials belong into the environment's HTTPS_PROXY, which fewer people can read")
	}
	return p, err
}

// parseProxy reads "http://user:password@host:port" or "host:port". It wraps
// nobody's error and quotes nothing but the scheme: the text has a password.
func parseProxy(whose, text string) (proxy, error) {
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || !dialable(u.Hostname(), u.Port()) || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "":
		// More behind the host may be the rest of a password that was cut at its '/'.
		// A host in escapes could hold what moves a terminal's cursor.
		return proxy{}, refused(hub.Misconfigured, "use %s: it is not of the form http://host:port", whose)
	case u.Scheme != "http":
		return proxy{}, refused(hub.Misconfigured, "use %s: scheme %s is not supported, only http", whose, printable(u.Scheme, 20))
	}
	p := proxy{addr: net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "80"))}
	if u.User != nil {
		password, _ := u.User.Password()
		p.auth = "Basic " + base64.StdEncoding.EncodeToString([]byte(u.User.Username()+":"+password))
	}
	return p, nil
}

// dialable tells whether host and port, "" for that of the scheme, make an address.
func dialable(host, port string) bool {
	_, _, err := net.SplitHostPort(net.JoinHostPort(host, port))
	if err == nil && port != "" {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	return host != "" && err == nil && !strings.ContainsFunc(host, notVisible)
}

// notVisible tells what no host and port has in it.
func notVisible(r rune) bool { return r <= ' ' || r >= 0x7f }

// exempt tells whether host:port is reached directly: this machine always is,
// and what NO_PROXY lists, in the way of curl and Go's own client: "*", a name
// and all below it, ".name" or "*.name" for those below it only, an address, a
// prefix such as 10.0.0.0/8, and any but the last two with ":port".
func exempt(list, host string, port int) bool {
	ip, _ := netip.ParseAddr(host) // a name gives the zero Addr, which is in no prefix
	ip = ip.Unmap()
	if host == "localhost" || ip.IsLoopback() {
		return true
	}
	for entry := range strings.SplitSeq(strings.ToLower(list), ",") {
		entry = strings.TrimSpace(entry)
		if prefix, err := netip.ParsePrefix(entry); err == nil && prefix.Contains(ip) {
			return true
		}
		if name, p, err := net.SplitHostPort(entry); err == nil {
			if p != strconv.Itoa(port) {
				continue
			}
			entry = name
		}
		if entry == "*" {
			return true
		}
		entry = strings.TrimPrefix(strings.Trim(entry, "[]"), "*")
		if a, err := netip.ParseAddr(entry); err == nil && a.Unmap() == ip {
			return true
		}
		if bare := strings.TrimPrefix(entry, "."); bare != "" && (entry == host || strings.HasSuffix(host, "."+bare)) {
			return true
		}
	}
	return false
}

// connect asks the proxy at the other end of conn for a way to addr. Only the
// end of ctx bounds it, by closing conn.
func (p proxy) connect(ctx context.Context, conn net.Conn, addr string) error {
	if strings.ContainsFunc(addr, notVisible) {
		return refused(hub.Misconfigured, "ask proxy %s for a way: %q is no host and port", p.addr, printable(addr, sentence))
	}
	request := "CONNECT " + addr + " HTTP/1.1\r\nHost: " + addr + "\r\n"
	if p.auth != "" {
		request += "Proxy-Authorization: " + p.auth + "\r\n"
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	_, err := conn.Write([]byte(request + "\r\n"))
	var answer []byte
	if err == nil {
		answer, err = readAnswer(conn)
	}
	switch ended := !stop(); {
	case ended:
		err = ctx.Err()
		fallthrough
	case err != nil:
		return &hub.Error{Class: hub.RetrySoon, Cause: hub.CauseNetwork, Err: fmt.Errorf("wait for proxy %s to connect to %s: %w", p.addr, addr, err)}
	}
	return p.judge(answer, addr)
}

// readAnswer reads up to the empty line that ends the headers. It may take bytes
// behind it: they are not lost, since nobody may send any before we do.
func readAnswer(conn net.Conn) ([]byte, error) {
	buf := make([]byte, 0, maxAnswer)
	for !bytes.Contains(buf, []byte("\r\n\r\n")) && len(buf) < maxAnswer {
		n, err := conn.Read(buf[len(buf):maxAnswer])
		buf = buf[:len(buf)+n]
		if err != nil {
			return nil, fmt.Errorf("it broke off: %w", err)
		}
	}
	return buf, nil
}

// judge reads the status line. Nothing of the answer is quoted: it may be an
// echo of our request.
func (p proxy) judge(answer []byte, addr string) error {
	line, _, _ := bytes.Cut(answer, []byte("\r\n"))
	version, rest, _ := bytes.Cut(line, []byte(" "))
	word, _, _ := bytes.Cut(rest, []byte(" "))
	status, err := strconv.Atoi(string(word))
	_, behind, whole := bytes.Cut(answer, []byte("\r\n\r\n"))
	switch {
	case err != nil || len(word) != 3 || status < 100 || len(version) != len("HTTP/1.1") || !bytes.HasPrefix(version, []byte("HTTP/1.")):
		return refused(hub.RetrySlowly, "connect to %s: proxy %s did not answer in HTTP: is it one?", addr, p.addr)
	case !whole:
		return refused(hub.RetrySlowly, "connect to %s: proxy %s sent more than %d bytes of headers", addr, p.addr, maxAnswer)
	case status/100 == 2 && len(behind) > 0:
		return refused(hub.RetrySlowly, "connect to %s: proxy %s sent more than its answer", addr, p.addr)
	case status/100 == 2:
		return nil
	case status == 407 && p.auth == "":
		return refused(hub.RetrySlowly, "connect to %s: proxy %s wants credentials (status 407): set HTTPS_PROXY=http://user:password@host:port in the service's environment", addr, p.addr)
	case status == 407:
		return refused(hub.RetrySlowly, "connect to %s: proxy %s does not take the credentials of HTTPS_PROXY (status 407)", addr, p.addr)
	case status == 403:
		return refused(hub.RetrySlowly, "connect to %s: proxy %s forbids it (status 403): have this host and port allowed there", addr, p.addr)
	case status >= 500:
		return refused(hub.RetrySoon, "connect to %s: proxy %s has not reached it (status %d)", addr, p.addr, status)
	}
	return refused(hub.RetrySlowly, "connect to %s: proxy %s refuses with status %d", addr, p.addr, status)
}
