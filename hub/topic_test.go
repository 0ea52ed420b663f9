package hub

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

const bound = "devices/pump-1/messages/devicebound/"

// TestParseDevicebound holds topics as real hubs were seen to send them (ids
// changed) and every form the bag's grammar allows.
func TestParseDevicebound(t *testing.T) {
	to := "/devices/pump-1/messages/devicebound"
	tests := []struct {
		name, topic string
		want        Message
	}{
		{"empty bag", bound, Message{}},
		{"parent level", strings.TrimSuffix(bound, "/"), Message{}},
		{"python capture", bound + "%24.exp=3237-07-19T23%3A06%3A40.0000000Z&%24.cid=c1&%24.mid=m1&%24.to=%2Fdevices%2Fpump-1%2Fmessages%2Fdevicebound&%24.ct=text%2Fplain&%24.ce=utf-8&iothub-ack=positive",
			Message{ID: "m1", CorrelationID: "c1", To: to, Expiry: time.Date(3237, 7, 19, 23, 6, 40, 0, time.UTC), ContentType: "text/plain", ContentEncoding: "utf-8", Ack: "positive"}},
		{"portal capture", bound + "%24.to=%2Fdevices%2Fpump-1%2Fmessages%2FdeviceBound&%24.ct=text%2Fplain%3B%20charset%3DUTF-8&%24.ce=utf-8&bbb=bbbb&aaa=aaaa",
			Message{To: "/devices/pump-1/messages/deviceBound", ContentType: "text/plain; charset=UTF-8", ContentEncoding: "utf-8", Properties: map[string]string{"aaa": "aaaa", "bbb": "bbbb"}}},
		{"documented question mark", bound + "?$.mid=m1", Message{ID: "m1"}},
		{"only the first question mark", bound + "??a=1", Message{Properties: map[string]string{"?a": "1"}}},
		{"null, empty and value", bound + "a&b=&c=d", Message{Properties: map[string]string{"a": "", "b": "", "c": "d"}}},
		{"null system properties of older hubs", bound + "%24.mid=m1&%24.cid&%24.uid&%24.exp", Message{ID: "m1"}},
		{"user id", bound + "%24.uid=u1", Message{UserID: "u1"}},
		{"plus is no blank", bound + "a=1+1", Message{Properties: map[string]string{"a": "1+1"}}},
		{"split before unescaping", bound + "a=%26b%3Dc&d%3D=e=f", Message{Properties: map[string]string{"a": "&b=c", "d=": "e=f"}}},
		{"UTF-8 and lower-case hex", bound + "n=%c3%A4", Message{Properties: map[string]string{"n": "ä"}}},
		{"unescaped by old .NET", bound + "a=(!*')", Message{Properties: map[string]string{"a": "(!*')"}}},
		{"slashes belong to the bag", bound + "a=/x/y", Message{Properties: map[string]string{"a": "/x/y"}}},
		{"unknown system properties are dropped", bound + "%24.new=1&%24.mid=m1", Message{ID: "m1"}},
		{"empty pairs", bound + "&a=1&&", Message{Properties: map[string]string{"a": "1"}}},
		{"expiry with an offset", bound + "%24.exp=2026-11-23T10%3A00%3A00%2B02%3A00", Message{Expiry: time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)}},
		{"expiry finer than 100 ns", bound + "%24.exp=2026-11-23T10%3A00%3A00.123456789Z", Message{Expiry: time.Date(2026, 11, 23, 10, 0, 0, 123456700, time.UTC)}},
		{"longest id", bound + "%24.mid=" + strings.Repeat("i", 128), Message{ID: strings.Repeat("i", 128)}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := ParseDevicebound("pump-1", test.topic)
			if err != nil || !reflect.DeepEqual(got, test.want) {
				t.Errorf("ParseDevicebound(%q) = %+v, %v; want %+v", test.topic, got, err, test.want)
			}
		})
	}
}

func TestParseDeviceboundFaults(t *testing.T) {
	tests := []struct {
		name, topic string
		pos         int
		reason      string
	}{
		{"foreign device", "devices/pump-2/messages/devicebound/", 0, "not a devicebound topic"},
		{"longer device id", "devices/pump-12/messages/devicebound/", 0, "not a devicebound topic"},
		{"another topic", "$iothub/twin/res/200", 0, "not a devicebound topic"},
		{"escape cut off", bound + "a=%4", len(bound) + 2, `bad escape in the value of "a"`},
		{"escape of nothing", bound + "%zz=1", len(bound), "bad escape in a property name"},
		{"second pair", bound + "a=1&b=1%", len(bound) + 7, `bad escape in the value of "b"`},
		{"invalid UTF-8", bound + "a=%ff", len(bound) + 2, "invalid UTF-8"},
		{"raw invalid UTF-8", bound + "\xff", len(bound), "invalid UTF-8"},
		{"empty name", bound + "=1", len(bound), "empty property name"},
		{"system property twice", bound + "$.mid=a&%24.mid=b", len(bound) + 8, `second property "$.mid"`},
		{"application property twice", bound + "a&a", len(bound) + 2, `second property "a"`},
		{"bad expiry", bound + "%24.exp=tomorrow", len(bound), `expiry "tomorrow"`},
		{"expiry over the edge", bound + "%24.exp=9999-12-31T23%3A59%3A59-01%3A00", len(bound), "expiry"},
		{"oversize id", bound + "%24.mid=" + strings.Repeat("i", 129), len(bound), "oversize message id"},
		{"oversize topic", bound + strings.Repeat("i", maxTopic), maxTopic, "oversize topic"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m, err := ParseDevicebound("pump-1", test.topic)
			var fault *PropertyError
			if !errors.As(err, &fault) || fault.Pos != test.pos || !strings.Contains(fault.Reason, test.reason) {
				t.Fatalf("ParseDevicebound = %v; want a PropertyError at %d with %q", err, test.pos, test.reason)
			}
			if !reflect.DeepEqual(m, Message{}) || len(err.Error()) > 250 {
				t.Errorf("message beside the fault is %+v, text %d bytes; want an empty one and one line", m, len(err.Error()))
			}
		})
	}
}

