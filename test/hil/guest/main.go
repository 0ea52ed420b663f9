// Command guest is what the tests need inside an emulated board beside the product.
//
//	guest notify SOCKET     a service manager's ear: prints each message it gets
//	                        with the milliseconds since it began
//	guest periph LINE       drives a line high as periph's own GPIO driver does,
//	                        and then asks for its level
//
// It promises nothing to anybody else, costs a process, and keeps nothing. periph is
// here to be caught: board/linux makes its own requests because of what this shows.
package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"periph.io/x/conn/v3/driver/driverreg"
	"periph.io/x/conn/v3/gpio"
	"periph.io/x/host/v3/gpioioctl"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "guest:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 2 {
		return errors.New("usage: guest notify SOCKET | guest periph LINE")
	}
	switch args[0] {
	case "notify":
		return notify(args[1])
	case "periph":
		return periph(args[1])
	}
	return fmt.Errorf("there is no %q here", args[0])
}

func notify(socket string) error {
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	began := time.Now()
	message := make([]byte, 4096)
	for {
		n, err := c.Read(message)
		if err != nil {
			return fmt.Errorf("read message: %w", err)
		}
		fmt.Println(time.Since(began).Milliseconds(), strings.ReplaceAll(string(message[:n]), "\n", " "))
	}
}

func periph(line string) error {
	if _, err := driverreg.Init(); err != nil {
		return fmt.Errorf("start periph: %w", err)
	}
	for _, chip := range gpioioctl.Chips {
		pin := chip.ByName(line)
		if pin == nil {
			continue
		}
		if err := pin.Out(gpio.High); err != nil {
			return fmt.Errorf("drive %s: %w", line, err)
		}
		fmt.Println("read", pin.Read())
		return pin.Halt()
	}
	return fmt.Errorf("no chip has a line %s", line)
}
