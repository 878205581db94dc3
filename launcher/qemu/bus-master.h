/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/qemu/qmp.h"

G_BEGIN_DECLS

/**
 * cvd_bus_master_enable:
 * @qmp: a connection; the VM is stopped
 * @slot: the device's PCI slot on bus 0
 * @done: (nullable): called when the bit is set, or with why it could not be
 *
 * Sets the bus-master bit in the command register of a PCI device of an x86 VM, through the ports
 * of PCI configuration mechanism 1 and QEMU's human monitor. The address port is as it was
 * afterwards.
 */
void cvd_bus_master_enable(CvdQmp *qmp, guint slot, CvdQmpReply done, gpointer user_data);

G_END_DECLS
