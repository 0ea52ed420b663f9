package hub

import (
	"errors"
	"strings"
)

// APIVersion is the newest generally available version of the device API
// (Microsoft's MQTT page, and the Node SDK).
const APIVersion = "2021-04-12"

// Resource is what a device's token must be signed for: {host}/devices/{id}.
func Resource(host, deviceID string) string { return host + "/devices/" + deviceID }

// DevicePath is where a device's REST resources are: /devices/{id}, escaped.
func DevicePath(deviceID string) string { return "/devices/" + Escape(deviceID) }

// Username is the MQTT user name: {host}/{id}/?api-version=….
func Username(host, deviceID string) string {
	return host + "/" + deviceID + "/?api-version=" + APIVersion
}

// ParseUsername is the hub's side of [Username]. It is as lenient as
// Microsoft's gateway: the '?' may be missing (the form of 2016), api-version
// must be there but may have any value, other query items are ignored.
func ParseUsername(s string) (host, deviceID string, err error) {
	parts := strings.Split(s, "/")
	switch {
	case len(parts) < 3:
		return "", "", errors.New("read user name: not of the form {host}/{device}/?api-version={version}")
	case len(parts) > 3:
		return "", "", errors.New("read user name: more than three parts: module identities are not supported")
	case parts[0] == "" || parts[1] == "":
		return "", "", errors.New("read user name: host or device id is empty")
	}
	for item := range strings.SplitSeq(strings.TrimPrefix(parts[2], "?"), "&") {
		if name, value, _ := strings.Cut(item, "="); name == "api-version" && value != "" {
			return parts[0], parts[1], nil
		}
	}
	return "", "", errors.New("read user name: api-version is missing")
}
