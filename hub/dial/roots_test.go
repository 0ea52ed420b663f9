package dial

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestAzureRoots compares what is shipped with the fingerprints published by
// DigiCert and Microsoft, and looks at validity.
func TestAzureRoots(t *testing.T) {
	want := map[string]string{
		"DigiCert Global Root G2":                       "cb3ccbb76031e5e0138f8dd39a23f9de47ffc35e43c1144cea27d46a5ab1cb5f",
		"DigiCert Global Root G3":                       "31ad6648f8104138c738f39ea4320133393e3a18cc02296ef97c2ac9ef6731d0",
		"Microsoft RSA Root Certificate Authority 2017": "c741f70f4b2a8d88bf2e71c14122ef53ef10eba0cfa5e64cfa20f418853073e0",
		"Microsoft ECC Root Certificate Authority 2017": "358df39d764af9e1b766e9c972df352ee15cfac227af6ad1d70e8e4a6edcba02",
	}
	pool := x509.NewCertPool()
	for _, text := range []string{digiCertGlobalRootG2, digiCertGlobalRootG3, microsoftRSARoot2017, microsoftECCRoot2017} {
		block, rest := pem.Decode([]byte(text))
		if block == nil || strings.TrimSpace(string(rest)) != "" {
			t.Fatalf("not one PEM block: %.60s…", text)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(cert.Raw)
		if got := hex.EncodeToString(sum[:]); want[cert.Subject.CommonName] != got {
			t.Errorf("%s has fingerprint %s", cert.Subject.CommonName, got)
		}
		delete(want, cert.Subject.CommonName)
		if !cert.IsCA || cert.NotAfter.Before(time.Date(2038, 1, 1, 0, 0, 0, 0, time.UTC)) {
			t.Errorf("%s is a CA: %v, until %v; want at least until 2038", cert.Subject.CommonName, cert.IsCA, cert.NotAfter)
		}
		pool.AddCert(cert)
	}
	if len(want) > 0 || !AzureRoots().Equal(pool) {
		t.Errorf("missing: %v", want)
	}
}

func TestRoots(t *testing.T) {
	root := ca(t, nil, 2000, 2100)
	dir := t.TempDir()
	file := func(name string, text []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := file("ca.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.cert.Raw}))
	want := AzureRoots()
	want.AddCert(root.cert)
	for path, pool := range map[string]*x509.CertPool{good: want, "": AzureRoots()} {
		if got, err := Roots(path); err != nil || !got.Equal(pool) {
			t.Errorf("Roots(%q): %v; want the Azure roots and the file's", path, err)
		}
	}
	for _, path := range []string{filepath.Join(dir, "absent"), dir, file("empty", nil), file("text", []byte("hello")), file("huge", make([]byte, maxRoots+1))} {
		if _, err := Roots(path); err == nil || !strings.HasPrefix(err.Error(), "read trust roots") {
			t.Errorf("Roots(%q): %v; want an error", path, err)
		}
	}
}
