package hub

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// ConnectionString is a device's connection string, taken apart. Printing it
// shows everything but the key.
type ConnectionString struct {
	HostName        string // the hub's name; also what the token is signed for and the user name starts with
	DeviceID        string // [A-Za-z0-9._-], at most 128
	GatewayHostName string // "": connect to HostName itself; otherwise connect to this name
	Key             Secret // decoded
}

// Names of fields, as the portal writes them.
const (
	fieldHost    = "HostName"
	fieldDevice  = "DeviceId"
	fieldKey     = "SharedAccessKey"
	fieldGateway = "GatewayHostName"
)

// maxConnectionString bounds the input: a host name, a device id and a key of
// 64 bytes come to under 600; a gateway name makes it 900.
const maxConnectionString = 2048

const wanted = "wanted is the device's own: HostName=…;DeviceId=…;SharedAccessKey=…"

// foreign explains fields that belong to other kinds of connection strings.
func foreign(name string) string {
	switch strings.ToLower(name) {
	case "sharedaccesskeyname":
		return "it names a policy (SharedAccessKeyName), so it is a service's connection string; " + wanted
	case "endpoint", "entitypath":
		return "it is an Event Hubs or Service Bus connection string (" + name + "); " + wanted
	case "moduleid":
		return "ModuleId: module identities are not supported; " + wanted
	case "x509", "x509cert", "x509key":
		return "x509: certificates are not supported yet; " + wanted
	case "sharedaccesssignature":
		return "SharedAccessSignature: a ready-made token cannot be renewed and is not supported; " + wanted
	}
	return ""
}

// ParseConnectionString reads a device's connection string; line ends after it
// are ignored. Errors say which field is missing, wrong, unknown or there
// twice; they never show a value, because people paste keys into wrong places.
func ParseConnectionString(s string) (ConnectionString, error) {
	c, err := parseConnectionString(strings.TrimRight(s, "\r\n"))
	if err != nil {
		return ConnectionString{}, fmt.Errorf("read connection string: %w", err)
	}
	return c, nil
}

func parseConnectionString(s string) (ConnectionString, error) {
	if len(s) > maxConnectionString {
		return ConnectionString{}, fmt.Errorf("it is longer than %d bytes; %s", maxConnectionString, wanted)
	}
	fields, err := splitFields(s)
	if err != nil {
		return ConnectionString{}, err
	}
	for _, name := range []string{fieldHost, fieldDevice, fieldKey} {
		if fields[name] == "" {
			return ConnectionString{}, fmt.Errorf("%s is missing; %s", name, wanted)
		}
	}
	c := ConnectionString{HostName: fields[fieldHost], DeviceID: fields[fieldDevice], GatewayHostName: fields[fieldGateway]}
	if err := checkHost(fieldHost, c.HostName); err != nil {
		return ConnectionString{}, err
	}
	if c.GatewayHostName != "" {
		if err := checkHost(fieldGateway, c.GatewayHostName); err != nil {
			return ConnectionString{}, err
		}
	}
	if err := CheckDeviceID(c.DeviceID); err != nil {
		return ConnectionString{}, fmt.Errorf("%s: %w", fieldDevice, err)
	}
	key, err := base64.StdEncoding.Strict().DecodeString(fields[fieldKey])
	if err != nil { // the decoder's own error would quote nothing, but would give the position: not needed
		return ConnectionString{}, errors.New("SharedAccessKey is not base64: was it cut or changed when it was copied?")
	}
	if len(key) == 0 { // the decoder passes over line ends
		return ConnectionString{}, fmt.Errorf("%s is empty; %s", fieldKey, wanted)
	}
	c.Key = NewSecret(key)
	return c, nil
}

// splitFields gives the known fields under their proper names.
func splitFields(s string) (map[string]string, error) {
	fields := map[string]string{}
	n := 0
	for field := range strings.SplitSeq(s, ";") {
		if n++; field == "" {
			continue // a trailing ';' is common
		}
		name, value, ok := strings.Cut(field, "=")
		if !ok {
			return nil, fmt.Errorf("field %d has no '='; %s", n, wanted)
		}
		if why := foreign(name); why != "" {
			return nil, errors.New(why)
		}
		known := properName(name)
		switch _, twice := fields[known]; {
		case known == "":
			return nil, fmt.Errorf("unknown %s; %s", describeField(n, name), wanted)
		case twice:
			return nil, fmt.Errorf("%s is there twice", known)
		}
		fields[known] = value
	}
	return fields, nil
}

// properName maps a field name to the portal's spelling: SDKs read them
// without regard to case.
func properName(name string) string {
	for _, known := range []string{fieldHost, fieldDevice, fieldKey, fieldGateway} {
		if strings.EqualFold(name, known) {
			return known
		}
	}
	return ""
}

// describeField names an unknown field only if it looks like a field's name:
// the text before a '=' may as well be a pasted key, cut at its padding.
func describeField(n int, name string) string {
	const longest = 24 // longer than any field name of any Azure connection string, shorter than any key
	if len(name) == 0 || len(name) > longest || strings.IndexFunc(name, notLetter) >= 0 {
		return fmt.Sprintf("field (number %d)", n)
	}
	return fmt.Sprintf("field %q", name)
}

func notLetter(r rune) bool { return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') }

// checkHost accepts a DNS name or an IPv4 address: no scheme, no port, no path.
func checkHost(field, host string) error {
	if len(host) > 253 {
		return fmt.Errorf("%s is longer than a DNS name can be (253)", field)
	}
	for i := range len(host) {
		if c := host[i]; !alphanumeric(c) && c != '.' && c != '-' {
			return fmt.Errorf("%s: character %d (%q) cannot be in a host name; give the bare name, without scheme, port or path", field, i+1, c)
		}
	}
	return nil
}

// CheckDeviceID tells whether id can be used: 1 to 128 of A-Z a-z 0-9 . _ -.
// IoT Hub allows more characters, but they would not be safe where we put the
// id: '+' and '#' are wildcards in MQTT topics, '/' and '%' change paths.
func CheckDeviceID(id string) error {
	if id == "" || len(id) > 128 {
		return fmt.Errorf("it has %d characters; 1 to 128 are allowed", len(id))
	}
	for i := range len(id) {
		switch c := id[i]; {
		case alphanumeric(c) || c == '.' || c == '_' || c == '-':
		case c == '#' || c == '+':
			return fmt.Errorf("character %d is %q, an MQTT wildcard; use A-Z a-z 0-9 . _ -", i+1, c)
		default:
			return fmt.Errorf("character %d (%q) is not supported; use A-Z a-z 0-9 . _ -", i+1, c)
		}
	}
	return nil
}

func alphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}
