package main

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"actuatord/hub"
	"actuatord/hub/localhub"
)

// talk feeds lines to a console and gives what it printed.
func talk(t *testing.T, input string) []string {
	t.Helper()
	var b bytes.Buffer
	out := &lines{out: &b}
	h := localhub.New(localhub.Options{Observe: func(e localhub.Event) { printEvent(out, e) }})
	defer h.Close()
	if _, err := h.AddDevice("pump-1"); err != nil {
		t.Fatal(err)
	}
	ctx, quit := context.WithCancel(t.Context())
	defer quit()
	(&console{hub: h, out: out, quit: quit}).read(strings.NewReader(input))
	asked := false
	for line := range strings.Lines(input) {
		words, err := split(strings.TrimSpace(line))
		asked = asked || err == nil && len(words) == 1 && words[0].text == "quit"
	}
	if asked != (ctx.Err() != nil) {
		t.Errorf("asked to quit: %v; did: %v", asked, ctx.Err())
	}
	return strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
}

// TestConsoleAnswers: every line is answered, a bad one with a sentence that
// says what would be right.
func TestConsoleAnswers(t *testing.T) {
	cases := map[string]string{
		`send pump-1 on id=m1`:                          "enqueued m1 device=pump-1",
		`send pump-1 {"target": "pump"} id=m1 ack=full`: "enqueued m1 device=pump-1",
		`send pump-1 on id=`:                            "enqueued #1 device=pump-1",
		`send pump-2 on`:                                `error unknown device "pump-2"; the hub has pump-1`,
		`send pump-1 on id= ack=full`:                   "error invalid message: ack=full needs a message id",
		`send pump-1 on ack=maybe`:                      `error invalid message: ack is "maybe"; it can be`,
		`send pump-1 on expires=72h`:                    "error invalid message: expiry is more than 48h0m0s ahead",
		`send pump-1 two words`:                         `error "words" is not KEY=VALUE; a body with blanks`,
		`send pump-1`:                                   "error send wants: send DEVICE BODY [KEY=VALUE]…",
		`send pump-1 {"a"`:                              `error "{\"a\"" starts like JSON but is not`,
		`send pump-1 ` + big(65536):                     "error message is too large",
		`queue pump-1`:                                  "queue pump-1 messages=0 connected=false subscribed=false",
		`queue pump-2`:                                  `error unknown device "pump-2"`,
		`queue`:                                         "error queue wants: queue DEVICE",
		`queue a b`:                                     "error queue wants: queue DEVICE",
		`drop pump-1`:                                   "ok drop pump-1",
		`drop pump-2`:                                   `error unknown device "pump-2"`,
		`forget pump-1`:                                 "ok forget pump-1",
		`disable pump-1`:                                "ok disable pump-1",
		`enable pump-1`:                                 "ok enable pump-1",
		`purge pump-1`:                                  "ok purge pump-1",
		`restart`:                                       "ok restart",
		`restart 10ms`:                                  "ok restart 10ms",
		`restart 5`:                                     `error restart: "5" is not a duration, such as 10s`,
		`restart -5s`:                                   `error restart: "-5s" is not a duration`,
		`fault pump-1 drop-after delivery skip=1`:       "ok fault pump-1 drop-after delivery skip=1",
		`fault * refuse connect code=5`:                 "ok fault * refuse connect code=5",
		`fault pump-2 swallow puback`:                   `error unknown device "pump-2"`,
		`fault pump-1 explode puback`:                   `error no effect is called "explode"; there are drop-before, `,
		`fault pump-1 swallow puback code=3`:            "error a code goes with refuse only: 1 to 5 with connect",
		`fault pump-1 refuse http-receive code=429 retry=9`: "ok fault pump-1 refuse http-receive code=429 retry=9",
		`fault pump-1 drop-before websocket`:                "error websocket names no device: the fault must be for any",
		`fault * drop-before websocket`:                     "ok fault * drop-before websocket",
		`fault pump-1 swallow`:                              "error fault wants: fault DEVICE EFFECT PACKET",
		`heal pump-1`:                                       "ok heal pump-1",
		`heal *`:                                            "ok heal *",
		`heal pump-2`:                                       `error unknown device "pump-2"`,
		`help`:                                              "help  send DEVICE BODY",
		`help send`:                                         "help  send DEVICE BODY",
		`help fault`:                                        "help  fault DEVICE EFFECT",
		`help me`:                                           `error there is no help on "me"; there is on send and fault`,
		`dance`:                                             `error there is no command "dance"; "help" lists them`,
		`"`:                                                 "error a double quote is not closed",
		`quit`:                                              "ok quit",
		"\r":                                                "",
		`# a comment`:                                       "",
		`send pump-1 ` + big(maxLine) + "\nqueue pump-1": "error the line is longer than 1048576 bytes",
	}
	for input, want := range cases {
		got := talk(t, input+"\n")
		if !strings.HasPrefix(got[0], want) || (want == "") != (got[0] == "") {
			t.Errorf("%.60q was answered %.200q; want %q", input, got[0], want)
		}
	}
}

func TestConsoleGoesOn(t *testing.T) {
	got := talk(t, "send pump-1 "+big(3*maxLine)+"\nnonsense\nsend pump-1 on id=m1 ack=negative\nqueue pump-1\npurge pump-1\nquit")
	want := []string{
		"error the line is longer than 1048576 bytes",
		`error there is no command "nonsense"; "help" lists them`,
		"enqueued m1 device=pump-1",
		"queue pump-1 messages=1 connected=false subscribed=false",
		"queued m1 enqueued delivery-count=0 expires=",
		"dead-lettered m1 Purged device=pump-1",
		"feedback m1 Purged device=pump-1",
		"ok purge pump-1",
		"ok quit",
	}
	if len(got) != len(want) {
		t.Fatalf("printed\n%s", strings.Join(got, "\n"))
	}
	for i := range want {
		if !strings.HasPrefix(got[i], want[i]) {
			t.Errorf("line %d is %q; want %q", i, got[i], want[i])
		}
	}
}

// TestHelpIsComplete: every command, effect and packet is in the help.
func TestHelpIsComplete(t *testing.T) {
	text := strings.Join(talk(t, "help\nhelp fault\n"), "\n")
	for _, o := range orders() {
		if !strings.Contains(text, "help  "+o.form) {
			t.Errorf("help does not tell of %q", o.form)
		}
	}
	for _, e := range localhub.Effects() {
		if !strings.Contains(text, "help    "+string(e)+" ") {
			t.Errorf("help does not explain %q", e)
		}
	}
	for _, p := range localhub.Packets() {
		if !strings.Contains(text, string(p)) {
			t.Errorf("help does not name %q", p)
		}
	}
}

func TestPrintTelemetry(t *testing.T) {
	var b bytes.Buffer
	printEvent(&lines{out: &b}, localhub.Event{Kind: localhub.KindTelemetry, Device: "pump-1", Telemetry: hub.Telemetry{
		Body: []byte(`{"v":1}`), MessageID: "r", CorrelationID: "m1", ContentType: "application/json", ContentEncoding: "utf-8",
		Properties: map[string]string{"outcome": "done", "kind": "two words", "a=b": "", "line\n": "ü"}}})
	want := `telemetry pump-1 {"v":1}
properties pump-1 $.mid=r $.cid=m1 $.ct=application/json $.ce=utf-8 "a=b"="" kind="two words" "line\n"="ü" outcome=done
`
	if b.String() != want {
		t.Errorf("printed %s; want %s", b.String(), want)
	}
}
