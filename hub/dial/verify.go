package dial

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"actuatord/hub"
)

// tlsConfig accepts TLS 1.2, which is what the hub speaks, and later, with the
// suites its documentation lists; the CBC ones among them are left out.
func tlsConfig(cfg Config, host string) *tls.Config {
	c := &tls.Config{
		ServerName: host,
		RootCAs:    cfg.Roots,
		MinVersion: tls.VersionTLS12,
		Time:       cfg.Now,
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
		},
		// Over HTTPS the hub asks for a client certificate when the first request
		// has come, by renegotiating. It must show the same certificate again.
		Renegotiation: tls.RenegotiateOnceAsClient,
	}
	if cfg.LeafDate {
		// Not less verified: package tls only has no way to judge by the leaf's own date.
		c.InsecureSkipVerify = true
		c.VerifyConnection = func(s tls.ConnectionState) error { return verifyAtLeafDate(s.PeerCertificates, cfg.Roots, host) }
	}
	return c
}

// verifyAtLeafDate does what package tls does, chain and name, at the moment
// from which the leaf is valid. host is not taken from the connection's state:
// there it is empty for an address, and an empty name is not verified.
func verifyAtLeafDate(chain []*x509.Certificate, roots *x509.CertPool, host string) error {
	if len(chain) == 0 || host == "" {
		return errors.New("verify certificate: there is none, or no name to verify")
	}
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{DNSName: host, Roots: roots, Intermediates: between, CurrentTime: leafDate(chain[0])})
	if err != nil {
		return &tls.CertificateVerificationError{UnverifiedCertificates: chain, Err: err}
	}
	return nil
}

// leafDate is never the zero time, which x509 takes for the present.
func leafDate(leaf *x509.Certificate) time.Time {
	if leaf.NotBefore.IsZero() {
		return time.Unix(0, 0)
	}
	return leaf.NotBefore
}

// datesError marks the refusal of a chain in which nothing but dates is wrong.
type datesError struct{ error }

func (e datesError) Unwrap() error { return e.error }

// OnlyDates tells whether [TLS] refused the chain for its dates and for nothing
// else: name, signatures and root are right, and at the leaf's first moment it
// would have been accepted. Either the certificate has expired or our clock is
// wrong.
func OnlyDates(err error) bool {
	var e datesError
	return errors.As(err, &e)
}

// tlsError tells a broken connection from a peer that is not the host. The
// second may be a captive portal, a proxy or a clock that is not set, all of
// which pass: it is retried slowly and not counted as misconfiguration.
func tlsError(cfg Config, host, addr string, err error) error {
	class, cause := hub.RetrySlowly, hub.CauseTLS
	if Broke(err) {
		class, cause = hub.RetrySoon, hub.CauseNetwork
	}
	// Package x509 looks at dates before anything else, so its word that they are
	// wrong does not say that the rest is right.
	var refused *tls.CertificateVerificationError
	if errors.As(err, &refused) && verifyAtLeafDate(refused.UnverifiedCertificates, cfg.Roots, host) == nil {
		err = datesError{err}
	}
	return &hub.Error{Class: class, Cause: cause, Err: fmt.Errorf("start TLS with %s: %w", addr, short{err})}
}

// short bounds an error's text, which may quote what a stranger wrote.
type short struct{ error }

func (e short) Error() string { return printable(e.error.Error(), sentence) }
func (e short) Unwrap() error { return e.error }
