package hub

import "testing"

func TestDevicePath(t *testing.T) {
	for id, want := range map[string]string{"pump-1": "/devices/pump-1", "a/b?c#d%": "/devices/a%2Fb%3Fc%23d%25"} {
		if got := DevicePath(id); got != want {
			t.Errorf("DevicePath(%q) = %q; want %q", id, got, want)
		}
	}
}

// A fault of a header names no place in a topic.
func TestPropertyErrorText(t *testing.T) {
	for want, e := range map[string]PropertyError{
		"read message properties: bad escape at byte 7 of the topic": {Pos: 7, Reason: "bad escape"},
		"read message properties: oversize message id":               {Pos: -1, Reason: "oversize message id"},
	} {
		if got := e.Error(); got != want {
			t.Errorf("error reads %q; want %q", got, want)
		}
	}
}
