package agent

import (
	"slices"
	"testing"
	"time"

	"actuatord/hub/localhub"
)

// TestWhatActsIsCaughtToo: what the board has in hand while a person says "disable" or
// "safe" may come back as failed for the moment. It is not tried again behind his
// back, not even once it is enabled.
func TestWhatActsIsCaughtToo(t *testing.T) {
	for name, c := range map[string]struct {
		verbs []Verb
		want  string
	}{
		"disable":            {[]Verb{AskDisable}, "failed disabled"},
		"disable and enable": {[]Verb{AskDisable, AskEnable}, "failed superseded"},
		"safe":               {[]Verb{AskSafe}, "failed superseded"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, localhub.Options{}, func(t *testing.T, r *rig) {
				p := r.start()
				settle(time.Second)
				release := p.sim.Hang("1")
				r.send("write", `{"target":"dac","action":"write","register":64,"bytes":"0fff"}`)
				settle(100 * time.Millisecond) // the bus has it, for 900 ms more
				for _, verb := range c.verbs {
					if a := p.ask(Request{Verb: verb, Target: "dac", Who: "kim"}); a.Error != "" {
						t.Fatal(a.Error)
					}
				}
				release()
				settle(time.Minute)
				r.expect(t, "write", c.want, "dac 40:0fff") // which came late, when the bus was free
				if got := p.sim.Memory("1", 0x60, 0x40); !slices.Equal(got, []byte{0, 0}) {
					t.Errorf("the dac holds %x; want its safe bytes", got)
				}
				p.stop()
			})
		})
	}
}
