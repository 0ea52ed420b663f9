// Package machine boots Debian's stock kernels in an emulator, each with a tiny
// initramfs, and talks to what runs there: on the console, and to the emulator
// itself by QMP. It is for tests; fetch.sh fills the cache it lives on.
//
// # Promises
//
// A guest reaches nothing but the forwards it was given: its network is qemu's own
// with restrict=on, and each forward is a command that connects to one loopback
// port of the host. A machine is one process, ended by its pid: when its context
// ends, at Close, or with the process that started it, and never by a name. Every wait has a
// bound. What the console said is kept, and is part of the error when something did
// not come.
//
// # Cost
//
// A boot to the first command takes 3 s on an emulated Cortex-A53 and 9 s on the
// emulated AST2600; a command about 20 ms. Neither is a measure of anything: the
// processor is emulated.
//
// # Power loss
//
// Nothing is stored. A guest's disk is what its caller gives qemu; Kill is a power
// cut as far as the guest goes.
package machine
