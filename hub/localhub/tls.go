package localhub

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Files in the directory of a hub. Keys are readable by their owner only.
const (
	caFile        = "ca.pem"
	caKeyFile     = "ca-key.pem"
	serverFile    = "server.pem" // the certificate of the last start
	serverKeyFile = "server-key.pem"
)

// How long certificates last. A CA is made once and given to devices, so it
// must outlast them; the server's is renewed at start whenever less than
// renewBefore is left. 825 days is the longest that some TLS clients take.
const (
	caLife      = 20 * 365 * 24 * time.Hour
	serverLife  = 825 * 24 * time.Hour
	renewBefore = 30 * 24 * time.Hour
	backdate    = 24 * time.Hour // clients whose clock is behind
)

// TLSConfig gives the server's TLS settings and the file of the CA certificate
// that devices must trust. What is missing in dir is made: a CA once, a server
// certificate for hosts (names or addresses; localhost and the loopback
// addresses always are included) when there is none or it does not fit. It is
// TLS 1.2 only, as the real hub's classic host names are.
//
// Files are written under another name and renamed, so that an interrupted run
// leaves whole files or none; a CA certificate without its key is an error and
// not replaced, because devices trust it.
func TLSConfig(dir string, hosts ...string) (config *tls.Config, caPath string, err error) {
	ca, err := authority(dir, time.Now())
	if err != nil {
		return nil, "", err
	}
	hosts = append([]string{"localhost", "127.0.0.1", "::1"}, hosts...)
	server, err := serverCertificate(dir, ca, hosts, time.Now())
	if err != nil {
		return nil, "", err
	}
	return &tls.Config{
		Certificates: []tls.Certificate{server},
		MinVersion:   tls.VersionTLS12,
		MaxVersion:   tls.VersionTLS12,
		CipherSuites: []uint16{ // those of Microsoft's list that are not CBC, for an ECDSA certificate
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
		},
	}, filepath.Join(dir, caFile), nil
}

// authority reads the CA of dir, or makes one.
func authority(dir string, now time.Time) (tls.Certificate, error) {
	ca, err := loadPair(dir, caFile, caKeyFile)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !exists(dir, caFile):
		return newAuthority(dir, now)
	case err != nil:
		return ca, fmt.Errorf("read the hub's CA (delete %s to have a new one made): %w", filepath.Join(dir, caFile), err)
	case now.After(ca.Leaf.NotAfter):
		return ca, fmt.Errorf("the CA in %s expired on %s: delete it to have a new one made", filepath.Join(dir, caFile), ca.Leaf.NotAfter.Format(time.DateOnly))
	}
	return ca, nil
}

func newAuthority(dir string, now time.Time) (tls.Certificate, error) {
	t := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "actuatord local hub CA"},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(caLife),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	return makePair(dir, caFile, caKeyFile, t, nil)
}

// serverCertificate reads the server's certificate, or makes a new one if it
// does not fit hosts, the CA or the time.
func serverCertificate(dir string, ca tls.Certificate, hosts []string, now time.Time) (tls.Certificate, error) {
	cert, err := loadPair(dir, serverFile, serverKeyFile)
	if err == nil && fits(cert.Leaf, ca.Leaf, hosts, now) {
		return cert, nil
	}
	t := &x509.Certificate{
		Subject:     pkix.Name{CommonName: hosts[len(hosts)-1]},
		NotBefore:   now.Add(-backdate),
		NotAfter:    now.Add(serverLife),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else if !slices.Contains(t.DNSNames, h) {
			t.DNSNames = append(t.DNSNames, h)
		}
	}
	return makePair(dir, serverFile, serverKeyFile, t, &ca)
}

func fits(cert, ca *x509.Certificate, hosts []string, now time.Time) bool {
	if cert.CheckSignatureFrom(ca) != nil || now.Before(cert.NotBefore) || now.After(cert.NotAfter.Add(-renewBefore)) {
		return false
	}
	return !slices.ContainsFunc(hosts, func(h string) bool { return cert.VerifyHostname(h) != nil })
}

// makePair makes a key and a certificate signed by ca (nil: by itself) and
// writes both. The key goes first: a certificate whose key is missing would be
// an error at the next start, a key alone is replaced.
func makePair(dir, certName, keyName string, t *x509.Certificate, ca *tls.Certificate) (tls.Certificate, error) {
	var none tls.Certificate
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return none, fmt.Errorf("make key: %w", err)
	}
	if t.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)); err != nil { // ≤ 20 bytes: RFC 5280
		return none, fmt.Errorf("make serial number: %w", err)
	}
	parent, signer := t, any(key)
	if ca != nil {
		parent, signer = ca.Leaf, ca.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, t, parent, &key.PublicKey, signer)
	if err != nil {
		return none, fmt.Errorf("make certificate: %w", err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return none, fmt.Errorf("encode key: %w", err)
	}
	if err := writePEM(filepath.Join(dir, keyName), "PRIVATE KEY", keyDER, 0o600); err != nil {
		return none, err
	}
	if err := writePEM(filepath.Join(dir, certName), "CERTIFICATE", der, 0o644); err != nil {
		return none, err
	}
	return loadPair(dir, certName, keyName)
}

func writePEM(path, kind string, der []byte, mode os.FileMode) error {
	var b bytes.Buffer
	if err := pem.Encode(&b, &pem.Block{Type: kind, Bytes: der}); err != nil {
		return fmt.Errorf("encode %s: %w", path, err)
	}
	return writeFile(path, b.Bytes(), mode)
}

// writeFile replaces path with a file of the given mode as a whole: it is
// written under another name first.
func writeFile(path string, data []byte, mode os.FileMode) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // 0600 until all is written
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
			err = fmt.Errorf("write %s: %w", path, err)
		}
	}()
	if _, err := f.Write(data); err != nil {
		_ = f.Close()
		return err
	}
	if err := f.Chmod(mode); err != nil {
		_ = f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

func loadPair(dir, certName, keyName string) (tls.Certificate, error) {
	cert, err := tls.LoadX509KeyPair(filepath.Join(dir, certName), filepath.Join(dir, keyName))
	if err != nil {
		return cert, err
	}
	if cert.Leaf == nil { // set by LoadX509KeyPair since Go 1.23
		cert.Leaf, err = x509.ParseCertificate(cert.Certificate[0])
	}
	return cert, err
}

func exists(dir, name string) bool {
	_, err := os.Lstat(filepath.Join(dir, name))
	return err == nil
}
