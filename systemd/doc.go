// Package systemd tells the service manager how the daemon is: ready, alive,
// stopping, and one line of status for `systemctl status`. The folder also holds
// the unit, the system user and the udev rules that go with it.
//
// # Promises
//
// Every message is one datagram to the socket named by NOTIFY_SOCKET. A daemon
// that was not started by systemd has no such socket: [FromEnv] then returns nil,
// and every method of a nil [Notifier] does nothing and succeeds, so that callers
// need no second path.
//
// Nothing here feeds the watchdog by itself. systemd is told "alive" only when
// the caller says so; a goroutine with a timer of its own would go on saying it
// while the loop hangs, which is the one thing the watchdog is there to see.
//
// # What it costs
//
// A socket, a datagram and a close for each message: no goroutine, and no state
// between calls but that [Notifier.Ready] has been called. A service manager that does not read (PID 1 is frozen
// while it reloads) holds a caller up for at most one second.
//
// # What power loss does
//
// Nothing: no message outlives the process or the manager, and none is kept.
package systemd
