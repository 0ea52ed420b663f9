package hub

import (
	"fmt"
	"strings"
	"testing"
	"unicode"
)

const keyText = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

func TestParseConnectionString(t *testing.T) {
	full := "HostName=contoso.azure-devices.net;DeviceId=pump_1.a-B;SharedAccessKey=" + keyText
	tests := []struct{ name, text, gateway string }{
		{"portal", full, ""},
		{"line end", full + "\n", ""},
		{"line end of Windows", full + "\r\n", ""},
		{"trailing semicolon", full + ";", ""},
		{"any case", strings.Replace(strings.Replace(full, "HostName", "hostname", 1), "DeviceId", "DEVICEID", 1), ""},
		{"any order", "SharedAccessKey=" + keyText + ";DeviceId=pump_1.a-B;HostName=contoso.azure-devices.net", ""},
		{"gateway", full + ";GatewayHostName=edge.local", "edge.local"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c, err := ParseConnectionString(test.text)
			if err != nil {
				t.Fatal(err)
			}
			if c.HostName != "contoso.azure-devices.net" || c.DeviceID != "pump_1.a-B" || c.GatewayHostName != test.gateway || string(c.Key.Reveal()) != string(testKey.Reveal()) {
				t.Errorf("ParseConnectionString = %v, key right: %v", c, string(c.Key.Reveal()) == string(testKey.Reveal()))
			}
		})
	}
}

// TestParseConnectionStringFaults: every fault is named, and none shows the key
// or any other value, since people paste keys into wrong places.
func TestParseConnectionStringFaults(t *testing.T) {
	const key = "hunter2hunter2hunter2hunter2hunter2hunter2hQ="
	ok := "HostName=h;DeviceId=d;SharedAccessKey=" + keyText
	tests := []struct{ name, text, says string }{
		{"empty", "", "HostName is missing"},
		{"no host", "DeviceId=d;SharedAccessKey=" + key, "HostName is missing"},
		{"no device", "HostName=h;SharedAccessKey=" + key, "DeviceId is missing"},
		{"no key", "HostName=h;DeviceId=d", "SharedAccessKey is missing"},
		{"empty key", "HostName=h;DeviceId=d;SharedAccessKey=", "SharedAccessKey is missing"},
		{"key of a line end", "SharedAccessKey=\r\n;HostName=h;DeviceId=d", "SharedAccessKey is empty"},
		{"key not base64", "HostName=h;DeviceId=d;SharedAccessKey=" + key, "SharedAccessKey is not base64"},
		{"only the key", key, "unknown field (number 1)"},
		{"only a word", "hunter2hunter2", "field 1 has no '='"},
		{"host twice", ok + ";HostName=h2", "HostName is there twice"},
		{"key twice", ok + ";SharedAccessKey=" + key, "SharedAccessKey is there twice"},
		{"unknown", ok + ";Colour=hunter2", `unknown field "Colour"`},
		{"service", "HostName=h;SharedAccessKeyName=iothubowner;SharedAccessKey=" + key, "service's connection string"},
		{"event hubs", "Endpoint=sb://x;SharedAccessKey=" + key, "Event Hubs"},
		{"module", ok + ";ModuleId=m", "module identities are not supported"},
		{"certificate", "HostName=h;DeviceId=d;x509=true", "certificates are not supported"},
		{"token", "HostName=h;DeviceId=d;SharedAccessSignature=hunter2", "ready-made token"},
		{"host with scheme", strings.Replace(ok, "=h;", "=https://h;", 1), "HostName: character 6"},
		{"host with port", strings.Replace(ok, "=h;", "=h:8883;", 1), "HostName: character 2"},
		{"host too long", strings.Replace(ok, "=h;", "="+strings.Repeat("h", 254)+";", 1), "longer than a DNS name"},
		{"bad gateway", ok + ";GatewayHostName=a b", "GatewayHostName: character 2"},
		{"wildcard +", strings.Replace(ok, "DeviceId=d", "DeviceId=a+b", 1), "MQTT wildcard"},
		{"wildcard #", strings.Replace(ok, "DeviceId=d", "DeviceId=#", 1), "MQTT wildcard"},
		{"slash", strings.Replace(ok, "DeviceId=d", "DeviceId=a/b", 1), "character 2 ('/') is not supported"},
		{"device too long", strings.Replace(ok, "DeviceId=d", "DeviceId="+strings.Repeat("d", 129), 1), "129 characters"},
		{"too long", ok + strings.Repeat(";", maxConnectionString), "longer than 2048 bytes"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c, err := ParseConnectionString(test.text)
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Fatalf("error %v; want %q", err, test.says)
			}
			if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), keyText) {
				t.Errorf("error shows a value: %v", err)
			}
			if c != (ConnectionString{}) {
				t.Errorf("connection string beside the error is %v; want an empty one", c)
			}
		})
	}
}

