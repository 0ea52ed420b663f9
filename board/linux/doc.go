// Package linux is the real board: lines by the GPIO character device (uAPI v2,
// Linux 5.10), buses by i2c-dev, and PWM by sysfs.
//
// # Promises
//
// A line is found by its kernel name, by chip-label:offset, or as GPIOn on a
// Raspberry Pi whose device tree has no such name; by a chip's number never. What
// fits two lines is refused with both, and so are two outputs that are one line.
//
// A line is taken in one request that carries direction, level, active-low,
// open-drain and consumer, so it never passes through the level it must not have. Reading a
// line asks for its value and changes nothing. Buffers of an I2C transfer are
// pinned while the kernel has them. Every error keeps its errno.
//
// [Look] asks what there is and changes nothing: it requests no line and makes no
// transfer. [Scan] alone talks on a bus without being told what to say.
//
// # What it costs
//
// Taking a line asks every chip for the name of each of its lines, some sixty
// ioctls on a Raspberry Pi; driving one is one ioctl. A transfer on a dead bus
// returns after 0.4 s. A level (sysfs PWM) is one write of a file, which a chip of the
// SoC takes at once; one behind a bus may hold its caller as long as its kernel
// driver waits: for a PCA9685 there is board/expander.
//
// An input that stands still costs nothing: a goroutine waits for its edges. Where a
// line has no interrupt (some expanders) it is read every 20 ms instead, and
// debounced here. A chip that cannot pull ignores the bias without a word: that is
// the kernel's way, and wiring has to pull then.
//
// # Power loss
//
// Nothing is stored. When the process ends its lines go back to the kernel:
// Raspberry Pi OS leaves their levels, mainline makes them inputs. PWM channels stay
// exported, and on as they were.
//
// Everything goes through one seam, the kernel struct, so that tests can look at
// the bytes of each request on machines that have no lines.
package linux
