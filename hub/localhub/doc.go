// Package localhub is a local IoT Hub: the device side of Azure IoT Hub over
// MQTT, MQTT over WebSocket and HTTPS, with its queue semantics, for tests, demos
// and a bench without a cloud. Real device clients connect to it unchanged. It
// never runs on a device.
//
// # Promises
//
// A message that [Hub.Send] took ends exactly once, as completed or as dead
// lettered with a reason, or it is still in its device's queue; each end that
// the sender asked about gives one [Feedback]. Where Microsoft documents the
// behaviour, or a capture shows it, it is copied; where only an open-source
// gateway shows it, or nobody knows, the likely behaviour is the default and
// the other one is a field of [Options]. Mistakes of a client close the
// connection, or refuse the request, with a reason in the record, so that they
// are loud. (Only what is no HTTP at all is not recorded: Go's server answers it.)
//
// Every event goes into one record in one order ([Hub.Events],
// [Options.Observe]). Faults are scripted with [Hub.Inject] and hit a given
// packet or request, so that a test can sweep them. Each HTTPS request is in the
// record once, answered or not, so that a test can count them.
//
// # How it is built
//
// The type queue is one device's queue as a pure machine: no clock, no lock, no
// transport; it is settled with lock tokens. A Hub owns all queues, sessions
// and connections under one mutex, which is never held while anything waits:
// not for a connection, not for an observer. Each MQTT connection has two
// goroutines, one that reads and one that writes. One timer runs for all
// deadlines. An HTTPS connection has a net/http server of its own, which is gone
// with it; a request is read (rest.go), acted on under the mutex (answer.go) and
// answered, and an upgrade to WebSocket gives its stream to the code that serves
// any other MQTT connection. Everything works in a testing/synctest bubble over net.Pipe, with or
// without TLS, and after [Hub.Close] nothing of a hub is running. (A bubble's
// clock starts in the year 2000: call [TLSConfig] inside it. A client there makes
// its TLS handshake before it reads and writes at once, or time stands still.)
//
// # Cost and power loss
//
// Everything is in memory; when the process ends, queues, sessions and feedback
// are gone and only what [TLSConfig] wrote is left. Each call looks at every
// device once to set the timer, which is fine for the few thousand devices of a
// test.
package localhub
