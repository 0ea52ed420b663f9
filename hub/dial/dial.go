package dial

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"

	"actuatord/hub"
)

const (
	// attemptLimit bounds one attempt whose context has no earlier end. The C SDK
	// waits 30 s for CONNACK alone; a slow board needs seconds for the handshake.
	attemptLimit = time.Minute
	// userTimeout is how long sent data may stay unconfirmed. Half would cut off a
	// modem that changes cells.
	userTimeout = 20 * time.Second
	// sentence bounds an error's text about a stranger's certificate, which names
	// up to a hundred names of it: enough for two of the longest.
	sentence = 600
)

// Config says how to reach a host and whom to believe that it is it.
type Config struct {
	// Roots is what the host's certificate must chain to: [AzureRoots], or
	// [Roots] with more. nil: the system's.
	Roots *x509.CertPool

	// Proxy is "http://host:port", without credentials; "none": no proxy, whatever
	// the environment says; "": what the environment says (HTTPS_PROXY and
	// NO_PROXY, or in lower case), where the URL may have credentials.
	Proxy string

	// TCP makes the connection, to the host or to the proxy. nil: a net.Dialer
	// that gives up on data the peer does not confirm (TCP_USER_TIMEOUT).
	TCP func(ctx context.Context, network, addr string) (net.Conn, error)

	// Now judges certificates' dates. nil: time.Now.
	Now func() time.Time

	// LeafDate has the chain judged at the date from which its leaf is valid,
	// instead of Now. Whoever holds a key that has expired could then pose as the
	// host, so nothing secret may be sent, and what comes may only be a hint.
	LeafDate bool
}

func (c Config) withDefaults() Config {
	if c.TCP == nil {
		c.TCP = dialer().DialContext
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// TLS connects to host:port and proves that it is host, until ctx ends or a
// minute has passed. raw is the connection below TLS: closing it ends both and
// never waits, while closing conn may wait 5 s for a peer that does not read.
// An error is a [*hub.Error].
func TLS(ctx context.Context, cfg Config, host string, port int) (conn *tls.Conn, raw net.Conn, err error) {
	cfg = cfg.withDefaults()
	ctx, cancel := context.WithTimeout(ctx, attemptLimit)
	defer cancel()
	addr := net.JoinHostPort(host, strconv.Itoa(port))
	p, err := cfg.proxy(os.Getenv, host, port)
	if err != nil {
		return nil, nil, err
	}
	raw, err = cfg.TCP(ctx, "tcp", cmp.Or(p.addr, addr))
	if err != nil {
		return nil, nil, &hub.Error{Class: hub.RetrySoon, Cause: hub.CauseNetwork, Err: fmt.Errorf("dial %s: %w", p.name(addr), err)}
	}
	if p.addr != "" {
		if err := p.connect(ctx, raw, addr); err != nil {
			_ = raw.Close()
			return nil, nil, err
		}
	}
	conn = tls.Client(raw, tlsConfig(cfg, host))
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, nil, tlsError(cfg, host, p.name(addr), err)
	}
	return conn, raw, nil
}

// Broke tells whether err means that a connection broke or time ran out, rather
// than that the peer said something wrong: a TLS alert is said by the peer.
func Broke(err error) bool {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Op != "remote error" && op.Op != "local error"
	}
	for _, end := range []error{
		io.EOF, io.ErrUnexpectedEOF, io.ErrClosedPipe, net.ErrClosed, os.ErrDeadlineExceeded, context.Canceled, context.DeadlineExceeded,
	} {
		if errors.Is(err, end) {
			return true
		}
	}
	return false
}

// printable makes a stranger's words fit to be shown: at most so many bytes, and
// nothing that moves a terminal's cursor.
func printable(s string, most int) string {
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}
