package agent

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"actuatord/hub"
	"actuatord/hub/localhub"
)

// bubble runs fn in virtual time on a rig with a hub of its own.
func bubble(t *testing.T, o localhub.Options, fn func(t *testing.T, r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, o)
		defer func() {
			if t.Failed() {
				t.Log(r.dump())
			}
		}()
		fn(t, r)
	})
}

// TestMainJob is the product: messages move outputs, once each, and are
// completed only then.
func TestMainJob(t *testing.T) {
	bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
		p := r.start()
		settle(time.Second)
		r.send("on-1", `{"target":"pump","action":"on"}`)
		r.send("toggle-1", `{"target":"lamp","action":"toggle"}`)
		r.send("pulse-1", `{"target":"valve-2","action":"pulse","for":"200ms"}`)
		r.send("write-1", `{"target":"dac","action":"write","register":64,"bytes":"0fff"}`)
		r.send("onfor-1", `{"target":"pump","action":"on","for":"5s"}`)
		r.send("toggle-1", `{"target":"lamp","action":"toggle"}`) // the same message again
		settle(2 * time.Second)
		for id, want := range map[string][]string{
			"on-1": {"pump on"}, "toggle-1": {"lamp on"}, "pulse-1": {"valve-2 on", "valve-2 off"},
			"write-1": {"dac 40:0fff"}, "onfor-1": nil, // it is on already
		} {
			if got := r.moves(id); !slices.Equal(got, want) {
				t.Errorf("%s moved %q; want %q", id, got, want)
			}
			if got := r.outcomes(id); !slices.Equal(got, []string{"done"}) {
				t.Errorf("%s was reported %q; want done, once", id, got)
			}
		}
		if n := r.count(localhub.KindCompleted, "toggle-1"); n != 2 {
			t.Errorf("toggle-1 was completed %d times; want both sendings completed", n)
		}
		if q := r.hub.Queue(r.device.ID); len(q) != 0 {
			t.Errorf("%d messages left at the hub", len(q))
		}
		settle(5 * time.Second)
		if got := r.moves("lease"); !slices.Equal(got, []string{"pump off"}) {
			t.Errorf("the lease moved %q; want the pump off once", got)
		}
		p.stop()
	})
}

// TestRefusedIsRejected: what cannot be carried out is journalled, reported with its
// reason and rejected, and keeps nothing behind it from being done.
func TestRefusedIsRejected(t *testing.T) {
	for _, tt := range []struct {
		name, id, body string
		edit           func(*hub.Message)
		want           string
	}{
		{"garbage", "m", "\x00\xff{{{", nil, "refused malformed"},
		{"64 KiB of nothing", "m", strings.Repeat(" ", 65000), nil, "refused malformed"},
		{"deep", "m", `{"target":"pump","action":"on","meta":` + strings.Repeat("[", 30000) + strings.Repeat("]", 30000) + "}", nil, "refused malformed"},
		{"unknown target", "m", `{"target":"nuke","action":"on"}`, nil, "refused unknown-target"},
		{"unknown field", "m", `{"target":"pump","action":"on","colour":"red"}`, nil, "refused unknown-field"},
		{"wrong type", "m", `{"target":"pump","action":1}`, nil, "refused bad-value"},
		{"duplicate key", "m", `{"target":"pump","target":"lamp","action":"on"}`, nil, "refused malformed"},
		{"array", "m", `[{"target":"pump","action":"on"}]`, nil, "refused not-supported"},
		{"too long", "m", `{"target":"pump","action":"on","for":"11m"}`, nil, "refused over-max-on"},
		{"register not allowed", "m", `{"target":"dac","action":"write","register":65,"bytes":"00"}`, nil, "refused not-allowed"},
		{"past its own expiry", "m", `{"target":"pump","action":"on","expires":"1999-01-01T00:00:00Z"}`, nil, "refused expired"},
		{"too old", "m", `{"target":"valve-1","action":"on","sent":"1999-01-01T00:00:00Z"}`, nil, "refused too-old"},
		{"age unknown", "m", `{"target":"valve-1","action":"on"}`, nil, "refused age-unknown"},
		{"sent is no date", "m", `{"target":"pump","action":"on"}`, func(m *hub.Message) { m.Properties = map[string]string{"sent": "yesterday"} }, "refused bad-value"},
		{"sent in no year", "m", `{"target":"pump","action":"on"}`, func(m *hub.Message) { m.Properties = map[string]string{"sent": "9999-12-31T23:59:59-01:00"} }, "refused bad-value"},
		{"once-only without an id", "", `{"target":"pump","action":"toggle"}`, nil, "refused id-required"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
				p := r.start()
				settle(time.Second)
				if tt.edit == nil {
					tt.edit = func(*hub.Message) {}
				}
				r.send(tt.id, tt.body, tt.edit)
				r.send("after", `{"target":"lamp","action":"on"}`)
				settle(time.Second)
				if got := r.outcomes(tt.id); !slices.Equal(got, []string{tt.want}) {
					t.Errorf("reported %q; want %q", got, tt.want)
				}
				if got := r.moves("after"); !slices.Equal(got, []string{"lamp on"}) {
					t.Errorf("the command behind it moved %q; want the lamp on", got)
				}
				if q := r.hub.Queue(r.device.ID); len(q) != 0 {
					t.Errorf("%d messages at the hub; want the refused one rejected, and the one behind it completed", len(q))
				}
				p.stop()
			})
		})
	}
}
