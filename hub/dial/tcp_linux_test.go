package dial

import (
	"net"
	"syscall"
	"testing"
)

func checkUserTimeout(t *testing.T, conn net.Conn) {
	t.Helper()
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var got int
	var refused error
	err = raw.Control(func(fd uintptr) {
		got, refused = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout)
	})
	if err != nil || refused != nil || got != int(userTimeout.Milliseconds()) {
		t.Errorf("TCP_USER_TIMEOUT is %d ms, %v, %v; want %v", got, err, refused, userTimeout)
	}
}