// FuzzParseConnectionString: what is accepted is safe to put into topics, user
// names and tokens, and its key is in no error and no print.
func FuzzParseConnectionString(f *testing.F) {
	f.Add("HostName=h;DeviceId=d;SharedAccessKey=" + keyText)
	f.Add("HostName=hunter2/;DeviceId=hunter2+;GatewayHostName=hunter2 ;SharedAccessKey=hunter2")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ParseConnectionString(text)
		if err != nil {
			if s := err.Error(); len(s) > 300 || strings.ContainsFunc(s, unicode.IsControl) || c != (ConnectionString{}) {
				t.Fatalf("error of %d bytes beside %v: %q", len(s), c, s)
			}
			if at := strings.Index(text, "hunter2"); at >= 0 && strings.Contains(text[strings.LastIndex(text[:at], ";")+1:at], "=") && strings.Contains(err.Error(), "hunter2") {
				t.Fatalf("%q: shows a value: %v", text, err)
			}
			return
		}
		if err := CheckDeviceID(c.DeviceID); err != nil {
			t.Fatalf("accepted device id %q: %v", c.DeviceID, err)
		}
		mine, other := ConnectionString{Key: c.Key}, ConnectionString{Key: testKey}
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
			if shown := fmt.Sprintf(verb, mine); shown != fmt.Sprintf(verb, other) {
				t.Fatalf("%s shows the key: %s", verb, shown)
			}
		}
		host, id, err := ParseUsername(Username(c.HostName, c.DeviceID))
		if err != nil || host != c.HostName || id != c.DeviceID {
			t.Fatalf("user name of %v reads back as %q, %q, %v", c, host, id, err)
		}
		s, err := ParseSAS(SignSAS(Resource(c.HostName, c.DeviceID), c.Key, "", testExpiry))
		if err != nil || !s.Covers(Resource(c.HostName, c.DeviceID)) || s.Verify(c.Key) != nil {
			t.Fatalf("token of %v reads back as %+v, %v", c, s, err)
		}
	})
}

func TestUsername(t *testing.T) {
	if got, want := Username("h.net", "d"), "h.net/d/?api-version=2021-04-12"; got != want {
		t.Errorf("Username = %q; want %q", got, want)
	}
	tests := []struct {
		text string
		ok   bool
	}{
		{"h/d/?api-version=2021-04-12", true},
		{"h/d/api-version=2016-11-14", true},
		{"h/d/?DeviceClientType=x%20y&api-version=1&model-id=dtmi", true},
		{"h/d/?api-version=", false},
		{"h/d/?DeviceClientType=x", false},
		{"h/d/m/?api-version=1", false},
		{"h/d", false},
		{"/d/?api-version=1", false},
		{"h//?api-version=1", false},
		{"", false},
	}
	for _, test := range tests {
		host, id, err := ParseUsername(test.text)
		if (err == nil) != test.ok {
			t.Errorf("ParseUsername(%q) = %v; want ok %v", test.text, err, test.ok)
		} else if test.ok && (host != "h" || id != "d") {
			t.Errorf("ParseUsername(%q) = %q, %q; want h, d", test.text, host, id)
		}
	}
}

// FuzzParseUsername: what is accepted has both names and nothing of the rest.
func FuzzParseUsername(f *testing.F) {
	f.Add("h/d/?api-version=2021-04-12")
	f.Fuzz(func(t *testing.T, text string) {
		host, id, err := ParseUsername(text)
		if err == nil && (host == "" || id == "" || strings.Contains(host+id, "/") || !strings.HasPrefix(text, host+"/"+id+"/")) {
			t.Fatalf("ParseUsername(%q) = %q, %q", text, host, id)
		}
	})
}
