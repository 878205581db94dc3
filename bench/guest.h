/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "client/cvd-client.h"
#include "tests/support/linux.h"

G_BEGIN_DECLS

/**
 * Guest:
 * @vm: Debian's kernel with the agent
 * @trip: a region that the agent answers on
 * @ring: a region in which the agent reads from a ring
 * @echo: a virtio-serial port on which the agent sends back what comes
 * @sink: a virtio-serial port on which the agent reads messages
 * @vsock: a vsock connection on which the agent sends back what comes, or −1
 *
 * All that is compared, in one guest.
 */
typedef struct {
    TestLinux *vm;
    CvdRegion *trip;
    TestRegion *ring;
    int echo;
    int sink;
    int vsock;
} Guest;

/**
 * guest_start:
 * @accel: what QEMU is to use
 * @n_regions: at least 2
 * @window_size: at least 32 MiB, a power of two
 * @is_huge: whether the window is made of pages of 2 MiB
 */
Guest *guest_start(const char *accel, guint n_regions, guint64 window_size, gboolean is_huge);
/** guest_stop: the guest powers off, and nothing is left; frees it */
void guest_stop(Guest *guest);

/** GUEST_WINDOW_BYTES: the smallest window that is large enough */
#define GUEST_WINDOW_BYTES ((guint64)32 << 20)

/** guest_why_no_vsock: Returns: (transfer none) (nullable): why the host cannot give guests one */
const char *guest_why_no_vsock(void);

G_END_DECLS
