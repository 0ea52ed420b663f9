#!/usr/bin/env bash
# build.sh HEADERS SOURCE VERSION TOOLS OUT: the simulators, for Debian's arm64 kernel.
#
# HEADERS: where linux-headers packages were unpacked. SOURCE: drivers/gpio and
# kernel/irq of linux-source. TOOLS: the tools part of the cache. OUT gets irqsim.ko,
# gpio-sim.ko and i2c-regsim.ko, to be loaded in this order.
set -euo pipefail

headers=$1/usr/src source=$2 version=$3 tools=$4 out=$5
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
machine=$headers/linux-headers-$version common=$headers/linux-headers-${version%-arm64}-common
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT

# The kernel's build tools are those of this machine's architecture; the headers
# name them, and each other, by where they would be installed.
kbuild=$tools/usr/lib/linux-kbuild-6.1
for directory in "$machine" "$common"; do
	ln -sfn "$kbuild/scripts" "$directory/scripts"
	ln -sfn "$kbuild/tools" "$directory/tools"
done
echo "include $common/Makefile" >"$machine/Makefile"

cp "$here/i2c-regsim.c" "$source/drivers/gpio/gpio-sim.c" "$source/drivers/gpio/gpiolib.h" "$build"
# irq_sim is a part of the kernel, which Debian leaves out. As a module it may not
# use irq_to_desc, which is not exported; generic_handle_irq does the same.
sed 's/handle_simple_irq(irq_to_desc(irqnum))/generic_handle_irq(irqnum)/' "$source/kernel/irq/irq_sim.c" >"$build/irqsim.c"
printf '#include <linux/module.h>\nMODULE_LICENSE("GPL");\n' >>"$build/irqsim.c"
echo 'obj-m := irqsim.o gpio-sim.o i2c-regsim.o' >"$build/Kbuild"

# modpost and fixdep find their libraries as make does.
PATH=$tools/tool:$PATH LD_LIBRARY_PATH=$tools/usr/lib/x86_64-linux-gnu:$tools/lib/x86_64-linux-gnu \
	"$tools/usr/bin/make" -C "$machine" M="$build" DEB_BUILD_ARCH=amd64 DEB_HOST_ARCH=arm64 DEB_HOST_GNU_TYPE=aarch64-linux-gnu modules
cp "$build"/{irqsim,gpio-sim,i2c-regsim}.ko "$out"