func TestFormatDevicebound(t *testing.T) {
	m := Message{
		ID: "m/1", CorrelationID: "c", UserID: "u", To: "/devices/pump-1/messages/devicebound",
		Expiry:      time.Date(2020, 7, 25, 16, 14, 25, 172e6, time.FixedZone("", 7200)),
		ContentType: "application/json", ContentEncoding: "utf-8", Ack: "full",
		Properties: map[string]string{"z": "1 +#", "a": ""},
	}
	want := bound + "%24.exp=2020-07-25T14%3A14%3A25.1720000Z&%24.cid=c&%24.mid=m%2F1&%24.to=%2Fdevices%2Fpump-1%2Fmessages%2Fdevicebound" +
		"&%24.uid=u&%24.ct=application%2Fjson&%24.ce=utf-8&iothub-ack=full&a=&z=1%20%2B%23"
	if got := FormatDevicebound("pump-1", m); got != want {
		t.Errorf("FormatDevicebound = %q\nwant %q", got, want)
	}
	if got := FormatDevicebound("pump-1", Message{}); got != bound {
		t.Errorf("FormatDevicebound of nothing = %q; want %q", got, bound)
	}
	if got := DeviceboundFilter("pump-1"); got != bound+"#" {
		t.Errorf("DeviceboundFilter = %q; want %q", got, bound+"#")
	}
}

func TestEvents(t *testing.T) {
	full := Telemetry{MessageID: "b7-1", CorrelationID: "m1", ContentType: "application/json", ContentEncoding: "utf-8", Properties: map[string]string{"kind": "outcome"}}
	tests := []struct {
		t     Telemetry
		topic string
	}{
		{Telemetry{}, "devices/pump-1/messages/events/"},
		{full, "devices/pump-1/messages/events/%24.mid=b7-1&%24.cid=m1&%24.ct=application%2Fjson&%24.ce=utf-8&kind=outcome"},
	}
	for _, test := range tests {
		topic := FormatEvents("pump-1", test.t)
		if topic != test.topic {
			t.Errorf("FormatEvents = %q; want %q", topic, test.topic)
		}
		if got, err := ParseEvents("pump-1", topic); err != nil || !reflect.DeepEqual(got, test.t) {
			t.Errorf("ParseEvents(%q) = %+v, %v; want %+v", topic, got, err, test.t)
		}
	}
	for _, topic := range []string{"devices/pump-2/messages/events/", "devices/pump-1/messages/events/a=%", "devices/pump-1/messages/events/a&a", "x"} {
		var fault *PropertyError
		if _, err := ParseEvents("pump-1", topic); !errors.As(err, &fault) {
			t.Errorf("ParseEvents(%q) = %v; want a PropertyError", topic, err)
		}
	}
}

// FuzzParseDevicebound: no topic panics the parser; one that can be read gives
// a message that FormatDevicebound writes so that it reads back the same.
func FuzzParseDevicebound(f *testing.F) {
	f.Add(bound + "%24.exp=3237-07-19T23%3A06%3A40.0000000Z&%24.cid=c1&%24.mid=m1&iothub-ack=full&a&b=&c=%c3%a4")
	f.Fuzz(func(t *testing.T, topic string) {
		m, err := ParseDevicebound("pump-1", topic)
		if err != nil {
			var fault *PropertyError
			if !errors.As(err, &fault) || fault.Pos < 0 || fault.Pos > len(topic) {
				t.Fatalf("error %v (%T) does not point into the topic", err, err)
			}
			return
		}
		again := FormatDevicebound("pump-1", m)
		if len(again) > maxTopic { // escaping can make it longer than MQTT allows
			return
		}
		back, err := ParseDevicebound("pump-1", again)
		if err != nil || !reflect.DeepEqual(back, m) {
			t.Fatalf("%q read as %+v, written as %q, read back as %+v, %v", topic, m, again, back, err)
		}
	})
}

// FuzzParseEvents: the same round trip for telemetry topics.
func FuzzParseEvents(f *testing.F) {
	f.Add("devices/pump-1/messages/events/%24.ct=application%2Fjson&%24.ce=utf-8&kind=outcome")
	f.Fuzz(func(t *testing.T, topic string) {
		m, err := ParseEvents("pump-1", topic)
		if err != nil {
			var fault *PropertyError
			if !errors.As(err, &fault) || fault.Pos < 0 || fault.Pos > len(topic) || !reflect.DeepEqual(m, Telemetry{}) {
				t.Fatalf("error %v (%T) does not point into the topic", err, err)
			}
			return
		}
		again := FormatEvents("pump-1", m)
		if len(again) > maxTopic {
			return
		}
		if back, err := ParseEvents("pump-1", again); err != nil || !reflect.DeepEqual(back, m) {
			t.Fatalf("%q read as %+v, written as %q, read back as %+v, %v", topic, m, again, back, err)
		}
	})
}
