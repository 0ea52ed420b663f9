package link

import (
	"container/heap"
	"io"
	"slices"
	"testing"
	"time"
)

// event is a machine's next turn.
type event struct {
	at  time.Time
	who int
}

type events []event

func (e events) Len() int           { return len(e) }
func (e events) Less(i, j int) bool { return e[i].at.Before(e[j].at) }
func (e events) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)        { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	old := *e
	x := old[len(old)-1]
	*e = old[:len(old)-1]
	return x
}

// TestFleet: 10 000 devices lose their hub in one instant. It comes back after
// outage and accepts 100 connections a second, on both ports together; what is
// beyond that is refused. All must get back, and the load they offer must decay.
// docs/fleet.md has the figures; go test -v -run Fleet prints them.
func TestFleet(t *testing.T) {
	const devices, rate = 10_000, 100
	for _, outage := range []time.Duration{0, 10 * time.Minute} {
		var queue events
		fleet := make([]*Machine, devices)
		lost := noon.Add(time.Hour)
		for i := range fleet {
			m := New(uint64(i), policy)
			m.Step(Start{recent}, noon)
			m.Step(Connected{Generation: 1, Stored: true}, noon)
			m.Step(Subscribed{1}, noon)
			m.Step(Lost{1, io.EOF}, lost)
			fleet[i] = m
			queue = append(queue, event{m.Next(), i})
		}
		heap.Init(&queue)
		accepted := map[int64]int{} // by second
		var offered []int           // by minute since the hub is back
		back, polls := make([]time.Duration, 0, devices), 0
		for len(queue) > 0 {
			e := heap.Pop(&queue).(event)
			m := fleet[e.who]
			for _, a := range m.Step(Tick{}, e.at) {
				var in Input
				switch a := a.(type) {
				case OpenDrain:
					polls++
					in = Drained{Generation: a.Generation, Answered: true}
				case Connect:
					since := e.at.Sub(lost.Add(outage))
					second := int64(since / time.Second)
					if since >= 0 {
						for len(offered) <= int(since/time.Minute) {
							offered = append(offered, 0)
						}
						offered[since/time.Minute]++
					}
					if since >= 0 && accepted[second] < rate {
						accepted[second]++
						back = append(back, since)
						in = Connected{Generation: a.Generation, Stored: true}
					} else {
						in = Refused{a.Generation, io.EOF}
					}
				}
				m.Step(in, e.at)
			}
			if !m.Status().Connected {
				heap.Push(&queue, event{m.Next(), e.who})
			}
			if e.at.After(lost.Add(6 * time.Hour)) {
				t.Fatalf("%d of %d are not back after 6 h", devices-len(back), devices)
			}
		}
		slices.Sort(back)
		t.Logf("outage %v: half are back after %v, 99 %% after %v, all after %v; %d polls; attempts a minute: %v",
			outage, back[devices/2].Round(time.Second), back[devices*99/100].Round(time.Second), back[devices-1].Round(time.Second), polls, offered)
		for i := 5; i+5 < len(offered); i++ {
			if offered[i+5] > offered[i] && offered[i+5] > rate*60/10 {
				t.Errorf("outage %v: %d attempts in minute %d and %d in minute %d; want the load to decay", outage, offered[i], i, offered[i+5], i+5)
			}
		}
	}
}
