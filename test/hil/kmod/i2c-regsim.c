// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * i2c-regsim: an I2C adapter with simulated chips of 256 byte registers each.
 *
 * A test tool apart from the product: it is a kernel module and therefore under
 * the GNU General Public License, version 2 or later, whatever the rest of this
 * repository is under. It is built and loaded by test/hil alone, into a kernel
 * that runs in an emulator, and is part of no program that is delivered.
 *
 * The kernel's own i2c-stub carries SMBus commands only; actuatord speaks plain
 * messages (I2C_RDWR), as most devices' data sheets do.
 *
 *   insmod i2c-regsim.ko bus=1 chips=0x60,0x61
 *
 * Seen from outside, in /sys/bus/i2c/devices/i2c-N/:
 *   regs       256 bytes a chip, in the order of chips=, read and write
 *   transfers  transfers that were asked for
 *   fault      a positive errno that each transfer ends with; 0: none
 *   faults     how many more get it; -1: all
 *   delay_ms   how long a transfer takes. Beyond the adapter's timeout it ends
 *              there with ETIMEDOUT, as it does in a driver that is well made
 *   stuck_ms   how long a transfer takes in one that is not: the timeout is not
 *              looked at, and it ends with ETIMEDOUT
 *
 * A fault, a delay and being stuck hold for the whole adapter, chips or not.
 */
#include <linux/delay.h>
#include <linux/i2c.h>
#include <linux/jiffies.h>
#include <linux/module.h>
#include <linux/sysfs.h>

#define MAX_CHIPS 8
#define REGISTERS 256

static unsigned short chips[MAX_CHIPS];
static int nchips;
module_param_array(chips, ushort, &nchips, 0444);
MODULE_PARM_DESC(chips, "addresses of the simulated chips");

static int bus = -1;
module_param(bus, int, 0444);
MODULE_PARM_DESC(bus, "number of the adapter (default: the next free one)");

static u8 regs[MAX_CHIPS * REGISTERS];
static u8 pointer[MAX_CHIPS]; /* the register that the next byte is for */

static int fault, faults = -1, delay_ms, stuck_ms, transfers;

static int chip_at(u16 address)
{
	int i;

	for (i = 0; i < nchips; i++)
		if (chips[i] == address)
			return i;
	return -1;
}

/* The first byte written sets the pointer; every other moves it on by one. */
static void carry(int chip, struct i2c_msg *msg)
{
	u8 *page = regs + chip * REGISTERS;
	int i;

	for (i = 0; i < msg->len; i++) {
		if (msg->flags & I2C_M_RD)
			msg->buf[i] = page[pointer[chip]++];
		else if (i == 0)
			pointer[chip] = msg->buf[0];
		else
			page[pointer[chip]++] = msg->buf[i];
	}
}

/* How long it takes, and whether it gets anywhere. */
static int pass_time(struct i2c_adapter *adapter)
{
	unsigned int timeout = jiffies_to_msecs(adapter->timeout);

	if (stuck_ms > 0) {
		msleep(stuck_ms);
		return -ETIMEDOUT;
	}
	if (delay_ms > timeout) {
		msleep(timeout);
		return -ETIMEDOUT;
	}
	if (delay_ms > 0)
		msleep(delay_ms);
	return 0;
}

static int regsim_transfer(struct i2c_adapter *adapter, struct i2c_msg *msgs, int num)
{
	int i, chip, err;

	transfers++;
	err = pass_time(adapter);
	if (err)
		return err;
	if (fault && faults) {
		if (faults > 0)
			faults--;
		return -fault;
	}
	for (i = 0; i < num; i++) {
		chip = chip_at(msgs[i].addr);
		if (chip < 0)
			return -ENXIO; /* not acknowledged */
		carry(chip, &msgs[i]);
	}
	return num;
}

static u32 regsim_functionality(struct i2c_adapter *adapter)
{
	return I2C_FUNC_I2C | I2C_FUNC_SMBUS_EMUL;
}

static const struct i2c_algorithm algorithm = {
	.master_xfer = regsim_transfer,
	.functionality = regsim_functionality,
};

static struct i2c_adapter adapter = {
	.owner = THIS_MODULE,
	.algo = &algorithm,
	.name = "regsim",
};

#define NUMBER(name)                                                                               \
	static ssize_t name##_show(struct device *d, struct device_attribute *a, char *text)       \
	{                                                                                          \
		return sysfs_emit(text, "%d\n", name);                                             \
	}                                                                                          \
	static ssize_t name##_store(struct device *d, struct device_attribute *a,                  \
				    const char *text, size_t n)                                    \
	{                                                                                          \
		int err = kstrtoint(text, 0, &name);                                               \
												   \
		return err ? err : n;                                                              \
	}                                                                                          \
	static DEVICE_ATTR_RW(name)

NUMBER(fault);
NUMBER(faults);
NUMBER(delay_ms);
NUMBER(stuck_ms);
NUMBER(transfers);

static struct attribute *numbers[] = {
	&dev_attr_fault.attr,	  &dev_attr_faults.attr,    &dev_attr_delay_ms.attr,
	&dev_attr_stuck_ms.attr, &dev_attr_transfers.attr, NULL,
};

/* sysfs has bounded off and n by the size below. */
static ssize_t regs_read(struct file *f, struct kobject *k, struct bin_attribute *a, char *buf,
			 loff_t off, size_t n)
{
	memcpy(buf, regs + off, n);
	return n;
}

static ssize_t regs_write(struct file *f, struct kobject *k, struct bin_attribute *a, char *buf,
			  loff_t off, size_t n)
{
	memcpy(regs + off, buf, n);
	return n;
}

static BIN_ATTR_RW(regs, sizeof(regs));

static struct bin_attribute *bytes[] = { &bin_attr_regs, NULL };

static const struct attribute_group seen = { .attrs = numbers, .bin_attrs = bytes };

static int __init regsim_init(void)
{
	int err;

	if (!nchips)
		return -EINVAL;
	adapter.nr = bus;
	err = i2c_add_numbered_adapter(&adapter);
	if (err)
		return err;
	err = sysfs_create_group(&adapter.dev.kobj, &seen);
	if (err)
		i2c_del_adapter(&adapter);
	return err;
}

static void __exit regsim_exit(void)
{
	sysfs_remove_group(&adapter.dev.kobj, &seen);
	i2c_del_adapter(&adapter);
}

module_init(regsim_init);
module_exit(regsim_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("I2C adapter with simulated register chips, for tests");
