package machine

import (
	"encoding/json"
	"fmt"
	"net"
	"time"
)

// qmp is a conversation with qemu itself (the QEMU Machine Protocol).
type qmp struct {
	conn net.Conn
	in   *json.Decoder
}

func dialQMP(path string) (*qmp, error) {
	conn, err := net.Dial("unix", path)
	if err != nil {
		return nil, fmt.Errorf("reach qemu: %w", err)
	}
	q := &qmp{conn, json.NewDecoder(conn)}
	var greeting struct{ QMP json.RawMessage }
	if err := q.in.Decode(&greeting); err != nil {
		q.close()
		return nil, fmt.Errorf("read qemu's greeting: %w", err)
	}
	if err := q.do("qmp_capabilities", nil, nil); err != nil {
		q.close()
		return nil, err
	}
	return q, nil
}

func (q *qmp) close() { _ = q.conn.Close() }

func (q *qmp) do(command string, arguments, result any) error {
	fail := func(err error) error { return fmt.Errorf("ask qemu for %s: %w", command, err) }
	if err := q.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return fail(err)
	}
	request := map[string]any{"execute": command}
	if arguments != nil {
		request["arguments"] = arguments
	}
	if err := json.NewEncoder(q.conn).Encode(request); err != nil {
		return fail(err)
	}
	for {
		var answer struct {
			Return json.RawMessage
			Error  *struct{ Desc string }
		}
		if err := q.in.Decode(&answer); err != nil {
			return fail(err)
		}
		switch {
		case answer.Error != nil:
			return fail(fmt.Errorf("qemu says: %s", answer.Error.Desc))
		case answer.Return == nil: // an event
		case result == nil:
			return nil
		default:
			return json.Unmarshal(answer.Return, result)
		}
	}
}

// QMP asks qemu itself: a command with its arguments, the result into what result
// points to, unless nil. The guest must have said something: qemu listens by then.
func (m *Machine) QMP(command string, arguments, result any) error {
	m.turn.Lock()
	defer m.turn.Unlock()
	if m.qmp == nil {
		q, err := dialQMP(m.path("qmp"))
		if err != nil {
			return err
		}
		m.qmp = q
	}
	return m.qmp.do(command, arguments, result)
}

// Property reads a property of a part of the machine, such as "gpioA0" of
// "/machine/soc/gpio".
func (m *Machine) Property(path, name string, value any) error {
	return m.QMP("qom-get", map[string]any{"path": path, "property": name}, value)
}

// SetProperty writes one.
func (m *Machine) SetProperty(path, name string, value any) error {
	return m.QMP("qom-set", map[string]any{"path": path, "property": name, "value": value}, nil)
}
